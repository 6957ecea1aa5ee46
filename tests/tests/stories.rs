//! The stories of the front end: each operation on the project's own fleet, against the oracle's answers, on both databases.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Read as _;
use std::path::PathBuf;

use plimsoll_tests::compare::differences;
use plimsoll_tests::{Database, Server};
use serde_json::{Value, json};

/// Lines of one request.
const LINES: usize = 500;
/// The questions that the server can answer, one a line: whoever builds one adds its name of `STORIES`.
const READY: &[&str] = &[
    "executions and machines",
    "activity",
    "executionComparison and checkpointPopularity",
    "availabilityBreakdown",
    "checkpointSwitching",
    "concurrencySeries",
    "concurrencySeries and jobs",
    "gpuSamples and maxRatio",
    "instanceTypeUsage",
    "jobBreakdown",
    "jobs",
    "loadBreakdown",
    "provisioningBreakdown",
    "storageBreakdown",
    "usageBreakdown and usageSeries",
    "vms",
];
/// The questions, and how the names of their stories begin.
const STORIES: &[(&str, &[&str])] = &[
    ("executions and machines", &["admin-04-", "admin-08-", "own-0", "own-10-", "td-02-", "td-05-", "td-06-", "td-07-"]),
    ("activity", &["admin-05-", "own-activity"]),
    ("availabilityBreakdown", &["admin-03-", "own-availability"]),
    ("checkpointSwitching", &["td-09-", "own-switching"]),
    ("concurrencySeries", &["own-concurrency"]),
    ("concurrencySeries and jobs", &["td-12-"]),
    ("executionComparison and checkpointPopularity", &["td-03-", "td-08-"]),
    ("gpuSamples and maxRatio", &["td-04-", "own-gpus"]),
    ("instanceTypeUsage", &["admin-09-", "own-instances"]),
    ("jobBreakdown", &["td-10-", "td-11-", "own-jobs"]),
    ("jobs", &["own-joblist"]),
    ("loadBreakdown", &["admin-11-", "td-13-", "own-loads"]),
    ("provisioningBreakdown", &["admin-01-", "own-provisioning"]),
    ("storageBreakdown", &["admin-10-", "own-storage"]),
    ("usageBreakdown and usageSeries", &["admin-07-", "own-usage"]),
    ("vms", &["own-utilization"]),
];
const ROLES: [&str; 4] = ["PIPELINE_TD", "ADMIN", "FINANCIAL_DIRECTOR", "INGEST"];

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

async fn server_with_fleet(database: &Database) -> Server {
    let mut text = String::new();
    let file = std::fs::File::open(fixtures().join("fleet.ndjson.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let server = Server::start(database);
    let lines: Vec<&str> = text.lines().collect();
    for batch in lines.chunks(LINES) {
        let (status, answer) = server.ingest(batch.join("\n")).await.expect("an answer");
        assert_eq!((status, answer["rejectedCount"].as_u64()), (200, Some(0)), "{answer}");
    }
    server
}

fn question_of(story: &str) -> &'static str {
    let of = |(_, prefixes): &&(&str, &[&str])| prefixes.iter().any(|prefix| story.starts_with(prefix));
    STORIES.iter().find(of).unwrap_or_else(|| panic!("{story}: no question of it in STORIES")).0
}

/// The answers to the questions that the server can answer.
fn answers() -> Vec<(String, Value)> {
    every_answer().into_iter().filter(|(name, _)| READY.contains(&question_of(name))).collect()
}

fn every_answer() -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(fixtures().join("answers")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    };
    files.into_iter().map(read).collect()
}

async fn tell(database: Database) {
    let server = server_with_fleet(&database).await;
    let mut wrong = Vec::new();
    for (name, expected) in answers() {
        let (query, role) = (expected["query"].as_str().unwrap(), expected["role"].as_str().unwrap());
        let (_, answer) = server.ask(&[role], query, expected["variables"].clone()).await;
        if !answer["errors"].is_null() {
            wrong.push(format!("{name}: {}", answer["errors"]));
            continue;
        }
        wrong.extend(differences(&expected, &answer["data"]).into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop();
    database.remove().await;
}

#[tokio::test]
async fn every_story_is_told_on_sqlite() {
    tell(Database::sqlite()).await;
}

#[tokio::test]
async fn every_story_is_told_on_postgres() {
    if let Some(database) = Database::postgres("stories").await {
        tell(database).await;
    }
}

/// The documents are the front end's: what the oracle asked is what stands in `operations`.
#[test]
fn the_oracle_asks_the_documents_of_the_front_end() {
    let operations = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("operations");
    let mut told = 0;
    assert!(READY.iter().all(|ready| STORIES.iter().any(|(question, _)| question == ready)), "a name in READY that is none of STORIES");
    for (name, expected) in every_answer().into_iter().filter(|(name, _)| !name.starts_with("own-")) {
        let document = operations.join(format!("{}.graphql", name.split('@').next().unwrap()));
        assert_eq!(expected["query"].as_str().unwrap().trim(), std::fs::read_to_string(document).unwrap().trim(), "{name}");
        told += 1;
    }
    assert!(told >= 16);
}

#[tokio::test]
async fn strangers_wrong_roles_and_unknown_values_are_told_so() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    for (name, expected) in answers().into_iter().filter(|(name, _)| !name.contains('@') && !name.starts_with("own-")) {
        let (query, variables) = (expected["query"].as_str().unwrap(), expected["variables"].clone());
        let (status, answer) = server.ask(&[], query, variables.clone()).await;
        assert_eq!((status, answer["errors"][0]["extensions"]["code"].as_str()), (401, Some("UNAUTHENTICATED")), "{name}: {answer}");
        for (field, rule) in expected["meta"]["fields"].as_object().unwrap() {
            let may = |role: &str| rule["roles"].as_array().unwrap().iter().any(|allowed| allowed == role);
            for role in ROLES.into_iter().filter(|role| !may(role)) {
                let (_, answer) = server.ask(&[role], query, variables.clone()).await;
                assert!(
                    answer["data"].as_object().unwrap().contains_key(field) && answer["data"][field].is_null(),
                    "{name} as {role}: {answer}"
                );
                assert!(
                    answer["errors"].as_array().unwrap().iter().all(|error| error["extensions"]["code"] == "FORBIDDEN"),
                    "{name}: {answer}"
                );
            }
        }
    }
    let filtered = "query($f: ExecutionFilter) { executionBreakdown(window: { start: \"2026-03-27T00:00:00Z\", end: \"2026-04-03T00:00:00Z\" },
        by: [MODEL], filter: $f) { rowCount rows { stats { executions } } other { executions } total { executions successRatio duration { meanMs } users } } }";
    let (_, answer) = server.ask(&["ADMIN"], filtered, json!({ "f": { "models": ["nobody's"] } })).await;
    let nothing = json!({ "rowCount": 0, "rows": [], "other": null, "total": { "executions": 0, "successRatio": null, "duration": null, "users": 0 } });
    assert_eq!(answer["data"]["executionBreakdown"], nothing);
    server.stop();
}
