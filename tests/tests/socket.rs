//! GraphQL over WebSocket, rule by rule of the protocol's text, against the real binary.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use plimsoll_tests::socket::{Heard, PROTOCOL, Socket};
use plimsoll_tests::{Database, Server, in_us, now_s, token, token_until};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const METRICS: &str = "subscription { executionMetrics(trailingSeconds: 60, intervalMs: 250) { total { executions } } }";
const VIEWER: &str = "{ viewer { subject } }";

async fn with_server(test: impl AsyncFnOnce(&Server)) {
    with_limits(&[], test).await;
}

async fn with_limits(limits: &[(&str, u64)], test: impl AsyncFnOnce(&Server)) {
    let database = Database::sqlite();
    let server = Server::start_with_limits(&database, limits);
    test(&server).await;
    server.stop();
}

#[tokio::test]
async fn a_token_is_taken_from_the_init_in_any_form_or_from_the_header() {
    with_server(async |server| {
        let bearer = format!("Bearer {}", token(&["ADMIN"]));
        for payload in [json!({ "Authorization": bearer }), json!({ "authorization": bearer }), json!({ "token": token(&["ADMIN"]) })] {
            let mut socket = Socket::open(server).await;
            socket.say(json!({ "type": "connection_init", "payload": payload })).await;
            assert_eq!(socket.message().await, json!({ "type": "connection_ack" }));
        }
        let headers = [("sec-websocket-protocol", PROTOCOL), ("authorization", bearer.as_str())];
        let mut socket = Socket::open_with(server, &headers).await.unwrap();
        socket.say(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.message().await, json!({ "type": "connection_ack" }));
    })
    .await;
}

