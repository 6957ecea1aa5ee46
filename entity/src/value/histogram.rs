//! A mergeable sketch of a distribution: percentiles within 1 % of the nearest-rank value.
//!
//! Values fall in buckets whose bounds grow by [`GAMMA`]; bucket `i` holds `(GAMMA^(i-1), GAMMA^i]` and answers
//! `2 GAMMA^i / (GAMMA + 1)`, which is off by at most `(GAMMA - 1) / (GAMMA + 1)` = 0.99 % (Masson, Rim, Lee: "DDSketch", 2019).
//! Zero has a bucket of its own; negative values mirror the positive ones.
//! Invariants: merging is addition of counts, so that order and grouping never matter. Must not know: units.

use super::varint::{Reader, Truncated, put_i64, put_u64};

/// Ratio of neighbouring bucket bounds.
pub const GAMMA: f64 = 1.02;
/// `1 / ln(GAMMA)`.
const PER_LN: f64 = 50.498_349_791_843_94;
/// Far beyond every finite float (`ln(f64::MAX) / ln(GAMMA)` is 35,843).
const SIGN_OFFSET: i32 = 40_000;
/// Buckets of one sketch at most: what all floats of both signs can fill.
const BUCKETS_MAX: u64 = 4 * SIGN_OFFSET as u64;

/// The bucket of a value: 0 for zero, above for positive values, below for negative ones; ordered like the values.
#[must_use]
pub fn bucket_of(value: f64) -> i32 {
    if value > 0.0 {
        SIGN_OFFSET + (value.ln() * PER_LN).ceil() as i32
    } else if value < 0.0 {
        -SIGN_OFFSET - ((-value).ln() * PER_LN).ceil() as i32
    } else {
        0
    }
}

/// The value that a bucket answers.
#[must_use]
pub fn value_of(bucket: i32) -> f64 {
    let magnitude = |index: i32| 2.0 * GAMMA.powi(index) / (GAMMA + 1.0);
    match bucket {
        0 => 0.0,
        bucket if bucket > 0 => magnitude(bucket - SIGN_OFFSET),
        bucket => -magnitude(-bucket - SIGN_OFFSET),
    }
}

/// Counts of consecutive buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    first: i32,
    counts: Vec<u64>,
}

impl Run {
    #[inline]
    fn add(&mut self, bucket: i32, count: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
            self.counts.push(count);
            return;
        }
        if bucket < self.first {
            let grow = (self.first - bucket) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, grow));
            self.first = bucket;
        }
        let at = (bucket - self.first) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += count;
    }

    fn filled(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + '_ {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, count)| (self.first + at as i32, *count))
    }
}

/// The sketch.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    positive: Run,
    zero: u64,
    negative: Run,
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.zero == other.zero && self.buckets().eq(other.buckets())
    }
}

impl Histogram {
    /// Adds `count` values of one bucket.
    #[inline]
    pub fn add(&mut self, bucket: i32, count: u64) {
        match bucket {
            0 => self.zero += count,
            bucket if bucket > 0 => self.positive.add(bucket, count),
            bucket => self.negative.add(bucket, count),
        }
    }

    /// Adds everything of another sketch.
    pub fn merge(&mut self, other: &Self) {
        self.zero += other.zero;
        for (bucket, count) in other.negative.filled() {
            self.negative.add(bucket, count);
        }
        for (bucket, count) in other.positive.filled() {
            self.positive.add(bucket, count);
        }
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.zero + self.positive.counts.iter().sum::<u64>() + self.negative.counts.iter().sum::<u64>()
    }

