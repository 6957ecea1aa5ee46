//! Money: whole nano-units of the currency. Pure.
//!
//! Invariants: no float touches an amount; sums are kept in 128 bits; a quotient is rounded half up, once. Must not know: which
//! currency, and what anything costs.

/// Nano-units of one unit of the currency.
pub const NANOS: i128 = 1_000_000_000;
/// Digits behind the point that an amount can have.
pub const DIGITS: usize = 9;
/// The largest price that is taken, in nano-units: a million.
pub const PRICE_MAX_NANOS: i64 = 1_000_000 * NANOS as i64;

/// Why a text is no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Not a decimal number such as `12.50`.
    #[error("is not a decimal number such as \"12.50\"")]
    Malformed,
    /// More than nine digits behind the point.
    #[error("has more than 9 digits behind the point")]
    TooFine,
    /// Below zero.
    #[error("is negative")]
    Negative,
    /// Above [`PRICE_MAX_NANOS`].
    #[error("is larger than 1000000")]
    TooLarge,
}

/// The nano-units of a price in decimal notation.
///
/// # Errors
/// [`PriceError`] when it is none, or is negative, too large or too fine to be kept exactly.
pub fn parse_price(text: &str) -> Result<i64, PriceError> {
    let (digits, negative) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
        return Err(PriceError::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > DIGITS {
        return Err(PriceError::TooFine);
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() > DIGITS {
        return Err(if negative { PriceError::Negative } else { PriceError::TooLarge });
    }
    let number = |text: &str| text.bytes().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0'));
    let scale = 10_i64.pow((DIGITS - fraction.len()) as u32);
    let nanos = number(whole) * NANOS as i64 + number(fraction) * scale;
    match nanos {
        0 => Ok(0),
        _ if negative => Err(PriceError::Negative),
        _ if nanos > PRICE_MAX_NANOS => Err(PriceError::TooLarge),
        _ => Ok(nanos),
    }
}

/// An amount in decimal notation with at least two digits behind the point, such as `12.50` or `-0.000000001`.
#[must_use]
pub fn decimal(nanos: i128) -> String {
    let (whole, fraction) = (nanos.unsigned_abs() / NANOS as u128, nanos.unsigned_abs() % NANOS as u128);
    let fraction = format!("{fraction:09}");
    let kept = fraction.trim_end_matches('0').len().max(2);
    format!("{}{whole}.{}", if nanos < 0 { "-" } else { "" }, &fraction[..kept])
}

/// `amount / divisor`, rounded half up (towards positive infinity); the divisor is positive.
#[must_use]
pub const fn divide(amount: i128, divisor: i128) -> i128 {
    let (quotient, remainder) = (amount.div_euclid(divisor), amount.rem_euclid(divisor));
    // Not `2 * remainder >= divisor`: that might not fit.
    if remainder >= divisor - remainder { quotient + 1 } else { quotient }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_are_read_exactly_or_refused() {
        assert_eq!(parse_price("27.513811"), Ok(27_513_811_000));
        assert_eq!(parse_price("0"), Ok(0));
        assert_eq!(parse_price("-0.00"), Ok(0));
        assert_eq!(parse_price("0.1234567890000"), Ok(123_456_789));
        assert_eq!(parse_price("1000000"), Ok(PRICE_MAX_NANOS));
        for (text, error) in [
            ("", PriceError::Malformed),
            (".5", PriceError::Malformed),
            ("5.", PriceError::Malformed),
            ("1e3", PriceError::Malformed),
            ("+1", PriceError::Malformed),
            ("NaN", PriceError::Malformed),
            ("1,5", PriceError::Malformed),
            ("0.1234567891", PriceError::TooFine),
            ("-0.01", PriceError::Negative),
            ("1000000.000000001", PriceError::TooLarge),
            ("99999999999999999999", PriceError::TooLarge),
        ] {
            assert_eq!(parse_price(text), Err(error), "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_exactly() {
        assert_eq!(
            [0, 1, -1, 12_500_000_000, 16_725_212_401, i128::from(i64::MAX) * 4].map(decimal),
            ["0.00", "0.000000001", "-0.000000001", "12.50", "16.725212401", "36893488147.419103228"]
        );
    }

    #[test]
    fn halves_are_rounded_up() {
        assert_eq!([(5, 2), (4, 2), (-5, 2), (1, 3), (2, 3), (0, 7)].map(|(a, b)| divide(a, b)), [3, 2, -2, 0, 1, 0]);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(nanos in 0..=PRICE_MAX_NANOS) {
            prop_assert_eq!(parse_price(&decimal(i128::from(nanos))), Ok(nanos));
        }
    }
}
