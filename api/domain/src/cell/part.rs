//! The parts of cells: what each column of a block adds up.
//!
//! Invariant: codes stand in the database and never change their meaning.

pub use super::family::{EXECUTION_KEY_WIDTH, Family, KEY_WIDTH, Key, KeyColumn};

/// What a part adds up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PartKind {
    /// A count or a whole sum.
    Sum,
    /// The latest instant.
    Latest,
    /// Count, sum, least, largest and sketch of values; sums are kept in units of 1 / `scale`.
    Summary {
        /// Units of one.
        scale: f64,
    },
    /// Sums for a correlation.
    Moments,
    /// A set of ids.
    Ids,
    /// Counts by UTC minute.
    Minutes,
    /// What GPU- and CPU-hours follow from, by machine.
    Usage,
}

/// What of a summary a sum keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summed {
    /// How many values there are.
    Count,
    /// Their sum, in the summary's units.
    Values,
}

/// Sums of fractions are kept in units of 10^-12, so that they are exact whatever the order.
const FRACTION: PartKind = PartKind::Summary { scale: 1e12 };
/// Sums of whole numbers are kept as they are.
const WHOLE: PartKind = PartKind::Summary { scale: 1.0 };

/// One column of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Part {
    /// The keys of the cells.
    Keys = 0,
    /// Number of executions.
    Executions = 1,
    /// Latest end of an execution with an error type.
    LastError = 2,
    /// finishedAt - startedAt, ms.
    Duration = 3,
    /// startedAt - queuedAt, ms.
    Queue = 4,
    /// checkpointLoadMs.
    CheckpointLoad = 5,
    /// modelInitMs.
    ModelInit = 6,
    /// inferenceMs.
    Inference = 7,
    /// inputBytes.
    InputSize = 8,
    /// outputBytes.
    OutputSize = 9,
    /// gpuMemoryPeakBytes.
    GpuMemory = 10,
    /// Input size against duration.
    InputCorrelation = 11,
    /// Output size against duration.
    OutputCorrelation = 12,
    /// Distinct known users.
    Users = 13,
    /// Executions by minute of their end.
    Minutes = 14,
    /// GPU and CPU time by machine.
    Usage = 15,
    /// Executions with an input or an output size.
    SizedExecutions = 16,
    /// Number of machine samples.
    Samples = 20,
    /// cpuRatio.
    CpuRatio = 21,
    /// memoryUsedBytes / memoryTotalBytes.
    MemoryRatio = 22,
    /// memoryUsedBytes.
    MemoryUsed = 23,
    /// diskUsedBytes / diskTotalBytes.
    DiskRatio = 24,
    /// diskBusyRatio.
    DiskBusyRatio = 25,
    /// networkReceivedBytes a second.
    NetworkReceivedRate = 26,
    /// networkSentBytes a second.
    NetworkSentRate = 27,
    /// diskReadBytes a second.
    DiskReadRate = 28,
    /// diskWrittenBytes a second.
    DiskWrittenRate = 29,
    /// networkReceivedBytes.
    NetworkReceived = 30,
    /// networkSentBytes.
    NetworkSent = 31,
    /// networkErrors.
    NetworkErrors = 32,
    /// diskReadBytes.
    DiskRead = 33,
    /// diskWrittenBytes.
    DiskWritten = 34,
    /// diskReadOps.
    DiskReadOps = 35,
    /// diskWriteOps.
    DiskWriteOps = 36,
    /// Number of GPU samples.
    GpuSamples = 40,
    /// utilizationRatio.
    GpuRatio = 41,
    /// memoryUsedBytes / memoryTotalBytes of a GPU.
    GpuMemoryRatio = 42,
    /// memoryUsedBytes of a GPU.
    GpuMemoryUsed = 43,
    /// temperatureCelsius.
    GpuTemperature = 44,
    /// powerWatts.
    GpuPower = 45,
    /// GPU samples with a utilization under 1 %.
    GpuIdleSamples = 46,
    /// Productive time of slots that are GPUs, picoseconds.
    GpuTime = 50,
    /// Productive slot time x vCPUs / slots, picoseconds.
    CpuTime = 51,
    /// Idle time of slots that are GPUs, picoseconds.
    IdleGpuTime = 52,
    /// Idle slot time x vCPUs / slots, picoseconds.
    IdleCpuTime = 53,
    /// Executions that were the first on their slot in a life.
    ColdStarts = 54,
    /// Durations of executions that switched the combination, ms.
    Switched = 55,
    /// Durations of executions that found their combination, ms.
    Unswitched = 56,
    /// Largest peak over the memory of the GPUs held: the bits of a float that is not negative.
    MemoryRatioMax = 57,
    /// Switches.
    Switches = 58,
    /// checkpointLoadMs of switches where known.
    SwitchLoad = 59,
    /// Time in which a machine was RUNNING and at least one execution ran, microseconds.
    ActiveTime = 60,
    /// Slot time in which a machine was RUNNING and the slot was held, microseconds.
    BusyTime = 61,
    /// Number of [`Part::Switched`].
    SwitchedCount = 62,
    /// Sum of [`Part::Switched`], in its units.
    SwitchedTime = 63,
    /// Number of [`Part::Unswitched`].
    UnswitchedCount = 64,
    /// Sum of [`Part::Unswitched`], in its units.
    UnswitchedTime = 65,
    /// Number of [`Part::SwitchLoad`].
    SwitchLoadCount = 66,
    /// Sum of [`Part::SwitchLoad`], in its units.
    SwitchLoadTime = 67,
    /// Executions of jobs.
    Attempts = 70,
    /// Jobs with more than one execution.
    RetriedJobs = 71,
    /// startedAt - queuedAt of the first attempt, ms.
    JobQueue = 72,
    /// Sum of the durations of all attempts, ms.
    JobProcessing = 73,
    /// Number of loads.
    Loads = 80,
    /// Loads of what was on the machine already.
    CacheHits = 81,
    /// Loads that failed.
    FailedLoads = 82,
    /// Bytes loaded, where known.
    LoadSize = 83,
    /// finishedAt - startedAt of cache hits, ms.
    HitDuration = 84,
    /// finishedAt - startedAt of cache misses, ms.
    MissDuration = 85,
    /// Bytes of cache misses, where known.
    MissSize = 86,
    /// finishedAt - startedAt of cache misses whose bytes are known, microseconds.
    SizedMissTime = 87,
    /// Latest end of a load.
    LastLoad = 88,
    /// Inference; this and the next ones in nano-units of the currency.
    CostInference = 90,
    /// Loading checkpoints.
    CostLoad = 91,
    /// Initialising models.
    CostInit = 92,
    /// Idle time with what caused it.
    CostIdle = 93,
    /// Idle time spread over the executions of the same machine and hour.
    CostSpread = 94,
    /// Held machine time that nobody is to blame for.
    CostOverhead = 95,
    /// The part of productive that pays for GPUs.
    CostGpu = 96,
    /// Productive of executions that succeeded.
    CostSucceeded = 97,
    /// Productive of executions that failed.
    CostFailed = 98,
    /// Productive of executions that were cancelled.
    CostCancelled = 99,
    /// Compute whose department is known, idle time with what caused it.
    CostAttributed = 100,
    /// Compute whose department is known, idle time spread.
    CostAttributedSpread = 101,
    /// What successful executions were worth.
    CostValue = 102,
    /// Held machine time without a rate, picoseconds of whole machines; idle time with what caused it.
    UnpricedTime = 103,
    /// Executions that finished.
    CostRuns = 104,
    /// Executions that a held, priced machine carried at some instant.
    CostedRuns = 105,
    /// Executions with a business value in force when they finished.
    ValuedRuns = 106,
    /// Machine time of loads, nano-units.
    LoadCompute = 107,
    /// Loads whose machine time has a rate.
    LoadsComputed = 108,
    /// Charges for bytes of cache misses, nano-units.
    LoadTransfer = 109,
    /// Loads whose transfer has a rate.
    LoadsCharged = 110,
    /// Loads with either.
    LoadsKnown = 111,
    /// As [`Part::UnpricedTime`]; idle time with nobody.
    UnpricedSpreadTime = 112,
}

