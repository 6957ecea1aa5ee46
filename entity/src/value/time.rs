//! Instants and windows, in whole microseconds of UTC.
//!
//! Invariant: every instant that Plimsoll keeps lies in years 1970 to 9999, so that it can be written as RFC 3339.
//! Must not know: where the time comes from (`clock` in the domain does).

use std::fmt;

use chrono::{DateTime, Datelike, Months, NaiveDate, SecondsFormat, TimeZone, Utc};

/// Microseconds of one second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds of one minute.
pub const MINUTE_US: i64 = 60 * SECOND_US;
/// Microseconds of one hour.
pub const HOUR_US: i64 = 60 * MINUTE_US;
/// Microseconds of one day.
pub const DAY_US: i64 = 24 * HOUR_US;
/// 9999-12-31T23:59:59.999999Z, the last instant that RFC 3339 can write.
const LAST_US: i64 = 253_402_300_799_999_999;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

/// Why a text is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    /// Not RFC 3339.
    #[error("not an RFC 3339 instant with an offset, such as 2026-10-01T12:00:00Z")]
    Syntax,
    /// Before 1970 or after 9999.
    #[error("an instant outside the years 1970 to 9999")]
    Range,
}

impl Instant {
    /// Reads RFC 3339 with an offset. More digits than microseconds are cut off.
    ///
    /// # Errors
    /// [`InstantError`] when the text is no instant or lies outside 1970 to 9999.
    pub fn parse(text: &str) -> Result<Self, InstantError> {
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| InstantError::Syntax)?;
        let us = parsed.timestamp_micros();
        if (0..=LAST_US).contains(&us) { Ok(Self(us)) } else { Err(InstantError::Range) }
    }

    /// The instant as RFC 3339 in UTC with at most microseconds, such as `2026-10-01T12:00:00.500000Z`: whole seconds or six
    /// digits, so that texts of one instant are one.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let at = self.to_chrono();
        let format = match self.0.rem_euclid(SECOND_US) {
            0 => SecondsFormat::Secs,
            _ => SecondsFormat::Micros,
        };
        at.to_rfc3339_opts(format, true)
    }

    fn to_chrono(self) -> DateTime<Utc> {
        Utc.timestamp_micros(self.0.clamp(0, LAST_US)).single().unwrap_or_default()
    }

    /// Whole hours since 1970.
    #[must_use]
    pub const fn hour(self) -> i32 {
        saturated(self.0.div_euclid(HOUR_US))
    }

    /// Whole days since 1970.
    #[must_use]
    pub const fn day(self) -> i32 {
        saturated(self.0.div_euclid(DAY_US))
    }

    /// Whole minutes since 1970.
    #[must_use]
    pub const fn minute(self) -> i32 {
        self.0.div_euclid(MINUTE_US) as i32
    }

    /// The month as `year * 12 + month0`.
    #[must_use]
    pub fn month(self) -> i32 {
        let at = self.to_chrono();
        at.year() * 12 + at.month0() as i32
    }

    /// The first instant of a month counted as by [`Instant::month`].
    #[must_use]
    pub fn of_month(month: i32) -> Self {
        let first = NaiveDate::from_ymd_opt(month.div_euclid(12), month.rem_euclid(12) as u32 + 1, 1).unwrap_or_default();
        Self(first.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc().timestamp_micros())
    }

    /// The first instant of the calendar unit after the one that holds this instant, in UTC.
    #[must_use]
    pub fn next(self, step: Step) -> Self {
        match step {
            Step::Minute => Self((i64::from(self.minute()) + 1) * MINUTE_US),
            Step::Hour => Self((i64::from(self.hour()) + 1) * HOUR_US),
            Step::Day => Self((i64::from(self.day()) + 1) * DAY_US),
            Step::Month => {
                let first = self.to_chrono().date_naive().with_day(1).unwrap_or_default() + Months::new(1);
                Self(first.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc().timestamp_micros())
            }
        }
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// A UTC calendar unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// One UTC minute.
    Minute,
    /// One UTC hour.
    Hour,
    /// One UTC day.
    Day,
    /// One UTC month.
    Month,
}

