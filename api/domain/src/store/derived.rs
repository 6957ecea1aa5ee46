//! Which days of derived cells hold.
//!
//! Invariant: whoever changes what the cells of a day were made from deletes the day's row in the same transaction; cells of a
//! day without a row are leftovers that nobody reads. Must not know: how the cells are made.

use std::collections::BTreeSet;

use super::{Snapshot, StoreError, Value, WriteTx};

/// What day cells are derived from. Codes stand in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub enum DerivedKind {
    /// Machine-hours.
    Timeline = 1,
    /// Jobs by the end of their last attempt.
    Jobs = 2,
    /// Snapshots of storage.
    Storage = 3,
    /// Hours of costs.
    Cost = 4,
}

impl Snapshot {
    /// Days in `from..=to` (since 1970) whose cells of this kind hold.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn derived_day_list(&self, kind: DerivedKind, from: i32, to: i32) -> Result<BTreeSet<i32>, StoreError> {
        let sql = "SELECT day FROM derived_day WHERE kind = ? AND day BETWEEN ? AND ?";
        let rows = self.rows(sql, vec![(kind as i16).into(), from.into(), to.into()]).await?;
        rows.into_iter().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).collect()
    }
}

impl WriteTx {
    /// The cells of a day have been made.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn derived_day_hold(&mut self, kind: DerivedKind, day: i32) -> Result<(), StoreError> {
        let values = [Value::Int(kind as i64), Value::Int(day.into())];
        self.execute("INSERT INTO derived_day (kind, day) VALUES (?, ?) ON CONFLICT DO NOTHING", &values).await.map(|_| ())
    }

    /// What the cells of these days were made from has changed.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn derived_day_drop(&mut self, kind: DerivedKind, days: &BTreeSet<i32>) -> Result<(), StoreError> {
        for day in days {
            let values = [Value::Int(kind as i64), Value::Int((*day).into())];
            self.execute("DELETE FROM derived_day WHERE kind = ? AND day = ?", &values).await?;
        }
        Ok(())
    }
}
