//! The lists as a client reads them: pages in both directions, cursors, ids, roles.
//!
//! Events go in through the writer; documents go to the schema, without a server around it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::Arc;

use async_graphql::{Request, Variables};
use plimsoll::auth::Scope;
use plimsoll::graphql::mutation::Writing;
use plimsoll::graphql::query::service::ServiceConfig;
use plimsoll::graphql::subscription::live::Live;
use plimsoll::graphql::{PlimsollSchema, schema};
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::clock::{CountingIds, FixedClock};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::Writer;
use plimsoll_domain::live::bus::LocalBus;
use plimsoll_domain::live::commits::Commits;
use plimsoll_domain::store::{AuditRow, Store};
use plimsoll_entity::value::label::Role;
use plimsoll_entity::value::time::Instant;
use serde_json::{Value, json};
use uuid::Uuid;

/// Nodes of a page when nobody says how many, and at most: small, so that the settings show.
const PAGE: (usize, usize) = (3, 4);
const WINDOW: &str = r#"window: { start: "2026-03-01T00:00:00Z", end: "2026-03-02T00:00:00Z" }"#;

struct Desk {
    schema: PlimsollSchema,
    _folder: tempfile::TempDir,
}

impl Desk {
    /// A schema over these events and audit entries.
    async fn with(lines: &[Value], entries: Vec<AuditRow>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::parse("2026-03-02T00:00:00Z").unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("plimsoll.db").display());
        let store = Store::open(&url, Arc::new(FixedClock::at(now))).await.unwrap();
        store.migrate().await.unwrap();
        let context = ReadContext { now, strict: true, oldest: None };
        let events = lines.iter().map(|line| read_line(line.to_string().as_bytes(), &context).unwrap().event);
        let (writer, handle) = Writer::new(store.clone());
        let running = tokio::spawn(writer.run());
        handle.write((1..).zip(events).collect(), 0).await.unwrap();
        drop(handle);
        running.await.unwrap();
        store.audit_append(entries).await.unwrap();
        let config = ServiceConfig::new(&plimsoll_gate::Limits::default(), "USD".to_owned(), 1, PAGE);
        let bus = Arc::new(LocalBus::default());
        let (commits, _) = Commits::new(store.clone(), Arc::clone(&bus) as _);
        let writing = Writing { bus, ids: Arc::new(CountingIds::default()), webhook_allow: Arc::default() };
        Self { schema: schema(Reader::new(store), Live::new(commits), writing, config), _folder: folder }
    }

    async fn ask(&self, role: Role, document: &str, variables: Value) -> Value {
        let scope = Scope { roles: [role].into_iter().collect() };
        let request = Request::new(document).variables(Variables::from_json(variables)).data(scope);
        serde_json::to_value(self.schema.execute(request).await).unwrap()
    }

    /// The data of an answer without errors.
    async fn data(&self, role: Role, document: &str, variables: Value) -> Value {
        let answer = self.ask(role, document, variables).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"].clone()
    }
}

fn execution(number: u128, second: u32) -> Value {
    json!({"type": "execution", "id": Uuid::from_u128(number), "job": format!("job {}", number / 2), "attempt": number % 2 + 1,
        "model": if number.is_multiple_of(2) { "flux" } else { "sdxl" }, "startedAt": "2026-03-01T10:00:00Z",
        "finishedAt": format!("2026-03-01T10:00:{second:02}Z"), "outcome": "SUCCEEDED", "vm": "m1"})
}

/// Executions 0 to 9, three of which end at one instant.
fn executions() -> Vec<Value> {
    [9, 8, 7, 5, 5, 5, 4, 3, 2, 1].into_iter().zip(0..).map(|(second, number)| execution(number, second)).collect()
}

/// What a walk saw: the nodes of each page.
async fn walk(desk: &Desk, field: &str, size: &str, from: &str, node: &str) -> Vec<Vec<Value>> {
    let document = format!(
        "query($size: Int, $at: String) {{ list: {field} {size}: $size, {from}: $at) \
         {{ edges {{ cursor node {{ {node} }} }} nodes {{ {node} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
    );
    let (mut pages, mut at) = (Vec::new(), Value::Null);
    loop {
        let data = desk.data(Role::Admin, &document, json!({"size": 3, "at": at})).await;
        let (list, info) = (&data["list"], &data["list"]["pageInfo"]);
        let edges = list["edges"].as_array().unwrap();
        assert_eq!(list["nodes"], edges.iter().map(|edge| edge["node"].clone()).collect::<Value>());
        assert_eq!((&info["startCursor"], &info["endCursor"]), (&edges[0]["cursor"], &edges[edges.len() - 1]["cursor"]));
        let (ahead, behind, next) = match size {
            "first" => ("hasNextPage", "hasPreviousPage", "endCursor"),
            _ => ("hasPreviousPage", "hasNextPage", "startCursor"),
        };
        assert_eq!(info[behind], !pages.is_empty());
        pages.push(list["nodes"].as_array().unwrap().clone());
        if info[ahead] == false {
            return pages;
        }
        at = info[next].clone();
    }
}

