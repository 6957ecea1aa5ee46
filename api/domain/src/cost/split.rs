//! Shares of a part: what pays for GPUs, what each checkpoint version bears, where spread idle time goes. Pure.
//!
//! Invariant: shares add up to what was shared (contract, "Money", 5 to 7). Must not know: machines, executions.

use plimsoll_entity::value::money::divide;

/// Bytes of a GiB.
pub const GIB: i128 = 1 << 30;
/// Public base prices of OpenCost in millionths of a dollar an hour: a GPU.
const GPU_MICROS: i128 = 950_000;
/// A vCPU.
const V_CPU_MICROS: i128 = 31_611;
/// A GiB of memory.
const GIB_MICROS: i128 = 4_237;

/// What part of a machine's productive cost pays for its GPUs, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuShare {
    numerator: i128,
    denominator: i128,
}

impl GpuShare {
    /// Of a machine with so many GPUs, vCPUs and bytes of memory: 0 without a GPU, 1 with GPUs where the others are unknown.
    #[must_use]
    pub fn of(gpus: u32, v_cpus: Option<u32>, memory_bytes: Option<i64>) -> Self {
        match (gpus, v_cpus, memory_bytes) {
            (0, ..) => Self { numerator: 0, denominator: 1 },
            (gpus, Some(v_cpus), Some(memory_bytes)) => {
                let numerator = GPU_MICROS * i128::from(gpus) * GIB;
                let others = V_CPU_MICROS * i128::from(v_cpus) * GIB + GIB_MICROS * i128::from(memory_bytes.max(0));
                Self { numerator, denominator: numerator + others }
            }
            _ => Self { numerator: 1, denominator: 1 },
        }
    }

    /// The GPU part of an amount, half up.
    #[must_use]
    pub const fn part(self, amount: i128) -> i128 {
        divide(amount * self.numerator, self.denominator)
    }
}

/// What the one at `place` of `count` bears of an amount that is split evenly: rounded down, and what is left goes, one each, to the
/// first.
#[must_use]
pub const fn even(amount: i128, count: usize, place: usize) -> i128 {
    let count = count as i128;
    amount / count + if (place as i128) < amount % count { 1 } else { 0 }
}

/// Spreads an amount in proportion to others, their sum above 0: rounded down, and what is left goes, one each, to the largest
/// remainders; equal ones in the order in which they stand. `shares` takes what each gets; `room` is working memory.
pub fn spread(amount: u64, among: &[u64], sum: u64, shares: &mut [u64], room: &mut Vec<(u64, u32)>) {
    room.clear();
    let mut left = amount;
    for ((place, weight), share) in (0_u32..).zip(among).zip(shares.iter_mut()) {
        let product = u128::from(amount) * u128::from(*weight);
        // Dividing 64 bits is several times faster, and mostly enough.
        let (quotient, remainder) = match u64::try_from(product) {
            Ok(product) => (product / sum, product % sum),
            Err(_) => ((product / u128::from(sum)) as u64, (product % u128::from(sum)) as u64),
        };
        left -= quotient;
        *share = quotient;
        room.push((u64::MAX - remainder, place));
    }
    let left = usize::try_from(left).unwrap_or(usize::MAX).min(room.len());
    if left > 0 && left < room.len() {
        room.select_nth_unstable(left - 1);
    }
    room[..left].iter().for_each(|(_, place)| shares[*place as usize] += 1);
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::*;
    use crate::timeline::apportion::apportion;

    #[test]
    fn the_gpu_share_is_that_of_the_public_base_prices() {
        // g5.xlarge: 0.95 / (0.95 + 4 x 0.031611 + 16 x 0.004237) = 0.83024…
        let share = GpuShare::of(1, Some(4), Some(16 << 30));
        assert_eq!(share.part(1_000_000_000), 830_248_305);
        assert_eq!(GpuShare::of(0, Some(4), Some(16 << 30)).part(7), 0);
        assert_eq!(GpuShare::of(2, None, Some(1)).part(7), 7);
        assert_eq!(GpuShare::of(2, Some(3), None).part(7), 7);
    }

    #[test]
    fn what_is_left_of_an_even_split_goes_to_the_first() {
        assert_eq!([0, 1, 2].map(|place| even(8, 3, place)), [3, 3, 2]);
        assert_eq!(even(8, 1, 0), 8);
    }

    proptest! {
        #[test]
        fn spreading_is_apportioning(amount in 0_u64..1 << 40, among in prop::collection::vec(0_u64..1 << 40, 1..30)) {
            let sum: u64 = among.iter().sum();
            prop_assume!(sum > 0);
            let mut shares = vec![0; among.len()];
            spread(amount, &among, sum, &mut shares, &mut Vec::new());
            let shares: Vec<i128> = shares.into_iter().map(i128::from).collect();
            let weights: Vec<BigInt> = among.iter().map(|share| BigInt::from(*share)).collect();
            prop_assert_eq!(shares, apportion(i128::from(amount), &weights.iter().collect::<Vec<_>>()));
        }

        #[test]
        fn the_gpu_part_of_a_share_is_no_more_than_the_share(amount in 0_i128..1 << 60, gpu in 0_i128..1 << 60, count in 1_usize..17) {
            let gpu = gpu.min(amount);
            for place in 0..count {
                prop_assert!(even(gpu, count, place) <= even(amount, count, place));
            }
            prop_assert_eq!((0..count).map(|place| even(amount, count, place)).sum::<i128>(), amount);
        }
    }
}
