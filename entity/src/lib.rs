//! The rows and the words that everyone shares.
//!
//! `value` holds pure types (instants, closed enums, sketches, money); every other module is one table.
//! Nothing here queries, serves or knows GraphQL and HTTP.

pub mod value;
