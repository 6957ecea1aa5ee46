//! Breakdowns over HTTP while the number of executions grows, against DuckDB's exact answer from its own table of the same rows.

use std::io::{BufWriter, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use plimsoll_tests::Server;
use plimsoll_tests::load::Load;
use plimsoll_tests::sender::send;
use serde_json::{Value, json};

use crate::{SEED, START, databases};

/// Measurements of one question.
const RUNS: usize = 21;
/// How long the compactor may take to fold everything.
const SETTLE_MAX: Duration = Duration::from_secs(240);

const BY_COMBINATION: &str = "query($w: TimeWindowInput!) { executionBreakdown(window: $w, by: [COMBINATION], limit: 1000) {
    rowCount rows { key { combination { label } } stats { executions successRatio duration { p95Ms } } } } }";
const BY_CALLER: &str = "query($w: TimeWindowInput!) { executionBreakdown(window: $w, by: [USER, APPLICATION, COMBINATION]) {
    rowCount rows { key { user { name } application { name } combination { label } } stats { executions } } other { executions } total { executions } } }";

struct Question {
    name: &'static str,
    query: &'static str,
    window: (&'static str, &'static str),
    wanted_ms: f64,
}

const QUESTIONS: [Question; 3] = [
    Question {
        name: "COMBINATION, p95 and success ratio, 30 days",
        query: BY_COMBINATION,
        window: ("2026-03-01T00:00:00Z", "2026-03-31T00:00:00Z"),
        wanted_ms: 25.0,
    },
    Question {
        name: "the same, unaligned window",
        query: BY_COMBINATION,
        window: ("2026-03-01T07:23:45.678901Z", "2026-03-30T18:41:02.000003Z"),
        wanted_ms: 60.0,
    },
    Question {
        name: "USER, APPLICATION, COMBINATION, counts, 30 days",
        query: BY_CALLER,
        window: ("2026-03-01T00:00:00Z", "2026-03-31T00:00:00Z"),
        wanted_ms: 400.0,
    },
];

async fn median_ms(server: &Server, question: &Question) -> f64 {
    let variables = json!({ "w": { "start": question.window.0, "end": question.window.1 } });
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..=RUNS {
        let started = Instant::now();
        let (_, answer) = server.ask(&["ADMIN"], question.query, variables.clone()).await;
        let took = started.elapsed().as_secs_f64() * 1_000.0;
        assert!(answer["errors"].is_null(), "{answer}");
        // The first one warms up.
        if run > 0 {
            times.push(took);
        }
    }
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

/// Waits until the whole window is answered from day blocks: until two medians in a row no longer fall.
async fn settle(server: &Server) {
    let until = Instant::now() + SETTLE_MAX;
    let mut last = f64::INFINITY;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let now = median_ms(server, &QUESTIONS[0]).await + median_ms(server, &QUESTIONS[2]).await;
        if now > last * 0.9 {
            return;
        }
        last = now;
    }
}

/// DuckDB's exact answers: milliseconds of the two shapes of questions; none where it is not installed.
fn duckdb_ms(rows: u64) -> Option<Value> {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("rows.csv");
    let mut out = BufWriter::new(std::fs::File::create(&csv).unwrap());
    for row in Load::of(SEED, rows, START) {
        let duration_us = row.finished_at.0 - row.started_at.0;
        writeln!(out, "{},{},{},{},{},{duration_us}", row.finished_at.0, row.combination, row.user, row.application, row.outcome.code())
            .unwrap();
    }
    out.flush().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/foundation/duckdb_answer.py");
    let output = Command::new("python3").arg(script).arg(&csv).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// Measures every number of rows on both databases.
pub async fn run(rows: &[u64]) {
    for (name, _) in databases("bench_probe").await {
        let mut first: Vec<f64> = Vec::new();
        for count in rows {
            let Some((_, database)) = databases("bench_breakdown").await.into_iter().find(|(kind, _)| *kind == name) else { continue };
            let server = Server::start(&database);
            let seconds = send(&server, Load::of(SEED, *count, START)).await;
            println!("breakdown {name}: {count} executions sent in {seconds:.0} s");
            settle(&server).await;
            let duckdb = duckdb_ms(*count);
            for (at, question) in QUESTIONS.iter().enumerate() {
                let median = median_ms(&server, question).await;
                let against = match (&duckdb, at) {
                    (Some(answer), 0) => format!(
                        "; DuckDB exact {:.0} ms: {:.1} times faster (wanted 8)",
                        answer["byCombinationMs"].as_f64().unwrap(),
                        answer["byCombinationMs"].as_f64().unwrap() / median
                    ),
                    (Some(answer), 2) => format!("; DuckDB {:.0} ms", answer["byCallerMs"].as_f64().unwrap()),
                    (None, 0) => "; DuckDB is not installed".to_owned(),
                    _ => String::new(),
                };
                let growth = first
                    .get(at)
                    .map_or(String::new(), |before| format!("; {:.2} times the {} rows (wanted 1.3)", median / before, rows[0]));
                println!("  {}: median {median:.1} ms (wanted {:.0}){against}{growth}", question.name, question.wanted_ms);
                if first.len() == at && *count == rows[0] {
                    first.push(median);
                }
            }
            server.stop();
            database.remove().await;
        }
    }
}
