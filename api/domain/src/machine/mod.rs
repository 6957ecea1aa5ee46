//! What is known of the machines.

pub mod availability;
pub mod fleet;
pub mod presence;
pub mod provisioning;
