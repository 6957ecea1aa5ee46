//! Every rule of `contract/events.md`, one line that keeps it and one that breaks it.
//!
//! Lines are made from a good one by setting keys, so that each case shows only what it is about.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

use plimsoll_domain::ingest::event::{Event, Execution};
use plimsoll_domain::ingest::identity::{content_hash, event_id, event_instant};
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::rejection::{Rejection, RejectionCode};
use plimsoll_entity::value::time::Instant;
use serde_json::{Value, json};

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn context() -> ReadContext {
    ReadContext { now: at("2026-03-02T00:00:00Z"), strict: false, oldest: None }
}

fn strict() -> ReadContext {
    ReadContext { strict: true, ..context() }
}

/// A good line of each type with only what it needs.
fn good(event_type: &str) -> Value {
    let id = "0195f3a0-1111-7222-8333-444455556666";
    match event_type {
        "execution" => json!({"type": "execution", "id": id, "model": "flux", "startedAt": "2026-03-01T08:00:00Z",
            "finishedAt": "2026-03-01T08:00:04Z", "outcome": "SUCCEEDED"}),
        "job" => json!({"type": "job", "id": id, "job": "j-1", "at": "2026-03-01T08:00:00Z", "state": "QUEUED", "model": "flux"}),
        "checkpointLoad" => json!({"type": "checkpointLoad", "id": id, "startedAt": "2026-03-01T08:00:00Z",
            "finishedAt": "2026-03-01T08:00:04Z", "vm": "m1", "storageType": "LOCAL_DISK", "cacheHit": false, "model": "flux"}),
        "vmState" => json!({"type": "vmState", "id": id, "vm": "m1", "at": "2026-03-01T08:00:00Z", "state": "RUNNING"}),
        "vmSample" => json!({"type": "vmSample", "vm": "m1", "at": "2026-03-01T08:00:00Z", "intervalSeconds": 60, "cpuRatio": 0.5}),
        "gpuSample" => json!({"type": "gpuSample", "vm": "m1", "gpu": 0, "at": "2026-03-01T08:00:00Z", "powerWatts": 70.5}),
        "storageSnapshot" => json!({"type": "storageSnapshot", "id": id, "at": "2026-03-01T08:00:00Z", "storageType": "LOCAL_DISK",
            "sizeBytes": 1, "model": "flux"}),
        _ => panic!("no such type: {event_type}"),
    }
}

const TYPES: [&str; 7] = ["execution", "job", "checkpointLoad", "vmState", "vmSample", "gpuSample", "storageSnapshot"];

/// The good line of a type with these keys set; null takes a key away.
fn with(event_type: &str, changes: &Value) -> String {
    let mut line = good(event_type);
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => line.as_object_mut().unwrap().remove(key),
            value => line.as_object_mut().unwrap().insert(key.clone(), value.clone()),
        };
    }
    line.to_string()
}

fn read(line: &str) -> Result<Event, Rejection> {
    read_line(line.as_bytes(), &context()).map(|read| read.event)
}

fn execution(changes: &Value) -> Execution {
    match read(&with("execution", changes)) {
        Ok(Event::Execution(event)) => *event,
        other => panic!("{changes}: {other:?}"),
    }
}

fn code_and_field(line: &str) -> (&'static str, String) {
    let rejection = read(line).expect_err(line);
    assert!(!rejection.message.is_empty());
    (rejection.code.wire(), rejection.field.unwrap_or_default())
}

#[test]
fn bad_lines_name_code_field_and_id() {
    for case in include_str!("fixtures/bad_lines.tsv").lines() {
        let [code, field, id, line] = case.split('\t').collect::<Vec<_>>()[..] else { panic!("four columns: {case}") };
        let known = |text: &str| (text != "-").then(|| text.to_owned());
        let rejection = read_line(line.as_bytes(), &strict()).expect_err(line);
        assert_eq!((rejection.code.wire(), rejection.field, rejection.id), (code, known(field), known(id)), "{line}");
    }
}

