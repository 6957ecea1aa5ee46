//! Alerts against the real binary: rules made, changed and deleted, alerts followed and taken, each role its own, `kill -9` in between.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use plimsoll_tests::socket::{Heard, Socket};
use plimsoll_tests::{Database, SECRET, Server, in_us};
use serde_json::{Value, json};

const STORY: &str = include_str!("../operations/admin-06-health-and-alerts.graphql");
const UPDATES: &str = "subscription($after: String, $states: [AlertState!]) { alertUpdates(after: $after, states: $states) {
    cursor node { id state subject value acknowledgedBy resolvedAt rule { name signal } } } }";
const CREATE: &str = "mutation($input: AlertRuleInput!) { alertRuleCreate(input: $input) {
    alertRule { id name signal detection threshold forSeconds severity by enabled webhookHost } userErrors { code field message } } }";
const UPDATE: &str = "mutation($id: ID!, $patch: AlertRulePatch!) { alertRuleUpdate(id: $id, patch: $patch) {
    alertRule { id name threshold forSeconds enabled webhookHost } userErrors { code field } } }";
const DELETE: &str = "mutation($id: ID!) { alertRuleDelete(id: $id) { alertRule { id enabled } userErrors { code field } } }";
const ACKNOWLEDGE: &str =
    "mutation($id: ID!) { alertAcknowledge(id: $id) { alert { id state acknowledgedBy } userErrors { code field } } }";
/// How long a change may take to come: the right to evaluate of a process that was killed ends after 20 s.
const CHANGE_MAX: Duration = Duration::from_secs(40);

async fn ingest(server: &Server, event: Value) {
    let (status, answer) = server.ingest(event.to_string()).await.expect("an answer");
    assert_eq!((status, &answer["rejectedCount"]), (200, &json!(0)), "{answer}");
}

/// A sample of a minute, so that it is fresh for the whole test.
async fn sample(server: &Server, vm: &str, us: i64, cpu: f64) {
    let event = json!({ "type": "vmSample", "vm": vm, "at": in_us(us), "intervalSeconds": 60, "cpuRatio": cpu });
    ingest(server, event).await;
}

async fn create(server: &Server, role: &str, input: Value) -> Value {
    let (_, mut answer) = server.ask(&[role], CREATE, json!({ "input": input })).await;
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"]["alertRuleCreate"].take()
}

/// Makes a rule; its id.
async fn made(server: &Server, role: &str, input: Value) -> String {
    let payload = create(server, role, input).await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    payload["alertRule"]["id"].as_str().unwrap().to_owned()
}

async fn ask(server: &Server, role: &str, query: &str, variables: Value) -> Value {
    let (_, mut answer) = server.ask(&[role], query, variables).await;
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"].take()
}

async fn follow(server: &Server, after: Option<&str>) -> Socket {
    let mut socket = Socket::ready(server, &["ADMIN"]).await;
    socket.subscribe("a", UPDATES, json!({ "after": after })).await;
    socket
}

/// The next change, with its cursor.
async fn change(socket: &mut Socket) -> Value {
    let Heard::Message(mut message) = socket.hear_within(CHANGE_MAX).await.expect("a change in time") else { panic!("closed") };
    message["payload"]["data"]["alertUpdates"].take()
}

fn told(edge: &Value) -> (&str, &str) {
    (edge["node"]["subject"].as_str().unwrap(), edge["node"]["state"].as_str().unwrap())
}

