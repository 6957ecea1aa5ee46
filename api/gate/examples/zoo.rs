//! Serves the schema of the gate's tests on the loopback, for suites that speak HTTP: `cargo run -p plimsoll-gate --example zoo 8123`.
//! Any bearer token is a caller who may do everything.

#[path = "../tests/it/zoo.rs"]
mod zoo;

use std::net::SocketAddr;

use async_graphql::{Request, Response};
use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::routing::get;
use plimsoll_gate::{CostTable, Endpoint, Gate, Limits, OperationFacts, Refusal, Service, http};

#[derive(Clone)]
struct Host {
    schema: zoo::Zoo,
}

impl Endpoint for Host {
    type Caller = ();

    async fn authenticate(&self, headers: &HeaderMap, _peer: Option<SocketAddr>) -> Result<(), Refusal> {
        let token = headers.get(AUTHORIZATION).filter(|value| value.as_bytes().starts_with(b"Bearer "));
        token.map(drop).ok_or_else(|| Refusal::new("a bearer token is required"))
    }

    fn may_introspect(&self, (): &()) -> bool {
        true
    }

    async fn execute(&self, (): (), request: Request, _facts: OperationFacts) -> Response {
        self.schema.execute(request).await
    }

    fn next_error_id(&self) -> String {
        "example".to_owned()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await?;
    let gate = Gate::new(&zoo::sdl(), Limits::default(), CostTable::default())?;
    let service = Service::new(gate, Host { schema: zoo::schema() });
    let app = Router::new().route("/graphql", http::route(service)).route("/healthz", get(|| async { "ok" }));
    println!("listening on http://{}/graphql", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