impl Part {
    /// The parts of executions.
    pub const OF_EXECUTIONS: [Self; 16] = [
        Self::Executions,
        Self::LastError,
        Self::Duration,
        Self::Queue,
        Self::CheckpointLoad,
        Self::ModelInit,
        Self::Inference,
        Self::InputSize,
        Self::OutputSize,
        Self::GpuMemory,
        Self::InputCorrelation,
        Self::OutputCorrelation,
        Self::Users,
        Self::Minutes,
        Self::Usage,
        Self::SizedExecutions,
    ];
    /// The parts of machine samples.
    pub const OF_VM_SAMPLES: [Self; 17] = [
        Self::Samples,
        Self::CpuRatio,
        Self::MemoryRatio,
        Self::MemoryUsed,
        Self::DiskRatio,
        Self::DiskBusyRatio,
        Self::NetworkReceivedRate,
        Self::NetworkSentRate,
        Self::DiskReadRate,
        Self::DiskWrittenRate,
        Self::NetworkReceived,
        Self::NetworkSent,
        Self::NetworkErrors,
        Self::DiskRead,
        Self::DiskWritten,
        Self::DiskReadOps,
        Self::DiskWriteOps,
    ];
    /// The parts of GPU samples.
    pub const OF_GPU_SAMPLES: [Self; 7] = [
        Self::GpuSamples,
        Self::GpuRatio,
        Self::GpuMemoryRatio,
        Self::GpuMemoryUsed,
        Self::GpuTemperature,
        Self::GpuPower,
        Self::GpuIdleSamples,
    ];
    /// The parts of jobs.
    pub const OF_JOBS: [Self; 5] = [Self::Executions, Self::Attempts, Self::RetriedJobs, Self::JobQueue, Self::JobProcessing];

