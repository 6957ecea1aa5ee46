//! The accept loop: HTTP/1.1 connections with a time and a size for everything, and an orderly end.
//!
//! Header names go out in title case, since a Python client in wide use takes lower-case ones for an older protocol. A connection that is
//! upgraded (WebSocket) leaves this loop; whoever took it over watches the stop token of [`super::Shell`] itself.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use plimsoll_gate::Stalled;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use super::connection::ClientStream;
use crate::config::Limits;

/// How long the loop rests when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Most headers of one request.
const HEADERS_MAX: usize = 100;
/// Said to a connection beyond `limits.connections`.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 74\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
{\"error\":{\"code\":\"LIMIT_EXCEEDED\",\"message\":\"too many open connections\"}}\n";

/// Serves until `stop`, then waits at most `limits.shutdown_ms` for the requests in flight.
pub async fn run(listener: TcpListener, router: Router, limits: &Limits, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = Connections {
        router,
        builder: builder(limits),
        write_stall: Duration::from_millis(limits.write_stall_ms),
        open: TaskTracker::new(),
        stop,
        abandon: CancellationToken::new(),
    };
    while let Some(accepted) = connections.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => connections.serve(stream, peer, place),
                Err(_) => turn_away(&stream),
            },
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(error = %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.finish(Duration::from_millis(limits.shutdown_ms)).await;
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.header_read_ms))
        .max_header_size(limits.headers_bytes)
        .max_headers(HEADERS_MAX)
        .title_case_headers(true);
    builder
}

struct Connections {
    router: Router,
    builder: http1::Builder,
    write_stall: Duration,
    open: TaskTracker,
    /// Each connection finishes the request that it is at, and closes.
    stop: CancellationToken,
    /// Each connection is dropped as it stands.
    abandon: CancellationToken,
}

impl Connections {
    fn serve(&self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let router = self.router.clone();
        let stalled = Stalled::default();
        let told = stalled.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(told.clone());
            // A router is always ready.
            router.clone().call(request.map(Body::new))
        });
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "cannot set TCP_NODELAY");
        }
        let stream = TokioIo::new(ClientStream::new(stream, place, self.write_stall, stalled));
        let connection = self.builder.serve_connection(stream, service).with_upgrades();
        let (stop, abandon) = (self.stop.clone(), self.abandon.clone());
        self.open.spawn(async move {
            metrics::gauge!("plimsoll_http_connections").increment(1);
            let mut connection = pin!(connection);
            let to_the_end = async {
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.as_mut().await
                    }
                }
            };
            if let Some(Err(error)) = abandon.run_until_cancelled(to_the_end).await {
                tracing::debug!(%peer, error = crate::telemetry::chain(&error), "a connection ended");
            }
            metrics::gauge!("plimsoll_http_connections").decrement(1);
        });
    }

    async fn finish(&self, within: Duration) {
        tracing::info!(connections = self.open.len(), "stopping: no new connections, finishing requests in flight");
        self.open.close();
        if tokio::time::timeout(within, self.open.wait()).await.is_err() {
            tracing::warn!(connections = self.open.len(), "some requests did not finish in time and are cut off");
        }
        self.abandon.cancel();
        self.open.wait().await;
    }
}

/// Says that there is no place, as far as that can be said without waiting.
fn turn_away(stream: &TcpStream) {
    metrics::counter!("plimsoll_http_connections_refused_total").increment(1);
    if let Err(error) = stream.try_write(FULL) {
        tracing::debug!(error = %error, "cannot turn a connection away");
    }
}

/// Errors that concern the connection that was to be accepted, not the listener.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
