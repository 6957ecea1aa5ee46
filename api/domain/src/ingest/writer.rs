//! The only writer of facts, keys and delta cells: group commit.
//!
//! Whatever has arrived while the last transaction ran goes into the next one. Invariants: a request is answered after the
//! transaction that holds all of its accepted lines is durable, and of a request that is not answered so nothing was kept;
//! facts, keys, delta cells and dirty marks of an event are in one transaction.
//! Must not know: JSON, HTTP, what the figures mean.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use plimsoll_entity::value::time::Instant;
use tokio::sync::{mpsc, oneshot};

use super::commit::{Batch, Identity, commit};
use super::event::Event;
use super::identity::content_hash;
use super::job_marks::NamedByUuid;
use super::resolve::Names;
use super::{IngestError, IngestSink, Written};
use crate::live::bus::{Bus, LocalBus};
use crate::store::{Store, StoreError};

/// Requests that wait for the writer at most; one more is told to come back.
const QUEUE_REQUESTS_MAX: usize = 1_024;
/// Lines of one transaction, unless a single request brings more.
const LINES_PER_COMMIT: usize = 8_000;
/// Times that a transaction is tried when others are in its way.
const TRIES_MAX: usize = 8;
/// When a client that met a full queue should come back.
const RETRY_AFTER_S: u32 = 1;

struct Request {
    events: Vec<Identity>,
    reply: oneshot::Sender<Result<Written, IngestError>>,
}

/// Hands events to the writer of this process.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    queue: mpsc::Sender<Request>,
}

impl IngestSink for WriterHandle {
    async fn write(&self, events: Vec<(u32, Event)>, _size_bytes: usize) -> Result<Written, IngestError> {
        if events.is_empty() {
            return Ok(Written::default());
        }
        // Hashing is work of the request, not of the one writer.
        let events = events.into_iter().map(|(line, event)| Identity { line, hash: content_hash(&event), event }).collect();
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Request { events, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => IngestError::QueueFull { retry_after_s: RETRY_AFTER_S },
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> IngestError {
    IngestError::Unavailable { source: "the writer has stopped".into() }
}

/// The writer of one process.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    queue: mpsc::Receiver<Request>,
    bus: Arc<dyn Bus>,
    state: WriterState,
}

/// What a writer knows from transactions that have committed.
#[derive(Debug, Default)]
pub struct WriterState {
    /// Names and their ids.
    pub names: Names,
    /// Partitions that exist: table and month.
    pub partitions: HashSet<(&'static str, i32)>,
    /// Highest GPU index that was told of a machine.
    pub gpu_index_max: HashMap<u32, u16>,
    /// Whether a job has ever been named by a UUID.
    pub named_by_uuid: NamedByUuid,
}

impl Writer {
    /// A writer and the handle that feeds it.
    #[must_use]
    pub fn new(store: Store) -> (Self, WriterHandle) {
        let (sender, queue) = mpsc::channel(QUEUE_REQUESTS_MAX);
        (Self { store, queue, bus: Arc::new(LocalBus::default()), state: WriterState::default() }, WriterHandle { queue: sender })
    }

    /// Wakes this bus after each commit.
    #[must_use]
    pub fn waking(mut self, bus: Arc<dyn Bus>) -> Self {
        self.bus = bus;
        self
    }

    /// Writes until every handle is gone.
    pub async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut lines = first.events.len();
            let mut requests = vec![first];
            while lines < LINES_PER_COMMIT {
                let Ok(next) = self.queue.try_recv() else { break };
                lines += next.events.len();
                requests.push(next);
            }
            self.write_group(requests).await;
        }
    }

    async fn write_group(&mut self, requests: Vec<Request>) {
        let started = self.store.clock().now();
        let (events, replies): (Vec<_>, Vec<_>) = requests.into_iter().map(|request| (request.events, request.reply)).unzip();
        let batch = Batch::new(events);
        match self.commit_with_retries(&batch).await {
            Ok(written) => self.answer(written, replies, started),
            // One request may hold what the database refuses; the others need not suffer for it.
            Err(error) if replies.len() > 1 && !error.is_unreachable() => {
                for (request, reply) in batch.split().into_iter().zip(replies) {
                    let written = self.commit_with_retries(&request).await;
                    self.answer_one(written, reply, started);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                tracing::error!(error = &*error as &dyn std::error::Error, requests = replies.len(), "cannot write events");
                for reply in replies {
                    // A receiver that is gone has closed its connection: it will send again.
                    let _ = reply.send(Err(IngestError::Unavailable { source: Box::new(Arc::clone(&error)) }));
                }
            }
        }
    }

    fn answer_one(
        &self,
        written: Result<Vec<Written>, StoreError>,
        reply: oneshot::Sender<Result<Written, IngestError>>,
        started: Instant,
    ) {
        match written {
            Ok(written) => self.answer(written, vec![reply], started),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot write the events of one request");
                let _ = reply.send(Err(IngestError::Unavailable { source: Box::new(error) }));
            }
        }
    }

    fn answer(&self, written: Vec<Written>, replies: Vec<oneshot::Sender<Result<Written, IngestError>>>, started: Instant) {
        let seconds = (self.store.clock().now().0 - started.0) as f64 / 1e6;
        metrics::histogram!("plimsoll_ingest_commit_duration_seconds").record(seconds);
        for (written, reply) in written.into_iter().zip(replies) {
            metrics::counter!("plimsoll_ingest_events_total", "outcome" => "accepted").increment(written.accepted);
            metrics::counter!("plimsoll_ingest_events_total", "outcome" => "duplicate").increment(written.duplicate);
            metrics::counter!("plimsoll_ingest_events_total", "outcome" => "conflict").increment(written.conflicts.len() as u64);
            let _ = reply.send(Ok(written));
        }
    }

    async fn commit_with_retries(&mut self, batch: &Batch) -> Result<Vec<Written>, StoreError> {
        let mut tries = 1;
        loop {
            match commit(&self.store, &mut self.state, batch).await {
                Err(error) if error.is_retryable() && tries < TRIES_MAX => {
                    tracing::debug!(error = &error as &dyn std::error::Error, tries, "writing events again");
                    tries += 1;
                }
                Ok((written, number)) => {
                    self.bus.wake(number);
                    return Ok(written);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
