//! Executions running at once, asked over HTTP, on both databases.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use plimsoll_tests::{Database, Server};
use serde_json::{Value, json};

const QUERY: &str =
    "query($w: TimeWindowInput!, $s: Step! = HOUR, $by: [ExecutionDimension!]! = [VM], $f: ExecutionFilter, $l: Int! = 20) {
    concurrencySeries(window: $w, step: $s, by: $by, filter: $f, limit: $l) { step rowCount
        rows { key { vm { name } } points { mean max queuedMean queuedMax } }
        total { window { start end } mean max queuedMean queuedMax } } }";

fn window(start: &str, end: &str) -> Value {
    json!({ "start": format!("2026-03-01T{start}:00Z"), "end": format!("2026-03-01T{end}:00Z") })
}

fn execution(number: u128, vm: &str, queued_at: &str, started_at: &str, finished_at: &str) -> String {
    let at = |time: &str| format!("2026-03-01T{time}:00Z");
    json!({ "type": "execution", "id": format!("00000000-0000-0000-0000-{number:012}"), "model": "flux", "vm": vm, "outcome": "SUCCEEDED",
        "queuedAt": at(queued_at), "startedAt": at(started_at), "finishedAt": at(finished_at) })
    .to_string()
}

async fn server_with_executions(database: &Database) -> Server {
    let server = Server::start(database);
    let job = |number: u128, state: &str| {
        json!({ "type": "job", "id": format!("00000000-0000-0000-0001-{number:012}"), "job": "a", "at": "2026-03-01T10:45:00Z",
            "state": state, "model": "flux", "vm": "b" })
        .to_string()
    };
    let lines = [
        execution(1, "a", "10:00", "10:15", "10:45"),
        // Meets its neighbour, no more.
        execution(2, "a", "10:15", "10:45", "11:00"),
        // Ends hours after the windows that are asked for.
        execution(3, "b", "09:00", "10:30", "15:10"),
        execution(4, "a", "10:20", "10:20", "10:20"),
        job(1, "QUEUED"),
        job(2, "RUNNING"),
    ];
    let (status, answer) = server.ingest(lines.join("\n")).await.expect("an answer");
    assert_eq!((status, answer["accepted"].as_u64()), (200, Some(6)), "{answer}");
    server
}

async fn series(server: &Server, variables: Value) -> Value {
    let (_, answer) = server.ask(&["PIPELINE_TD"], QUERY, variables).await;
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"]["concurrencySeries"].clone()
}

fn point(mean: f64, max: u64, queued_mean: f64, queued_max: u64) -> Value {
    json!({ "mean": mean, "max": max, "queuedMean": queued_mean, "queuedMax": queued_max })
}

async fn asked(database: Database) {
    let server = server_with_executions(&database).await;
    let answer = series(&server, json!({ "w": window("10:00", "11:30") })).await;
    let row = |vm: &str, points: [Value; 2]| json!({ "key": { "vm": { "name": vm } }, "points": points });
    // The job without an execution runs on machine b from 10:45 on.
    let b = row("b", [point(0.75, 2, 0.5, 1), point(2.0, 2, 0.0, 0)]);
    let a = row("a", [point(0.75, 1, 0.75, 1), point(0.0, 0, 0.0, 0)]);
    assert_eq!((answer["rowCount"].as_u64(), &answer["rows"]), (Some(2), &json!([b, a])));
    let max = |of: &Value| (of["max"].as_u64(), of["queuedMax"].as_u64());
    assert_eq!([max(&answer["total"][0]), max(&answer["total"][1])], [(Some(3), Some(2)), (Some(2), Some(0))]);
    assert_eq!(answer["total"][1]["window"], window("11:00", "11:30"));

    let late = series(&server, json!({ "w": window("14:00", "15:00"), "l": 0 })).await;
    assert_eq!((late["rowCount"].as_u64(), &late["rows"], max(&late["total"][0])), (Some(1), &json!([]), (Some(2), Some(0))));
    for nothing in [
        json!({ "w": window("10:00", "11:00"), "f": { "vms": ["nobody's"] } }),
        json!({ "w": window("10:00", "11:00"), "f": { "outcomes": [] } }),
        json!({ "w": window("08:00", "09:00") }),
    ] {
        let answer = series(&server, nothing).await;
        let total = &answer["total"][0];
        assert_eq!((answer["rowCount"].as_u64(), &answer["rows"], total["mean"].as_f64()), (Some(0), &json!([]), Some(0.0)), "{answer}");
        assert_eq!((answer["total"].as_array().unwrap().len(), max(total)), (1, (Some(0), Some(0))));
    }
    server.stop();
    database.remove().await;
}

#[tokio::test]
async fn executions_at_once_on_sqlite() {
    asked(Database::sqlite()).await;
}

#[tokio::test]
async fn executions_at_once_on_postgres() {
    if let Some(database) = Database::postgres("concurrency").await {
        asked(database).await;
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_so() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let hour = || window("10:00", "11:00");
    for (variables, code) in [
        (json!({ "w": window("10:00", "10:00") }), "BAD_USER_INPUT"),
        (json!({ "w": hour(), "by": ["VM", "VM"] }), "BAD_USER_INPUT"),
        (json!({ "w": hour(), "l": 10_001 }), "BAD_USER_INPUT"),
        (json!({ "w": { "start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z" }, "s": "MINUTE" }), "LIMIT_EXCEEDED"),
    ] {
        let (_, answer) = server.ask(&["ADMIN"], QUERY, variables.clone()).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{variables}: {answer}");
    }
    for role in ["FINANCIAL_DIRECTOR", "INGEST"] {
        let (_, answer) = server.ask(&[role], QUERY, json!({ "w": hour() })).await;
        assert_eq!((&answer["data"]["concurrencySeries"], &answer["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("FORBIDDEN")));
    }
    let (status, answer) = server.ask(&[], QUERY, json!({ "w": hour() })).await;
    assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (401, &json!("UNAUTHENTICATED")));
    server.stop();
}
