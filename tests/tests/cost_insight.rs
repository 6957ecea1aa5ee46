//! What costs are going to be and what would save money, on a month that can be reckoned by hand, against the real binary on both
//! databases.
//!
//! From 2026-04-01 to 2026-04-29 (28 days):
//! - `m1` (type `g1`, 1 GPU, 1.00 an hour) is held all the time: 24.00 a day, 672.00. sdxl 1.0 runs from 06:00 to 12:00 every day, 168.00;
//!   on each of the first ten days it fails from 12:00 to 13:00, 10.00. Before the first run there are 6.00 of overhead; the rest,
//!   488.00, is idle time that sdxl 1.0 caused. A busy machine would idle for 67.20 of it: 420.80 x 30 / 28 can be saved.
//! - `m2` (type `odd`) has no rate.
//! - In an object store 73 GiB of anime 3 and 7,300 GiB of old 1 lie at 0.02 a month: 0.002 and 0.20 an hour, 4.848 a day. anime 3 is
//!   loaded from there every day (1 GiB, 0.01 of transfer); nobody wants old 1: 0.20 x 720 hours can be saved.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::{Database, Server, on_both};
use serde_json::{Value, json};

const FD: &[&str] = &["FINANCIAL_DIRECTOR"];
const FORECAST: &str = include_str!("../operations/fd-08-cost-trend-and-forecast.graphql");
const EXPENSIVE: &str = include_str!("../operations/fd-10-most-expensive.graphql");
const DAYS: usize = 28;

fn at(day: usize, time: &str) -> String {
    format!("2026-04-{:02}T{time}Z", day + 1)
}

fn month() -> Value {
    json!({ "window": { "start": at(0, "00:00:00"), "end": at(DAYS, "00:00:00") }, "horizonDays": 14 })
}

