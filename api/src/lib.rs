//! wiring

pub mod auth;
pub mod config;
pub mod telemetry;
