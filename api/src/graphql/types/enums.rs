//! Closed enums of the schema, one to one with those of the events.

use async_graphql::Enum;
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions;
use plimsoll_entity::value::{label, time};

/// What a checkpoint is to its base model.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::CheckpointKind")]
pub enum CheckpointKind {
    /// Low-rank adapter.
    Lora,
    /// Conditioning network.
    Controlnet,
    /// Full fine-tune.
    FineTune,
    /// Textual inversion.
    Embedding,
    /// Autoencoder.
    Vae,
    /// Anything else.
    Other,
}

/// How an execution ended.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::Outcome")]
pub enum Outcome {
    /// It gave its result.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// Where bytes come from or lie.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::StorageType")]
pub enum StorageType {
    /// Memory of a GPU.
    GpuMemory,
    /// Memory of the machine.
    HostMemory,
    /// A disk of the machine.
    LocalDisk,
    /// A shared file system.
    NetworkFilesystem,
    /// An object store.
    ObjectStore,
}

/// What a cost is for.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::ServiceType")]
pub enum ServiceType {
    /// Machines.
    Compute,
    /// Bytes that lie.
    Storage,
    /// Bytes that move.
    Transfer,
}

/// State of a job.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::JobState")]
pub enum JobState {
    /// It waits.
    Queued,
    /// It runs.
    Running,
    /// Its last attempt succeeded.
    Succeeded,
    /// Its last attempt failed.
    Failed,
    /// It was stopped.
    Cancelled,
}

/// State of a machine.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::VmState")]
pub enum VmState {
    /// It was asked for.
    Requested,
    /// It is being made.
    Provisioning,
    /// It serves.
    Running,
    /// It does not answer.
    Unreachable,
    /// It was taken out on purpose.
    Maintenance,
    /// It is stopped and not billed.
    Stopped,
    /// It is being given back.
    Deprovisioning,
    /// It is gone; this ends a life.
    Terminated,
    /// It is broken.
    Failed,
}

/// How a machine was bought.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::PurchaseOption")]
pub enum PurchaseOption {
    /// By the hour.
    OnDemand,
    /// Interruptible.
    Spot,
    /// Committed.
    Reserved,
}

/// A UTC calendar unit.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "time::Step")]
pub enum Step {
    /// One UTC minute.
    Minute,
    /// One UTC hour.
    Hour,
    /// One UTC day.
    Day,
    /// One UTC month.
    Month,
}

/// What executions can be broken down by. In every `by`: at most 4 dimensions, none twice.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionDimension {
    /// Type of the base model, the newest that an event told.
    ModelType,
    /// Base model.
    Model,
    /// Base model version.
    ModelVersion,
    /// Checkpoint: an execution counts in the row of each that it applied.
    Checkpoint,
    /// Checkpoint version: an execution counts in the row of each that it applied.
    CheckpointVersion,
    /// Base model version and the set of checkpoint versions applied together.
    Combination,
    /// Calling application.
    Application,
    /// Person or service that asked.
    User,
    /// Department that asked.
    Department,
    /// Project for which it ran.
    Project,
    /// Machine.
    Vm,
    /// Instance type of the machine when the execution finished.
    InstanceType,
    /// Region of the machine when the execution finished.
    Region,
    /// Provider of the machine when the execution finished.
    Provider,
    /// Error type; null for executions without one.
    ErrorType,
}

impl ExecutionDimension {
    /// The dimension of the schema; none for what is no dimension of executions.
    pub fn of(dimension: Dimension) -> Option<Self> {
        let all = <Self as async_graphql::resolver_utils::EnumType>::items();
        all.iter().map(|item| item.value).find(|known| Dimension::from(*known) == dimension)
    }
}

