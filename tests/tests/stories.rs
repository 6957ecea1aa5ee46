//! The questions that the front end asks, against what an oracle answers, on both databases; and who may not ask them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_tests::answer::Answer;
use plimsoll_tests::{Database, Server, binary, token};
use serde_json::Value;

const ROLES: [&str; 4] = ["PIPELINE_TD", "ADMIN", "FINANCIAL_DIRECTOR", "INGEST"];
/// Operations of which every database must have been asked.
const OPERATIONS: [&str; 6] = ["td-02", "td-05", "td-06", "td-07", "admin-04", "admin-08"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stories")
}

fn answers() -> Vec<Answer> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join("answers")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()).collect()
}

/// Sends the events as an operator would, with the command line.
fn fill(server: &Server) -> String {
    let sent = Command::new(binary())
        .args(["ingest", "--strict", "--url", &server.url])
        .arg(folder().join("events.ndjson.gz"))
        .env("PLIMSOLL_TOKEN", token(&["INGEST"]))
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    [String::from_utf8(sent.stdout).unwrap(), String::from_utf8(sent.stderr).unwrap()].concat()
}

fn is_forbidden(answer: &Value, field: &str) -> bool {
    let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().any(|error| error["path"][0] == field && error["extensions"]["code"] == "FORBIDDEN")
}

/// Every other role gets null with its key and FORBIDDEN; nobody gets nothing at all.
async fn assert_guarded(server: &Server, answer: &Answer) {
    let name = format!("{} {}", answer.operation, answer.case);
    for role in ROLES {
        let (_, given) = server.ask(&[role], &answer.query, answer.variables.clone()).await;
        for (alias, field) in &answer.meta.fields {
            let may = field.roles.iter().any(|allowed| allowed == role);
            assert_eq!(is_forbidden(&given, alias), !may, "{name} as {role}: {given}");
            assert!(given["data"].as_object().is_some_and(|data| data.contains_key(alias)), "{name} as {role}: {given}");
            assert_eq!(given["data"][alias].is_null(), !may, "{name} as {role}: {given}");
        }
    }
    let (status, given) = server.ask(&[], &answer.query, answer.variables.clone()).await;
    assert_eq!((status, given["errors"][0]["extensions"]["code"].as_str()), (401, Some("UNAUTHENTICATED")), "{name}");
    assert!(given["data"].is_null(), "{name}: {given}");
}

async fn assert_answers(server: &Server, state: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for answer in answers() {
        let (status, given) = server.ask(&[&answer.role], &answer.query, answer.variables.clone()).await;
        assert_eq!(status, 200, "{} {}: {given}", answer.operation, answer.case);
        assert!(given["errors"].is_null(), "{} {}: {given}", answer.operation, answer.case);
        let found = answer.differences(&given["data"]);
        wrong.extend(found.iter().map(|difference| format!("{state}: {} {}: {difference}", answer.operation, answer.case)));
    }
    wrong
}

async fn told_as_the_oracle_tells(database: Database) {
    let server = Server::start(&database);
    let told = fill(&server);
    assert!(told.contains("2179 accepted, 40 duplicate, 0 rejected"), "{told}");
    let mut wrong = assert_answers(&server, "at once").await;
    // The same again: everything is a duplicate, and no figure moves.
    let told = fill(&server);
    assert!(told.contains("0 accepted, 2219 duplicate, 0 rejected"), "{told}");
    server.stop();
    let server = Server::start(&database);
    wrong.extend(assert_answers(&server, "after a second time and a restart").await);
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    for answer in answers().iter().filter(|answer| answer.case == "hour") {
        assert_guarded(&server, answer).await;
    }
    server.stop();
    database.remove().await;
}

#[tokio::test]
async fn every_operation_is_answered_as_the_oracle_does_on_sqlite() {
    told_as_the_oracle_tells(Database::sqlite()).await;
}

#[tokio::test]
async fn every_operation_is_answered_as_the_oracle_does_on_postgres() {
    if let Some(database) = Database::postgres("stories").await {
        told_as_the_oracle_tells(database).await;
    }
}

/// No operation lacks answers, and each answer asks what the front end's document asks.
#[test]
fn every_operation_has_its_answers() {
    let answers = answers();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("operations")).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let (name, text) = (path.file_stem().unwrap().to_str().unwrap(), std::fs::read_to_string(&path).unwrap());
        let cases: Vec<&Answer> = answers.iter().filter(|answer| answer.operation == name).collect();
        assert!(cases.len() >= 3, "{name} has {} cases", cases.len());
        assert!(cases.iter().all(|answer| answer.query == text), "{name}: run tests/fixtures/stories/make.py");
        assert!(cases.iter().any(|answer| answer.case == "empty"), "{name} is asked of an empty window");
    }
    assert!(OPERATIONS.iter().all(|prefix| answers.iter().any(|answer| answer.operation.starts_with(prefix))));
}
