//! The events after validation: what `contract/events.md` lets in, with names still as text.
//!
//! Invariants: every field is inside its documented range; checkpoints are in canonical order (name, version, kind, by bytes)
//! and without repeats; instants are UTC microseconds. Must not know: JSON, HTTP, the database.

use plimsoll_entity::value::label::{CheckpointKind, JobState, LoadOutcome, Outcome, PurchaseOption, StorageType, VmState};
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

/// One accepted line.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// One finished attempt of a job.
    Execution(Box<Execution>),
    /// A change of a job's state.
    Job(Box<Job>),
    /// Bytes brought to a GPU or a cache.
    CheckpointLoad(Box<CheckpointLoad>),
    /// A change of a machine's state.
    VmState(Box<VmStateChange>),
    /// Measures of a machine.
    VmSample(Box<VmSample>),
    /// Measures of a GPU.
    GpuSample(Box<GpuSample>),
    /// Bytes held in one place.
    StorageSnapshot(Box<StorageSnapshot>),
}

/// A base model version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelVersion {
    /// Name of the model.
    pub model: String,
    /// Version, `unversioned` where none was told.
    pub version: String,
}

/// A checkpoint version. The order of the fields is the canonical order: name, version, kind (its wire name) by bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointVersion {
    /// Name of the checkpoint.
    pub name: String,
    /// Version, `unversioned` where none was told.
    pub version: String,
    /// What it is to its base model.
    pub kind: CheckpointKind,
}

impl CheckpointVersion {
    /// What the canonical order compares.
    #[must_use]
    pub fn canonical(&self) -> (&[u8], &[u8], &[u8]) {
        (self.name.as_bytes(), self.version.as_bytes(), self.kind.wire().as_bytes())
    }
}

/// Who asked for the work. Names, each null where not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Calling application.
    pub application: Option<String>,
    /// Person or service.
    pub user: Option<String>,
    /// Department.
    pub department: Option<String>,
    /// Project.
    pub project: Option<String>,
}

/// `execution`.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Identity.
    pub id: Uuid,
    /// The job; null: the id is the job.
    pub job: Option<String>,
    /// Attempt, from 1.
    pub attempt: i32,
    /// Base model version.
    pub model: ModelVersion,
    /// Such as `TEXT_TO_IMAGE`.
    pub model_type: Option<String>,
    /// Canonical order, at most 16.
    pub checkpoints: Vec<CheckpointVersion>,
    /// Who asked.
    pub caller: Caller,
    /// Machine.
    pub vm: Option<String>,
    /// GPU indices, ascending and distinct; empty: none named.
    pub gpus: Vec<u16>,
    /// Not after `started_at`.
    pub queued_at: Option<Instant>,
    /// Start.
    pub started_at: Instant,
    /// Not before `started_at`.
    pub finished_at: Instant,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds.
    pub checkpoint_load_ms: Option<f64>,
    /// Milliseconds.
    pub model_init_ms: Option<f64>,
    /// Milliseconds.
    pub inference_ms: Option<f64>,
    /// Bytes, at most 2^53-1.
    pub input_bytes: Option<i64>,
    /// Bytes, at most 2^53-1.
    pub output_bytes: Option<i64>,
    /// Bytes, at most 2^53-1.
    pub gpu_memory_peak_bytes: Option<i64>,
    /// CPU seconds.
    pub cpu_seconds: Option<f64>,
    /// Always there when `outcome` is failed.
    pub error_type: Option<String>,
    /// At most 2,000 characters.
    pub error_message: Option<String>,
}

/// `job`.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Identity of the event.
    pub id: Uuid,
    /// The job.
    pub job: String,
    /// When it changed.
    pub at: Instant,
    /// To what.
    pub state: JobState,
    /// Base model version.
    pub model: ModelVersion,
    /// Canonical order, at most 16.
    pub checkpoints: Vec<CheckpointVersion>,
    /// Attempt, from 1, where told.
    pub attempt: Option<i32>,
    /// Who asked.
    pub caller: Caller,
    /// Machine.
    pub vm: Option<String>,
    /// GPU indices, ascending and distinct; empty: none named.
    pub gpus: Vec<u16>,
}

