//! An idle server with its collector on: memory and processor.

use std::time::Duration;

use plimsoll_tests::process::{cpu_seconds, memory_mib};
use plimsoll_tests::{Database, Server};

/// How long the server is watched.
const WATCHED: Duration = Duration::from_secs(40);

/// Watches a server that nobody asks.
pub async fn run() {
    let database = Database::sqlite();
    let server = Server::start_with(&database.url(), &[("PLIMSOLL_COLLECT", "on")]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = cpu_seconds(server.pid());
    tokio::time::sleep(WATCHED).await;
    let share = (cpu_seconds(server.pid()) - before) / WATCHED.as_secs_f64();
    let (peak_mib, now_mib) = memory_mib(server.pid());
    println!("idle: {now_mib:.1} MiB (peak {peak_mib:.1}; wanted 30), {:.2} % of a core (wanted 0.5)", share * 100.0);
    server.stop();
}
