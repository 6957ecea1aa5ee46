//! `executionMetrics` against the real binary: every payload is what `executionBreakdown` says of its window, whatever happens beside it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_entity::value::time;
use plimsoll_tests::socket::Socket;
use plimsoll_tests::{Database, Server, in_us, on_both};
use serde_json::{Value, json};

/// What both fields are asked for.
const FIGURES: &str = "window { start end } rowCount rows { key { user { name } } stats { executions requestsPerSecond successRatio
    duration { count meanMs p50Ms p95Ms maxMs } queue { meanMs } outputSize { sumBytes } executionGpuHours errors { errorType count } } }
    other { executions } total { executions succeeded failed users peakRequestsPerSecond duration { sumMs p95Ms } }";
/// A second in microseconds.
const S: i64 = 1_000_000;

/// An execution of its own user, that ended so many microseconds from now and took a second.
fn execution(user: &str, finished_us: i64, outcome: &str) -> String {
    let mut line = json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "model": "sdxl", "modelVersion": "1.0", "modelType": "TEXT_TO_IMAGE",
        "user": user, "startedAt": in_us(finished_us - S), "finishedAt": in_us(finished_us), "outcome": outcome, "inferenceMs": 700,
        "outputBytes": 1_000 + user.len(), "queuedAt": in_us(finished_us - 2 * S) });
    if outcome == "FAILED" {
        line["errorType"] = json!("OUT_OF_MEMORY");
    }
    line.to_string()
}

async fn ingest(server: &Server, lines: &[String]) {
    let (status, answer) = server.ingest(lines.join("\n")).await.expect("an answer");
    assert_eq!((status, &answer["rejectedCount"]), (200, &json!(0)), "{answer}");
}

async fn watch(server: &Server, arguments: &str, figures: &str) -> Socket {
    let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
    socket.subscribe("m", &format!("subscription {{ executionMetrics({arguments}) {{ {figures} asOf }} }}"), json!({})).await;
    socket
}

