//! Where the costs of machine-hours are kept.
//!
//! Invariant: an hour of a closed month never changes; what it would cost by what is known by now is kept apart. Machine 0 stands for
//! what finished without a machine. Must not know: what stands in the blocks.

use std::collections::BTreeMap;

use plimsoll_entity::value::time::{HOUR_US, Instant};
use sea_orm::QueryResult;

use super::{ColumnData, Rows, Snapshot, StoreError, Value, WriteTx};

/// What a block of costs is about: hour, machine, block.
pub type CostBlock = (i32, u32, Vec<u8>);

fn cost_block(row: &QueryResult) -> Result<CostBlock, sea_orm::DbErr> {
    Ok((row.try_get_by_index(0)?, row.try_get_by_index::<i32>(1)? as u32, row.try_get_by_index(2)?))
}

impl Snapshot {
    /// Costs of the hours `from..to` of every machine.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_hour_list(&self, from: i32, to: i32) -> Result<Vec<CostBlock>, StoreError> {
        let sql = "SELECT hour, vm_id, block FROM cost_hour WHERE hour >= ? AND hour < ? ORDER BY hour, vm_id";
        let rows = self.rows(sql, vec![from.into(), to.into()]).await?;
        rows.iter().map(|row| cost_block(row).map_err(StoreError::read)).collect()
    }

    /// Costs of one hour of a machine; none: it has not been made.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_hour(&self, vm_id: u32, hour: i32) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT block FROM cost_hour WHERE hour = ? AND vm_id = ?";
        let rows = self.rows(sql, vec![hour.into(), (vm_id as i32).into()]).await?;
        rows.first().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).transpose()
    }

    /// What the hours `from..to` of closed months would cost, where something has come late.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_late_list(&self, from: i32, to: i32) -> Result<Vec<CostBlock>, StoreError> {
        let sql = "SELECT hour, vm_id, block FROM cost_late WHERE hour >= ? AND hour < ? ORDER BY hour, vm_id";
        let rows = self.rows(sql, vec![from.into(), to.into()]).await?;
        rows.iter().map(|row| cost_block(row).map_err(StoreError::read)).collect()
    }

    /// The hours in `from..=to` in which something finished without a machine and has been made.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn machineless_hour_list(&self, from: i32, to: i32) -> Result<Vec<i32>, StoreError> {
        let sql = "SELECT hour FROM cost_hour WHERE vm_id = 0 AND hour >= ? AND hour <= ?";
        let rows = self.rows(sql, vec![from.into(), to.into()]).await?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).collect()
    }

    /// What storage cost in the closed months `from..=to`, counted as by `Instant::month`: month and block.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_storage_list(&self, from: i32, to: i32) -> Result<Vec<(i32, Vec<u8>)>, StoreError> {
        let rows = self
            .rows("SELECT month, block FROM cost_storage WHERE month BETWEEN ? AND ? ORDER BY month", vec![from.into(), to.into()])
            .await?;
        let read = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.iter().map(read).collect::<Result<_, _>>().map_err(StoreError::read)
    }

    /// Hours of closed months that would cost something by what came late, ascending.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_late_hour_list(&self) -> Result<Vec<i32>, StoreError> {
        let rows = self.rows("SELECT DISTINCT hour FROM cost_late ORDER BY hour", Vec::new()).await?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).collect()
    }

    /// The first instant of which anything is known that may cost: an hour of a machine, an execution, bytes that lie. None: there is none.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_first_at(&self) -> Result<Option<Instant>, StoreError> {
        let mut first = None;
        for (sql, unit_us) in [("SELECT CAST(MIN(hour) AS BIGINT) FROM cost_hour", HOUR_US), ("SELECT MIN(at) FROM storage_snapshot", 1)] {
            let rows = self.rows(sql, Vec::new()).await?;
            let least = rows.first().map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose().map_err(StoreError::read)?;
            first = least.flatten().map(|least| Instant(least * unit_us)).into_iter().chain(first).min();
        }
        Ok(first)
    }

    /// What was booked as corrections of earlier months in each closed month, counted as by `Instant::month`: month and block.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_correction_list(&self) -> Result<Vec<(i32, Vec<u8>)>, StoreError> {
        let rows = self.rows("SELECT month, block FROM cost_correction ORDER BY month", Vec::new()).await?;
        let read = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.iter().map(read).collect::<Result<_, _>>().map_err(StoreError::read)
    }

    /// Days (since 1970) before `before` that have hours of costs and no day cells that hold, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn cost_day_list(&self, before: i32, limit: u64) -> Result<Vec<i32>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT h.hour / 24 FROM cost_hour h WHERE h.hour < ? AND NOT EXISTS \
             (SELECT 1 FROM derived_day d WHERE d.kind = 4 AND d.day = h.hour / 24) ORDER BY 1 LIMIT {limit}"
        );
        let rows = self.rows(&sql, vec![before.saturating_mul(24).into()]).await?;
        rows.into_iter().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).collect()
    }
}

impl WriteTx {
    /// Keeps what storage cost in a month that is being closed.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database, as when it is closed already.
    pub async fn cost_storage_put(&mut self, month: i32, block: Vec<u8>) -> Result<(), StoreError> {
        let values = [Value::Int(month.into()), Value::Bytes(block)];
        self.execute("INSERT INTO cost_storage (month, block) VALUES (?, ?)", &values).await.map(|_| ())
    }

    /// Keeps what is booked as corrections of earlier months in a month that is being closed.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database, as when it is closed already.
    pub async fn cost_correction_put(&mut self, month: i32, block: Vec<u8>) -> Result<(), StoreError> {
        let values = [Value::Int(month.into()), Value::Bytes(block)];
        self.execute("INSERT INTO cost_correction (month, block) VALUES (?, ?)", &values).await.map(|_| ())
    }

    /// Replaces the costs of hours of a machine; those before `closed_until` are kept apart.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn cost_hour_replace(&mut self, vm_id: u32, mut hours: BTreeMap<i32, Vec<u8>>, closed_until: i32) -> Result<(), StoreError> {
        let open = hours.split_off(&closed_until);
        for (table, hours) in [("cost_late", hours), ("cost_hour", open)] {
            let count = hours.len();
            let (keys, blocks): (Vec<_>, Vec<_>) = hours.into_iter().map(|(hour, block)| (Some(i64::from(hour)), Some(block))).unzip();
            let columns = vec![
                ("hour", ColumnData::Ints(keys)),
                ("vm_id", ColumnData::Ints(vec![Some(i64::from(vm_id)); count])),
                ("block", ColumnData::Bytes(blocks)),
            ];
            let clause = "ON CONFLICT (hour, vm_id) DO UPDATE SET block = excluded.block";
            self.insert(&Rows { table, count, columns }, clause).await?;
        }
        Ok(())
    }
}
