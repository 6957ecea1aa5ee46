//! Everything from ingest to the figures: no GraphQL, no HTTP, no command line.
//!
//! Who may import whom: `{concurrency, comparison, popularity, utilization, watch, cost} -> breakdown`; `ingest -> live::bus`; `live -> store`;
//! `{ingest, breakdown, machine, storage} -> timeline -> cell -> store -> entity`; pure files import only
//! `plimsoll_entity::value` and each other. Ways back: `breakdown::loads` asks `cost::load` what its loads cost; whoever builds
//! machine-hours (`timeline::{rebuild, worker}`, `breakdown::timelines`) prices them by `cost::{price, rate, prices, facts}`, all but
//! `prices` pure; `store::prices` keeps the rows of `cost::card`.

pub mod breakdown;
pub mod catalog;
pub mod cell;
pub mod clock;
pub mod comparison;
pub mod concurrency;
pub mod cost;
pub mod demo;
pub mod ingest;
pub mod job;
pub mod listing;
pub mod live;
pub mod machine;
pub mod popularity;
pub mod retention;
pub mod storage;
pub mod store;
pub mod timeline;
pub mod utilization;
pub mod watch;

/// Describes what this crate counts; once, after the recorder of metrics has been installed.
pub fn describe_metrics() {
    metrics::describe_counter!("plimsoll_ingest_events_total", "Events that reached the writer, by what became of them.");
    metrics::describe_histogram!("plimsoll_ingest_commit_duration_seconds", "Time that one group of requests took to be durable.");
    live::describe_metrics();
    watch::describe_metrics();
}
