//! Every event exactly once, in facts and in every cell: on both databases, through `kill -9`, from two processes at once.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use plimsoll_domain::demo::{Scale, events};
use plimsoll_entity::value::time::Instant;
use plimsoll_tests::{Database, Server};
use serde_json::{Value, json};

/// 2026-03-20T00:00:00Z.
const END: Instant = Instant(1_773_964_800_000_000);
const SMALL: Scale = Scale { days: 3, jobs: 2_400, sample_interval_s: 1_800, machines: 6 };
const WINDOW: (&str, &str) = ("2026-03-16T00:00:00Z", "2026-03-21T00:00:00Z");
/// Lines of one request.
const LINES: usize = 50;
/// Kills of one test.
const ROUNDS: usize = 20;
/// Connections that send at once.
const CONNECTIONS: usize = 3;

/// Some lines, and what must be counted once they are in.
struct Stream {
    batches: Vec<String>,
    events: u64,
    executions: u64,
    failed: u64,
    users: u64,
    samples: u64,
    gpu_samples: u64,
}

fn lines() -> Vec<String> {
    events(11, END, SMALL).collect()
}

fn stream(lines: &[String]) -> Stream {
    let parsed: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| parsed.iter().filter(|event| event["type"] == kind).count() as u64;
    let executions: Vec<&Value> = parsed.iter().filter(|event| event["type"] == "execution").collect();
    Stream {
        batches: lines.chunks(LINES).map(|chunk| chunk.join("\n")).collect(),
        events: lines.len() as u64,
        executions: executions.len() as u64,
        failed: executions.iter().filter(|event| event["outcome"] == "FAILED").count() as u64,
        users: executions.iter().filter_map(|event| event["user"].as_str()).collect::<HashSet<_>>().len() as u64,
        samples: of("vmSample"),
        gpu_samples: of("gpuSample"),
    }
}

const QUESTION: &str = "query($w: TimeWindowInput!) {
  byCombination: executionBreakdown(window: $w, by: [COMBINATION]) { rows { stats { executions failed } } total { executions failed users } }
  byUser: executionBreakdown(window: $w, by: [USER]) { rows { stats { executions failed } } total { executions failed users } }
  byVm: executionBreakdown(window: $w, by: [VM]) { rows { stats { executions failed } } total { executions failed users } }
  both: executionBreakdown(window: $w, by: [USER, VM], limit: 10000) { rows { stats { executions failed } } total { executions failed users } }
  machines: machineBreakdown(window: $w, by: [VM]) { rows { stats { samples gpuSamples } } total { samples gpuSamples } } }";

/// The answers hold every event once, whichever cells they come from.
async fn assert_whole(server: &Server, stream: &Stream) {
    let (_, answer) = server.ask(&["ADMIN"], QUESTION, json!({ "w": { "start": WINDOW.0, "end": WINDOW.1 } })).await;
    assert!(answer["errors"].is_null(), "{answer}");
    for family in ["byCombination", "byUser", "byVm", "both"] {
        let breakdown = &answer["data"][family];
        let sum = |field: &str| breakdown["rows"].as_array().unwrap().iter().map(|row| row["stats"][field].as_u64().unwrap()).sum::<u64>();
        assert_eq!(
            breakdown["total"],
            json!({ "executions": stream.executions, "failed": stream.failed, "users": stream.users }),
            "{family}"
        );
        assert_eq!((sum("executions"), sum("failed")), (stream.executions, stream.failed), "{family}");
    }
    assert_eq!(answer["data"]["machines"]["total"], json!({ "samples": stream.samples, "gpuSamples": stream.gpu_samples }));
}

async fn send_all(server: &Server, stream: &Stream) -> (u64, u64) {
    let (mut accepted, mut duplicate) = (0, 0);
    for batch in &stream.batches {
        let (status, answer) = server.ingest(batch.clone()).await.expect("an answer");
        assert_eq!((status, answer["rejectedCount"].as_u64()), (200, Some(0)), "{answer}");
        accepted += answer["accepted"].as_u64().unwrap();
        duplicate += answer["duplicate"].as_u64().unwrap();
    }
    (accepted, duplicate)
}

