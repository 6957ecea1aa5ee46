//! The rows and the words that everyone shares.
//!
//! `value` holds pure types (instants, closed enums, sketches, money); every other module is one table.
//! Nothing here queries, serves or knows GraphQL and HTTP.

pub mod attribute;
pub mod audit_entry;
pub mod cell;
pub mod cell_delta;
pub mod checkpoint;
pub mod checkpoint_load;
pub mod checkpoint_version;
pub mod combination;
pub mod combination_checkpoint;
pub mod counter;
pub mod dirty_mark;
pub mod event_key;
pub mod execution;
pub mod gpu_sample;
pub mod job_event;
pub mod model_version;
pub mod name;
pub mod storage_snapshot;
pub mod value;
pub mod vm;
pub mod vm_sample;
pub mod vm_state;
