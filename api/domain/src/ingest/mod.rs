//! What comes in: reading lines, checking them, writing them.
//!
//! A body goes through [`batch::BatchReader`], which hands each line to [`line::read_line`]; the events then go to an
//! [`IngestSink`] as one batch.

use std::error::Error;
use std::future::Future;

use uuid::Uuid;

pub mod batch;
mod checkpoint;
mod checkpoint_load;
mod commit;
pub mod event;
mod execution;
mod field;
mod gpu_sample;
pub mod identity;
mod job;
mod job_marks;
mod job_updates;
mod json;
pub mod limit;
pub mod line;
mod object;
pub mod rejection;
mod resolve;
mod rows;
mod storage_snapshot;
mod vm_sample;
mod vm_state;
pub mod writer;

pub use checkpoint::UNVERSIONED;
use event::Event;
pub use resolve::fingerprint;

/// Where checked events are written.
pub trait IngestSink: Clone + Send + Sync + 'static {
    /// Writes a batch and returns once it is durable. The events come with the numbers of their lines, in the order of the body;
    /// `size_bytes` is the size of the body that they were read from.
    ///
    /// # Errors
    /// [`IngestError`]; then nothing of the batch was kept, and sending it again is safe.
    fn write(&self, events: Vec<(u32, Event)>, size_bytes: usize) -> impl Future<Output = Result<Written, IngestError>> + Send;
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Lines that are new.
    pub accepted: u64,
    /// Lines that had come before, in this batch or another.
    pub duplicate: u64,
    /// Lines whose id had come before with other content, and their ids; null for a sample, which has none.
    pub conflicts: Vec<(u32, Option<Uuid>)>,
    /// Keys whose names are over their daily cap, such as `execution.user`, and in how many accepted lines. Goes into the warnings.
    pub capped: Vec<(String, u64)>,
    /// Lines that cannot do without a name that is over its daily cap, their ids, and the field. They were not written.
    pub refused: Vec<(u32, Option<Uuid>, &'static str)>,
    /// Lines from before the instant since when rows are kept, and their ids. They were not written.
    pub too_old: Vec<(u32, Option<Uuid>)>,
}

/// Why a batch was not written. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// More is waiting than the writer may hold.
    #[error("the queue of the writer is full")]
    QueueFull {
        /// When it is worth another try.
        retry_after_s: u32,
    },
    /// The database cannot be reached.
    #[error("writing events to the database")]
    Unavailable {
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
