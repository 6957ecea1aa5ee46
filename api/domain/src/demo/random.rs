//! Made-up chance that repeats: SplitMix64, and the few distributions that the demo needs.
//!
//! Invariant: the same seed gives the same values on the same build. `ln`, `exp` and `cos` come from the platform, so that
//! another platform may differ in a last bit; whatever must stand forever (a fixture) is committed, not made again.
//! Not for secrets. Must not know: what is drawn.

use plimsoll_entity::value::time::Instant;
use uuid::{Builder, Uuid};

/// A stream of pseudo-random values.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for one topic, so that a change of one topic leaves the others as they are.
    #[must_use]
    pub fn topic(seed: u64, topic: u64) -> Self {
        let mut mixed = Self(seed ^ topic.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(mixed.bits())
    }

    /// 64 random bits: SplitMix64 (Steele, Lea, Flood 2014).
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly from [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Evenly from 0 to `count` - 1; 0 when there is nothing to choose from.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// From the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// From a log-normal distribution by its median and the deviation of its logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// How many independent events happen where `mean` are expected (Knuth up to 30, normal above).
    pub fn poisson(&mut self, mean: f64) -> usize {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as usize;
        }
        let limit = (-mean).exp();
        let (mut count, mut product) = (0, self.unit());
        while product > limit {
            count += 1;
            product *= self.unit();
        }
        count
    }

    /// An id that sorts by the instant (UUID version 7).
    pub fn id(&mut self, at: Instant) -> Uuid {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.bits().to_be_bytes());
        random[8..].copy_from_slice(&self.bits().to_be_bytes()[..2]);
        Builder::from_unix_timestamp_millis(at.0.div_euclid(1000).max(0) as u64, &random).into_uuid()
    }
}

/// Ranks by popularity: rank r (from 0) weighs 1 / (r + 1)^exponent.
#[derive(Clone, Debug)]
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// The distribution over `count` ranks.
    #[must_use]
    pub fn of(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (0..count).map(|rank| {
            sum += ((rank + 1) as f64).powf(-exponent);
            sum
        });
        Self { cumulative: cumulative.collect() }
    }

    /// A rank from 0.
    pub fn rank(&self, random: &mut Random) -> usize {
        let drawn = random.unit() * self.cumulative.last().copied().unwrap_or(0.0);
        self.cumulative.partition_point(|&sum| sum <= drawn).min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_sequence() {
        let mut random = Random::of(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut random = Random::of(7);
        let zipf = Zipf::of(5, 1.1);
        let mut ranks = [0; 5];
        for _ in 0..10_000 {
            assert!(random.below(3) < 3);
            assert!((0.0..1.0).contains(&random.unit()));
            ranks[zipf.rank(&mut random)] += 1;
        }
        assert!(ranks.is_sorted_by(|a, b| a > b), "{ranks:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn ids_sort_by_time() {
        let mut random = Random::of(7);
        let (early, late) = (random.id(Instant(1_700_000_000_000_000)), random.id(Instant(1_700_000_000_001_000)));
        assert!(early < late);
        assert_eq!(early.get_version_num(), 7);
    }
}
