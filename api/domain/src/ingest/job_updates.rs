//! Which changes of jobs a commit tells.
//!
//! A change counts when nothing later of its job had been told before, and when it is another state or attempt than the job is in:
//! what arrives late, or says again what is known, changes nothing. Changes of one commit are told in the order in which they happened.
//! Must not know: who is told.

use std::collections::{HashMap, HashSet};

use plimsoll_entity::value::label::{JobState, Outcome};
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::event::{Execution, Job};
use super::job_marks::NamedByUuid;
use super::rows::{Identified, job_key};
use crate::job::history::Place;
use crate::store::{JobEntry, Kind, StoreError, Value, WriteTx, state_of};

const CHANGES: &str = "SELECT job_key, at, state, attempt, id FROM job_event WHERE job_key {in}";
const EXECUTIONS: &str = "SELECT job_key, finished_at, outcome, attempt, id FROM execution WHERE job_key {in}";

/// Something told of a job, or the latest of all.
#[derive(Clone, Copy)]
struct Told {
    place: Place,
    state: JobState,
    /// The highest attempt; 0 where none was told.
    attempt: i32,
}

impl Told {
    const fn of(at: Instant, state: JobState, attempt: i32, id: Uuid) -> Self {
        Self { place: Place::of(at, state, attempt, id), state, attempt }
    }

    /// Whether a job that was told this is told nothing new by `next`.
    fn says(&self, next: &Self) -> bool {
        self.place >= next.place || self.state == next.state && next.attempt <= self.attempt
    }

    /// The latest of both, with the higher attempt.
    fn join(&mut self, other: &Self) {
        let attempt = self.attempt.max(other.attempt);
        if self.place < other.place {
            *self = *other;
        }
        self.attempt = attempt;
    }
}

/// What this transaction tells of jobs, after its facts have been inserted and its number has been taken: every commit with a lower
/// number is seen then, so that two processes never tell a job in another order than they commit.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn entries(
    tx: &mut WriteTx,
    executions: &[Identified<'_, Execution>],
    jobs: &[Identified<'_, Job>],
    named_by_uuid: NamedByUuid,
) -> Result<Vec<JobEntry>, StoreError> {
    let mut told: Vec<(Told, JobEntry)> = Vec::with_capacity(executions.len() + jobs.len());
    for row in executions {
        let (event, key) = (row.event, job_key(row.event.job.as_deref(), row.event.id));
        let own = Told::of(event.finished_at, state_of(event.outcome), event.attempt, event.id);
        told.push((own, JobEntry { job_key: key, id: event.id, is_execution: true }));
    }
    for row in jobs {
        let (event, key) = (row.event, job_key(Some(&row.event.job), row.event.id));
        let own = Told::of(event.at, event.state, event.attempt.unwrap_or(0), event.id);
        told.push((own, JobEntry { job_key: key, id: event.id, is_execution: false }));
    }
    let mut latest = told_before(tx, &told, named_by_uuid).await?;
    told.sort_unstable_by_key(|(own, entry)| (own.place, entry.job_key));
    told.retain(|(own, entry)| {
        let is_news = latest.get(&entry.job_key).is_none_or(|before| !before.says(own));
        latest.entry(entry.job_key).and_modify(|known| known.join(own)).or_insert(*own);
        is_news
    });
    Ok(told.into_iter().map(|(_, entry)| entry).collect())
}

/// The latest that earlier transactions told of each job. Of an execution that is its own job nothing else can have been told.
async fn told_before(tx: &mut WriteTx, told: &[(Told, JobEntry)], named_by_uuid: NamedByUuid) -> Result<HashMap<Uuid, Told>, StoreError> {
    let is_alone = |entry: &JobEntry| entry.is_execution && entry.id == entry.job_key && !named_by_uuid.is_known();
    let mut keys: Vec<Uuid> = told.iter().filter(|(_, entry)| !is_alone(entry)).map(|(_, entry)| entry.job_key).collect();
    keys.sort_unstable();
    keys.dedup();
    let keys: Vec<Value> = keys.into_iter().map(Value::Uuid).collect();
    let own: HashSet<(bool, Uuid)> = told.iter().map(|(_, entry)| (entry.is_execution, entry.id)).collect();
    let kinds = [Kind::Uuid, Kind::Int, Kind::Int, Kind::Int, Kind::Uuid];
    let mut latest: HashMap<Uuid, Told> = HashMap::new();
    for (sql, is_execution) in [(CHANGES, false), (EXECUTIONS, true)] {
        for row in tx.fetch_in(sql, &[], &keys, &kinds).await? {
            let (key, id, told) = read(&row, is_execution).ok_or(StoreError::Inconsistent("job"))?;
            if !own.contains(&(is_execution, id)) {
                latest.entry(key).and_modify(|known| known.join(&told)).or_insert(told);
            }
        }
    }
    Ok(latest)
}

fn read(row: &[Value], is_execution: bool) -> Option<(Uuid, Uuid, Told)> {
    let [Value::Uuid(key), Value::Int(at), Value::Int(code), attempt, Value::Uuid(id)] = row else { return None };
    let code = i16::try_from(*code).ok()?;
    let state = if is_execution { state_of(Outcome::from_code(code)?) } else { JobState::from_code(code)? };
    let attempt = if let Value::Int(attempt) = attempt { i32::try_from(*attempt).ok()? } else { 0 };
    Some((*key, *id, Told::of(Instant(*at), state, attempt, *id)))
}
