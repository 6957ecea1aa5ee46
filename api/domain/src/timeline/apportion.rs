//! A whole amount divided in exact proportion to weights. Pure.
//!
//! Invariant: the shares add up to the amount; each is its exact share rounded down, or one more (contract, "Money", 5).

use num_bigint::BigInt;
use num_integer::Integer as _;

/// Divides `total` by weights: rounded down, and what is left goes, one each, to the largest remainders; equal ones in the order
/// in which they stand. All weights zero: the first takes everything.
#[must_use]
pub fn apportion(total: i128, weights: &[&BigInt]) -> Vec<i128> {
    let sum: BigInt = weights.iter().copied().sum();
    if sum == BigInt::ZERO {
        let mut shares = vec![0; weights.len()];
        shares.first_mut().into_iter().for_each(|first| *first = total);
        return shares;
    }
    let exact: Vec<BigInt> = weights.iter().map(|weight| *weight * total).collect();
    settle(total, &exact, &sum)
}

/// Rounds exact amounts (`weights` over `divisor`, which come to `total` but for its rounding) down; what is left of `total` goes, one
/// each, to the largest remainders; equal ones in the order in which they stand.
#[must_use]
pub fn settle(total: i128, weights: &[BigInt], divisor: &BigInt) -> Vec<i128> {
    let mut shares = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for (place, weight) in weights.iter().enumerate() {
        let (share, remainder) = weight.div_mod_floor(divisor);
        // A share is at most the total, which fits.
        shares.push(i128::try_from(share).unwrap_or(total));
        remainders.push((remainder, place));
    }
    let left = total - shares.iter().sum::<i128>();
    if left > 0 {
        remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        remainders.iter().take(usize::try_from(left).unwrap_or(usize::MAX)).for_each(|(_, place)| shares[*place] += 1);
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn divided(total: i128, weights: &[i64]) -> Vec<i128> {
        let weights: Vec<BigInt> = weights.iter().map(|weight| BigInt::from(*weight)).collect();
        apportion(total, &weights.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_is_left_goes_to_the_largest_remainders() {
        assert_eq!(divided(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(divided(10, &[1, 2, 4]), [1, 3, 6]);
        assert_eq!(divided(5, &[0, 0]), [5, 0]);
        assert!(divided(5, &[]).is_empty());
    }

    #[test]
    fn amounts_are_rounded_as_they_are_and_not_as_parts_of_the_rounded_total() {
        // 1.5, 1.4 and 0.7 come to 3.6, and that to 4.
        let weights = [15, 14, 7].map(BigInt::from);
        assert_eq!(settle(4, &weights, &BigInt::from(10)), [2, 1, 1]);
    }

    proptest! {
        #[test]
        fn shares_add_up(total in 0_i128..1 << 100, weights in prop::collection::vec(0_i64..1 << 50, 1..20)) {
            prop_assert_eq!(divided(total, &weights).iter().sum::<i128>(), total);
        }
    }
}
