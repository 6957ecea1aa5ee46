//! Prices against the real binary: entered by the Financial Director alone, each fault told with its field, kept over a `kill -9`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use plimsoll_tests::{Database, Server, on_both};
use serde_json::{Value, json};

const CARD: &str =
    "mutation($input: RateCardInput!) { rateCardCreate(input: $input) { rateCard { ...card } userErrors { code field message } } }
    fragment card on RateCard { id currency effectiveFrom instanceRates { instanceType region purchaseOption hourly }
        storageRates { storageType location perGibMonth } transferRates { storageType location perGib } }";
const VALUE: &str = "mutation($input: BusinessValueInput!) { businessValueCreate(input: $input) {
    businessValue { id model checkpoint application perSuccess currency effectiveFrom } userErrors { code field message } } }";
const LISTS: &str = "{ rateCards { id currency effectiveFrom instanceRates { instanceType region purchaseOption hourly }
        storageRates { storageType location perGibMonth } transferRates { storageType location perGib } }
    businessValues { id model checkpoint application perSuccess currency effectiveFrom } }";
const FD: &str = "FINANCIAL_DIRECTOR";

fn card(effective_from: &str, instance_rates: Value) -> Value {
    json!({ "currency": "USD", "effectiveFrom": effective_from, "instanceRates": instance_rates })
}

fn value(scope: &Value, per_success: &str) -> Value {
    let mut value = json!({ "currency": "USD", "effectiveFrom": "2026-03-01T00:00:00Z", "perSuccess": per_success });
    value.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
    value
}

async fn enter(server: &Server, field: &str, mutation: &str, input: Value) -> Value {
    let (_, mut answer) = server.ask(&[FD], mutation, json!({ "input": input })).await;
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"][field].take()
}

async fn entered(server: &Server, field: &str, mutation: &str, thing: &str, input: Value) -> Value {
    let mut payload = enter(server, field, mutation, input).await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    payload[thing].take()
}

/// Code and field of what is wrong with a card.
async fn card_errors(server: &Server, input: Value) -> Vec<(String, String)> {
    errors(&enter(server, "rateCardCreate", CARD, input).await, "rateCard")
}

async fn value_errors(server: &Server, input: Value) -> Vec<(String, String)> {
    errors(&enter(server, "businessValueCreate", VALUE, input).await, "businessValue")
}

fn errors(payload: &Value, thing: &str) -> Vec<(String, String)> {
    assert!(payload[thing].is_null(), "{payload}");
    let error = |error: &Value| {
        assert!(!error["message"].as_str().unwrap().is_empty());
        let field: Vec<&str> = error["field"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        (error["code"].as_str().unwrap().to_owned(), field.join("."))
    };
    payload["userErrors"].as_array().unwrap().iter().map(error).collect()
}

fn told(code: &str, field: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), field.to_owned())]
}

async fn prices_are_entered_listed_and_outlive_the_process(database: Database) {
    let server = Server::start(&database);
    let rates = json!([
        { "instanceType": "g5.xlarge", "hourly": "0.95130" },
        { "instanceType": "g5.xlarge", "region": "eu-central-1", "purchaseOption": "SPOT", "hourly": 1 },
    ]);
    let mut march = card("2026-03-01T01:00:00+01:00", rates);
    march["storageRates"] = json!([{ "storageType": "OBJECT_STORE", "perGibMonth": "0.0257" }]);
    march["transferRates"] = json!([{ "storageType": "OBJECT_STORE", "location": "s3://models", "perGib": "0.000000001" }]);
    let march = entered(&server, "rateCardCreate", CARD, "rateCard", march).await;
    assert!(march["id"].as_str().unwrap().starts_with("ratecard_"), "{march}");
    let mut told = march.clone();
    told["id"].take();
    let expected = json!({ "id": null, "currency": "USD", "effectiveFrom": "2026-03-01T00:00:00Z",
        "instanceRates": [
            { "instanceType": "g5.xlarge", "region": null, "purchaseOption": null, "hourly": "0.9513" },
            { "instanceType": "g5.xlarge", "region": "eu-central-1", "purchaseOption": "SPOT", "hourly": "1.00" },
        ],
        "storageRates": [{ "storageType": "OBJECT_STORE", "location": null, "perGibMonth": "0.0257" }],
        "transferRates": [{ "storageType": "OBJECT_STORE", "location": "s3://models", "perGib": "0.000000001" }] });
    assert_eq!(told, expected);
    let april = card("2026-04-01T00:00:00Z", json!([{ "instanceType": "g5.xlarge", "hourly": "0.9" }]));
    let april = entered(&server, "rateCardCreate", CARD, "rateCard", april).await;
    let scope = json!({ "model": "flux", "checkpoint": "水彩" });
    let flux = entered(&server, "businessValueCreate", VALUE, "businessValue", value(&scope, "19")).await;
    assert_eq!((&flux["perSuccess"], &flux["checkpoint"], &flux["application"]), (&json!("19.00"), &json!("水彩"), &Value::Null));
    server.kill();
    let server = Server::start(&database);
    let (_, lists) = server.ask(&[FD], LISTS, json!({})).await;
    assert_eq!(lists["data"], json!({ "rateCards": [april, march], "businessValues": [flux] }), "{lists}");
    let (_, node) = server.ask(&[FD], "query($id: ID!) { node(id: $id) { id } }", json!({ "id": march["id"] })).await;
    assert_eq!((&node["data"]["node"], &node["errors"]), (&Value::Null, &Value::Null), "{node}");
    server.stop();
    database.remove().await;
}

