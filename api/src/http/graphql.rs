//! `/graphql`: our schema behind the gate.
//!
//! Invariant: who is refused and who is answered is told to the audit log, each operation once. Must not know: what fields mean.

use std::net::SocketAddr;
use std::sync::Arc;

use async_graphql::{Request, Response};
use axum::http::HeaderMap;
use plimsoll_domain::clock::IdSource;
use plimsoll_entity::value::label::Role;
use plimsoll_gate::{Endpoint, OperationFacts, Refusal};

use crate::auth::{AuthError, Authenticator, Caller, may_introspect};
use crate::config::Introspection;
use crate::graphql::PlimsollSchema;
use crate::http::ingest::IngestAuth;

/// Hears of every operation that a known caller sent.
pub trait Auditor: Send + Sync + 'static {
    /// An operation has been answered; `allowed` is false when any of its fields was refused.
    fn operation(&self, caller: &Caller, operation: &str, fields: &[Arc<str>], allowed: bool);
}

/// The schema, and who may reach it.
#[derive(Clone)]
pub struct GraphqlEndpoint {
    /// Recognises callers.
    pub authenticator: Arc<Authenticator>,
    /// The schema.
    pub schema: PlimsollSchema,
    /// Who may introspect.
    pub introspection: Introspection,
    /// Whether an operator has configured a key.
    pub has_key: bool,
    /// Ids of faults.
    pub ids: Arc<dyn IdSource>,
    /// The audit log.
    pub auditor: Arc<dyn Auditor>,
}

impl Endpoint for GraphqlEndpoint {
    type Caller = Caller;

    async fn authenticate(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Result<Caller, Refusal> {
        self.authenticator.authenticate(headers, peer).await.map_err(|error| Refusal::new(error.to_string()))
    }

    fn may_introspect(&self, caller: &Caller) -> bool {
        may_introspect(self.introspection, self.has_key, caller.roles)
    }

    async fn execute(&self, caller: Caller, request: Request, facts: OperationFacts) -> Response {
        let response = self.schema.execute(request.data(caller.clone())).await;
        let refused = |error: &async_graphql::ServerError| {
            let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
            matches!(code, Some(async_graphql::Value::String(code)) if code == plimsoll_gate::Code::Forbidden.as_str())
        };
        let allowed = !response.errors.iter().any(refused);
        self.auditor.operation(&caller, facts.name.as_deref().unwrap_or_default(), &facts.root_fields, allowed);
        response
    }

    fn next_error_id(&self) -> String {
        self.ids.next_id().to_string()
    }
}

/// Who may send events, by the same tokens.
#[derive(Clone)]
pub struct EventSenders(pub Arc<Authenticator>);

impl IngestAuth for EventSenders {
    type Refusal = AuthError;

    async fn roles(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Result<Vec<Role>, AuthError> {
        self.0.authenticate(headers, peer).await.map(|caller| caller.roles.iter().collect())
    }
}
