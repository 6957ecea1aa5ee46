//! The rows and the words that everyone shares.
//!
//! `value` holds pure types (instants, closed enums, sketches, money); every other module is one table.
//! Nothing here queries, serves or knows GraphQL and HTTP.

pub mod name;
pub mod model_version;
pub mod checkpoint;
pub mod checkpoint_version;
pub mod combination;
pub mod combination_checkpoint;
pub mod vm;
pub mod attribute;
pub mod event_key;
pub mod execution;
pub mod job_event;
pub mod checkpoint_load;
pub mod vm_state;
pub mod vm_sample;
pub mod gpu_sample;
pub mod storage_snapshot;
pub mod cell_delta;
pub mod cell;
pub mod dirty_mark;
pub mod counter;
pub mod audit_entry;
pub mod value;
