//! Answers to requests that reach no handler of their own: JSON with a code from the closed list.
//!
//! Must not know: GraphQL, whose errors have a shape of their own.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::auth::AuthError;

/// A refused request: `{"error": {"code": …, "message": …}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// Out of the closed list of codes.
    pub code: &'static str,
    /// One sentence for the client's developer.
    pub message: &'static str,
}

impl Refusal {
    /// No such path.
    pub const NOT_FOUND: Self = Self { status: StatusCode::NOT_FOUND, code: "NOT_FOUND", message: "there is nothing at this path" };
    /// The path exists, but not for this method.
    pub const METHOD: Self =
        Self { status: StatusCode::METHOD_NOT_ALLOWED, code: "BAD_USER_INPUT", message: "this path does not take this method" };
    /// The URI exceeds `limits.uri_bytes`.
    pub const URI: Self = Self { status: StatusCode::URI_TOO_LONG, code: "LIMIT_EXCEEDED", message: "the URI is too long" };
    /// The body did not arrive in time.
    pub const BODY_TIMEOUT: Self =
        Self { status: StatusCode::REQUEST_TIMEOUT, code: "TIMEOUT", message: "the body of the request did not arrive in time" };
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": {"code": self.code, "message": self.message}}))).into_response()
    }
}

/// A fault of ours: the id stands in the log beside the details.
#[must_use]
pub fn internal(error_id: &str) -> Response {
    let error = json!({"error": {"code": "INTERNAL", "message": "an internal error occurred", "id": error_id}});
    (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response()
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let error = json!({"error": {"code": "UNAUTHENTICATED", "message": self.to_string()}});
        let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static(self.challenge()))];
        (StatusCode::UNAUTHORIZED, challenge, Json(error)).into_response()
    }
}
