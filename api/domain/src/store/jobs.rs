//! Jobs: their attempts and changes as facts, and the table of those that are more than one execution.
//!
//! A job stands in `job` once it has a change of state or several executions (a **told** job); every other job is its only
//! execution. Invariant: rows of `job` are only replaced by whoever holds the lease of jobs, and are what the facts say but for the
//! jobs whose marks still wait. Must not know: how a job follows from its facts, what the figures mean.

use futures_util::{Stream, StreamExt as _};
use plimsoll_entity::value::label::{JobState, Outcome};
use plimsoll_entity::value::time::{Instant, Window};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, StreamTrait};
use uuid::Uuid;

use super::dialect::render;
use super::facts::decode_gpus;
use super::{ColumnData, Rows, Snapshot, StoreError, WriteTx};

/// Keys of one statement.
const KEYS_PER_READ: usize = 500;

/// A job, as lists show it. Ids of names are 0 where unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Key.
    pub key: Uuid,
    /// Its name; none where it has none, so that it is called by its key.
    pub name: Option<String>,
    /// When it changed last.
    pub changed_at: Instant,
    /// State of the latest change.
    pub state: JobState,
    /// Executions so far; at least the highest attempt that was told.
    pub attempts: i32,
    /// Of the latest change.
    pub combination_id: u32,
    /// Of the latest change: application, user, department, project, machine.
    pub ids: [u32; 5],
    /// When the first attempt was queued.
    pub queued_at: Option<Instant>,
    /// When the first attempt started.
    pub started_at: Option<Instant>,
    /// When the last attempt finished; none while the job goes on.
    pub finished_at: Option<Instant>,
}

/// A job as the figures count it: when its last attempt finished, with that attempt's dimensions. Ids of names are 0 where unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFact {
    /// Key.
    pub key: Uuid,
    /// End of the last attempt.
    pub finished_at: Instant,
    /// Combination.
    pub combination_id: u32,
    /// Application, user, department, project, machine.
    pub ids: [u32; 5],
    /// How the last attempt ended.
    pub outcome: Outcome,
    /// Error type of the last attempt.
    pub error_type_id: u32,
    /// Executions so far.
    pub executions: u32,
    /// Time that the first attempt waited; none where not told.
    pub queue_us: Option<i64>,
    /// Sum of the durations of all attempts.
    pub processing_us: i64,
}

/// Which columns of jobs a question reads; the others stay 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobColumns {
    /// Application, user, department, project.
    pub caller: bool,
    /// Machine.
    pub vm: bool,
    /// Time that the first attempt waited.
    pub queue: bool,
}

/// A told job: the row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldJob {
    /// As lists show it.
    pub job: Job,
    /// As the figures count it; none without an execution.
    pub fact: Option<JobFact>,
    /// What has been counted; none without an execution.
    pub counted: Option<Counted>,
}

/// How far the attempts of a job have been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Number of the last attempt.
    pub last_attempt: i32,
    /// The latest end of all attempts.
    pub until: Instant,
}

/// An execution as an attempt of its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Key of the job.
    pub job_key: Uuid,
    /// Key.
    pub id: Uuid,
    /// The job's name, where it told one.
    pub job: Option<String>,
    /// Which attempt, from 1.
    pub attempt: i32,
    /// End.
    pub finished_at: Instant,
    /// Start.
    pub started_at: Instant,
    /// When it was queued.
    pub queued_at: Option<Instant>,
    /// How it ended.
    pub outcome: Outcome,
    /// Error type.
    pub error_type_id: u32,
    /// Combination.
    pub combination_id: u32,
    /// Application, user, department, project, machine.
    pub ids: [u32; 5],
}

/// A change of a job's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobChange {
    /// Key of the job.
    pub job_key: Uuid,
    /// Key.
    pub id: Uuid,
    /// The job's name.
    pub job: String,
    /// When.
    pub at: Instant,
    /// The new state.
    pub state: JobState,
    /// Which attempt, where told.
    pub attempt: Option<i32>,
    /// Combination.
    pub combination_id: u32,
    /// Application, user, department, project, machine.
    pub ids: [u32; 5],
    /// GPU indices named, ascending.
    pub gpus: Vec<u16>,
}

pub(super) const IDS: [&str; 5] = ["application_id", "user_id", "department_id", "project_id", "vm_id"];

