//! Past hours of concurrency as they were counted, and how far executions reach.
//!
//! Invariant: an hour that was counted of as many executions as reach into it now was counted of the same ones, because they only
//! ever become more. Must not know: what stands in the blocks.

use plimsoll_entity::value::time::Instant;
use sea_orm::{DbErr, QueryResult};

use super::{Snapshot, StoreError, Value, WriteTx};

/// An hour in which executions finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachingHour {
    /// The hour.
    pub hour: i32,
    /// No execution of it waited or ran before.
    pub earliest_at: Instant,
    /// How many finished.
    pub executions: i64,
    /// Whether its pack holds.
    pub is_packed: bool,
}

impl Snapshot {
    /// Hours from `from` on in which executions finished, ascending.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn reaching_hour_list(&self, from: i32) -> Result<Vec<ReachingHour>, StoreError> {
        let sql = "SELECT r.hour, r.earliest_at, r.executions, CASE WHEN p.executions = r.executions THEN 1 ELSE 0 END \
             FROM execution_reach r LEFT JOIN execution_pack p ON p.hour = r.hour WHERE r.hour >= ? ORDER BY r.hour";
        let rows = self.rows(sql, vec![from.into()]).await?;
        let read = |row: &QueryResult| {
            Ok(ReachingHour {
                hour: row.try_get_by_index(0)?,
                earliest_at: Instant(row.try_get_by_index(1)?),
                executions: row.try_get_by_index(2)?,
                is_packed: row.try_get_by_index::<i32>(3)? == 1,
            })
        };
        rows.iter().map(read).collect::<Result<_, DbErr>>().map_err(StoreError::read)
    }

    /// Counted hours in `from..to`, and how many executions each was counted of.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn concurrency_hour_sums(&self, from: i32, to: i32) -> Result<Vec<(i32, i64)>, StoreError> {
        let sql = "SELECT hour, executions FROM concurrency_hour WHERE hour >= ? AND hour < ? ORDER BY hour";
        let rows = self.rows(sql, vec![from.into(), to.into()]).await?;
        let read = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.iter().map(read).collect::<Result<_, DbErr>>().map_err(StoreError::read)
    }

    /// The blocks of counted hours in `from..to`, ascending.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn concurrency_hour_list(&self, from: i32, to: i32) -> Result<Vec<(i32, Vec<u8>)>, StoreError> {
        let sql = "SELECT hour, block FROM concurrency_hour WHERE hour >= ? AND hour < ? ORDER BY hour";
        let rows = self.rows(sql, vec![from.into(), to.into()]).await?;
        let read = |row: QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.into_iter().map(read).collect::<Result<_, DbErr>>().map_err(StoreError::read)
    }
}

impl WriteTx {
    /// Replaces a counted hour.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn concurrency_hour_put(&mut self, hour: i32, executions: i64, block: Vec<u8>) -> Result<(), StoreError> {
        let sql = "INSERT INTO concurrency_hour (hour, executions, block) VALUES (?, ?, ?) \
             ON CONFLICT (hour) DO UPDATE SET executions = excluded.executions, block = excluded.block";
        self.execute(sql, &[Value::Int(hour.into()), Value::Int(executions), Value::Bytes(block)]).await.map(|_| ())
    }
}