async fn metrics(socket: &mut Socket) -> Value {
    socket.data("m").await["executionMetrics"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_payload_comes_at_once_and_the_last_when_the_window_is_empty() {
    on_both("live_empty", async |server| {
        // The first event makes its month's partition on PostgreSQL, which may take a while.
        ingest(server, &[execution("z", -3_600 * S, "SUCCEEDED")]).await;
        let mut socket = watch(server, "trailingSeconds: 5, intervalMs: 250", "total { executions }").await;
        let executions = |payload: Value| payload["total"]["executions"].as_i64().unwrap();
        assert_eq!(executions(metrics(&mut socket).await), 0);
        // It ended within the window and will leave it by itself.
        ingest(server, &[execution("a", -1, "SUCCEEDED")]).await;
        assert_eq!(executions(metrics(&mut socket).await), 1);
        assert_eq!(executions(metrics(&mut socket).await), 0);
        // What lies outside of the window shows nothing: the next payload is about what lies inside.
        ingest(server, &[execution("b", -3_600 * S, "SUCCEEDED")]).await;
        ingest(server, &[execution("c", -1, "SUCCEEDED"), execution("d", -1, "FAILED")]).await;
        assert_eq!(executions(metrics(&mut socket).await), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_ahead_of_its_time_enters_when_its_time_has_come() {
    on_both("live_ahead", async |server| {
        ingest(server, &[execution("z", -3_600 * S, "SUCCEEDED")]).await;
        let mut socket = watch(server, "trailingSeconds: 60, intervalMs: 250, by: [USER]", FIGURES).await;
        assert_eq!(metrics(&mut socket).await["rowCount"], 0);
        ingest(server, &[execution("late", -50 * S, "SUCCEEDED"), execution("ahead", 6 * S, "SUCCEEDED")]).await;
        let first = metrics(&mut socket).await;
        assert_eq!((first["rowCount"].as_i64(), first["rows"][0]["key"]["user"]["name"].as_str()), (Some(1), Some("late")));
        let second = metrics(&mut socket).await;
        assert_eq!(second["rowCount"], 2, "{second}");
        let third = metrics(&mut socket).await;
        assert_eq!((third["rowCount"].as_i64(), third["rows"][0]["key"]["user"]["name"].as_str()), (Some(1), Some("ahead")));
    })
    .await;
}

/// Sends executions of ever new users until told to stop; some late, some ahead of their time, some failed.
async fn keep_sending(server: Arc<Server>, stop: Arc<AtomicBool>, next: Arc<AtomicU64>) {
    while !stop.load(Ordering::SeqCst) {
        let number = next.fetch_add(3, Ordering::SeqCst);
        let lines: Vec<String> = (number..number + 3)
            .map(|number| {
                let finished_us = [-1, -S / 2, -2 * S, -4 * S - S / 2, S][number as usize % 5];
                execution(&format!("u{number}"), finished_us, if number % 7 == 0 { "FAILED" } else { "SUCCEEDED" })
            })
            .collect();
        ingest(&server, &lines).await;
    }
}

/// A payload tells by its users what it holds: each has one execution. Asked for them alone, the breakdown of its window must say the
/// very same, whatever came later.
async fn compare(server: &Server, payload: &Value) {
    let users: Vec<&str> = payload["rows"].as_array().unwrap().iter().map(|row| row["key"]["user"]["name"].as_str().unwrap()).collect();
    let query = format!(
        "query($w: TimeWindowInput!, $f: ExecutionFilter) {{ executionBreakdown(window: $w, by: [USER], filter: $f, limit: 1000) {{ {FIGURES} }} }}"
    );
    let (_, answer) = server.ask(&["ADMIN"], &query, json!({ "w": payload["window"], "f": { "users": users } })).await;
    let mut expected = payload.clone();
    let as_of = expected.as_object_mut().unwrap().remove("asOf").unwrap();
    assert_eq!(answer["data"]["executionBreakdown"], expected);
    assert_eq!(payload["window"]["end"], as_of);
    let us = |text: &Value| time::Instant::parse(text.as_str().unwrap()).unwrap().0;
    assert_eq!(us(&payload["window"]["end"]) - us(&payload["window"]["start"]), 5 * S);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_payload_equals_the_breakdown_of_its_window_while_events_come_in() {
    for database in [Some(Database::sqlite()), Database::postgres("live_equals").await].into_iter().flatten() {
        let server = Arc::new(Server::start(&database));
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let senders: Vec<_> =
            (0..2).map(|_| tokio::spawn(keep_sending(Arc::clone(&server), Arc::clone(&stop), Arc::clone(&next)))).collect();
        let mut socket = watch(&server, "trailingSeconds: 5, intervalMs: 250, by: [USER], limit: 1000", FIGURES).await;
        let (mut compared, mut held) = (0, 0);
        while compared < 12 {
            let payload = metrics(&mut socket).await;
            let executions = payload["total"]["executions"].as_u64().unwrap();
            // A filter takes 1,000 names.
            if executions <= 1_000 {
                compare(&server, &payload).await;
                compared += 1;
                held += executions;
            } else {
                stop.store(true, Ordering::SeqCst);
            }
        }
        stop.store(true, Ordering::SeqCst);
        for sender in senders {
            sender.await.unwrap();
        }
        assert!(held > 0, "something was compared");
        // When nothing comes in any more the figures run out, and the last payload says so.
        let until = Instant::now() + Duration::from_secs(60);
        while metrics(&mut socket).await["total"]["executions"] != 0 {
            assert!(Instant::now() < until);
        }
        drop(socket);
        Arc::into_inner(server).unwrap().stop();
        database.remove().await;
    }
}

/// What has been answered for is in the first payload whose snapshot began later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_followed_by_its_payload_within_the_interval() {
    on_both("live_follows", async |server| {
        let mut socket = watch(server, "trailingSeconds: 600, intervalMs: 500, by: [USER]", FIGURES).await;
        assert_eq!(metrics(&mut socket).await["rowCount"], 0);
        for count in 1..=6 {
            ingest(server, &[execution(&format!("u{count}"), -1, "SUCCEEDED")]).await;
            let committed = Instant::now();
            assert_eq!(metrics(&mut socket).await["rowCount"], count);
            // The promise is 750 ms, and the benchmark measures it; a busy machine may take longer.
            assert!(committed.elapsed() < Duration::from_secs(5), "{:?}", committed.elapsed());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_worked_out_while_nothing_can_change() {
    let looks = "plimsoll_live_looks_total{field=\"executionMetrics\"}";
    on_both("live_still", async |server| {
        ingest(server, &[execution("a", -1, "SUCCEEDED")]).await;
        let mut socket = watch(server, "trailingSeconds: 3600, intervalMs: 250, by: [USER]", "rowCount").await;
        assert_eq!(metrics(&mut socket).await["rowCount"], 1);
        // Time enough for ten looks, were there a reason for one.
        assert_eq!(socket.hear_within(Duration::from_millis(2_500)).await, None);
        assert_eq!(server.metric(looks).await, 1.0);
        ingest(server, &[execution("b", -1, "SUCCEEDED")]).await;
        assert_eq!(metrics(&mut socket).await["rowCount"], 2);
        assert_eq!(server.metric(looks).await, 2.0);
    })
    .await;
}

/// Another process' commit reaches a subscription with no bus between them: the database is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_another_process_are_heard_of() {
    let Some(database) = Database::postgres("live_two").await else { return };
    let (here, there) = (Server::start(&database), Server::start(&database));
    let mut socket = watch(&here, "trailingSeconds: 600, intervalMs: 250, by: [USER]", FIGURES).await;
    assert_eq!(metrics(&mut socket).await["rowCount"], 0);
    for count in 1..=3 {
        ingest(&there, &[execution(&format!("u{count}"), -1, "SUCCEEDED")]).await;
        assert_eq!(metrics(&mut socket).await["rowCount"], count);
    }
    drop(socket);
    here.stop();
    there.stop();
    database.remove().await;
}

#[tokio::test]
async fn arguments_that_cannot_be_asked_name_themselves() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let mut socket = Socket::ready(&server, &["ADMIN"]).await;
    let many = format!("filter: {{ users: [{}] }}", "\"x\" ".repeat(1_001));
    let cases = [
        ("intervalMs: 249", "intervalMs"),
        ("intervalMs: 60001", "intervalMs"),
        ("trailingSeconds: 0", "trailingSeconds"),
        ("trailingSeconds: 34560001", "trailingSeconds"),
        ("limit: 10001", "limit"),
        ("limit: -1", "limit"),
        ("by: [MODEL, MODEL]", "by"),
        ("by: [MODEL, USER, APPLICATION, PROJECT, DEPARTMENT]", "by"),
        (many.as_str(), "filter"),
    ];
    for (arguments, field) in cases {
        socket.subscribe("m", &format!("subscription {{ executionMetrics({arguments}) {{ asOf }} }}"), json!({})).await;
        let error = socket.error("m").await;
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{arguments}: {error}");
        assert!(error["extensions"]["field"].as_str().unwrap().starts_with(field), "{arguments}: {error}");
    }
    for edge in ["intervalMs: 250", "intervalMs: 60000", "trailingSeconds: 1", "trailingSeconds: 34560000", "limit: 0", "limit: 10000"] {
        socket.subscribe("m", &format!("subscription {{ executionMetrics({edge}) {{ asOf }} }}"), json!({})).await;
        socket.data("m").await;
        socket.say(json!({ "id": "m", "type": "complete" })).await;
    }
    server.stop();
}

/// The front end's own document, and what the breakdown says of the window that the payload was answered for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_real_time_metrics_is_told() {
    let document = include_str!("../operations/td-01-real-time-execution-metrics.graphql");
    let selection = document.split_once("intervalMs: $intervalMs) {").unwrap().1.trim().strip_suffix("}\n}").unwrap();
    on_both("live_story", async |server| {
        let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
        socket.subscribe("m", document, json!({ "intervalMs": 1_000 })).await;
        assert_eq!(metrics(&mut socket).await["total"], json!({ "executions": 0, "requestsPerSecond": 0.0 }));
        let lines: Vec<String> = (0..9).map(|n| execution("u", -n * S, if n % 3 == 0 { "FAILED" } else { "SUCCEEDED" })).collect();
        ingest(server, &lines).await;
        let payload = metrics(&mut socket).await;
        let row = &payload["rows"][0];
        assert_eq!(
            row["key"],
            json!({ "modelType": "TEXT_TO_IMAGE", "model": { "name": "sdxl" }, "combination": { "label": "sdxl 1.0" } })
        );
        assert_eq!((&row["stats"]["executions"], &payload["total"]["executions"]), (&json!(9), &json!(9)));
        let end = time::Instant::parse(payload["asOf"].as_str().unwrap()).unwrap();
        let window = json!({ "start": time::Instant(end.0 - 60 * S).to_rfc3339(), "end": payload["asOf"] });
        let query = format!(
            "query($w: TimeWindowInput!) {{ executionBreakdown(window: $w, by: [MODEL_TYPE, MODEL, COMBINATION]) {{ {selection} }} }}"
        );
        let (_, answer) = server.ask(&["PIPELINE_TD"], &query, json!({ "w": window })).await;
        let asked = &answer["data"]["executionBreakdown"];
        assert_eq!((&asked["rows"], &asked["total"]), (&payload["rows"], &payload["total"]), "{answer}");
    })
    .await;
}
