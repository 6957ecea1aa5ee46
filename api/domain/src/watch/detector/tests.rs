//! What the detector says of small series whose truth is plain.

use proptest::prelude::*;

use super::*;
use crate::demo::random::Random;

const STEP: f64 = 300.0;
const DAY: usize = 288;

fn noisy(seed: u64, days: usize, mean: impl Fn(usize) -> f64, noise: f64) -> Vec<Option<f64>> {
    let mut random = Random::of(seed);
    (0..days * DAY).map(|at| Some(mean(at) + noise * random.normal())).collect()
}

fn flags(series: &[Option<f64>], bounds: Bounds) -> Vec<usize> {
    let judged = judge_each(series, STEP, bounds);
    judged.iter().enumerate().filter_map(|(at, judged)| judged.filter(|judged| judged.is_anomalous).map(|_| at)).collect()
}

fn daily(at: usize) -> f64 {
    100.0 + 50.0 * (std::f64::consts::TAU * at as f64 / DAY as f64).sin()
}

#[test]
fn little_data_is_quiet() {
    let series = noisy(1, 1, |at| if at == 200 { 1e6 } else { 10.0 }, 1.0);
    assert!(judge_each(&series[..DAY - 1], STEP, Bounds::NONE).iter().all(Option::is_none));
    assert_eq!(judge_newest(&[], STEP, Bounds::NONE), None);
}

#[test]
fn a_spike_is_found_and_does_not_hide_the_next() {
    let mut series = noisy(2, 6, |_| 100.0, 2.0);
    for at in [4 * DAY, 4 * DAY + 100] {
        series[at] = Some(150.0);
    }
    series[5 * DAY] = Some(50.0);
    assert_eq!(flags(&series, Bounds::NONE), [4 * DAY, 4 * DAY + 100, 5 * DAY]);
    let judged = judge_newest(&series[..=4 * DAY], STEP, Bounds::NONE).unwrap();
    assert!(judged.is_anomalous && judged.score > 1.0 && judged.low < 100.0 && (100.0..150.0).contains(&judged.high), "{judged:?}");
}

#[test]
fn a_season_is_expected_once_it_is_known() {
    let mut series = noisy(3, 12, daily, 2.0);
    assert_eq!(flags(&series, Bounds::POSITIVE), Vec::<usize>::new());
    // As much as at noon, in the night.
    series[11 * DAY + 216] = Some(150.0);
    assert_eq!(flags(&series, Bounds::POSITIVE), [11 * DAY + 216]);
    let expected = judge_newest(&series[..11 * DAY + 72], STEP, Bounds::POSITIVE).unwrap().expected;
    assert!((expected - 150.0).abs() < 5.0, "{expected}");
}

#[test]
fn a_level_that_lasts_becomes_the_level_and_the_way_back_is_no_news() {
    let shifted = 5 * DAY..5 * DAY + 100;
    let series = noisy(4, 8, |at| if shifted.contains(&at) { 130.0 } else { 100.0 }, 2.0);
    let flags = flags(&series, Bounds::NONE);
    assert!(flags.contains(&shifted.start), "{flags:?}");
    assert!(flags.iter().all(|at| (shifted.start..shifted.start + 40).contains(at)), "{flags:?}");
}

#[test]
fn a_constant_with_tiny_noise_is_quiet_until_it_changes() {
    let mut series: Vec<Option<f64>> = (0..6 * DAY).map(|at| Some(if at % 97 == 0 { 50.2 } else { 50.0 })).collect();
    assert_eq!(flags(&series, Bounds::NONE), Vec::<usize>::new());
    series[5 * DAY] = Some(60.0);
    assert_eq!(flags(&series, Bounds::NONE), [5 * DAY]);
}

#[test]
fn gaps_are_quiet_and_do_not_matter() {
    let mut series = noisy(5, 8, |_| 0.5, 0.02);
    for at in (5 * DAY..5 * DAY + 100).chain((0..8 * DAY).step_by(7)) {
        series[at] = None;
    }
    assert_eq!(flags(&series, Bounds::RATIO), Vec::<usize>::new());
    assert_eq!(judge_newest(&series[..5 * DAY + 50], STEP, Bounds::RATIO), None);
    series[6 * DAY + 5] = Some(0.95);
    assert_eq!(flags(&series, Bounds::RATIO), [6 * DAY + 5]);
}

#[test]
fn traffic_that_stops_is_found() {
    let stopped = 10 * DAY..10 * DAY + 12;
    let mut series = noisy(6, 11, |at| daily(at) + 50.0, 3.0);
    series[stopped.clone()].fill(Some(0.0));
    let flags = flags(&series, Bounds::POSITIVE);
    assert!(flags.contains(&stopped.start) && flags.iter().all(|at| stopped.contains(at)), "{flags:?}");
}

#[test]
fn what_comes_back_again_and_again_is_ordinary() {
    let series = noisy(7, 14, |at| if (at / 40) % 2 == 0 { 0.9 } else { 0.05 }, 0.01);
    assert_eq!(flags(&series, Bounds::RATIO), Vec::<usize>::new());
}

#[test]
fn the_band_of_a_ratio_stays_a_ratio() {
    let series = noisy(8, 5, |_| 0.98, 0.01);
    for judged in judge_each(&series, STEP, Bounds::RATIO).into_iter().flatten() {
        assert!(0.0 <= judged.low && judged.low <= judged.expected && judged.expected <= judged.high && judged.high <= 1.0, "{judged:?}");
    }
}

#[test]
fn each_value_is_judged_only_by_what_lies_before_it() {
    let series = noisy(9, 6, daily, 5.0);
    let each = judge_each(&series, STEP, Bounds::NONE);
    for at in [DAY, 3 * DAY + 17, 6 * DAY - 1] {
        assert_eq!(each[at], judge_newest(&series[..=at], STEP, Bounds::NONE));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn scaling_a_series_scales_its_band(seed in 0_u64..1_000, exponent in -8_i32..9) {
        let factor = 2_f64.powi(exponent);
        let series = noisy(seed, 4, |_| 100.0, 10.0);
        let scaled: Vec<Option<f64>> = series.iter().map(|value| value.map(|value| value * factor)).collect();
        let (plain, scaled) = (judge_newest(&series, STEP, Bounds::NONE).unwrap(), judge_newest(&scaled, STEP, Bounds::NONE).unwrap());
        // A power of two scales exactly.
        prop_assert_eq!(scaled.high, plain.high * factor);
        prop_assert_eq!(scaled.low, plain.low * factor);
        prop_assert_eq!(scaled.score, plain.score);
    }

    #[test]
    fn shifting_a_series_shifts_its_band(seed in 0_u64..1_000, shift in -50.0_f64..50.0) {
        // The noise is far above the least change that counts.
        let series = noisy(seed, 4, |_| 10.0, 10.0);
        let shifted: Vec<Option<f64>> = series.iter().map(|value| value.map(|value| value + shift)).collect();
        let (plain, shifted) = (judge_newest(&series, STEP, Bounds::NONE).unwrap(), judge_newest(&shifted, STEP, Bounds::NONE).unwrap());
        prop_assert!((shifted.high - plain.high - shift).abs() < 1e-6 && (shifted.low - plain.low - shift).abs() < 1e-6);
    }
}