#[test]
fn what_is_needed_is_needed() {
    for (event_type, keys) in [
        ("execution", "id model startedAt finishedAt outcome"),
        ("job", "id job at state model"),
        ("checkpointLoad", "id startedAt finishedAt vm storageType cacheHit model"),
        ("vmState", "id vm at state"),
        ("vmSample", "vm at intervalSeconds"),
        ("gpuSample", "vm gpu at"),
        ("storageSnapshot", "id at storageType sizeBytes"),
    ] {
        assert!(read(&with(event_type, &json!({}))).is_ok(), "{event_type}");
        for key in keys.split(' ') {
            assert_eq!(code_and_field(&with(event_type, &json!({key: null}))), ("MISSING_FIELD", key.to_owned()), "{event_type}");
            let null = good(event_type).to_string().replacen(&format!("\"{key}\":"), &format!("\"{key}\":null,\"x{key}\":"), 1);
            assert_eq!(code_and_field(&null), ("MISSING_FIELD", key.to_owned()), "{event_type}, null");
        }
        assert_eq!(code_and_field(&with(event_type, &json!({"type": null}))), ("MISSING_FIELD", "type".to_owned()));
    }
    assert_eq!(code_and_field(&with("vmSample", &json!({"cpuRatio": null}))), ("MISSING_FIELD", String::new()));
    assert_eq!(code_and_field(&with("gpuSample", &json!({"powerWatts": null, "name": "A10G"}))), ("MISSING_FIELD", String::new()));
    assert_eq!(code_and_field(&with("storageSnapshot", &json!({"model": null}))), ("MISSING_FIELD", "checkpoint".to_owned()));
    let checkpoint_alone = json!({"model": null, "modelVersion": "1", "checkpoint": {"kind": "LORA", "name": "anime"}});
    assert!(read(&with("storageSnapshot", &checkpoint_alone)).is_ok());
}

#[test]
fn every_key_of_the_contract_is_known() {
    for (event_type, keys) in [
        (
            "execution",
            "job:n attempt:1 modelType:n modelVersion:n checkpoints:[] application:n user:n department:n project:n vm:n gpus:[] \
             queuedAt:t checkpointLoadMs:1 modelInitMs:1 inferenceMs:1 inputBytes:1 outputBytes:1 gpuMemoryPeakBytes:1 cpuSeconds:1 \
             errorType:n errorMessage:n",
        ),
        ("job", "attempt:1 modelVersion:n checkpoints:[] application:n user:n department:n project:n vm:n gpus:[]"),
        ("checkpointLoad", "modelVersion:n checkpoint:c gpu:1 storageLocation:n bytes:1 execution:u outcome:s errorType:n"),
        ("vmState", "instanceType:n provider:n region:n purchaseOption:p vCpus:1 memoryBytes:1 gpuModel:n gpuCount:1"),
        (
            "vmSample",
            "cpuRatio:1 memoryUsedBytes:1 memoryTotalBytes:1 diskUsedBytes:1 diskTotalBytes:1 diskBusyRatio:1 networkReceivedBytes:1 \
             networkSentBytes:1 networkErrors:1 diskReadBytes:1 diskWrittenBytes:1 diskReadOps:1 diskWriteOps:1",
        ),
        ("gpuSample", "utilizationRatio:1 memoryUsedBytes:1 memoryTotalBytes:1 temperatureCelsius:1 powerWatts:1 uuid:n name:n"),
        ("storageSnapshot", "storageLocation:n modelVersion:n checkpoint:c"),
    ] {
        let mut all = json!({});
        for key in keys.split_whitespace() {
            let (key, kind) = key.split_once(':').unwrap();
            let value = match kind {
                "n" => json!("a name"),
                "t" => json!("2026-03-01T07:59:00Z"),
                "u" => json!("0195f3a0-1111-7222-8333-444455556666"),
                "c" => json!({"kind": "LORA", "name": "anime", "version": "3"}),
                "s" => json!("FAILED"),
                "p" => json!("SPOT"),
                number => serde_json::from_str(number).unwrap(),
            };
            let wrong = if value.is_string() { json!(7) } else { json!("7") };
            assert_eq!(code_and_field(&with(event_type, &json!({key: wrong}))), ("INVALID_VALUE", key.to_owned()), "{event_type}");
            all[key] = value;
        }
        let read = read_line(with(event_type, &all).as_bytes(), &strict());
        assert!(read.is_ok(), "{event_type}: {read:?}");
    }
}

