//! Who waited and ran when: executions by their end, and jobs that have none yet.
//!
//! Invariants: `execution_reach` has a row for each hour in which executions finished, whose instant none of them waited or ran
//! before and which counts them all; executions are never changed, so a pack of as many holds the same ones.
//! Must not know: how many ran at once, what stands in a pack.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use plimsoll_entity::value::label::JobState;
use plimsoll_entity::value::time::{Instant, Window};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, StreamTrait as _};
use uuid::Uuid;

use super::dialect::render;
use super::{ColumnData, LOOK_BACK_US, Rows, Snapshot, StoreError, Value, WriteTx};
use crate::cell::part::{EXECUTION_KEY_WIDTH, KEY_WIDTH, Key, KeyColumn};

/// An execution as it takes up time. Columns of the key that were not asked for are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionSpan {
    /// End.
    pub finished_at: Instant,
    /// Start.
    pub started_at: Instant,
    /// When it was queued; none where unknown.
    pub queued_at: Option<Instant>,
    /// What it counts under.
    pub key: Key,
}

/// The latest change of a job that waits or runs and has no execution for it. Columns of the key that were not asked for are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenJob {
    /// When it changed.
    pub at: Instant,
    /// Identity of the change.
    pub id: Uuid,
    /// The job.
    pub job_key: Uuid,
    /// QUEUED or RUNNING.
    pub state: JobState,
    /// Attempt; none where not told.
    pub attempt: Option<i32>,
    /// What it counts under; no outcome, no error type.
    pub key: Key,
}

/// Names of the columns of a key, and whether a job's change has them. No row has a combination before.
const COLUMNS: [(KeyColumn, &str, bool); EXECUTION_KEY_WIDTH - 1] = [
    (KeyColumn::Combination, "combination_id", true),
    (KeyColumn::Application, "application_id", true),
    (KeyColumn::User, "user_id", true),
    (KeyColumn::Department, "department_id", true),
    (KeyColumn::Project, "project_id", true),
    (KeyColumn::Vm, "vm_id", true),
    (KeyColumn::Outcome, "outcome", false),
    (KeyColumn::ErrorType, "error_type_id", false),
];

