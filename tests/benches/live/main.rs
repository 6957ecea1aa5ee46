//! What live costs and how late it is, beside what it is promised to be: [`lateness`] under load, and [`fan_out`] to thousands.
//!
//! `cargo build --release -p plimsoll && cargo bench -p plimsoll-tests --bench live`. Environment: `PLIMSOLL_BENCH_ONLY` (`lateness` or
//! `fan-out`, default both), `PLIMSOLL_BENCH_RATE` (executions a second, default 1000), `PLIMSOLL_BENCH_SECONDS` (default 30),
//! `PLIMSOLL_BENCH_CONNECTIONS` (default 5000), `PLIMSOLL_TEST_POSTGRES_URL` (without it the PostgreSQL half of `lateness` is left out,
//! and that is said). Everything is on loopback. Not a test: it fails on nothing but faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

mod bare;
mod fan_out;
mod lateness;
mod listeners;

use std::time::Duration;

use plimsoll_tests::Database;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn percentile(sorted: &[Duration], ratio: f64) -> f64 {
    let place = ((sorted.len() as f64 * ratio).ceil() as usize).clamp(1, sorted.len());
    sorted[place - 1].as_secs_f64() * 1_000.0
}

#[tokio::main]
async fn main() {
    let limit = getrlimit(Resource::Nofile);
    // As far as this process may: each connection is an open file.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    // The same program is the server that it compares with.
    if let Ok(messages) = std::env::var(bare::MESSAGES) {
        return bare::serve(&messages).await;
    }
    let (rate, seconds) = (number("PLIMSOLL_BENCH_RATE", 1_000), number("PLIMSOLL_BENCH_SECONDS", 30));
    // A mark must not leave the window before the end.
    assert!(seconds <= 45, "PLIMSOLL_BENCH_SECONDS is at most 45");
    let only = std::env::var("PLIMSOLL_BENCH_ONLY").unwrap_or_default();
    if only != "fan-out" {
        lateness::measure("SQLite", Database::sqlite(), rate, seconds).await;
        if let Some(database) = Database::postgres("bench_live").await {
            lateness::measure("PostgreSQL", database, rate, seconds).await;
        }
    }
    if only != "lateness" {
        let connections = usize::try_from(number("PLIMSOLL_BENCH_CONNECTIONS", 5_000)).unwrap();
        fan_out::measure(connections, seconds).await;
    }
}
