//! The root fields, by area.

pub mod alerts;
pub mod comparisons;
pub mod concurrency;
pub mod costs;
pub mod executions;
pub mod jobs;
pub mod lists;
pub mod loads;
pub mod machine_lives;
pub mod machines;
pub mod prices;
pub mod reports;
pub mod service;
pub mod storage;
pub mod timelines;