fn event(kind: &str, fields: Value) -> Value {
    let mut event = json!({ "type": kind, "id": TimeOrderedIds.next_id() });
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

fn run(day: usize, start: &str, end: &str, outcome: &str) -> Value {
    let mut fields = json!({ "vm": "m1", "gpus": [0], "model": "sdxl", "modelVersion": "1.0", "user": "ann", "startedAt": at(day, start),
        "finishedAt": at(day, end), "outcome": outcome });
    if outcome == "FAILED" {
        fields["errorType"] = json!("OutOfMemory");
    }
    event("execution", fields)
}

fn artifact(kind: &str, name: &str, version: &str) -> Value {
    json!({ "storageType": "OBJECT_STORE", "storageLocation": "bucket", "model": "sdxl", "modelVersion": "1.0",
        "checkpoint": { "kind": kind, "name": name, "version": version } })
}

fn with(mut fields: Value, more: Value) -> Value {
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

async fn tell_month(server: &Server) {
    let state = |vm: &str, kind: &str| {
        event("vmState", json!({ "vm": vm, "at": at(0, "00:00:00"), "state": "RUNNING", "instanceType": kind, "gpuCount": 1 }))
    };
    let lies =
        |artifact: Value, gib: u64| event("storageSnapshot", with(artifact, json!({ "at": at(0, "00:00:00"), "sizeBytes": gib << 30 })));
    let (anime, old) = (artifact("LORA", "anime", "3"), artifact("FINE_TUNE", "old", "1"));
    let mut lines = vec![state("m1", "g1"), state("m2", "odd"), lies(anime.clone(), 73), lies(old, 7_300)];
    for day in 0..DAYS {
        lines.push(run(day, "06:00:00", "12:00:00", "SUCCEEDED"));
        if day < 10 {
            lines.push(run(day, "12:00:00", "13:00:00", "FAILED"));
        }
        let load = json!({ "vm": "m1", "startedAt": at(day, "05:59:00"), "finishedAt": at(day, "06:00:00"), "cacheHit": false,
            "bytes": 1_u64 << 30 });
        lines.push(event("checkpointLoad", with(anime.clone(), load)));
    }
    let body = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let (status, answer) = server.ingest(body).await.expect("an answer");
    assert_eq!((status, &answer["accepted"]), (200, &json!(lines.len())), "{answer}");
    let card = json!({ "currency": "USD", "effectiveFrom": "2026-01-01T00:00:00Z",
        "instanceRates": [{ "instanceType": "g1", "hourly": "1.00" }],
        "storageRates": [{ "storageType": "OBJECT_STORE", "perGibMonth": "0.02" }],
        "transferRates": [{ "storageType": "OBJECT_STORE", "perGib": "0.01" }] });
    let mutation = "mutation($card: RateCardInput!) { rateCardCreate(input: $card) { rateCard { id } userErrors { message } } }";
    let (_, answer) = server.ask(FD, mutation, json!({ "card": card })).await;
    assert!(!answer["data"]["rateCardCreate"]["rateCard"]["id"].is_null(), "{answer}");
}

async fn data(server: &Server, query: &str, variables: Value) -> Value {
    let (_, mut answer) = server.ask(FD, query, variables).await;
    assert!(answer["errors"].is_null(), "{query}: {answer}");
    answer["data"].take()
}

fn m(amount: &str) -> Value {
    json!({ "amount": amount })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_things_are_going_to_cost_is_told() {
    on_both("cost_forecast", async |server| {
        tell_month(server).await;
        let told = data(server, FORECAST, month()).await;
        let forecast = &told["costForecast"];
        let row = |row: &Value| {
            let (service_type, label) = (&row["key"]["serviceType"], &row["key"]["combination"]["label"]);
            let days = row["forecast"].as_array().unwrap();
            assert_eq!((days.len(), &days[0]["window"]["start"]), (14, &json!(at(DAYS, "00:00:00"))));
            assert!(days.windows(2).all(|pair| pair[0]["window"]["end"] == pair[1]["window"]["start"]));
            assert!(days.iter().all(|day| day["low"] == day["expected"] && day["high"] == day["expected"]), "{days:?}");
            json!([service_type, label, row["method"], row["backtestMase"], days[13]["expected"], row["expectedTotal"]])
        };
        let rows: Vec<Value> = forecast["rows"].as_array().unwrap().iter().map(row).collect();
        let naive = "seasonal naive (7 days)";
        let expected = [
            json!(["COMPUTE", "sdxl 1.0", naive, 1.0, m("24.00"), m("336.00")]),
            json!(["STORAGE", null, "mean", 1.0, m("4.848"), m("67.872")]),
            json!(["COMPUTE", null, naive, 1.0, m("0.00"), m("0.00")]),
            json!(["TRANSFER", null, "mean", 1.0, m("0.01"), m("0.14")]),
        ];
        assert_eq!(rows, expected);
        assert_eq!(forecast["total"], json!({ "expectedTotal": m("404.012"), "backtestMase": 1.0 }));
        assert_eq!((&told["trend"]["rowCount"], told["trend"]["total"].as_array().unwrap().len()), (&json!(4), DAYS));
        // What `limit` cuts off is in the total; the history is there, and says what was.
        let document = "query($window: TimeWindowInput!, $horizonDays: Int!) { costForecast(history: $window, horizonDays: $horizonDays, limit: 0) {
            asOf currency rows { method } total { key { id } method expectedTotal { amount } history { window { end } expected { amount } low { amount } } } } }";
        let cut = data(server, document, month()).await["costForecast"].take();
        assert_eq!((&cut["rows"], &cut["total"]["method"], &cut["currency"]), (&json!([]), &json!("sum of the rows"), &json!("USD")));
        let last = json!({ "window": { "end": at(DAYS, "00:00:00") }, "expected": m("28.858"), "low": null });
        assert_eq!((&cut["total"]["expectedTotal"], &cut["total"]["history"][DAYS - 1]), (&m("404.012"), &last));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_save_money_is_told() {
    on_both("cost_recommendations", async |server| {
        tell_month(server).await;
        let told = data(server, EXPENSIVE, json!({ "window": month()["window"] })).await;
        assert_eq!(told["models"]["total"], json!({ "total": m("808.024") }));
        let recommendations = told["costRecommendations"].as_array().unwrap();
        let short = |found: &Value| json!([found["kind"], found["subject"], found["saving"]["amount"], found["key"]]);
        let key = |vm: Value, combination: Value, version: Value| json!({ "vm": vm, "combination": combination, "checkpointVersion": version });
        let expected = [
            json!(["CUT_IDLE", "m1", "450.857142857", key(json!({ "name": "m1" }), Value::Null, Value::Null)]),
            json!(["DELETE_COLD_STORAGE", "FINE_TUNE old 1 (sdxl 1.0) in OBJECT_STORE bucket", "144.00",
                key(Value::Null, Value::Null, json!({ "version": "1" }))]),
            json!(["FIX_FAILURES", "sdxl 1.0", "10.714285714", key(Value::Null, json!({ "label": "sdxl 1.0" }), Value::Null)]),
        ];
        assert_eq!(recommendations.iter().map(short).collect::<Vec<_>>(), expected);
        for (found, words) in recommendations.iter().zip([
            "The machine idled for 488.00 USD of 672.00 USD of compute in 28 days, 73 %.",
            "were not loaded once; keeping them cost 134.40 USD.",
            "10 of 38 executions failed in 28 days and cost 10.00 USD of 178.00 USD that was productive, 6 %. Most of it came of OutOfMemory",
        ]) {
            let reason = found["reason"].as_str().unwrap();
            assert!(reason.contains(words), "{reason}");
            assert!(reason.contains("See costBreakdown(window: {start: \"2026-04-01T00:00:00Z\"") || reason.contains("See storageBreakdown("));
            assert_eq!(found["saving"]["currency"], "USD");
        }
        let one = data(server, "query($window: TimeWindowInput!) { costRecommendations(window: $window, limit: 1) { subject } }", month()).await;
        assert_eq!(one["costRecommendations"], json!([{ "subject": "m1" }]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_known_is_no_forecast_and_no_advice() {
    on_both("cost_insight_of_nothing", async |server| {
        tell_month(server).await;
        let window = json!({ "start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z" });
        let told = data(server, FORECAST, json!({ "window": window, "horizonDays": 3 })).await;
        assert_eq!(told["costForecast"], json!({ "rows": [], "total": { "expectedTotal": m("0.00"), "backtestMase": null } }));
        let told = data(server, EXPENSIVE, json!({ "window": window })).await;
        assert_eq!(told["costRecommendations"], json!([]));
        // A day is too little to learn from.
        let day = json!({ "start": at(3, "00:00:00"), "end": at(4, "00:00:00") });
        let told = data(server, FORECAST, json!({ "window": day, "horizonDays": 1 })).await;
        let first = &told["costForecast"]["rows"][0];
        assert_eq!((&first["method"], &first["backtestMase"], &first["expectedTotal"]), (&json!("mean"), &Value::Null, &m("24.00")));
        assert_eq!((&first["forecast"][0]["low"], &first["forecast"][0]["high"]), (&Value::Null, &Value::Null));
    })
    .await;
}

#[tokio::test]
async fn questions_about_the_future_have_limits() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let (history, window) = (
        r#"history: { start: "2026-04-01T00:00:00Z", end: "2026-04-02T00:00:00Z" }"#,
        r#"window: { start: "2026-04-01T00:00:00Z", end: "2026-04-02T00:00:00Z" }"#,
    );
    let cases = [
        (format!("costForecast({history}, horizonDays: 0) {{ currency }}"), "horizonDays"),
        (format!("costForecast({history}, horizonDays: 367) {{ currency }}"), "horizonDays"),
        (format!("costForecast({history}, horizonDays: 7, limit: 201) {{ currency }}"), "limit"),
        (format!("costForecast({history}, horizonDays: 7, by: [VM, VM]) {{ currency }}"), "by"),
        (
            r#"costForecast(history: { start: "2026-04-02T00:00:00Z", end: "2026-04-01T00:00:00Z" }, horizonDays: 7) { currency }"#
                .to_owned(),
            "history",
        ),
        (format!("costRecommendations({window}, limit: 0) {{ subject }}"), "limit"),
        (format!("costRecommendations({window}, limit: 101) {{ subject }}"), "limit"),
    ];
    for (field, argument) in cases {
        let (_, answer) = server.ask(FD, &format!("{{ {field} }}"), json!({})).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["field"]), (&json!("BAD_USER_INPUT"), &json!(argument)), "{field}: {answer}");
    }
    for (document, variables) in [(FORECAST, month()), (EXPENSIVE, json!({ "window": month()["window"] }))] {
        let (_, answer) = server.ask(&["ADMIN"], document, variables).await;
        assert!(answer["data"].as_object().unwrap().values().all(Value::is_null), "{answer}");
        assert!(answer["errors"].as_array().unwrap().iter().all(|error| error["extensions"]["code"] == "FORBIDDEN"), "{answer}");
    }
    server.stop();
}