    /// Filled buckets, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        let zero = (self.zero > 0).then_some((0, self.zero));
        self.negative.filled().chain(zero).chain(self.positive.filled())
    }

    /// The value at rank `ceil(quantile x count)`; none without values. `quantile` is 0 to 1.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        let rank = ((quantile * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        self.buckets().find_map(|(bucket, n)| {
            seen += n;
            (seen >= rank).then(|| value_of(bucket))
        })
    }

    /// Empties the sketch and keeps its memory.
    pub fn clear(&mut self) {
        self.zero = 0;
        self.positive.counts.clear();
        self.negative.counts.clear();
    }

    /// Appends the filled buckets: their number, then distances and counts.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.buckets().count() as u64);
        let mut before = 0;
        for (bucket, count) in self.buckets() {
            put_i64(out, i64::from(bucket - before));
            put_u64(out, count);
            before = bucket;
        }
    }

    /// Adds an encoded sketch.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged.
    pub fn merge_encoded(&mut self, reader: &mut Reader<'_>) -> Result<(), Truncated> {
        let mut bucket = 0_i32;
        for _ in 0..bucket_count(reader)? {
            bucket = step(bucket, reader)?;
            let count = reader.u64()?;
            self.add(bucket, count);
        }
        Ok(())
    }
}

/// Passes over an encoded sketch.
///
/// # Errors
/// [`Truncated`] when the bytes are damaged.
pub fn skip_encoded(reader: &mut Reader<'_>) -> Result<(), Truncated> {
    for _ in 0..bucket_count(reader)? {
        reader.u64()?;
        reader.u64()?;
    }
    Ok(())
}

fn bucket_count(reader: &mut Reader<'_>) -> Result<u64, Truncated> {
    reader.u64().and_then(|count| if count <= BUCKETS_MAX { Ok(count) } else { Err(Truncated) })
}

fn step(bucket: i32, reader: &mut Reader<'_>) -> Result<i32, Truncated> {
    let next = i64::from(bucket) + reader.i64()?;
    // A damaged distance must not make the dense run huge.
    if next.unsigned_abs() > BUCKETS_MAX / 2 { Err(Truncated) } else { Ok(next as i32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest_rank(values: &mut [f64], quantile: f64) -> f64 {
        values.sort_by(f64::total_cmp);
        values[((quantile * values.len() as f64).ceil() as usize).max(1) - 1]
    }

    #[test]
    fn the_constant_is_the_reciprocal_of_the_logarithm() {
        assert!((PER_LN - 1.0 / GAMMA.ln()).abs() < 1e-12, "{}", 1.0 / GAMMA.ln());
    }

    #[test]
    fn percentiles_are_within_one_percent() {
        let mut values: Vec<f64> = (0..5000_u32).map(|n| f64::from(n.wrapping_mul(2_654_435_761) % 100_000) * 0.37 - 2000.0).collect();
        let mut sketch = Histogram::default();
        values.iter().for_each(|value| sketch.add(bucket_of(*value), 1));
        for quantile in [0.01, 0.5, 0.9, 0.95, 0.99, 1.0] {
            let exact = nearest_rank(&mut values, quantile);
            let got = sketch.quantile(quantile).unwrap();
            assert!((got - exact).abs() <= 0.01 * exact.abs() + 1e-9, "{quantile}: {exact} {got}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn a_sketch_survives_its_encoding_and_any_order_of_merging() {
        let values = [0.0, -3.5, 1e-9, 12.0, 12.0, 9e15, 0.0];
        let (mut whole, mut left, mut right) = (Histogram::default(), Histogram::default(), Histogram::default());
        for (at, value) in values.iter().enumerate() {
            whole.add(bucket_of(*value), 1);
            if at % 2 == 0 { &mut left } else { &mut right }.add(bucket_of(*value), 1);
        }
        let mut out = Vec::new();
        right.encode(&mut out);
        left.encode(&mut out);
        let mut merged = Histogram::default();
        let mut reader = Reader::new(&out);
        merged.merge_encoded(&mut reader).unwrap();
        merged.merge_encoded(&mut reader).unwrap();
        assert!(reader.is_empty());
        assert_eq!(merged, whole);
        assert_eq!(merged.count(), 7);
        let mut skipped = Reader::new(&out);
        skip_encoded(&mut skipped).unwrap();
        skip_encoded(&mut skipped).unwrap();
        assert!(skipped.is_empty());
    }

    #[test]
    fn damaged_distances_are_refused() {
        let mut out = Vec::new();
        put_u64(&mut out, 1);
        put_i64(&mut out, i64::from(i32::MAX));
        put_u64(&mut out, 1);
        assert_eq!(Histogram::default().merge_encoded(&mut Reader::new(&out)), Err(Truncated));
    }
}