/// `checkpointLoad`.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointLoad {
    /// Identity.
    pub id: Uuid,
    /// Start.
    pub started_at: Instant,
    /// Not before `started_at`.
    pub finished_at: Instant,
    /// Machine.
    pub vm: String,
    /// Where the bytes came from.
    pub storage_type: StorageType,
    /// They were already on this machine.
    pub cache_hit: bool,
    /// Base model version.
    pub model: ModelVersion,
    /// Null: the base model itself.
    pub checkpoint: Option<CheckpointVersion>,
    /// GPU index.
    pub gpu: Option<u16>,
    /// Where in the storage.
    pub storage_location: Option<String>,
    /// Bytes, at most 2^53-1.
    pub size_bytes: Option<i64>,
    /// Execution that waited for it.
    pub execution: Option<Uuid>,
    /// How it ended.
    pub outcome: LoadOutcome,
    /// Kind of error.
    pub error_type: Option<String>,
}

/// `vmState`.
#[derive(Clone, Debug, PartialEq)]
pub struct VmStateChange {
    /// Identity.
    pub id: Uuid,
    /// Machine.
    pub vm: String,
    /// When it changed.
    pub at: Instant,
    /// To what.
    pub state: VmState,
    /// Name of the instance type.
    pub instance_type: Option<String>,
    /// Provider.
    pub provider: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// How it was bought.
    pub purchase_option: Option<PurchaseOption>,
    /// vCPUs of the instance type.
    pub v_cpus: Option<i32>,
    /// Memory of the instance type in bytes.
    pub memory_bytes: Option<i64>,
    /// GPU model of the instance type.
    pub gpu_model: Option<String>,
    /// GPUs of the instance type.
    pub gpu_count: Option<i32>,
}

/// `vmSample`. At least one measure is there.
#[derive(Clone, Debug, PartialEq)]
pub struct VmSample {
    /// Machine.
    pub vm: String,
    /// End of the interval.
    pub at: Instant,
    /// Length of the interval, more than 0.
    pub interval_seconds: f64,
    /// 0 to 1.
    pub cpu_ratio: Option<f64>,
    /// Bytes.
    pub memory_used_bytes: Option<i64>,
    /// Bytes.
    pub memory_total_bytes: Option<i64>,
    /// Bytes.
    pub disk_used_bytes: Option<i64>,
    /// Bytes.
    pub disk_total_bytes: Option<i64>,
    /// 0 to 1.
    pub disk_busy_ratio: Option<f64>,
    /// Bytes over the interval.
    pub network_received_bytes: Option<i64>,
    /// Bytes over the interval.
    pub network_sent_bytes: Option<i64>,
    /// Errors over the interval.
    pub network_errors: Option<i64>,
    /// Bytes over the interval.
    pub disk_read_bytes: Option<i64>,
    /// Bytes over the interval.
    pub disk_written_bytes: Option<i64>,
    /// Operations over the interval.
    pub disk_read_ops: Option<i64>,
    /// Operations over the interval.
    pub disk_write_ops: Option<i64>,
}

/// `gpuSample`. At least one measure is there.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuSample {
    /// Machine.
    pub vm: String,
    /// GPU index.
    pub gpu: u16,
    /// Instant.
    pub at: Instant,
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
    /// The GPU's own id.
    pub uuid: Option<String>,
    /// Product name.
    pub name: Option<String>,
}

/// `storageSnapshot`. At least one of model and checkpoint is there.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageSnapshot {
    /// Identity.
    pub id: Uuid,
    /// From when.
    pub at: Instant,
    /// Kind of place.
    pub storage_type: StorageType,
    /// Bytes; 0: deleted.
    pub size_bytes: i64,
    /// Base model version.
    pub model: Option<ModelVersion>,
    /// Checkpoint version.
    pub checkpoint: Option<CheckpointVersion>,
    /// Where in the storage.
    pub storage_location: Option<String>,
}
