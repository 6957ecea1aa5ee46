//! Delta blocks, hour blocks and day blocks.
//!
//! Invariant: the blocks of one (family, day) are changed only by a transaction that holds its lock and deletes the deltas that
//! it folded; a delta that is gone has been folded by somebody else, and the transaction must be given up.

use plimsoll_entity::value::time::Instant;

use super::{ColumnData, Rows, Snapshot, StoreError, Value, WriteTx};
use crate::cell::part::{Family, Part};
use crate::cell::plan::DAY_HOURS;

/// Length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Grain {
    /// One UTC hour.
    Hour = 1,
    /// One UTC day.
    Day = 2,
}

/// One part of one bucket.
#[derive(Clone, Debug)]
pub struct CellBlock {
    /// Hours or days since 1970.
    pub bucket: i32,
    /// Which part.
    pub part: Part,
    /// The encoded cells.
    pub block: Vec<u8>,
}

/// What one transaction added to one day.
#[derive(Clone, Debug)]
pub struct DeltaBlock {
    /// Place in the order of appending.
    pub seq: i64,
    /// Days since 1970.
    pub day: i32,
    /// The packed parts.
    pub block: Vec<u8>,
}

/// What waits to be folded for one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaBacklog {
    /// Family.
    pub family: Family,
    /// Days since 1970.
    pub day: i32,
    /// Number of delta blocks.
    pub deltas: i64,
    /// When the oldest was appended.
    pub oldest_at: Instant,
    /// When the newest was appended.
    pub newest_at: Instant,
}

impl Snapshot {
    /// Blocks of a family in the buckets `from..=to`, in order of bucket.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cell_list(&self, family: Family, grain: Grain, from: i32, to: i32, parts: &[Part]) -> Result<Vec<CellBlock>, StoreError> {
        let codes = parts.iter().map(|part| part.code().to_string()).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT bucket, part, block FROM cell WHERE family = ? AND grain = ? AND bucket BETWEEN ? AND ? AND part IN ({codes}) ORDER BY bucket, part"
        );
        let rows = self.rows(&sql, vec![family.code().into(), (grain as i16).into(), from.into(), to.into()]).await?;
        rows.into_iter()
            .map(|row| {
                let code: i16 = row.try_get_by_index(1).map_err(StoreError::read)?;
                Ok(CellBlock {
                    bucket: row.try_get_by_index(0).map_err(StoreError::read)?,
                    part: Part::from_code(code).ok_or(StoreError::Inconsistent("cell part"))?,
                    block: row.try_get_by_index(2).map_err(StoreError::read)?,
                })
            })
            .collect()
    }

    /// Delta blocks of a family in the days `from..=to`, in the order in which they were appended; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn delta_list(&self, family: Family, from: i32, to: i32, limit: u64) -> Result<Vec<DeltaBlock>, StoreError> {
        let sql =
            format!("SELECT seq, day, block FROM cell_delta WHERE family = ? AND day BETWEEN ? AND ? ORDER BY day, seq LIMIT {limit}");
        let rows = self.rows(&sql, vec![family.code().into(), from.into(), to.into()]).await?;
        rows.into_iter()
            .map(|row| {
                Ok(DeltaBlock {
                    seq: row.try_get_by_index(0).map_err(StoreError::read)?,
                    day: row.try_get_by_index(1).map_err(StoreError::read)?,
                    block: row.try_get_by_index(2).map_err(StoreError::read)?,
                })
            })
            .collect()
    }

    /// What waits to be folded, by family and day.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn delta_backlog(&self) -> Result<Vec<DeltaBacklog>, StoreError> {
        let rows = self
            .rows(
                "SELECT family, day, COUNT(*), MIN(created_at), MAX(created_at) FROM cell_delta GROUP BY family, day ORDER BY family, day",
                Vec::new(),
            )
            .await?;
        rows.into_iter()
            .map(|row| {
                let code: i16 = row.try_get_by_index(0).map_err(StoreError::read)?;
                Ok(DeltaBacklog {
                    family: Family::from_code(code).ok_or(StoreError::Inconsistent("cell family"))?,
                    day: row.try_get_by_index(1).map_err(StoreError::read)?,
                    deltas: row.try_get_by_index(2).map_err(StoreError::read)?,
                    oldest_at: Instant(row.try_get_by_index(3).map_err(StoreError::read)?),
                    newest_at: Instant(row.try_get_by_index(4).map_err(StoreError::read)?),
                })
            })
            .collect()
    }

    /// Days before `before` that have hour blocks and no day block.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn day_without_block_list(&self, family: Family, before: i32) -> Result<Vec<i32>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT h.bucket / {DAY_HOURS} FROM cell h WHERE h.family = ? AND h.grain = 1 AND h.part = 0 AND h.bucket < ? \
             AND NOT EXISTS (SELECT 1 FROM cell d WHERE d.family = h.family AND d.grain = 2 AND d.part = 0 AND d.bucket = h.bucket / {DAY_HOURS}) \
             ORDER BY 1"
        );
        let rows = self.rows(&sql, vec![family.code().into(), (before.saturating_mul(DAY_HOURS)).into()]).await?;
        rows.into_iter().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).collect()
    }
}