/// Sends batches over some connections at once until the server dies, which it does after `answers` of them were answered;
/// the events that it said were accepted.
async fn send_until_killed(server: Server, batches: &[String], answers: usize) -> u64 {
    let (answered, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let own: Vec<String> = batches.iter().skip(connection).step_by(CONNECTIONS).cloned().collect();
            let (url, answered) = (server.url.clone(), answered.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                for body in own {
                    let request = client.post(format!("{url}/ingest")).bearer_auth(plimsoll_tests::token(&["INGEST"]));
                    let Ok(response) = request.header("content-type", "application/x-ndjson").body(body).send().await else { return };
                    let Ok(answer) = response.json::<Value>().await else { return };
                    let _ = answered.send(answer["accepted"].as_u64().unwrap());
                }
            })
        })
        .collect();
    drop(answered);
    let mut accepted = 0;
    for _ in 0..answers {
        accepted += seen.recv().await.expect("an answer");
    }
    server.kill();
    // Answers that were on their way count as well.
    while let Some(more) = seen.recv().await {
        accepted += more;
    }
    for connection in connections {
        connection.await.unwrap();
    }
    accepted
}

/// Each round sends its own share of the stream, kills the server over it, and sends the share again.
async fn killed_at_random(database: Database) {
    let lines = lines();
    let share = lines.len().div_ceil(ROUNDS);
    let mut seed = 0x9e37_79b9_u64;
    for (round, own) in lines.chunks(share).enumerate() {
        let own = stream(own);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let answers = (seed >> 33) as usize % own.batches.len();
        let promised = send_until_killed(Server::start(&database), &own.batches, answers).await;
        let server = Server::start(&database);
        let (accepted, duplicate) = send_all(&server, &own).await;
        assert_eq!(accepted + duplicate, own.events, "round {round}");
        assert!(duplicate >= promised, "round {round}: {promised} events were accepted, {duplicate} are there");
        assert_whole(&server, &stream(&lines[..lines.len().min((round + 1) * share)])).await;
        server.kill();
    }
    let whole = stream(&lines);
    let server = Server::start(&database);
    assert_eq!(send_all(&server, &whole).await, (0, whole.events));
    assert_whole(&server, &whole).await;
    server.stop();
    database.remove().await;
}

#[tokio::test]
async fn kill_nine_loses_and_doubles_nothing_on_sqlite() {
    killed_at_random(Database::sqlite()).await;
}

#[tokio::test]
async fn kill_nine_loses_and_doubles_nothing_on_postgres() {
    if let Some(database) = Database::postgres("kill_nine").await {
        killed_at_random(database).await;
    }
}

#[tokio::test]
async fn two_processes_take_one_stream_at_once_on_postgres() {
    let Some(database) = Database::postgres("two_processes").await else { return };
    let stream = stream(&lines());
    let (left, right) = (Server::start(&database), Server::start(&database));
    let (sent_left, sent_right) = tokio::join!(send_all(&left, &stream), send_all(&right, &stream));
    assert_eq!(sent_left.0 + sent_right.0, stream.events);
    assert_eq!(sent_left.1 + sent_right.1, stream.events);
    assert_whole(&left, &stream).await;
    assert_whole(&right, &stream).await;
    left.stop();
    right.stop();
    database.remove().await;
}

#[tokio::test]
async fn a_second_server_on_one_file_is_told_so() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let second = std::process::Command::new(plimsoll_tests::binary())
        .arg("migrate")
        .env("PLIMSOLL_DATABASE_URL", database.url())
        .env("PLIMSOLL_JWT_SECRET", plimsoll_tests::SECRET)
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another plimsoll process has the database open"), "{second:?}");
    server.stop();
}
