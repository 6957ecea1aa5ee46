//! GraphQL over HTTP, through the route.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use futures_util::stream;
use http_body_util::BodyExt;
use plimsoll_gate::{Limits, http};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::host::{code, service};

pub const GRAPHQL: &str = "application/graphql-response+json";

pub fn app(limits: Limits) -> Router {
    Router::new().route("/graphql", http::route(service(limits)))
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    pub json: Json,
}

pub async fn send(app: &Router, request: Request<Body>) -> Reply {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}"));
    Reply { status: parts.status, headers: parts.headers, bytes, json }
}

/// A POST of `body` with a token; `accept` may be empty.
pub fn post(accept: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(Method::POST).uri("/graphql").header("authorization", "Bearer admin");
    if !accept.is_empty() {
        request = request.header("accept", accept);
    }
    request.header("content-type", "application/json").body(body.into()).unwrap()
}

pub fn query(document: &str) -> String {
    json!({ "query": document }).to_string()
}

fn get(uri: &str) -> Request<Body> {
    Request::builder().uri(uri).header("authorization", "Bearer admin").header("accept", GRAPHQL).body(Body::empty()).unwrap()
}

fn content_type(reply: &Reply) -> &str {
    reply.headers[header::CONTENT_TYPE].to_str().unwrap()
}

#[tokio::test]
async fn the_status_depends_on_the_media_type() {
    let app = app(Limits::default());
    let cases = [
        ("{ hello }", 200, 200, json!(null)),
        ("{ trouble { fail } }", 200, 200, json!("CONFLICT")),
        ("{ troubleHard { failHard } }", 200, 200, json!("CONFLICT")),
        ("{", 400, 200, json!("GRAPHQL_PARSE_FAILED")),
        ("{ nope }", 400, 200, json!("GRAPHQL_VALIDATION_FAILED")),
        ("query Q($v: Int!) { intOr(v: $v) }", 400, 200, json!("BAD_USER_INPUT")),
        ("query A { hello } query B { hello }", 400, 200, json!("BAD_USER_INPUT")),
        ("subscription { ticks { value } }", 400, 200, json!("BAD_USER_INPUT")),
    ];
    for (document, graphql, legacy, expected) in cases {
        for (accept, status, media) in
            [(GRAPHQL, graphql, GRAPHQL), ("application/json", legacy, "application/json"), ("", legacy, "application/json")]
        {
            let reply = send(&app, post(accept, query(document))).await;
            assert_eq!(reply.status.as_u16(), status, "{document} as {accept}");
            assert_eq!(content_type(&reply), format!("{media}; charset=utf-8"));
            assert_eq!(code(&reply.json), expected, "{document} as {accept}");
            assert_eq!(reply.json.get("data").is_some(), graphql == 200, "{document}: data is there when something was run");
        }
    }
}

