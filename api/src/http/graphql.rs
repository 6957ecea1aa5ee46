//! `/graphql`: our schema behind the gate.
//!
//! Invariant: who is refused and who is answered is told to the audit log, each operation once. Must not know: what fields mean.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response};
use axum::http::{HeaderMap, header};
use futures_util::stream::BoxStream;
use plimsoll_domain::clock::IdSource;
use plimsoll_entity::value::label::Role;
use plimsoll_gate::{Delivery, Endpoint, OperationFacts, Refusal};
use serde_json::{Map, Value};

use crate::auth::access::roles_of;
use crate::auth::{AuthError, Authenticator, Caller, Scope, may_introspect};
use crate::config::{Introspection, Origins};
use crate::graphql::{PlimsollSchema, subscription};
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
    /// Origins of pages that may open sockets.
    pub origins: Origins,
    /// Ids of faults.
    pub ids: Arc<dyn IdSource>,
    /// The audit log.
    pub auditor: Arc<dyn Auditor>,
}

impl Endpoint for GraphqlEndpoint {
    type Caller = Caller;
    type Scope = Scope;

    async fn authenticate(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Result<Caller, Refusal> {
        self.authenticator.authenticate(headers, peer).await.map_err(|error| Refusal::new(error.to_string()))
    }

    async fn authenticate_socket(
        &self,
        init: &Map<String, Value>,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Result<Caller, Refusal> {
        let authenticated = match token_of(init) {
            Some(token) => self.authenticator.authenticate_token(token, peer).await,
            None => self.authenticator.authenticate(headers, peer).await,
        };
        authenticated.map_err(|error| Refusal::new(error.to_string()))
    }

    fn expires_in(&self, caller: &Caller) -> Duration {
        self.authenticator.expires_in(caller)
    }

    fn admits_origin(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        origins.next().is_none() && origin.to_str().is_ok_and(|origin| self.origins.allow(origin, host))
    }

    fn scope(&self, caller: &Caller) -> Scope {
        caller.scope()
    }

    fn delivery(&self, facts: &OperationFacts) -> Delivery {
        let is_ordered = |field: &Arc<str>| subscription::ORDERED.contains(&&**field);
        if facts.root_fields.iter().any(is_ordered) { Delivery::Ordered } else { Delivery::Newest }
    }

    fn subscribed(&self, caller: &Caller, facts: &OperationFacts) {
        let may = |field: &Arc<str>| roles_of(&format!("Subscription.{field}")).is_none_or(|roles| caller.roles.contains_any(roles));
        let allowed = facts.root_fields.iter().all(may);
        // Once, at the start: it may go on for days, or be ended before it has said anything.
        self.auditor.operation(caller, facts.name.as_deref().unwrap_or_default(), &facts.root_fields, allowed);
    }

    fn subscribe(&self, scope: Scope, request: Request) -> BoxStream<'static, Response> {
        self.schema.execute_stream(request.data(scope))
    }

    fn may_introspect(&self, caller: &Caller) -> bool {
        may_introspect(self.introspection, self.has_key, caller.roles)
    }

    async fn execute(&self, caller: Caller, request: Request, facts: OperationFacts) -> Response {
        let response = self.schema.execute(request.data(caller.scope()).data(caller.clone())).await;
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

/// The token in the payload of a `connection_init`: `{"Authorization": "Bearer …"}` (in any case, as clients differ) or `{"token": "…"}`.
/// What is there and is no token counts as one that is not accepted.
fn token_of(init: &Map<String, Value>) -> Option<&str> {
    let find =
        |wanted: &str| init.iter().find(|(name, value)| name.eq_ignore_ascii_case(wanted) && !value.is_null()).map(|(_, value)| value);
    let text = find("authorization").or_else(|| find("token"))?.as_str().unwrap_or_default().trim();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        _ => Some(text),
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
