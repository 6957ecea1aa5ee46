//! What surrounds every request: its id, its place in the log and the metrics, the pace of its body, and a net under its handler.
//!
//! Invariant: labels come from closed sets (paths of the router, known methods, classes of status), never from what a client makes up.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use plimsoll_domain::clock::IdSource;
use tracing::Instrument as _;

use super::pace::{CutOff, PacedBody};
use super::refusal::{self, Refusal};

/// The header that carries a request's id, both ways.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const REQUEST_ID_MAX_BYTES: usize = 64;

/// The id of a request, in its extensions and in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub HeaderValue);

/// What the surroundings need.
#[derive(Clone)]
pub struct Surroundings {
    /// Makes ids of requests.
    pub ids: Arc<dyn IdSource>,
    /// Longest URI.
    pub uri_max_bytes: usize,
    /// What a client may keep us waiting for its body.
    pub body_read: Duration,
}

/// Surrounds a request.
pub async fn surround(State(surroundings): State<Surroundings>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method_label(request.method());
    let id = request_id(&request, &*surroundings.ids);
    let id_text = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", id = id_text);

    metrics::gauge!("plimsoll_http_requests_in_flight").increment(1);
    let answered = InFlight;
    let mut response = answer(&surroundings, request, next, &id).instrument(span.clone()).await;
    drop(answered);

    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let _entered = span.enter();
    note(route, method, response.status(), began.elapsed());
    response.headers_mut().insert(REQUEST_ID.clone(), id);
    response
}

/// Counts a request out again, also when its client goes away and the future is dropped.
struct InFlight;

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("plimsoll_http_requests_in_flight").decrement(1);
    }
}

async fn answer(surroundings: &Surroundings, request: Request, next: Next, id: &HeaderValue) -> Response {
    if request.uri().path_and_query().map_or(0, |uri| uri.as_str().len()) > surroundings.uri_max_bytes {
        return Refusal::URI.into_response();
    }
    let cut_off = CutOff::default();
    let mut request = request.map(|body| Body::new(PacedBody::new(body, surroundings.body_read, cut_off.clone())));
    request.extensions_mut().insert(RequestId(id.clone()));
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        // The handler saw only that its body broke off; the status that tells why is ours to give.
        Ok(_) if cut_off.happened() => Refusal::BODY_TIMEOUT.into_response(),
        Ok(response) => response,
        Err(panic) => {
            tracing::error!(panic = panic_text(&*panic), "a request handler panicked");
            refusal::internal(id.to_str().unwrap_or_default())
        }
    }
}

/// The text of a panic, for the log.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// A client's own id when it is harmless, else a new one.
fn request_id(request: &Request, ids: &dyn IdSource) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    let new = || HeaderValue::from_str(&ids.next_id().to_string()).unwrap_or(HeaderValue::from_static("unknown"));
    request.headers().get(&REQUEST_ID).filter(sane).cloned().unwrap_or_else(new)
}

fn note(route: &str, method: &'static str, status: StatusCode, took: Duration) {
    let class = status_class(status);
    let route_label = route.to_owned();
    metrics::counter!("plimsoll_http_requests_total", "route" => route_label.clone(), "method" => method, "status" => class).increment(1);
    metrics::histogram!("plimsoll_http_request_duration_seconds", "route" => route_label, "method" => method).record(took);
    let (status, duration_ms) = (status.as_u16(), took.as_secs_f64() * 1_000.0);
    match status {
        500.. => tracing::error!(target: "plimsoll::access", route, method, status, duration_ms, "request failed"),
        400..500 => tracing::info!(target: "plimsoll::access", route, method, status, duration_ms, "request refused"),
        _ => tracing::debug!(target: "plimsoll::access", route, method, status, duration_ms, "request answered"),
    }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
