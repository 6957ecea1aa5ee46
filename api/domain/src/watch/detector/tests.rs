//! What the detector says of small made-up series.

use proptest::prelude::*;

use super::*;
use crate::demo::random::Random;

const STEP_SECONDS: f64 = 300.0;
const DAY: usize = 288;
const HOUR: usize = 12;

/// So many days of values of 5 minutes.
fn days(count: usize, mut value: impl FnMut(usize, &mut Random) -> f64) -> Vec<Option<f64>> {
    let mut random = Random::of(7);
    (0..count * DAY).map(|at| Some(value(at, &mut random))).collect()
}

/// A level of 100 with a little noise.
fn steady(count: usize) -> Vec<Option<f64>> {
    days(count, |_, random| 100.0 + random.normal())
}

fn daily(at: usize) -> f64 {
    100.0 + 50.0 * (std::f64::consts::TAU * at as f64 / DAY as f64).sin()
}

fn flags(series: &[Option<f64>], bounds: Bounds) -> Vec<usize> {
    let judged = judge_each(series, STEP_SECONDS, bounds).into_iter().enumerate();
    judged.filter_map(|(at, judgement)| judgement.is_some_and(|judgement| judgement.is_anomalous).then_some(at)).collect()
}

#[test]
fn too_little_data_is_quiet() {
    let mut series = steady(1);
    series[40] = Some(100_000.0);
    let judged = judge_each(&series, STEP_SECONDS, Bounds::NONE);
    assert!(judged[..DAY - 1].iter().all(Option::is_none));
    assert!(judge_each(&[None; 1_000], STEP_SECONDS, Bounds::NONE).iter().all(Option::is_none));
}

#[test]
fn what_is_ordinary_is_quiet() {
    let constant = days(14, |at, _| 40.0 + f64::from(u8::from(at % 97 == 0)) * 1e-3);
    assert_eq!(flags(&constant, Bounds::POSITIVE), [0; 0]);
    assert_eq!(flags(&days(14, |_, _| 0.0), Bounds::RATIO), [0; 0]);
    assert_eq!(flags(&steady(28), Bounds::POSITIVE), [0; 0]);
    let flapping = days(14, |at, random| if at / 9 % 2 == 0 { 0.9 } else { 0.1 } + 0.01 * random.normal());
    assert_eq!(flags(&flapping, Bounds::RATIO), [0; 0]);
    let rising = days(14, |at, random| 100.0 + 25.0 * at as f64 / (14 * DAY) as f64 + random.normal());
    assert_eq!(flags(&rising, Bounds::POSITIVE), [0; 0]);
}

#[test]
fn heavy_tails_are_mostly_quiet() {
    // Log-normal with a sigma of 1: once a day some 20 times the median.
    let heavy = days(28, |_, random| random.log_normal(100.0, 1.0));
    assert!(flags(&heavy, Bounds::POSITIVE).len() <= 6);
}

#[test]
fn spikes_are_flagged_with_what_was_expected() {
    for spike in [130.0, 70.0, 0.0] {
        let mut series = steady(10);
        series[9 * DAY] = Some(spike);
        assert_eq!(flags(&series, Bounds::POSITIVE), [9 * DAY]);
        let judgement = judge_each(&series, STEP_SECONDS, Bounds::POSITIVE)[9 * DAY].unwrap();
        assert!((judgement.expected - 100.0).abs() < 1.5 && judgement.score > 3.0, "{judgement:?}");
        assert!(judgement.low > 90.0 && judgement.high < 110.0, "{judgement:?}");
    }
}

#[test]
fn a_spike_does_not_hide_the_next() {
    let mut series = steady(10);
    let spikes = [8 * DAY, 8 * DAY + 50, 9 * DAY];
    for at in spikes {
        series[at] = Some(140.0);
    }
    assert_eq!(flags(&series, Bounds::POSITIVE), spikes);
}

#[test]
fn a_shift_is_flagged_at_once_becomes_ordinary_and_its_end_is_no_news() {
    let shift = 9 * DAY..11 * DAY;
    let series = days(14, |at, random| if shift.contains(&at) { 130.0 } else { 100.0 } + random.normal());
    let flags = flags(&series, Bounds::POSITIVE);
    // As long as it takes to become ordinary, it is anomalous: it has not moved its own baseline before.
    let lasting = Scale::of(STEP_SECONDS).lasting;
    assert_eq!(flags, (shift.start..shift.start + lasting).collect::<Vec<_>>());
}

#[test]
fn a_dip_of_traffic_to_nothing_is_flagged_while_it_lasts() {
    let outage = 12 * DAY + 70..12 * DAY + 82;
    let series = days(14, |at, random| if outage.contains(&at) { 0.0 } else { daily(at) + 3.0 * random.normal() });
    assert_eq!(flags(&series, Bounds::POSITIVE), outage.collect::<Vec<_>>());
}

