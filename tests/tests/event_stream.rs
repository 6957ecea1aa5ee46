//! GraphQL over Server-Sent Events against the real binary: how streams begin, live and end.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use plimsoll_tests::event_stream::{Event, EventStream};
use plimsoll_tests::socket::{PROTOCOL, Socket};
use plimsoll_tests::{Database, Server, in_us, now_s, token, token_until};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

const METRICS: &str = "subscription { executionMetrics(trailingSeconds: 60, intervalMs: 250) { total { executions } } }";
/// A comment at most so far apart, whatever happens.
const COMMENTS_APART_MAX: Duration = Duration::from_secs(20);

async fn with_limits(limits: &[(&str, u64)], test: impl AsyncFnOnce(&Server)) {
    let database = Database::sqlite();
    let server = Server::start_with_limits(&database, limits);
    test(&server).await;
    server.stop();
}

async fn ended(server: &Server, reason: &str, count: f64) {
    server.metric_reaches(&format!("plimsoll_event_streams_ended_total{{reason=\"{reason}\"}}"), count).await;
}

#[tokio::test]
async fn a_query_is_answered_and_completed() {
    with_limits(&[], async |server| {
        let mut stream = EventStream::open(server, &["ADMIN"], "{ viewer { subject } }", json!({})).await;
        assert_eq!(stream.data().await, json!({ "viewer": { "subject": "test" } }));
        assert_eq!((stream.hear().await, stream.hear().await), (Event::Complete, Event::End));
        ended(server, "complete", 1.0).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_told_by_status_before_the_stream_and_in_it_after() {
    with_limits(&[], async |server| {
        for token in ["a.b.c", &token_until(&["ADMIN"], 1_000_000_000)] {
            assert_eq!(EventStream::open_with(server, token, METRICS, json!({})).await.err(), Some(401));
        }
        let cases = [
            ("ADMIN", "subscription { nope }", "GRAPHQL_VALIDATION_FAILED"),
            ("FINANCIAL_DIRECTOR", METRICS, "FORBIDDEN"),
            ("ADMIN", "subscription { executionMetrics(intervalMs: 1) { asOf } }", "BAD_USER_INPUT"),
        ];
        for (role, query, code) in cases {
            let mut stream = EventStream::open(server, &[role], query, json!({})).await;
            let payload = stream.payload().await;
            assert_eq!((&payload["errors"][0]["extensions"]["code"], &payload["data"]), (&json!(code), &Value::Null), "{payload}");
            assert_eq!((stream.hear().await, stream.hear().await), (Event::Complete, Event::End));
        }
        ended(server, "failed", 3.0).await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_has_nothing_to_say_says_so_before_20_s_are_over() {
    with_limits(&[], async |server| {
        let mut stream = EventStream::open(server, &["PIPELINE_TD"], "subscription { jobUpdates { cursor } }", json!({})).await;
        for _ in 0..2 {
            assert_eq!(stream.hear_within(COMMENTS_APART_MAX).await, Some(Event::Comment));
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_without_complete_when_the_token_expires() {
    with_limits(&[], async |server| {
        // Tokens count for 5 s longer than they say.
        let mut stream = EventStream::open_with(server, &token_until(&["ADMIN"], now_s() - 3), METRICS, json!({})).await.unwrap();
        stream.data().await;
        loop {
            match stream.hear().await {
                Event::Comment | Event::Next(_) => {}
                other => break assert_eq!(other, Event::End),
            }
        }
        ended(server, "expired", 1.0).await;
    })
    .await;
}

#[tokio::test]
async fn streams_and_sockets_are_bounded_together_and_given_back() {
    with_limits(&[("sockets", 2)], async |server| {
        let mut stream = EventStream::open(server, &["ADMIN"], METRICS, json!({})).await;
        stream.data().await;
        let _socket = Socket::ready(server, &["ADMIN"]).await;
        assert_eq!(EventStream::open_with(server, &token(&["ADMIN"]), METRICS, json!({})).await.err(), Some(503));
        assert_eq!(Socket::open_with(server, &[("sec-websocket-protocol", PROTOCOL)]).await.err(), Some(503));
        assert_eq!(server.metric("plimsoll_event_streams").await, 1.0);
        drop(stream);
        ended(server, "client", 1.0).await;
        server.metric_reaches_at_most("plimsoll_subscription_executions", 0.0).await;
        EventStream::open(server, &["ADMIN"], METRICS, json!({})).await.data().await;
    })
    .await;
}

/// One execution of each new user for as long as it takes.
async fn keep_sending(server: &Server) {
    for number in 0.. {
        let user = format!("{number}{}", "x".repeat(100));
        let line = json!({ "type": "execution", "id": format!("00000000-0000-7000-8000-{number:012}"), "model": "m", "modelVersion": "1", "user": user,
            "startedAt": in_us(-1_000_000), "finishedAt": in_us(-1), "outcome": "SUCCEEDED" });
        let (status, answer) = server.ingest(line.to_string()).await.unwrap();
        assert_eq!((status, &answer["rejectedCount"]), (200, &json!(0)), "{answer}");
    }
}

#[tokio::test]
async fn who_does_not_read_is_cut_off_and_the_others_are_served() {
    with_limits(&[("write_stall_ms", 500)], async |server| {
        let by_user = "subscription { executionMetrics(by: [USER], trailingSeconds: 600, intervalMs: 250, limit: 10000) {
            rows { key { user { name } } stats { executions duration { meanMs p50Ms p95Ms p99Ms } } } } }";
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let address = server.url.strip_prefix("http://").unwrap();
        let mut silent = socket.connect(address.parse().unwrap()).await.unwrap();
        let body = json!({ "query": by_user }).to_string();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
            token(&["ADMIN"]),
            body.len()
        );
        silent.write_all((head + &body).as_bytes()).await.unwrap();
        let mut other = EventStream::open(server, &["ADMIN"], METRICS, json!({})).await;
        let slow = async {
            loop {
                if server.metric("plimsoll_event_streams_ended_total{reason=\"slow\"}").await >= 1.0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let listening = async {
            loop {
                other.payload().await;
            }
        };
        let cut_off = async { tokio::select! { () = slow => {}, () = keep_sending(server) => {}, () = listening => {} } };
        tokio::time::timeout(Duration::from_secs(60), cut_off).await.expect("the silent one is cut off");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let mut stream = EventStream::open(&server, &["ADMIN"], METRICS, json!({})).await;
    stream.data().await;
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    loop {
        match stream.hear().await {
            Event::Comment => {}
            other => break assert_eq!(other, Event::End),
        }
    }
    stopped.await.unwrap();
}
