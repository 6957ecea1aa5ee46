//! Works off the marks of jobs, and makes the day cells of jobs for closed days that are quiet.
//!
//! Invariants: one process at a time works, under a lease that each of its transactions checks; the rows of marked jobs, the days
//! that they touch and the marks themselves change in one transaction. A day is held only when its cells were made from a snapshot
//! that had no mark about it: whatever commits later brings a mark of its own, which answers heed from that commit on.
//! Must not know: figures.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use plimsoll_entity::value::time::{DAY_US, Instant, SECOND_US, Step, Window};
use uuid::Uuid;

use super::pending::{MARKED_JOBS_MAX, Pending, PendingError, work_out};
use super::updates::{forget, is_forgetting_due};
use crate::cell::builder::BlockBuilder;
use crate::cell::part::Family;
use crate::store::{DerivedKind, Grain, JobColumns, JobFact, Lease, Leasehold, Snapshot, Store, StoreError, ToldJob};

/// Marks of one transaction.
const MARKS_PER_STEP: usize = 2_000;
/// Jobs of one transaction, unless a single mark has more.
const JOBS_PER_STEP: usize = MARKED_JOBS_MAX / 5;
/// Transactions of one run.
const STEPS_PER_RUN: usize = 20;
/// A day's cells are made when nothing has touched it for this long.
const DAY_QUIET_US: i64 = 30 * SECOND_US;
/// How often all days are looked through for those that are not held.
const DAY_SEARCH_US: i64 = 60 * SECOND_US;
/// Days that are made in one run.
const DAYS_PER_RUN: usize = 4;

/// The worker of one process.
#[derive(Debug)]
pub struct JobWorker {
    store: Store,
    leasehold: Leasehold,
    /// Days that are not held, and when they were last touched.
    open_days: BTreeMap<i32, Instant>,
    searched_at: Option<Instant>,
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobWork {
    /// Jobs worked out.
    pub jobs: usize,
    /// Days held.
    pub days: usize,
}

impl JobWorker {
    /// A worker of this store; `holder` names the process.
    #[must_use]
    pub const fn new(store: Store, holder: Uuid) -> Self {
        Self { store, leasehold: Leasehold::new("jobs", holder), open_days: BTreeMap::new(), searched_at: None }
    }

    /// Works off what is marked and makes the cells of days that are quiet.
    ///
    /// # Errors
    /// [`StoreError`] from the database; what was done before stays done.
    pub async fn run_once(&mut self, now: Instant) -> Result<JobWork, StoreError> {
        self.run(now, DAY_QUIET_US, STEPS_PER_RUN, DAYS_PER_RUN).await
    }

    /// Works off everything and makes the cells of every closed day at once.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn run_to_end(&mut self, now: Instant) -> Result<JobWork, StoreError> {
        self.searched_at = None;
        self.run(now, 0, usize::MAX, usize::MAX).await
    }

    async fn run(&mut self, now: Instant, quiet_us: i64, steps: usize, days: usize) -> Result<JobWork, StoreError> {
        let mut done = JobWork::default();
        for _ in 0..steps {
            let Some(jobs) = self.work_off(now).await? else { break };
            done.jobs += jobs;
        }
        self.search_days(now).await?;
        done.days = self.hold_quiet(now, quiet_us, days).await?;
        self.forget_updates(now).await?;
        Ok(done)
    }