async fn an_alert_is_followed_taken_and_ended(database: Database) {
    let server = Server::start(&database);
    let input =
        json!({ "name": "CPU", "signal": "CPU_RATIO", "detection": "ABOVE", "threshold": 0.9, "forSeconds": 0, "severity": "CRITICAL" });
    let rule = made(&server, "ADMIN", input).await;
    sample(&server, "a", -1_000_000, 0.2).await;
    // A cursor from before anything happened: what comes is told whenever the subscription begins.
    let start = first_cursor(&server).await;
    let mut socket = follow(&server, Some(&start)).await;
    sample(&server, "a", 0, 0.95).await;
    let firing = change(&mut socket).await;
    assert_eq!((told(&firing), &firing["node"]["value"], &firing["node"]["rule"]["name"]), (("a", "FIRING"), &json!(0.95), &json!("CPU")));
    let health = ask(&server, "ADMIN", STORY, json!({})).await;
    let open = health["alerts"]["nodes"].as_array().unwrap();
    assert!(open.iter().any(|alert| alert["id"] == firing["node"]["id"] && alert["severity"] == "CRITICAL"), "{health}");
    let fleet = &health["fleetHealth"];
    assert_eq!(
        (&fleet["status"], &fleet["vms"], &fleet["running"], &fleet["unreachable"]),
        (&json!("CRITICAL"), &json!(1), &json!(1), &json!(0))
    );
    assert!(fleet["firingAlerts"].as_u64().unwrap() >= 1 && health["alertRules"].as_array().unwrap().len() >= 8, "{health}");

    let id = json!({ "id": firing["node"]["id"] });
    let taken = ask(&server, "ADMIN", ACKNOWLEDGE, id.clone()).await;
    assert_eq!(taken["alertAcknowledge"]["alert"]["acknowledgedBy"], "test");
    assert_eq!(told(&change(&mut socket).await), ("a", "ACKNOWLEDGED"));
    server.kill();
    let server = Server::start(&database);
    let mut socket = follow(&server, firing["cursor"].as_str()).await;
    assert_eq!(told(&change(&mut socket).await), ("a", "ACKNOWLEDGED"), "behind the cursor, after the end of the process");
    sample(&server, "a", 1_000, 0.1).await;
    let ended = change(&mut socket).await;
    assert_eq!(told(&ended), ("a", "RESOLVED"));
    assert!(ended["node"]["resolvedAt"].is_string() && ended["node"]["acknowledgedBy"] == "test", "{ended}");
    let late = ask(&server, "ADMIN", ACKNOWLEDGE, id).await;
    assert_eq!(late["alertAcknowledge"]["userErrors"], json!([{ "code": "CONFLICT", "field": ["id"] }]));
    // The rule goes, its alert stays readable with it.
    assert_eq!(ask(&server, "ADMIN", DELETE, json!({ "id": rule })).await["alertRuleDelete"]["userErrors"], json!([]));
    let resolved = ask(&server, "ADMIN", "{ alerts(states: [RESOLVED]) { nodes { id rule { name enabled } } } }", json!({})).await;
    let alert = resolved["alerts"]["nodes"].as_array().unwrap().iter().find(|alert| alert["id"] == ended["node"]["id"]).unwrap();
    assert_eq!(alert["rule"], json!({ "name": "CPU", "enabled": false }));
    server.stop();
    database.remove().await;
}

