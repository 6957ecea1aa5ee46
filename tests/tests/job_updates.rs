//! `jobUpdates` against the real binary: each change once and in order, from any cursor on, also after `kill -9` and from another
//! process on the same database.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::socket::{Heard, Socket};
use plimsoll_tests::{Database, Server, in_us};
use serde_json::{Value, json};

const UPDATES: &str = "subscription($after: String, $filter: JobFilter) { jobUpdates(after: $after, filter: $filter) {
    cursor node { key state attempts user { name } combination { label } startedAt finishedAt } } }";
/// A second in microseconds.
const S: i64 = 1_000_000;

fn change(job: &str, state: &str, us: i64) -> String {
    json!({ "type": "job", "id": TimeOrderedIds.next_id(), "job": job, "at": in_us(us), "state": state, "model": "sdxl",
        "modelVersion": "1.0", "user": "ada" })
    .to_string()
}

fn execution(job: &str, us: i64) -> String {
    json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "job": job, "attempt": 1, "model": "sdxl", "modelVersion": "1.0",
        "user": "ada", "startedAt": in_us(us - S), "finishedAt": in_us(us), "outcome": "SUCCEEDED" })
    .to_string()
}

async fn ingest(server: &Server, line: String) {
    let (status, answer) = server.ingest(line).await.expect("an answer");
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
}

async fn follow(server: &Server, after: Option<&str>, filter: Value) -> Socket {
    let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
    socket.subscribe("j", UPDATES, json!({ "after": after, "filter": filter })).await;
    socket
}

async fn edge(socket: &mut Socket) -> Value {
    socket.data("j").await["jobUpdates"].take()
}

fn told(edge: &Value) -> (&str, &str) {
    (edge["node"]["key"].as_str().unwrap(), edge["node"]["state"].as_str().unwrap())
}

/// Sends a job again and again until the subscription tells of one: it has begun by then. Where to go on behind the last of them.
async fn begun(server: &Server, socket: &mut Socket) -> String {
    let mut sent = 0;
    loop {
        ingest(server, change(&format!("probe {sent}"), "QUEUED", -60 * S)).await;
        sent += 1;
        let Some(heard) = socket.hear_within(Duration::from_secs(2)).await else { continue };
        let Heard::Message(mut message) = heard else { panic!("{heard:?}") };
        let mut last = message["payload"]["data"]["jobUpdates"].take();
        while told(&last).0 != format!("probe {}", sent - 1) {
            last = edge(socket).await;
        }
        return last["cursor"].as_str().unwrap().to_owned();
    }
}

async fn told_and_resumed(database: Database) {
    let server = Server::start(&database);
    let mut socket = follow(&server, None, json!(null)).await;
    let first = begun(&server, &mut socket).await;
    ingest(&server, change("render", "QUEUED", -50 * S)).await;
    ingest(&server, change("render", "RUNNING", -40 * S)).await;
    ingest(&server, execution("render", -30 * S)).await;
    // Too late to change anything.
    ingest(&server, change("render", "RUNNING", -35 * S)).await;
    ingest(&server, change("next", "QUEUED", -20 * S)).await;
    let mut edges = Vec::new();
    for _ in 0..4 {
        edges.push(edge(&mut socket).await);
    }
    let expected = [("render", "QUEUED"), ("render", "RUNNING"), ("render", "SUCCEEDED"), ("next", "QUEUED")];
    assert_eq!(edges.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(edges[2]["node"]["attempts"], 1);
    assert!(edges[1]["node"]["finishedAt"].is_null() && !edges[2]["node"]["finishedAt"].is_null());
    server.kill();
    let server = Server::start(&database);
    let cursor = |edge: &Value| edge["cursor"].as_str().unwrap().to_owned();
    let mut resumed = follow(&server, Some(&cursor(&edges[0])), json!(null)).await;
    for before in &edges[1..] {
        assert_eq!(&edge(&mut resumed).await, before);
    }
    ingest(&server, change("next", "RUNNING", -10 * S)).await;
    assert_eq!(told(&edge(&mut resumed).await), ("next", "RUNNING"));
    let mut ended = follow(&server, Some(&first), json!({ "states": ["SUCCEEDED"] })).await;
    assert_eq!(&edge(&mut ended).await, &edges[2]);
    if let Database::Postgres(..) = database {
        let other = Server::start(&database);
        ingest(&other, change("next", "CANCELLED", -5 * S)).await;
        assert_eq!(told(&edge(&mut resumed).await), ("next", "CANCELLED"));
        other.stop();
    }
    server.stop();
    database.remove().await;
}

#[tokio::test]
async fn changes_are_told_and_resumed_on_sqlite() {
    told_and_resumed(Database::sqlite()).await;
}

#[tokio::test]
async fn changes_are_told_and_resumed_on_postgres() {
    if let Some(database) = Database::postgres("job_updates").await {
        told_and_resumed(database).await;
    }
}

#[tokio::test]
async fn wrong_cursors_and_roles_are_told_so() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    for cursor in ["", "?", "am9iczox", "am9iVXBkYXRlczo5OTk5OTk5OjA"] {
        let mut socket = follow(&server, Some(cursor), json!(null)).await;
        let message = socket.message().await;
        let error = if message["type"] == "error" { &message["payload"][0] } else { &message["payload"]["errors"][0] };
        assert_eq!((&error["extensions"]["code"], &error["extensions"]["field"]), (&json!("BAD_USER_INPUT"), &json!("after")), "{message}");
    }
    let mut socket = Socket::ready(&server, &["FINANCIAL_DIRECTOR"]).await;
    socket.subscribe("j", UPDATES, json!({})).await;
    let message = socket.message().await;
    let error = if message["type"] == "error" { &message["payload"][0] } else { &message["payload"]["errors"][0] };
    assert_eq!(error["extensions"]["code"], "FORBIDDEN", "{message}");
    server.stop();
}