    /// Gives the right to work back, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn release(&mut self) -> Result<(), StoreError> {
        self.leasehold.release(&self.store).await
    }

    /// The right to work; none while another process has it.
    async fn lease(&mut self) -> Result<Option<Lease>, StoreError> {
        // A run may take longer than the lease.
        self.leasehold.hold(&self.store, self.store.clock().now()).await
    }

    /// Works off some marks; the number of jobs, none when there was nothing to do or another process does it.
    async fn work_off(&mut self, now: Instant) -> Result<Option<usize>, StoreError> {
        if self.store.snapshot().await?.job_mark_list(1, 1).await?.seqs.is_empty() {
            return Ok(None);
        }
        let Some(lease) = self.lease().await? else { return Ok(None) };
        // Taken under the lease: what the last holder wrote is in it.
        let snapshot = self.store.snapshot().await?;
        let marks = snapshot.job_mark_list(MARKS_PER_STEP, JOBS_PER_STEP).await?;
        let worked = work_out(&snapshot, &marks.keys).await?;
        // Days whose executions are gone stay as they were counted.
        let derivable = snapshot.kept().facts_since.day();
        drop(snapshot);
        let told: Vec<ToldJob> = worked.jobs.into_iter().filter(|history| history.is_told).map(|history| history.job).collect();
        let mut days = worked.days;
        days.extend(marks.days);
        days.retain(|day| *day >= derivable);
        let mut tx = self.store.begin_write().await?;
        self.check(&mut tx, lease).await?;
        tx.job_replace(&told).await?;
        tx.derived_day_drop(DerivedKind::Jobs, &days).await?;
        tx.dirty_delete(&marks.seqs).await?;
        tx.commit().await?;
        self.open_days.extend(days.into_iter().map(|day| (day, now)));
        Ok(Some(marks.keys.len()))
    }

    /// Forgets which jobs were changed long ago.
    async fn forget_updates(&mut self, now: Instant) -> Result<(), StoreError> {
        if !is_forgetting_due(&self.store.snapshot().await?, now).await? {
            return Ok(());
        }
        let Some(lease) = self.lease().await? else { return Ok(()) };
        let mut tx = self.store.begin_write().await?;
        self.check(&mut tx, lease).await?;
        forget(&mut tx, now).await?;
        tx.commit().await
    }

    /// Whoever has lost the lease asks for it anew before it works on.
    async fn check(&mut self, tx: &mut crate::store::WriteTx, lease: Lease) -> Result<(), StoreError> {
        tx.lease_check(lease).await.inspect_err(|_| self.leasehold.doubt())
    }

    /// Looks for closed days with executions whose cells are not held.
    async fn search_days(&mut self, now: Instant) -> Result<(), StoreError> {
        if self.searched_at.is_some_and(|at| now.0 - at.0 < DAY_SEARCH_US) {
            return Ok(());
        }
        self.searched_at = Some(now);
        let snapshot = self.store.snapshot().await?;
        let held = snapshot.derived_day_list(DerivedKind::Jobs, i32::MIN, now.day()).await?;
        let mut from = snapshot.kept().facts_since.day();
        self.open_days.retain(|day, _| *day >= from);
        while let Some(day) = snapshot.execution_day_from(from).await?.filter(|day| *day < now.day()) {
            if !held.contains(&day) {
                self.open_days.entry(day).or_insert(Instant(0));
            }
            from = day + 1;
        }
        Ok(())
    }

    async fn hold_quiet(&mut self, now: Instant, quiet_us: i64, most: usize) -> Result<usize, StoreError> {
        let is_due = |(day, touched_at): &(&i32, &Instant)| **day < now.day() && now.0 - touched_at.0 >= quiet_us;
        let due: Vec<i32> = self.open_days.iter().filter(is_due).map(|(day, _)| *day).take(most).collect();
        if due.is_empty() {
            return Ok(0);
        }
        let Some(lease) = self.lease().await? else {
            // Whoever has it finds them, too.
            self.open_days.clear();
            return Ok(0);
        };
        let mut held = 0;
        for day in due {
            let snapshot = self.store.snapshot().await?;
            if day < snapshot.kept().facts_since.day() {
                self.open_days.remove(&day);
                continue;
            }
            let pending = match Pending::read(&snapshot).await {
                Ok(pending) => pending,
                // Marks come first.
                Err(PendingError::TooMany | PendingError::TooManyRunning) => break,
                Err(PendingError::Store(error)) => return Err(error),
            };
            if pending.touches(day) {
                self.open_days.insert(day, now);
                continue;
            }
            let blocks = day_blocks(&snapshot, day).await?;
            drop(snapshot);
            let mut tx = self.store.begin_write().await?;
            self.check(&mut tx, lease).await?;
            for (family, parts) in blocks {
                tx.cell_replace(family, Grain::Day, day, parts).await?;
            }
            tx.derived_day_hold(DerivedKind::Jobs, day).await?;
            tx.commit().await?;
            self.open_days.remove(&day);
            held += 1;
        }
        Ok(held)
    }
}

type Blocks = Vec<(Family, Vec<(crate::cell::part::Part, Vec<u8>)>)>;

/// The cells of a day on which nothing is marked.
async fn day_blocks(snapshot: &Snapshot, day: i32) -> Result<Blocks, StoreError> {
    let start = i64::from(day) * DAY_US;
    let columns = JobColumns { caller: true, vm: true, queue: true };
    let mut builders = Family::OF_JOBS.map(BlockBuilder::new);
    for hour in Window::of(start, start + DAY_US).tiles(Step::Hour) {
        let facts: Vec<JobFact> = snapshot.job_fact_stream(hour, columns).await?.try_collect().await?;
        for builder in &mut builders {
            facts.iter().for_each(|fact| builder.add(fact));
        }
    }
    Ok(Family::OF_JOBS.into_iter().zip(builders.map(BlockBuilder::finish)).collect())
}