/// A half-open window [start, end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// First instant inside.
    pub start: Instant,
    /// First instant after.
    pub end: Instant,
}

impl Window {
    /// A window from two counts of microseconds.
    #[must_use]
    pub const fn of(start_us: i64, end_us: i64) -> Self {
        Self { start: Instant(start_us), end: Instant(end_us) }
    }

    /// One hour since 1970.
    #[must_use]
    pub const fn of_hour(hour: i32) -> Self {
        Self::of_hours(hour, hour + 1)
    }

    /// The hours since 1970 from `first` on, without `until`.
    #[must_use]
    pub const fn of_hours(first: i32, until: i32) -> Self {
        Self::of(first as i64 * HOUR_US, until as i64 * HOUR_US)
    }

    /// Length in microseconds; 0 when the window is empty.
    #[must_use]
    pub const fn length_us(self) -> i64 {
        let length = self.end.0 - self.start.0;
        if length > 0 { length } else { 0 }
    }

    /// Whether the instant lies inside.
    #[must_use]
    pub const fn contains(self, at: Instant) -> bool {
        self.start.0 <= at.0 && at.0 < self.end.0
    }

    /// The UTC calendar units that tile the window, the first and last cut to it.
    #[must_use]
    pub fn tiles(self, step: Step) -> Vec<Window> {
        let mut tiles = Vec::new();
        let mut start = self.start;
        while start < self.end {
            let end = start.next(step).min(self.end);
            tiles.push(Window { start, end });
            start = end;
        }
        tiles
    }
}

/// The number, or the nearest that fits: an open end stays behind everything.
const fn saturated(number: i64) -> i32 {
    if number > i32::MAX as i64 {
        i32::MAX
    } else if number < i32::MIN as i64 {
        i32::MIN
    } else {
        number as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_offsets_and_writes_utc() {
        let at = Instant::parse("2026-09-25T03:08:54.527853+02:00").unwrap();
        assert_eq!(at.to_rfc3339(), "2026-09-25T01:08:54.527853Z");
        assert_eq!(Instant::parse("2026-10-01T00:00:00.5Z").unwrap().to_rfc3339(), "2026-10-01T00:00:00.500000Z");
        assert_eq!(Instant::parse("2026-09-26T10:00:00"), Err(InstantError::Syntax));
        assert_eq!(Instant::parse("1969-12-31T23:59:59Z"), Err(InstantError::Range));
    }

    #[test]
    fn tiles_are_cut_to_the_window() {
        let window =
            Window { start: Instant::parse("2026-09-30T22:30:00Z").unwrap(), end: Instant::parse("2026-10-01T00:10:00Z").unwrap() };
        let hours = window.tiles(Step::Hour);
        assert_eq!(hours.len(), 3);
        assert_eq!(hours[0].end.to_rfc3339(), "2026-09-30T23:00:00Z");
        assert_eq!(hours[2].start.to_rfc3339(), "2026-10-01T00:00:00Z");
        assert_eq!(window.tiles(Step::Month).len(), 2);
        assert!(Window::of(5, 5).tiles(Step::Day).is_empty());
    }

    #[test]
    fn open_ends_stay_behind_everything() {
        assert_eq!((Instant(i64::MAX).hour(), Instant(i64::MIN).hour(), Instant(-1).hour()), (i32::MAX, i32::MIN, -1));
    }

    #[test]
    fn months_count_from_year_zero() {
        let at = Instant::parse("2026-12-31T23:59:59.999999Z").unwrap();
        assert_eq!(at.month(), 2026 * 12 + 11);
        assert_eq!(Instant::of_month(at.month() + 1).to_rfc3339(), "2027-01-01T00:00:00Z");
    }
}
