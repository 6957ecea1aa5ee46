//! What machine-hours are rebuilt from, and where they are kept.
//!
//! Invariant: a machine's hours that were rebuilt together are replaced together. Must not know: what stands in their bytes.

use std::collections::BTreeMap;

use plimsoll_entity::value::time::{HOUR_US, Instant};
use plimsoll_entity::vm;
use sea_orm::{EntityTrait, QueryResult};
use uuid::Uuid;

use super::facts::{decode_gpus, gpu_sample_columns};
use super::{ColumnData, GpuSampleFact, Rows, Snapshot, StoreError, Value, WriteTx};

/// Blocks read for one question at a time, in hours.
pub const HOURS_PER_READ: i32 = 6;

/// An execution on a machine as its timeline needs it. Ids of names are 0 where unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: Uuid,
    /// Start.
    pub started_at: Instant,
    /// End.
    pub finished_at: Instant,
    /// GPU indices named.
    pub gpus: Vec<u16>,
    /// Combination, application, user, department, project, error type.
    pub ids: [u32; 6],
    /// Code of the outcome.
    pub outcome: i16,
    /// Milliseconds.
    pub checkpoint_load_ms: Option<f64>,
    /// Milliseconds.
    pub model_init_ms: Option<f64>,
    /// Bytes.
    pub gpu_memory_peak_bytes: Option<i64>,
}

/// What a machine has told of itself besides its states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touches {
    /// First and last instant at which a sample, load or execution touched it.
    pub touched: Option<(Instant, Instant)>,
    /// Memory of one of its GPUs in bytes.
    pub gpu_memory_bytes: Option<i64>,
}

/// What the hours of a machine were built with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Its lives and their shapes, as the timeline writes them.
    pub lives: Vec<u8>,
    /// What its bills were made with; none: they have to be made.
    pub billings: Option<Vec<u8>>,
    /// From when to when it was touched.
    pub touched: Option<(Instant, Instant)>,
}

/// A rebuilt hour of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineHour {
    /// Derived cells.
    pub block: Vec<u8>,
    /// What it hands on.
    pub carry: Vec<u8>,
}

fn run_row(row: &QueryResult) -> Result<RunRow, StoreError> {
    let get = || -> Result<(RunRow, Option<Vec<u8>>), sea_orm::DbErr> {
        let id = |at: usize| row.try_get_by_index::<Option<i32>>(at).map(|id| id.map_or(0, |id| id as u32));
        let run = RunRow {
            id: row.try_get_by_index(0)?,
            started_at: Instant(row.try_get_by_index(1)?),
            finished_at: Instant(row.try_get_by_index(2)?),
            gpus: Vec::new(),
            ids: [id(4)?, id(5)?, id(6)?, id(7)?, id(8)?, id(9)?],
            outcome: row.try_get_by_index(10)?,
            checkpoint_load_ms: row.try_get_by_index(11)?,
            model_init_ms: row.try_get_by_index(12)?,
            gpu_memory_peak_bytes: row.try_get_by_index(13)?,
        };
        Ok((run, row.try_get_by_index(3)?))
    };
    let (mut run, gpus) = get().map_err(StoreError::read)?;
    run.gpus = decode_gpus(gpus.as_deref())?;
    Ok(run)
}

