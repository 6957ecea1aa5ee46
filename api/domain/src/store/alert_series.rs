//! What signals were in the past: one point a step, a row a day.
//!
//! Must not know: what the points are compared with.

use uuid::Uuid;

use super::alerts::RuleSubject;
use super::{ColumnData, Rows, Snapshot, StoreError, Value, WriteTx};

/// A day of one series. Points are 32-bit floats; NaN: none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesDay {
    /// Rule and subject.
    pub of: RuleSubject,
    /// UTC day.
    pub day: i32,
    /// Little-endian points from the day's first step on.
    pub points: Vec<u8>,
}

impl WriteTx {
    /// Writes days, in the place of what they held.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_series_put(&mut self, days: Vec<SeriesDay>) -> Result<(), StoreError> {
        let count = days.len();
        let rules = days.iter().map(|day| Some(day.of.0)).collect();
        let subjects = days.iter().map(|day| Some(day.of.1)).collect();
        let numbers = days.iter().map(|day| Some(day.day.into())).collect();
        let points = days.into_iter().map(|day| Some(day.points)).collect();
        let rows = Rows {
            table: "alert_series",
            count,
            columns: vec![
                ("rule_id", ColumnData::Uuids(rules)),
                ("subject_key", ColumnData::Uuids(subjects)),
                ("day", ColumnData::Ints(numbers)),
                ("points", ColumnData::Bytes(points)),
            ],
        };
        self.insert(&rows, "ON CONFLICT (rule_id, subject_key, day) DO UPDATE SET points = excluded.points").await.map(|_| ())
    }

    /// Forgets days before one.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_series_forget(&mut self, before: i32) -> Result<(), StoreError> {
        self.execute("DELETE FROM alert_series WHERE day < ?", &[Value::Int(before.into())]).await.map(|_| ())
    }

    /// Forgets the series of a rule.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_series_drop(&mut self, rule_id: Uuid) -> Result<(), StoreError> {
        self.execute("DELETE FROM alert_series WHERE rule_id = ?", &[Value::Uuid(rule_id)]).await.map(|_| ())
    }
}

impl Snapshot {
    /// Every day from one on of the series of a rule, by subject and day.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn alert_series_list(&self, rule_id: Uuid, from: i32) -> Result<Vec<SeriesDay>, StoreError> {
        let sql = "SELECT subject_key, day, points FROM alert_series WHERE rule_id = ? AND day >= ? ORDER BY subject_key, day";
        let rows = self.rows(sql, vec![rule_id.into(), from.into()]).await?;
        let read = |row: &sea_orm::QueryResult| -> Result<_, sea_orm::DbErr> {
            Ok(SeriesDay { of: (rule_id, row.try_get_by_index(0)?), day: row.try_get_by_index(1)?, points: row.try_get_by_index(2)? })
        };
        rows.iter().map(|row| read(row).map_err(StoreError::read)).collect()
    }
}
