//! `POST /ingest`: NDJSON in, one answer that means committed.
//!
//! Invariants: the body never stands whole in memory beside what was read from it; all requests together hold no more than a named
//! number of body bytes; a refused request kept nothing. Must not know: how a caller is recognised ([`IngestAuth`]), how events are
//! written ([`IngestSink`]), what makes a line good (`plimsoll_domain::ingest::line`).

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::StreamExt as _;
use metrics::{counter, describe_counter};
use plimsoll_domain::clock::Clock;
use plimsoll_domain::ingest::line::ReadContext;
use plimsoll_domain::ingest::{IngestError, IngestSink, Written, limit};
use plimsoll_entity::value::label::Role;
use plimsoll_entity::value::time::Instant;
use tokio::sync::Semaphore;

mod answer;
mod body;
mod refusal;

use answer::Answer;
use body::{Encoding, Received, receive};
use refusal::Refusal;

/// What of a refused request's body is still read, so that its client gets to see the answer instead of a closed connection.
const DRAINED_SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// For how long.
const DRAINING_MAX: Duration = Duration::from_secs(2);

/// Recognises callers.
pub trait IngestAuth: Clone + Send + Sync + 'static {
    /// The answer to a caller that is not recognised: 401.
    type Refusal: IntoResponse + Send;

    /// The roles of whoever sent these headers.
    ///
    /// # Errors
    /// The answer to somebody unknown.
    fn roles(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> impl Future<Output = Result<Vec<Role>, Self::Refusal>> + Send;
}

/// The limits of this path; the defaults are those of `plimsoll_domain::ingest::limit`.
#[derive(Clone, Copy, Debug)]
pub struct IngestLimits {
    /// Bytes of one body, both as it travels and after decompression.
    pub body_size_bytes: usize,
    /// Body bytes after decompression that all requests hold together.
    pub in_flight_size_bytes: usize,
    /// How long a body may stand still.
    pub idle: Duration,
    /// How old an event may be, in microseconds; off by default.
    pub age_us: Option<i64>,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            body_size_bytes: limit::BODY_SIZE_BYTES_MAX,
            in_flight_size_bytes: limit::IN_FLIGHT_SIZE_BYTES_MAX,
            idle: Duration::from_secs(10),
            age_us: None,
        }
    }
}

/// What the path works with.
pub struct Ingest<A, S> {
    auth: A,
    sink: S,
    clock: Arc<dyn Clock>,
    limits: IngestLimits,
    in_flight: Arc<Semaphore>,
}

impl<A: IngestAuth, S: IngestSink> Ingest<A, S> {
    /// One of these serves the whole process: the bytes in flight are counted here.
    #[must_use]
    pub fn new(auth: A, sink: S, clock: Arc<dyn Clock>, limits: IngestLimits) -> Self {
        let in_flight = Arc::new(Semaphore::new(limits.in_flight_size_bytes.min(Semaphore::MAX_PERMITS)));
        Self { auth, sink, clock, limits, in_flight }
    }

    /// The path. Its body has limits of its own: put no other in front of it.
    pub fn routes(self) -> Router {
        describe();
        Router::new().route("/ingest", post(ingest::<A, S>)).with_state(Arc::new(self))
    }

    async fn take(&self, parts: &Parts, body: &mut BodyDataStream) -> Result<Answer, Refusal> {
        let strict = strict(parts.uri.query())?;
        check_media_type(&parts.headers)?;
        let encoding = Encoding::of(&parts.headers)?;
        if declared_size_bytes(&parts.headers).is_some_and(|size| size > self.limits.body_size_bytes as u64) {
            return Err(Refusal::TooLarge);
        }
        let now = self.clock.now();
        let oldest = self.limits.age_us.map(|age_us| Instant(now.0.saturating_sub(age_us)));
        let context = ReadContext { now, strict, oldest };
        let Received { mut batch, size_bytes, held } = receive(body, encoding, context, &self.limits, &self.in_flight).await?;
        counter!("plimsoll_ingest_body_bytes_total").increment(size_bytes as u64);
        let events = std::mem::take(&mut batch.events);
        let written = if events.is_empty() { Written::default() } else { self.sink.write(events, size_bytes).await? };
        drop(held);
        let answer = Answer::new(batch, written);
        answer.count();
        Ok(answer)
    }
}

async fn ingest<A: IngestAuth, S: IngestSink>(State(ingest): State<Arc<Ingest<A, S>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let roles = match ingest.auth.roles(&parts.headers, peer).await {
        Ok(roles) => roles,
        Err(refusal) => return refusal.into_response(),
    };
    if !roles.iter().any(|role| matches!(role, Role::Ingest | Role::Admin)) {
        return Refusal::Forbidden.into_response();
    }
    let mut body = body.into_data_stream();
    match ingest.take(&parts, &mut body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => {
            log(&refusal);
            // Whoever waits for leave to send its body (`Expect`) has not sent it yet, and need not.
            if !parts.headers.contains_key(header::EXPECT) {
                drain(body);
            }
            refusal.into_response()
        }
    }
}

/// `?strict=true` or `false`, once; nothing else.
fn strict(query: Option<&str>) -> Result<bool, Refusal> {
    match query {
        None | Some("" | "strict=false") => Ok(false),
        Some("strict=true") => Ok(true),
        Some(_) => Err(Refusal::Query),
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    let known = ["application/x-ndjson", "application/ndjson"].iter().any(|known| media_type.eq_ignore_ascii_case(known));
    if known { Ok(()) } else { Err(Refusal::MediaType) }
}

fn declared_size_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads on, for a while, what a refused client has not finished sending.
fn drain(mut body: BodyDataStream) {
    tokio::spawn(tokio::time::timeout(DRAINING_MAX, async move {
        let mut taken = 0;
        while let Some(Ok(chunk)) = body.next().await {
            taken += chunk.len();
            if taken > DRAINED_SIZE_BYTES_MAX {
                break;
            }
        }
    }));
}

fn log(refusal: &Refusal) {
    let Some(mut cause) = refusal.source() else { return };
    let mut chain = cause.to_string();
    while let Some(next) = cause.source() {
        chain = format!("{chain}: {next}");
        cause = next;
    }
    tracing::error!(error = %refusal, cause = chain, "ingest failed");
}

fn describe() {
    describe_counter!("plimsoll_ingest_lines_total", "Lines of events that were answered, by what became of them.");
    describe_counter!("plimsoll_ingest_body_bytes_total", "Bytes of event bodies that were read, after decompression.");
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::QueueFull { retry_after_s } => Self::QueueFull { retry_after_s },
            IngestError::Unavailable { source } => Self::Unavailable { source },
        }
    }
}

impl<A, S> std::fmt::Debug for Ingest<A, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").field("limits", &self.limits).finish_non_exhaustive()
    }
}
