//! GraphQL over Server-Sent Events, through the route: what a client reads, byte by byte.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use plimsoll_gate::Limits;
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::http::{app, post, query, send};

const STREAM: &str = "text/event-stream";

/// The events of an answer: names and data. Comments are left out.
async fn events(request: Request<Body>) -> Vec<(String, Json)> {
    let response = app(Limits::default()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream; charset=utf-8");
    let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let events = text.split_terminator("\n\n").filter(|event| !event.starts_with(':'));
    events
        .map(|event| {
            let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata:").unwrap();
            (name.to_owned(), if data.is_empty() { Json::Null } else { serde_json::from_str(data).unwrap() })
        })
        .collect()
}

fn named(name: &str, data: Json) -> (String, Json) {
    (name.to_owned(), data)
}

fn get(uri: &str) -> Request<Body> {
    Request::builder().uri(uri).header("authorization", "Bearer admin").header("accept", STREAM).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_subscription_is_next_after_next_and_complete() {
    let expected = [
        named("next", json!({ "data": { "ticks": { "value": 0 } } })),
        named("next", json!({ "data": { "ticks": { "value": 1 } } })),
        named("complete", Json::Null),
    ];
    assert_eq!(events(post(STREAM, query("subscription { ticks(count: 2) { value } }"))).await, expected);
    assert_eq!(events(get("/graphql?query=subscription%7Bticks(count:2)%7Bvalue%7D%7D")).await, expected);
}

#[tokio::test]
async fn a_query_is_one_next_and_complete() {
    let said = events(post(STREAM, query("{ __typename }"))).await;
    assert_eq!(said, [named("next", json!({ "data": { "__typename": "Query" } })), named("complete", Json::Null)]);
    let failed = events(post(STREAM, query("{ trouble { fail } }"))).await;
    assert_eq!((failed[0].1["data"].is_object(), &failed[0].1["errors"][0]["extensions"]["code"]), (true, &json!("CONFLICT")));
}

#[tokio::test]
async fn what_is_wrong_with_the_document_is_told_in_the_stream() {
    for (document, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("query($v: Int!) { intOr(v: $v) }", "BAD_USER_INPUT"),
        ("{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", "LIMIT_EXCEEDED"),
    ] {
        let said = events(post(STREAM, query(document))).await;
        assert_eq!(said.len(), 2, "{document}");
        assert_eq!((said[0].0.as_str(), said[1].0.as_str()), ("next", "complete"));
        assert_eq!(said[0].1["errors"][0]["extensions"]["code"], code, "{document}");
        assert!(said[0].1.get("data").is_none());
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_request_is_a_status() {
    let app = app(Limits { sockets: 0, ..Limits::default() });
    let with = |method: Method, content_type: &str, token: &str, body: &'static str| {
        let request = Request::builder().method(method).uri("/graphql").header("accept", STREAM).header("content-type", content_type);
        request.header("authorization", token).body(Body::from(body)).unwrap()
    };
    let json = "application/json";
    for (request, status) in [
        (with(Method::POST, json, "nobody", r#"{"query":"{hello}"}"#), 401),
        (with(Method::PUT, json, "Bearer admin", ""), 405),
        (with(Method::POST, "text/plain", "Bearer admin", r#"{"query":"{hello}"}"#), 415),
        (with(Method::POST, json, "Bearer admin", "{"), 400),
        (with(Method::POST, json, "Bearer admin", r#"{"query":7}"#), 400),
        (get("/graphql?query=mutation%7Badd(by:1)%7Bvalue%7D%7D"), 405),
        (with(Method::POST, json, "Bearer admin", r#"{"query":"{hello}"}"#), 503),
    ] {
        let uri = request.uri().clone();
        let reply = send(&app, request).await;
        assert_eq!(reply.status.as_u16(), status, "{uri}");
        assert!(reply.json["errors"][0]["extensions"]["code"].is_string());
    }
}
