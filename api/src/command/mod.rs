//! The command line.

pub mod demo;
pub mod ingest;
pub mod report;
pub mod token;
