//! Subscriptions that ask the same, over sockets and event streams, against the real binary: they share their work, and each gets what
//! it would get alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::event_stream::{Event, EventStream};
use plimsoll_tests::socket::{Heard, Socket};
use plimsoll_tests::{Database, Server, in_us, now_s, on_both_buses, token_until};
use serde_json::{Value, json};

const TD_01: &str = include_str!("../operations/td-01-real-time-execution-metrics.graphql");
const ADMIN_02: &str = include_str!("../operations/admin-02-real-time-utilization.graphql");
const JOBS: &str = "subscription Jobs($after: String) { jobUpdates(after: $after) { cursor node { key state } } }";
const ALERTS: &str = "subscription Alerts($after: String) { alertUpdates(after: $after) { cursor node { subject state } } }";
const METER: &str = "subscription { costMeter(by: [VM], intervalMs: 250) { rows { key { vm { name } } cost { total { amount } } } total { total { amount } } } }";
const EXECUTIONS: &str = "plimsoll_subscription_executions";
/// A second in microseconds.
const S: i64 = 1_000_000;

fn execution(user: &str) -> Value {
    json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "model": "sdxl", "modelVersion": "1.0", "modelType": "TEXT_TO_IMAGE",
        "user": user, "startedAt": in_us(-S), "finishedAt": in_us(-1), "outcome": "SUCCEEDED", "inferenceMs": 700 })
}

fn sample(vm: &str, us: i64, cpu_ratio: f64) -> Value {
    json!({ "type": "vmSample", "vm": vm, "at": in_us(us), "intervalSeconds": 60, "cpuRatio": cpu_ratio })
}

fn job(job: &str, state: &str, us: i64) -> Value {
    json!({ "type": "job", "id": TimeOrderedIds.next_id(), "job": job, "at": in_us(us), "state": state, "model": "sdxl", "modelVersion": "1.0" })
}

async fn ingest(server: &Server, event: Value) {
    let (status, answer) = server.ingest(event.to_string()).await.expect("an answer");
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
}

/// Somebody who listens, over either transport.
enum Listener {
    Socket(Box<Socket>),
    Stream(Box<EventStream>),
}

impl Listener {
    async fn both(server: &Server, role: &str, query: &str, variables: &Value) -> [Self; 2] {
        let mut socket = Socket::ready(server, &[role]).await;
        socket.subscribe("s", query, variables.clone()).await;
        let stream = EventStream::open(server, &[role], query, variables.clone()).await;
        [Self::Socket(Box::new(socket)), Self::Stream(Box::new(stream))]
    }

    async fn data(&mut self) -> Value {
        match self {
            Self::Socket(socket) => socket.data("s").await,
            Self::Stream(stream) => stream.data().await,
        }
    }

