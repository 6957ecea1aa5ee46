//! Collectors: what this machine and its GPUs are doing, as events that Plimsoll takes in.
//!
//! A [`collector::Collector`] makes [`reading::Reading`]s, the [`runner::Runner`] asks it at every tick, the
//! [`backlog::Backlog`] keeps what has not been delivered yet and a [`sink::Sink`] delivers it: over HTTP from
//! `plimsoll-agent`, or straight into the ingest path of a server that has the collectors in its own process.
//!
//! Invariants: nothing leaves the backlog before the sink has said what became of it, or it is counted as dropped and said;
//! whatever the machine does not tell is absent, never 0. Must not know: anything else of Plimsoll than the wire events.

pub mod reading;

mod backoff;
pub mod clock;
pub mod collector;
mod condition;
pub mod gpu;
pub mod host;
pub mod machine;
pub mod prometheus;

pub mod backlog;
pub mod sink;
pub mod spool;

pub mod interval;
pub mod runner;
mod shipper;
