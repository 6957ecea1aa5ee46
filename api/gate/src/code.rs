//! The closed list of `extensions.code`.
//!
//! Invariant: no answer of this service carries a code that is not listed here. It must not know which part raised an error.

use std::fmt;

use axum::http::StatusCode;

/// What went wrong, in one word that a client can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A value that the caller sent is not acceptable: a variable, an argument, a parameter of the request.
    BadUserInput,
    /// There is no valid token.
    Unauthenticated,
    /// The token is valid and its roles do not allow this.
    Forbidden,
    /// What was asked for does not exist, or the caller may not know that it does.
    NotFound,
    /// The document is not GraphQL.
    GraphqlParseFailed,
    /// The document is GraphQL and does not fit the schema.
    GraphqlValidationFailed,
    /// A limit of [`crate::Limits`] or of the service is exceeded.
    LimitExceeded,
    /// The answer was not ready in time.
    Timeout,
    /// What is stored contradicts what was asked for.
    Conflict,
    /// A fault of the service. The answer carries an id that stands in the log, and no detail.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::BadUserInput,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::GraphqlParseFailed,
        Self::GraphqlValidationFailed,
        Self::LimitExceeded,
        Self::Timeout,
        Self::Conflict,
        Self::Internal,
    ];

    /// The code as clients see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::Timeout => "TIMEOUT",
            Self::Conflict => "CONFLICT",
            Self::Internal => "INTERNAL",
        }
    }

    /// The code that a client would see as `text`, if there is one.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// The HTTP status of a request that was refused as a whole with this code, where the media type lets the status speak.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadUserInput | Self::GraphqlParseFailed | Self::GraphqlValidationFailed | Self::LimitExceeded | Self::NotFound => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
