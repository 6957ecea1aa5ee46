//! Why a socket ends, as the client is told and as it is counted.
//!
//! Invariant: every socket ends for one of these reasons. Must not know: how the client is told.

use tungstenite::Error;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::CloseFrame;

/// Longest reason that a close frame can carry.
const REASON_MAX_BYTES: usize = 123;

/// Why a socket ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A message that does not fit the protocol, and what is wrong with it.
    BadMessage(&'static str),
    /// An operation before the acknowledgement.
    Unauthorized,
    /// The token has expired.
    Expired,
    /// No acceptable token.
    Forbidden,
    /// Nobody has said who calls.
    InitTimeout,
    /// An id that is taken.
    IdTaken(String),
    /// A second `connection_init`.
    TooManyInits,
    /// A message that is too large.
    TooLarge,
    /// A text that is not UTF-8.
    NotUtf8,
    /// Frames that are none.
    BadFrames,
    /// The server stops.
    Stopping,
    /// The client does not read what it is sent.
    Slow,
    /// The client does not answer pings.
    Silent,
    /// The client has closed.
    Client,
    /// The connection is broken.
    Broken,
}

impl Ending {
    /// Why reading has failed.
    pub fn of_reading(error: &Error) -> Self {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Client,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => Self::TooLarge,
            Error::Utf8(_) => Self::NotUtf8,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Broken,
            Error::Protocol(_) => Self::BadFrames,
            _ => Self::Broken,
        }
    }

    /// A short name from a closed set, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::BadMessage(_) => "bad_message",
            Self::Unauthorized => "unauthorized",
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::InitTimeout => "init_timeout",
            Self::IdTaken(_) => "id_taken",
            Self::TooManyInits => "too_many_inits",
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::BadFrames => "bad_frames",
            Self::Stopping => "stopping",
            Self::Slow => "slow",
            Self::Silent => "silent",
            Self::Client => "client",
            Self::Broken => "broken",
        }
    }

    /// What the client is told; nothing where it does not listen.
    pub fn frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::BadMessage(wrong) => (4400, (*wrong).to_owned()),
            Self::Unauthorized => (4401, "Unauthorized".to_owned()),
            Self::Expired => (4401, "Unauthorized: the token has expired".to_owned()),
            Self::Forbidden => (4403, "Forbidden".to_owned()),
            Self::InitTimeout => (4408, "Connection initialisation timeout".to_owned()),
            Self::IdTaken(id) => (4409, format!("Subscriber for {id} already exists")),
            Self::TooManyInits => (4429, "Too many initialisation requests".to_owned()),
            Self::TooLarge => (1009, "the message is too large".to_owned()),
            Self::NotUtf8 => (1007, "the message is not UTF-8".to_owned()),
            Self::BadFrames => (1002, "the frames do not fit the protocol".to_owned()),
            Self::Stopping => (1001, "the server is stopping".to_owned()),
            Self::Slow | Self::Silent | Self::Client | Self::Broken => return None,
        };
        let mut reason = reason;
        while reason.len() > REASON_MAX_BYTES {
            reason.pop();
        }
        Some(CloseFrame { code: code.into(), reason: reason.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_their_frame() {
        let frame = Ending::IdTaken("ü".repeat(128)).frame().unwrap();
        assert!(u16::from(frame.code) == 4409 && frame.reason.len() <= REASON_MAX_BYTES && frame.reason.starts_with("Subscriber for ü"));
        assert_eq!(Ending::Slow.frame(), None);
    }
}
