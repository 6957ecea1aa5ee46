//! The benchmarks of the foundation: each prints what it measured beside a limit measured in the same run, as a ratio.
//!
//! `cargo build --release -p plimsoll && cargo bench -p plimsoll-tests`. Environment: `PLIMSOLL_BENCH_ROWS` (a list, default
//! `1000000,10000000`), `PLIMSOLL_TEST_POSTGRES_URL` (without it the PostgreSQL halves are left out, and that is said),
//! `PLIMSOLL_BENCH_ONLY` (`ingest`, `breakdown`, `requests`, `idle`). Not a test: it fails on nothing but faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

mod breakdown;
mod idle;
mod ingest;
mod requests;

use plimsoll_entity::value::time::Instant;
use plimsoll_tests::Database;

/// 2026-03-01T00:00:00Z: the first day of the load.
pub const START: Instant = Instant(1_772_323_200_000_000);
/// Seed of the load.
pub const SEED: u64 = 5;

/// The databases that can be measured here.
pub async fn databases(what: &str) -> Vec<(&'static str, Database)> {
    let mut databases = vec![("SQLite", Database::sqlite())];
    databases.extend(Database::postgres(what).await.map(|database| ("PostgreSQL", database)));
    databases
}

fn rows() -> Vec<u64> {
    let list = std::env::var("PLIMSOLL_BENCH_ROWS").unwrap_or_else(|_| "1000000,10000000".to_owned());
    list.split(',').filter_map(|rows| rows.trim().parse().ok()).collect()
}

#[tokio::main]
async fn main() {
    let only = std::env::var("PLIMSOLL_BENCH_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|part| part == name);
    if wanted("requests") {
        requests::run().await;
    }
    if wanted("idle") {
        idle::run().await;
    }
    if wanted("ingest") {
        ingest::run().await;
    }
    if wanted("breakdown") {
        breakdown::run(&rows()).await;
    }
}
