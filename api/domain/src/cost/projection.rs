//! Where a course of daily amounts is heading: candidates, a back-test that picks one, how far it was off. Pure.
//!
//! Each candidate forecasts a tail of the history that was held back; the one with the smallest mean absolute error is taken (equal:
//! the simpler one) and fitted again to everything. Floats live here alone: amounts go in as whole nano-units and come out as days
//! that the caller rounds. Invariants: what is projected is finite and not negative, and depends on the history alone.
//! Must not know: what the amounts are for, time zones, rounding.

use augurs::ets::AutoETS;
use augurs::mstl::MSTLModel;
use augurs::{Fit as _, Predict as _};

/// Days of a season: a week.
pub const SEASON_DAYS: usize = 7;
/// Days of history that nothing can be held back from.
const BACKTEST_DAYS_MIN: usize = 3 * SEASON_DAYS;
/// Days that are held back: a quarter of the history, at least and at most so many.
const HELD_BACK_DAYS: (usize, usize) = (SEASON_DAYS, 4 * SEASON_DAYS);
/// Part of the outcomes that a band is meant to hold.
pub const BAND_LEVEL: f64 = 0.95;
/// Half the width of the band in standard deviations of a normal distribution.
const BAND_DEVIATIONS: f64 = 1.959_964;

/// An error is none below this part of the largest amount.
const RIGHT_RATIO: f64 = 1e-9;

/// How a course was projected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Every day costs the mean of the days before.
    Mean,
    /// Every day costs what the day a week before did.
    SeasonalNaive,
    /// Exponential smoothing with or without a trend, chosen by AICc.
    Ets,
    /// The week's pattern is taken apart (MSTL), the rest smoothed exponentially.
    SeasonalEts,
    /// The rows were projected, each by its method.
    SumOfRows,
}

impl Method {
    /// What is tried, the simplest first.
    const CANDIDATES: [Self; 4] = [Self::Mean, Self::SeasonalNaive, Self::Ets, Self::SeasonalEts];

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::SeasonalNaive => "seasonal naive (7 days)",
            Self::Ets => "ETS",
            Self::SeasonalEts => "MSTL (7 days) + ETS",
            Self::SumOfRows => "sum of the rows",
        }
    }

    /// The days behind a course; none where the method has too little to go by.
    fn days(self, course: &[f64], steps: usize) -> Option<Vec<f64>> {
        let days = match self {
            Self::Mean => vec![course.iter().sum::<f64>() / course.len().max(1) as f64; steps],
            Self::SeasonalNaive => seasonal_naive(course, steps)?,
            Self::Ets => smoothing()?.fit(course).ok()?.predict(steps, None).ok()?.point,
            Self::SeasonalEts if course.len() < 2 * SEASON_DAYS => return None,
            Self::SeasonalEts => {
                let model = MSTLModel::new(vec![SEASON_DAYS], smoothing()?.into_trend_model());
                model.fit(course).ok()?.predict(steps, None).ok()?.point
            }
            Self::SumOfRows => return None,
        };
        let is_sound = days.len() == steps && days.iter().all(|day| day.is_finite());
        is_sound.then(|| days.into_iter().map(|day| day.max(0.0)).collect())
    }
}

/// Additive errors only: costs may be 0, and the outcome must not depend on chance.
fn smoothing() -> Option<AutoETS> {
    AutoETS::new(1, "AZN").ok()
}

fn seasonal_naive(course: &[f64], steps: usize) -> Option<Vec<f64>> {
    let week = course.len().checked_sub(SEASON_DAYS).map(|from| &course[from..])?;
    Some(week.iter().copied().cycle().take(steps).collect())
}

/// A projected course.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// How.
    pub method: Method,
    /// Nano-units of each day behind the history.
    pub days: Vec<f64>,
    /// What the method said of the days that were held back; empty with too little history.
    pub held_back: Vec<f64>,
}