#[test]
fn names_and_labels_keep_their_bounds() {
    for key in ["job", "model", "modelVersion", "modelType", "application", "user", "department", "project", "vm", "errorType"] {
        assert!(read(&with("execution", &json!({key: "ü".repeat(200)}))).is_ok(), "{key}");
        for bad in ["", &"ü".repeat(201), "a\u{0}", "a\tb", "\u{7f}", "\u{9b}"] {
            assert_eq!(code_and_field(&with("execution", &json!({key: bad}))), ("INVALID_VALUE", key.to_owned()), "{bad:?}");
        }
    }
    for (event_type, key) in [
        ("execution", "outcome"),
        ("job", "state"),
        ("checkpointLoad", "storageType"),
        ("checkpointLoad", "outcome"),
        ("vmState", "state"),
        ("vmState", "purchaseOption"),
        ("storageSnapshot", "storageType"),
    ] {
        for bad in [json!("succeeded"), json!(""), json!(0), json!(["RUNNING"])] {
            assert_eq!(code_and_field(&with(event_type, &json!({key: bad}))), ("INVALID_VALUE", key.to_owned()));
        }
    }
    // A load that was cancelled is none of the two.
    assert_eq!(code_and_field(&with("checkpointLoad", &json!({"outcome": "CANCELLED"}))), ("INVALID_VALUE", "outcome".to_owned()));
    for bad in [json!("true"), json!(1), json!([])] {
        assert_eq!(code_and_field(&with("checkpointLoad", &json!({"cacheHit": bad}))), ("INVALID_VALUE", "cacheHit".to_owned()));
    }
}

#[test]
fn numbers_keep_their_ranges() {
    let most = 9_007_199_254_740_991_i64;
    for (event_type, key, good_values, bad_values) in [
        (
            "execution",
            "attempt",
            vec![json!(1), json!(2.0), json!(i32::MAX)],
            vec![json!(0), json!(-1), json!(1.5), json!(2_147_483_648_i64)],
        ),
        ("execution", "inputBytes", vec![json!(0), json!(12.0), json!(most)], vec![json!(most + 1), json!(-1), json!(0.5), json!(1e300)]),
        ("execution", "inferenceMs", vec![json!(0), json!(0.25), json!(1e15)], vec![json!(-0.001), json!(1e17), json!("1")]),
        ("execution", "cpuSeconds", vec![json!(0), json!(1.5)], vec![json!(-1), json!(true)]),
        ("checkpointLoad", "gpu", vec![json!(0), json!(1023)], vec![json!(1024), json!(-1), json!(0.5)]),
        ("vmState", "vCpus", vec![json!(0), json!(192)], vec![json!(-1), json!(0.5), json!(3_000_000_000_i64)]),
        ("vmState", "gpuCount", vec![json!(0), json!(1024)], vec![json!(-1), json!(1025)]),
        ("vmState", "memoryBytes", vec![json!(0), json!(most)], vec![json!(most + 1)]),
        ("vmSample", "cpuRatio", vec![json!(0), json!(1), json!(0.3)], vec![json!(1.0001), json!(-0.1)]),
        ("vmSample", "diskBusyRatio", vec![json!(0), json!(1)], vec![json!(100)]),
        ("vmSample", "intervalSeconds", vec![json!(0.001), json!(86_400)], vec![json!(0), json!(-1), json!(86_401)]),
        ("vmSample", "networkErrors", vec![json!(0)], vec![json!(1.5), json!(-1)]),
        ("gpuSample", "temperatureCelsius", vec![json!(-40), json!(91.5)], vec![json!(-300), json!(1e6)]),
        ("gpuSample", "powerWatts", vec![json!(0), json!(700)], vec![json!(-1)]),
        ("storageSnapshot", "sizeBytes", vec![json!(0), json!(most)], vec![json!(-1), json!(0.5)]),
    ] {
        for value in good_values {
            assert!(read(&with(event_type, &json!({key: value}))).is_ok(), "{key} {value}");
        }
        for value in bad_values {
            assert_eq!(code_and_field(&with(event_type, &json!({key: value}))), ("INVALID_VALUE", key.to_owned()), "{value}");
        }
    }
    let infinite = with("execution", &json!({"inferenceMs": 1})).replace("\"inferenceMs\":1", "\"inferenceMs\":1e400");
    assert_eq!(code_and_field(&infinite), ("INVALID_VALUE", "inferenceMs".to_owned()));
    // More used than there is, is what the machine reported.
    assert!(read(&with("gpuSample", &json!({"memoryUsedBytes": 5, "memoryTotalBytes": 4}))).is_ok());
}