#[tokio::test]
async fn a_walk_meets_every_node_once_in_both_directions() {
    let entry = |number: i64| AuditRow {
        at: Instant(Instant::parse("2026-03-01T10:00:00Z").unwrap().0 + number / 3),
        id: Uuid::from_u128(number as u128),
        subject: "ann".to_owned(),
        roles: vec!["ADMIN".to_owned()],
        operation: String::new(),
        fields: vec!["vms".to_owned(), "viewer".to_owned()],
        allowed: true,
        address: None,
    };
    let mut lines = executions();
    lines.extend((0..8_u128).map(|number| {
        json!({"type": "vmState", "id": Uuid::from_u128(100 + number), "vm": format!("n{number}"), "at": "2026-03-01T00:00:00Z",
            "state": if number.is_multiple_of(2) { "RUNNING" } else { "STOPPED" }})
    }));
    let desk = Desk::with(&lines, (0..10).map(entry).collect()).await;
    let lists = [
        (format!("executions({WINDOW},"), "id finishedAt", 10),
        (format!(r#"executions({WINDOW}, filter: {{ models: ["sdxl"] }},"#), "id finishedAt", 5),
        (format!("auditLog({WINDOW},"), "id at", 10),
        ("jobs(".to_owned(), "id key state attempts", 5),
        ("jobs(filter: { models: [\"flux\"], states: [SUCCEEDED, RUNNING] },".to_owned(), "id key", 4),
        ("vms(".to_owned(), "id name", 9),
        ("vms(filter: { states: [RUNNING] },".to_owned(), "id name", 4),
        ("dimensionValues(dimension: VM, search: \"N\",".to_owned(), "id name", 8),
    ];
    for (field, node, count) in lists {
        let forwards = walk(&desk, &field, "first", "after", node).await.concat();
        let mut backwards = walk(&desk, &field, "last", "before", node).await;
        backwards.reverse();
        assert_eq!((forwards.len(), &backwards.concat()), (count, &forwards), "{field}");
    }
}

#[tokio::test]
async fn what_lies_beyond_a_cursor_is_looked_up() {
    let desk = Desk::with(&executions(), Vec::new()).await;
    let document = format!(
        "query($a: String, $b: String) {{ executions({WINDOW}, after: $a, before: $b) \
         {{ edges {{ cursor }} pageInfo {{ hasNextPage hasPreviousPage }} }} }}"
    );
    let asked = async |after: &Value, before: &Value| {
        desk.data(Role::PipelineTd, &document, json!({"a": after, "b": before})).await["executions"].clone()
    };
    let first = asked(&Value::Null, &Value::Null).await;
    let cursor = |at: usize| first["edges"][at]["cursor"].clone();
    assert_eq!(first["pageInfo"], json!({"hasNextPage": true, "hasPreviousPage": false}));
    let one = asked(&cursor(0), &cursor(2)).await;
    assert_eq!((one["edges"].as_array().unwrap().len(), &one["pageInfo"]), (1, &json!({"hasNextPage": true, "hasPreviousPage": true})));
    let none = asked(&Value::Null, &cursor(0)).await;
    assert_eq!((&none["edges"], &none["pageInfo"]), (&json!([]), &json!({"hasNextPage": true, "hasPreviousPage": false})));
}

#[tokio::test]
async fn odd_pages_are_refused_by_argument() {
    let desk = Desk::with(&executions(), Vec::new()).await;
    let vms = desk.data(Role::Admin, "{ vms { pageInfo { endCursor } } }", json!({})).await;
    let foreign = &vms["vms"]["pageInfo"]["endCursor"];
    let odd = [
        ("first: -1".to_owned(), "first"),
        ("last: 5".to_owned(), "last"),
        ("first: 1, last: 1".to_owned(), "last"),
        ("after: \"x\"".to_owned(), "after"),
        (format!("before: {foreign}"), "before"),
    ];
    for (arguments, field) in odd {
        let answer = desk.ask(Role::Admin, &format!("{{ executions({WINDOW}, {arguments}) {{ nodes {{ id }} }} }}"), json!({})).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["field"]), (&json!("BAD_USER_INPUT"), &json!(field)), "{answer}");
    }
    // The settings' own sizes, not those of a build.
    let page = desk.data(Role::Admin, &format!("{{ executions({WINDOW}) {{ nodes {{ id }} }} }}"), json!({})).await;
    assert_eq!(page["executions"]["nodes"].as_array().unwrap().len(), PAGE.0);
}

