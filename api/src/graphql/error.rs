//! From the errors of the layers below to what a client gets: a code, a clear sentence, the argument, never database text.
//!
//! Invariant: an error without a code here becomes INTERNAL in the gate, which logs its source once with an id.

use std::sync::Arc;

use async_graphql::{Error, ErrorExtensions};
use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::store::StoreError;
use plimsoll_gate::Code;

/// An error with a code.
pub fn coded(code: Code, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code.as_str()))
}

/// An error about an argument.
pub fn bad_input(field: &str, message: impl Into<String>) -> Error {
    coded(Code::BadUserInput, message).extend_with(|_, extensions| extensions.set("field", field))
}

/// The answer to something that went wrong inside: its source is logged by the gate.
pub fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new_with_source(error)
}

/// What a client gets for an error of a breakdown.
pub fn of_breakdown(error: BreakdownError) -> Error {
    match error {
        BreakdownError::Question { field, message } => bad_input(field, message),
        BreakdownError::Limit(message) => coded(Code::LimitExceeded, message),
        BreakdownError::Store(error) => of_store(error),
    }
}

/// What each client gets for an error of a breakdown that several wait for.
pub fn of_shared(error: Arc<BreakdownError>) -> Error {
    match &*error {
        BreakdownError::Question { field, message } => bad_input(field, message),
        BreakdownError::Limit(message) => coded(Code::LimitExceeded, message),
        BreakdownError::Store(_) => internal(error),
    }
}

/// What a client gets for an error of the store.
pub fn of_store(error: StoreError) -> Error {
    match error {
        StoreError::Dropped { .. } => {
            coded(Code::LimitExceeded, format!("{error}: ask for whole UTC days by fewer dimensions, or for a window from then on"))
        }
        error => internal(error),
    }
}
