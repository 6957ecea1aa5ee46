//! Places, their snapshots, and when loads first and last came from them.
//!
//! Invariant: rows are written in the order of places, so that two writers never wait for each other in a circle.
//! Must not know: how bytes and hours are reckoned.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{Stream, StreamExt as _};
use plimsoll_entity::value::time::{DAY_US, Instant, Window};
use sea_orm::QueryResult;
use uuid::Uuid;

use super::{ColumnData, DerivedKind, Kind, OR_IGNORE, Rows, Snapshot, StoreError, Value, WriteTx};
use crate::storage::place::Place;

/// The lock between those who add snapshots and whoever makes blocks of days.
const DAYS_LOCK: i64 = 0x5354_4f52_4147_4501;

/// A place holds so many bytes from an instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageSize {
    /// Where.
    pub place: Place,
    /// Since when.
    pub at: Instant,
    /// Bytes; 0: deleted.
    pub size_bytes: u64,
}

/// When loads came from a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadReach {
    /// From where.
    pub place: Place,
    /// End of the first.
    pub first_at: Instant,
    /// End of the last.
    pub last_at: Instant,
}

fn place(row: &QueryResult) -> Result<Place, sea_orm::DbErr> {
    row.try_get_by_index::<Uuid>(0).map(Place::of)
}

fn bytes(size: i64) -> Result<u64, StoreError> {
    u64::try_from(size).map_err(|_| StoreError::Inconsistent("storage snapshot"))
}

impl Snapshot {
    /// Every place, and the bytes that it holds at an instant (0 before its first snapshot); at most `limit` of them.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn storage_size_at_list(&self, at: Instant, limit: usize) -> Result<Vec<StorageSize>, StoreError> {
        let sql = "SELECT p.place, (SELECT s.size_bytes FROM storage_snapshot AS s WHERE s.place = p.place AND s.at <= ? \
             ORDER BY s.at DESC, s.id DESC LIMIT 1) FROM storage_place AS p ORDER BY p.place LIMIT ?";
        let read = |row: &QueryResult| Ok((place(row)?, row.try_get_by_index::<Option<i64>>(1)?));
        let rows = self.rows(sql, vec![at.0.into(), (limit as i64).into()]).await?;
        rows.iter()
            .map(|row| {
                let (place, size) = read(row).map_err(StoreError::read)?;
                Ok(StorageSize { place, at, size_bytes: bytes(size.unwrap_or(0))? })
            })
            .collect()
    }

    /// The snapshots of a window in their order.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn storage_size_stream(
        &self,
        window: Window,
    ) -> Result<impl Stream<Item = Result<StorageSize, StoreError>> + Send + '_, StoreError> {
        let sql = "SELECT place, at, size_bytes FROM storage_snapshot WHERE at >= ? AND at < ? ORDER BY at, id";
        let rows = self.stream(sql, window).await?;
        let read = |row: &QueryResult| Ok((place(row)?, Instant(row.try_get_by_index(1)?), row.try_get_by_index(2)?));
        Ok(rows.map(move |row| {
            let (place, at, size) = row.and_then(|row| read(&row)).map_err(StoreError::read)?;
            Ok(StorageSize { place, at, size_bytes: bytes(size)? })
        }))
    }

    /// The newest day with a snapshot, up to and with a day (since 1970); none: there is none.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn storage_day_until(&self, day: i32) -> Result<Option<i32>, StoreError> {
        let end = (i64::from(day) + 1) * DAY_US;
        let rows = self.rows("SELECT MAX(at) FROM storage_snapshot WHERE at < ?", vec![end.into()]).await?;
        let last: Option<Option<i64>> = rows.first().map(|row| row.try_get_by_index(0)).transpose().map_err(StoreError::read)?;
        Ok(last.flatten().map(|at| Instant(at).day()))
    }

    /// The blocks of days in `from..=to` (since 1970), ascending, whether they hold or not.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn storage_day_list(&self, from: i32, to: i32) -> Result<Vec<(i32, Vec<u8>)>, StoreError> {
        let sql = "SELECT day, block FROM storage_day WHERE day BETWEEN ? AND ? ORDER BY day";
        let rows = self.rows(sql, vec![from.into(), to.into()]).await?;
        let read = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.iter().map(read).collect::<Result<_, _>>().map_err(StoreError::read)
    }

    /// When loads came from each place, whether anything is told to lie there or not; at most `limit` of them.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn load_reach_list(&self, limit: usize) -> Result<Vec<LoadReach>, StoreError> {
        let read = |row: &QueryResult| {
            Ok(LoadReach { place: place(row)?, first_at: Instant(row.try_get_by_index(1)?), last_at: Instant(row.try_get_by_index(2)?) })
        };
        let rows = self.rows("SELECT place, first_at, last_at FROM load_reach ORDER BY place LIMIT ?", vec![(limit as i64).into()]).await?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(StoreError::read)
    }
}

