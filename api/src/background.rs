//! The work that goes on beside requests: cells are folded, timelines and jobs derived, past hours packed, alert rules evaluated,
//! notices of alerts sent.
//!
//! Of several replicas one at a time does each kind of work. What keeps the others out, and who goes on when it dies:
//!
//! | task | what keeps the others out | taken over |
//! |---|---|---|
//! | `timelines`, `jobs`, `storage`, `packer`, `retention`, `alerts`, `webhooks` | a lease of that name, whose epoch each write checks in its own transaction | when the lease has run out: 20 s, and one look |
//! | `compactor` | a lock of each family and day, taken before anything is read and held until the fold is committed; a delta that another one has folded makes it roll back | at once: the lock goes with the connection |
//! | `newest samples` | the row of its counter, held by each transaction, which also says how far it came | at once: the row goes with the transaction |
//! | cells of old rows (at the start, [`crate::open_store`]) | the lock of the compactor, and the row that says that a day is left | at once |
//! | pruning of the audit log | nothing: each replica deletes what is too old, twice is the same as once | not needed |
//! | audit log, keys, metrics, bus, commits, this machine's samples | nothing: each replica does its own | not needed |
//!
//! A connection whose other end has died without a word lives on for 25 s at most, with the locks that it holds.
//!
//! Invariant: each task runs on a thread of its own and sleeps between its looks; a failure is logged and tried again.
//! Must not know: what the figures mean.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_domain::cell::compactor::Compactor;
use plimsoll_domain::clock::{Clock, IdSource};
use plimsoll_domain::concurrency::packer::Packer;
use plimsoll_domain::job::worker::JobWorker;
use plimsoll_domain::live::bus::Bus;
use plimsoll_domain::retention::{Ages, RetentionWorker};
use plimsoll_domain::storage::worker::StorageWorker;
use plimsoll_domain::store::{LEASE_US, Store};
use plimsoll_domain::timeline::worker::TimelineWorker;
use plimsoll_domain::utilization::fill_latest_samples;
use plimsoll_domain::watch::evaluator::Evaluator;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Webhook;
use crate::tasks::Tasks;
use crate::telemetry;
use crate::webhook::WebhookWorker;
use crate::webhook::resolver::SystemResolver;
use crate::webhook::sender::Sender;

/// Between two looks of the timeline worker.
const BUILD_EVERY: Duration = Duration::from_secs(2);
/// Between two evaluations of alert rules at least.
const EVALUATE_AFTER: Duration = Duration::from_secs(2);
/// How much longer an evaluation waits for a commit.
const EVALUATE_EVERY: Duration = Duration::from_secs(3);
/// Between two looks of the compactor.
const COMPACT_EVERY: Duration = Duration::from_secs(1);
/// Between two looks of the packer of executions.
const PACK_EVERY: Duration = Duration::from_secs(5);
/// Between two looks of the worker of storage.
const PUT_STORAGE_TOGETHER_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for rows that are older than they are kept.
const DROP_EVERY: Duration = Duration::from_secs(5);
/// Between two looks of the worker of jobs.
const WORK_JOBS_EVERY: Duration = Duration::from_secs(1);
/// Between two looks for notices that are due, unless one was just answered.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// How long notices under way may take to be answered once the server stops.
const SEND_END_MAX: Duration = Duration::from_secs(3);
/// Hours that are gone through for newest samples before ingest has its turn.
const SAMPLED_HOURS_PER_RUN: usize = 12;
/// Between two such runs.
const FIND_NEWEST_SAMPLES_EVERY: Duration = Duration::from_secs(2);
/// The same after one that failed.
const FIND_NEWEST_SAMPLES_AGAIN: Duration = Duration::from_secs(60);

/// Work of a process that has died goes on elsewhere within this time.
const TAKE_OVER_MAX: Duration = Duration::from_secs(30);
const _: () = {
    let looks = [
        BUILD_EVERY,
        COMPACT_EVERY,
        PACK_EVERY,
        PUT_STORAGE_TOGETHER_EVERY,
        DROP_EVERY,
        WORK_JOBS_EVERY,
        EVALUATE_AFTER.saturating_add(EVALUATE_EVERY),
        SEND_EVERY,
    ];
    let mut look = 0;
    while look < looks.len() {
        assert!(LEASE_US as u128 + looks[look].as_micros() < TAKE_OVER_MAX.as_micros(), "a lease and a look are too long");
        look += 1;
    }
};