#[tokio::test]
async fn whoever_has_no_token_learns_nothing() {
    let app = app(Limits::default());
    for (method, uri, body) in
        [("POST", "/graphql", "{"), ("GET", "/graphql?query={hello}", ""), ("DELETE", "/graphql", ""), ("POST", "/graphql", "[]")]
    {
        let request = Request::builder().method(method).uri(uri).header("content-type", "text/plain").body(Body::from(body)).unwrap();
        let reply = send(&app, request).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(reply.headers[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(code(&reply.json), "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn introspection_is_for_those_who_may() {
    let app = app(Limits::default());
    let asked = ["{ __schema { queryType { name } } }", "{ ...F } fragment F on Query { ... { t: __type(name: \"Dog\") { name } } }"];
    for document in asked {
        let mut request = post(GRAPHQL, query(document));
        assert_eq!(send(&app, post(GRAPHQL, query(document))).await.status, StatusCode::OK);
        request.headers_mut().insert("authorization", "Bearer td".parse().unwrap());
        let reply = send(&app, request).await;
        assert_eq!((reply.status, code(&reply.json)), (StatusCode::FORBIDDEN, json!("FORBIDDEN")));
    }
    let mut request = post(GRAPHQL, query("{ __typename dog { __typename } }"));
    request.headers_mut().insert("authorization", "Bearer td".parse().unwrap());
    assert_eq!(send(&app, request).await.json, json!({ "data": { "__typename": "Query", "dog": { "__typename": "Dog" } } }));
}

#[tokio::test]
async fn methods_and_media_types_are_checked() {
    let app = app(Limits::default());
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let request =
            Request::builder().method(method).uri("/graphql").header("authorization", "Bearer admin").body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!((response.status(), response.headers()[header::ALLOW].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "GET, POST"));
    }
    for accept in ["text/html", "text/*", "application/json;q=0", "application/json; charset=utf-16"] {
        let reply = send(&app, post(accept, query("{ hello }"))).await;
        assert_eq!((reply.status, code(&reply.json)), (StatusCode::NOT_ACCEPTABLE, json!("BAD_USER_INPUT")), "{accept}");
    }
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=latin1",
    ] {
        let mut request = post("", query("{ hello }"));
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        assert_eq!(send(&app, request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
    }
    let mut request = post("", query("{ hello }"));
    request.headers_mut().remove("content-type");
    assert_eq!(send(&app, request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let mut request = post("", query("{ hello }"));
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(send(&app, request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn get_runs_queries_only() {
    let app = app(Limits::default());
    let reply = send(&app, get("/graphql?query=query+Q(%24v%3AInt)%7Bint(v%3A%24v)%7D&variables=%7B%22v%22%3A7%7D&operationName=Q")).await;
    assert_eq!(reply.json, json!({ "data": { "int": 7 } }));
    let reply = send(&app, get("/graphql?query=mutation%7Badd%7Bvalue%7D%7D")).await;
    assert_eq!((reply.status, reply.headers[header::ALLOW].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    assert_eq!(reply.json.get("data"), None);
    // It did not run: the first mutation that does counts from zero.
    let reply = send(&app, post("", query("mutation { add { value } }"))).await;
    assert_eq!(reply.json, json!({ "data": { "add": { "value": 1 } } }));
    for (uri, status) in [("/graphql", 400), ("/graphql?query=%7Bhello%7D&query=%7Bhello%7D", 400), ("/graphql?query=%FF", 400)] {
        assert_eq!(send(&app, get(uri)).await.status.as_u16(), status, "{uri}");
    }
    let reply = send(&app, get(&format!("/graphql?query={}", "x".repeat(9_000)))).await;
    assert_eq!((reply.status, code(&reply.json)), (StatusCode::URI_TOO_LONG, json!("LIMIT_EXCEEDED")));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let app = app(Limits { request_body_size_bytes: 1_000, body_read_time: Duration::from_millis(20), ..Limits::default() });
    let fits = format!("{{\"query\":\"{{hello}}\"}}{}", " ".repeat(1_000 - 19));
    assert_eq!(fits.len(), 1_000);
    assert_eq!(send(&app, post("", fits.clone())).await.status, StatusCode::OK);
    let reply = send(&app, post("", format!("{fits} "))).await;
    assert_eq!((reply.status, code(&reply.json)), (StatusCode::PAYLOAD_TOO_LARGE, json!("LIMIT_EXCEEDED")));
    // Without an announced length it is counted.
    let chunks = stream::iter((0..).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 100]))));
    let reply = send(&app, post("", Body::from_stream(chunks))).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let reply = send(&app, post("", Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()))).await;
    assert_eq!((reply.status, code(&reply.json)), (StatusCode::REQUEST_TIMEOUT, json!("TIMEOUT")));
}

#[tokio::test]
async fn an_operation_that_hangs_or_panics_costs_its_own_answer() {
    let app = app(Limits { query_time: Duration::from_millis(30), ..Limits::default() });
    for accept in [GRAPHQL, "application/json"] {
        let reply = send(&app, post(accept, query("{ trouble { hangs } }"))).await;
        assert_eq!((reply.status, code(&reply.json)), (StatusCode::SERVICE_UNAVAILABLE, json!("TIMEOUT")));
        let reply = send(&app, post(accept, query("{ trouble { panics } }"))).await;
        assert_eq!((reply.status, code(&reply.json)), (StatusCode::INTERNAL_SERVER_ERROR, json!("INTERNAL")));
    }
    assert_eq!(send(&app, post("", query("{ hello }"))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn faults_of_ours_are_hidden_and_named() {
    let app = app(Limits::default());
    let reply = send(&app, post("", query("{ trouble { uncoded foreign ok } }"))).await;
    assert_eq!(reply.json["data"], json!({ "trouble": { "uncoded": null, "foreign": null, "ok": "ok" } }));
    let text = reply.json.to_string();
    assert!(!text.contains("secret") && !text.contains("select") && !text.contains("E_SECRET"), "{text}");
    for error in reply.json["errors"].as_array().unwrap() {
        assert_eq!(error["extensions"]["code"], "INTERNAL");
        assert!(error["extensions"]["id"].as_str().unwrap().starts_with("error-"));
        assert_eq!(error["path"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_answer_has_few_errors_and_each_has_a_code() {
    let app = app(Limits::default());
    let many = (0..29).map(|number| format!("a{number}: fail ")).collect::<String>();
    let reply = send(&app, post("", query(&format!("{{ trouble {{ {many} }} }}")))).await;
    assert_eq!(reply.json["errors"].as_array().unwrap().len(), 5);
    assert_eq!(reply.json["data"]["trouble"].as_object().unwrap().len(), 29);
    let many = (0..2_000).map(|number| format!("x{number} ")).collect::<String>();
    let reply = send(&app, post("", query(&format!("{{ dog {{ {many} }} }}")))).await;
    let errors = reply.json["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 5);
    assert!(errors.iter().all(|error| error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED" && error["locations"][0]["line"] == 1));
}

#[tokio::test]
async fn a_value_that_its_resolver_cannot_take_is_bad_input() {
    let app = app(Limits::default());
    let body = json!({ "query": "query Q($v: Int) { hello intOr(v: $v) }", "variables": { "v": null } });
    let reply = send(&app, post(GRAPHQL, body.to_string())).await;
    assert_eq!((reply.status, code(&reply.json)), (StatusCode::OK, json!("BAD_USER_INPUT")));
    assert_eq!(reply.json["errors"][0]["path"], json!(["intOr"]));
}