impl Snapshot {
    /// Executions of a machine that started in the hours `from..to`.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn run_list(&self, vm_id: u32, from: i32, to: i32) -> Result<Vec<RunRow>, StoreError> {
        let (from_us, to_us) = (i64::from(from) * HOUR_US, i64::from(to) * HOUR_US);
        self.facts_from(Instant(from_us))?;
        // The last condition follows from the others; by it PostgreSQL passes over the months before.
        let sql = "SELECT id, started_at, finished_at, gpus, combination_id, application_id, user_id, department_id, project_id, error_type_id, \
             outcome, checkpoint_load_ms, model_init_ms, gpu_memory_peak_bytes FROM execution \
             WHERE vm_id = ? AND started_at >= ? AND started_at < ? AND finished_at >= ?";
        let rows = self.rows(sql, vec![(vm_id as i32).into(), from_us.into(), to_us.into(), from_us.into()]).await?;
        rows.iter().map(run_row).collect()
    }

    /// GPU samples of a machine in the hours `from..to`, with their GPU.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn machine_gpu_sample_list(&self, vm_id: u32, from: i32, to: i32) -> Result<Vec<(u16, GpuSampleFact)>, StoreError> {
        self.samples_from(Instant(i64::from(from) * HOUR_US))?;
        let sql = format!("SELECT {}, gpu FROM gpu_sample WHERE vm_id = ? AND at >= ? AND at < ?", gpu_sample_columns());
        let values = vec![(vm_id as i32).into(), (i64::from(from) * HOUR_US).into(), (i64::from(to) * HOUR_US).into()];
        let rows = self.rows(&sql, values).await?;
        rows.iter()
            .map(|row| {
                let gpu: i32 = row.try_get_by_index(7).map_err(StoreError::read)?;
                let gpu = u16::try_from(gpu).map_err(|_| StoreError::Inconsistent("GPU index"))?;
                Ok((gpu, super::facts::gpu_sample_fact(row).map_err(StoreError::read)?))
            })
            .collect()
    }

    /// The last hour of a machine before `hour` and what it hands on; none when there is none.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn carry_before(&self, vm_id: u32, hour: i32) -> Result<Option<(i32, Vec<u8>)>, StoreError> {
        let sql = "SELECT hour, carry FROM machine_hour WHERE vm_id = ? AND hour < ? ORDER BY hour DESC LIMIT 1";
        let rows = self.rows(sql, vec![(vm_id as i32).into(), hour.into()]).await?;
        let pair = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.first().map(|row| pair(row).map_err(StoreError::read)).transpose()
    }

    /// What the hours `from..to` of a machine hand on.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn carry_list(&self, vm_id: u32, from: i32, to: i32) -> Result<BTreeMap<i32, Vec<u8>>, StoreError> {
        let sql = "SELECT hour, carry FROM machine_hour WHERE vm_id = ? AND hour >= ? AND hour < ?";
        let rows = self.rows(sql, vec![(vm_id as i32).into(), from.into(), to.into()]).await?;
        let pair = |row: QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        rows.into_iter().map(|row| pair(row).map_err(StoreError::read)).collect()
    }

    /// Executions without a machine that finished in an hour.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn machineless_run_list(&self, hour: i32) -> Result<Vec<RunRow>, StoreError> {
        let (from_us, to_us) = (i64::from(hour) * HOUR_US, (i64::from(hour) + 1) * HOUR_US);
        self.facts_from(Instant(from_us))?;
        let sql = "SELECT id, started_at, finished_at, gpus, combination_id, application_id, user_id, department_id, project_id, error_type_id, \
             outcome, checkpoint_load_ms, model_init_ms, gpu_memory_peak_bytes FROM execution \
             WHERE vm_id IS NULL AND finished_at >= ? AND finished_at < ?";
        let rows = self.rows(sql, vec![from_us.into(), to_us.into()]).await?;
        rows.iter().map(run_row).collect()
    }

    /// The first hour of a machine from `hour` on that has been built; none when there is none.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn machine_hour_next(&self, vm_id: u32, hour: i32) -> Result<Option<i32>, StoreError> {
        let sql = "SELECT MIN(hour) FROM machine_hour WHERE vm_id = ? AND hour >= ?";
        let rows = self.rows(sql, vec![(vm_id as i32).into(), hour.into()]).await?;
        rows.first().map_or(Ok(None), |row| row.try_get_by_index(0).map_err(StoreError::read))
    }

    /// Blocks of the hours `from..to` of every machine: hour, machine, block.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn machine_hour_list(&self, from: i32, to: i32) -> Result<Vec<(i32, u32, Vec<u8>)>, StoreError> {
        let sql = "SELECT hour, vm_id, block FROM machine_hour WHERE hour >= ? AND hour < ? ORDER BY hour, vm_id";
        let rows = self.rows(sql, vec![from.into(), to.into()]).await?;
        let read = |row: QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index::<i32>(1)? as u32, row.try_get_by_index(2)?));
        rows.into_iter().map(|row| read(row).map_err(StoreError::read)).collect()
    }

    /// Number of machine-hours before an hour.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn machine_hour_count(&self, before: i32) -> Result<u64, StoreError> {
        let rows = self.rows("SELECT COUNT(*) FROM machine_hour WHERE hour < ?", vec![before.into()]).await?;
        let count: i64 = rows.first().ok_or(StoreError::Inconsistent("count"))?.try_get_by_index(0).map_err(StoreError::read)?;
        Ok(count.unsigned_abs())
    }

    /// Days (since 1970) before `before` that have machine-hours and no derived cells that hold, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn timeline_day_list(&self, before: i32, limit: u64) -> Result<Vec<i32>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT h.hour / 24 FROM machine_hour h WHERE h.hour < ? AND NOT EXISTS \
             (SELECT 1 FROM derived_day d WHERE d.kind = 1 AND d.day = h.hour / 24) ORDER BY 1 LIMIT {limit}"
        );
        let rows = self.rows(&sql, vec![before.saturating_mul(24).into()]).await?;
        rows.into_iter().map(|row| row.try_get_by_index(0).map_err(StoreError::read)).collect()
    }

    /// What machines were touched by, by machine.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn touches_list(&self) -> Result<BTreeMap<u32, Touches>, StoreError> {
        let rows = vm::Entity::find().all(self.tx()).await.map_err(StoreError::read)?;
        let touches = |row: vm::Model| {
            let touched = row.first_touch_at.zip(row.last_touch_at).map(|(first, last)| (Instant(first), Instant(last)));
            (row.vm_id as u32, Touches { touched, gpu_memory_bytes: row.gpu_memory_bytes })
        };
        Ok(rows.into_iter().map(touches).collect())
    }

    /// What the hours of each machine were built with.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn built_list(&self) -> Result<BTreeMap<u32, Built>, StoreError> {
        let rows = self.rows("SELECT vm_id, lives, touched_from, touched_to, billings FROM machine_built", Vec::new()).await?;
        let read = |row: QueryResult| -> Result<(u32, Built), sea_orm::DbErr> {
            let touched = row.try_get_by_index::<Option<i64>>(2)?.zip(row.try_get_by_index::<Option<i64>>(3)?);
            let built = Built {
                lives: row.try_get_by_index(1)?,
                billings: row.try_get_by_index(4)?,
                touched: touched.map(|(from, to)| (Instant(from), Instant(to))),
            };
            Ok((row.try_get_by_index::<i32>(0)? as u32, built))
        };
        rows.into_iter().map(|row| read(row).map_err(StoreError::read)).collect()
    }

    /// The first hour that has not been built for every machine.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn timeline_next_hour(&self) -> Result<i32, StoreError> {
        let rows = self.rows("SELECT value FROM counter WHERE name = 'timeline_next_hour'", Vec::new()).await?;
        let value: i64 = rows.first().ok_or(StoreError::Inconsistent("counter"))?.try_get_by_index(0).map_err(StoreError::read)?;
        i32::try_from(value).map_err(|_| StoreError::Inconsistent("counter"))
    }
}

