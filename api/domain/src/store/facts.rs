//! Facts as the figures read them: streams by time, in chunks.
//!
//! Invariant: a window is read in order of time and never held as a whole.

use futures_util::{Stream, StreamExt as _};
use plimsoll_entity::value::time::{Instant, Window};
use plimsoll_entity::value::varint::{Reader, put_u64};
use sea_orm::{ConnectionTrait, QueryResult, Statement, StreamTrait};

use super::dialect::render;
use super::{Snapshot, StoreError};

/// The GPU indices as the database keeps them: distances, each a varint; none named: null.
#[must_use]
pub fn encode_gpus(gpus: &[u16]) -> Option<Vec<u8>> {
    if gpus.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(gpus.len());
    let mut before = 0;
    for gpu in gpus {
        put_u64(&mut out, u64::from(gpu - before));
        before = *gpu;
    }
    Some(out)
}

/// The GPU indices of a row, ascending.
///
/// # Errors
/// [`StoreError::Block`] when the bytes are damaged.
pub fn decode_gpus(bytes: Option<&[u8]>) -> Result<Vec<u16>, StoreError> {
    let mut reader = Reader::new(bytes.unwrap_or_default());
    let (mut gpus, mut gpu) = (Vec::new(), 0_u64);
    while !reader.is_empty() {
        gpu += reader.u64()?;
        gpus.push(u16::try_from(gpu).map_err(|_| StoreError::Inconsistent("GPU index"))?);
    }
    Ok(gpus)
}

/// An execution as the figures need it. Ids of names are 0 where unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecutionFact {
    /// End.
    pub finished_at: Instant,
    /// Start.
    pub started_at: Instant,
    /// When it was queued.
    pub queued_at: Option<Instant>,
    /// Combination.
    pub combination_id: u32,
    /// Application.
    pub application_id: u32,
    /// User.
    pub user_id: u32,
    /// Department.
    pub department_id: u32,
    /// Project.
    pub project_id: u32,
    /// Machine.
    pub vm_id: u32,
    /// GPUs named.
    pub gpus_named: usize,
    /// Code of the outcome.
    pub outcome: i16,
    /// Error type.
    pub error_type_id: u32,
    /// Milliseconds.
    pub checkpoint_load_ms: Option<f64>,
    /// Milliseconds.
    pub model_init_ms: Option<f64>,
    /// Milliseconds.
    pub inference_ms: Option<f64>,
    /// Bytes.
    pub input_bytes: Option<i64>,
    /// Bytes.
    pub output_bytes: Option<i64>,
    /// Bytes.
    pub gpu_memory_peak_bytes: Option<i64>,
    /// CPU seconds.
    pub cpu_seconds: Option<f64>,
}

/// Which columns of an execution a question reads; end, start, combination, outcome and error type are always read. Each column
/// costs a row as much as the row itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionColumns {
    /// Application, user, department, project.
    pub caller: bool,
    /// Machine.
    pub vm: bool,
    /// GPUs named and CPU seconds.
    pub usage: bool,
    /// When it was queued.
    pub queued_at: bool,
    /// Load, init, inference in milliseconds; input, output, peak GPU memory in bytes.
    pub measures: [bool; 6],
}

/// Names of [`ExecutionColumns::measures`].
const MEASURES: [&str; 6] = ["checkpoint_load_ms", "model_init_ms", "inference_ms", "input_bytes", "output_bytes", "gpu_memory_peak_bytes"];

impl ExecutionColumns {
    /// The columns as they are selected, in the order in which a row is read.
    fn list(self) -> String {
        let mut names = vec!["finished_at", "started_at", "combination_id", "outcome", "error_type_id"];
        if self.caller {
            names.extend(["application_id", "user_id", "department_id", "project_id"]);
        }
        if self.vm {
            names.push("vm_id");
        }
        if self.usage {
            names.extend(["gpus", "cpu_seconds"]);
        }
        if self.queued_at {
            names.push("queued_at");
        }
        names.extend(MEASURES.into_iter().zip(self.measures).filter(|(_, wanted)| *wanted).map(|(name, _)| name));
        names.join(", ")
    }
}

