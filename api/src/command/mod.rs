//! The command line.

pub mod demo;
pub mod ingest;
pub mod token;