#[test]
fn instants_are_in_order_and_not_ahead() {
    assert_eq!(execution(&json!({"finishedAt": "2026-03-01T08:00:00Z"})).finished_at, at("2026-03-01T08:00:00Z"));
    assert_eq!(execution(&json!({"queuedAt": "2026-03-01T09:00:00+01:00"})).queued_at, Some(at("2026-03-01T08:00:00Z")));
    let backwards = json!({"finishedAt": "2026-03-01T07:59:59.999999Z"});
    assert_eq!(read(&with("checkpointLoad", &backwards)).unwrap_err().message, "finishedAt lies before startedAt");
    for (event_type, keys) in [
        ("execution", "queuedAt startedAt finishedAt"),
        ("job", "at"),
        ("checkpointLoad", "startedAt finishedAt"),
        ("vmState", "at"),
        ("vmSample", "at"),
        ("gpuSample", "at"),
        ("storageSnapshot", "at"),
    ] {
        for key in keys.split(' ') {
            let ahead = with(event_type, &json!({key: "2026-03-02T00:05:00.000001Z"}));
            assert_eq!(code_and_field(&ahead), ("FUTURE_TIMESTAMP", key.to_owned()), "{event_type}");
            for bad in ["2026-03-01T08:00:00", "yesterday", "2026-02-30T00:00:00Z", "1960-01-01T00:00:00Z"] {
                assert_eq!(code_and_field(&with(event_type, &json!({key: bad}))), ("INVALID_VALUE", key.to_owned()), "{bad}");
            }
        }
    }
    assert!(read(&with("job", &json!({"at": "2026-03-02T00:05:00Z"}))).is_ok());
}

#[test]
fn an_age_limit_goes_by_when_the_event_ended() {
    let oldest = ReadContext { oldest: Some(at("2026-03-01T08:00:04Z")), ..context() };
    let code = |line: &str| read_line(line.as_bytes(), &oldest).map(|read| event_instant(&read.event)).map_err(|rejection| rejection.code);
    assert_eq!(code(&with("execution", &json!({}))), Ok(at("2026-03-01T08:00:04Z")));
    assert_eq!(code(&with("execution", &json!({"finishedAt": "2026-03-01T08:00:03.999999Z"}))), Err(RejectionCode::TooOld));
    assert_eq!(code(&with("vmSample", &json!({}))), Err(RejectionCode::TooOld));
}

