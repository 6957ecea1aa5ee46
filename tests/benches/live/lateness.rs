//! How long after its commit an execution arrives in a payload of `executionMetrics`, while others come in: beside the promise. The
//! commit counts from the answer of `/ingest`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::socket::{Heard, Socket};
use plimsoll_tests::{Database, Server, in_us};
use serde_json::json;

use crate::percentile;

/// Intervals that are measured at the same time, in milliseconds.
const INTERVALS_MS: [u64; 2] = [250, 1_000];
/// What a payload may take on top of its interval.
const ALLOWANCE: Duration = Duration::from_millis(250);
/// Requests of the load a second.
const REQUESTS_PER_SECOND: u64 = 4;
/// A mark leaves the window after a minute.
const WATCH_MAX: Duration = Duration::from_secs(59);
/// Between two marked executions, so that they fall on every part of an interval.
const MARK_EVERY: Duration = Duration::from_millis(97);
const SUBSCRIPTION: &str = "subscription($i: Int!) { executionMetrics(trailingSeconds: 60, intervalMs: $i, by: [APPLICATION]) {
    window { start end } rows { key { application { name } } stats { executions successRatio users duration { p50Ms p95Ms } inference { p95Ms } } }
    total { executions } } }";

fn line(application: &str, place: u64) -> String {
    let (finished_us, took_us) = (-1 - (place as i64 % 250) * 1_000, 500_000 + (place as i64 * 7_919) % 3_000_000);
    json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "model": format!("model-{}", place % 12), "modelVersion": "1",
        "checkpoints": [{ "kind": "LORA", "name": format!("lora-{}", place % 40), "version": "1" }], "application": application,
        "user": format!("user-{}", place % 1_000), "vm": format!("vm-{}", place % 50), "gpus": [place % 4],
        "startedAt": in_us(finished_us - took_us), "finishedAt": in_us(finished_us), "outcome": "SUCCEEDED",
        "inferenceMs": took_us / 1_250 })
    .to_string()
}

async fn ingest(server: &Server, body: String) {
    let (status, answer) = server.ingest(body).await.expect("an answer");
    assert!(status == 200 && answer["rejectedCount"] == 0, "{answer}");
}

async fn load(server: Arc<Server>, rate: u64, stop: Arc<AtomicBool>) -> u64 {
    let mut every = tokio::time::interval(Duration::from_millis(1_000 / REQUESTS_PER_SECOND));
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        every.tick().await;
        let mut body = String::new();
        for place in sent..sent + rate / REQUESTS_PER_SECOND {
            writeln!(body, "{}", line("load", place)).unwrap();
        }
        ingest(&server, body).await;
        sent += rate / REQUESTS_PER_SECOND;
    }
    sent
}

/// When payloads came that held ever more marked executions: how many, and when.
async fn watch(server: Arc<Server>, interval_ms: u64, marks: Arc<AtomicU64>) -> Vec<(u64, Instant)> {
    let mut socket = Socket::ready(&server, &["PIPELINE_TD"]).await;
    socket.subscribe("m", SUBSCRIPTION, json!({ "i": interval_ms })).await;
    let (mut arrived, until) = (Vec::new(), Instant::now() + WATCH_MAX);
    let is_done = |arrived: &[(u64, Instant)]| {
        let wanted = marks.load(Ordering::SeqCst);
        wanted > 0 && arrived.last().is_some_and(|(marked, _)| *marked >= wanted)
    };
    while !is_done(&arrived) {
        assert!(Instant::now() < until, "the last mark has left the window");
        let Some(heard) = socket.hear_within(Duration::from_millis(100)).await else { continue };
        let now = Instant::now();
        let Heard::Message(message) = heard else { panic!("{heard:?}") };
        let rows = message["payload"]["data"]["executionMetrics"]["rows"].as_array().unwrap_or_else(|| panic!("{message}"));
        let marked = rows.iter().find(|row| row["key"]["application"]["name"] == "marked");
        arrived.push((marked.map_or(0, |row| row["stats"]["executions"].as_u64().unwrap()), now));
    }
    arrived
}

/// Measures on one database.
pub async fn measure(name: &str, database: Database, rate: u64, seconds: u64) {
    let server = Arc::new(Server::start(&database));
    let (stop, marks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let loading = tokio::spawn(load(Arc::clone(&server), rate, Arc::clone(&stop)));
    let watching: Vec<_> = INTERVALS_MS
        .iter()
        .map(|interval_ms| (*interval_ms, tokio::spawn(watch(Arc::clone(&server), *interval_ms, Arc::clone(&marks)))))
        .collect();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut committed = Vec::new();
    while Instant::now() < until {
        ingest(&server, line("marked", committed.len() as u64 * 250)).await;
        committed.push(Instant::now());
        tokio::time::sleep(MARK_EVERY).await;
    }
    // The load goes on until the last mark has arrived.
    marks.store(committed.len() as u64, Ordering::SeqCst);
    let mut watched = Vec::new();
    for (interval_ms, watch) in watching {
        watched.push((interval_ms, watch.await.unwrap()));
    }
    stop.store(true, Ordering::SeqCst);
    let sent = loading.await.unwrap() as f64 / began.elapsed().as_secs_f64();
    for (interval_ms, arrived) in watched {
        let late = |(place, at): (usize, &Instant)| {
            let first = arrived.iter().find(|(marked, _)| *marked > place as u64).map(|(_, arrived)| *arrived);
            first.unwrap_or_else(|| panic!("mark {place} never arrived")).saturating_duration_since(*at)
        };
        let mut lateness: Vec<Duration> = committed.iter().enumerate().map(late).collect();
        lateness.sort_unstable();
        let promise_ms = interval_ms as f64 + ALLOWANCE.as_secs_f64() * 1_000.0;
        let (p50, p99) = (percentile(&lateness, 0.5), percentile(&lateness, 0.99));
        println!(
            "live, {name}, {sent:.0} executions/s, interval {interval_ms} ms: from commit to payload p50 {p50:.0} ms, p99 {p99:.0} ms of {promise_ms:.0} ms: ratio {:.2} (wanted 1.00); {} payloads, {} marks",
            p99 / promise_ms,
            arrived.len(),
            committed.len()
        );
    }
    Arc::into_inner(server).unwrap().stop();
    database.remove().await;
}
