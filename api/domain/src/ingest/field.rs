//! Typed readers of single JSON values: a slice of the line in, a checked value out.
//!
//! Invariants: what a reader gives is inside its documented range; equal values in another spelling give equal results
//! (escapes, `12` and `12.0` and `1.2e1`, `0` and `-0`, offsets of instants). A reader says only which rule was broken; its
//! caller knows the key. Must not know: event types, HTTP, the database.

use std::borrow::Cow;

use plimsoll_entity::value::label::{CheckpointKind, JobState, LoadOutcome, Outcome, PurchaseOption, StorageType, VmState};
use plimsoll_entity::value::time::{Instant, InstantError};
use uuid::Uuid;

use super::json::{Kind, Raw};
use super::limit::{ERROR_MESSAGE_CHARS_MAX, GPU_INDEX_MAX, INTERVAL_SECONDS_MAX, NAME_CHARS_MAX, WHOLE_MAX};

/// The rule that a value breaks; completes a sentence that begins with the key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) Cow<'static, str>);

/// A fixed rule.
const fn broken(rule: &'static str) -> Broken {
    Broken(Cow::Borrowed(rule))
}

/// What a reader of one value gives.
pub(super) type Value<T> = Result<T, Broken>;

/// Any string, escapes resolved.
pub(super) fn text(raw: Raw<'_>) -> Value<Cow<'_, str>> {
    raw.text().ok_or_else(|| match raw.kind {
        Kind::Escaped => broken("holds an escape that is no character"),
        _ => broken("must be a string"),
    })
}

/// A name: 1 to 200 characters, no control characters.
pub(super) fn name(raw: Raw<'_>) -> Value<String> {
    let text = text(raw)?;
    // Bytes are never fewer than characters, so that short names need no count.
    if text.is_empty() || (text.len() > NAME_CHARS_MAX && text.chars().count() > NAME_CHARS_MAX) {
        return Err(broken("must have 1 to 200 characters"));
    }
    let control = if text.is_ascii() { text.bytes().any(|byte| byte.is_ascii_control()) } else { text.chars().any(char::is_control) };
    if control { Err(broken("must not hold control characters")) } else { Ok(text.into_owned()) }
}

/// An error message: cut at 2,000 characters. Control characters are let in, but for U+0000, which PostgreSQL cannot keep and
/// which therefore becomes U+FFFD.
pub(super) fn error_message(raw: Raw<'_>) -> Value<String> {
    let text = text(raw)?;
    let kept = match text.char_indices().nth(ERROR_MESSAGE_CHARS_MAX) {
        Some((end, _)) => &text[..end],
        None => &text,
    };
    Ok(if kept.contains('\0') { kept.replace('\0', "\u{fffd}") } else { kept.to_owned() })
}

/// A UUID of any version in its hyphenated form, in upper or lower case.
pub(super) fn uuid(raw: Raw<'_>) -> Value<Uuid> {
    const RULE: Broken = broken("must be a UUID such as 018f3b1e-7c5a-7d31-9b52-1f0e4c6a8d27");
    let text = text(raw)?;
    // Of the forms that `try_parse` knows only the hyphenated one has 36 characters.
    if text.len() != 36 {
        return Err(RULE);
    }
    Uuid::try_parse(&text).map_err(|_| RULE)
}

/// An RFC 3339 instant with an offset, `t` and `z` in either case; digits finer than a microsecond are cut off. Second 60 (a
/// leap second) is read as the first second of the next minute.
pub(super) fn instant(raw: Raw<'_>) -> Value<Instant> {
    let text = text(raw)?;
    // chrono would also take a space for the `T`, and a Unicode minus sign.
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) || !text.is_ascii() {
        return Err(broken("must be an RFC 3339 instant with an offset, such as 2026-10-01T12:00:00Z"));
    }
    Instant::parse(&text).map_err(|error| match error {
        InstantError::Syntax => broken("must be an RFC 3339 instant with an offset, such as 2026-10-01T12:00:00Z"),
        InstantError::Range => broken("must lie in the years 1970 to 9999"),
    })
}