impl From<ExecutionDimension> for Dimension {
    fn from(dimension: ExecutionDimension) -> Self {
        match dimension {
            ExecutionDimension::ModelType => Self::ModelType,
            ExecutionDimension::Model => Self::Model,
            ExecutionDimension::ModelVersion => Self::ModelVersion,
            ExecutionDimension::Checkpoint => Self::Checkpoint,
            ExecutionDimension::CheckpointVersion => Self::CheckpointVersion,
            ExecutionDimension::Combination => Self::Combination,
            ExecutionDimension::Application => Self::Application,
            ExecutionDimension::User => Self::User,
            ExecutionDimension::Department => Self::Department,
            ExecutionDimension::Project => Self::Project,
            ExecutionDimension::Vm => Self::Vm,
            ExecutionDimension::InstanceType => Self::InstanceType,
            ExecutionDimension::Region => Self::Region,
            ExecutionDimension::Provider => Self::Provider,
            ExecutionDimension::ErrorType => Self::ErrorType,
        }
    }
}

/// What machines can be broken down by. In every `by`: none twice.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineDimension {
    /// Machine.
    Vm,
    /// Instance type.
    InstanceType,
    /// Region.
    Region,
    /// Provider.
    Provider,
}

impl From<MachineDimension> for Dimension {
    fn from(dimension: MachineDimension) -> Self {
        match dimension {
            MachineDimension::Vm => Self::Vm,
            MachineDimension::InstanceType => Self::InstanceType,
            MachineDimension::Region => Self::Region,
            MachineDimension::Provider => Self::Provider,
        }
    }
}

/// What the rows of a breakdown of executions are ordered by, largest first, null last; equal: by the names of the key.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "executions::ExecutionOrder")]
pub enum ExecutionOrder {
    /// Number of executions.
    Executions,
    /// Failed executions.
    Failures,
    /// Share of successes.
    SuccessRatio,
    /// 95th percentile of the duration.
    DurationP95,
    /// 95th percentile of the queue time.
    QueueP95,
    /// GPU-hours.
    GpuHours,
    /// Distinct users.
    Users,
}

/// How much an alert matters.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::Severity")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Critical,
}

/// State of an alert.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::AlertState")]
pub enum AlertState {
    /// Its condition holds, and nobody has taken it.
    Firing,
    /// Its condition holds, and a person has taken it.
    Acknowledged,
    /// Its condition holds no longer.
    Resolved,
}

/// What an alert rule looks at. Machines and GPUs: the newest sample while it is fresh (3 of its intervals, at least 60 s; of GPUs whose machine sends none 300 s); executions and loads: the last 300 s.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::Signal")]
pub enum Signal {
    /// CPU in use of a machine, 0 to 1.
    CpuRatio,
    /// Memory in use over all memory of a machine, 0 to 1.
    MemoryRatio,
    /// Disk in use over all disk of a machine, 0 to 1.
    DiskRatio,
    /// GPU in use, of each GPU, 0 to 1.
    GpuRatio,
    /// GPU memory in use over all of it, of each GPU, 0 to 1.
    GpuMemoryRatio,
    /// Temperature of each GPU in degrees Celsius.
    GpuTemperatureCelsius,
    /// Seconds for which a machine has been down: UNREACHABLE, FAILED or silent.
    VmUnreachable,
    /// Failed over failed and succeeded executions, 0 to 1.
    FailureRatio,
    /// 95th percentile of the duration of executions in milliseconds.
    DurationP95Ms,
    /// 95th percentile of the queue time of executions in milliseconds.
    QueueP95Ms,
    /// Cache hits over loads, 0 to 1.
    CacheHitRatio,
    /// Cost of the last whole UTC hour in the currency of the service: machines with their idle time, storage and transfer. What no rate card prices is in no value; where nothing is priced there is none.
    CostPerHour,
}

/// When an alert rule finds something.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::Detection")]
pub enum Detection {
    /// The value is above the threshold.
    Above,
    /// The value is below the threshold.
    Below,
    /// The mean of the last whole 5 minutes lies outside of what the signal's own past lets expect; quiet while too little is known of it.
    Anomaly,
}

/// How the fleet is.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "plimsoll_domain::watch::health::Status")]
pub enum HealthStatus {
    /// Nothing is wrong.
    Healthy,
    /// A machine is down, a component is ill, or an alert of severity WARNING is open.
    Degraded,
    /// An alert of severity CRITICAL is open.
    Critical,
}
