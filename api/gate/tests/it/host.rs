//! The host of the tests: any bearer is a caller, `admin` may introspect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_graphql::{Request, Response};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use futures_util::stream::BoxStream;
use plimsoll_gate::{Answer, CostTable, Delivery, Endpoint, Gate, Limits, OperationFacts, Params, Refusal, Service};
use serde_json::{Map, Value as Json, json};

use crate::zoo::{Zoo, schema, sdl};

#[derive(Clone)]
pub struct Host {
    schema: Zoo,
    errors: Arc<AtomicU32>,
}

impl Endpoint for Host {
    type Caller = String;
    type Scope = String;

    async fn authenticate(&self, headers: &HeaderMap, _peer: Option<SocketAddr>) -> Result<String, Refusal> {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        token.map(str::to_owned).ok_or_else(|| Refusal::new("a bearer token is required"))
    }

    async fn authenticate_socket(
        &self,
        init: &Map<String, Json>,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Result<String, Refusal> {
        match init.get("token").and_then(Json::as_str) {
            Some(token) => Ok(token.to_owned()),
            None => self.authenticate(headers, peer).await,
        }
    }

    fn expires_in(&self, _caller: &String) -> Duration {
        Duration::from_secs(3_600)
    }

    fn admits_origin(&self, _headers: &HeaderMap) -> bool {
        true
    }

    fn scope(&self, caller: &String) -> String {
        caller.clone()
    }

    fn delivery(&self, _facts: &OperationFacts) -> Delivery {
        Delivery::Alone
    }

    fn subscribed(&self, _caller: &String, _facts: &OperationFacts) {}

    fn subscribe(&self, _scope: String, request: Request) -> BoxStream<'static, Response> {
        self.schema.execute_stream(request)
    }

    fn may_introspect(&self, caller: &String) -> bool {
        caller == "admin"
    }

    async fn execute(&self, _caller: String, request: Request, _facts: OperationFacts) -> Response {
        self.schema.execute(request).await
    }

    fn next_error_id(&self) -> String {
        format!("error-{}", self.errors.fetch_add(1, Ordering::SeqCst))
    }
}

pub fn gate(limits: Limits) -> Gate {
    Gate::new(&sdl(), limits, CostTable::default()).unwrap()
}

pub fn service(limits: Limits) -> Service<Host> {
    Service::new(gate(limits), Host { schema: schema(), errors: Arc::default() })
}

/// Asks with everything that a transport would do, and gives back what a client would read.
pub async fn ask(service: &Service<Host>, params: Params) -> Json {
    let answer = match service.prepare(&"admin".to_owned(), params) {
        Ok(prepared) => service.run("admin".to_owned(), prepared).await,
        Err(refused) => Answer::from(refused),
    };
    serde_json::from_slice(&answer.to_json()).unwrap()
}

pub fn params(query: &str, variables: Json) -> Params {
    Params { query: query.to_owned(), operation_name: None, variables: variables.as_object().cloned().unwrap_or_default() }
}

pub fn code(answer: &Json) -> Json {
    answer.pointer("/errors/0/extensions/code").cloned().unwrap_or(json!(null))
}