/// `true` or `false`.
pub(super) fn flag(raw: Raw<'_>) -> Value<bool> {
    if raw.kind == Kind::Flag { Ok(raw.source == "true") } else { Err(broken("must be true or false")) }
}

/// A size or count: a whole number from 0 to 2^53-1.
pub(super) fn whole(raw: Raw<'_>) -> Value<i64> {
    whole_in(raw, 0, WHOLE_MAX, broken("must be a whole number from 0 to 9007199254740991"))
}

/// A closed list of names in the contract.
pub(super) trait Label: Copy + 'static {
    /// Every name's value, in the contract's order.
    const EVERY: &'static [Self];
    /// The name.
    fn name(self) -> &'static str;
    /// The value of a name.
    fn named(text: &str) -> Option<Self>;
}

macro_rules! label {
    ($($label:ty),+) => {
        $(impl Label for $label {
            const EVERY: &'static [Self] = Self::ALL;

            fn name(self) -> &'static str {
                self.wire()
            }

            fn named(text: &str) -> Option<Self> {
                Self::from_wire(text)
            }
        })+
    };
}
label!(Outcome, CheckpointKind, StorageType, JobState, VmState, PurchaseOption, LoadOutcome);

/// One of a closed list of names.
pub(super) fn label<T: Label>(raw: Raw<'_>) -> Value<T> {
    let text = text(raw)?;
    T::named(&text).ok_or_else(|| {
        let names = T::EVERY.iter().map(|label| label.name()).collect::<Vec<_>>();
        Broken(Cow::Owned(format!("must be one of {}", names.join(" "))))
    })
}

/// The index of a GPU in its machine.
pub(super) fn gpu_index(raw: Raw<'_>) -> Value<u16> {
    const RULE: &str = "must be a whole number from 0 to 1023";
    u16::try_from(whole_in(raw, 0, GPU_INDEX_MAX, broken(RULE))?).map_err(|_| broken(RULE))
}

/// An attempt, from 1.
pub(super) fn attempt(raw: Raw<'_>) -> Value<i32> {
    count_from(raw, 1, "must be a whole number from 1 to 2147483647")
}

/// A count of something that a machine has, from 0.
pub(super) fn count(raw: Raw<'_>) -> Value<i32> {
    count_from(raw, 0, "must be a whole number from 0 to 2147483647")
}

/// How many GPUs a machine has.
pub(super) fn gpu_count(raw: Raw<'_>) -> Value<i32> {
    const RULE: &str = "must be a whole number from 0 to 1024";
    i32::try_from(whole_in(raw, 0, GPU_INDEX_MAX + 1, broken(RULE))?).map_err(|_| broken(RULE))
}

fn count_from(raw: Raw<'_>, least: i64, rule: &'static str) -> Value<i32> {
    i32::try_from(whole_in(raw, least, i64::from(i32::MAX), broken(rule))?).map_err(|_| broken(rule))
}

/// A finite number, never `-0`.
fn number(raw: Raw<'_>) -> Value<f64> {
    if raw.kind != Kind::Number {
        return Err(broken("must be a number"));
    }
    match raw.source.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value + 0.0),
        _ => Err(broken("must be a finite number")),
    }
}

/// A length of time or a power: 0 to 2^53-1, fractions allowed.
pub(super) fn quantity(raw: Raw<'_>) -> Value<f64> {
    let value = number(raw)?;
    if (0.0..=WHOLE_MAX as f64).contains(&value) { Ok(value) } else { Err(broken("must be a number from 0 to 9007199254740991")) }
}

/// 0 to 1.
pub(super) fn ratio(raw: Raw<'_>) -> Value<f64> {
    let value = number(raw)?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(broken("must be a number from 0 to 1")) }
}

