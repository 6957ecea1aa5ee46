//! The scalars of the schema.
//!
//! Invariant: what is written can be read back and is the same value.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use plimsoll_entity::value::money::{PriceError, decimal, parse_price};
use plimsoll_entity::value::time::Instant;

/// Largest whole number that a JSON number holds exactly.
const UINT53_MAX: u64 = (1 << 53) - 1;

/// Instant in RFC 3339, always UTC, at most microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub Instant);

/// Instant in RFC 3339, always UTC, at most microseconds.
#[Scalar(name = "DateTime", specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Instant::parse(&text).map(Self).map_err(|error| InputValueError::custom(error.to_string())),
            value => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339())
    }
}

/// Exact decimal number as a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(pub String);

impl Decimal {
    /// An amount in nano-units.
    #[must_use]
    pub fn of_nanos(nanos: i128) -> Self {
        Self(decimal(nanos))
    }
}

/// Exact decimal number as a string, such as "12.50". Whole numbers are taken as numbers too, fractions are not: a JSON number with one is not exact.
#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            _ => return Err(InputValueError::expected_type(value)),
        };
        // Whether it is too small, too large or too fine is for who takes it to say.
        match parse_price(&text) {
            Err(PriceError::Malformed) => Err(InputValueError::custom("a decimal number in a string, such as \"12.50\"")),
            _ => Ok(Self(text)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// Whole number from 0 to 2^53-1, as a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UInt53(pub u64);

/// Whole number from 0 to 2^53-1, as a JSON number.
#[Scalar(name = "UInt53")]
impl ScalarType for UInt53 {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => match number.as_u64() {
                Some(whole) if whole <= UINT53_MAX => Ok(Self(whole)),
                _ => Err(InputValueError::custom("a whole number from 0 to 2^53-1")),
            },
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        // A sum past 2^53-1 cannot be told exactly; the largest number says "at least that".
        Value::Number(self.0.min(UINT53_MAX).into())
    }
}

impl From<u64> for UInt53 {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl From<usize> for UInt53 {
    fn from(value: usize) -> Self {
        Self(value as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        let read = |value: Value| Decimal::parse(value).ok().map(|decimal| decimal.0);
        for text in ["12.50", "-0.01", "0.0000000000001", "99999999999999999999"] {
            assert_eq!(read(Value::String(text.to_owned())).as_deref(), Some(text));
        }
        assert_eq!(read(Value::from(19)).as_deref(), Some("19"));
        for odd in [Value::from(0.5), Value::from("1e3"), Value::from(""), Value::from("NaN"), Value::from(true), Value::Null] {
            assert_eq!(read(odd.clone()), None, "{odd}");
        }
        assert_eq!(Decimal::of_nanos(951_300_000).to_value(), Value::from("0.9513"));
    }
}
