//! How often readings are taken.
//!
//! Invariants: between [`Interval::MIN_SECONDS`] and [`Interval::MAX_SECONDS`]; ticks lie on whole multiples of the interval
//! since 1970, so that all machines of a fleet are read at the same instants.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// Time between two ticks, whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(u32);

/// Why a text or a number is no interval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// The text is not a number with an optional unit.
    #[error("{0:?} is not a number of seconds, such as 10, 10s or 5m")]
    Malformed(String),
    /// Too short or too long.
    #[error("an interval has {min} to {max} seconds, not {seconds}", min = Interval::MIN_SECONDS, max = Interval::MAX_SECONDS)]
    OutOfRange {
        /// What was asked for.
        seconds: u32,
    },
}

impl Interval {
    /// The shortest.
    pub const MIN_SECONDS: u32 = 1;
    /// The longest.
    pub const MAX_SECONDS: u32 = 300;

    /// An interval of so many seconds.
    ///
    /// # Errors
    /// When it is out of range.
    pub const fn from_seconds(seconds: u32) -> Result<Self, IntervalError> {
        if seconds < Self::MIN_SECONDS || seconds > Self::MAX_SECONDS {
            return Err(IntervalError::OutOfRange { seconds });
        }
        Ok(Self(seconds))
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        f64::from(self.0)
    }

    /// How long to wait after `now` for the next tick.
    ///
    /// The tick nearest to `now` counts as the one that has just been: a timer that fires a little early does not tick twice,
    /// and a late one does not tick twice in a hurry.
    #[must_use]
    pub fn until_next(self, now: DateTime<Utc>) -> Duration {
        let length_ms = i64::from(self.0) * 1_000;
        let now_ms = now.timestamp_millis();
        let nearest_ms = (now_ms + length_ms / 2).div_euclid(length_ms) * length_ms;
        let wait_ms = nearest_ms + length_ms - now_ms;
        Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0))
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        let malformed = || IntervalError::Malformed(text.to_owned());
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit_seconds = match &text[digits.len()..] {
            "" | "s" => 1,
            "m" => 60,
            _ => return Err(malformed()),
        };
        let number: u32 = digits.parse().map_err(|_| malformed())?;
        Self::from_seconds(number.saturating_mul(unit_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_seconds_and_minutes_within_the_range() {
        assert_eq!("10".parse(), Interval::from_seconds(10));
        assert_eq!("1s".parse(), Interval::from_seconds(1));
        assert_eq!("5m".parse(), Interval::from_seconds(300));
        assert_eq!("0".parse::<Interval>(), Err(IntervalError::OutOfRange { seconds: 0 }));
        assert_eq!("301s".parse::<Interval>(), Err(IntervalError::OutOfRange { seconds: 301 }));
        for text in ["", "s", "ten", "10h", "-1", "1.5s", "10 s"] {
            assert_eq!(text.parse::<Interval>(), Err(IntervalError::Malformed(text.into())), "{text}");
        }
    }

    #[test]
    fn ticks_are_aligned_and_never_double() {
        let interval = Interval::from_seconds(10).unwrap();
        let wait_ms = |at: &str| interval.until_next(at.parse().unwrap()).as_millis();
        assert_eq!(wait_ms("2026-09-26T12:00:00Z"), 10_000);
        assert_eq!(wait_ms("2026-09-26T12:00:00.020Z"), 9_980);
        // A timer that fired 5 ms early has served the tick of 12:00:10.
        assert_eq!(wait_ms("2026-09-26T12:00:09.995Z"), 10_005);
        assert_eq!(wait_ms("2026-09-26T12:00:04Z"), 6_000);
        // More than half an interval late: the next tick is skipped.
        assert_eq!(wait_ms("2026-09-26T12:00:07Z"), 13_000);
    }
}
