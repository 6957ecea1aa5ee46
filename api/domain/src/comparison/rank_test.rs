//! Ranks of two samples: percentiles and the Mann-Whitney test. Pure.
//!
//! Values come as distinct values in ascending order with how often each occurs, so that exact times and sketches are one.
//! Invariant: the order of the two samples does not change the p-value. Must not know: where values come from.

/// Distinct values, ascending, and how often each occurs.
pub type Counted = [(f64, u64)];

/// Counts equal values; those that are no number are left out.
#[must_use]
pub fn counted(mut values: Vec<f64>) -> Vec<(f64, u64)> {
    values.retain(|value| !value.is_nan());
    values.sort_unstable_by(f64::total_cmp);
    values.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u64)).collect()
}

/// How many values there are.
#[must_use]
pub fn count(values: &Counted) -> u64 {
    values.iter().map(|(_, count)| count).sum()
}

/// The nearest-rank value of a percentile; none without values.
#[must_use]
pub fn percentile(values: &Counted, percent: u64) -> Option<f64> {
    let rank = (u128::from(count(values)) * u128::from(percent)).div_ceil(100).max(1) as u64;
    let mut seen = 0;
    let reaches = |(_, count): &&(f64, u64)| {
        seen += count;
        seen >= rank
    };
    values.iter().find(reaches).map(|(value, _)| *value)
}

/// Two-sided p-value of the Mann-Whitney test: normal approximation with tie and continuity correction (Hollander and Wolfe,
/// "Nonparametric Statistical Methods", 4.1). 1 where all values are equal; none without values on a side.
#[must_use]
pub fn mann_whitney(a: &Counted, b: &Counted) -> Option<f64> {
    let (n, m) = (count(a) as f64, count(b) as f64);
    if n == 0.0 || m == 0.0 {
        return None;
    }
    // U of a: pairs in which its value is the greater one, equal ones half. Ties: sum of t^3 - t over equal values.
    let (mut u, mut ties, mut below) = (0.0, 0.0, 0.0);
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let value = match (left.peek(), right.peek()) {
            (Some((left, _)), Some((right, _))) => left.min(*right),
            (Some((value, _)), None) | (None, Some((value, _))) => *value,
            (None, None) => break,
        };
        let of_a = left.next_if(|(of, _)| *of == value).map_or(0.0, |(_, count)| *count as f64);
        let of_b = right.next_if(|(of, _)| *of == value).map_or(0.0, |(_, count)| *count as f64);
        u += of_a * (below + of_b / 2.0);
        below += of_b;
        let tied = of_a + of_b;
        ties += tied * tied * tied - tied;
    }
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return Some(1.0);
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    Some(libm::erfc(z / std::f64::consts::SQRT_2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p_value(a: &[f64], b: &[f64]) -> f64 {
        mann_whitney(&counted(a.to_vec()), &counted(b.to_vec())).unwrap()
    }

    #[test]
    fn published_values_come_out() {
        // SciPy's documentation of `mannwhitneyu`, asymptotic, with continuity correction.
        let p = p_value(&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0]);
        assert!((p - 0.111_346_886_533_140_41).abs() < 1e-12, "{p}");
        // R's documentation of `wilcox.test`: ozone in New York in May and August (`airquality`), with ties; p = 0.0001208.
        let may: Vec<f64> =
            [41, 36, 12, 18, 28, 23, 19, 8, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32, 23, 45, 115, 37].map(f64::from).to_vec();
        let august: Vec<f64> = [39, 9, 16, 78, 35, 66, 122, 89, 110, 44, 28, 65, 22, 59, 23, 31, 44, 21, 9, 45, 168, 73, 76, 118, 84, 85]
            .map(f64::from)
            .to_vec();
        let p = p_value(&may, &august);
        assert!((p - 0.000_120_8).abs() < 5e-8, "{p}");
        assert_eq!(p, p_value(&august, &may));
    }

    #[test]
    fn what_is_equal_differs_by_chance_alone() {
        assert_eq!(p_value(&[5.0; 9], &[5.0; 30]), 1.0);
        assert!(mann_whitney(&[], &[(1.0, 3)]).is_none());
        // So many that the sum of cubes is far beyond a u64.
        let p = mann_whitney(&[(1.0, 5_000_000), (2.0, 5_000_000)], &[(1.0, 4_990_000), (2.0, 5_010_000)]).unwrap();
        assert!(p > 0.0 && p < 1e-4, "{p}");
    }

    proptest! {
        #[test]
        fn percentiles_are_nearest_ranks(values in prop::collection::vec(-50_i32..50, 1..60), percent in 1_u64..=100) {
            let mut sorted: Vec<f64> = values.iter().copied().map(f64::from).collect();
            let found = percentile(&counted(sorted.clone()), percent);
            sorted.sort_by(f64::total_cmp);
            let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
            prop_assert_eq!(found, Some(sorted[rank - 1]));
        }

        #[test]
        fn u_counts_pairs(a in prop::collection::vec(0_i32..12, 1..30), b in prop::collection::vec(0_i32..12, 1..30)) {
            let floats = |values: &[i32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
            let wins: f64 = a.iter().flat_map(|x| b.iter().map(move |y| match x.cmp(y) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })).sum();
            let (n, m) = (a.len() as f64, b.len() as f64);
            let all: Vec<i32> = a.iter().chain(&b).copied().collect();
            let ties: f64 = counted(floats(&all)).iter().map(|(_, t)| (*t as f64).powi(3) - *t as f64).sum();
            let variance = n * m / 12.0 * (n + m + 1.0 - ties / ((n + m) * (n + m - 1.0)));
            let expected = if variance <= 0.0 { 1.0 } else { libm::erfc(((wins - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt() / 2_f64.sqrt()) };
            prop_assert!((p_value(&floats(&a), &floats(&b)) - expected).abs() < 1e-12);
        }
    }
}
