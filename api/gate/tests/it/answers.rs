//! Whole answers, by the table in `tests/answer_cases.json`, which graphql-js wrote.

use async_graphql::Value;
use futures_util::StreamExt;
use plimsoll_gate::{Answer, Limits, OperationKind, Params};
use serde::Deserialize;
use serde_json::{Map, Value as Json, value::RawValue};

use crate::host::service;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    document: String,
    #[serde(default)]
    variables: Map<String, Json>,
    operation_name: Option<String>,
    answer: Box<RawValue>,
    /// Where the gate answers otherwise than graphql-js, and `why` says why.
    gate: Option<Box<RawValue>>,
}

#[tokio::test]
async fn every_operation_gets_the_answer_of_the_table() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../answer_cases.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let params =
            Params { query: case.document.clone(), operation_name: case.operation_name.clone(), variables: case.variables.clone() };
        let ours = answer(params).await;
        // `async_graphql::Value` keeps the order of keys, which is part of an answer.
        let ours: Value = serde_json::from_str(&ours).unwrap();
        let theirs: Value = serde_json::from_str(case.gate.as_ref().unwrap_or(&case.answer).get()).unwrap();
        if !is_same(&ours, &theirs) {
            wrong.push(format!("{}: {}\n    gate  {ours}\n    table {theirs}", case.name, case.document));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Asks a fresh service, and gives back what the oracle's `answer` gives.
async fn answer(params: Params) -> String {
    let service = service(Limits::default());
    let caller = "admin".to_owned();
    let prepared = match service.prepare(&caller, params) {
        Ok(prepared) => prepared,
        Err(_) => return r#"{"refused":true}"#.to_owned(),
    };
    if prepared.facts.kind != OperationKind::Subscription {
        return comparable(service.run(caller, prepared).await);
    }
    let completion = prepared.completion;
    let events = crate::zoo::schema().execute_stream(prepared.request).map(|event| comparable(completion.finish(event, &|| String::new())));
    format!(r#"{{"events":[{}]}}"#, events.collect::<Vec<_>>().await.join(","))
}

fn comparable(answer: Answer) -> String {
    let data = serde_json::to_string(&answer.data).unwrap();
    let error = |error: &async_graphql::ServerError| {
        let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code")).cloned().unwrap_or_default();
        format!(r#"{{"path":{},"code":{code}}}"#, serde_json::to_string(&error.path).unwrap())
    };
    let mut errors: Vec<_> = answer.errors.iter().map(error).collect();
    errors.sort();
    if errors.is_empty() { format!(r#"{{"data":{data}}}"#) } else { format!(r#"{{"data":{data},"errors":[{}]}}"#, errors.join(",")) }
}

/// Equal with the order of keys, numbers by value.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b)),
        (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && is_same(a, b)),
        (a, b) => a == b,
    }
}
