//! Notices of alerts go to the webhooks of their rules.
//!
//! [`signature`] proves whose they are, [`resolver`] and [`sender`] see to it that none goes where it may not, [`retry`] says when one is
//! tried again. [`WebhookWorker`] takes them out of the queue of the store, into which whoever changes an alert has put them in the same
//! transaction.
//!
//! Invariants: one process at a time sends, under a lease that each of its writes checks; a notice leaves the queue only behind its
//! answer, so that it arrives at least once; a host is sent one at a time, so that a slow one holds nobody up but itself.
//! Must not know: when an alert begins or ends, what a notice says.

pub mod resolver;
pub mod retry;
pub mod sender;
pub mod signature;

use std::collections::HashMap;
use std::sync::Arc;

use plimsoll_domain::store::{Delivery, Lease, Leasehold, Store, StoreError};
use plimsoll_entity::value::time::{Instant, SECOND_US};
use tokio::task::{Id, JoinError, JoinSet};
use uuid::Uuid;

use crate::telemetry;
use retry::{Answer, Verdict, verdict};
use sender::Sender;

/// Attempts at once.
pub const ATTEMPTS_AT_ONCE_MAX: usize = 8;
/// Hosts of one look; those that are being sent something are passed over.
const HOSTS_PER_LOOK: u32 = 64;
/// How long what else waits for a host is left alone when an attempt has failed: others are to have their turn.
const HOST_PAUSE_US: i64 = 60 * SECOND_US;

/// Describes the metrics of webhooks.
pub fn describe_metrics() {
    metrics::describe_counter!("plimsoll_webhooks_total", "Notices for webhooks and attempts to deliver them, by what became of them.");
    metrics::describe_gauge!("plimsoll_webhooks_queued", "Notices that wait to be delivered, as the process sees it that sends them.");
}

/// The worker of one process.
pub struct WebhookWorker {
    store: Store,
    sender: Arc<Sender>,
    leasehold: Leasehold,
    attempts: JoinSet<bool>,
    /// The host of each attempt under way.
    hosts: HashMap<Id, String>,
}

impl WebhookWorker {
    /// A worker of this store; `holder` names the process.
    #[must_use]
    pub fn new(store: Store, sender: Sender, holder: Uuid) -> Self {
        Self {
            store,
            sender: Arc::new(sender),
            leasehold: Leasehold::new("webhooks", holder),
            attempts: JoinSet::new(),
            hosts: HashMap::new(),
        }
    }

    /// Looks once at what is due, and begins to send what may be sent now; how many notices that were. It waits for no answer.
    ///
    /// # Errors
    /// [`StoreError`] from the database; then nothing was begun.
    pub async fn run_once(&mut self, now: Instant) -> Result<usize, StoreError> {
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.take_note(ended);
        }
        let Some(lease) = self.leasehold.hold(&self.store, now).await? else {
            metrics::gauge!("plimsoll_webhooks_queued").set(0.0);
            return Ok(0);
        };
        let snapshot = self.store.snapshot().await?;
        let queue = snapshot.webhook_queue().await?;
        metrics::gauge!("plimsoll_webhooks_queued").set(queue.length as f64);
        let free = ATTEMPTS_AT_ONCE_MAX.saturating_sub(self.attempts.len());
        if free == 0 || queue.oldest_due_at.is_none_or(|due_at| due_at > now) {
            return Ok(0);
        }
        let due = snapshot.webhook_due_list(now, HOSTS_PER_LOOK).await?;
        drop(snapshot);
        let busy = |host: &String| self.hosts.values().any(|busy| busy == host);
        let begun: Vec<Delivery> = due.into_iter().filter(|delivery| !busy(&delivery.host)).take(free).collect();
        let count = begun.len();
        for delivery in begun {
            let host = delivery.host.clone();
            let attempt = attempt(self.store.clone(), Arc::clone(&self.sender), lease, delivery, now);
            let id = self.attempts.spawn(attempt).id();
            self.hosts.insert(id, host);
        }
        Ok(count)
    }

    /// Waits until an attempt has ended; for ever while none is under way.
    pub async fn ended(&mut self) {
        match self.attempts.join_next_with_id().await {
            Some(ended) => self.take_note(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits until every attempt has ended.
    pub async fn settle(&mut self) {
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.take_note(ended);
        }
    }

    /// Gives the right to send back, so that nobody has to wait for its end. What is under way is broken off and will be sent again.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn release(&mut self) -> Result<(), StoreError> {
        self.attempts.shutdown().await;
        self.hosts.clear();
        self.leasehold.release(&self.store).await
    }

    fn take_note(&mut self, ended: Result<(Id, bool), JoinError>) {
        let id = match &ended {
            Ok((id, true)) => *id,
            Ok((id, false)) => {
                // Who cannot write must not go on sending: the right is asked for anew, which is a write.
                self.leasehold.doubt();
                *id
            }
            Err(error) => {
                tracing::error!(error = telemetry::chain(error), "an attempt to deliver a notice was broken off");
                error.id()
            }
        };
        self.hosts.remove(&id);
    }
}

/// Sends a notice, and writes down what became of it; whether it could. What cannot be written is sent again later.
async fn attempt(store: Store, sender: Arc<Sender>, lease: Lease, delivery: Delivery, now: Instant) -> bool {
    let answer = sender.send(&delivery, now).await;
    let verdict = verdict(&delivery, &answer, store.clock().now());
    tell(&delivery, &answer, verdict);
    let written = write(&store, lease, &delivery, verdict).await;
    if let Err(error) = &written {
        tracing::warn!(error = telemetry::chain(error), "cannot write down what became of a notice, it will be sent again");
    }
    written.is_ok()
}

async fn write(store: &Store, lease: Lease, delivery: &Delivery, verdict: Verdict) -> Result<(), StoreError> {
    let mut tx = store.begin_write().await?;
    tx.lease_check(lease).await?;
    match verdict {
        Verdict::Delivered | Verdict::GivenUp => tx.webhook_remove(delivery.id).await?,
        Verdict::Again(due_at) => {
            let host_at = Instant(store.clock().now().0 + HOST_PAUSE_US).min(due_at);
            tx.webhook_put_off(delivery, due_at, host_at).await?;
        }
    }
    tx.commit().await
}

fn tell(delivery: &Delivery, answer: &Answer, verdict: Verdict) {
    let outcome = match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Again(_) => "retried",
        Verdict::GivenUp => "given_up",
    };
    metrics::counter!("plimsoll_webhooks_total", "outcome" => outcome).increment(1);
    let reason = match answer {
        Answer::Status { status, .. } => format!("answered {status}"),
        Answer::Failed(reason) | Answer::Refused(reason) => reason.clone(),
    };
    let (host, alert, attempts) = (&delivery.host, delivery.alert_id, delivery.attempts + 1);
    match verdict {
        Verdict::Delivered => tracing::debug!(host, %alert, attempts, "delivered a notice"),
        Verdict::Again(_) => tracing::info!(host, %alert, attempts, reason, "a notice did not arrive, will try again"),
        Verdict::GivenUp => tracing::warn!(host, %alert, attempts, reason, "a notice did not arrive, gave it up"),
    }
}
