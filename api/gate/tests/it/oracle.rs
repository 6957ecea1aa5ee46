//! graphql-js as an independent judge. Needs `node` and the npm package `graphql`, in `tests/oracle` (`npm install` there) or in
//! the folder that `GRAPHQL_MODULES` names; without them each test says by its name that it was skipped.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use plimsoll_gate::Limits;
use serde_json::json;

use crate::host::{ask, params, service};

/// Runs the oracle; `None` where it cannot run.
fn oracle(test: &str, what: &str, input: &str) -> Option<(bool, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let modules = std::env::var_os("GRAPHQL_MODULES").map_or_else(|| folder.clone(), PathBuf::from);
    let is_there = modules.join("node_modules/graphql").is_dir() && Command::new("node").arg("--version").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED {test}: node or the npm package graphql is not there");
        return None;
    }
    let mut child = Command::new("node")
        .arg(folder.join("oracle.mjs"))
        .arg(what)
        .env("GRAPHQL_MODULES", modules)
        .env_remove("REWRITE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((output.status.success(), String::from_utf8(output.stdout).unwrap()))
}

fn agrees(test: &str, what: &str, input: &str) {
    if let Some((is_fine, output)) = oracle(test, what, input) {
        assert!(is_fine, "{output}");
    }
}

#[test]
fn graphql_js_agrees_with_the_language_cases() {
    agrees("graphql_js_agrees_with_the_language_cases", "language", "");
}

#[test]
fn graphql_js_agrees_with_the_answer_cases() {
    agrees("graphql_js_agrees_with_the_answer_cases", "answers", "");
}

#[tokio::test]
async fn introspection_says_what_the_sdl_says() {
    let Some((_, query)) = oracle("introspection_says_what_the_sdl_says", "query", "") else { return };
    let answer = ask(&service(Limits::default()), params(&query, json!({}))).await;
    assert_eq!(answer.get("errors"), None);
    agrees("introspection_says_what_the_sdl_says", "introspection", &answer.to_string());
}