/// A cursor from before the test's own changes: that of a first alert, which a rule of its own makes.
async fn first_cursor(server: &Server) -> String {
    let mut socket = follow(server, None).await;
    let input = json!({ "name": "Any", "signal": "CPU_RATIO", "detection": "BELOW", "threshold": 0.9, "forSeconds": 0 });
    // The subscription may begin after the first alert: then the next one tells.
    loop {
        let id = made(server, "ADMIN", input.clone()).await;
        let heard = socket.hear_within(Duration::from_secs(8)).await;
        ask(server, "ADMIN", DELETE, json!({ "id": id })).await;
        if let Some(Heard::Message(message)) = heard {
            let mut last = message["payload"]["data"]["alertUpdates"].clone();
            while told(&last).1 != "RESOLVED" {
                last = change(&mut socket).await;
            }
            return last["cursor"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn alerts_are_followed_on_sqlite() {
    an_alert_is_followed_taken_and_ended(Database::sqlite()).await;
}

#[tokio::test]
async fn alerts_are_followed_on_postgres() {
    if let Some(database) = Database::postgres("alerts").await {
        an_alert_is_followed_taken_and_ended(database).await;
    }
}

#[tokio::test]
async fn each_role_has_its_own_rules_and_is_told_what_is_wrong() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let cost = json!({ "name": "Cost", "signal": "COST_PER_HOUR", "detection": "ABOVE", "threshold": 100.0 });
    let failures =
        json!({ "name": "Failures", "signal": "FAILURE_RATIO", "detection": "ABOVE", "threshold": 0.5, "by": ["MODEL", "USER"] });
    assert_eq!(create(&server, "ADMIN", cost.clone()).await["userErrors"][0]["code"], "FORBIDDEN");
    assert_eq!(create(&server, "FINANCIAL_DIRECTOR", failures.clone()).await["userErrors"][0]["field"], json!(["input", "signal"]));
    let cost = made(&server, "FINANCIAL_DIRECTOR", cost).await;
    let failures = made(&server, "ADMIN", failures).await;
    let ids = async |role: &str| {
        let rules = ask(&server, role, "{ alertRules { id signal } }", json!({})).await;
        rules["alertRules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("FINANCIAL_DIRECTOR").await, std::slice::from_ref(&cost));
    assert!(ids("ADMIN").await.contains(&failures) && !ids("ADMIN").await.contains(&cost));
    assert!(ids("PIPELINE_TD").await.contains(&failures) && !ids("PIPELINE_TD").await.contains(&cost));
    // What is not one's own is not there.
    for (query, field) in [(DELETE, "alertRuleDelete"), (UPDATE, "alertRuleUpdate")] {
        let answer = ask(&server, "ADMIN", query, json!({ "id": cost, "patch": {} })).await;
        assert_eq!(answer[field]["userErrors"], json!([{ "code": "NOT_FOUND", "field": ["id"] }]));
    }
    let node = "query($id: ID!) { node(id: $id) { id } }";
    assert!(ask(&server, "ADMIN", node, json!({ "id": cost })).await["node"].is_null());
    assert_eq!(ask(&server, "FINANCIAL_DIRECTOR", node, json!({ "id": cost })).await["node"]["id"], json!(cost));

    let wrong =
        json!({ "name": "", "signal": "DISK_RATIO", "detection": "ABOVE", "forSeconds": -1, "by": ["USER"], "webhookUrl": "ftp://x" });
    let payload = create(&server, "ADMIN", wrong).await;
    let fields: Vec<&str> = payload["userErrors"].as_array().unwrap().iter().map(|error| error["field"][1].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "forSeconds", "threshold", "by", "webhookUrl"], "{payload}");
    let patched = json!({ "name": "Many failures", "threshold": 0.25, "webhookUrl": "https://hooks.example.com/secret" });
    let payload = ask(&server, "ADMIN", UPDATE, json!({ "id": failures, "patch": patched })).await;
    let rule = &payload["alertRuleUpdate"]["alertRule"];
    assert_eq!((&rule["name"], &rule["threshold"], &rule["forSeconds"]), (&json!("Many failures"), &json!(0.25), &json!(60)), "{payload}");
    assert_eq!(rule["webhookHost"], "hooks.example.com");
    for (patch, field) in
        [(json!({ "name": null }), "name"), (json!({ "threshold": null }), "threshold"), (json!({ "threshold": 7 }), "threshold")]
    {
        let payload = ask(&server, "ADMIN", UPDATE, json!({ "id": failures, "patch": patch })).await;
        assert_eq!(payload["alertRuleUpdate"]["userErrors"][0]["field"], json!(["patch", field]), "{payload}");
    }
    let gone = ask(&server, "ADMIN", UPDATE, json!({ "id": failures, "patch": { "webhookUrl": null } })).await;
    assert!(gone["alertRuleUpdate"]["alertRule"]["webhookHost"].is_null(), "{gone}");
    server.stop();
}

/// A notice as a receiver is sent it.
type Notice = (axum::http::HeaderMap, Value);

/// A receiver on loopback; its URL, and what it is sent.
async fn receiver() -> (String, tokio::sync::mpsc::UnboundedReceiver<Notice>) {
    let (heard, hearing) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v2/alerts", listener.local_addr().unwrap());
    let answer = async move |headers: axum::http::HeaderMap, body: String| {
        let _ = heard.send((headers, serde_json::from_str(&body).unwrap()));
    };
    let routes = axum::Router::new().route("/api/v2/alerts", axum::routing::post(answer));
    tokio::spawn(axum::serve(listener, routes).into_future());
    (url, hearing)
}

#[tokio::test]
async fn webhooks_are_told_when_an_alert_begins_and_ends() {
    let database = Database::sqlite();
    let variables = [("PLIMSOLL_WEBHOOK_ALLOW", "127.0.0.1/32"), ("PLIMSOLL_WEBHOOK_SECRET", SECRET)];
    let server = Server::start_with(&database.url(), &variables);
    let (url, mut hearing) = receiver().await;
    let input = |url: &str| json!({ "name": "CPU", "signal": "CPU_RATIO", "detection": "ABOVE", "threshold": 0.9, "forSeconds": 0, "severity": "CRITICAL", "webhookUrl": url });
    let refused = create(&server, "ADMIN", input("http://127.0.0.2:9/")).await;
    assert_eq!(refused["userErrors"][0]["field"], json!(["input", "webhookUrl"]), "{refused}");
    made(&server, "ADMIN", input(&url)).await;
    let mut told = async || tokio::time::timeout(CHANGE_MAX, hearing.recv()).await.expect("a notice in time").unwrap();
    sample(&server, "a", 0, 0.95).await;
    let (headers, firing) = told().await;
    assert!(headers["x-plimsoll-signature"].to_str().unwrap().starts_with("sha256=") && headers.contains_key("x-plimsoll-timestamp"));
    let labels = json!({ "alertname": "CPU", "severity": "critical", "signal": "CPU_RATIO", "subject": "a", "vm": "a" });
    assert_eq!((&firing[0]["labels"], &firing[0]["annotations"]["value"]), (&labels, &json!("0.95")), "{firing}");
    assert!(firing[0]["startsAt"].is_string() && firing[0]["endsAt"].is_null(), "{firing}");
    sample(&server, "a", 1_000, 0.1).await;
    let (ended_headers, resolved) = told().await;
    assert_eq!((&resolved[0]["labels"], &resolved[0]["startsAt"]), (&labels, &firing[0]["startsAt"]));
    assert!(resolved[0]["endsAt"].is_string(), "{resolved}");
    assert_ne!(headers["x-plimsoll-delivery"], ended_headers["x-plimsoll-delivery"]);
    server.metric_reaches("plimsoll_webhooks_total{outcome=\"delivered\"}", 2.0).await;
    let health = ask(&server, "ADMIN", STORY, json!({})).await;
    let webhooks =
        health["fleetHealth"]["components"].as_array().unwrap().iter().find(|component| component["name"] == "webhooks").cloned();
    assert!(webhooks.is_some_and(|component| component["healthy"] == true), "{health}");
    server.stop();
}
