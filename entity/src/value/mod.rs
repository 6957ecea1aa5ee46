//! Pure values: no database, no clock, no I/O.

pub mod histogram;
pub mod hours;
pub mod label;
pub mod moments;
pub mod money;
pub mod time;
pub mod varint;
