//! HTTP: one file per path.

pub mod graphql;
pub mod ingest;