#[tokio::test]
async fn without_an_acceptable_token_the_socket_is_closed_with_4403() {
    with_server(async |server| {
        let expired = token_until(&["ADMIN"], 1_000_000_000);
        let wrong = [json!(null), json!({}), json!({ "token": "a.b.c" }), json!({ "token": 7 }), json!({ "Authorization": "Basic eDp5" })];
        for payload in wrong.into_iter().chain([json!({ "token": expired })]) {
            let mut socket = Socket::open(server).await;
            socket.say(json!({ "type": "connection_init", "payload": payload })).await;
            assert_eq!(socket.closed().await, (4403, "Forbidden".to_owned()), "{payload}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_init_is_closed_with_4429() {
    with_server(async |server| {
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        socket.say(json!({ "type": "connection_init", "payload": { "token": token(&["ADMIN"]) } })).await;
        assert_eq!(socket.closed().await, (4429, "Too many initialisation requests".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn without_an_init_in_time_the_socket_is_closed_with_4408() {
    with_limits(&[("socket_init_ms", 200)], async |server| {
        let mut socket = Socket::open(server).await;
        socket.say(json!({ "type": "ping" })).await;
        assert_eq!(socket.message().await, json!({ "type": "pong" }));
        assert_eq!(socket.closed().await, (4408, "Connection initialisation timeout".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn an_operation_before_the_acknowledgement_is_closed_with_4401() {
    with_server(async |server| {
        let mut socket = Socket::open(server).await;
        socket.subscribe("1", VIEWER, json!({})).await;
        assert_eq!(socket.closed().await, (4401, "Unauthorized".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_message_that_does_not_fit_is_closed_with_4400_and_what_is_wrong() {
    with_server(async |server| {
        let wrong = [
            "not JSON",
            "[]",
            r#"{"type":"start","id":"1","payload":{"query":"{viewer{subject}}"}}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","payload":{"query":"{viewer{subject}}"}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":7}}"#,
            r#"{"type":"ping","payload":1}"#,
        ];
        for text in wrong {
            let mut socket = Socket::ready(server, &["ADMIN"]).await;
            socket.send(Message::text(text)).await;
            let (code, reason) = socket.closed().await;
            assert!(code == 4400 && !reason.is_empty() && reason.len() < 124, "{text}: {code} {reason}");
            let mut early = Socket::open(server).await;
            early.send(Message::text(text)).await;
            // An operation that is well formed but not acknowledged is another matter; none of these is.
            assert_eq!(early.closed().await.0, 4400, "{text}");
        }
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        socket.send(Message::binary(br#"{"type":"ping"}"#.to_vec())).await;
        assert_eq!(socket.closed().await.0, 4400);
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_taken_is_closed_with_4409() {
    with_server(async |server| {
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        socket.subscribe("same", METRICS, json!({})).await;
        socket.data("same").await;
        socket.subscribe("same", VIEWER, json!({})).await;
        assert_eq!(socket.closed().await, (4409, "Subscriber for same already exists".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn an_id_is_free_again_once_its_operation_is_over() {
    with_server(async |server| {
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        for _ in 0..2 {
            socket.subscribe("same", VIEWER, json!({})).await;
            assert_eq!(socket.data("same").await, json!({ "viewer": { "subject": "test" } }));
            assert_eq!(socket.message().await, json!({ "id": "same", "type": "complete" }));
        }
        socket.subscribe("same", METRICS, json!({})).await;
        socket.data("same").await;
        socket.say(json!({ "id": "same", "type": "complete" })).await;
        socket.subscribe("same", "{ nope }", json!({})).await;
        socket.error("same").await;
        socket.subscribe("same", VIEWER, json!({})).await;
        assert_eq!(socket.data("same").await, json!({ "viewer": { "subject": "test" } }));
    })
    .await;
}

#[tokio::test]
async fn a_complete_is_never_echoed_and_ends_the_operation() {
    with_server(async |server| {
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        socket.subscribe("1", METRICS, json!({})).await;
        socket.data("1").await;
        socket.say(json!({ "id": "1", "type": "complete" })).await;
        socket.say(json!({ "id": "1", "type": "complete" })).await;
        socket.say(json!({ "id": "nobody's", "type": "complete" })).await;
        server.metric_reaches_at_most("plimsoll_subscriptions", 0.0).await;
        socket.say(json!({ "type": "ping", "payload": { "last": true } })).await;
        assert_eq!(socket.message().await, json!({ "type": "pong", "payload": { "last": true } }));
    })
    .await;
}

#[tokio::test]
async fn what_fails_before_it_runs_is_an_error_message_and_the_socket_goes_on() {
    with_server(async |server| {
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        let bomb: String =
            (0..25).fold("{ ...f0 }".to_owned(), |text, n| format!("{text} fragment f{n} on Query {{ ...f{} ...f{} }}", n + 1, n + 1));
        let bomb = format!("{bomb} fragment f25 on Query {{ viewer {{ subject }} }}");
        let aliases: String = (0..1_000).map(|n| format!("a{n}: viewer {{ subject }} ")).collect();
        let cases = [
            ("{ nope }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
            ("{".to_owned(), "GRAPHQL_PARSE_FAILED"),
            ("{".repeat(5_000), "LIMIT_EXCEEDED"),
            (bomb, "LIMIT_EXCEEDED"),
            (format!("{{ {aliases} }}"), "LIMIT_EXCEEDED"),
            (format!("{{ {}", "viewer { ".repeat(60)), ""),
            ("query($a: Boolean!) { viewer @include(if: $a) { subject } }".to_owned(), "BAD_USER_INPUT"),
            ("subscription { executionMetrics { asOf } other: executionMetrics { asOf } }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
            ("mutation { nope }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        ];
        for (query, code) in cases {
            socket.subscribe("1", &query, json!({})).await;
            let error = socket.error("1").await;
            let told = error["extensions"]["code"].as_str().unwrap();
            assert!(code.is_empty() || told == code, "{}: {error}", query.get(..60).unwrap_or(&query));
        }
        // Defaults of variables are filled in before a condition is decided.
        socket
            .subscribe("2", "query($a: Boolean = false) { viewer @include(if: $a) { subject } serviceConfig { currency } }", json!({}))
            .await;
        assert_eq!(socket.data("2").await, json!({ "serviceConfig": { "currency": "USD" } }));
    })
    .await;
}

#[tokio::test]
async fn introspection_is_open_to_whom_it_is_over_http() {
    with_server(async |server| {
        for (role, is_open) in [("ADMIN", true), ("PIPELINE_TD", false)] {
            let mut socket = Socket::ready(server, &[role]).await;
            socket.subscribe("1", "{ __schema { subscriptionType { name } } }", json!({})).await;
            if is_open {
                assert_eq!(socket.data("1").await["__schema"]["subscriptionType"]["name"], "Subscription");
            } else {
                assert_eq!(socket.error("1").await["extensions"]["code"], "FORBIDDEN");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_with_errors_and_data_is_a_next() {
    with_server(async |server| {
        let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
        socket.subscribe("1", "{ viewer { subject } vms { nodes { id } } machineSeries(window: { start: \"2026-03-01T00:00:00Z\", end: \"2026-03-02T00:00:00Z\" }, step: HOUR) { rowCount } }", json!({})).await;
        let message = socket.message().await;
        assert_eq!(message["type"], "next");
        assert_eq!(message["payload"]["data"]["machineSeries"], Value::Null);
        assert_eq!(message["payload"]["errors"][0]["extensions"]["code"], "FORBIDDEN");
        assert_eq!(socket.message().await["type"], "complete");
    })
    .await;
}

#[tokio::test]
async fn a_mutation_runs_once_and_completes() {
    with_server(async |server| {
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        let create = "mutation($input: AlertRuleInput!) { alertRuleCreate(input: $input) { alertRule { name } userErrors { code } } }";
        let input = json!({ "input": { "name": "CPU", "signal": "CPU_RATIO", "detection": "ABOVE", "threshold": 0.9, "forSeconds": 0 } });
        socket.subscribe("1", create, input).await;
        assert_eq!(socket.data("1").await["alertRuleCreate"], json!({ "alertRule": { "name": "CPU" }, "userErrors": [] }));
        assert_eq!(socket.message().await, json!({ "id": "1", "type": "complete" }));
        let (_, answer) = server.ask(&["ADMIN"], "{ alertRules { name } }", json!({})).await;
        let rules = answer["data"]["alertRules"].as_array().unwrap();
        assert_eq!(rules.iter().filter(|rule| rule["name"] == "CPU").count(), 1);
    })
    .await;
}

#[tokio::test]
async fn pings_are_answered_with_their_payload_before_the_init_as_well() {
    with_server(async |server| {
        let mut socket = Socket::open(server).await;
        socket.say(json!({ "type": "ping", "payload": { "a": [1] } })).await;
        assert_eq!(socket.message().await, json!({ "type": "pong", "payload": { "a": [1] } }));
        socket.say(json!({ "type": "pong" })).await;
        socket.say(json!({ "type": "connection_init", "payload": { "token": token(&["ADMIN"]) } })).await;
        assert_eq!(socket.message().await["type"], "connection_ack");
        socket.say(json!({ "type": "pong", "payload": {} })).await;
        socket.say(json!({ "type": "ping" })).await;
        assert_eq!(socket.message().await, json!({ "type": "pong" }));
    })
    .await;
}

#[tokio::test]
async fn who_answers_pings_stays_and_who_does_not_is_let_go() {
    with_limits(&[("socket_keep_alive_ms", 200)], async |server| {
        let mut lives = Socket::ready(server, &["ADMIN"]).await;
        // It is never read again, so its library answers nothing.
        let _silent = Socket::ready(server, &["ADMIN"]).await;
        let listening = async {
            assert_eq!(lives.hear_within(Duration::from_secs(600)).await, None, "nothing is said");
        };
        tokio::select! {
            () = server.metric_reaches("plimsoll_sockets_ended_total{reason=\"silent\"}", 1.0) => {}
            () = listening => {}
        }
        lives.say(json!({ "type": "ping" })).await;
        assert_eq!(lives.message().await["type"], "pong");
    })
    .await;
}

#[tokio::test]
async fn the_socket_is_closed_when_the_token_expires() {
    with_server(async |server| {
        // Tokens count for 5 s longer than they say.
        let mut socket = Socket::open(server).await;
        let token = token_until(&["ADMIN"], now_s() - 3);
        socket.say(json!({ "type": "connection_init", "payload": { "token": token } })).await;
        assert_eq!(socket.message().await["type"], "connection_ack");
        socket.subscribe("1", METRICS, json!({})).await;
        socket.data("1").await;
        assert_eq!(socket.closed().await.0, 4401);
    })
    .await;
}

#[tokio::test]
async fn only_the_one_sub_protocol_is_spoken() {
    with_server(async |server| {
        for (headers, status) in [(vec![], 406), (vec![("sec-websocket-protocol", "graphql-ws")], 406)] {
            assert_eq!(Socket::open_with(server, &headers).await.err(), Some(status), "{headers:?}");
        }
        let both = [("sec-websocket-protocol", "graphql-ws, graphql-transport-ws")];
        assert!(Socket::open_with(server, &both).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn pages_open_sockets_only_from_origins_that_are_allowed() {
    let database = Database::sqlite();
    let server = Server::start_with(&database.url(), &[("PLIMSOLL_CORS_ORIGINS", "https://studio.example.com")]);
    let own = server.url.clone();
    for (origin, allowed) in [("https://studio.example.com", true), (own.as_str(), true), ("https://evil.example", false), ("null", false)]
    {
        let opened = Socket::open_with(&server, &[("sec-websocket-protocol", PROTOCOL), ("origin", origin)]).await;
        assert_eq!(opened.err(), (!allowed).then_some(403), "{origin}");
    }
    server.stop();
}

#[tokio::test]
async fn operations_sockets_and_messages_are_bounded() {
    with_limits(&[("socket_operations", 2), ("sockets", 2), ("socket_message_bytes", 4_096)], async |server| {
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        for id in ["1", "2"] {
            socket.subscribe(id, METRICS, json!({})).await;
            socket.data(id).await;
        }
        socket.subscribe("3", METRICS, json!({})).await;
        assert_eq!(socket.error("3").await["extensions"]["code"], "LIMIT_EXCEEDED");
        socket.say(json!({ "id": "1", "type": "complete" })).await;
        socket.subscribe("3", METRICS, json!({})).await;
        socket.data("3").await;
        let other = Socket::ready(server, &["ADMIN"]).await;
        assert_eq!(Socket::open_with(server, &[("sec-websocket-protocol", PROTOCOL)]).await.err(), Some(503));
        other.close().await;
        server.metric_reaches("plimsoll_sockets_ended_total{reason=\"client\"}", 1.0).await;
        let mut again = Socket::ready(server, &["ADMIN"]).await;
        again.send(Message::text(format!("{{\"type\":\"ping\",\"payload\":{{\"a\":\"{}\"}}}}", "x".repeat(5_000)))).await;
        assert_eq!(again.closed().await.0, 1009);
    })
    .await;
}

#[tokio::test]
async fn who_does_not_read_is_cut_off_and_the_others_are_served() {
    with_limits(&[("socket_write_ms", 500), ("socket_operations", 1_000)], async |server| {
        let mut slow = Socket::ready(server, &["ADMIN"]).await;
        let query = "{ __schema { types { name description fields { name description args { name description } type { name } } } } }";
        let resident = server.metric("plimsoll_process_resident_bytes").await;
        for id in 0..400 {
            slow.subscribe(&id.to_string(), query, json!({})).await;
        }
        server.metric_reaches("plimsoll_sockets_ended_total{reason=\"slow\"}", 1.0).await;
        let grown = server.metric("plimsoll_process_resident_bytes").await - resident;
        assert!(grown < 64e6, "it holds {grown} bytes more");
        let mut other = Socket::ready(server, &["ADMIN"]).await;
        other.subscribe("1", VIEWER, json!({})).await;
        other.data("1").await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_closes_its_sockets_with_1001() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let mut socket = Socket::ready(&server, &["ADMIN"]).await;
    let mut early = Socket::open(&server).await;
    socket.subscribe("1", METRICS, json!({})).await;
    socket.data("1").await;
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    assert_eq!(socket.closed().await.0, 1001);
    assert_eq!(early.closed().await.0, 1001);
    assert_eq!(socket.hear().await, Heard::Gone);
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_subscription_is_refused_to_wrong_roles_and_audited_once_at_its_start() {
    with_server(async |server| {
        for role in ["FINANCIAL_DIRECTOR", "INGEST"] {
            let mut socket = Socket::ready(server, &[role]).await;
            socket.subscribe("1", &METRICS.replace("subscription", "subscription Denied"), json!({})).await;
            assert_eq!(socket.error("1").await["extensions"]["code"], "FORBIDDEN");
        }
        let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
        socket.subscribe("1", &METRICS.replace("subscription", "subscription Allowed"), json!({})).await;
        socket.data("1").await;
        let log = "query($w: TimeWindowInput!) { auditLog(window: $w) { nodes { operation fields allowed roles } } }";
        let around = json!({ "w": { "start": in_us(-3_600_000_000), "end": in_us(3_600_000_000) } });
        let entry = |operation: &str, allowed: bool, role: &str| {
            json!({ "operation": operation, "fields": ["executionMetrics"], "allowed": allowed, "roles": [role] })
        };
        let expected = [entry("Denied", false, "FINANCIAL_DIRECTOR"), entry("Denied", false, "INGEST"), entry("Allowed", true, "PIPELINE_TD")];
        let until = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let (_, answer) = server.ask(&["ADMIN"], log, around.clone()).await;
            let nodes = answer["data"]["auditLog"]["nodes"].as_array().unwrap();
            let found: Vec<&Value> = nodes.iter().filter(|node| node["fields"] == json!(["executionMetrics"])).collect();
            if found.len() == expected.len() {
                assert!(expected.iter().all(|entry| found.contains(&entry)), "{found:?}");
                return;
            }
            assert!(std::time::Instant::now() < until, "{nodes:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