    /// The first payload for which this holds.
    async fn until(&mut self, field: &str, holds: impl Fn(&Value) -> bool) -> Value {
        loop {
            let data = self.data().await[field].take();
            if holds(&data) {
                return data;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_time_metrics_are_the_same_for_all_and_worked_out_once() {
    on_both_buses("sharing_metrics", async |server| {
        ingest(server, execution("a")).await;
        let variables = json!({ "intervalMs": 250 });
        let mut listeners: Vec<Listener> = Vec::new();
        for _ in 0..3 {
            listeners.extend(Listener::both(server, "PIPELINE_TD", TD_01, &variables).await);
        }
        for listener in &mut listeners {
            assert_eq!(listener.data().await["executionMetrics"]["total"]["executions"], 1);
        }
        ingest(server, execution("b")).await;
        let mut told = Vec::new();
        for listener in &mut listeners {
            told.push(listener.until("executionMetrics", |metrics| metrics["total"]["executions"] == 2).await);
        }
        assert!(told.iter().all(|metrics| *metrics == told[0]), "one reading for all: {told:?}");
        assert_eq!((server.metric("plimsoll_subscriptions").await, server.metric(EXECUTIONS).await), (6.0, 1.0));
        drop(listeners);
        server.metric_reaches_at_most(EXECUTIONS, 0.0).await;
        assert_eq!(server.metric("plimsoll_subscriptions").await, 0.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_time_utilization_is_the_same_for_all_and_late_comers_have_it_at_once() {
    on_both_buses("sharing_utilization", async |server| {
        let variables = json!({ "intervalMs": 250 });
        ingest(server, sample("a", -2 * S, 0.25)).await;
        let mut early = Listener::both(server, "ADMIN", ADMIN_02, &variables).await;
        for listener in &mut early {
            assert_eq!(listener.data().await["vmUtilization"][0]["cpuRatio"], 0.25);
        }
        ingest(server, sample("a", -S, 0.5)).await;
        for listener in &mut early {
            listener.until("vmUtilization", |machines| machines[0]["cpuRatio"] == 0.5).await;
        }
        let looks = server.metric("plimsoll_live_looks_total{field=\"vmUtilization\"}").await;
        let mut late = Listener::both(server, "ADMIN", ADMIN_02, &variables).await;
        for listener in &mut late {
            assert_eq!(listener.data().await["vmUtilization"][0]["cpuRatio"], 0.5);
        }
        assert_eq!(server.metric("plimsoll_live_looks_total{field=\"vmUtilization\"}").await, looks, "nobody looked again");
    })
    .await;
}

/// Machines of the meter that cost something.
fn machines(meter: &Value) -> usize {
    meter["rows"].as_array().unwrap().iter().filter(|row| row["cost"]["total"]["amount"] != "0.00").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bill_that_runs_is_the_same_for_all_and_grows() {
    on_both_buses("sharing_meter", async |server| {
        let create = "mutation($input: RateCardInput!) { rateCardCreate(input: $input) { rateCard { id } userErrors { code } } }";
        let rate = json!({ "instanceType": "gpu", "hourly": "3600" });
        let input = json!({ "currency": "USD", "effectiveFrom": "2026-01-01T00:00:00Z", "instanceRates": [rate] });
        let (_, answer) = server.ask(&["FINANCIAL_DIRECTOR"], create, json!({ "input": input })).await;
        assert_eq!(answer["data"]["rateCardCreate"]["userErrors"], json!([]), "{answer}");
        let runs = |vm: &str| {
            json!({ "type": "vmState", "id": TimeOrderedIds.next_id(), "vm": vm, "at": in_us(-S), "state": "RUNNING", "instanceType": "gpu" })
        };
        ingest(server, runs("a")).await;
        let mut listeners = Listener::both(server, "FINANCIAL_DIRECTOR", METER, &json!({})).await;
        for listener in &mut listeners {
            listener.until("costMeter", |meter| machines(meter) == 1).await;
        }
        ingest(server, runs("b")).await;
        let amount = |meter: &Value| meter["total"]["total"]["amount"].as_str().unwrap().parse::<f64>().unwrap();
        for listener in &mut listeners {
            let before = amount(&listener.until("costMeter", |meter| machines(meter) == 2).await);
            // What is held costs more with every look, whatever comes.
            listener.until("costMeter", |meter| amount(meter) > before).await;
        }
        assert_eq!(server.metric(EXECUTIONS).await, 1.0);
    })
    .await;
}

/// Changes that a listener hears, up to one for which this holds; the cursor of the last.
async fn changes(listener: &mut Listener, field: &str, last: impl Fn(&Value) -> bool) -> (Vec<Value>, String) {
    let mut heard = Vec::new();
    loop {
        let edge = listener.data().await[field].take();
        heard.push(edge["node"].clone());
        if last(&edge["node"]) {
            return (heard, edge["cursor"].as_str().unwrap().to_owned());
        }
    }
}

/// The cursor of a first change, which is made until somebody hears of it.
async fn first_cursor(server: &Server) -> String {
    let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
    socket.subscribe("s", JOBS, json!({})).await;
    for number in 0.. {
        ingest(server, job(&format!("probe {number}"), "QUEUED", -60 * S)).await;
        if let Some(Heard::Message(message)) = socket.hear_within(Duration::from_secs(2)).await {
            return message["payload"]["data"]["jobUpdates"]["cursor"].as_str().unwrap().to_owned();
        }
    }
    unreachable!("the subscription began or the test ran out of time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_jobs_reach_each_once_wherever_it_begins() {
    on_both_buses("sharing_jobs", async |server| {
        let start = first_cursor(server).await;
        for number in 0..5 {
            ingest(server, job(&format!("old {number}"), "QUEUED", -50 * S)).await;
        }
        let variables = json!({ "after": start });
        let is = |name: &'static str| move |node: &Value| node["key"] == name;
        let mut listeners = Vec::from(Listener::both(server, "PIPELINE_TD", JOBS, &variables).await);
        let (old, middle) = changes(&mut listeners[0], "jobUpdates", is("old 4")).await;
        assert_eq!(changes(&mut listeners[1], "jobUpdates", is("old 4")).await.0, old);
        listeners.extend(Listener::both(server, "PIPELINE_TD", JOBS, &json!({ "after": middle })).await);
        // All have caught up, whatever their cursor, and share what comes.
        server.metric_reaches("plimsoll_subscriptions", 4.0).await;
        server.metric_reaches_at_most(EXECUTIONS, 1.0).await;
        for number in 0..5 {
            ingest(server, job(&format!("new {number}"), "QUEUED", -40 * S)).await;
            ingest(server, job(&format!("new {number}"), "RUNNING", -30 * S)).await;
        }
        let last = |node: &Value| node["key"] == "new 4" && node["state"] == "RUNNING";
        let (new, _) = changes(&mut listeners[0], "jobUpdates", last).await;
        assert_eq!(new.len(), 10, "{new:?}");
        for listener in &mut listeners[1..] {
            assert_eq!(changes(listener, "jobUpdates", last).await.0, new);
        }
        let [mut resumed, _] = Listener::both(server, "PIPELINE_TD", JOBS, &variables).await;
        assert_eq!(changes(&mut resumed, "jobUpdates", last).await.0[old.len()..], new);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_alerts_reach_each_once_and_only_those_of_its_signals() {
    on_both_buses("sharing_alerts", async |server| {
        let create = "mutation($input: AlertRuleInput!) { alertRuleCreate(input: $input) { alertRule { id } userErrors { code } } }";
        let input = json!({ "name": "CPU", "signal": "CPU_RATIO", "detection": "ABOVE", "threshold": 0.9, "forSeconds": 0 });
        let (_, answer) = server.ask(&["ADMIN"], create, json!({ "input": input })).await;
        assert!(answer["errors"].is_null(), "{answer}");
        let [mut socket, mut stream] = Listener::both(server, "ADMIN", ALERTS, &json!({})).await;
        let mut other = Socket::ready(server, &["PIPELINE_TD"]).await;
        other.subscribe("s", ALERTS, json!({})).await;
        server.metric_reaches("plimsoll_subscriptions", 3.0).await;
        // Both executions have begun by the time that they look.
        server.metric_reaches("plimsoll_live_looks_total{field=\"alertUpdates\"}", 2.0).await;
        for (us, cpu_ratio, state) in [(-3 * S, 0.95, "FIRING"), (0, 0.1, "RESOLVED")] {
            ingest(server, sample("a", us, cpu_ratio)).await;
            let last = |node: &Value| node["state"] == state;
            let (heard, _) = changes(&mut socket, "alertUpdates", last).await;
            assert_eq!(changes(&mut stream, "alertUpdates", last).await.0, heard);
            assert_eq!(heard, [json!({ "subject": "a", "state": state })]);
        }
        // Two executions: one for each scope. The signals of machines are not for everybody.
        assert_eq!(server.metric(EXECUTIONS).await, 2.0);
        assert_eq!(other.hear_within(Duration::from_millis(500)).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_token_that_expires_closes_its_own_connection_only() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let query = "subscription { executionMetrics(trailingSeconds: 60, intervalMs: 250) { total { executions } } }";
    let mut lasting = Socket::ready(&server, &["ADMIN"]).await;
    lasting.subscribe("s", query, json!({})).await;
    // Tokens count for 5 s longer than they say.
    let token = token_until(&["ADMIN"], now_s() - 3);
    let mut stream = EventStream::open_with(&server, &token, query, json!({})).await.unwrap();
    let mut socket = Socket::open(&server).await;
    socket.say(json!({ "type": "connection_init", "payload": { "token": token } })).await;
    assert_eq!(socket.message().await["type"], "connection_ack");
    socket.subscribe("s", query, json!({})).await;
    for data in [lasting.data("s").await, socket.data("s").await, stream.data().await] {
        assert_eq!(data["executionMetrics"]["total"]["executions"], 0);
    }
    assert_eq!(server.metric(EXECUTIONS).await, 1.0);
    assert_eq!(socket.closed().await.0, 4401);
    while stream.hear().await != Event::End {}
    ingest(&server, execution("a")).await;
    assert_eq!(lasting.data("s").await["executionMetrics"]["total"]["executions"], 1);
    server.stop();
}

#[tokio::test]
async fn each_subscriber_is_in_the_audit_log() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let mut listeners = Vec::new();
    for _ in 0..2 {
        listeners.extend(Listener::both(&server, "PIPELINE_TD", TD_01, &json!({ "intervalMs": 250 })).await);
    }
    for listener in &mut listeners {
        listener.data().await;
    }
    let log = "query($w: TimeWindowInput!) { auditLog(window: $w) { nodes { operation fields allowed } } }";
    let around = json!({ "w": { "start": in_us(-3_600 * S), "end": in_us(3_600 * S) } });
    let entry = json!({ "operation": "RealTimeExecutionMetrics", "fields": ["executionMetrics"], "allowed": true });
    let until = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let (_, answer) = server.ask(&["ADMIN"], log, around.clone()).await;
        if answer["data"]["auditLog"]["nodes"].as_array().unwrap().iter().filter(|node| **node == entry).count() == 4 {
            break;
        }
        assert!(std::time::Instant::now() < until, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop();
}