impl WriteTx {
    /// Replaces hours of a machine.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn machine_hour_replace(&mut self, vm_id: u32, hours: BTreeMap<i32, MachineHour>) -> Result<(), StoreError> {
        let count = hours.len();
        let (mut keys, mut blocks, mut carries) = (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for (hour, built) in hours {
            keys.push(Some(i64::from(hour)));
            blocks.push(Some(built.block));
            carries.push(Some(built.carry));
        }
        let columns = vec![
            ("hour", ColumnData::Ints(keys)),
            ("vm_id", ColumnData::Ints(vec![Some(i64::from(vm_id)); count])),
            ("block", ColumnData::Bytes(blocks)),
            ("carry", ColumnData::Bytes(carries)),
        ];
        let clause = "ON CONFLICT (hour, vm_id) DO UPDATE SET block = excluded.block, carry = excluded.carry";
        self.insert(&Rows { table: "machine_hour", count, columns }, clause).await.map(|_| ())
    }

    /// Tells what the hours of machines have been built with.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn built_replace(&mut self, machines: &BTreeMap<u32, Built>) -> Result<(), StoreError> {
        let touched = |end: fn(&(Instant, Instant)) -> i64| {
            ColumnData::Ints(machines.values().map(|built| built.touched.as_ref().map(end)).collect())
        };
        let columns = vec![
            ("vm_id", ColumnData::Ints(machines.keys().map(|vm| Some(i64::from(*vm))).collect())),
            ("lives", ColumnData::Bytes(machines.values().map(|built| Some(built.lives.clone())).collect())),
            ("billings", ColumnData::Bytes(machines.values().map(|built| built.billings.clone()).collect())),
            ("touched_from", touched(|touched| touched.0.0)),
            ("touched_to", touched(|touched| touched.1.0)),
        ];
        let clause = "ON CONFLICT (vm_id) DO UPDATE SET lives = excluded.lives, billings = excluded.billings, touched_from = excluded.touched_from, \
             touched_to = excluded.touched_to";
        self.insert(&Rows { table: "machine_built", count: machines.len(), columns }, clause).await.map(|_| ())
    }

    /// Every hour before this one has been built.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn timeline_next_hour_set(&mut self, hour: i32) -> Result<(), StoreError> {
        self.execute("UPDATE counter SET value = ? WHERE name = 'timeline_next_hour'", &[Value::Int(hour.into())]).await.map(|_| ())
    }
}
