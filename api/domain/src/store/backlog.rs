//! What waits to be worked off.
//!
//! Must not know: how much of it is too much.

use plimsoll_entity::value::time::Instant;

use super::{DirtyKind, Snapshot, StoreError};

/// Marks that are counted at most.
const COUNTED_MAX: u32 = 100_000;

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// When the oldest cells were written that have not been folded; none when all have been.
    pub oldest_delta_at: Option<Instant>,
    /// Marks of machine-hours, at most [`COUNTED_MAX`].
    pub machine_marks: u64,
    /// Marks of jobs, likewise.
    pub job_marks: u64,
}

impl Snapshot {
    /// What waits to be worked off.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        // The oldest has the least number.
        let oldest = self.rows("SELECT created_at FROM cell_delta ORDER BY seq LIMIT 1", Vec::new()).await?;
        let oldest_delta_at = oldest.first().map(|row| row.try_get_by_index(0).map(Instant).map_err(StoreError::read)).transpose()?;
        let machine_marks = self.marks(DirtyKind::MachineHours).await?;
        Ok(Backlog { oldest_delta_at, machine_marks, job_marks: self.marks(DirtyKind::Jobs).await? })
    }

    async fn marks(&self, kind: DirtyKind) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM dirty_mark WHERE kind = ? LIMIT {COUNTED_MAX}) AS mark");
        let rows = self.rows(&sql, vec![(kind as i16).into()]).await?;
        let row = rows.first().ok_or(StoreError::Inconsistent("count"))?;
        row.try_get_by_index(0).map(i64::unsigned_abs).map_err(StoreError::read)
    }
}
