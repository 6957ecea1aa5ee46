//! Verdicts on documents, by the table in `tests/language_cases.json`.

use plimsoll_gate::{Code, Limits};
use serde::Deserialize;

use crate::host::gate;

#[derive(Deserialize)]
struct Case {
    name: String,
    document: String,
    verdict: String,
}

#[test]
fn every_document_gets_the_verdict_of_the_table() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../language_cases.json")).unwrap();
    let gate = gate(Limits::default());
    let mut wrong = Vec::new();
    for case in &cases {
        // Which operation is meant has nothing to do with whether the document is valid.
        let name = if case.document.contains("query A ") || case.document.contains("query A(") { Some("A") } else { None };
        let (verdict, detail) = match gate.admit(&case.document, name) {
            Ok(_) => ("valid", String::new()),
            Err(refused) => {
                for error in refused.errors() {
                    assert!(!error.message.contains("did you mean") && !error.message.contains("Did you mean"), "{}", error.message);
                    assert!(error.message.chars().count() <= 301);
                }
                assert!(refused.errors().len() <= 5);
                let verdict = match refused.code() {
                    Code::GraphqlParseFailed => "syntax",
                    Code::GraphqlValidationFailed => "invalid",
                    other => other.as_str(),
                };
                (verdict, refused.errors()[0].message.clone())
            }
        };
        if verdict != case.verdict {
            wrong.push(format!("{}: {verdict} instead of {}; {}; {detail}", case.name, case.verdict, case.document));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
