//! Why a request is not taken as a whole. Nothing of it was kept.
//!
//! Invariant: what is displayed is written for the client; what went wrong inside is the source, for the log.

use std::error::Error;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// How long a client waits when the process holds as many bytes as it may.
const BUSY_RETRY_AFTER_S: u32 = 1;

/// A refused request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The caller has no role that may send events.
    #[error("sending events needs the role INGEST or ADMIN")]
    Forbidden,
    /// A query parameter that is not known.
    #[error("the only query parameter is strict, true or false")]
    Query,
    /// Not NDJSON.
    #[error("the body must be application/x-ndjson")]
    MediaType,
    /// A compression that is not known, or several.
    #[error("the body may be compressed by gzip or zstd, once")]
    Encoding,
    /// The compressed body is damaged or ends too soon.
    #[error("the body is not what its Content-Encoding says, or ends too soon")]
    Damaged,
    /// More than a body may have, before or after decompression.
    #[error("the body is larger than allowed: send smaller batches")]
    TooLarge,
    /// The body stood still for too long.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The process holds as many bytes as it may.
    #[error("too many bytes are in flight: send this batch again")]
    Busy,
    /// The writer's queue is full.
    #[error("the queue is full: send this batch again")]
    QueueFull {
        /// When it is worth another try.
        retry_after_s: u32,
    },
    /// The database cannot be reached.
    #[error("events cannot be kept at present: send this batch again")]
    Unavailable {
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A fault of ours.
    #[error("an internal error occurred")]
    Internal {
        /// What went wrong.
        #[source]
        source: tokio::task::JoinError,
    },
}

impl Refusal {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Forbidden => (StatusCode::FORBIDDEN, "FORBIDDEN"),
            Self::Query | Self::Damaged => (StatusCode::BAD_REQUEST, "BAD_USER_INPUT"),
            Self::MediaType | Self::Encoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_USER_INPUT"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "LIMIT_EXCEEDED"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "TIMEOUT"),
            Self::Busy | Self::QueueFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "LIMIT_EXCEEDED"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
            Self::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let mut response = (status, Json(json!({"error": {"code": code, "message": self.to_string()}}))).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Busy | Self::Unavailable { .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(BUSY_RETRY_AFTER_S));
            }
            Self::QueueFull { retry_after_s } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s.max(1)));
            }
            Self::Encoding => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
            }
            Self::MediaType => {
                headers.insert(header::ACCEPT, HeaderValue::from_static("application/x-ndjson"));
            }
            _ => {}
        }
        response
    }
}
