//! What a snapshot still has marked, worked out.
//!
//! Invariant: with it, an answer from the table, single executions and day cells is what the facts of the snapshot say.
//! Must not know: who works marks off.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_entity::value::time::{Instant, Window};
use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use super::history::{History, continued, history, reaches_before};
use crate::store::{Attempt, DerivedKind, JobChange, JobFact, JobMarks, Snapshot, StoreError, ToldJob};

/// Jobs that an answer works out for itself; the worker keeps the marks far below.
pub const MARKED_JOBS_MAX: usize = 100_000;
/// Jobs that run at once, of which an answer still tells which slots they hold.
pub const RUNNING_JOBS_MAX: usize = 100_000;
/// Marks that an answer reads.
const MARKS_MAX: usize = 20_000;
/// Jobs whose facts are held at a time.
const JOBS_PER_STEP: usize = 2_000;

/// Why marked jobs were not worked out.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    /// There are too many.
    #[error("more than {MARKED_JOBS_MAX} jobs have arrived that have not been worked out yet: ask again later")]
    TooMany,
    /// Too many run at once.
    #[error("more than {RUNNING_JOBS_MAX} jobs are running: ask about hours that are older than a day")]
    TooManyRunning,
    /// The store failed.
    #[error("cannot read jobs")]
    Store(#[from] StoreError),
}

/// Jobs worked out from their facts, and the days on which they ever counted or will.
#[derive(Clone, Debug, Default)]
pub struct Worked {
    /// The jobs; a marked job of which nothing is left is absent.
    pub jobs: Vec<History>,
    /// Days of all their attempts.
    pub days: BTreeSet<i32>,
}

/// Works jobs out. In steps, so that only the results are held.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn work_out(snapshot: &Snapshot, keys: &[Uuid]) -> Result<Worked, StoreError> {
    let mut worked = Worked::default();
    for step in keys.chunks(JOBS_PER_STEP) {
        let mut told: BTreeMap<Uuid, (Vec<Attempt>, Vec<JobChange>)> = BTreeMap::new();
        for attempt in snapshot.job_attempt_list(step).await? {
            told.entry(attempt.job_key).or_default().0.push(attempt);
        }
        for change in snapshot.job_change_list(step).await? {
            told.entry(change.job_key).or_default().1.push(change);
        }
        let mut cut = cut_jobs(snapshot, told.keys().copied()).await?;
        for (key, (attempts, changes)) in told {
            worked.days.extend(attempts.iter().map(|attempt| attempt.finished_at.day()));
            let Some(left) = history(key, &attempts, &changes) else { continue };
            worked.jobs.push(match cut.remove(&key) {
                Some(stored) => History { job: continued(stored, left.job, &attempts), is_told: true },
                None => left,
            });
        }
    }
    Ok(worked)
}

/// Jobs as the table has them, where some of what they were made of may be gone.
async fn cut_jobs(snapshot: &Snapshot, keys: impl Iterator<Item = Uuid>) -> Result<FxHashMap<Uuid, ToldJob>, StoreError> {
    let since = snapshot.kept().facts_since;
    if since == Instant(0) {
        return Ok(FxHashMap::default());
    }
    let stored = snapshot.told_job_list(&keys.collect::<Vec<_>>()).await?;
    Ok(stored.into_iter().filter(|told| reaches_before(told, since)).map(|told| (told.job.key, told)).collect())
}

/// What is marked in one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    keys: FxHashSet<Uuid>,
    /// The marked jobs.
    pub jobs: Vec<History>,
    /// As they are counted, by the end of their last attempt.
    facts: Vec<JobFact>,
    days: BTreeSet<i32>,
}

impl Pending {
    /// Works out everything that the snapshot has marked.
    ///
    /// # Errors
    /// [`PendingError::TooMany`] when that would take too long; what the store says.
    pub async fn read(snapshot: &Snapshot) -> Result<Self, PendingError> {
        let JobMarks { keys, mut days, has_more, .. } = snapshot.job_mark_list(MARKS_MAX, MARKED_JOBS_MAX).await?;
        if has_more {
            return Err(PendingError::TooMany);
        }
        let worked = work_out(snapshot, &keys).await?;
        days.extend(worked.days);
        let mut facts: Vec<JobFact> = worked.jobs.iter().filter_map(|history| history.job.fact.clone()).collect();
        facts.sort_unstable_by_key(|fact| (fact.finished_at, fact.key));
        Ok(Self { keys: keys.into_iter().collect(), jobs: worked.jobs, facts, days })
    }

    /// Whether what the table or an execution says of this job may not be so.
    #[must_use]
    pub fn holds(&self, key: &Uuid) -> bool {
        self.keys.contains(key)
    }

    /// Whether the day's cells may not be what the facts say.
    #[must_use]
    pub fn touches(&self, day: i32) -> bool {
        self.days.contains(&day)
    }

    /// Whether anything is marked on a day before this one.
    #[must_use]
    pub fn touches_before(&self, day: i32) -> bool {
        self.days.first().is_some_and(|first| *first < day)
    }

    /// Marked jobs whose last attempt finished in the window.
    #[must_use]
    pub fn facts(&self, window: Window) -> &[JobFact] {
        let before = |at: Instant| self.facts.partition_point(|fact| fact.finished_at < at);
        &self.facts[before(window.start)..before(window.end)]
    }

    /// Days in `from..=to` whose cells are what the facts say.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn held_days(&self, snapshot: &Snapshot, from: i32, to: i32) -> Result<BTreeSet<i32>, StoreError> {
        let held = snapshot.derived_day_list(DerivedKind::Jobs, from, to).await?;
        // Days whose executions are gone stay as they were counted; those that are not held had none.
        let derivable = snapshot.kept().facts_since.day();
        let dropped = from..derivable.min(to.saturating_add(1));
        Ok(held.into_iter().filter(|day| *day >= derivable && !self.touches(*day)).chain(dropped).collect())
    }
}

/// Jobs by their keys, from their facts.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn jobs(snapshot: &Snapshot, keys: &[Uuid]) -> Result<FxHashMap<Uuid, crate::store::Job>, StoreError> {
    let worked = work_out(snapshot, keys).await?;
    Ok(worked.jobs.into_iter().map(|history| (history.job.job.key, history.job.job)).collect())
}
