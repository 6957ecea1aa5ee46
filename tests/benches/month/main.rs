//! The benchmark of a month: 10 million executions of 30 days on 200 machines and the 4 million loads that they waited for, once per
//! database, and everything that is derived from them and asked of them, each beside its limit.
//!
//! `cargo build --release -p plimsoll && cargo bench -p plimsoll-tests --bench month`. Environment: `PLIMSOLL_BENCH_ROWS` (default
//! `10000000`), `PLIMSOLL_TEST_POSTGRES_URL` (without it the PostgreSQL half is left out, and that is said), `PLIMSOLL_BENCH_ONLY`
//! (`SQLite`, `PostgreSQL`), `PLIMSOLL_BENCH_DATABASE` (the URL of a database that has been loaded already: it is used as it is,
//! and kept), `PLIMSOLL_BENCH_LOAD` (the URL of an empty one: it is loaded for that, and nothing is measured). Not a test: it fails on nothing but faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

mod fleet;
mod questions;
mod rebuild;

use std::time::{Duration, Instant as Stopwatch};

use plimsoll_entity::value::time::Instant;
use plimsoll_tests::load::Load;
use plimsoll_tests::sender::send;
use plimsoll_tests::{Database, Server};

/// 2026-03-01T00:00:00Z: the first day of the load.
pub const START: Instant = Instant(1_772_323_200_000_000);
/// Seed of the load.
const SEED: u64 = 5;
/// How long the workers may take to have everything derived.
const SETTLE_MAX: Duration = Duration::from_secs(900);

fn rows() -> u64 {
    std::env::var("PLIMSOLL_BENCH_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(10_000_000)
}

/// Sends the month and waits until the workers have nothing left to do.
async fn load(url: &str) {
    let server = Server::start_with(url, &[]);
    let (status, answer) = server.ingest(fleet::states()).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let seconds = send(&server, Load::of(SEED, rows(), START).with_loads()).await;
    println!("  {} executions and what they loaded sent in {seconds:.0} s", rows());
    let started = Stopwatch::now();
    while !rebuild::is_settled(&server).await {
        assert!(started.elapsed() < SETTLE_MAX, "the workers do not come to an end");
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    println!("  everything derived {:.0} s later", started.elapsed().as_secs_f64());
    server.stop();
}

async fn measure(name: &str, url: &str) {
    rebuild::run(name, url).await;
    questions::run(name, url).await;
}

#[tokio::main]
async fn main() {
    if let Ok(url) = std::env::var("PLIMSOLL_BENCH_LOAD") {
        return load(&url).await;
    }
    if let Ok(url) = std::env::var("PLIMSOLL_BENCH_DATABASE") {
        return measure("the database given", &url).await;
    }
    let only = std::env::var("PLIMSOLL_BENCH_ONLY").unwrap_or_default();
    let mut databases = vec![("SQLite", Some(Database::sqlite()))];
    databases.push(("PostgreSQL", Database::postgres("bench_month").await));
    for (name, database) in databases {
        let Some(database) = database.filter(|_| only.is_empty() || only == name) else { continue };
        println!("month on {name}");
        load(&database.url()).await;
        measure(name, &database.url()).await;
        database.remove().await;
    }
}
