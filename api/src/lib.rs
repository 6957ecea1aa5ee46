//! wiring

pub mod config;
