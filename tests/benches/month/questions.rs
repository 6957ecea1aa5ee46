//! Every question of the month over HTTP, as the front end asks it.

use std::time::Instant as Stopwatch;

use plimsoll_entity::value::time::{DAY_US, Instant};
use plimsoll_tests::Server;
use plimsoll_tests::load::DAYS;
use serde_json::{Value, json};

use crate::START;

/// Measurements of one question.
const RUNS: usize = 11;
/// Milliseconds that an answer may take at the median.
const WANTED_MS: f64 = 1_000.0;
/// Questions about timelines that are no operation of the front end by themselves.
const USAGE: &str = "query($window: TimeWindowInput!) { usageBreakdown(window: $window, by: [DEPARTMENT, USER, COMBINATION], limit: 1000) {
    rowCount rows { key { department { name } user { name } combination { label } } usage { gpuHours cpuHours idleGpuHours idleCpuHours } }
    total { gpuHours cpuHours } } }";
const COUNTS: &str = "query($window: TimeWindowInput!) { executionBreakdown(window: $window, by: [COMBINATION], limit: 1000) {
    rowCount rows { key { combination { label } } stats { executions successRatio duration { p95Ms } } } } }";
const CALLERS: &str = "query($window: TimeWindowInput!) { executionBreakdown(window: $window, by: [USER, APPLICATION, COMBINATION]) {
    rowCount rows { key { user { name } application { name } combination { label } } stats { executions } } total { executions } } }";

const LOADS: &str =
    "query($window: TimeWindowInput!) { loadBreakdown(window: $window, by: [VM, STORAGE_LOCATION], orderBy: DURATION_P95, limit: 1000) {
    rowCount rows { key { vm { name } storageLocation } stats { loads hitRatio duration { p95Ms } throughputBytesPerSecond } } } }";

const COSTS: &str = "query($window: TimeWindowInput!) { costBreakdown(window: $window, by: [DEPARTMENT, USER, COMBINATION], limit: 1000) {
    rowCount rows { key { department { name } user { name } combination { label } } cost { total { amount } compute { productive { amount } idle { amount } } executions } }
    other { total { amount } } total { total { amount } } } }";

/// Where the first of these is asked again: ragged at both ends.
const UNALIGNED: (&str, &str) = ("2026-03-01T07:23:45.678901Z", "2026-03-30T18:41:02.000003Z");

/// The end of the month.
pub fn end() -> Instant {
    Instant(START.0 + DAYS * DAY_US)
}

/// The operations of the front end that ask about a window alone, and the questions above.
fn questions() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/operations");
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .filter(|(_, document)| document.contains("($window: TimeWindowInput!)"))
        .collect();
    found.sort();
    let more = [
        ("usage by DEPARTMENT, USER, COMBINATION", USAGE),
        ("cost by DEPARTMENT, USER, COMBINATION", COSTS),
        ("p95 by COMBINATION", COUNTS),
        ("by USER, APPLICATION, COMBINATION", CALLERS),
        ("loads by VM, STORAGE_LOCATION", LOADS),
    ];
    found.extend(more.map(|(name, query)| (name.to_owned(), query.to_owned())));
    found
}

async fn median_ms(server: &Server, query: &str, variables: &Value) -> (f64, f64) {
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..=RUNS {
        let started = Stopwatch::now();
        let (_, answer) = server.ask(&["ADMIN", "PIPELINE_TD", "FINANCIAL_DIRECTOR"], query, variables.clone()).await;
        let took = started.elapsed().as_secs_f64() * 1_000.0;
        assert!(answer["errors"].is_null(), "{answer}");
        // The first one warms up.
        if run > 0 {
            times.push(took);
        }
    }
    times.sort_by(f64::total_cmp);
    (times[RUNS / 2], times[RUNS - 1])
}

/// Measures on a database that has been loaded.
pub async fn run(name: &str, url: &str) {
    let server = Server::start_with(url, &[]);
    let variables = json!({ "window": { "start": START.to_string(), "end": end().to_string() } });
    for (question, query) in questions() {
        let (median, slowest) = median_ms(&server, &query, &variables).await;
        let ratio = median / WANTED_MS;
        println!("  {name}: {question}: median {median:.0} ms, slowest {slowest:.0} ms; {ratio:.2} of the limit (wanted below 1)");
    }
    let unaligned = json!({ "window": { "start": UNALIGNED.0, "end": UNALIGNED.1 } });
    let (median, slowest) = median_ms(&server, COUNTS, &unaligned).await;
    println!("  {name}: p95 by COMBINATION, unaligned: median {median:.0} ms, slowest {slowest:.0} ms");
    server.stop();
}