/// Columns of a key that are read, each of which costs a row as much as an instant.
#[derive(Clone, Debug)]
struct Selected(Vec<(KeyColumn, &'static str)>);

impl Selected {
    fn of(wanted: &[KeyColumn], of_jobs: bool) -> Self {
        let taken = |(column, _, in_jobs): &(KeyColumn, &str, bool)| wanted.contains(column) && (*in_jobs || !of_jobs);
        Self(COLUMNS.into_iter().filter(taken).map(|(column, name, _)| (column, name)).collect())
    }

    /// As they stand in a SELECT after other columns.
    fn list(&self) -> String {
        self.0.iter().map(|(_, name)| format!(", {name}")).collect()
    }

    fn key(&self, row: &QueryResult, first: usize) -> Result<Key, DbErr> {
        let mut key = [0; KEY_WIDTH];
        for (at, (column, _)) in (first..).zip(&self.0) {
            key[*column as usize] = match column {
                KeyColumn::Outcome => row.try_get_by_index::<i16>(at)? as u32 + 1,
                _ => row.try_get_by_index::<Option<i32>>(at)?.unwrap_or(0) as u32,
            };
        }
        Ok(key)
    }
}

impl Snapshot {
    /// Hours from `from_hour` on in which executions finished of which one at least waited or ran before `before`, latest first,
    /// and whether the pack of the hour holds.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_reach_list(&self, from_hour: i32, before: Instant) -> Result<Vec<(i32, bool)>, StoreError> {
        let sql = "SELECT r.hour, CASE WHEN p.executions = r.executions THEN 1 ELSE 0 END FROM execution_reach r \
             LEFT JOIN execution_pack p ON p.hour = r.hour WHERE r.hour >= ? AND r.earliest_at < ? ORDER BY r.hour DESC";
        let rows = self.rows(sql, vec![from_hour.into(), before.0.into()]).await?;
        let hour = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index::<i32>(1)? == 1));
        rows.iter().map(hour).collect::<Result<_, DbErr>>().map_err(StoreError::read)
    }

    /// Hours before `before_hour` with at least so many executions whose pack does not hold, and how many they are, latest first.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_unpacked_list(&self, before_hour: i32, least: i64, limit: u32) -> Result<Vec<(i32, i64)>, StoreError> {
        let sql = "SELECT r.hour, r.executions FROM execution_reach r LEFT JOIN execution_pack p ON p.hour = r.hour \
             WHERE r.hour < ? AND r.executions >= ? AND (p.executions IS NULL OR p.executions <> r.executions) ORDER BY r.hour DESC LIMIT ?";
        let rows = self.rows(sql, vec![before_hour.into(), least.into(), i64::from(limit).into()]).await?;
        let hour = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.iter().map(hour).collect::<Result<_, DbErr>>().map_err(StoreError::read)
    }

    /// The pack of an hour; none when there is none.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_pack(&self, hour: i32) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.rows("SELECT block FROM execution_pack WHERE hour = ?", vec![hour.into()]).await?;
        rows.first().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).transpose()
    }

    /// Executions that finished in the window and waited or ran before `before`, in no order.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_span_list(
        &self,
        window: Window,
        before: Instant,
        wanted: &[KeyColumn],
    ) -> Result<Vec<ExecutionSpan>, StoreError> {
        self.facts_from(window.start)?;
        let selected = Selected::of(wanted, false);
        let mut sql = format!(
            "SELECT finished_at, started_at, queued_at{} FROM execution WHERE finished_at >= ? AND finished_at < ?",
            selected.list()
        );
        let mut values: Vec<sea_orm::Value> = vec![window.start.0.into(), window.end.0.into()];
        // Where all of them did, the database need not compare.
        if before < window.end {
            sql.push_str(" AND (started_at < ? OR queued_at < ?)");
            values.extend([before.0.into(), before.0.into()]);
        }
        let span = |row: QueryResult| -> Result<ExecutionSpan, DbErr> {
            Ok(ExecutionSpan {
                finished_at: Instant(row.try_get_by_index(0)?),
                started_at: Instant(row.try_get_by_index(1)?),
                queued_at: row.try_get_by_index::<Option<i64>>(2)?.map(Instant),
                key: selected.key(&row, 3)?,
            })
        };
        let backend = ConnectionTrait::get_database_backend(self.tx());
        let statement = Statement::from_sql_and_values(backend, render(&sql, backend), values);
        let rows = self.tx().stream_raw(statement).await.map_err(StoreError::read)?;
        rows.and_then(|row| std::future::ready(span(row))).try_collect().await.map_err(StoreError::read)
    }

    /// Jobs whose latest change lies in the window, waits or runs, and has no execution: none of its attempt or a later one, and
    /// none that finished at that instant or later. A job of which changes are equal but for attempt and id comes more than once.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn open_job_list(&self, window: Window, wanted: &[KeyColumn], limit: u64) -> Result<Vec<OpenJob>, StoreError> {
        // So much before the horizon all rows are there still.
        self.facts_from(Instant(window.start.0.saturating_add(LOOK_BACK_US)))?;
        let selected = Selected::of(wanted, true);
        let sql = format!(
            "SELECT at, id, job_key, state, attempt{} FROM job_event e WHERE at >= ? AND at < ? AND state IN (?, ?) \
             AND NOT EXISTS (SELECT 1 FROM job_event l WHERE l.job_key = e.job_key AND l.at >= e.at AND (l.at > e.at OR l.state > e.state)) \
             AND NOT EXISTS (SELECT 1 FROM execution x WHERE x.job_key = e.job_key \
             AND (x.finished_at >= e.at OR x.attempt >= COALESCE(e.attempt, 1))) LIMIT ?",
            selected.list()
        );
        let values = vec![
            window.start.0.into(),
            window.end.0.into(),
            JobState::Queued.code().into(),
            JobState::Running.code().into(),
            limit.cast_signed().into(),
        ];
        let job = |row: &QueryResult| -> Result<(i16, OpenJob), DbErr> {
            let open = OpenJob {
                at: Instant(row.try_get_by_index(0)?),
                id: row.try_get_by_index(1)?,
                job_key: row.try_get_by_index(2)?,
                state: JobState::Queued,
                attempt: row.try_get_by_index(4)?,
                key: selected.key(row, 5)?,
            };
            Ok((row.try_get_by_index(3)?, open))
        };
        let rows = self.rows(&sql, values).await?;
        rows.iter()
            .map(|row| {
                let (code, open) = job(row).map_err(StoreError::read)?;
                Ok(OpenJob { state: JobState::from_code(code).ok_or(StoreError::Inconsistent("job event"))?, ..open })
            })
            .collect()
    }
}

impl WriteTx {
    /// More executions finished in these hours: the earliest instant (microseconds) at which one of them waited or ran, and how
    /// many they are.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn execution_reach_widen(&mut self, hours: &BTreeMap<i32, (i64, i64)>) -> Result<(), StoreError> {
        let columns = vec![
            ("hour", ColumnData::Ints(hours.keys().map(|hour| Some(i64::from(*hour))).collect())),
            ("earliest_at", ColumnData::Ints(hours.values().map(|(earliest, _)| Some(*earliest)).collect())),
            ("executions", ColumnData::Ints(hours.values().map(|(_, executions)| Some(*executions)).collect())),
        ];
        // In order of the hours, so that two writers never wait for each other in a circle.
        let clause = "ON CONFLICT (hour) DO UPDATE SET executions = execution_reach.executions + excluded.executions, \
             earliest_at = CASE WHEN execution_reach.earliest_at < excluded.earliest_at THEN execution_reach.earliest_at \
             ELSE excluded.earliest_at END";
        self.insert(&Rows { table: "execution_reach", count: hours.len(), columns }, clause).await.map(|_| ())
    }

    /// Replaces the pack of an hour, which holds while the hour has this many executions.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn execution_pack_put(&mut self, hour: i32, executions: i64, block: Vec<u8>) -> Result<(), StoreError> {
        let sql = "INSERT INTO execution_pack (hour, executions, block) VALUES (?, ?, ?) \
             ON CONFLICT (hour) DO UPDATE SET executions = excluded.executions, block = excluded.block";
        let values = [Value::Int(hour.into()), Value::Int(executions), Value::Bytes(block)];
        self.execute(sql, &values).await.map(|_| ())
    }
}