impl WriteTx {
    /// Keeps places; those that are known already stay as they are.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn storage_place_keep(&mut self, places: &BTreeSet<Place>) -> Result<(), StoreError> {
        let ids = ColumnData::Uuids(places.iter().map(|place| Some(place.id())).collect());
        let rows = Rows { table: "storage_place", count: places.len(), columns: vec![("place", ids)] };
        self.insert(&rows, OR_IGNORE).await.map(|_| ())
    }

    /// Snapshots of these days (since 1970) come in with this transaction: the blocks that were made without them hold no longer.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn storage_days_change(&mut self, days: &BTreeSet<i32>) -> Result<(), StoreError> {
        self.lock_shared(DAYS_LOCK).await?;
        self.derived_day_drop(DerivedKind::Storage, days).await
    }

    /// Waits until nobody adds a snapshot, and keeps everybody from it until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn storage_days_lock(&mut self) -> Result<(), StoreError> {
        self.lock(DAYS_LOCK).await
    }

    /// Number of snapshots in a window.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn storage_snapshot_count(&mut self, window: Window) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM storage_snapshot WHERE at >= ? AND at < ?";
        let rows = self.fetch(sql, &[Value::Int(window.start.0), Value::Int(window.end.0)], &[Kind::Int]).await?;
        match rows.first().map(Vec::as_slice) {
            Some([Value::Int(count)]) => Ok(*count),
            _ => Ok(0),
        }
    }

    /// Puts the block of a day in the place of the one before.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn storage_day_put(&mut self, day: i32, block: Vec<u8>) -> Result<(), StoreError> {
        let sql = "INSERT INTO storage_day (day, block) VALUES (?, ?) ON CONFLICT (day) DO UPDATE SET block = excluded.block";
        self.execute(sql, &[Value::Int(day.into()), Value::Bytes(block)]).await.map(|_| ())
    }

    /// Widens the stretches between the first and the last load from places (microseconds).
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn load_reach_widen(&mut self, reach: &BTreeMap<Place, (i64, i64)>) -> Result<(), StoreError> {
        let columns = vec![
            ("place", ColumnData::Uuids(reach.keys().map(|place| Some(place.id())).collect())),
            ("first_at", ColumnData::Ints(reach.values().map(|(first, _)| Some(*first)).collect())),
            ("last_at", ColumnData::Ints(reach.values().map(|(_, last)| Some(*last)).collect())),
        ];
        let clause = "ON CONFLICT (place) DO UPDATE SET \
             first_at = CASE WHEN load_reach.first_at < excluded.first_at THEN load_reach.first_at ELSE excluded.first_at END, \
             last_at = CASE WHEN load_reach.last_at > excluded.last_at THEN load_reach.last_at ELSE excluded.last_at END \
             WHERE excluded.first_at < load_reach.first_at OR excluded.last_at > load_reach.last_at";
        self.insert(&Rows { table: "load_reach", count: reach.len(), columns }, clause).await.map(|_| ())
    }
}
