//! Where batches are delivered to.
//!
//! [`http::HttpSink`] posts them to a server, [`print::PrintSink`] writes them out; a server that has the collectors in its
//! own process implements [`Sink`] by handing [`Batch::as_ndjson`] to its ingest path.
//!
//! Invariant: `Ok` means that the receiver has decided over every line for good. Must not know: where lines come from.

pub mod http;
pub mod print;

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use crate::backlog::Batch;

/// Takes batches.
///
/// Sending a line again is safe: the receiver knows it by its key. A future that is dropped half way is a failed delivery.
pub trait Sink: Send + 'static {
    /// Delivers the batch.
    ///
    /// # Errors
    /// When the receiver has not decided over the lines; the error says what to do with them.
    fn send(&mut self, batch: &Batch) -> impl Future<Output = Result<Receipt, SinkError>> + Send;
}

/// What became of the lines of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// New to the receiver.
    pub accepted_lines: u64,
    /// Known to it already.
    pub duplicate_lines: u64,
    /// Not valid to it; they would never be, so they are not sent again.
    pub rejected_lines: u64,
    /// Why the first of those was rejected.
    pub first_rejection: Option<String>,
}

/// Why a batch was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// For now: the lines are kept and sent again.
    #[error("the receiver cannot take lines now")]
    Unavailable {
        /// When to try again, where the receiver says so.
        retry_after: Option<Duration>,
        /// What happened.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Until somebody puts something right: the lines are kept and sent again.
    #[error("the receiver refuses to take lines")]
    Refused {
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The batch is to be sent in smaller pieces.
    #[error("the batch is too large for the receiver")]
    TooLarge,
}
