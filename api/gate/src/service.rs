//! One request from its parameters to its answer, whatever carried it: [`Service::prepare`], then [`Service::run`] for one answer or
//! [`Service::open`] for a stream of them.
//!
//! Invariants: nothing runs that has not been admitted; at most [`crate::Limits::running_operations`] run at once; an operation that
//! panics or takes too long costs its own answer and nothing else. It must not know headers or status codes.

use std::future::Future;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response};
use axum::http::HeaderMap;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value as Json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::admit::{OperationFacts, OperationKind, Prepared};
use crate::code::Code;
use crate::complete::Answer;
use crate::gate::Gate;
use crate::hub::{Delivery, Hub};
use crate::refused::{Refused, coded};
use crate::socket::Sockets;

/// The host behind the gate: who calls, and the executor.
pub trait Endpoint: Clone + Send + Sync + 'static {
    /// Who calls, once that is known.
    type Caller: Clone + Send + Sync + 'static;

    /// All of a caller that limits what it may see, and nothing else of it: subscriptions of callers with the same scope are shared.
    type Scope: Clone + Eq + Hash + Send + Sync + 'static;

    /// Finds out who calls.
    ///
    /// # Errors
    /// A [`Refusal`] when there is no valid token; the request ends there.
    fn authenticate(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> impl Future<Output = Result<Self::Caller, Refusal>> + Send;

    /// Finds out who calls over a WebSocket: by the payload of its `connection_init`, else by the headers of the request that opened it.
    ///
    /// # Errors
    /// As [`Endpoint::authenticate`].
    fn authenticate_socket(
        &self,
        init: &Map<String, Json>,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> impl Future<Output = Result<Self::Caller, Refusal>> + Send;

    /// How long the caller is known for; what goes on ends then.
    fn expires_in(&self, caller: &Self::Caller) -> Duration;

    /// Whether a page of this origin, as the headers tell it, may open a WebSocket.
    fn admits_origin(&self, headers: &HeaderMap) -> bool;

    /// Whether the caller may ask for `__schema` and `__type`. `__typename` is open to all.
    fn may_introspect(&self, caller: &Self::Caller) -> bool;

    /// Runs a query or mutation.
    fn execute(&self, caller: Self::Caller, request: Request, facts: OperationFacts) -> impl Future<Output = Response> + Send;

    /// What limits what a caller may see.
    fn scope(&self, caller: &Self::Caller) -> Self::Scope;

    /// How payloads of a subscription are delivered.
    fn delivery(&self, facts: &OperationFacts) -> Delivery;

    /// Hears that a caller has subscribed, once for each subscription.
    fn subscribed(&self, caller: &Self::Caller, facts: &OperationFacts);

    /// Runs a subscription for everybody with this scope; its answers are computed one by one as they are asked for.
    fn subscribe(&self, scope: Self::Scope, request: Request) -> BoxStream<'static, Response>;

    /// Names a fault of the service, in the log and to the client.
    fn next_error_id(&self) -> String;
}

/// Why a caller is not known. Clients see the message.
#[derive(Clone, Debug)]
pub struct Refusal {
    message: String,
}

impl Refusal {
    /// Refuses with a message that tells a client what is missing, and an attacker nothing.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(Code::Unauthenticated, refusal.message, None)
    }
}

/// The parameters of a GraphQL request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    /// The document.
    pub query: String,
    /// Which operation of the document to run.
    pub operation_name: Option<String>,
    /// Values of variables as they came.
    pub variables: Map<String, Json>,
}

/// A gate and the host behind it. Cheap to clone.
pub struct Service<E: Endpoint> {
    gate: Gate,
    endpoint: E,
    running: Arc<Semaphore>,
    sockets: Sockets,
    hub: Hub<E::Scope>,
}

impl<E: Endpoint> Clone for Service<E> {
    fn clone(&self) -> Self {
        Self {
            gate: self.gate.clone(),
            endpoint: self.endpoint.clone(),
            running: Arc::clone(&self.running),
            sockets: self.sockets.clone(),
            hub: self.hub.clone(),
        }
    }
}

impl<E: Endpoint> Service<E> {
    /// Puts `gate` in front of `endpoint`.
    #[must_use]
    pub fn new(gate: Gate, endpoint: E) -> Self {
        let running = Arc::new(Semaphore::new(gate.limits().running_operations.min(Semaphore::MAX_PERMITS)));
        let sockets = Sockets::new(gate.limits().sockets);
        Self { gate, endpoint, running, sockets, hub: Hub::default() }
    }

    /// The gate.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The WebSockets that are open.
    #[must_use]
    pub const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// What subscriptions share.
    pub(crate) const fn hub(&self) -> &Hub<E::Scope> {
        &self.hub
    }

    /// The host.
    #[must_use]
    pub const fn endpoint(&self) -> &E {
        &self.endpoint
    }

    /// Everything that is checked before an operation runs.
    ///
    /// # Errors
    /// Whatever [`Gate::admit`] and [`crate::Admitted::prepare`] refuse, and `FORBIDDEN` for an introspection that the caller may not make.
    pub fn prepare(&self, caller: &E::Caller, params: Params) -> Result<Prepared, Refused> {
        let admitted = self.gate.admit(&params.query, params.operation_name.as_deref())?;
        if admitted.introspects() && !self.endpoint.may_introspect(caller) {
            return Err(Refused::new(Code::Forbidden, "introspection is not open to this caller", None));
        }
        admitted.prepare(params.variables)
    }

    /// Runs a query or mutation to its answer.
    pub async fn run(&self, caller: E::Caller, prepared: Prepared) -> Answer {
        if prepared.facts.kind == OperationKind::Subscription {
            return Refused::new(Code::BadUserInput, "a subscription needs a transport that goes on", None).into();
        }
        let query_time = self.gate.limits().query_time;
        let executed = tokio::time::timeout(query_time, self.execute(caller, prepared.request, prepared.facts)).await;
        match executed {
            Ok(Ok(response)) => prepared.completion.finish(response, &|| self.endpoint.next_error_id()),
            Ok(Err(Panicked { detail })) => self.panicked(&detail),
            Err(_elapsed) => {
                let message = format!("the operation took longer than {} s", query_time.as_secs());
                Refused::new(Code::Timeout, message, None).into()
            }
        }
    }

    /// The answer of an operation that has panicked.
    pub(crate) fn panicked(&self, detail: &str) -> Answer {
        let id = self.endpoint.next_error_id();
        tracing::error!(error.id = %id, error.message = %detail, "an operation panicked");
        let mut error = coded(Code::Internal, "internal error", None);
        if let Some(extensions) = error.extensions.as_mut() {
            extensions.set("id", async_graphql::Value::from(id));
        }
        Answer { data: None, errors: vec![error] }
    }

    /// On a task of its own: a panic stays there, and the connection's task is free to notice that its client has gone, which ends it.
    async fn execute(&self, caller: E::Caller, request: Request, facts: OperationFacts) -> Result<Response, Panicked> {
        // The semaphore is never closed.
        let _permit = self.running.acquire().await.ok();
        let endpoint = self.endpoint.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { endpoint.execute(caller, request, facts).await }.in_current_span());
        match task.join_next().await {
            Some(Ok(response)) => Ok(response),
            Some(Err(failed)) => Err(Panicked { detail: failed.to_string() }),
            None => Err(Panicked { detail: "the task of the operation is gone".to_owned() }),
        }
    }
}

struct Panicked {
    detail: String,
}
