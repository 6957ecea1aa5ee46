//! The scalars of the schema.
//!
//! Invariant: what is written can be read back and is the same value.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
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
