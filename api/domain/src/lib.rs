//! Everything from ingest to the figures: no GraphQL, no HTTP, no command line.
//!
//! Who may import whom: `{ingest, breakdown, machine} -> timeline -> cell -> store -> entity`; pure files import only
//! `plimsoll_entity::value` and each other.

pub mod clock;
pub mod demo;
pub mod ingest;