/// How many days of a history are held back; 0: there is too little of it.
#[must_use]
pub fn held_back_days(history_days: usize) -> usize {
    if history_days < BACKTEST_DAYS_MIN { 0 } else { (history_days / 4).clamp(HELD_BACK_DAYS.0, HELD_BACK_DAYS.1) }
}

/// Projects the days behind a history of whole days.
#[must_use]
pub fn project(history: &[i128], steps: usize) -> Projection {
    let held_back = held_back_days(history.len());
    // The largest amount is 1, so that single precision inside of a method does no harm.
    let scale = history.iter().copied().max().unwrap_or(0).max(1) as f64;
    let course: Vec<f64> = history.iter().map(|amount| *amount as f64 / scale).collect();
    let (known, tail) = course.split_at(course.len() - held_back);
    let is_constant = history.windows(2).all(|pair| pair[0] == pair[1]);
    let (method, told) = match held_back {
        _ if is_constant => (Method::Mean, Method::Mean.days(known, held_back).unwrap_or_default()),
        0 if history.len() >= 2 * SEASON_DAYS => (Method::SeasonalNaive, Vec::new()),
        0 => (Method::Mean, Vec::new()),
        _ => best(known, tail),
    };
    // What worked on a part of the history works on all of it; should it not, the mean always does.
    let (method, days) = match method.days(&course, steps) {
        Some(days) => (method, days),
        None => (Method::Mean, Method::Mean.days(&course, steps).unwrap_or_else(|| vec![0.0; steps])),
    };
    let scaled = |days: Vec<f64>| days.into_iter().map(|day| day * scale).collect();
    Projection { method, days: scaled(days), held_back: scaled(told) }
}

/// The candidate that was least off, and what it said.
fn best(known: &[f64], tail: &[f64]) -> (Method, Vec<f64>) {
    let mut best = (Method::Mean, Vec::new(), f64::INFINITY);
    for method in Method::CANDIDATES {
        let Some(told) = method.days(known, tail.len()) else { continue };
        let error = mean_absolute_error(tail, &told);
        if error < best.2 {
            best = (method, told, error);
        }
    }
    (best.0, best.1)
}

fn mean_absolute_error(course: &[f64], told: &[f64]) -> f64 {
    course.iter().zip(told).map(|(course, told)| (course - told).abs()).sum::<f64>() / course.len().max(1) as f64
}

/// How far off a method was on the days that were held back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackTest {
    /// Mean absolute error over that of the seasonal naive forecast of the same days: below 1 beats it. 1 where both were right; none where
    /// only the naive one was.
    pub mase: Option<f64>,
    /// Root of the mean squared error, nano-units.
    pub deviation: f64,
    /// Days that were held back.
    pub days: usize,
}

impl BackTest {
    /// Of a history and what was said of its last days; none where nothing was said.
    #[must_use]
    pub fn of(history: &[i128], held_back: &[f64]) -> Option<Self> {
        let course: Vec<f64> = history.iter().map(|amount| *amount as f64).collect();
        let (known, tail) = course.split_at(course.len().checked_sub(held_back.len())?);
        let naive = seasonal_naive(known, tail.len()).filter(|naive| !naive.is_empty())?;
        let (error, naive_error) = (mean_absolute_error(tail, held_back), mean_absolute_error(tail, &naive));
        // What floats leave is no error.
        let least = RIGHT_RATIO * tail.iter().copied().fold(1.0, f64::max);
        let mase = match (error > least, naive_error > least) {
            (_, true) => Some(error / naive_error),
            (false, false) => Some(1.0),
            (true, false) => None,
        };
        let squares: f64 = tail.iter().zip(held_back).map(|(course, told)| (course - told).powi(2)).sum();
        Some(Self { mase, deviation: (squares / tail.len() as f64).sqrt(), days: tail.len() })
    }

