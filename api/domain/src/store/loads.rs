//! Loads as the figures read them, and the days whose cells have to be made of rows.
//!
//! Invariant: a day that is listed for rebuilding is struck off in the transaction that makes its cells. Must not know: what cells hold.

use futures_util::{Stream, StreamExt as _};
use plimsoll_entity::value::label::LoadOutcome;
use plimsoll_entity::value::time::{HOUR_US, Instant, Window};
use sea_orm::QueryResult;

use super::{Snapshot, StoreError, Value, WriteTx};
use crate::cell::part::Family;

/// A load as the figures need it. Ids of names are 0 where unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadFact {
    /// End.
    pub finished_at: Instant,
    /// Start.
    pub started_at: Instant,
    /// Machine.
    pub vm_id: u32,
    /// Code of the storage type.
    pub storage_type: i16,
    /// Storage location.
    pub storage_location_id: u32,
    /// Whether it was on the machine already.
    pub cache_hit: bool,
    /// Base model version.
    pub model_version_id: u32,
    /// Checkpoint version; 0: the base model itself was loaded.
    pub checkpoint_version_id: u32,
    /// Bytes.
    pub size_bytes: Option<i64>,
    /// Whether it failed.
    pub failed: bool,
    /// Error type.
    pub error_type_id: u32,
}

fn load_fact(row: &QueryResult) -> Result<LoadFact, sea_orm::DbErr> {
    let id = |at| row.try_get_by_index::<Option<i32>>(at).map(|id| id.map_or(0, |id| id as u32));
    Ok(LoadFact {
        finished_at: Instant(row.try_get_by_index(0)?),
        started_at: Instant(row.try_get_by_index(1)?),
        vm_id: id(2)?,
        storage_type: row.try_get_by_index(3)?,
        storage_location_id: id(4)?,
        cache_hit: row.try_get_by_index(5)?,
        model_version_id: id(6)?,
        checkpoint_version_id: id(7)?,
        size_bytes: row.try_get_by_index(8)?,
        failed: row.try_get_by_index::<i16>(9)? == LoadOutcome::Failed.code(),
        error_type_id: id(10)?,
    })
}

impl Snapshot {
    /// Loads that finished in the window, in order of time.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn load_stream(&self, window: Window) -> Result<impl Stream<Item = Result<LoadFact, StoreError>> + Send + '_, StoreError> {
        self.facts_from(window.start)?;
        let sql = "SELECT finished_at, started_at, vm_id, storage_type, storage_location_id, cache_hit, model_version_id, \
             checkpoint_version_id, size_bytes, outcome, error_type_id FROM checkpoint_load WHERE finished_at >= ? AND finished_at < ?";
        let rows = self.stream(sql, window).await?;
        Ok(rows.map(|row| load_fact(&row.map_err(StoreError::read)?).map_err(StoreError::read)))
    }

    /// Loads on a machine that finished in the hours `from..to`.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn machine_load_list(&self, vm_id: u32, from: i32, to: i32) -> Result<Vec<LoadFact>, StoreError> {
        let (from_us, to_us) = (i64::from(from) * HOUR_US, i64::from(to) * HOUR_US);
        self.facts_from(Instant(from_us))?;
        let sql = "SELECT finished_at, started_at, vm_id, storage_type, storage_location_id, cache_hit, model_version_id, \
             checkpoint_version_id, size_bytes, outcome, error_type_id FROM checkpoint_load \
             WHERE vm_id = ? AND finished_at >= ? AND finished_at < ?";
        let rows = self.rows(sql, vec![(vm_id as i32).into(), from_us.into(), to_us.into()]).await?;
        rows.iter().map(|row| load_fact(row).map_err(StoreError::read)).collect()
    }

    /// The first family and day whose cells have to be made of rows; none when all are.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cell_rebuild_next(&self) -> Result<Option<(Family, i32)>, StoreError> {
        let rows = self.rows("SELECT family, day FROM cell_rebuild ORDER BY family, day LIMIT 1", Vec::new()).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let code: i16 = row.try_get_by_index(0).map_err(StoreError::read)?;
        let family = Family::from_code(code).ok_or(StoreError::Inconsistent("cell family"))?;
        Ok(Some((family, row.try_get_by_index(1).map_err(StoreError::read)?)))
    }

    /// Places of all delta blocks of a family and day.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn delta_seq_list(&self, family: Family, day: i32) -> Result<Vec<i64>, StoreError> {
        let rows = self.rows("SELECT seq FROM cell_delta WHERE family = ? AND day = ?", vec![family.code().into(), day.into()]).await?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).collect()
    }
}

impl WriteTx {
    /// Strikes a day off the list of those whose cells have to be made of rows.
    ///
    /// # Errors
    /// [`StoreError::Contended`] when somebody else has done so.
    pub async fn cell_rebuild_done(&mut self, family: Family, day: i32) -> Result<(), StoreError> {
        let values = [Value::Int(family.code().into()), Value::Int(day.into())];
        match self.execute("DELETE FROM cell_rebuild WHERE family = ? AND day = ?", &values).await? {
            1 => Ok(()),
            _ => Err(StoreError::Contended),
        }
    }
}
