//! Each change of a job's state, in the order of commits.
//!
//! Invariants: whoever goes on from a position misses nothing and gets nothing twice, whatever is committed meanwhile; a job is
//! shown as the change left it, with what is known by now of the time before. Must not know: GraphQL, cursors, who waits.

use plimsoll_entity::value::label::JobState;
use plimsoll_entity::value::time::{DAY_US, Instant};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::history::{Place, history};
use super::listing::{Wanted, matching};
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::breakdown::filter::Filter;
use crate::live::ordered::{Position, Step};
use crate::store::{Attempt, Job, JobChange, JobEntry, Snapshot, StoreError, WriteTx};

/// How long it is known what commits changed.
pub const KNOWN_US: i64 = 7 * DAY_US;
/// What is forgotten at a time lies at least this far beyond, so that it is not done for each commit.
const FORGET_EVERY_US: i64 = DAY_US / 24;
/// Rows that one step reads.
const ROWS_PER_STEP: u64 = 16;
/// Changes that one step looks at.
const ENTRIES_PER_STEP: usize = 500;

/// The next changes behind a position; `states` none: in any.
///
/// # Errors
/// [`BreakdownError::Question`] when it is no longer known what followed, or never was; what the store says.
pub async fn updates(
    reading: &Reading,
    filter: &Filter,
    states: Option<&[JobState]>,
    after: Position,
) -> Result<Step<Job>, BreakdownError> {
    let snapshot = &reading.snapshot;
    let newest = snapshot.commit_number().await?;
    let (forgotten, _) = snapshot.job_updates_forgotten().await?;
    if after < Position::behind(forgotten) {
        return Err(unknown(format!(
            "after is too old: changes are known for {} days; ask for jobs, then subscribe without it",
            KNOWN_US / DAY_US
        )));
    }
    if after.number > newest {
        return Err(unknown("after is no cursor of jobUpdates of this server".to_owned()));
    }
    let rows = snapshot.job_update_list(after.number, after.index, ROWS_PER_STEP).await?;
    let is_last = (rows.len() as u64) < ROWS_PER_STEP;
    let placed = rows
        .iter()
        .flat_map(|row| (row.first_index..).zip(&row.entries).map(|(index, entry)| (Position { number: row.number, index }, *entry)));
    let entries: Vec<(Position, JobEntry)> = placed.filter(|(position, _)| *position > after).take(ENTRIES_PER_STEP).collect();
    let is_end = is_last && entries.len() < ENTRIES_PER_STEP;
    let reached = match entries.last() {
        Some((position, _)) if !is_end => *position,
        _ => Position::behind(newest),
    };
    let jobs = changed(reading, entries).await?;
    let wanted = Wanted::of(filter, states);
    let jobs = jobs.into_iter().filter(|(_, job)| wanted.fits(job)).collect();
    Ok(Step { updates: matching(reading, filter, jobs, |(_, job)| job).await?, reached, is_end })
}

fn unknown(message: String) -> BreakdownError {
    BreakdownError::Question { field: "after", message }
}

/// Jobs as these changes left them.
async fn changed(reading: &Reading, entries: Vec<(Position, JobEntry)>) -> Result<Vec<(Position, Job)>, StoreError> {
    let mut keys: Vec<Uuid> = entries.iter().map(|(_, entry)| entry.job_key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut told: FxHashMap<Uuid, Told> = FxHashMap::default();
    for attempt in reading.snapshot.job_attempt_list(&keys).await? {
        told.entry(attempt.job_key).or_default().attempts.push(attempt);
    }
    for change in reading.snapshot.job_change_list(&keys).await? {
        told.entry(change.job_key).or_default().changes.push(change);
    }
    let job = |(position, entry): (Position, JobEntry)| Some((position, told.get(&entry.job_key)?.after(entry)?));
    Ok(entries.into_iter().filter_map(job).collect())
}

/// Everything that was told of a job.
#[derive(Debug, Default)]
struct Told {
    attempts: Vec<Attempt>,
    changes: Vec<JobChange>,
}

impl Told {
    /// The job after a change; none when the change is gone.
    fn after(&self, entry: JobEntry) -> Option<Job> {
        let place = if entry.is_execution {
            self.attempts.iter().find(|attempt| attempt.id == entry.id).map(Place::from)
        } else {
            self.changes.iter().find(|change| change.id == entry.id).map(Place::from)
        }?;
        let attempts: Vec<Attempt> = self.attempts.iter().filter(|attempt| Place::from(*attempt) <= place).cloned().collect();
        let changes: Vec<JobChange> = self.changes.iter().filter(|change| Place::from(*change) <= place).cloned().collect();
        history(entry.job_key, &attempts, &changes).map(|history| history.job.job)
    }
}

/// Whether so much is to be forgotten that it is worth a transaction.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn is_forgetting_due(snapshot: &Snapshot, now: Instant) -> Result<bool, StoreError> {
    let (_, oldest) = snapshot.job_updates_forgotten().await?;
    Ok(oldest.is_some_and(|oldest| now.0 - oldest.0 >= KNOWN_US + FORGET_EVERY_US))
}

/// Forgets what commits changed long ago.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn forget(tx: &mut WriteTx, now: Instant) -> Result<(), StoreError> {
    tx.job_update_forget(Instant(now.0 - KNOWN_US)).await
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::label::Outcome;

    use super::*;

    fn change(id: u128, at: i64, state: JobState, attempt: Option<i32>) -> JobChange {
        JobChange {
            job_key: Uuid::nil(),
            id: Uuid::from_u128(id),
            job: "a".to_owned(),
            at: Instant(at),
            state,
            attempt,
            combination_id: 1,
            ids: [0; 5],
            gpus: Vec::new(),
        }
    }

    fn attempt(id: u128, number: i32, finished_at: i64, outcome: Outcome) -> Attempt {
        Attempt {
            job_key: Uuid::nil(),
            id: Uuid::from_u128(id),
            job: Some("a".to_owned()),
            attempt: number,
            finished_at: Instant(finished_at),
            started_at: Instant(finished_at - 5),
            queued_at: None,
            outcome,
            error_type_id: 0,
            combination_id: 1,
            ids: [0; 5],
        }
    }

    #[test]
    fn a_job_is_shown_as_each_change_left_it() {
        let told = Told {
            attempts: vec![attempt(10, 1, 30, Outcome::Failed), attempt(11, 2, 60, Outcome::Failed)],
            changes: vec![
                change(1, 10, JobState::Queued, None),
                change(2, 20, JobState::Running, None),
                change(4, 40, JobState::Running, Some(2)),
            ],
        };
        let entry = |id: u128, is_execution| JobEntry { job_key: Uuid::nil(), id: Uuid::from_u128(id), is_execution };
        let shown = [(1, false), (2, false), (10, true), (4, false), (11, true), (99, true)]
            .map(|(id, is_execution)| told.after(entry(id, is_execution)).map(|job| (job.state, job.attempts, job.finished_at)));
        assert_eq!(
            shown,
            [
                Some((JobState::Queued, 0, None)),
                Some((JobState::Running, 0, None)),
                Some((JobState::Failed, 1, Some(Instant(30)))),
                Some((JobState::Running, 2, None)),
                Some((JobState::Failed, 2, Some(Instant(60)))),
                None,
            ]
        );
    }
}
