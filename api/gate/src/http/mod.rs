//! GraphQL over HTTP: the route `/graphql`.
//!
//! Order of checks: who calls (401), which transport, method (405), what is wanted (406), what is sent (414, 415, 413, 408, 400),
//! and only then GraphQL. Every answer is JSON with `extensions.code` on each error. It must not know what a token looks like.
//!
//! A request for a WebSocket goes to [`crate::socket`], since its token may come in its first message; a request that wants
//! [`Media::EventStream`] passes the same checks and is then answered by [`crate::event_stream`].

pub(crate) mod negotiate;
pub(crate) mod params;

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::routing::{MethodRouter, any};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::admit::OperationKind;
use crate::code::Code;
use crate::complete::Answer;
use crate::refused::Refused;
use crate::service::{Endpoint, Params, Service};
use crate::{event_stream, hub, socket};
use negotiate::Media;

/// The route, for every method.
pub fn route<E: Endpoint, S: Clone + Send + Sync + 'static>(service: Service<E>) -> MethodRouter<S> {
    any(move |request: Request<Body>| {
        let service = service.clone();
        async move { respond(&service, request).await }
    })
}

/// Says in the recorder what the metrics of the gate mean. To be called once, when there is a recorder.
pub fn describe_metrics() {
    metrics::describe_counter!(
        "plimsoll_graphql_requests_total",
        "GraphQL requests over HTTP by kind of operation and code of the first error."
    );
    metrics::describe_histogram!(
        "plimsoll_graphql_request_duration_seconds",
        metrics::Unit::Seconds,
        "Time to answer a GraphQL request over HTTP, by kind of operation."
    );
    socket::describe_metrics();
    event_stream::describe_metrics();
    hub::describe_metrics();
    metrics::describe_counter!("plimsoll_graphql_documents_total", "GraphQL documents by whether their admission was cached.");
}

/// Answers one HTTP request.
pub async fn respond<E: Endpoint>(service: &Service<E>, request: Request<Body>) -> Response<Body> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    if socket::is_asked_for(&parts) {
        return socket::upgrade(service, parts);
    }
    let mut kind = None;
    let (code, response) = match serve(service, &parts, body, &mut kind).await {
        Ok(Served::Answer(reply)) | Err(reply) => (reply.answer.code(), reply.into_response()),
        Ok(Served::Stream(code, response)) => (code, response),
    };
    let kind = kind.map_or("none", OperationKind::as_str);
    let code = code.map_or("OK", Code::as_str);
    metrics::counter!("plimsoll_graphql_requests_total", "kind" => kind, "code" => code).increment(1);
    metrics::histogram!("plimsoll_graphql_request_duration_seconds", "kind" => kind).record(started.elapsed().as_secs_f64());
    response
}

/// What becomes of a request that could be read.
enum Served {
    Answer(Box<Reply>),
    /// An event stream, and with what code it was refused.
    Stream(Option<Code>, Response<Body>),
}

/// An answer and how to send it.
pub(crate) struct Reply {
    status: StatusCode,
    media: Media,
    answer: Answer,
    header: Option<(HeaderName, &'static str)>,
}

impl Reply {
    /// Says that the request is no GraphQL request that could be run.
    pub fn refuse(status: StatusCode, media: Media, code: Code, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { status, media, answer: Refused::new(code, message, None).into(), header: None })
    }

    pub fn with(mut self: Box<Self>, name: HeaderName, value: &'static str) -> Box<Self> {
        self.header = Some((name, value));
        self
    }