fn id(row: &QueryResult, at: usize) -> Result<u32, sea_orm::DbErr> {
    row.try_get_by_index::<Option<i32>>(at).map(|id| id.map_or(0, |id| id as u32))
}

fn execution_fact(row: &QueryResult, columns: ExecutionColumns) -> Result<ExecutionFact, StoreError> {
    let mut fact = ExecutionFact::default();
    let gpus = read_execution(row, columns, &mut fact).map_err(StoreError::read)?;
    fact.gpus_named = decode_gpus(gpus.as_deref())?.len();
    Ok(fact)
}

fn read_execution(row: &QueryResult, columns: ExecutionColumns, fact: &mut ExecutionFact) -> Result<Option<Vec<u8>>, sea_orm::DbErr> {
    fact.finished_at = Instant(row.try_get_by_index(0)?);
    fact.started_at = Instant(row.try_get_by_index(1)?);
    fact.combination_id = id(row, 2)?;
    fact.outcome = row.try_get_by_index(3)?;
    fact.error_type_id = id(row, 4)?;
    let (mut at, mut gpus) = (5, None);
    if columns.caller {
        (fact.application_id, fact.user_id) = (id(row, at)?, id(row, at + 1)?);
        (fact.department_id, fact.project_id) = (id(row, at + 2)?, id(row, at + 3)?);
        at += 4;
    }
    if columns.vm {
        fact.vm_id = id(row, at)?;
        at += 1;
    }
    if columns.usage {
        gpus = row.try_get_by_index(at)?;
        fact.cpu_seconds = row.try_get_by_index(at + 1)?;
        at += 2;
    }
    if columns.queued_at {
        fact.queued_at = row.try_get_by_index::<Option<i64>>(at)?.map(Instant);
        at += 1;
    }
    for (measure, _) in columns.measures.into_iter().enumerate().filter(|(_, wanted)| *wanted) {
        match measure {
            0 => fact.checkpoint_load_ms = row.try_get_by_index(at)?,
            1 => fact.model_init_ms = row.try_get_by_index(at)?,
            2 => fact.inference_ms = row.try_get_by_index(at)?,
            3 => fact.input_bytes = row.try_get_by_index(at)?,
            4 => fact.output_bytes = row.try_get_by_index(at)?,
            _ => fact.gpu_memory_peak_bytes = row.try_get_by_index(at)?,
        }
        at += 1;
    }
    Ok(gpus)
}

/// A machine sample as the figures need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VmSampleFact {
    /// End of the interval.
    pub at: Instant,
    /// Machine.
    pub vm_id: u32,
    /// Length of the interval.
    pub interval_seconds: f64,
    /// 0 to 1.
    pub cpu_ratio: Option<f64>,
    /// 0 to 1.
    pub disk_busy_ratio: Option<f64>,
    /// `memoryUsedBytes`, `memoryTotalBytes`, `diskUsedBytes`, `diskTotalBytes`.
    pub levels: [Option<i64>; 4],
    /// `networkReceivedBytes`, `networkSentBytes`, `networkErrors`, `diskReadBytes`, `diskWrittenBytes`, `diskReadOps`, `diskWriteOps`.
    pub amounts: [Option<i64>; 7],
}

/// A GPU sample as the figures need it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuSampleFact {
    /// Instant.
    pub at: Instant,
    /// Machine.
    pub vm_id: u32,
    /// 0 to 1.
    pub utilization_ratio: Option<f64>,
    /// Bytes.
    pub memory_used_bytes: Option<i64>,
    /// Bytes.
    pub memory_total_bytes: Option<i64>,
    /// Degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// Watts.
    pub power_watts: Option<f64>,
}