/// The same of the last attempt.
const LAST_IDS: [&str; 5] = ["last_application_id", "last_user_id", "last_department_id", "last_project_id", "last_vm_id"];

pub(super) fn id(row: &QueryResult, at: usize) -> Result<u32, DbErr> {
    row.try_get_by_index::<Option<i32>>(at).map(|id| id.map_or(0, |id| id as u32))
}

pub(super) fn ids(row: &QueryResult, at: usize) -> Result<[u32; 5], DbErr> {
    Ok([id(row, at)?, id(row, at + 1)?, id(row, at + 2)?, id(row, at + 3)?, id(row, at + 4)?])
}

pub(super) fn instant(row: &QueryResult, at: usize) -> Result<Option<Instant>, DbErr> {
    row.try_get_by_index::<Option<i64>>(at).map(|at| at.map(Instant))
}

pub(super) fn outcome(row: &QueryResult, at: usize) -> Result<Outcome, StoreError> {
    let code = row.try_get_by_index(at).map_err(StoreError::read)?;
    Outcome::from_code(code).ok_or(StoreError::Inconsistent("outcome"))
}

pub(super) fn state(row: &QueryResult, at: usize) -> Result<JobState, StoreError> {
    let code = row.try_get_by_index(at).map_err(StoreError::read)?;
    JobState::from_code(code).ok_or(StoreError::Inconsistent("state of a job"))
}

fn attempt(row: &QueryResult) -> Result<Attempt, StoreError> {
    let read = |outcome| {
        Ok(Attempt {
            job_key: row.try_get_by_index(0)?,
            id: row.try_get_by_index(1)?,
            job: row.try_get_by_index(2)?,
            attempt: row.try_get_by_index(3)?,
            finished_at: Instant(row.try_get_by_index(4)?),
            started_at: Instant(row.try_get_by_index(5)?),
            queued_at: instant(row, 6)?,
            outcome,
            error_type_id: id(row, 8)?,
            combination_id: id(row, 9)?,
            ids: ids(row, 10)?,
        })
    };
    read(outcome(row, 7)?).map_err(StoreError::read)
}

fn change(row: &QueryResult) -> Result<JobChange, StoreError> {
    let gpus: Option<Vec<u8>> = row.try_get_by_index(12).map_err(StoreError::read)?;
    let gpus = decode_gpus(gpus.as_deref())?;
    let read = |state| {
        Ok(JobChange {
            job_key: row.try_get_by_index(0)?,
            id: row.try_get_by_index(1)?,
            job: row.try_get_by_index(2)?,
            at: Instant(row.try_get_by_index(3)?),
            state,
            attempt: row.try_get_by_index(5)?,
            combination_id: id(row, 6)?,
            ids: ids(row, 7)?,
            gpus,
        })
    };
    read(state(row, 4)?).map_err(StoreError::read)
}

fn told_job(row: &QueryResult) -> Result<ToldJob, StoreError> {
    let state = state(row, 2)?;
    let finished_at = instant(row, 17).map_err(StoreError::read)?;
    let outcome = finished_at.map(|_| outcome(row, 18)).transpose()?;
    let read = || -> Result<ToldJob, DbErr> {
        let key = row.try_get_by_index(0)?;
        let job = Job {
            key,
            name: row.try_get_by_index(1)?,
            changed_at: Instant(row.try_get_by_index(3)?),
            state,
            attempts: row.try_get_by_index(4)?,
            combination_id: id(row, 5)?,
            ids: ids(row, 6)?,
            queued_at: instant(row, 11)?,
            started_at: instant(row, 12)?,
            finished_at: instant(row, 13)?,
        };
        let (Some(finished_at), Some(outcome)) = (finished_at, outcome) else { return Ok(ToldJob { job, fact: None, counted: None }) };
        let fact = JobFact {
            key,
            finished_at,
            combination_id: id(row, 19)?,
            ids: ids(row, 21)?,
            outcome,
            error_type_id: id(row, 20)?,
            executions: row.try_get_by_index::<i32>(14)? as u32,
            queue_us: row.try_get_by_index(16)?,
            processing_us: row.try_get_by_index(15)?,
        };
        let (last_attempt, until): (Option<i32>, Option<i64>) = (row.try_get_by_index(26)?, row.try_get_by_index(27)?);
        // A row from before this was kept knows of its last attempt alone.
        let counted = Counted { last_attempt: last_attempt.unwrap_or(1), until: until.map_or(finished_at, Instant) };
        Ok(ToldJob { job, fact: Some(fact), counted: Some(counted) })
    };
    read().map_err(StoreError::read)
}