/// More than 0, at most a day.
pub(super) fn interval_seconds(raw: Raw<'_>) -> Value<f64> {
    let value = number(raw)?;
    if value > 0.0 && value <= INTERVAL_SECONDS_MAX { Ok(value) } else { Err(broken("must be more than 0 and at most 86400")) }
}

/// A temperature that matter can have and a sensor could report.
pub(super) fn temperature_celsius(raw: Raw<'_>) -> Value<f64> {
    let value = number(raw)?;
    if (-273.15..=10_000.0).contains(&value) { Ok(value) } else { Err(broken("must be a number from -273.15 to 10000")) }
}

fn whole_in(raw: Raw<'_>, least: i64, most: i64, rule: Broken) -> Value<i64> {
    if raw.kind != Kind::Number {
        return Err(broken("must be a number"));
    }
    match exact_whole(raw.source) {
        Some(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(rule),
    }
}

/// The value of a JSON number that is whole and has at most 18 digits, whichever way it is written. Exact: a detour over f64
/// would take 4503599627370497.4 for whole.
fn exact_whole(raw: &str) -> Option<i64> {
    if raw.len() <= 18 && raw.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(raw.bytes().fold(0, |value, byte| value * 10 + i64::from(byte - b'0')));
    }
    let (negative, unsigned) = raw.strip_prefix('-').map_or((false, raw), |rest| (true, rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = integer.bytes().chain(fraction.bytes()).collect();
    let Some(last) = digits.iter().rposition(|digit| *digit != b'0') else { return Some(0) };
    let first = digits.iter().position(|digit| *digit != b'0')?;
    // Where the point stands among the digits once the exponent has moved it. An exponent beyond i32 is beyond every range here.
    let point = i64::from(exponent.parse::<i32>().ok()?) + i64::try_from(integer.len()).ok()?;
    let (first, last) = (i64::try_from(first).ok()?, i64::try_from(last).ok()?);
    if last >= point || point - first > 18 {
        return None;
    }
    let significant = digits.iter().take(usize::try_from(last + 1).ok()?);
    let value = significant.fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    let value = value * 10_i64.pow(u32::try_from(point - last - 1).ok()?);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::super::json::Items;
    use super::*;

    /// The value of a JSON text.
    fn value<T>(json: &str, read: fn(Raw<'_>) -> Value<T>) -> Value<T> {
        let list = format!("[{json}]");
        let mut items = Items::of(&list);
        assert_eq!(items.next(), Ok(true), "{json}");
        read(items.value)
    }

    #[test]
    fn whole_numbers_are_read_exactly_in_every_spelling() {
        for (raw, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0.000", Some(0)),
            ("0e99999999999", Some(0)),
            ("12", Some(12)),
            ("12.0", Some(12)),
            ("1.2e1", Some(12)),
            ("1.20E+1", Some(12)),
            ("1200e-2", Some(12)),
            ("0.0012e4", Some(12)),
            ("-3.0", Some(-3)),
            ("9007199254740991", Some(WHOLE_MAX)),
            ("9007199254740991.0", Some(WHOLE_MAX)),
            ("999999999999999999", Some(999_999_999_999_999_999)),
            ("12.5", None),
            ("1e-1", None),
            ("4503599627370497.4", None),
            ("9007199254740991.5", None),
            ("1e19", None),
            ("1e999999999999", None),
            ("10000000000000000000000", None),
        ] {
            assert_eq!(exact_whole(raw), value, "{raw}");
        }
        assert!(value("9007199254740992", whole).is_err());
        assert!(value("-1", whole).is_err());
        assert!(value("\"1\"", whole).is_err());
    }

    #[test]
    fn numbers_are_finite_and_zero_has_one_sign() {
        assert_eq!(value("-0.0", number).map(f64::to_bits), Ok(0.0_f64.to_bits()));
        assert_eq!(value("1e-999", number), Ok(0.0));
        assert_eq!(value("573.187", number), Ok(573.187));
        for raw in ["1e999", "-1e999", "\"1\"", "true", "[1]"] {
            assert!(value(raw, number).is_err(), "{raw}");
        }
        assert!(value("-1", quantity).is_err() && value("1e16", quantity).is_err() && value("0.25", quantity).is_ok());
        assert!(value("1.0000001", ratio).is_err() && value("1", ratio).is_ok() && value("-0", ratio).is_ok());
        assert!(
            value("0", interval_seconds).is_err()
                && value("86400", interval_seconds).is_ok()
                && value("86400.5", interval_seconds).is_err()
        );
        assert!(value("-273.16", temperature_celsius).is_err() && value("-40", temperature_celsius).is_ok());
    }

    #[test]
    fn instants_need_an_offset() {
        for (text, at) in [
            ("2026-09-25T03:08:54.527853+02:00", "2026-09-25T01:08:54.527853Z"),
            ("2026-09-25t01:08:54.5278539z", "2026-09-25T01:08:54.527853Z"),
            ("2026-06-30T23:59:60Z", "2026-07-01T00:00:00Z"),
            ("2026-06-30T23:59:60.5Z", "2026-07-01T00:00:00.500000Z"),
            ("2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(value(&format!("\"{text}\""), instant).unwrap().to_rfc3339(), at, "{text}");
        }
        for text in [
            "2026-09-26T10:00:00",
            "2026-09-26 10:00:00Z",
            "2026-09-26",
            "2026-02-29T00:00:00Z",
            "2026-09-26T24:00:00Z",
            "2026-09-26T10:00:00+24:00",
            "2026-09-26T10:00:00\u{2212}02:00",
            "2026-09-26T10:00:00.Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "",
            "now",
        ] {
            assert!(value(&format!("\"{text}\""), instant).is_err(), "{text}");
        }
        assert!(value("1790000000", instant).is_err());
    }

    #[test]
    fn names_count_characters() {
        assert_eq!(value(&format!("\"{}\"", "ü".repeat(200)), name).map(|name| name.len()), Ok(400));
        assert!(value(&format!("\"{}\"", "ü".repeat(201)), name).is_err());
        assert!(value("\"\"", name).is_err());
        assert_eq!(value(r#""a\"b\u00fc\ud83d\ude00""#, name).unwrap(), "a\"bü😀");
        for raw in [r#""a\u0007""#, "\"a\u{7f}\"", "\"a\u{85}\"", r#""\u0000""#, r#""\ud800""#, "7", "[\"a\"]", "{}"] {
            assert!(value(raw, name).is_err(), "{raw}");
        }
    }

    #[test]
    fn messages_are_cut_and_hold_no_null() {
        assert_eq!(value(&format!("\"{}\"", "ü".repeat(2_001)), error_message).unwrap().chars().count(), 2_000);
        assert_eq!(value(r#""a\n\u0000b""#, error_message).unwrap(), "a\n\u{fffd}b");
        assert_eq!(value("\"\"", error_message).unwrap(), "");
    }

    #[test]
    fn ids_are_hyphenated_uuids_in_either_case() {
        let id = value("\"018f3b1e-7c5a-7d31-9b52-1f0e4c6a8d27\"", uuid).unwrap();
        assert_eq!(value("\"018F3B1E-7C5A-7D31-9B52-1F0E4C6A8D27\"", uuid).unwrap(), id);
        for raw in [
            "\"018f3b1e7c5a7d319b521f0e4c6a8d27\"",
            "\"{018f3b1e-7c5a-7d31-9b52-1f0e4c6a8d27}\"",
            "\"urn:uuid:018f3b1e-7c5a-7d31-9b52-1f0e4c6a8d27\"",
            "\"018f3b1e-7c5a-7d31-9b52-1f0e4c6a8d2g\"",
            "\"0018f3b1e-7c5a-7d31-9b52-1f0e4c6a8d2\"",
            "\"\"",
            "1",
        ] {
            assert!(value(raw, uuid).is_err(), "{raw}");
        }
    }
}
