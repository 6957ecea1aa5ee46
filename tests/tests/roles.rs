//! Who may read what: every root field, and every guarded field of an object on each way to it, as every role, compared with the
//! committed table.
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
        ("alertRules", "{ alertRules { id } viewer { subject } }".to_owned()),
        ("alerts", "{ alerts { nodes { id } } viewer { subject } }".to_owned()),
        ("auditLog", format!("{{ auditLog({window}) {{ nodes {{ id }} }} viewer {{ subject }} }}")),
        ("availabilityBreakdown", format!("{{ availabilityBreakdown({window}) {{ asOf }} viewer {{ subject }} }}")),
        ("businessValues", "{ businessValues { id } viewer { subject } }".to_owned()),
        ("checkpointPopularity", format!("{{ checkpointPopularity({window}) {{ executions }} viewer {{ subject }} }}")),
        ("checkpointSwitching", format!("{{ checkpointSwitching({window}) {{ rowCount }} viewer {{ subject }} }}")),
        ("concurrencySeries", format!("{{ concurrencySeries({window}, step: HOUR) {{ rowCount }} viewer {{ subject }} }}")),
        ("costBreakdown", format!("{{ costBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        (
            "costForecast",
            "{ costForecast(history: { start: \"2026-03-01T00:00:00Z\", end: \"2026-03-02T00:00:00Z\" }, horizonDays: 1) { currency } viewer { subject } }".to_owned(),
        ),
        ("costRecommendations", format!("{{ costRecommendations({window}) {{ subject }} viewer {{ subject }} }}")),
        ("costReport", "{ costReport(month: \"2026-03\") { month } viewer { subject } }".to_owned()),
        ("costSeries", format!("{{ costSeries({window}, step: DAY) {{ rowCount }} viewer {{ subject }} }}")),
        ("dimensionValues", "{ dimensionValues(dimension: MODEL) { nodes { id } } viewer { subject } }".to_owned()),
        ("execution", r#"{ execution(id: "x") { id } viewer { subject } }"#.to_owned()),
        ("executionBreakdown", format!("{{ executionBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        (
            "executionComparison",
            format!("{{ executionComparison(baseline: {{ {window} }}, candidate: {{ {window} }}) {{ verdict }} viewer {{ subject }} }}"),
        ),
        ("executionSeries", format!("{{ executionSeries({window}, step: HOUR) {{ rowCount }} viewer {{ subject }} }}")),
        ("executions", format!("{{ executions({window}) {{ nodes {{ id }} }} viewer {{ subject }} }}")),
        ("fleetHealth", "{ fleetHealth { status } viewer { subject } }".to_owned()),
        ("instanceTypeUsage", format!("{{ instanceTypeUsage({window}) {{ vms }} viewer {{ subject }} }}")),
        ("jobBreakdown", format!("{{ jobBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        ("jobs", "{ jobs { nodes { id } } viewer { subject } }".to_owned()),
        ("loadBreakdown", format!("{{ loadBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        ("machineBreakdown", format!("{{ machineBreakdown({window}, by: [VM]) {{ rowCount }} viewer {{ subject }} }}")),
        ("machineSeries", format!("{{ machineSeries({window}, step: HOUR) {{ rowCount }} viewer {{ subject }} }}")),
        ("node", r#"{ node(id: "unknown") { id } viewer { subject } }"#.to_owned()),
        ("provisioningBreakdown", format!("{{ provisioningBreakdown({window}) {{ asOf }} viewer {{ subject }} }}")),
        ("rateCards", "{ rateCards { id } viewer { subject } }".to_owned()),
        ("roiBreakdown", format!("{{ roiBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        ("serviceConfig", "{ serviceConfig { version } viewer { subject } }".to_owned()),
        ("storageBreakdown", format!("{{ storageBreakdown({window}, by: [STORAGE_TYPE]) {{ rowCount }} viewer {{ subject }} }}")),
        ("usageBreakdown", format!("{{ usageBreakdown({window}, by: [MODEL]) {{ rowCount }} viewer {{ subject }} }}")),
        ("usageSeries", format!("{{ usageSeries({window}, step: DAY) {{ rowCount }} viewer {{ subject }} }}")),
        ("viewer", "{ viewer { subject } }".to_owned()),
        ("vms", "{ vms { nodes { id } } viewer { subject } }".to_owned()),
    ]
}

/// A document for each root field of what can be changed: none changes anything.
fn mutations() -> Vec<(&'static str, &'static str)> {
    vec![
        ("alertAcknowledge", "mutation { alertAcknowledge(id: \"none\") { userErrors { code } } }"),
        (
            "alertRuleCreate",
            "mutation { alertRuleCreate(input: { name: \"\", signal: CPU_RATIO, detection: ABOVE }) { userErrors { code } } }",
        ),
        ("alertRuleDelete", "mutation { alertRuleDelete(id: \"none\") { userErrors { code } } }"),
        ("alertRuleUpdate", "mutation { alertRuleUpdate(id: \"none\", patch: {}) { userErrors { code } } }"),
        (
            "businessValueCreate",
            "mutation { businessValueCreate(input: { perSuccess: \"-1\", currency: \"USD\", effectiveFrom: \"2026-03-01T00:00:00Z\" }) { userErrors { code } } }",
        ),
        ("costReportClose", "mutation { costReportClose(month: \"9998-01\") { userErrors { code } } }"),
        (
            "rateCardCreate",
            "mutation { rateCardCreate(input: { currency: \"USD\", effectiveFrom: \"2026-03-01T00:00:00Z\" }) { userErrors { code } } }",
        ),
    ]
}

/// A document for each root field of what can be subscribed to.
fn subscriptions() -> Vec<(&'static str, &'static str)> {
    vec![
        // Whoever may read it is told of the cursor at once; a subscription without one is silent until something changes.
        ("alertUpdates", "subscription { alertUpdates(after: \"none\") { cursor } }"),
        ("costMeter", "subscription { costMeter { asOf } }"),
        ("executionMetrics", "subscription { executionMetrics { asOf } }"),
        ("jobUpdates", "subscription { jobUpdates(after: \"none\") { cursor } }"),
        ("vmUtilization", "subscription { vmUtilization { at } }"),
    ]
}

/// The guarded fields of objects, and the ways to each: a document, and where in its data the object stands. Every way selects a `name`
/// beside the field.
fn ways() -> Vec<(&'static str, Vec<(String, &'static str)>)> {
    let window = r#"window: { start: "2026-03-01T00:00:00Z", end: "2026-03-02T00:00:00Z" }"#;
    vec![
        ("Execution.cost", ways_to_executions(window)),
        ("LoadStats.cost", ways_to_loads(window)),
        ("Vm.utilization", ways_to_machines(window)),
    ]
}

fn ways_to_executions(window: &str) -> Vec<(String, &'static str)> {
    let execution = "{ name: id cost { amount currency } }";
    vec![
        (format!("{{ executions({window}) {{ nodes {execution} }} }}"), "/executions/nodes/0"),
        (format!("{{ executions({window}) {{ edges {{ node {execution} }} }} }}"), "/executions/edges/0/node"),
        (format!(r#"{{ execution(id: "EXECUTION") {execution} }}"#), "/execution"),
        (format!(r#"{{ node(id: "EXECUTION") {{ ... on Execution {execution} }} }}"#), "/node"),
    ]
}

fn ways_to_loads(window: &str) -> Vec<(String, &'static str)> {
    let stats = "{ name: loads cost { total { amount } compute { amount } transfer { amount } perLoad { amount } } }";
    let by = |limit: u32, selected: &str| format!("{{ loadBreakdown({window}, by: [VM], limit: {limit}) {{ {selected} }} }}");
    vec![
        (by(1, &format!("rows {{ stats {stats} }}")), "/loadBreakdown/rows/0/stats"),
        (by(0, &format!("other {stats}")), "/loadBreakdown/other"),
        (by(0, &format!("total {stats}")), "/loadBreakdown/total"),
    ]
}

fn ways_to_machines(window: &str) -> Vec<(String, &'static str)> {
    let vm = "{ name utilization { at } }";
    vec![
        (format!("{{ vms {{ nodes {vm} }} }}"), "/vms/nodes/0"),
        (format!(r#"{{ node(id: "VM") {{ ... on Vm {vm} }} }}"#), "/node"),
        (format!("{{ executions({window}) {{ nodes {{ vm {vm} }} }} }}"), "/executions/nodes/0/vm"),
        (format!("{{ executions({window}) {{ nodes {{ job {{ vm {vm} }} }} }} }}"), "/executions/nodes/0/job/vm"),
        (format!("{{ jobs {{ nodes {{ vm {vm} }} }} }}"), "/jobs/nodes/0/vm"),
        (format!("{{ executionBreakdown({window}, by: [VM]) {{ rows {{ key {{ vm {vm} }} }} }} }}"), "/executionBreakdown/rows/0/key/vm"),
        (
            format!("{{ concurrencySeries({window}, step: HOUR, by: [VM]) {{ rows {{ key {{ vm {vm} }} }} }} }}"),
            "/concurrencySeries/rows/0/key/vm",
        ),
        (format!("{{ machineBreakdown({window}, by: [VM]) {{ rows {{ key {{ vm {vm} }} }} }} }}"), "/machineBreakdown/rows/0/key/vm"),
        (format!("{{ costBreakdown({window}, by: [VM]) {{ rows {{ key {{ vm {vm} }} }} }} }}"), "/costBreakdown/rows/0/key/vm"),
    ]
}

fn is_forbidden(answer: &Value, field: &str) -> bool {
    answer["errors"]
        .as_array()
        .is_some_and(|errors| errors.iter().any(|error| error["path"][0] == field && error["extensions"]["code"] == "FORBIDDEN"))
}

#[tokio::test]
async fn every_field_is_read_by_its_roles_and_nobody_else() {
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
    for (field, document) in mutations() {
        let _ = write!(table, "{field:<20}");
        for role in ROLES {
            let (_, answer) = server.ask(&[role], document, json!({})).await;
            let refused = is_forbidden(&answer, field);
            let told = answer["data"][field]["userErrors"].as_array().is_some_and(|errors| !errors.is_empty());
            assert!(told != refused && refused != answer["errors"].is_null(), "{answer}");
            let _ = write!(table, " {role}={}", if refused { "no" } else { "yes" });
        }
        table.push('\n');
    }
    for (field, document) in subscriptions() {
        let _ = write!(table, "{field:<20}");
        for role in ROLES {
            let mut socket = Socket::ready(&server, &[role]).await;
            socket.subscribe("1", document, json!({})).await;
            let answer = socket.message().await;
            let refused = answer["type"] == "error" && answer["payload"][0]["extensions"]["code"] == "FORBIDDEN";
            let of_cursor = ["alertUpdates", "jobUpdates"].contains(&field) && answer["payload"][0]["extensions"]["field"] == "after";
            assert!(refused || of_cursor || answer["type"] == "next" && answer["payload"]["errors"].is_null(), "{answer}");
            let _ = write!(table, " {role}={}", if refused { "no" } else { "yes" });
        }
        table.push('\n');
    }
    let (status, answer) = server.ingest(MACHINE.to_owned()).await.unwrap();
    assert_eq!((status, &answer["accepted"]), (200, &json!(3)), "{answer}");
    for (field, ways) in ways() {
        let _ = write!(table, "{field:<20}");
        for role in ROLES {
            let _ = write!(table, " {role}={}", if reads_nested(&server, role, field, &ways).await { "yes" } else { "no" });
        }
        table.push('\n');
    }
    assert_eq!(table, TABLE, "the table in tests/fixtures/roles.txt");
    server.stop();
}

/// A machine, the first name of all, that was sampled while an execution ran on it, and what that loaded.
const MACHINE: &str = r#"{"type":"vmSample","vm":"m","at":"2026-03-01T05:00:00Z","intervalSeconds":5,"cpuRatio":0.5}
{"type":"execution","id":"00000000-0000-7000-8000-000000000001","vm":"m","model":"sdxl","startedAt":"2026-03-01T04:00:00Z","finishedAt":"2026-03-01T05:30:00Z","outcome":"SUCCEEDED"}
{"type":"checkpointLoad","id":"00000000-0000-7000-8000-000000000002","vm":"m","model":"sdxl","startedAt":"2026-03-01T04:00:00Z","finishedAt":"2026-03-01T04:01:00Z","storageType":"OBJECT_STORE","cacheHit":false,"bytes":1073741824,"outcome":"SUCCEEDED"}"#;

/// The id of that execution.
const EXECUTION: &str = "execution_00000000000070008000000000000001";

/// Whether a role reads a guarded field of an object on every way to it: on none, the rest of the object is told all the same.
async fn reads_nested(server: &Server, role: &str, field: &str, ways: &[(String, &str)]) -> bool {
    let name = field.split('.').nth(1).unwrap();
    let (mut open, mut read) = (0, 0);
    let (_, machines) = server.ask(&["ADMIN"], "{ vms { nodes { id } } }", json!({})).await;
    let machine = &machines["data"]["vms"]["nodes"][0]["id"];
    for (document, place) in ways {
        let document = document.replace("\"VM\"", &machine.to_string()).replace("EXECUTION", EXECUTION);
        let (_, answer) = server.ask(&[role], &document, json!({})).await;
        if is_forbidden(&answer, place.split('/').nth(1).unwrap()) && answer["data"].pointer(place).is_none_or(Value::is_null) {
            continue;
        }
        open += 1;
        let object = answer["data"].pointer(place).and_then(Value::as_object).unwrap_or_else(|| panic!("{document} as {role}: {answer}"));
        assert!(!object["name"].is_null(), "{document} as {role}: {answer}");
        if let Some(errors) = answer["errors"].as_array() {
            assert!(object[name].is_null(), "{document} as {role}: {answer}");
            assert!(
                errors
                    .iter()
                    .all(|error| error["extensions"]["code"] == "FORBIDDEN" && error["path"].as_array().unwrap().ends_with(&[json!(name)])),
                "{answer}"
            );
        } else {
            // What nobody has set a price for has no cost, and is read.
            assert!(name == "cost" || !object[name].is_null(), "{document} as {role}: {answer}");
            read += 1;
        }
    }
    assert!(read == 0 || read == open, "{field} as {role}: {read} of {open} ways");
    read > 0
}

/// Fields, each with its roles.
type Guarded = Vec<(String, Vec<String>)>;

/// Guarded fields of the committed schema as the table names them: root fields (queries, mutations, subscriptions), then those of objects; each with
/// the roles that its `@requires` names; every role where there is none.
fn required() -> Guarded {
    let schema = include_str!("../../schema.graphql");
    let (mut roots, mut nested): ([Guarded; 3], Guarded) = Default::default();
    let named = |line: &str| {
        let line = line.strip_prefix('\t')?;
        let name: String = line.chars().take_while(char::is_ascii_alphanumeric).collect();
        (!name.is_empty() && line[name.len()..].starts_with(['(', ':'])).then_some(name)
    };
    let (mut object, mut field) = ("", String::new());
    for line in schema.lines().filter(|line| !line.starts_with("directive ")) {
        if line.ends_with('{') && !line.starts_with('\t') {
            object = line.strip_prefix("type ").map_or("", |rest| rest.split([' ', '{']).next().unwrap());
        }
        let root = ["Query", "Mutation", "Subscription"].iter().position(|root| *root == object);
        if let Some(name) = named(line) {
            field = name;
            root.into_iter().for_each(|root| roots[root].push((field.clone(), ROLES.map(str::to_owned).to_vec())));
        }
        if let Some((_, roles)) = line.split_once("@requires(roles: [") {
            let roles = roles.split(']').next().unwrap().split(", ").map(str::to_owned).collect();
            match root {
                Some(root) => roots[root].last_mut().unwrap().1 = roles,
                None => nested.push((format!("{object}.{field}"), roles)),
            }
        }
    }
    roots.into_iter().flatten().chain(nested).collect()
}

/// The documents above leave no root field and no guarded field out.
#[test]
fn every_guarded_field_of_the_schema_has_a_case() {
    let fields: Vec<String> = required().into_iter().map(|(field, _)| field).collect();
    let cases = documents().into_iter().map(|(field, _)| field).chain(mutations().into_iter().map(|(field, _)| field));
    let cases = cases.chain(subscriptions().into_iter().map(|(field, _)| field));
    let cases: Vec<String> = cases.chain(ways().into_iter().map(|(field, _)| field)).map(str::to_owned).collect();
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
