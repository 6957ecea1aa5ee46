//! What machines have told of their GPUs, and when they were touched.
//!
//! Invariant: rows are written in the order of machines, so that two writers never wait for each other in a circle.

use std::collections::{BTreeMap, HashMap};

use plimsoll_entity::value::time::Instant;

use super::{ColumnData, Rows, StoreError, WriteTx};

impl WriteTx {
    /// Raises the highest GPU index of machines; whether any was raised.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn gpu_index_raise(&mut self, indices: &HashMap<u32, u16>) -> Result<bool, StoreError> {
        let mut sorted: Vec<(u32, u16)> = indices.iter().map(|(vm, index)| (*vm, *index)).collect();
        sorted.sort_unstable();
        let columns = vec![
            ("vm_id", ColumnData::Ints(sorted.iter().map(|(vm, _)| Some(i64::from(*vm))).collect())),
            ("gpu_index_max", ColumnData::Ints(sorted.iter().map(|(_, index)| Some(i64::from(*index))).collect())),
        ];
        let clause = "ON CONFLICT (vm_id) DO UPDATE SET gpu_index_max = excluded.gpu_index_max \
             WHERE vm.gpu_index_max IS NULL OR vm.gpu_index_max < excluded.gpu_index_max";
        Ok(self.insert(&Rows { table: "vm", count: sorted.len(), columns }, clause).await? > 0)
    }
}

impl WriteTx {
    /// Widens the stretches in which machines were touched by samples, loads and executions (microseconds).
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn vm_touch(&mut self, touched: &BTreeMap<u32, (i64, i64)>) -> Result<(), StoreError> {
        let columns = vec![
            ("vm_id", ColumnData::Ints(touched.keys().map(|vm| Some(i64::from(*vm))).collect())),
            ("first_touch_at", ColumnData::Ints(touched.values().map(|(first, _)| Some(*first)).collect())),
            ("last_touch_at", ColumnData::Ints(touched.values().map(|(_, last)| Some(*last)).collect())),
        ];
        let clause = "ON CONFLICT (vm_id) DO UPDATE SET \
             first_touch_at = CASE WHEN vm.first_touch_at < excluded.first_touch_at THEN vm.first_touch_at ELSE excluded.first_touch_at END, \
             last_touch_at = CASE WHEN vm.last_touch_at > excluded.last_touch_at THEN vm.last_touch_at ELSE excluded.last_touch_at END";
        self.insert(&Rows { table: "vm", count: touched.len(), columns }, clause).await.map(|_| ())
    }

    /// Tells the memory of one GPU of machines (instant, bytes), unless something newer has been told, or more at that instant: the
    /// order of arrival must not decide.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn gpu_memory_tell(&mut self, told: &BTreeMap<u32, (Instant, i64)>) -> Result<(), StoreError> {
        let columns = vec![
            ("vm_id", ColumnData::Ints(told.keys().map(|vm| Some(i64::from(*vm))).collect())),
            ("gpu_memory_bytes", ColumnData::Ints(told.values().map(|(_, bytes)| Some(*bytes)).collect())),
            ("gpu_memory_at", ColumnData::Ints(told.values().map(|(at, _)| Some(at.0)).collect())),
        ];
        let clause = "ON CONFLICT (vm_id) DO UPDATE SET gpu_memory_bytes = excluded.gpu_memory_bytes, gpu_memory_at = excluded.gpu_memory_at \
             WHERE vm.gpu_memory_at IS NULL OR vm.gpu_memory_at < excluded.gpu_memory_at \
             OR (vm.gpu_memory_at = excluded.gpu_memory_at AND vm.gpu_memory_bytes < excluded.gpu_memory_bytes)";
        self.insert(&Rows { table: "vm", count: told.len(), columns }, clause).await.map(|_| ())
    }
}