#[test]
fn checkpoints_come_out_in_canonical_order() {
    let event = execution(&json!({"checkpoints": [
        {"kind": "LORA", "name": "b", "version": "1"}, {"kind": "VAE", "name": "a"}, {"kind": "LORA", "name": "a", "version": "10"},
        {"kind": "EMBEDDING", "name": "a", "version": "10"},
    ]}));
    let names = event.checkpoints.iter().map(|c| format!("{} {} {}", c.name, c.version, c.kind.wire())).collect::<Vec<_>>();
    assert_eq!(names, ["a 10 EMBEDDING", "a 10 LORA", "a unversioned VAE", "b 1 LORA"]);
    assert_eq!(execution(&json!({"checkpoints": null})).checkpoints, []);
    let sixteen: Vec<Value> = (0..16).map(|index| json!({"kind": "LORA", "name": format!("n{index}")})).collect();
    assert_eq!(execution(&json!({"checkpoints": sixteen})).checkpoints.len(), 16);
    for (bad, code, field) in [
        (json!([{"kind": "LORA"}]), "MISSING_FIELD", "checkpoints[0].name"),
        (json!([{"kind": "LORA", "name": "a"}, {"name": "b"}]), "MISSING_FIELD", "checkpoints[1].kind"),
        (json!([{"kind": "lora", "name": "a"}]), "INVALID_VALUE", "checkpoints[0].kind"),
        (json!([{"kind": "LORA", "name": ""}]), "INVALID_VALUE", "checkpoints[0].name"),
        (json!([{"kind": "LORA", "name": "a", "version": 3}]), "INVALID_VALUE", "checkpoints[0].version"),
        (json!(["anime"]), "INVALID_VALUE", "checkpoints[0]"),
        (json!([null]), "INVALID_VALUE", "checkpoints[0]"),
        (json!({"kind": "LORA", "name": "a"}), "INVALID_VALUE", "checkpoints"),
        (json!("anime"), "INVALID_VALUE", "checkpoints"),
    ] {
        assert_eq!(code_and_field(&with("execution", &json!({"checkpoints": bad}))), (code, field.to_owned()), "{bad}");
        assert_eq!(code_and_field(&with("job", &json!({"checkpoints": bad}))), (code, field.to_owned()), "{bad}");
    }
    for event_type in ["checkpointLoad", "storageSnapshot"] {
        for (bad, code, field) in [
            (json!({"kind": "LORA"}), "MISSING_FIELD", "checkpoint.name"),
            (json!({"kind": "X", "name": "a"}), "INVALID_VALUE", "checkpoint.kind"),
            (json!([]), "INVALID_VALUE", "checkpoint"),
        ] {
            assert_eq!(code_and_field(&with(event_type, &json!({"checkpoint": bad}))), (code, field.to_owned()));
        }
    }
}