#[tokio::test]
async fn prices_are_entered_listed_and_outlive_the_process_on_sqlite() {
    prices_are_entered_listed_and_outlive_the_process(Database::sqlite()).await;
}

#[tokio::test]
async fn prices_are_entered_listed_and_outlive_the_process_on_postgres() {
    let Some(database) = Database::postgres("prices_outlive").await else { return };
    prices_are_entered_listed_and_outlive_the_process(database).await;
}

#[tokio::test]
async fn each_fault_of_a_price_is_told_with_its_field() {
    on_both("each_fault_of_a_price", faults_are_told).await;
}

async fn faults_are_told(server: &Server) {
    let g5 = |hourly: &str| json!({ "instanceType": "g5.xlarge", "hourly": hourly });
    let at = "2026-03-01T00:00:00Z";
    let invalid = "BAD_USER_INPUT";
    let mut euros = card(at, json!([g5("1")]));
    euros["currency"] = json!("EUR");
    assert_eq!(card_errors(server, euros).await, told(invalid, "input.currency"));
    assert_eq!(card_errors(server, card(at, json!([]))).await, told(invalid, "input"));
    for hourly in ["-0.01", "0.0000000001", "1000000.1"] {
        assert_eq!(card_errors(server, card(at, json!([g5(hourly)]))).await, told(invalid, "input.instanceRates.0.hourly"), "{hourly}");
    }
    assert_eq!(card_errors(server, card(at, json!([g5("1"), g5("2")]))).await, told(invalid, "input.instanceRates.1"));
    let nameless = json!([{ "instanceType": "", "region": "a\nb", "hourly": "1" }]);
    let both = [told(invalid, "input.instanceRates.0.instanceType"), told(invalid, "input.instanceRates.0.region")].concat();
    assert_eq!(card_errors(server, card(at, nameless)).await, both);

    let mut first = card(at, json!([g5("1")]));
    first["storageRates"] = json!([{ "storageType": "LOCAL_DISK", "perGibMonth": "1" }]);
    entered(server, "rateCardCreate", CARD, "rateCard", first).await;
    let conflict = told("CONFLICT", "input.instanceRates.0.instanceType");
    assert_eq!(card_errors(server, card("2026-03-01T00:00:00.000000Z", json!([g5("2")]))).await, conflict);
    let mut second = card(at, json!([]));
    second["storageRates"] = json!([{ "storageType": "LOCAL_DISK", "location": "a", "perGibMonth": "1" }]);
    assert_eq!(card_errors(server, second).await, told("CONFLICT", "input.storageRates.0.storageType"));

    assert_eq!(value_errors(server, value(&json!({ "model": "" }), "1")).await, told(invalid, "input.model"));
    assert_eq!(value_errors(server, value(&json!({ "currency": "usd" }), "1")).await, told(invalid, "input.currency"));
    assert_eq!(value_errors(server, value(&json!({}), "-1")).await, told(invalid, "input.perSuccess"));
    entered(server, "businessValueCreate", VALUE, "businessValue", value(&json!({ "model": "sdxl" }), "1")).await;
    assert_eq!(value_errors(server, value(&json!({ "model": "sdxl" }), "2")).await, told("CONFLICT", "input.effectiveFrom"));

    // What is no decimal at all is no value of the scalar.
    for odd in [json!("1e3"), json!("12,50"), json!(0.5), json!(true)] {
        let input = card("2026-05-01T00:00:00Z", json!([{ "instanceType": "a", "hourly": odd }]));
        let (_, answer) = server.ask(&[FD], CARD, json!({ "input": input })).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{odd}: {answer}");
    }
    let (_, lists) = server.ask(&[FD], LISTS, json!({})).await;
    let counts = ["rateCards", "businessValues"].map(|list| lists["data"][list].as_array().unwrap().len());
    assert_eq!(counts, [1, 1], "what is refused is not entered: {lists}");
}

#[tokio::test]
async fn nobody_else_enters_a_price() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    for role in ["PIPELINE_TD", "ADMIN", "INGEST"] {
        let input = card("2026-03-01T00:00:00Z", json!([{ "instanceType": "a", "hourly": "1" }]));
        for (mutation, field, input) in [(CARD, "rateCardCreate", input), (VALUE, "businessValueCreate", value(&json!({}), "1"))] {
            let (_, answer) = server.ask(&[role], mutation, json!({ "input": input })).await;
            assert_eq!(
                (&answer["data"][field], &answer["errors"][0]["extensions"]["code"]),
                (&Value::Null, &json!("FORBIDDEN")),
                "{answer}"
            );
        }
    }
    let (_, lists) = server.ask(&[FD], LISTS, json!({})).await;
    assert_eq!(lists["data"], json!({ "rateCards": [], "businessValues": [] }));
    server.stop();
}
