//! Sums from which a Pearson correlation and a least-squares line follow exactly.
//!
//! x is a size in bytes, y a duration in microseconds, both whole numbers, so that the sums are exact and merging is addition.
//! Invariant: the last step alone uses floats. Sums saturate at 2^127 (sizes near 2^53 many times over), never wrap.

use num_bigint::BigInt;
use num_traits::ToPrimitive;

use super::varint::{Reader, Truncated, put_i128, put_u64};

/// Executions below which no correlation is told.
const COUNT_MIN: u64 = 3;
/// Bytes of a mebibyte.
const MEBIBYTE: f64 = 1_048_576.0;
/// Microseconds of a millisecond.
const MILLISECOND_US: f64 = 1000.0;

/// The sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    /// Number of pairs.
    pub count: u64,
    x: i128,
    y: i128,
    xx: i128,
    yy: i128,
    xy: i128,
}

impl Moments {
    /// Adds one pair.
    pub fn add(&mut self, size_bytes: i64, duration_us: i64) {
        let (x, y) = (i128::from(size_bytes), i128::from(duration_us));
        self.merge(&Self { count: 1, x, y, xx: x * x, yy: y * y, xy: x * y });
    }

    /// Adds all pairs of another.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.x = self.x.saturating_add(other.x);
        self.y = self.y.saturating_add(other.y);
        self.xx = self.xx.saturating_add(other.xx);
        self.yy = self.yy.saturating_add(other.yy);
        self.xy = self.xy.saturating_add(other.xy);
    }

    /// Pearson's correlation coefficient; none with fewer than 3 pairs or without variance.
    #[must_use]
    pub fn pearson(&self) -> Option<f64> {
        let (sxx, syy, sxy) = self.centred()?;
        let spread = sxx.to_f64()?.sqrt() * syy.to_f64()?.sqrt();
        (spread > 0.0).then_some(())?;
        Some((sxy.to_f64()? / spread).clamp(-1.0, 1.0))
    }

    /// Slope of the least-squares line in milliseconds per MiB; none with fewer than 3 pairs or without variance.
    #[must_use]
    pub fn slope_ms_per_mebibyte(&self) -> Option<f64> {
        let (sxx, syy, sxy) = self.centred()?;
        let zero = BigInt::ZERO;
        if sxx == zero || syy == zero {
            return None;
        }
        Some(sxy.to_f64()? / sxx.to_f64()? * MEBIBYTE / MILLISECOND_US)
    }

    /// `count` times the centred sums of squares and products.
    fn centred(&self) -> Option<(BigInt, BigInt, BigInt)> {
        if self.count < COUNT_MIN {
            return None;
        }
        let n = BigInt::from(self.count);
        let (x, y) = (BigInt::from(self.x), BigInt::from(self.y));
        Some((&n * self.xx - &x * &x, &n * self.yy - &y * &y, &n * self.xy - &x * &y))
    }

    /// Appends the sums.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.count);
        if self.count == 0 {
            return;
        }
        put_i128(out, self.x);
        put_i128(out, self.y);
        if self.count > 1 {
            put_i128(out, self.xx);
            put_i128(out, self.yy);
            put_i128(out, self.xy);
        }
    }

    /// Reads encoded sums.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let count = reader.u64()?;
        if count == 0 {
            return Ok(Self::default());
        }
        let (x, y) = (reader.i128()?, reader.i128()?);
        if count == 1 {
            let square = |a: i128, b: i128| a.checked_mul(b).ok_or(Truncated);
            return Ok(Self { count, x, y, xx: square(x, x)?, yy: square(y, y)?, xy: square(x, y)? });
        }
        Ok(Self { count, x, y, xx: reader.i128()?, yy: reader.i128()?, xy: reader.i128()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_correlation_one() {
        let mut moments = Moments::default();
        for n in 1..=4 {
            moments.add(n * 1_048_576, 500_000 + n * 20_000);
        }
        assert!((moments.pearson().unwrap() - 1.0).abs() < 1e-12);
        assert!((moments.slope_ms_per_mebibyte().unwrap() - 20.0).abs() < 1e-9);
    }

    #[test]
    fn too_few_or_constant_values_have_none() {
        let mut moments = Moments::default();
        moments.add(1, 2);
        moments.add(2, 4);
        assert_eq!(moments.pearson(), None);
        moments.add(3, 6);
        assert!(moments.pearson().is_some());
        let mut flat = Moments::default();
        (1..=5).for_each(|n| flat.add(n, 7));
        assert_eq!((flat.pearson(), flat.slope_ms_per_mebibyte()), (None, None));
    }

    #[test]
    fn sums_survive_their_encoding() {
        for count in 0..4 {
            let mut moments = Moments::default();
            (0..count).for_each(|n| moments.add(n * 977 + 5, 1_000_000 - n));
            let mut out = Vec::new();
            moments.encode(&mut out);
            assert_eq!(Moments::decode(&mut Reader::new(&out)), Ok(moments));
        }
    }
}