#[test]
fn gpus_come_out_ascending_and_distinct() {
    assert_eq!(execution(&json!({"gpus": [3, 0, 1023, 2.0]})).gpus, [0, 2, 3, 1023]);
    for (bad, field) in [
        (json!([1, 1]), "gpus"),
        (json!([1, 0, 1.0]), "gpus"),
        (json!(0), "gpus"),
        (json!([0, 1024]), "gpus[1]"),
        (json!(["0"]), "gpus[0]"),
        (json!([-1]), "gpus[0]"),
        (json!([null]), "gpus[0]"),
    ] {
        assert_eq!(code_and_field(&with("execution", &json!({"gpus": bad}))), ("INVALID_VALUE", field.to_owned()), "{bad}");
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let event = execution(&json!({}));
    assert_eq!((event.job, event.attempt, event.model.version.as_str()), (None, 1, "unversioned"));
    assert_eq!(execution(&json!({"job": "0195f3a0-1111-7222-8333-444455556666"})).job, None);
    let Ok(Event::CheckpointLoad(load)) = read(&with("checkpointLoad", &json!({}))) else { panic!("a load") };
    assert_eq!(load.outcome.wire(), "SUCCEEDED");
    assert!(read(&with("execution", &json!({"outcome": "FAILED", "errorType": "TIMEOUT"}))).is_ok());
    assert!(read(&with("checkpointLoad", &json!({"outcome": "FAILED"}))).is_ok());
    assert_eq!(execution(&json!({"errorMessage": "x".repeat(5_000)})).error_message.map(|text| text.len()), Some(2_000));
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    for (line, field) in [
        (with("execution", &json!({})).replace("\"model\":", "\"model\":\"a\",\"model\":"), "model"),
        (with("execution", &json!({})).replace("\"model\":", "\"model\":null,\"mod\\u0065l\":"), "model"),
        (with("execution", &json!({})).replace("\"type\":", "\"type\":\"execution\",\"type\":"), "type"),
        (with("execution", &json!({"odd": 1})).replace("\"odd\":", "\"odd\":1,\"odd\":"), "odd"),
        (
            with("storageSnapshot", &json!({"checkpoint": {"kind": "LORA", "name": "a"}})).replace("\"kind\":", "\"kind\":1,\"kind\":"),
            "checkpoint.kind",
        ),
    ] {
        assert_eq!(code_and_field(&line), ("INVALID_VALUE", field.to_owned()), "{line}");
    }
}

#[test]
fn unknown_keys_are_named_or_strictly_refused() {
    let line = with(
        "execution",
        &json!({"gpuMemoryPeekBytes": 1, "colour": {"deep": [1]}, "checkpoints": [
            {"kind": "LORA", "name": "a", "hash": "x"}, {"kind": "LORA", "name": "b", "hash": "y"}]}),
    );
    let mut keys = read_line(line.as_bytes(), &context()).unwrap().unknown_keys;
    keys.sort();
    assert_eq!(keys, ["execution.checkpoints.hash", "execution.colour", "execution.gpuMemoryPeekBytes"]);
    let refused = read_line(line.as_bytes(), &strict()).unwrap_err();
    assert_eq!((refused.code, refused.field.as_deref()), (RejectionCode::UnknownField, Some("colour")));
    let inner = with("checkpointLoad", &json!({"checkpoint": {"kind": "LORA", "name": "a", "hash": "x"}}));
    let refused = read_line(inner.as_bytes(), &strict()).unwrap_err();
    assert_eq!((refused.code, refused.field.as_deref()), (RejectionCode::UnknownField, Some("checkpoint.hash")));
    // A key of one type is unknown to another, and what a client calls its keys is repeated only in part.
    assert_eq!(read_line(with("job", &json!({"inferenceMs": 1})).as_bytes(), &context()).unwrap().unknown_keys, ["job.inferenceMs"]);
    let long = read_line(with("job", &json!({"k".repeat(5_000): 1})).as_bytes(), &context()).unwrap().unknown_keys;
    assert_eq!(long[0].len(), "job.".len() + 200);
}

#[test]
fn what_is_no_object_is_malformed() {
    for line in [
        "[]",
        "1",
        "\"execution\"",
        "null",
        "{",
        "{}}",
        "{\"type\":\"execution\"",
        "{\"type\":\"nothing\",}",
        "{\"a\":01}",
        "x",
        "{\"a\":\"\u{1}\"}",
    ] {
        let rejection = read(line).unwrap_err();
        assert_eq!((rejection.code, rejection.field, rejection.id), (RejectionCode::MalformedJson, None, None), "{line}");
    }
    let rejection = read_line(b"{\"type\":\"job\",\"id\":\"\xff\"}", &context()).unwrap_err();
    assert_eq!((rejection.code, rejection.id), (RejectionCode::MalformedJson, None));
    for (line, code) in [("{}", "MISSING_FIELD"), ("{\"type\":1}", "INVALID_VALUE"), ("{\"type\":\"\"}", "UNKNOWN_TYPE")] {
        assert_eq!(code_and_field(line), (code, "type".to_owned()));
    }
}

#[test]
fn the_id_is_told_whatever_else_is_wrong() {
    for (line, id) in [
        (with("execution", &json!({"model": 7})), Some("0195f3a0-1111-7222-8333-444455556666")),
        (with("execution", &json!({"id": "0195F3A0-1111-7222-8333-44445555666"})), Some("0195F3A0-1111-7222-8333-44445555666")),
        (with("execution", &json!({"id": 12})), None),
        ("{\"id\":\"a\",\"type\":\"odd\"}".to_owned(), Some("a")),
        ("{\"id\":\"a\"}".to_owned(), Some("a")),
    ] {
        assert_eq!(read(&line).unwrap_err().id.as_deref(), id, "{line}");
    }
    let long = with("execution", &json!({"id": "i".repeat(10_000)}));
    assert_eq!(read(&long).unwrap_err().id.map(|id| id.len()), Some(200));
}

#[test]
fn another_spelling_is_the_same_event() {
    let first = r#"{"type":"execution","id":"0195f3a0-1111-7222-8333-444455556666","model":"flux","checkpoints":[{"kind":"LORA","name":"a"},{"kind":"VAE","name":"ü"}],"gpus":[0,1],"startedAt":"2026-03-01T08:00:00Z","finishedAt":"2026-03-01T08:00:04.5Z","outcome":"SUCCEEDED","inputBytes":12,"inferenceMs":1500}"#;
    let second = r#" { "outcome" : "SUCCEEDED" , "user":null, "attempt":1,"finishedAt":"2026-03-01T10:00:04.500000+02:00","startedAt":"2026-03-01t08:00:00.000z","gpus":[1,0.0],"checkpoints":[{"name":"\u00fc","version":"unversioned","kind":"VAE"},{"name":"a","kind":"L\u004fRA"}],"modelVersion":"unversioned","mod\u0065l":"flux","inputBytes":1.2e1,"inferenceMs":1.5E3,"id":"0195F3A0-1111-7222-8333-444455556666","type":"execution"}"#;
    let (first, second) = (read(first).unwrap(), read(second).unwrap());
    assert_eq!(first, second);
    assert_eq!(content_hash(&first), content_hash(&second));
    assert_eq!(event_id(&first), event_id(&second));
}

#[test]
fn fingerprints_are_those_that_databases_hold() {
    // Never change these: rows that are already written carry them.
    let checkpoint = json!({"kind": "LORA", "name": "a", "version": "1"});
    let id = "0195f3a0-1111-7222-8333-000000000001";
    let who = json!({"attempt": 2, "modelVersion": "v", "checkpoints": [checkpoint], "application": "a", "user": "u", "department": "d",
        "project": "p", "vm": "m", "gpus": [0, 1]});
    let mut execution = json!({"job": "j", "modelType": "t", "queuedAt": "2026-03-01T07:59:00Z", "checkpointLoadMs": 1.5, "modelInitMs": 2.5,
        "inferenceMs": 3.5, "inputBytes": 4, "outputBytes": 5, "gpuMemoryPeakBytes": 6, "cpuSeconds": 7.5, "errorType": "e",
        "errorMessage": "m"});
    execution.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
    let fulls = [
        execution,
        who,
        json!({"modelVersion": "v", "checkpoint": checkpoint, "gpu": 3, "storageLocation": "l", "bytes": 4, "execution": id, "outcome": "FAILED",
            "errorType": "e"}),
        json!({"instanceType": "t", "provider": "p", "region": "r", "purchaseOption": "SPOT", "vCpus": 4, "memoryBytes": 5, "gpuModel": "g",
            "gpuCount": 6}),
        json!({"cpuRatio": 0.1, "memoryUsedBytes": 2, "memoryTotalBytes": 3, "diskUsedBytes": 4, "diskTotalBytes": 5, "diskBusyRatio": 0.6,
            "networkReceivedBytes": 7, "networkSentBytes": 8, "networkErrors": 9, "diskReadBytes": 10, "diskWrittenBytes": 11,
            "diskReadOps": 12, "diskWriteOps": 13}),
        json!({"utilizationRatio": 0.1, "memoryUsedBytes": 2, "memoryTotalBytes": 3, "temperatureCelsius": 40.5, "powerWatts": 5, "uuid": "u",
            "name": "n"}),
        json!({"modelVersion": "v", "checkpoint": checkpoint, "storageLocation": "l"}),
    ];
    let hash = |event_type: &str, changes: &Value| content_hash(&read(&with(event_type, changes)).unwrap());
    let found: Vec<[i64; 2]> =
        TYPES.iter().zip(&fulls).map(|(event_type, full)| [hash(event_type, &json!({})), hash(event_type, full)]).collect();
    let held: [[i64; 2]; 7] = [
        [2_544_276_336_603_261_548, 6_237_932_003_333_176_157],
        [-5_885_742_265_245_199_655, 8_122_474_087_252_796_466],
        [-2_059_937_058_174_762_079, -9_016_880_687_413_879_452],
        [-423_806_089_894_314_070, -1_488_696_099_136_019_549],
        [8_567_986_693_373_902_759, -3_389_847_159_734_729_672],
        [-2_146_138_377_702_910_055, 8_928_715_579_792_570_832],
        [7_206_257_364_895_505_614, -2_768_020_282_953_289_920],
    ];
    assert_eq!(found, held);
}