#[test]
fn a_day_is_learnt() {
    let night = 12 * DAY + 216;
    let mut series = days(14, |at, random| daily(at) + 2.0 * random.normal());
    assert_eq!(flags(&series, Bounds::POSITIVE), [0; 0]);
    // What is ordinary at noon.
    for value in &mut series[night..night + 3] {
        *value = Some(140.0);
    }
    assert_eq!(flags(&series, Bounds::POSITIVE), [night, night + 1, night + 2]);
    let judgement = judge_each(&series, STEP_SECONDS, Bounds::POSITIVE)[night].unwrap();
    assert!((judgement.expected - 50.0).abs() < 5.0, "{judgement:?}");
}

#[test]
fn a_week_is_learnt() {
    let is_weekend = |at: usize| at / DAY % 7 >= 5;
    let make = |at: usize, random: &mut Random| if is_weekend(at) { 30.0 } else { daily(at) } + random.normal();
    let mut series = days(28, make);
    let learnt = 21 * DAY;
    assert!(flags(&series, Bounds::POSITIVE).iter().all(|at| *at < learnt));
    // A Saturday that is like a Monday.
    let saturday = 26 * DAY + 24;
    for (at, value) in series[saturday..saturday + 2 * HOUR].iter_mut().enumerate() {
        *value = Some(daily(saturday + at));
    }
    let flags = flags(&series, Bounds::POSITIVE);
    assert!(flags.contains(&saturday) && flags.iter().filter(|at| **at >= learnt).count() >= HOUR, "{flags:?}");
}

#[test]
fn gaps_are_no_news_and_break_nothing() {
    let mut series = days(14, |at, random| daily(at) + 2.0 * random.normal());
    for (at, value) in series.iter_mut().enumerate() {
        if at % 11 == 0 || (9 * DAY..10 * DAY).contains(&at) {
            *value = None;
        }
    }
    assert_eq!(flags(&series, Bounds::POSITIVE), [0; 0]);
    series[12 * DAY + 6] = Some(250.0);
    assert_eq!(flags(&series, Bounds::POSITIVE), [12 * DAY + 6]);
}

#[test]
fn no_value_and_no_step_is_too_wild() {
    let wild = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, -5.0, 0.0, 1e299, -1e299];
    for step_seconds in [1.0, 300.0, 3_600.0, 86_400.0, 1e9, 0.0, f64::NAN, f64::INFINITY] {
        for bounds in [Bounds::NONE, Bounds::POSITIVE, Bounds::RATIO, Bounds { lowest: f64::NAN, ..Bounds::NONE }] {
            let mut random = Random::of(3);
            let mut detector = Detector::new(step_seconds, bounds);
            for _ in 0..4 * DAY {
                let value = if random.chance(0.1) { wild[random.below(wild.len())] } else { random.normal() };
                let judgement = detector.push(Some(value));
                assert!(judgement.is_none_or(|judgement| judgement.low <= judgement.high && judgement.score >= 0.0), "{judgement:?}");
            }
        }
    }
}

#[test]
fn days_may_be_the_steps() {
    let mut random = Random::of(1);
    let mut series: Vec<_> = (0..365).map(|day| Some(if day % 7 >= 5 { 20.0 } else { 100.0 } + random.normal())).collect();
    series[300] = Some(200.0);
    let judged = judge_each(&series, 86_400.0, Bounds::POSITIVE);
    let flags: Vec<_> = (0..365).filter(|day| judged[*day].is_some_and(|judgement| judgement.is_anomalous)).collect();
    assert_eq!(flags, [300]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn scaling_a_series_scales_its_judgements(seed in any::<u64>(), exponent in -20..20) {
        // Powers of two, so that no rounding differs.
        let factor = 2.0_f64.powi(exponent);
        let mut random = Random::of(seed);
        let series: Vec<_> = (0..6 * DAY).map(|at| random.chance(0.97).then(|| daily(at) + random.log_normal(5.0, 1.0))).collect();
        let scaled: Vec<_> = series.iter().map(|value| value.map(|value| value * factor)).collect();
        let judged = judge_each(&series, STEP_SECONDS, Bounds::POSITIVE).into_iter();
        for (judgement, scaled) in judged.zip(judge_each(&scaled, STEP_SECONDS, Bounds::POSITIVE)) {
            let expected = judgement.map(|Judgement { expected, low, high, is_anomalous, score }| {
                Judgement { expected: expected * factor, low: low * factor, high: high * factor, is_anomalous, score }
            });
            prop_assert_eq!(expected, scaled);
        }
    }

    #[test]
    fn the_band_lies_within_the_bounds(seed in any::<u64>()) {
        let mut random = Random::of(seed);
        let series: Vec<_> = (0..5 * DAY).map(|_| Some((0.9 + 0.3 * random.normal()).clamp(0.0, 1.0))).collect();
        for judgement in judge_each(&series, STEP_SECONDS, Bounds::RATIO).into_iter().flatten() {
            prop_assert!(0.0 <= judgement.low && judgement.low <= judgement.expected);
            prop_assert!(judgement.expected <= judgement.high && judgement.high <= 1.0);
        }
    }
}
