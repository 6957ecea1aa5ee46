//! Everything from ingest to the figures: no GraphQL, no HTTP, no command line.
//!
//! Who may import whom: `{ingest, breakdown, machine} -> timeline -> cell -> store -> entity`; pure files import only
//! `plimsoll_entity::value` and each other.

pub mod breakdown;
pub mod catalog;
pub mod cell;
pub mod clock;
pub mod ingest;
pub mod machine;
pub mod store;
pub mod timeline;
