//! An idle server with its collector on: memory and processor.

use std::time::Duration;

use plimsoll_tests::{Database, Server};

use crate::memory_mib;

/// How long the server is watched.
const WATCHED: Duration = Duration::from_secs(40);
/// Clock ticks of a second (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

fn ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Fields 14 and 15, counted behind the name, which may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

/// Watches a server that nobody asks.
pub async fn run() {
    let database = Database::sqlite();
    let server = Server::start_with(&database.url(), &[("PLIMSOLL_COLLECT", "on")]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = ticks(server.pid());
    tokio::time::sleep(WATCHED).await;
    let share = (ticks(server.pid()) - before) / TICKS_PER_SECOND / WATCHED.as_secs_f64();
    let (peak_mib, now_mib) = memory_mib(server.pid());
    println!("idle: {now_mib:.1} MiB (peak {peak_mib:.1}; wanted 30), {:.2} % of a core (wanted 0.5)", share * 100.0);
    server.stop();
}
