//! HTTP: one file per path.

pub mod ingest;
