//! A request that is refused as a whole, before anything ran: it has errors and no data.
//!
//! Invariant: every error has a [`Code`] and a message of bounded length without source text or suggestions.

use async_graphql::{ErrorExtensionValues, Pos, ServerError, Value};

use crate::code::Code;

/// Why a request was not run.
#[derive(Clone, Debug)]
pub struct Refused {
    code: Code,
    errors: Vec<ServerError>,
}

impl Refused {
    /// Refuses with one error.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, at: Option<Pos>) -> Self {
        Self { code, errors: vec![coded(code, message, at)] }
    }

    /// Refuses with several errors of the same code; `errors` must not be empty to be of use to the caller.
    pub(crate) fn many(code: Code, errors: impl IntoIterator<Item = (String, Option<Pos>)>) -> Self {
        Self { code, errors: errors.into_iter().map(|(message, at)| coded(code, message, at)).collect() }
    }

    /// The code of the first error.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The errors for the answer.
    #[must_use]
    pub fn errors(&self) -> &[ServerError] {
        &self.errors
    }

    /// The errors for the answer.
    #[must_use]
    pub fn into_errors(self) -> Vec<ServerError> {
        self.errors
    }
}

/// An error with a code.
pub(crate) fn coded(code: Code, message: impl Into<String>, at: Option<Pos>) -> ServerError {
    let mut error = ServerError::new(message, at);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", Value::from(code.as_str()));
    error.extensions = Some(extensions);
    error
}

/// Cuts a message after `limit` characters.
pub(crate) fn shorten(mut message: String, limit: usize) -> String {
    if let Some((at, _)) = message.char_indices().nth(limit) {
        message.truncate(at);
        message.push('…');
    }
    message
}