    /// The parts of loads.
    pub const OF_LOADS: [Self; 8] = [
        Self::Loads,
        Self::CacheHits,
        Self::FailedLoads,
        Self::LoadSize,
        Self::HitDuration,
        Self::MissDuration,
        Self::MissSize,
        Self::SizedMissTime,
    ];
    /// The parts of loads where the machine does not matter.
    pub const OF_LOADED_ARTIFACTS: [Self; 9] = [
        Self::Loads,
        Self::CacheHits,
        Self::FailedLoads,
        Self::LoadSize,
        Self::HitDuration,
        Self::MissDuration,
        Self::MissSize,
        Self::SizedMissTime,
        Self::LastLoad,
    ];
    /// What is derived of executions on machines.
    pub const OF_TIMELINES: [Self; 9] = [
        Self::Executions,
        Self::GpuTime,
        Self::CpuTime,
        Self::IdleGpuTime,
        Self::IdleCpuTime,
        Self::ColdStarts,
        Self::Switched,
        Self::Unswitched,
        Self::MemoryRatioMax,
    ];
    /// What switches took together.
    pub const OF_SWITCH_SUMS: [Self; 4] = [Self::SwitchedCount, Self::SwitchedTime, Self::UnswitchedCount, Self::UnswitchedTime];
    /// What is derived of switches, without sketches.
    pub const OF_TRANSITION_SUMS: [Self; 3] = [Self::Switches, Self::SwitchLoadCount, Self::SwitchLoadTime];
    /// What is derived of switches.
    pub const OF_TRANSITIONS: [Self; 2] = [Self::Switches, Self::SwitchLoad];
    /// What is derived of machines.
    pub const OF_MACHINE_TIME: [Self; 2] = [Self::ActiveTime, Self::BusyTime];

    /// The parts of bills.
    pub const OF_COSTS: [Self; 17] = [
        Self::CostInference,
        Self::CostLoad,
        Self::CostInit,
        Self::CostIdle,
        Self::CostSpread,
        Self::CostOverhead,
        Self::CostGpu,
        Self::CostSucceeded,
        Self::CostFailed,
        Self::CostCancelled,
        Self::CostAttributed,
        Self::CostAttributedSpread,
        Self::CostValue,
        Self::UnpricedTime,
        Self::UnpricedSpreadTime,
        Self::GpuTime,
        Self::CpuTime,
    ];
    /// The parts of executions as costs count them.
    pub const OF_COST_RUNS: [Self; 3] = [Self::CostRuns, Self::CostedRuns, Self::ValuedRuns];
    /// The parts of what loads cost.
    pub const OF_LOAD_COSTS: [Self; 5] = [Self::LoadCompute, Self::LoadsComputed, Self::LoadTransfer, Self::LoadsCharged, Self::LoadsKnown];

