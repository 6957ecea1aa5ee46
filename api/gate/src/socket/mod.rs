//! GraphQL over WebSocket: the sub-protocol `graphql-transport-ws` on the route of GraphQL, to the letter of its text.
//!
//! Invariants: only that sub-protocol is spoken; every document passes the gate of [`crate::Service::prepare`]; what a connection may
//! hold and how long anything may take is in [`crate::Limits`]; every socket is counted and ends when the server stops.
//! Must not know: what a token looks like, what operations mean.

mod connection;
mod ending;
mod handshake;
mod message;
mod wire;

pub(crate) use handshake::is_asked_for;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument as _;

use crate::code::Code;
use crate::http::Reply;
use crate::http::negotiate::Media;
use crate::service::{Endpoint, Service};
use connection::Connection;
use handshake::Handshake;
use wire::Wire;

/// The one sub-protocol.
const PROTOCOL: &str = "graphql-transport-ws";
/// The sockets and event streams of a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sockets {
    places: Arc<Semaphore>,
    open: TaskTracker,
    stop: CancellationToken,
}

/// A connection's place: it counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gauge: &'static str,
    _permit: OwnedSemaphorePermit,
    _open: TaskTrackerToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!(self.gauge).decrement(1);
    }
}

impl Sockets {
    /// At most `sockets_max` sockets at once.
    pub(crate) fn new(sockets_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(sockets_max.min(Semaphore::MAX_PERMITS)));
        Self { places, open: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// A place that `gauge` counts, for as long as the server does not stop; else, and where all are taken, why there is none.
    pub(crate) fn take_place(&self, gauge: &'static str) -> Result<Place, Box<Reply>> {
        let permit = if self.stop.is_cancelled() { None } else { Arc::clone(&self.places).try_acquire_owned().ok() };
        let Some(permit) = permit else {
            let message = "too many open sockets and event streams, or the server is stopping";
            return Err(Reply::refuse(StatusCode::SERVICE_UNAVAILABLE, Media::Json, Code::LimitExceeded, message).with(RETRY_AFTER, "1"));
        };
        metrics::gauge!(gauge).increment(1);
        Ok(Place { gauge, _permit: permit, _open: self.open.token() })
    }

    /// Cancelled when the server stops.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells every socket that the server stops, and lets nobody in any more.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until every socket has ended, no longer than `within`; how many have not.
    pub async fn ended(&self, within: Duration) -> usize {
        self.open.close();
        if tokio::time::timeout(within, self.open.wait()).await.is_ok() { 0 } else { self.open.len() }
    }
}

/// Says in the recorder what the metrics of sockets mean.
pub(crate) fn describe_metrics() {
    metrics::describe_gauge!("plimsoll_sockets", "WebSockets that are open.");
    metrics::describe_counter!("plimsoll_sockets_ended_total", "WebSockets that have ended, by reason.");
    metrics::describe_counter!(
        "plimsoll_socket_operations_total",
        "Operations over WebSockets by kind and code of the refusal, OK where it ran."
    );
    metrics::describe_gauge!("plimsoll_subscriptions", "Subscriptions that are open.");
}

/// Answers a request that asks for a WebSocket; the socket then lives in a task of its own.
pub(crate) fn upgrade<E: Endpoint>(service: &Service<E>, mut parts: Parts) -> Response<Body> {
    accept(service, &mut parts).unwrap_or_else(|reply| reply.into_response())
}

fn accept<E: Endpoint>(service: &Service<E>, parts: &mut Parts) -> Result<Response<Body>, Box<Reply>> {
    let refuse = |status, code, message: &str| Reply::refuse(status, Media::Json, code, message);
    if !service.endpoint().admits_origin(&parts.headers) {
        return Err(refuse(StatusCode::FORBIDDEN, Code::Forbidden, "sockets are not open to pages of this origin"));
    }
    let handshake = Handshake::read(parts).map_err(|wrong| refuse(StatusCode::BAD_REQUEST, Code::BadUserInput, wrong))?;
    if !handshake::offers(&parts.headers, PROTOCOL) {
        return Err(refuse(StatusCode::NOT_ACCEPTABLE, Code::BadUserInput, "the one sub-protocol is graphql-transport-ws"));
    }
    let place = service.sockets().take_place("plimsoll_sockets")?;
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let (service, headers, stop) = (service.clone(), parts.headers.clone(), service.sockets().stopping());
    let (response, on_upgrade) = handshake.accept(PROTOCOL);
    let life = async move {
        let upgraded = match on_upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection did not become a socket");
                return;
            }
        };
        let wire = Wire::over(upgraded, service.gate().limits().socket_message_size_bytes).await;
        let ending = Connection::new(service, wire, headers, peer, stop).run().await;
        metrics::counter!("plimsoll_sockets_ended_total", "reason" => ending.label()).increment(1);
        tracing::debug!(reason = ending.label(), "a socket ended");
        drop(place);
    };
    tokio::spawn(life.in_current_span());
    Ok(response)
}
