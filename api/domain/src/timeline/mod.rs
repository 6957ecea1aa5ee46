//! Who held which slot of a machine when, and what follows from it.
//!
//! `life` (states and lives), `sweep` (slots) and `hour` (one machine-hour) are pure; `rebuild` feeds them from a snapshot, `worker`
//! keeps what they give in the store, and the cells that `day_cells` merges of it. One sweep, one truth: switching, activity, busy time, usage and money all come from it.
//! Invariant: a machine-hour is a function of the facts that touch it and of what the hour before hands on (its carry).

pub mod apportion;
pub mod carry;
mod day_cells;
pub mod facts;
pub mod hour;
pub mod life;
pub mod rebuild;
pub mod shapes;
pub mod sweep;
pub mod worker;