#[tokio::test]
async fn a_node_is_found_by_the_id_that_it_gave_and_only_by_its_roles() {
    let desk = Desk::with(&executions(), Vec::new()).await;
    let document = format!(
        "{{ executions({WINDOW}, first: 1) {{ nodes {{ id job {{ id key attempts state }} vm {{ id }} \
         combination {{ id modelVersion {{ id model {{ id }} }} }} }} }} }}"
    );
    let data = desk.data(Role::Admin, &document, json!({})).await;
    let node = &data["executions"]["nodes"][0];
    assert_eq!(node["job"], json!({"id": node["job"]["id"], "key": "job 0", "attempts": 2, "state": "SUCCEEDED"}));
    let version = &node["combination"]["modelVersion"];
    let found = "query($id: ID!) { node(id: $id) { __typename id } }";
    let objects = [
        ("Execution", &node["id"], true),
        ("Vm", &node["vm"]["id"], false),
        ("Combination", &node["combination"]["id"], true),
        ("ModelVersion", &version["id"], true),
        ("Model", &version["model"]["id"], true),
    ];
    for (kind, id, is_open_to_finance) in objects {
        let data = desk.data(Role::Admin, found, json!({"id": id})).await;
        assert_eq!(data["node"], json!({"__typename": kind, "id": id}));
        let answer = desk.ask(Role::FinancialDirector, found, json!({"id": id})).await;
        assert_eq!(answer["data"]["node"].is_null(), !is_open_to_finance, "{answer}");
        let answer = desk.ask(Role::Ingest, found, json!({"id": id})).await;
        assert_eq!((&answer["data"]["node"], &answer["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("FORBIDDEN")));
        assert_eq!(answer["errors"][0]["path"], json!(["node"]));
    }
    let hyphenated = format!("job_{}", Uuid::from_u128(1));
    let other_dimension = version["model"]["id"].as_str().unwrap().replace("model_", "user_");
    for id in ["", "x", "vm_0", "vm_-1", "model_01", "vm_4294967295", "execution_1", "audit_1.x", &hyphenated, &other_dimension] {
        assert_eq!(desk.data(Role::Admin, found, json!({"id": id})).await["node"], Value::Null, "{id}");
    }
    // The event's own UUID is an id as well where there is no doubt of the type.
    let by_uuid = desk.data(Role::Admin, "query($id: ID!) { execution(id: $id) { id } }", json!({"id": Uuid::from_u128(0)})).await;
    assert_eq!(by_uuid["execution"]["id"], node["id"]);
}

#[tokio::test]
async fn jobs_are_broken_down_by_their_last_attempts() {
    let desk = Desk::with(&executions(), Vec::new()).await;
    let asked = |window: &str, filter: &str| {
        format!(
            "{{ jobBreakdown({window}, by: [MODEL], filter: {filter}) {{ rowCount rows {{ key {{ model {{ name }} }} stats {{ jobs }} }} \
             other {{ jobs }} total {{ jobs attempts retries retriedJobs failedJobs failureRatio retryRatio queue {{ count }} \
             processing {{ count maxMs }} }} }} }}"
        )
    };
    let data = desk.data(Role::PipelineTd, &asked(WINDOW, "{}"), json!({})).await;
    // Every second attempt is of the second model; the first job took 9 s and 8 s.
    let row = json!({"key": {"model": {"name": "sdxl"}}, "stats": {"jobs": 5}});
    let total = json!({"jobs": 5, "attempts": 10, "retries": 5, "retriedJobs": 5, "failedJobs": 0, "failureRatio": 0.0,
        "retryRatio": 0.5, "queue": null, "processing": {"count": 5, "maxMs": 17_000.0}});
    assert_eq!(data["jobBreakdown"], json!({"rowCount": 1, "rows": [row], "other": null, "total": total}));
    let empty = r#"window: { start: "2026-02-01T00:00:00Z", end: "2026-02-02T00:00:00Z" }"#;
    let nothing = json!({"jobs": 0, "attempts": 0, "retries": 0, "retriedJobs": 0, "failedJobs": 0, "failureRatio": null,
        "retryRatio": null, "queue": null, "processing": null});
    for (window, filter) in [(empty, "{}"), (WINDOW, "{ users: [\"nobody\"] }"), (WINDOW, "{ models: [\"flux\"] }")] {
        let data = desk.data(Role::PipelineTd, &asked(window, filter), json!({})).await;
        assert_eq!(data["jobBreakdown"], json!({"rowCount": 0, "rows": [], "other": null, "total": nothing}), "{window} {filter}");
    }
    let answer = desk.ask(Role::Admin, &asked(WINDOW, "{}"), json!({})).await;
    assert_eq!((&answer["data"]["jobBreakdown"], &answer["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("FORBIDDEN")));
    let answer = desk.ask(Role::FinancialDirector, "{ jobs { nodes { id } } }", json!({})).await;
    assert_eq!((&answer["data"]["jobs"], &answer["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("FORBIDDEN")));
    let data =
        desk.data(Role::Admin, "{ jobs(filter: { users: [\"nobody\"] }) { nodes { id } pageInfo { hasNextPage } } }", json!({})).await;
    assert_eq!(data["jobs"], json!({"nodes": [], "pageInfo": {"hasNextPage": false}}));
}
