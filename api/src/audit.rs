//! The audit log: who asked what, and whether it was allowed.
//!
//! Invariants: entries wait in a bounded queue and are written in batches within a second; an entry that finds the queue full is
//! dropped and counted; entries are pruned by the age that is configured. Refusals without a token are only counted (`auth`).
//! Must not know: GraphQL, how entries are kept.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_domain::clock::IdSource;
use plimsoll_domain::store::{AuditRow, Store};
use plimsoll_entity::value::time::{DAY_US, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::auth::Caller;
use crate::http::graphql::Auditor;

/// Entries that are written together at most.
const BATCH_MAX: usize = 500;
/// How long an entry waits for others at most.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Times that a batch is tried.
const TRIES: u32 = 3;
/// Between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Microseconds between two prunings.
const PRUNE_EVERY_US: i64 = DAY_US;
/// Characters of an operation's name that are kept.
const OPERATION_CHARS_MAX: usize = 200;

/// Takes entries.
#[derive(Clone)]
pub struct AuditQueue {
    entries: mpsc::Sender<AuditRow>,
    ids: Arc<dyn IdSource>,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
}

/// Writes entries.
pub struct AuditWriter {
    entries: mpsc::Receiver<AuditRow>,
    store: Store,
    kept_days: u32,
    pruned_at: Instant,
}

/// A queue of at most `entries_max` entries, and what writes it and prunes entries after `kept_days` (0: never).
#[must_use]
pub fn channel(store: Store, ids: Arc<dyn IdSource>, entries_max: usize, kept_days: u32) -> (AuditQueue, AuditWriter) {
    let (sender, receiver) = mpsc::channel(entries_max.max(1));
    let clock = Arc::clone(store.clock());
    (
        AuditQueue { entries: sender, ids, now: Arc::new(move || clock.now()) },
        AuditWriter { entries: receiver, store, kept_days, pruned_at: Instant(0) },
    )
}

impl Auditor for AuditQueue {
    fn operation(&self, caller: &Caller, operation: &str, fields: &[Arc<str>], allowed: bool) {
        let entry = AuditRow {
            at: (self.now)(),
            id: self.ids.next_id(),
            subject: caller.subject.to_string(),
            roles: caller.roles.iter().map(|role| role.wire().to_owned()).collect(),
            operation: operation.chars().take(OPERATION_CHARS_MAX).collect(),
            fields: fields.iter().map(|field| field.to_string()).collect(),
            allowed,
            address: caller.address.map(|address| address.to_string()),
        };
        if self.entries.try_send(entry).is_err() {
            metrics::counter!("plimsoll_audit_entries_total", "outcome" => "dropped").increment(1);
        }
    }
}

impl AuditWriter {
    /// Writes until `stop`, then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let taken = tokio::select! {
                taken = self.entries.recv_many(&mut batch, BATCH_MAX) => taken,
                () = stop.cancelled() => {
                    self.entries.close();
                    self.entries.recv_many(&mut batch, BATCH_MAX).await
                }
            };
            if taken == 0 {
                // Everybody who could be asked is gone before the tasks are told to end.
                stop.cancelled().await;
                return;
            }
            // Others may come along in a moment: one transaction for all of them.
            if batch.len() < BATCH_MAX && stop.run_until_cancelled(tokio::time::sleep(WAIT_MAX)).await.is_some() {
                while batch.len() < BATCH_MAX
                    && let Ok(entry) = self.entries.try_recv()
                {
                    batch.push(entry);
                }
            }
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    async fn write(&mut self, batch: Vec<AuditRow>) {
        let count = batch.len() as u64;
        let mut written = self.store.audit_append(batch.clone()).await;
        for _ in 1..TRIES {
            if written.is_ok() {
                break;
            }
            tokio::time::sleep(RETRY_AFTER).await;
            written = self.store.audit_append(batch.clone()).await;
        }
        let outcome = match written {
            Ok(()) => "written",
            Err(error) => {
                tracing::error!(error = crate::telemetry::chain(&error), entries = count, "cannot write audit entries");
                "failed"
            }
        };
        metrics::counter!("plimsoll_audit_entries_total", "outcome" => outcome).increment(count);
        let now = self.store.clock().now();
        if self.kept_days > 0 && now.0 - self.pruned_at.0 >= PRUNE_EVERY_US {
            self.pruned_at = now;
            if let Err(error) = self.store.audit_prune(Instant(now.0 - i64::from(self.kept_days) * DAY_US)).await {
                tracing::error!(error = crate::telemetry::chain(&error), "cannot prune the audit log");
            }
        }
    }
}
