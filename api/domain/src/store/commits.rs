//! Commits that brought events, numbered; and when a window that moves on will show something else.
//!
//! Invariants: a transaction of the writer takes its number as its last statement, so that numbers are in the order of commits; a
//! snapshot that tells a number holds every commit up to it. Must not know: who waits for news.

use plimsoll_entity::value::time::{Instant, Window};

use super::{Kind, Snapshot, Store, StoreError, Value, WriteTx};

/// What enters and leaves a window by its instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// Executions, by their end.
    Executions,
    /// Samples of GPUs.
    GpuSamples,
}

/// The first instants of what passes a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// The earliest inside of the window.
    pub inside: Option<Instant>,
    /// The earliest at its end or after: events may tell a future.
    pub after: Option<Instant>,
}

impl WriteTx {
    /// Takes the number of this commit. What comes after it should be little: on PostgreSQL other writers wait
    /// from here on.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn commit_number_take(&mut self) -> Result<u64, StoreError> {
        let sql = "UPDATE counter SET value = value + 1 WHERE name = 'commits' RETURNING value";
        match self.fetch(sql, &[], &[Kind::Int]).await?.first().map(Vec::as_slice) {
            Some([Value::Int(number)]) => Ok(number.unsigned_abs()),
            _ => Err(StoreError::Inconsistent("counter of commits")),
        }
    }
}

impl Store {
    /// What tells this database from others for ever; `candidate` is taken when it has no such number yet.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn database_number(&self, candidate: u64) -> Result<u64, StoreError> {
        const NAME: &str = "database_number";
        let mut tx = self.begin_write().await?;
        // The highest bit is the sign in the database.
        let values = [Value::Text(NAME.to_owned()), Value::Int((candidate >> 1) as i64)];
        tx.execute("INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", &values).await?;
        let rows = tx.fetch("SELECT value FROM counter WHERE name = ?", &[Value::Text(NAME.to_owned())], &[Kind::Int]).await?;
        tx.commit().await?;
        match rows.first().map(Vec::as_slice) {
            Some([Value::Int(number)]) => Ok(number.unsigned_abs()),
            _ => Err(StoreError::Inconsistent("number of the database")),
        }
    }
}

impl Snapshot {
    /// The number of the newest commit that this snapshot holds.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn commit_number(&self) -> Result<u64, StoreError> {
        let rows = self.rows("SELECT value FROM counter WHERE name = 'commits'", Vec::new()).await?;
        let number: i64 = match rows.first() {
            Some(row) => row.try_get_by_index(0).map_err(StoreError::read)?,
            None => return Err(StoreError::Inconsistent("counter of commits")),
        };
        Ok(number.unsigned_abs())
    }

    /// The first instants inside of a window and after it.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn window_edges(&self, of: Passing, window: Window) -> Result<Edges, StoreError> {
        let inside = self.earliest(of, window.start).await?.filter(|at| window.contains(*at));
        Ok(Edges { inside, after: self.earliest(of, window.end).await? })
    }

    async fn earliest(&self, of: Passing, from: Instant) -> Result<Option<Instant>, StoreError> {
        let sql = match of {
            Passing::Executions => "SELECT MIN(finished_at) FROM execution WHERE finished_at >= ?",
            Passing::GpuSamples => "SELECT MIN(at) FROM gpu_sample WHERE at >= ?",
        };
        let rows = self.rows(sql, vec![from.0.into()]).await?;
        let at: Option<i64> = match rows.first() {
            Some(row) => row.try_get_by_index(0).map_err(StoreError::read)?,
            None => None,
        };
        Ok(at.map(Instant))
    }
}