impl JobColumns {
    fn of_executions(self) -> String {
        let mut sql = String::from("finished_at, job_key, combination_id, outcome, error_type_id, 1, finished_at - started_at");
        self.append(&mut sql, "", "started_at - queued_at");
        sql
    }

    fn of_jobs(self) -> String {
        let mut sql =
            String::from("last_finished_at, job_key, last_combination_id, last_outcome, last_error_type_id, executions, processing_us");
        self.append(&mut sql, "last_", "queue_us");
        sql
    }

    fn append(self, sql: &mut String, prefix: &str, queue: &str) {
        let wanted = |place: usize| if place < 4 { self.caller } else { self.vm };
        for name in IDS.into_iter().enumerate().filter(|(place, _)| wanted(*place)).map(|(_, name)| name) {
            sql.extend([", ", prefix, name]);
        }
        if self.queue {
            sql.extend([", ", queue]);
        }
    }
}

/// The statement that reads jobs as they are counted, and its values.
pub(super) fn fact_statement(window: Window, columns: JobColumns) -> (String, [sea_orm::Value; 4]) {
    let sql = format!(
        "SELECT {} FROM execution WHERE finished_at >= ? AND finished_at < ? \
         AND NOT EXISTS (SELECT 1 FROM job WHERE job.job_key = execution.job_key) \
         UNION ALL SELECT {} FROM job WHERE last_finished_at >= ? AND last_finished_at < ?",
        columns.of_executions(),
        columns.of_jobs()
    );
    (sql, [window.start.0, window.end.0, window.start.0, window.end.0].map(sea_orm::Value::from))
}

fn fact(row: &QueryResult, columns: JobColumns) -> Result<JobFact, StoreError> {
    let outcome = outcome(row, 3)?;
    let read = || -> Result<JobFact, DbErr> {
        let mut fact = JobFact {
            finished_at: Instant(row.try_get_by_index(0)?),
            key: row.try_get_by_index(1)?,
            combination_id: id(row, 2)?,
            ids: [0; 5],
            outcome,
            error_type_id: id(row, 4)?,
            executions: row.try_get_by_index::<i32>(5)? as u32,
            processing_us: row.try_get_by_index(6)?,
            queue_us: None,
        };
        let mut at = 7;
        for (place, named) in fact.ids.iter_mut().enumerate() {
            if if place < 4 { columns.caller } else { columns.vm } {
                *named = id(row, at)?;
                at += 1;
            }
        }
        if columns.queue {
            fact.queue_us = row.try_get_by_index(at)?;
        }
        Ok(fact)
    };
    read().map_err(StoreError::read)
}

impl Snapshot {
    /// Attempts of jobs.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn job_attempt_list(&self, keys: &[Uuid]) -> Result<Vec<Attempt>, StoreError> {
        let sql = format!(
            "SELECT job_key, id, job, attempt, finished_at, started_at, queued_at, outcome, error_type_id, combination_id, {} FROM execution",
            IDS.join(", ")
        );
        self.of_jobs(&sql, keys, attempt).await
    }

    /// Changes of jobs' states.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn job_change_list(&self, keys: &[Uuid]) -> Result<Vec<JobChange>, StoreError> {
        let sql = format!("SELECT job_key, id, job, at, state, attempt, combination_id, {}, gpus FROM job_event", IDS.join(", "));
        self.of_jobs(&sql, keys, change).await
    }

    /// Told jobs, as the table has them.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn told_job_list(&self, keys: &[Uuid]) -> Result<Vec<ToldJob>, StoreError> {
        let last = LAST_IDS.join(", ");
        let sql = format!(
            "SELECT job_key, job, state, changed_at, attempts, combination_id, {}, queued_at, started_at, finished_at, executions, \
             processing_us, queue_us, last_finished_at, last_outcome, last_combination_id, last_error_type_id, {last}, last_attempt, counted_until FROM job",
            IDS.join(", ")
        );
        self.of_jobs(&sql, keys, told_job).await
    }

    async fn of_jobs<T>(
        &self,
        select: &str,
        keys: &[Uuid],
        read: impl Fn(&QueryResult) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        for chunk in keys.chunks(KEYS_PER_READ) {
            let places = vec!["?"; chunk.len()].join(", ");
            let rows = self.rows(&format!("{select} WHERE job_key IN ({places})"), chunk.iter().map(|key| (*key).into()).collect()).await?;
            for row in &rows {
                found.push(read(row)?);
            }
        }
        Ok(found)
    }

    /// Jobs whose last attempt finished in the window, as the table and single executions have them.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn job_fact_stream(
        &self,
        window: Window,
        columns: JobColumns,
    ) -> Result<impl Stream<Item = Result<JobFact, StoreError>> + Send + '_, StoreError> {
        self.facts_from(window.start)?;
        let backend = ConnectionTrait::get_database_backend(self.tx());
        let (sql, values) = fact_statement(window, columns);
        let statement = Statement::from_sql_and_values(backend, render(&sql, backend), values);
        let rows = self.tx().stream_raw(statement).await.map_err(StoreError::read)?;
        Ok(rows.map(move |row| fact(&row.map_err(StoreError::read)?, columns)))
    }

    /// The day of the first execution that finished on this day or later.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_day_from(&self, day: i32) -> Result<Option<i32>, StoreError> {
        let from = i64::from(day) * plimsoll_entity::value::time::DAY_US;
        let rows = self.rows("SELECT MIN(finished_at) FROM execution WHERE finished_at >= ?", vec![from.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(instant(row, 0).map_err(StoreError::read)?.map(Instant::day))
    }
}

