//! Delivers the backlog, batch after batch, and knows what to do when that fails.
//!
//! Invariants: lines that come in during a request go to the backlog at once, so that a slow server delays no sample; while
//! the server does not take lines there is one attempt per delay; what the server rejects or cannot ever take is counted
//! and said. Must not know: collectors, HTTP.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use crate::backlog::{BATCH_LINES_MAX, Backlog, Batch};
use crate::backoff::Backoff;
use crate::collector::chain;
use crate::condition::{Condition, Tally};
use crate::reading::Reading;
use crate::sink::{Receipt, Sink, SinkError};

/// First delay after a failure.
pub const DELAY_MIN: Duration = Duration::from_secs(1);
/// No delay is longer, unless the server asks for it.
pub const DELAY_MAX: Duration = Duration::from_secs(60);
/// At the end a request that is on its way gets so long, and so does what still waits.
pub const LAST_FLUSH_MAX: Duration = Duration::from_secs(5);

/// What became of all lines so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accepted, or known already.
    pub delivered_lines: u64,
    /// Not valid to the server.
    pub rejected_lines: u64,
    /// Dropped for lack of room, damage, or because not even one of them fits into a request.
    pub dropped_lines: u64,
    /// Still in the backlog.
    pub waiting_lines: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shipper<S> {
    sink: S,
    backlog: Backlog,
    backoff: Backoff,
    /// Shrinks when the server finds a batch too large, and grows again.
    batch_lines: usize,
    receiver: Condition,
    delivered_lines: u64,
    rejected: Tally,
    oversized: Tally,
}

impl<S: Sink> Shipper<S> {
    pub(crate) fn new(sink: S, backlog: Backlog) -> Self {
        Self {
            sink,
            backlog,
            backoff: Backoff::between(DELAY_MIN, DELAY_MAX),
            batch_lines: BATCH_LINES_MAX,
            receiver: Condition::default(),
            delivered_lines: 0,
            rejected: Tally::default(),
            oversized: Tally::default(),
        }
    }

    /// Other delays than the usual ones.
    pub(crate) fn set_delays(&mut self, min: Duration, max: Duration) {
        self.backoff = Backoff::between(min, max);
    }

    pub(crate) fn push(&mut self, readings: &[Reading]) {
        self.backlog.push(readings);
    }

    /// Delivers what comes in until the channel ends, then once more what waits.
    pub(crate) async fn run(&mut self, incoming: &mut Receiver<Vec<Reading>>) {
        let mut retry_at: Option<Instant> = None;
        while !incoming.is_closed() || !incoming.is_empty() {
            let batch = if retry_at.is_none() { self.backlog.next_batch(self.batch_lines) } else { None };
            let Some(batch) = batch else {
                tokio::select! {
                    readings = incoming.recv() => self.push(&readings.unwrap_or_default()),
                    () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => retry_at = None,
                }
                continue;
            };
            let outcome = self.send_while_receiving(&batch, incoming).await;
            retry_at = self.settle(batch, outcome).map(|delay| Instant::now() + delay);
        }
        if timeout(LAST_FLUSH_MAX, self.flush()).await.is_err() {
            tracing::warn!("the last delivery took too long");
        }
    }

    /// Delivers what waits, up to the first failure.
    pub(crate) async fn flush(&mut self) {
        while let Some(batch) = self.backlog.next_batch(self.batch_lines) {
            let outcome = self.sink.send(&batch).await;
            if self.settle(batch, outcome).is_some() {
                return;
            }
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            delivered_lines: self.delivered_lines,
            rejected_lines: self.rejected.count(),
            dropped_lines: self.backlog.dropped_lines() + self.oversized.count(),
            waiting_lines: self.backlog.line_count(),
        }
    }

    /// Puts what still waits into safety.
    pub(crate) fn close(self) -> Totals {
        let totals = self.totals();
        let dropped_lines = self.backlog.close() + self.oversized.count();
        // What waited in memory only is now dropped and waits no more.
        let waiting_lines = totals.waiting_lines.saturating_sub(dropped_lines - totals.dropped_lines);
        Totals { dropped_lines, waiting_lines, ..totals }
    }

    async fn send_while_receiving(&mut self, batch: &Batch, incoming: &mut Receiver<Vec<Reading>>) -> Result<Receipt, SinkError> {
        let Self { sink, backlog, .. } = self;
        let mut sending = pin!(sink.send(batch));
        loop {
            tokio::select! {
                outcome = &mut sending => return outcome,
                readings = incoming.recv() => match readings {
                    Some(readings) => backlog.push(&readings),
                    None => break,
                },
            }
        }
        timeout(LAST_FLUSH_MAX, sending)
            .await
            .unwrap_or_else(|elapsed| Err(SinkError::Unavailable { retry_after: None, source: Box::new(elapsed) }))
    }

    /// Draws the conclusion from what became of a batch; how long to wait before the next, where that is needed.
    fn settle(&mut self, batch: Batch, outcome: Result<Receipt, SinkError>) -> Option<Duration> {
        match outcome {
            Ok(receipt) => {
                self.backlog.finish(batch);
                self.backoff.reset();
                self.batch_lines = (self.batch_lines * 2).min(BATCH_LINES_MAX);
                self.count(&receipt);
                None
            }
            Err(SinkError::TooLarge) => {
                self.shrink(batch);
                None
            }
            Err(error) => {
                self.backlog.put_back(batch);
                if self.receiver.fails(&kind(&error)) {
                    let waiting = self.backlog.line_count();
                    tracing::warn!(error = chain(&error), waiting, "lines are kept until they can be delivered");
                }
                let asked = if let SinkError::Unavailable { retry_after, .. } = &error { *retry_after } else { None };
                let delay = self.backoff.delay();
                // A receiver that asks for no delay at all must not be hammered.
                Some(asked.map_or(delay, |asked| asked.max(self.backoff.min())))
            }
        }
    }

    fn count(&mut self, receipt: &Receipt) {
        self.delivered_lines += receipt.accepted_lines + receipt.duplicate_lines;
        if self.receiver.recovers() {
            tracing::info!(waiting = self.backlog.line_count(), "lines are delivered again");
        }
        if self.rejected.add(receipt.rejected_lines) {
            let first = receipt.first_rejection.as_deref();
            tracing::warn!(lines = self.rejected.count(), first, "the server rejected lines, they are not sent again");
        }
    }

    /// Sends half as many lines the next time; a single line that is too large can never be delivered.
    fn shrink(&mut self, batch: Batch) {
        if batch.line_count() > 1 {
            self.batch_lines = batch.line_count() / 2;
            self.backlog.put_back(batch);
            return;
        }
        self.backlog.finish(batch);
        if self.oversized.add(1) {
            tracing::error!(lines = self.oversized.count(), "a single line is too large for the server and was dropped");
        }
    }
}

/// The error and its cause: what lies deeper, such as the text of an answer, may differ every time.
fn kind(error: &SinkError) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
