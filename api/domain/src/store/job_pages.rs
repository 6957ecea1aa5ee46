//! Jobs, a page at a time, each kind by itself: those of the table by state, and single executions.
//!
//! Invariant: the order is total: latest change, newest first, then key. Must not know: what a caller may see, which marks wait.

use plimsoll_entity::value::label::{JobState, Outcome};
use plimsoll_entity::value::time::Instant;
use sea_orm::{QueryResult, Value};

use super::jobs::{IDS, Job, id, ids, instant, outcome, state};
use super::lists::{NewestFirst, Page};
use super::{Snapshot, StoreError};

/// Jobs that are read in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobSource {
    /// Told jobs in a state.
    Told(JobState),
    /// Single executions that ended in one of these ways.
    Single(Vec<Outcome>),
}

/// Ids that application, user, department, project and machine of the latest change must be among; none: any.
pub type JobIds = [Option<Vec<u32>>; 5];

/// The state of a job whose only change is the end of an execution.
#[must_use]
pub const fn state_of(outcome: Outcome) -> JobState {
    match outcome {
        Outcome::Succeeded => JobState::Succeeded,
        Outcome::Failed => JobState::Failed,
        Outcome::Cancelled => JobState::Cancelled,
    }
}

/// A condition on numbers that are known to be harmless.
fn among(column: &str, numbers: impl Iterator<Item = i64>) -> String {
    let list = numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(", ");
    if list.is_empty() { " AND 1 = 0".to_owned() } else { format!(" AND {column} IN ({list})") }
}

/// The statement of a page of what changed since an instant, and its values.
pub(super) fn statement(source: &JobSource, wanted: &JobIds, page: &Page<NewestFirst>, since: Instant) -> (String, Vec<Value>) {
    let names = IDS.join(", ");
    let (at, mut sql) = match source {
        JobSource::Told(state) => (
            "changed_at",
            format!(
                "SELECT job_key, job, state, changed_at, attempts, combination_id, {names}, queued_at, started_at, finished_at FROM job \
                 WHERE state = {}",
                state.code()
            ),
        ),
        JobSource::Single(outcomes) => (
            "finished_at",
            format!(
                "SELECT job_key, job, outcome, finished_at, attempt, combination_id, {names}, queued_at, started_at, finished_at FROM execution \
                 WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.job_key = execution.job_key){}",
                if outcomes.len() == Outcome::ALL.len() {
                    String::new()
                } else {
                    among("outcome", outcomes.iter().map(|outcome| outcome.code().into()))
                }
            ),
        ),
    };
    for (column, ids) in IDS.into_iter().zip(wanted) {
        if let Some(ids) = ids {
            sql.push_str(&among(column, ids.iter().map(|id| i64::from(*id))));
        }
    }
    if since > Instant(0) {
        sql.push_str(&format!(" AND {at} >= {}", since.0));
    }
    let mut values: Vec<Value> = Vec::new();
    for (key, narrow, further, next) in [(&page.after, "<=", "<", ">"), (&page.before, ">=", ">", "<")] {
        if let Some((instant, uuid)) = key {
            // The first bound is what an index is read by; the rest is tested row by row.
            sql.push_str(&format!(" AND {at} {narrow} ? AND ({at} {further} ? OR ({at} = ? AND job_key {next} ?))"));
            values.extend([instant.0.into(), instant.0.into(), instant.0.into(), (*uuid).into()]);
        }
    }
    if values.is_empty() {
        // Then every job is on the page's side: the bound only says by which index to read.
        sql.push_str(&format!(" AND {at} <= ?"));
        values.push(i64::MAX.into());
    }
    let (by_at, by_key) = if page.backwards { ("ASC", "DESC") } else { ("DESC", "ASC") };
    sql.push_str(&format!(" ORDER BY {at} {by_at}, job_key {by_key} LIMIT {}", page.limit));
    (sql, values)
}

fn job(row: &QueryResult, source: &JobSource) -> Result<Job, StoreError> {
    let state = match source {
        JobSource::Told(_) => state(row, 2)?,
        JobSource::Single(_) => state_of(outcome(row, 2)?),
    };
    let read = || {
        Ok(Job {
            key: row.try_get_by_index(0)?,
            name: row.try_get_by_index(1)?,
            changed_at: Instant(row.try_get_by_index(3)?),
            state,
            attempts: row.try_get_by_index(4)?,
            combination_id: id(row, 5)?,
            ids: ids(row, 6)?,
            queued_at: instant(row, 11)?,
            started_at: instant(row, 12)?,
            finished_at: instant(row, 13)?,
        })
    };
    read().map_err(StoreError::read)
}

impl Snapshot {
    /// Jobs of one source by their latest change, newest first, then key; backwards: the last ones of the page, oldest first.
    /// They end where facts do: what changed before those are kept is not among them, whether it is told or single.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn job_page(&self, source: &JobSource, wanted: &JobIds, page: &Page<NewestFirst>) -> Result<Vec<Job>, StoreError> {
        let (sql, values) = statement(source, wanted, page, self.kept().facts_since);
        self.rows(&sql, values).await?.iter().map(|row| job(row, source)).collect()
    }
}
