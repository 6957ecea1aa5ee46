//! The root fields, by area.

pub mod executions;
pub mod jobs;
pub mod lists;
pub mod machines;
pub mod service;