impl WriteTx {
    /// Replaces the rows of told jobs.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn job_replace(&mut self, jobs: &[ToldJob]) -> Result<(), StoreError> {
        let rows = job_rows(jobs);
        let sets: Vec<String> = rows.columns.iter().skip(1).map(|(name, _)| format!("{name} = excluded.{name}")).collect();
        self.insert(&rows, &format!("ON CONFLICT (job_key) DO UPDATE SET {}", sets.join(", "))).await.map(|_| ())
    }
}

fn job_rows(jobs: &[ToldJob]) -> Rows {
    let ints = |value: &dyn Fn(&ToldJob) -> Option<i64>| ColumnData::Ints(jobs.iter().map(value).collect());
    let nonzero = |id: u32| (id != 0).then_some(i64::from(id));
    let of_fact = |value: fn(&JobFact) -> Option<i64>| ints(&|told| told.fact.as_ref().and_then(value));
    let mut columns = vec![
        ("job_key", ColumnData::Uuids(jobs.iter().map(|told| Some(told.job.key)).collect())),
        ("job", ColumnData::Texts(jobs.iter().map(|told| told.job.name.clone()).collect())),
        ("changed_at", ints(&|told| Some(told.job.changed_at.0))),
        ("state", ints(&|told| Some(told.job.state.code().into()))),
        ("attempts", ints(&|told| Some(told.job.attempts.into()))),
        ("combination_id", ints(&|told| Some(told.job.combination_id.into()))),
        ("queued_at", ints(&|told| told.job.queued_at.map(|at| at.0))),
        ("started_at", ints(&|told| told.job.started_at.map(|at| at.0))),
        ("finished_at", ints(&|told| told.job.finished_at.map(|at| at.0))),
        ("executions", ints(&|told| Some(told.fact.as_ref().map_or(0, |fact| fact.executions.into())))),
        ("queue_us", of_fact(|fact| fact.queue_us)),
        ("processing_us", ints(&|told| Some(told.fact.as_ref().map_or(0, |fact| fact.processing_us)))),
        ("last_finished_at", of_fact(|fact| Some(fact.finished_at.0))),
        ("last_attempt", ints(&|told| told.counted.map(|counted| counted.last_attempt.into()))),
        ("counted_until", ints(&|told| told.counted.map(|counted| counted.until.0))),
        ("last_outcome", of_fact(|fact| Some(fact.outcome.code().into()))),
        ("last_combination_id", of_fact(|fact| Some(fact.combination_id.into()))),
        ("last_error_type_id", ints(&|told| told.fact.as_ref().and_then(|fact| nonzero(fact.error_type_id)))),
    ];
    for place in 0..IDS.len() {
        columns.push((IDS[place], ints(&|told| nonzero(told.job.ids[place]))));
        columns.push((LAST_IDS[place], ints(&|told| told.fact.as_ref().and_then(|fact| nonzero(fact.ids[place])))));
    }
    Rows { table: "job", count: jobs.len(), columns }
}
