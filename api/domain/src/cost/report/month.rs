//! Months as people write them: `YYYY-MM`, in UTC. Pure.

use plimsoll_entity::value::time::{Instant, Window};

/// The first year that a month may lie in.
const YEAR_MIN: i32 = 1970;
/// The last one.
const YEAR_MAX: i32 = 9998;

/// The month of a text such as `2026-10`, as [`Instant::month`] counts; none when it is no such text.
#[must_use]
pub fn parse(text: &str) -> Option<i32> {
    let (year, month) = text.split_once('-')?;
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    let (year, month): (i32, i32) = (year.parse().ok()?, month.parse().ok()?);
    ((YEAR_MIN..=YEAR_MAX).contains(&year) && (1..=12).contains(&month)).then(|| year * 12 + month - 1)
}

/// What is wrong with a month that [`parse`] does not take.
pub const EXPECTED: &str = "must be a month such as 2026-10";

/// A month as it is written, such as `2026-10`.
#[must_use]
pub fn text(month: i32) -> String {
    format!("{:04}-{:02}", month.div_euclid(12), month.rem_euclid(12) + 1)
}

/// The first instant of a month, and of the next.
#[must_use]
pub fn window(month: i32) -> Window {
    Window { start: Instant::of_month(month), end: Instant::of_month(month + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_and_written() {
        assert_eq!(parse("2026-10"), Some(2026 * 12 + 9));
        assert_eq!(text(parse("1970-01").unwrap()), "1970-01");
        assert_eq!(window(parse("2026-12").unwrap()).end.to_rfc3339(), "2027-01-01T00:00:00Z");
        for odd in ["", "2026", "2026-1", "2026-13", "2026-00", "1969-12", "9999-01", "+026-10", "2026-10-01", "２０２６-10", "2026/10"]
        {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