/// Starts all of it but the sending of notices.
pub fn spawn(tasks: &Tasks, store: &Store, bus: &Arc<dyn Bus>, ids: &Arc<dyn IdSource>, ages: Ages) {
    let compacting = (store.clone(), tasks.stop.clone());
    tasks.spawn_heavy("compactor", move || compact(compacting.0, compacting.1));
    let building = (TimelineWorker::new(store.clone(), ids.next_id()), Arc::clone(store.clock()), tasks.stop.clone());
    tasks.spawn_heavy("timelines", move || build_timelines(building.0, building.1, building.2));
    let working = (JobWorker::new(store.clone(), ids.next_id()), store.clone(), tasks.stop.clone());
    tasks.spawn_heavy("jobs", move || work_jobs_off(working.0, working.1, working.2));
    let storing = (StorageWorker::new(store.clone(), ids.next_id()), store.clone(), tasks.stop.clone());
    tasks.spawn_heavy("storage", move || put_storage_together(storing.0, storing.1, storing.2));
    let dropping = (RetentionWorker::new(store.clone(), ids.next_id(), ages), Arc::clone(store.clock()), tasks.stop.clone());
    tasks.spawn_heavy("retention", move || drop_old_rows(dropping.0, dropping.1, dropping.2));
    let finding = (store.clone(), tasks.stop.clone());
    tasks.spawn_heavy("newest samples", move || find_newest_samples(finding.0, finding.1));
    let packing = (Packer::new(store.clone(), ids.next_id()), Arc::clone(store.clock()), tasks.stop.clone());
    tasks.spawn_heavy("packer", move || pack(packing.0, packing.1, packing.2));
    let evaluator = Evaluator::new(store.clone(), Arc::clone(bus), Arc::clone(ids));
    let evaluating = (evaluator, bus.heard(), Arc::clone(store.clock()), tasks.stop.clone());
    tasks.spawn_heavy("alerts", move || evaluate(evaluating.0, evaluating.1, evaluating.2, evaluating.3));
}

/// Starts the sending of notices.
pub fn spawn_webhooks(tasks: &Tasks, store: &Store, ids: &Arc<dyn IdSource>, config: &Webhook) {
    let sender = Sender::new(Arc::new(config.allow.clone()), config.secret.clone(), Arc::new(SystemResolver));
    let sending = (WebhookWorker::new(store.clone(), sender, ids.next_id()), Arc::clone(store.clock()), tasks.stop.clone());
    tasks.spawn_heavy("webhooks", move || send_notices(sending.0, sending.1, sending.2));
}

/// Finds newest samples among those that came before they were kept, once.
async fn find_newest_samples(store: Store, stop: CancellationToken) {
    let mut wait = Duration::ZERO;
    while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        wait = FIND_NEWEST_SAMPLES_EVERY;
        match stop.run_until_cancelled(fill_latest_samples(&store, SAMPLED_HOURS_PER_RUN)).await {
            None => return,
            // Nothing is left, ever: but a task that ends is taken for a broken one.
            Some(Ok(0)) => return stop.cancelled().await,
            Some(Ok(hours)) => tracing::info!(hours, "looked for the newest samples among those that came before they were kept"),
            Some(Err(error)) => {
                tracing::warn!(error = telemetry::chain(&error), "cannot look for newest samples, will try again");
                wait = FIND_NEWEST_SAMPLES_AGAIN;
            }
        }
    }
}

async fn compact(store: Store, stop: CancellationToken) {
    let clock = Arc::clone(store.clock());
    let mut compactor = Compactor::new(store);
    while stop.run_until_cancelled(tokio::time::sleep(COMPACT_EVERY)).await.is_some() {
        match compactor.run_once(clock.now()).await {
            Ok(done) if done == Default::default() => {}
            Ok(done) => tracing::debug!(deltas = done.deltas, days = done.days, "compacted cells"),
            Err(error) => tracing::warn!(error = telemetry::chain(&error), "cannot compact cells, will try again"),
        }
    }
}

async fn build_timelines(mut worker: TimelineWorker, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut wait = BUILD_EVERY;
    while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        wait = BUILD_EVERY;
        match worker.run_once(clock.now()).await {
            Ok(done) if done.is_cut => wait = Duration::ZERO,
            Ok(done) if done.hours == 0 && done.days == 0 => {}
            Ok(done) => tracing::debug!(hours = done.hours, days = done.days, "built timelines"),
            Err(error) => tracing::warn!(error = telemetry::chain(&error), "cannot build timelines, will try again"),
        }
    }
    if let Err(error) = worker.release(clock.now()).await {
        tracing::debug!(error = telemetry::chain(&error), "cannot give the lease of the timelines back");
    }
}

