//! What the detector is measured beside: two plain rules over the last day.
//!
//! Must not know: labels.

use super::series::DAY;

/// Fewest values of the last day that a rule judges by.
const VALUES_MIN: usize = DAY / 2;

/// Farther from the mean of the last day than three standard deviations.
pub fn three_sigma(values: &[Option<f64>]) -> Vec<bool> {
    over_the_last_day(values, |day, value| {
        let mean = day.iter().sum::<f64>() / day.len() as f64;
        let deviation = (day.iter().map(|other| (other - mean).powi(2)).sum::<f64>() / day.len() as f64).sqrt();
        (value - mean).abs() > 3.0 * deviation
    })
}

/// Farther from the median of the last day than 3.5 deviations, as their median says.
pub fn median_deviations(values: &[Option<f64>]) -> Vec<bool> {
    over_the_last_day(values, |day, value| {
        day.sort_unstable_by(f64::total_cmp);
        let median = day[day.len() / 2];
        let mut away: Vec<f64> = day.iter().map(|other| (other - median).abs()).collect();
        away.sort_unstable_by(f64::total_cmp);
        (value - median).abs() > 3.5 * 1.4826 * away[away.len() / 2]
    })
}

fn over_the_last_day(values: &[Option<f64>], is_off: impl Fn(&mut [f64], f64) -> bool) -> Vec<bool> {
    let judge = |at: usize| {
        let mut day: Vec<f64> = values[at.saturating_sub(DAY)..at].iter().flatten().copied().collect();
        values[at].is_some_and(|value| day.len() >= VALUES_MIN && is_off(&mut day, value))
    };
    (0..values.len()).map(judge).collect()
}
