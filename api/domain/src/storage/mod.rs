//! Where bytes lie, and for how long: places, what each held in a window, days of snapshots put together. Pure but for the worker.
//!
//! Invariant: a snapshot holds until the next of its place (equal `at`: the greater id is later); 0: deleted.
//! Must not know: loads, dimensions, GraphQL.

pub mod day;
pub mod holding;
pub mod place;
pub mod worker;
