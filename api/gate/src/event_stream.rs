//! GraphQL over Server-Sent Events: one operation on one answer of HTTP (the distinct connections mode of graphql-sse).
//!
//! `next` brings an answer, `complete` says that nothing more comes; comments in between keep the connection alive. What is wrong with
//! the document or its variables is a `next` with errors, since a browser tells a page nothing of an answer that is not 200. A stream
//! that ends without `complete` (the token has expired, the server stops) is one to be opened again.
//! Invariants: a stream computes and holds nothing while its client does not read, but for what HTTP buffers; it is counted, and so is
//! why it ended. Must not know: what operations mean.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};
use tokio_util::sync::CancellationToken;

use crate::admit::Prepared;
use crate::complete::Answer;
use crate::http::negotiate::Media;
use crate::refused::Refused;
use crate::service::{Endpoint, Service};
use crate::socket::Place;
use crate::stream::{Payload, Payloads};

/// What asks for nothing and keeps a connection alive.
const COMMENT: &[u8] = b":\n\n";
const NEXT: &[u8] = b"event: next\ndata: ";
const END: &[u8] = b"\n\n";
/// Browsers leave out events without data.
const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";
/// Tells proxies to hold nothing back.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Whether a client has been cut off because it did not read, as its connection tells in the extensions of a request.
#[derive(Clone, Debug, Default)]
pub struct Stalled(Arc<AtomicBool>);

impl Stalled {
    /// Tells that the client has been cut off.
    pub fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It has said everything.
    Complete,
    /// The operation failed or was refused.
    Failed,
    /// The token has expired.
    Expired,
    /// The server stops.
    Stopping,
}

impl Ending {
    const fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Stopping => "stopping",
        }
    }
}

/// Says in the recorder what the metrics of event streams mean.
pub(crate) fn describe_metrics() {
    metrics::describe_gauge!("plimsoll_event_streams", "Event streams that are open.");
    metrics::describe_counter!("plimsoll_event_streams_ended_total", "Event streams that have ended, by reason.");
}

/// A stream and what ends it.
struct EventStream<E: Endpoint> {
    service: Service<E>,
    caller: E::Caller,
    payloads: Payloads,
    stop: CancellationToken,
    expired: Pin<Box<Sleep>>,
    keep_alive: Interval,
    stalled: Stalled,
    ending: Option<Ending>,
    _place: Place,
}

impl<E: Endpoint> Drop for EventStream<E> {
    fn drop(&mut self) {
        let reason = match self.ending {
            Some(ending) => ending.label(),
            None if self.stalled.is_told() => "slow",
            None => "client",
        };
        metrics::counter!("plimsoll_event_streams_ended_total", "reason" => reason).increment(1);
        tracing::debug!(reason, "an event stream ended");
    }
}

/// The answer to a request for an event stream, which begins at once.
pub(crate) fn open<E: Endpoint>(
    service: &Service<E>,
    parts: &Parts,
    caller: E::Caller,
    prepared: Result<Prepared, Refused>,
    place: Place,
) -> Response<Body> {
    let payloads = match prepared {
        Ok(prepared) => service.open(caller.clone(), prepared),
        Err(refused) => stream::once(std::future::ready(Payload::Failed(Answer::from(refused).errors_to_json()))).boxed(),
    };
    tracing::debug!(peer = ?parts.extensions.get::<ConnectInfo<SocketAddr>>(), "an event stream begins");
    let mut keep_alive = tokio::time::interval(service.gate().limits().socket_keep_alive);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = EventStream {
        expired: Box::pin(tokio::time::sleep(service.endpoint().expires_in(&caller))),
        stop: service.sockets().stopping(),
        stalled: parts.extensions.get::<Stalled>().cloned().unwrap_or_default(),
        service: service.clone(),
        caller,
        payloads,
        keep_alive,
        ending: None,
        _place: place,
    };
    let events = stream::unfold(stream, async |mut stream| {
        let event = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(event), stream))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(Media::EventStream.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept, authorization"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(NO_BUFFERING, HeaderValue::from_static("no"));
    response
}

impl<E: Endpoint> EventStream<E> {
    async fn next(&mut self) -> Option<Bytes> {
        if self.ending.is_some() {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    self.ending = Some(Ending::Stopping);
                    return None;
                }
                () = &mut self.expired => {
                    let left = self.service.endpoint().expires_in(&self.caller);
                    if left == Duration::ZERO {
                        self.ending = Some(Ending::Expired);
                        return None;
                    }
                    // The clock of the wall and that of the timer need not agree.
                    self.expired.as_mut().reset(Instant::now() + left);
                }
                payload = self.payloads.next() => return Some(match payload {
                    Some(Payload::Next(json)) => {
                        // What is said counts as a sign of life.
                        self.keep_alive.reset();
                        next(&[&json], &[])
                    }
                    Some(Payload::Failed(errors)) => {
                        self.ending = Some(Ending::Failed);
                        next(&[br#"{"errors":"#, &errors, b"}"], COMPLETE)
                    }
                    None => {
                        self.ending = Some(Ending::Complete);
                        Bytes::from_static(COMPLETE)
                    }
                }),
                _ = self.keep_alive.tick() => return Some(Bytes::from_static(COMMENT)),
            }
        }
    }
}

/// A `next`, and what follows it. JSON as it is written here has no line ends.
fn next(json: &[&[u8]], then: &[u8]) -> Bytes {
    let length = json.iter().map(|part| part.len()).sum::<usize>() + NEXT.len() + END.len() + then.len();
    let mut event = BytesMut::with_capacity(length);
    event.put_slice(NEXT);
    json.iter().for_each(|part| event.put_slice(part));
    event.put_slice(END);
    event.put_slice(then);
    event.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_framed() {
        assert_eq!(next(&[br#"{"data":1}"#], &[]), &b"event: next\ndata: {\"data\":1}\n\n"[..]);
        assert_eq!(next(&[b"1"], COMPLETE), &b"event: next\ndata: 1\n\nevent: complete\ndata:\n\n"[..]);
    }
}
