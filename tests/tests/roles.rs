//! Who may read what: every root field as every role, compared with the committed table.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;

use plimsoll_tests::socket::Socket;
use plimsoll_tests::{Database, Server};
use serde_json::{Value, json};

const ROLES: [&str; 4] = ["PIPELINE_TD", "ADMIN", "FINANCIAL_DIRECTOR", "INGEST"];
const TABLE: &str = include_str!("../fixtures/roles.txt");

/// A document for each root field.
fn documents() -> Vec<(&'static str, String)> {
    let window = r#"window: { start: "2026-03-01T00:00:00Z", end: "2026-03-02T00:00:00Z" }"#;
    vec![
        ("auditLog", format!("{{ auditLog({window}) {{ nodes {{ id }} }} viewer {{ subject }} }}")),
        ("availabilityBreakdown", format!("{{ availabilityBreakdown({window}) {{ asOf }} viewer {{ subject }} }}")),
        ("checkpointPopularity", format!("{{ checkpointPopularity({window}) {{ executions }} viewer {{ subject }} }}")),
        ("checkpointSwitching", format!("{{ checkpointSwitching({window}) {{ rowCount }} viewer {{ subject }} }}")),
        ("concurrencySeries", format!("{{ concurrencySeries({window}, step: HOUR) {{ rowCount }} viewer {{ subject }} }}")),
        ("dimensionValues", "{ dimensionValues(dimension: MODEL) { nodes { id } } viewer { subject } }".to_owned()),
        ("execution", r#"{ execution(id: "x") { id } viewer { subject } }"#.to_owned()),
        ("executionBreakdown", format!("{{ executionBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        (
            "executionComparison",
            format!("{{ executionComparison(baseline: {{ {window} }}, candidate: {{ {window} }}) {{ verdict }} viewer {{ subject }} }}"),
        ),
        ("executionSeries", format!("{{ executionSeries({window}, step: HOUR) {{ rowCount }} viewer {{ subject }} }}")),
        ("executions", format!("{{ executions({window}) {{ nodes {{ id }} }} viewer {{ subject }} }}")),
        ("instanceTypeUsage", format!("{{ instanceTypeUsage({window}) {{ vms }} viewer {{ subject }} }}")),
        ("jobBreakdown", format!("{{ jobBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        ("jobs", "{ jobs { nodes { id } } viewer { subject } }".to_owned()),
        ("loadBreakdown", format!("{{ loadBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        ("machineBreakdown", format!("{{ machineBreakdown({window}, by: [VM]) {{ rowCount }} viewer {{ subject }} }}")),
        ("machineSeries", format!("{{ machineSeries({window}, step: HOUR) {{ rowCount }} viewer {{ subject }} }}")),
        ("node", r#"{ node(id: "unknown") { id } viewer { subject } }"#.to_owned()),
        ("provisioningBreakdown", format!("{{ provisioningBreakdown({window}) {{ asOf }} viewer {{ subject }} }}")),
        ("serviceConfig", "{ serviceConfig { version } viewer { subject } }".to_owned()),
        ("storageBreakdown", format!("{{ storageBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        ("usageBreakdown", format!("{{ usageBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        ("usageSeries", format!("{{ usageSeries({window}, step: DAY) {{ rowCount }} viewer {{ subject }} }}")),
        ("viewer", "{ viewer { subject } }".to_owned()),
        ("vms", "{ vms { nodes { id } } viewer { subject } }".to_owned()),
    ]
}

/// A document for each root field of what can be subscribed to.
fn subscriptions() -> Vec<(&'static str, &'static str)> {
    vec![
        ("executionMetrics", "subscription { executionMetrics { asOf } }"),
        // Whoever may read it is told of the cursor at once; a subscription without one is silent until a job changes.
        ("jobUpdates", "subscription { jobUpdates(after: \"none\") { cursor } }"),
    ]
}

fn is_forbidden(answer: &Value, field: &str) -> bool {
    answer["errors"]
        .as_array()
        .is_some_and(|errors| errors.iter().any(|error| error["path"][0] == field && error["extensions"]["code"] == "FORBIDDEN"))
}

#[tokio::test]
async fn every_root_field_is_read_by_its_roles_and_nobody_else() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let mut table = String::new();
    for (field, document) in documents() {
        let _ = write!(table, "{field:<20}");
        for role in ROLES {
            let (_, answer) = server.ask(&[role], &document, json!({})).await;
            let refused = is_forbidden(&answer, field);
            assert_eq!(answer["data"]["viewer"]["subject"], "test", "neighbours answer: {answer}");
            if refused {
                assert!(answer["data"].as_object().unwrap().contains_key(field) && answer["data"][field].is_null(), "{answer}");
            } else {
                assert!(answer["errors"].is_null(), "{answer}");
            }
            let _ = write!(table, " {role}={}", if refused { "no" } else { "yes" });
        }
        table.push('\n');
        let (status, answer) = server.ask(&[], &document, json!({})).await;
        assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (401, &json!("UNAUTHENTICATED")), "{answer}");
    }
    for (field, document) in subscriptions() {
        let _ = write!(table, "{field:<20}");
        for role in ROLES {
            let mut socket = Socket::ready(&server, &[role]).await;
            socket.subscribe("1", document, json!({})).await;
            let answer = socket.message().await;
            let refused = answer["type"] == "error" && answer["payload"][0]["extensions"]["code"] == "FORBIDDEN";
            let of_cursor = field == "jobUpdates" && answer["payload"][0]["extensions"]["field"] == "after";
            assert!(refused || of_cursor || answer["type"] == "next" && answer["payload"]["errors"].is_null(), "{answer}");
            let _ = write!(table, " {role}={}", if refused { "no" } else { "yes" });
        }
        table.push('\n');
    }
    assert_eq!(table, TABLE, "the table in tests/fixtures/roles.txt");
    server.stop();
}

/// Root fields of the committed schema, those of queries first, each with the roles that its `@requires` names; every role where there is none.
fn required() -> Vec<(String, Vec<String>)> {
    let schema = include_str!("../../schema.graphql");
    let fields_of = |root: &str| schema.split(&format!("\ntype {root} {{")).nth(1).unwrap().split("\n}").next().unwrap();
    let (query, subscription) = (fields_of("Query"), fields_of("Subscription"));
    let named = |line: &str| {
        let line = line.strip_prefix('\t')?;
        let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        (!name.is_empty() && line[name.len()..].starts_with(['(', ':'])).then_some(name)
    };
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    for line in query.lines().chain(subscription.lines()) {
        if let Some(name) = named(line) {
            fields.push((name, ROLES.map(str::to_owned).to_vec()));
        }
        if let Some((_, roles)) = line.split_once("@requires(roles: [") {
            fields.last_mut().unwrap().1 = roles.split(']').next().unwrap().split(", ").map(str::to_owned).collect();
        }
    }
    let guarded = schema.matches("@requires(").count() - schema.matches("directive @requires(").count();
    let at_roots = query.matches("@requires(").count() + subscription.matches("@requires(").count();
    assert_eq!(guarded, at_roots, "a nested guarded field needs a case");
    fields
}

/// The documents above leave no root field out.
#[test]
fn every_root_field_of_the_schema_has_a_case() {
    let fields: Vec<String> = required().into_iter().map(|(field, _)| field).collect();
    let cases = documents().into_iter().map(|(field, _)| field).chain(subscriptions().into_iter().map(|(field, _)| field));
    let cases: Vec<String> = cases.map(str::to_owned).collect();
    assert_eq!(fields, cases);
}

/// What the schema says of roles is what the table says, and so what the server does.
#[test]
fn the_schema_tells_the_roles_that_the_server_asks_for() {
    let mut told = String::new();
    for (field, roles) in required() {
        let _ = write!(told, "{field:<20}");
        for role in ROLES {
            let _ = write!(told, " {role}={}", if roles.iter().any(|allowed| allowed == role) { "yes" } else { "no" });
        }
        told.push('\n');
    }
    assert_eq!(told, TABLE, "@requires in schema.graphql and tests/fixtures/roles.txt");
}