    /// The code that the database keeps.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The part of a code.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        std::iter::once(Self::Keys)
            .chain(Self::OF_EXECUTIONS)
            .chain(Self::OF_VM_SAMPLES)
            .chain(Self::OF_GPU_SAMPLES)
            .chain(Self::OF_TIMELINES)
            .chain(Self::OF_SWITCH_SUMS)
            .chain(Self::OF_TRANSITION_SUMS)
            .chain(Self::OF_TRANSITIONS)
            .chain(Self::OF_MACHINE_TIME)
            .chain(Self::OF_JOBS)
            .chain(Self::OF_LOADED_ARTIFACTS)
            .chain(Self::OF_COSTS)
            .chain(Self::OF_COST_RUNS)
            .chain(Self::OF_LOAD_COSTS)
            .find(|part| part.code() == code)
    }

    /// The summary that it is a sum of: the values themselves, or how many they are.
    #[must_use]
    pub const fn sum_of(self) -> Option<(Self, Summed)> {
        match self {
            Self::SwitchedCount => Some((Self::Switched, Summed::Count)),
            Self::SwitchedTime => Some((Self::Switched, Summed::Values)),
            Self::UnswitchedCount => Some((Self::Unswitched, Summed::Count)),
            Self::UnswitchedTime => Some((Self::Unswitched, Summed::Values)),
            Self::SwitchLoadCount => Some((Self::SwitchLoad, Summed::Count)),
            Self::SwitchLoadTime => Some((Self::SwitchLoad, Summed::Values)),
            _ => None,
        }
    }

    /// What it adds up.
    #[must_use]
    pub const fn kind(self) -> PartKind {
        match self {
            Self::Keys
            | Self::Executions
            | Self::SizedExecutions
            | Self::Samples
            | Self::NetworkReceived
            | Self::NetworkSent
            | Self::NetworkErrors
            | Self::DiskRead
            | Self::DiskWritten
            | Self::DiskReadOps
            | Self::DiskWriteOps
            | Self::GpuSamples
            | Self::GpuIdleSamples
            | Self::GpuTime
            | Self::CpuTime
            | Self::IdleGpuTime
            | Self::IdleCpuTime
            | Self::ColdStarts
            | Self::Switches
            | Self::ActiveTime
            | Self::BusyTime => PartKind::Sum,
            Self::LastError | Self::MemoryRatioMax | Self::LastLoad => PartKind::Latest,
            Self::SwitchedCount | Self::SwitchedTime | Self::UnswitchedCount | Self::UnswitchedTime => PartKind::Sum,
            Self::SwitchLoadCount | Self::SwitchLoadTime => PartKind::Sum,
            Self::Attempts | Self::RetriedJobs => PartKind::Sum,
            Self::Loads | Self::CacheHits | Self::FailedLoads | Self::LoadSize | Self::MissSize | Self::SizedMissTime => PartKind::Sum,
            Self::CostInference
            | Self::CostLoad
            | Self::CostInit
            | Self::CostIdle
            | Self::CostSpread
            | Self::CostOverhead
            | Self::CostGpu
            | Self::CostSucceeded
            | Self::CostFailed
            | Self::CostCancelled
            | Self::CostAttributed
            | Self::CostAttributedSpread
            | Self::CostValue
            | Self::UnpricedTime
            | Self::UnpricedSpreadTime
            | Self::CostRuns
            | Self::CostedRuns
            | Self::ValuedRuns
            | Self::LoadCompute
            | Self::LoadsComputed
            | Self::LoadTransfer
            | Self::LoadsCharged
            | Self::LoadsKnown => PartKind::Sum,
            Self::InputSize | Self::OutputSize | Self::GpuMemory | Self::MemoryUsed | Self::GpuMemoryUsed => WHOLE,
            Self::InputCorrelation | Self::OutputCorrelation => PartKind::Moments,
            Self::Users => PartKind::Ids,
            Self::Minutes => PartKind::Minutes,
            Self::Usage => PartKind::Usage,
            _ => FRACTION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways() {
        for part in Family::ALL.iter().flat_map(|family| family.parts()) {
            assert_eq!(Part::from_code(part.code()), Some(*part));
        }
        assert_eq!(Part::from_code(0), Some(Part::Keys));
        assert_eq!(Part::from_code(199), None);
    }
}
