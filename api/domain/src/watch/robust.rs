//! Middles that a few wild values cannot move.
//!
//! Invariant: values are finite; their order does not matter. Must not know: time.

use std::cmp::Ordering;

/// The middle value, the upper one of two; none of nothing. Reorders the values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// The mean of the smallest values that make up `ratio` of all; none of nothing. Reorders the values.
pub fn lower_mean(values: &mut [f64], ratio: f64) -> Option<f64> {
    let kept = ((values.len() as f64 * ratio) as usize).max(1).min(values.len());
    if kept == 0 {
        return None;
    }
    values.select_nth_unstable_by(kept - 1, f64::total_cmp);
    Some(values[..kept].iter().sum::<f64>() / kept as f64)
}

/// The least and the greatest value when this part of all is left out at each end; none of nothing. Reorders the values.
pub fn between(values: &mut [f64], tail_ratio: f64) -> Option<(f64, f64)> {
    let last = values.len().checked_sub(1)?;
    let at = ((values.len() as f64 * tail_ratio) as usize).min(last / 2);
    let low = *values.select_nth_unstable_by(at, f64::total_cmp).1;
    Some((low, *values.select_nth_unstable_by(last - at, f64::total_cmp).1))
}

/// Largest first.
pub fn descending(left: &f64, right: &f64) -> Ordering {
    right.total_cmp(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_moves_neither() {
        assert_eq!(median(&mut [5.0, 1.0, 1e12]), Some(5.0));
        assert_eq!(median(&mut []), None);
        assert_eq!(lower_mean(&mut [1e12, 1.0, 3.0, 2.0], 0.75), Some(2.0));
        assert_eq!(lower_mean(&mut [], 0.5), None);
    }
}