    /// Sends what GraphQL made of the request. With data the request was run, whatever its errors.
    fn of(answer: Answer, media: Media) -> Box<Self> {
        let code = answer.code().unwrap_or(Code::Internal);
        let status = match (answer.data.is_some(), media, code) {
            (true, _, _) => StatusCode::OK,
            // These are no faults of the request, so that no client may take them for an answer.
            (false, _, Code::Timeout | Code::Internal) | (false, Media::GraphqlResponse, _) => code.status(),
            (false, _, _) => StatusCode::OK,
        };
        Box::new(Self { status, media, answer, header: None })
    }

    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.answer.to_json()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("accept, authorization"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

async fn serve<E: Endpoint>(
    service: &Service<E>,
    parts: &Parts,
    body: Body,
    kind: &mut Option<OperationKind>,
) -> Result<Served, Box<Reply>> {
    let wanted = negotiate::wanted(&parts.headers);
    let media = wanted.filter(|media| *media != Media::EventStream).unwrap_or(Media::Json);
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let caller = service.endpoint().authenticate(&parts.headers, peer).await.map_err(|refusal| {
        let answer = Refused::from(refusal).into();
        Box::new(Reply { status: StatusCode::UNAUTHORIZED, media, answer, header: Some((WWW_AUTHENTICATE, "Bearer")) })
    })?;

    let is_get = match parts.method {
        Method::GET => true,
        Method::POST => false,
        _ => {
            let message = "GraphQL is asked with GET or POST";
            return Err(Reply::refuse(StatusCode::METHOD_NOT_ALLOWED, media, Code::BadUserInput, message).with(ALLOW, "GET, POST"));
        }
    };
    let Some(wanted) = wanted else {
        let message = "answers come as application/graphql-response+json, application/json or text/event-stream";
        return Err(Reply::refuse(StatusCode::NOT_ACCEPTABLE, media, Code::BadUserInput, message));
    };
    let params = if is_get { get(service, parts, media)? } else { post(service, parts, body, media).await? };

    let prepared = service.prepare(&caller, params);
    *kind = prepared.as_ref().ok().map(|prepared| prepared.facts.kind);
    if is_get && *kind == Some(OperationKind::Mutation) {
        let message = "a mutation must be sent with POST";
        return Err(Reply::refuse(StatusCode::METHOD_NOT_ALLOWED, media, Code::BadUserInput, message).with(ALLOW, "POST"));
    }
    if wanted == Media::EventStream {
        let place = service.sockets().take_place("plimsoll_event_streams")?;
        let code = prepared.as_ref().err().map(Refused::code);
        return Ok(Served::Stream(code, event_stream::open(service, parts, caller, prepared, place)));
    }
    let prepared = prepared.map_err(|refused| Reply::of(refused.into(), media))?;
    Ok(Served::Answer(Reply::of(service.run(caller, prepared).await, media)))
}

fn get<E: Endpoint>(service: &Service<E>, parts: &Parts, media: Media) -> Result<Params, Box<Reply>> {
    let limit = service.gate().limits().url_query_size_bytes;
    let text = parts.uri.query().unwrap_or_default();
    if text.len() > limit {
        let message = format!("the query string has more than {limit} bytes: use POST");
        return Err(Reply::refuse(StatusCode::URI_TOO_LONG, media, Code::LimitExceeded, message));
    }
    params::from_query_string(text).map_err(|wrong| Reply::refuse(StatusCode::BAD_REQUEST, media, Code::BadUserInput, wrong))
}

async fn post<E: Endpoint>(service: &Service<E>, parts: &Parts, body: Body, media: Media) -> Result<Params, Box<Reply>> {
    if !negotiate::is_plain_json(&parts.headers) {
        let message = "the body must be application/json in UTF-8, not compressed";
        return Err(Reply::refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, media, Code::BadUserInput, message));
    }
    let limits = service.gate().limits();
    let body = read(parts, body, limits.request_body_size_bytes, limits.body_read_time, media).await?;
    params::from_json(&body).map_err(|wrong| Reply::refuse(StatusCode::BAD_REQUEST, media, Code::BadUserInput, wrong))
}

async fn read(parts: &Parts, body: Body, limit: usize, time: std::time::Duration, media: Media) -> Result<Bytes, Box<Reply>> {
    let too_large = || {
        let message = format!("the body has more than {limit} bytes");
        Reply::refuse(StatusCode::PAYLOAD_TOO_LARGE, media, Code::LimitExceeded, message).with(CONNECTION, "close")
    };
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "failed to read the body of a request");
            Err(Reply::refuse(StatusCode::BAD_REQUEST, media, Code::BadUserInput, "the body could not be read").with(CONNECTION, "close"))
        }
        Err(_elapsed) => {
            let message = format!("the body did not arrive within {} s", time.as_secs());
            Err(Reply::refuse(StatusCode::REQUEST_TIMEOUT, media, Code::Timeout, message).with(CONNECTION, "close"))
        }
    }
}