impl WriteTx {
    /// Appends the delta blocks of one transaction.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn delta_append(&mut self, deltas: Vec<(Family, i32, Vec<u8>)>, now: Instant) -> Result<(), StoreError> {
        let count = deltas.len();
        let (mut families, mut days, mut blocks) = (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for (family, day, block) in deltas {
            families.push(Some(i64::from(family.code())));
            days.push(Some(i64::from(day)));
            blocks.push(Some(block));
        }
        let rows = Rows {
            table: "cell_delta",
            count,
            columns: vec![
                ("family", ColumnData::Ints(families)),
                ("day", ColumnData::Ints(days)),
                ("created_at", ColumnData::Ints(vec![Some(now.0); count])),
                ("block", ColumnData::Bytes(blocks)),
            ],
        };
        self.insert(&rows, "").await.map(|_| ())
    }

    /// Locks the blocks of one family and day until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn cell_lock(&mut self, family: Family, day: i32) -> Result<(), StoreError> {
        // Own space of advisory locks: "cell" in ASCII.
        const SPACE: i64 = 0x6365_6c6c << 32;
        self.lock(SPACE | i64::from(family.code()) << 24 | i64::from(day & 0xff_ffff)).await
    }

    /// Deletes folded deltas.
    ///
    /// # Errors
    /// [`StoreError::Contended`] when one of them was gone already.
    pub async fn delta_delete(&mut self, seqs: &[i64]) -> Result<(), StoreError> {
        for chunk in seqs.chunks(500) {
            let list = chunk.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            if self.execute(&format!("DELETE FROM cell_delta WHERE seq IN ({list})"), &[]).await? != chunk.len() as u64 {
                return Err(StoreError::Contended);
            }
        }
        Ok(())
    }

    /// Replaces all parts of one bucket; no parts: deletes it.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn cell_replace(&mut self, family: Family, grain: Grain, bucket: i32, parts: Vec<(Part, Vec<u8>)>) -> Result<(), StoreError> {
        let place = [Value::Int(family.code().into()), Value::Int(grain as i64), Value::Int(bucket.into())];
        self.execute("DELETE FROM cell WHERE family = ? AND grain = ? AND bucket = ?", &place).await?;
        if parts.is_empty() {
            return Ok(());
        }
        let count = parts.len();
        let (codes, blocks): (Vec<_>, Vec<_>) = parts.into_iter().map(|(part, block)| (Some(i64::from(part.code())), Some(block))).unzip();
        let rows = Rows {
            table: "cell",
            count,
            columns: vec![
                ("family", ColumnData::Ints(vec![Some(family.code().into()); count])),
                ("grain", ColumnData::Ints(vec![Some(grain as i64); count])),
                ("bucket", ColumnData::Ints(vec![Some(bucket.into()); count])),
                ("part", ColumnData::Ints(codes)),
                ("block", ColumnData::Bytes(blocks)),
            ],
        };
        self.insert(&rows, "").await.map(|_| ())
    }

    /// Whether a day has delta blocks that are not in `folded`.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn has_delta(&mut self, family: Family, day: i32) -> Result<bool, StoreError> {
        let found = self
            .fetch(
                "SELECT 1 FROM cell_delta WHERE family = ? AND day = ? LIMIT 1",
                &[Value::Int(family.code().into()), Value::Int(day.into())],
                &[super::Kind::Int],
            )
            .await?;
        Ok(!found.is_empty())
    }
}
