//! Why a line is not let in: the closed list of codes and what the answer says of a line.
//!
//! Invariant: texts are written for the client: they name fields and rules, never internals, and what they repeat of the
//! line is cut to [`ECHO_CHARS_MAX`]. Must not know: JSON, HTTP, the database.

use std::borrow::Cow;

use super::json::Malformed;
use super::limit::ECHO_CHARS_MAX;

/// Why a line is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectionCode {
    /// Not one JSON object in UTF-8.
    MalformedJson,
    /// `type` names no event.
    UnknownType,
    /// Strict: a key that the type does not have.
    UnknownField,
    /// A key that the type needs.
    MissingField,
    /// A value outside its range or of the wrong type.
    InvalidValue,
    /// An instant more than 5 minutes ahead.
    FutureTimestamp,
    /// More than 64 KiB.
    LineTooLong,
    /// Same id, other content; the first stays.
    Conflict,
    /// Older than the configured age limit.
    TooOld,
}

impl RejectionCode {
    /// Every code, in the order of the contract.
    pub const ALL: &'static [Self] = &[
        Self::MalformedJson,
        Self::UnknownType,
        Self::UnknownField,
        Self::MissingField,
        Self::InvalidValue,
        Self::FutureTimestamp,
        Self::LineTooLong,
        Self::Conflict,
        Self::TooOld,
    ];

    /// The name in answers.
    #[must_use]
    pub const fn wire(self) -> &'static str {
        match self {
            Self::MalformedJson => "MALFORMED_JSON",
            Self::UnknownType => "UNKNOWN_TYPE",
            Self::UnknownField => "UNKNOWN_FIELD",
            Self::MissingField => "MISSING_FIELD",
            Self::InvalidValue => "INVALID_VALUE",
            Self::FutureTimestamp => "FUTURE_TIMESTAMP",
            Self::LineTooLong => "LINE_TOO_LONG",
            Self::Conflict => "CONFLICT",
            Self::TooOld => "TOO_OLD",
        }
    }
}

/// A line that is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The line's `id` as it was written, whatever else was wrong; null where it had none that could be read.
    pub id: Option<String>,
    /// Why.
    pub code: RejectionCode,
    /// The key at fault, such as `finishedAt` or `checkpoints[2].version`; null where it is the line itself.
    pub field: Option<String>,
    /// One clause for a person.
    pub message: String,
}

/// A rejection and where its line stands in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedLine {
    /// From 1; blank lines count.
    pub line: u32,
    /// Why.
    pub rejection: Rejection,
}

/// A rejection on its way up, before the line's id is known. Boxed by the readers: it is rare, their results are not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) code: RejectionCode,
    pub(super) field: Option<Cow<'static, str>>,
    pub(super) message: Cow<'static, str>,
}

/// What a reader of fields gives.
pub(super) type Read<T> = Result<T, Box<Problem>>;

impl Problem {
    /// A problem of one key. The rule completes the sentence that the key begins, such as `must be a string`.
    pub(super) fn of(code: RejectionCode, field: impl Into<Cow<'static, str>>, rule: &str) -> Box<Self> {
        let field = field.into();
        let message = Cow::Owned(format!("{} {rule}", cut(&field)));
        Box::new(Self { code, field: Some(field), message })
    }

    /// A value that breaks a rule.
    pub(super) fn invalid(field: impl Into<Cow<'static, str>>, rule: &str) -> Box<Self> {
        Self::of(RejectionCode::InvalidValue, field, rule)
    }

    /// A key that is needed and not there.
    pub(super) fn missing(field: impl Into<Cow<'static, str>>) -> Box<Self> {
        Self::of(RejectionCode::MissingField, field, "is missing")
    }

    /// A line that is no JSON.
    pub(super) fn malformed(malformed: Malformed) -> Box<Self> {
        Self::line(RejectionCode::MalformedJson, format!("line is not one JSON object: odd at byte {}", malformed.0))
    }

    /// A problem of the whole line.
    pub(super) fn line(code: RejectionCode, message: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { code, field: None, message: message.into() })
    }

    /// The rejection of the line that has this id.
    pub(super) fn reject(self, id: Option<String>) -> Rejection {
        let field = self.field.map(|field| cut(&field).to_owned());
        Rejection { id, code: self.code, field, message: self.message.into_owned() }
    }
}

/// The beginning of a client's own text, at most [`ECHO_CHARS_MAX`] characters.
pub(super) fn cut(text: &str) -> &str {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        Some((end, _)) if text.len() > ECHO_CHARS_MAX => &text[..end],
        _ => text,
    }
}
