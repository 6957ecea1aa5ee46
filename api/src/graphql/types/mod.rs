//! The objects, inputs and enums of the schema: wrappers of our own, never rows.

pub mod alert;
pub mod availability;
pub mod business_value;
pub mod comparison;
pub mod concurrency;
pub mod enums;
pub mod execution;
pub mod execution_stats;
pub mod filter;
pub mod id;
pub mod instance_type_usage;
pub mod job;
pub mod key;
pub mod list;
pub mod load;
pub mod machine_stats;
pub mod name;
pub mod popularity;
pub mod provisioning;
pub mod rate_card;
pub mod storage;
pub mod switching;
pub mod usage;
pub mod utilization;
pub mod vm;
pub mod window;
