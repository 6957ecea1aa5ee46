//! Jobs that run on a machine and have no execution for it yet, as they hold slots (contract, "Money", 3).
//!
//! Which execution is that of a change is told by its attempt or its end, as concurrency has it (`Snapshot::open_job_list`).
//! Invariant: they hold from the change to RUNNING on, in hours that are not older than a day; older hours wait for the execution.
//! Must not know: how slots are shared.

use std::collections::BTreeMap;

use plimsoll_entity::value::label::JobState;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::pending::{Pending, PendingError, RUNNING_JOBS_MAX};
use crate::cell::part::{KEY_WIDTH, KeyColumn};
use crate::store::{Job, JobChange, JobIds, JobSource, Page, Snapshot, StoreError};
use crate::timeline::sweep::Holder;

/// Jobs read at a time.
const JOBS_PER_PAGE: u64 = 1_000;

/// Since when jobs hold slots without an execution.
#[must_use]
pub const fn since(now: Instant) -> Instant {
    Instant((now.0 - DAY_US).div_euclid(HOUR_US) * HOUR_US)
}

/// The running jobs of each machine as they hold its slots at `now`.
///
/// # Errors
/// [`PendingError`] when too many run or are marked; what the store says.
pub async fn running(snapshot: &Snapshot, now: Instant) -> Result<BTreeMap<u32, Vec<Holder>>, PendingError> {
    let mut jobs: FxHashMap<Uuid, Job> = FxHashMap::default();
    let pending = Pending::read(snapshot).await?;
    let mut page = Page { after: None, before: None, backwards: false, limit: JOBS_PER_PAGE };
    loop {
        let read = snapshot.job_page(&JobSource::Told(JobState::Running), &JobIds::default(), &page).await?;
        page.after = read.last().map(|job| (job.changed_at, job.key)).filter(|_| read.len() as u64 == page.limit);
        jobs.extend(read.into_iter().filter(|job| !pending.holds(&job.key)).map(|job| (job.key, job)));
        if jobs.len() > RUNNING_JOBS_MAX {
            return Err(PendingError::TooManyRunning);
        }
        if page.after.is_none() {
            break;
        }
    }
    let marked = pending.jobs.into_iter().map(|history| history.job.job).filter(|job| job.state == JobState::Running);
    jobs.extend(marked.map(|job| (job.key, job)));
    jobs.retain(|_, Job { ids: [.., vm], .. }| *vm != 0);
    Ok(holders(jobs, snapshot, since(now)).await?)
}

async fn holders(jobs: FxHashMap<Uuid, Job>, snapshot: &Snapshot, since: Instant) -> Result<BTreeMap<u32, Vec<Holder>>, StoreError> {
    let keys: Vec<Uuid> = jobs.keys().copied().collect();
    let mut changes: FxHashMap<Uuid, JobChange> = FxHashMap::default();
    for change in snapshot.job_change_list(&keys).await? {
        let is_latest = jobs.get(&change.job_key).is_some_and(|job| change.state == JobState::Running && change.at == job.changed_at);
        let order = |change: &JobChange| (change.attempt.unwrap_or(0), change.id);
        if is_latest && changes.get(&change.job_key).is_none_or(|known| order(known) < order(&change)) {
            changes.insert(change.job_key, change);
        }
    }
    // The execution has arrived, whatever the clocks of those who told of it say.
    for attempt in snapshot.job_attempt_list(&keys).await? {
        let is_of = |change: &JobChange| attempt.finished_at >= change.at || attempt.attempt >= change.attempt.unwrap_or(1);
        if changes.get(&attempt.job_key).is_some_and(is_of) {
            changes.remove(&attempt.job_key);
        }
    }
    let mut holders: BTreeMap<u32, Vec<Holder>> = BTreeMap::new();
    for change in changes.into_values() {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::Combination as usize] = change.combination_id;
        let columns = [KeyColumn::Application, KeyColumn::User, KeyColumn::Department, KeyColumn::Project, KeyColumn::Vm];
        columns.into_iter().zip(change.ids).for_each(|(column, id)| key[column as usize] = id);
        let holder = Holder {
            id: change.job_key,
            started_at: change.at.max(since),
            // Open: an hour is cut at the instant of the question.
            finished_at: Instant(i64::MAX),
            gpus: change.gpus,
            key,
            phases_us: [0; 2],
        };
        holders.entry(key[KeyColumn::Vm as usize]).or_default().push(holder);
    }
    holders.values_mut().for_each(|of_machine| of_machine.sort_by_key(|holder| (holder.started_at, holder.id)));
    Ok(holders)
}
