//! Which jobs each commit changed.
//!
//! Invariants: a row is written in the transaction that takes its number, so that rows appear in the order of their numbers, and no
//! row appears behind one that was seen; rows are only forgotten from the oldest on. Must not know: what a change is.

use plimsoll_entity::value::time::Instant;
use plimsoll_entity::value::varint::{Reader, put_u64};
use uuid::Uuid;

use super::{ColumnData, Rows, Snapshot, StoreError, Value, WriteTx};

/// Something that was told of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobEntry {
    /// Key of the job.
    pub job_key: Uuid,
    /// Id of the execution or of the change of state.
    pub id: Uuid,
    /// Whether it is an execution.
    pub is_execution: bool,
}

/// Entries of one row: a commit with more has several.
const ENTRIES_PER_ROW: usize = 500;

/// What one commit told of jobs, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitEntries {
    /// Number of the commit.
    pub number: u64,
    /// Place of the first entry in the commit.
    pub first_index: u32,
    /// In the order in which they are told.
    pub entries: Vec<JobEntry>,
}

/// An execution.
const EXECUTION: u64 = 1;
/// The id is that of the job.
const SAME_ID: u64 = 2;

fn encode(entries: &[JobEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 17);
    for entry in entries {
        let is_same = entry.id == entry.job_key;
        put_u64(&mut out, u64::from(entry.is_execution) * EXECUTION + u64::from(is_same) * SAME_ID);
        out.extend_from_slice(entry.job_key.as_bytes());
        if !is_same {
            out.extend_from_slice(entry.id.as_bytes());
        }
    }
    out
}

fn decode(bytes: &[u8]) -> Result<Vec<JobEntry>, StoreError> {
    let (mut reader, mut entries) = (Reader::new(bytes), Vec::new());
    while !reader.is_empty() {
        let flags = reader.u64()?;
        let mut id =
            || -> Result<Uuid, StoreError> { Uuid::from_slice(reader.take(16)?).map_err(|_| StoreError::Inconsistent("job update")) };
        let job_key = id()?;
        let own = if flags & SAME_ID == 0 { id()? } else { job_key };
        entries.push(JobEntry { job_key, id: own, is_execution: flags & EXECUTION != 0 });
    }
    Ok(entries)
}

impl WriteTx {
    /// Tells what this commit, whose number was taken just before, changed of jobs.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn job_update_append(&mut self, number: u64, at: Instant, entries: &[JobEntry]) -> Result<(), StoreError> {
        let chunks: Vec<&[JobEntry]> = entries.chunks(ENTRIES_PER_ROW).collect();
        let count = chunks.len();
        let columns = vec![
            ("number", ColumnData::Ints(vec![Some(number.cast_signed()); count])),
            ("first_index", ColumnData::Ints((0..count).map(|chunk| Some((chunk * ENTRIES_PER_ROW) as i64)).collect())),
            ("at", ColumnData::Ints(vec![Some(at.0); count])),
            ("entries", ColumnData::Bytes(chunks.into_iter().map(|chunk| Some(encode(chunk))).collect())),
        ];
        self.insert(&Rows { table: "job_update", count, columns }, "").await.map(|_| ())
    }

    /// Forgets what was committed before an instant.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn job_update_forget(&mut self, before: Instant) -> Result<(), StoreError> {
        let told = "UPDATE counter SET value = COALESCE((SELECT MAX(number) FROM job_update WHERE at < ?), value) \
             WHERE name = 'job_updates_forgotten'";
        self.execute(told, &[Value::Int(before.0)]).await?;
        let forgotten = "DELETE FROM job_update WHERE number <= (SELECT value FROM counter WHERE name = 'job_updates_forgotten')";
        self.execute(forgotten, &[]).await.map(|_| ())
    }
}

impl Snapshot {
    /// What was told of jobs from the row on that holds this place of a commit, at most `limit` rows.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn job_update_list(&self, number: u64, index: u32, limit: u64) -> Result<Vec<CommitEntries>, StoreError> {
        let sql = "SELECT number, first_index, entries FROM job_update WHERE number > ? OR (number = ? AND first_index > ?) \
             ORDER BY number, first_index LIMIT ?";
        let number = number.cast_signed();
        let behind = i64::from(index) - ENTRIES_PER_ROW as i64;
        let rows = self.rows(sql, vec![number.into(), number.into(), behind.into(), limit.cast_signed().into()]).await?;
        rows.iter()
            .map(|row| {
                let number: i64 = row.try_get_by_index(0).map_err(StoreError::read)?;
                let first_index: i32 = row.try_get_by_index(1).map_err(StoreError::read)?;
                let bytes: Vec<u8> = row.try_get_by_index(2).map_err(StoreError::read)?;
                Ok(CommitEntries { number: number.unsigned_abs(), first_index: first_index.unsigned_abs(), entries: decode(&bytes)? })
            })
            .collect()
    }

    /// The newest commit of which it has been forgotten what it told, and when the oldest was committed that is still known.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn job_updates_forgotten(&self) -> Result<(u64, Option<Instant>), StoreError> {
        let sql = "SELECT value, (SELECT MIN(at) FROM job_update WHERE number = (SELECT MIN(number) FROM job_update)) FROM counter \
             WHERE name = 'job_updates_forgotten'";
        let rows = self.rows(sql, Vec::new()).await?;
        let row = rows.first().ok_or(StoreError::Inconsistent("counter of job updates"))?;
        let read = || -> Result<(i64, Option<i64>), sea_orm::DbErr> { Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)) };
        let (number, oldest) = read().map_err(StoreError::read)?;
        Ok((number.unsigned_abs(), oldest.map(Instant)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let entry = |job_key, id, is_execution| JobEntry { job_key: Uuid::from_u128(job_key), id: Uuid::from_u128(id), is_execution };
        let entries = vec![entry(1, 1, true), entry(2, 3, false), entry(u128::MAX, 0, true)];
        assert_eq!(decode(&encode(&entries)).unwrap(), entries);
        assert!(decode(&encode(&entries)[..20]).is_err());
    }
}