    /// Half the width of the band around a day, nano-units; days are counted from 1. Beyond as many days as were held back, nobody has
    /// seen how far off the method is: there it grows as that of a random walk does.
    #[must_use]
    pub fn half_width(&self, day: usize) -> f64 {
        BAND_DEVIATIONS * self.deviation * (day as f64 / self.days as f64).max(1.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNIT: i128 = 1_000_000_000;

    fn noise(day: usize) -> i128 {
        (day as i128 * 7_919 % 101 - 50) * UNIT / 10
    }

    fn weekly(day: usize) -> i128 {
        [90, 100, 110, 105, 95, 30, 20][day % 7] * UNIT
    }

    fn mase(history: &[i128]) -> (Method, f64) {
        let projection = project(history, 14);
        (projection.method, BackTest::of(history, &projection.held_back).unwrap().mase.unwrap())
    }

    #[test]
    fn a_constant_course_goes_on() {
        let projection = project(&[5 * UNIT; 30], 3);
        assert_eq!((projection.method, &projection.days[..]), (Method::Mean, &[5e9, 5e9, 5e9][..]));
        let test = BackTest::of(&[5 * UNIT; 30], &projection.held_back).unwrap();
        assert_eq!((test.mase, test.deviation), (Some(1.0), 0.0));
        assert_eq!(BackTest::of(&[5 * UNIT; 30], &[1.0; 7]).unwrap().mase, None);
        assert_eq!(project(&[0; 40], 2).days, [0.0, 0.0]);
    }

    #[test]
    fn a_weekly_pattern_is_met_better_than_by_the_week_before() {
        let history: Vec<i128> = (0..70).map(|day| weekly(day) + noise(day)).collect();
        let (method, mase) = mase(&history);
        assert_eq!(method, Method::SeasonalEts);
        assert!(mase < 0.9, "{mase}");
        let days = project(&history, 14).days;
        assert!(days[5] < 0.6 * days[1] && days[12] < 0.6 * days[8], "the week's end is cheap: {days:?}");
    }

    #[test]
    fn a_pattern_without_noise_is_exact() {
        let history: Vec<i128> = (0..35).map(weekly).collect();
        let projection = project(&history, 7);
        assert_eq!(projection.method, Method::SeasonalNaive);
        for (day, told) in (35..42).zip(&projection.days) {
            assert!((weekly(day) as f64 - told).abs() < 10.0, "{day}: {told}");
        }
    }

    #[test]
    fn a_trend_goes_on() {
        let history: Vec<i128> = (0..60).map(|day| (100 + 3 * day as i128) * UNIT + noise(day)).collect();
        let (_, mase) = mase(&history);
        assert!(mase < 0.5, "{mase}");
        let days = project(&history, 10).days;
        assert!(days[9] > 290e9 && days[9] < 340e9, "{}", days[9]);
    }

    #[test]
    fn little_history_has_a_mean_and_no_back_test() {
        assert_eq!(project(&[], 2).days, [0.0, 0.0]);
        let one = project(&[7], 2);
        assert_eq!((one.method, one.days, one.held_back), (Method::Mean, vec![7.0, 7.0], vec![]));
        assert_eq!(project(&[1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7], 1).method, Method::SeasonalNaive);
        assert_eq!(BackTest::of(&[1, 2, 3], &[]), None);
    }

    #[test]
    fn bands_widen_beyond_what_was_held_back() {
        let test = BackTest { mase: Some(1.0), deviation: 10.0, days: 7 };
        assert_eq!(test.half_width(1), test.half_width(7));
        assert!((test.half_width(28) / test.half_width(7) - 2.0).abs() < 1e-9);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn whatever_happened_something_sound_is_projected(
            history in prop::collection::vec(prop_oneof![Just(0_i128), 0..1_000_000_000_000_i128, Just(i128::MAX / 1_000)], 0..60),
            steps in 1_usize..40,
        ) {
            let projection = project(&history, steps);
            prop_assert_eq!(projection.days.len(), steps);
            prop_assert_eq!(projection.held_back.len(), held_back_days(history.len()));
            prop_assert!(projection.days.iter().chain(&projection.held_back).all(|day| day.is_finite() && *day >= 0.0));
            prop_assert_eq!(project(&history, steps), projection);
        }
    }
}
