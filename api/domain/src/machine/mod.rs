//! What is known of the machines.

pub mod fleet;
