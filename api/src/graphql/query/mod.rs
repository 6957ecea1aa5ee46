//! The root fields, by area.

pub mod concurrency;
pub mod executions;
pub mod lists;
pub mod machine_lives;
pub mod machines;
pub mod service;
pub mod timelines;