async fn pack(mut packer: Packer, clock: Arc<dyn Clock>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PACK_EVERY)).await.is_some() {
        match packer.run_once(clock.now()).await {
            Ok(0) => {}
            Ok(hours) => tracing::debug!(hours, "packed executions"),
            Err(error) => tracing::warn!(error = telemetry::chain(&error), "cannot pack executions, will try again"),
        }
    }
    if let Err(error) = packer.release().await {
        tracing::debug!(error = telemetry::chain(&error), "cannot give the lease of the packer back");
    }
}

async fn put_storage_together(mut worker: StorageWorker, store: Store, stop: CancellationToken) {
    let clock = Arc::clone(store.clock());
    while stop.run_until_cancelled(tokio::time::sleep(PUT_STORAGE_TOGETHER_EVERY)).await.is_some() {
        match worker.run_once(clock.now()).await {
            Ok(0) => {}
            Ok(days) => tracing::debug!(days, "put snapshots of storage together"),
            Err(error) => tracing::warn!(error = telemetry::chain(&error), "cannot put snapshots of storage together, will try again"),
        }
    }
    if let Err(error) = worker.release().await {
        tracing::debug!(error = telemetry::chain(&error), "cannot give the lease of storage back");
    }
}

async fn drop_old_rows(mut worker: RetentionWorker, clock: Arc<dyn Clock>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(DROP_EVERY)).await.is_some() {
        match worker.run_once(clock.now()).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "dropped rows (months, where there are partitions) that are older than they are kept"),
            Err(error) => tracing::warn!(error = telemetry::chain(&error), "cannot drop old rows, will try again"),
        }
    }
}

async fn work_jobs_off(mut worker: JobWorker, store: Store, stop: CancellationToken) {
    let clock = Arc::clone(store.clock());
    while stop.run_until_cancelled(tokio::time::sleep(WORK_JOBS_EVERY)).await.is_some() {
        match worker.run_once(clock.now()).await {
            Ok(done) if done == Default::default() => {}
            Ok(done) => tracing::debug!(jobs = done.jobs, days = done.days, "worked jobs off"),
            Err(error) => tracing::warn!(error = telemetry::chain(&error), "cannot work jobs off, will try again"),
        }
    }
    if let Err(error) = worker.release().await {
        tracing::debug!(error = telemetry::chain(&error), "cannot give the lease of jobs back");
    }
}

async fn evaluate(mut evaluator: Evaluator, mut heard: watch::Receiver<u64>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        // Soon after a commit, and now and then: a machine falls silent without one.
        let wait = async {
            tokio::time::sleep(EVALUATE_AFTER).await;
            let _ = tokio::time::timeout(EVALUATE_EVERY, heard.changed()).await;
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            break;
        }
        match evaluator.run_once(clock.now()).await {
            Ok(done) if done == Default::default() => {}
            Ok(done) => tracing::info!(opened = done.opened, resolved = done.resolved, "evaluated alert rules"),
            Err(error) => tracing::warn!(error = telemetry::chain(&error), "cannot evaluate alert rules, will try again"),
        }
    }
    if let Err(error) = evaluator.release().await {
        tracing::debug!(error = telemetry::chain(&error), "cannot give the lease of the alerts back");
    }
}

async fn send_notices(mut worker: WebhookWorker, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        // A host that has answered may be sent the next one at once.
        let wait = async {
            tokio::select! { () = tokio::time::sleep(SEND_EVERY) => {}, () = worker.ended() => {} }
        };
        if stop.run_until_cancelled(wait).await.is_none() {
            break;
        }
        if let Err(error) = worker.run_once(clock.now()).await {
            tracing::warn!(error = telemetry::chain(&error), "cannot look for notices to send, will try again");
            // Whatever ends meanwhile does not hurry it.
            if stop.run_until_cancelled(tokio::time::sleep(SEND_EVERY)).await.is_none() {
                break;
            }
        }
    }
    let _ = tokio::time::timeout(SEND_END_MAX, worker.settle()).await;
    if let Err(error) = worker.release().await {
        tracing::debug!(error = telemetry::chain(&error), "cannot give the lease of webhooks back");
    }
}