impl Snapshot {
    /// Executions that finished in the window, in order of time.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn execution_stream(
        &self,
        window: Window,
        columns: ExecutionColumns,
    ) -> Result<impl Stream<Item = Result<ExecutionFact, StoreError>> + Send + '_, StoreError> {
        self.facts_from(window.start)?;
        let sql = format!("SELECT {} FROM execution WHERE finished_at >= ? AND finished_at < ?", columns.list());
        let rows = self.stream(&sql, window).await?;
        Ok(rows.map(move |row| execution_fact(&row.map_err(StoreError::read)?, columns)))
    }

    /// Machine samples in the window.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn vm_sample_stream(
        &self,
        window: Window,
    ) -> Result<impl Stream<Item = Result<VmSampleFact, StoreError>> + Send + '_, StoreError> {
        self.samples_from(window.start)?;
        let sql = format!("SELECT {} FROM vm_sample WHERE at >= ? AND at < ?", vm_sample_columns());
        let rows = self.stream(&sql, window).await?;
        Ok(rows.map(|row| vm_sample_fact(&row.map_err(StoreError::read)?).map_err(StoreError::read)))
    }

    /// GPU samples in the window.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn gpu_sample_stream(
        &self,
        window: Window,
    ) -> Result<impl Stream<Item = Result<GpuSampleFact, StoreError>> + Send + '_, StoreError> {
        self.samples_from(window.start)?;
        let sql = format!("SELECT {} FROM gpu_sample WHERE at >= ? AND at < ?", gpu_sample_columns());
        let rows = self.stream(&sql, window).await?;
        Ok(rows.map(|row| gpu_sample_fact(&row.map_err(StoreError::read)?).map_err(StoreError::read)))
    }

    pub(super) async fn stream<'a>(
        &'a self,
        sql: &str,
        window: Window,
    ) -> Result<impl Stream<Item = Result<QueryResult, sea_orm::DbErr>> + Send + use<'a>, StoreError> {
        let backend = ConnectionTrait::get_database_backend(self.tx());
        let values = vec![window.start.0.into(), window.end.0.into()];
        let statement = Statement::from_sql_and_values(backend, render(sql, backend), values);
        self.tx().stream_raw(statement).await.map_err(StoreError::read)
    }
}

/// The columns of a machine sample in the order in which [`vm_sample_fact`] reads them.
pub(super) const fn vm_sample_columns() -> &'static str {
    "at, vm_id, interval_seconds, cpu_ratio, disk_busy_ratio, memory_used_bytes, memory_total_bytes, disk_used_bytes, disk_total_bytes, \
     network_received_bytes, network_sent_bytes, network_errors, disk_read_bytes, disk_written_bytes, disk_read_ops, disk_write_ops"
}

pub(super) fn vm_sample_fact(row: &QueryResult) -> Result<VmSampleFact, sea_orm::DbErr> {
    let mut fact = VmSampleFact {
        at: Instant(row.try_get_by_index(0)?),
        vm_id: id(row, 1)?,
        interval_seconds: row.try_get_by_index(2)?,
        cpu_ratio: row.try_get_by_index(3)?,
        disk_busy_ratio: row.try_get_by_index(4)?,
        ..VmSampleFact::default()
    };
    for (at, level) in fact.levels.iter_mut().enumerate() {
        *level = row.try_get_by_index(5 + at)?;
    }
    for (at, amount) in fact.amounts.iter_mut().enumerate() {
        *amount = row.try_get_by_index(9 + at)?;
    }
    Ok(fact)
}

/// The columns of a GPU sample in the order in which [`gpu_sample_fact`] reads them.
pub(super) const fn gpu_sample_columns() -> &'static str {
    "at, vm_id, utilization_ratio, memory_used_bytes, memory_total_bytes, temperature_celsius, power_watts"
}

pub(super) fn gpu_sample_fact(row: &QueryResult) -> Result<GpuSampleFact, sea_orm::DbErr> {
    Ok(GpuSampleFact {
        at: Instant(row.try_get_by_index(0)?),
        vm_id: id(row, 1)?,
        utilization_ratio: row.try_get_by_index(2)?,
        memory_used_bytes: row.try_get_by_index(3)?,
        memory_total_bytes: row.try_get_by_index(4)?,
        temperature_celsius: row.try_get_by_index(5)?,
        power_watts: row.try_get_by_index(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpu_indices_come_back() {
        for gpus in [vec![], vec![0], vec![0, 3, 700]] {
            assert_eq!(decode_gpus(encode_gpus(&gpus).as_deref()).unwrap(), gpus);
        }
        assert_eq!(encode_gpus(&[]), None);
    }
}
