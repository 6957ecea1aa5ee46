//! The families of cells, their keys and their parts.
//!
//! Invariant: codes stand in the database and never change their meaning.

/// Columns of a key. The order is the order within [`Key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyColumn {
    /// Combination.
    Combination = 0,
    /// Application.
    Application = 1,
    /// User.
    User = 2,
    /// Department.
    Department = 3,
    /// Project.
    Project = 4,
    /// Machine.
    Vm = 5,
    /// Outcome: its code + 1.
    Outcome = 6,
    /// Error type.
    ErrorType = 7,
    /// The combination before, of a switch.
    Previous = 8,
    /// Base model version that was loaded, or of which a checkpoint was.
    ModelVersion = 9,
    /// Checkpoint version that was loaded; none: the base model itself.
    CheckpointVersion = 10,
    /// Where it was loaded from: the code of the storage type + 1.
    StorageType = 11,
    /// Where it was loaded from: storage location.
    StorageLocation = 12,
    /// Whether it was on the machine already: 1 for a miss, 2 for a hit.
    CacheHit = 13,
    /// Instance type of the machine; this and the next two stand in keys of costs only, which keep what held when they were made.
    InstanceType = 14,
    /// Region of the machine.
    Region = 15,
    /// Provider of the machine.
    Provider = 16,
}

/// Width of a key.
pub const KEY_WIDTH: usize = 17;
/// The first columns, which executions and jobs have. Packs and carries are kept with as many.
pub const EXECUTION_KEY_WIDTH: usize = 9;

/// The key of a cell: ids of names, 0 where unknown or not part of the family.
pub type Key = [u32; KEY_WIDTH];

/// Which dimensions are kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Family {
    /// Executions by combination.
    Combination = 1,
    /// Executions by combination and who asked.
    Caller = 2,
    /// Executions by combination and machine.
    Machine = 3,
    /// Samples by machine.
    VmSample = 4,
    /// GPU samples by machine.
    GpuSample = 5,
    /// Loads by what was loaded and from where.
    Load = 6,
    /// Loads by what was loaded, from where and on which machine.
    LoadMachine = 7,
    /// Derived of executions on machines, by everything; only in machine-hours.
    Timeline = 10,
    /// Derived of executions on machines, by combination.
    TimelineCombination = 11,
    /// Derived of executions on machines, by combination and who asked.
    TimelineCaller = 12,
    /// Derived of executions on machines, by combination and machine.
    TimelineMachine = 13,
    /// Switches from one combination to another, by everything; only in machine-hours.
    Transition = 14,
    /// Switches from one combination to another, by machine.
    TransitionMachine = 15,
    /// GPU samples by the combination that alone held the GPU, and machine.
    OwnedSample = 16,
    /// Active and busy time of machines.
    MachineTime = 17,
    /// Derived of executions on machines, by machine; only in days.
    TimelineVm = 18,
    /// What switches and those that found their combination took together, by combination and machine; only in days.
    SwitchMachine = 19,
    /// Switches from one combination to another; only in days.
    TransitionCombination = 20,
    /// Jobs by the combination of their last attempt; this and the next two count jobs as [`Part::Executions`].
    JobCombination = 31,
    /// Jobs by combination and who asked.
    JobCaller = 32,
    /// Jobs by combination and machine.
    JobMachine = 33,
    /// Parts of the bills of machines, split among checkpoint versions, by everything; only in hours of costs.
    Cost = 40,
    /// Parts of the bills by machine; only in days.
    CostVm = 41,
    /// Parts of the bills by combination; only in days.
    CostCombination = 42,
    /// Parts of the bills by combination and machine; only in days.
    CostMachine = 43,
    /// Parts of the bills by combination and who asked; only in days.
    CostCaller = 44,
    /// Executions as costs count them, by everything; only in hours of costs.
    CostRun = 45,
    /// Executions as costs count them, by combination; only in days.
    CostRunCombination = 46,
    /// Executions as costs count them, by combination and machine; only in days.
    CostRunMachine = 47,
    /// Executions as costs count them, by combination and who asked; only in days.
    CostRunCaller = 48,
    /// What loads cost.
    LoadCost = 49,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 31] = [
        Self::Combination,
        Self::Caller,
        Self::Machine,
        Self::VmSample,
        Self::GpuSample,
        Self::Load,
        Self::LoadMachine,
        Self::Timeline,
        Self::TimelineCombination,
        Self::TimelineCaller,
        Self::TimelineMachine,
        Self::Transition,
        Self::TransitionMachine,
        Self::OwnedSample,
        Self::MachineTime,
        Self::TimelineVm,
        Self::SwitchMachine,
        Self::TransitionCombination,
        Self::JobCombination,
        Self::JobCaller,
        Self::JobMachine,
        Self::Cost,
        Self::CostVm,
        Self::CostCombination,
        Self::CostMachine,
        Self::CostCaller,
        Self::CostRun,
        Self::CostRunCombination,
        Self::CostRunMachine,
        Self::CostRunCaller,
        Self::LoadCost,
    ];
    /// The families that ingestion adds to and the compactor folds; the others are derived.
    pub const ADDITIVE: [Self; 7] =
        [Self::Combination, Self::Caller, Self::Machine, Self::VmSample, Self::GpuSample, Self::Load, Self::LoadMachine];
    /// The families of loads, the cheapest first.
    pub const OF_LOADS: [Self; 2] = [Self::Load, Self::LoadMachine];
    /// The families of executions, the cheapest first.
    pub const OF_EXECUTIONS: [Self; 3] = [Self::Combination, Self::Machine, Self::Caller];
    /// The families of a machine-hour.
    pub const OF_MACHINE_HOURS: [Self; 4] = [Self::Timeline, Self::Transition, Self::OwnedSample, Self::MachineTime];
    /// The families of days of machine-hours, each with the one that it is merged from.
    pub const OF_TIMELINE_DAYS: [(Self, Self); 9] = [
        (Self::TimelineVm, Self::Timeline),
        (Self::SwitchMachine, Self::Timeline),
        (Self::TransitionCombination, Self::Transition),
        (Self::TimelineCombination, Self::Timeline),
        (Self::TimelineMachine, Self::Timeline),
        (Self::TimelineCaller, Self::Timeline),
        (Self::TransitionMachine, Self::Transition),
        (Self::OwnedSample, Self::OwnedSample),
        (Self::MachineTime, Self::MachineTime),
    ];
    /// The families of an hour of costs.
    pub const OF_COST_HOURS: [Self; 3] = [Self::Cost, Self::CostRun, Self::LoadCost];
    /// The families of days of costs, each with the one that it is merged from.
    pub const OF_COST_DAYS: [(Self, Self); 8] = [
        (Self::CostVm, Self::Cost),
        (Self::CostCombination, Self::Cost),
        (Self::CostMachine, Self::Cost),
        (Self::CostCaller, Self::Cost),
        (Self::CostRunCombination, Self::CostRun),
        (Self::CostRunMachine, Self::CostRun),
        (Self::CostRunCaller, Self::CostRun),
        (Self::LoadCost, Self::LoadCost),
    ];
    /// The families of days of parts of bills, the cheapest first.
    pub const OF_BILLS: [Self; 4] = [Self::CostVm, Self::CostCombination, Self::CostMachine, Self::CostCaller];
    /// The families of days of executions as costs count them, the cheapest first.
    pub const OF_COST_RUNS: [Self; 3] = [Self::CostRunCombination, Self::CostRunMachine, Self::CostRunCaller];
    /// The families of jobs, the cheapest first.
    pub const OF_JOBS: [Self; 3] = [Self::JobCombination, Self::JobMachine, Self::JobCaller];

    /// The code that the database keeps.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The family of a code.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.code() == code)
    }

    /// The columns of its keys.
    #[must_use]
    pub const fn columns(self) -> &'static [KeyColumn] {
        use KeyColumn::{
            Application, CacheHit, CheckpointVersion, Combination, Department, ErrorType, InstanceType, ModelVersion, Outcome, Previous,
            Project, Provider, Region, StorageLocation, StorageType, User, Vm,
        };
        match self {
            Self::Combination | Self::TimelineCombination | Self::JobCombination => &[Combination, Outcome, ErrorType],
            Self::Caller | Self::TimelineCaller | Self::JobCaller => {
                &[Combination, Application, User, Department, Project, Outcome, ErrorType]
            }
            Self::Machine | Self::TimelineMachine | Self::JobMachine => &[Combination, Vm, Outcome, ErrorType],
            Self::Timeline => &[Combination, Application, User, Department, Project, Vm, Outcome, ErrorType],
            Self::Transition => &[Combination, Application, User, Department, Project, Vm, Outcome, ErrorType, Previous],
            Self::TransitionMachine => &[Combination, Vm, Previous],
            Self::TransitionCombination => &[Combination, Previous],
            Self::OwnedSample | Self::SwitchMachine => &[Combination, Vm],
            Self::VmSample | Self::GpuSample | Self::MachineTime | Self::TimelineVm => &[Vm],
            Self::Load => &[ModelVersion, CheckpointVersion, StorageType, StorageLocation, CacheHit, ErrorType],
            Self::LoadMachine => &[ModelVersion, CheckpointVersion, StorageType, StorageLocation, CacheHit, ErrorType, Vm],
            Self::Cost => &[
                Combination,
                Application,
                User,
                Department,
                Project,
                Vm,
                Outcome,
                ErrorType,
                CheckpointVersion,
                InstanceType,
                Region,
                Provider,
            ],
            Self::CostVm => &[Vm, InstanceType, Region, Provider],
            Self::CostCombination => &[Combination, Outcome, ErrorType, CheckpointVersion],
            Self::CostMachine => &[Combination, Vm, Outcome, ErrorType, CheckpointVersion, InstanceType, Region, Provider],
            Self::CostCaller => &[Combination, Application, User, Department, Project, Outcome, ErrorType, CheckpointVersion],
            Self::CostRun => &[Combination, Application, User, Department, Project, Vm, Outcome, ErrorType, InstanceType, Region, Provider],
            Self::CostRunCombination => &[Combination, Outcome, ErrorType],
            Self::CostRunMachine => &[Combination, Vm, Outcome, ErrorType, InstanceType, Region, Provider],
            Self::CostRunCaller => &[Combination, Application, User, Department, Project, Outcome, ErrorType],
            Self::LoadCost => {
                &[ModelVersion, CheckpointVersion, StorageType, StorageLocation, CacheHit, ErrorType, Vm, InstanceType, Region, Provider]
            }
        }
    }

    /// Whether it counts samples, of which it matters how many machines sent them.
    #[must_use]
    pub const fn is_of_samples(self) -> bool {
        matches!(self, Self::VmSample | Self::GpuSample)
    }

    /// The parts of its cells.
    #[must_use]
    pub const fn parts(self) -> &'static [Part] {
        match self {
            Self::Combination | Self::Caller | Self::Machine => &Part::OF_EXECUTIONS,
            Self::VmSample => &Part::OF_VM_SAMPLES,
            Self::GpuSample | Self::OwnedSample => &Part::OF_GPU_SAMPLES,
            Self::Timeline | Self::TimelineCombination | Self::TimelineCaller | Self::TimelineMachine | Self::TimelineVm => {
                &Part::OF_TIMELINES
            }
            Self::Transition | Self::TransitionMachine => &Part::OF_TRANSITIONS,
            Self::TransitionCombination => &Part::OF_TRANSITION_SUMS,
            Self::SwitchMachine => &Part::OF_SWITCH_SUMS,
            Self::MachineTime => &Part::OF_MACHINE_TIME,
            Self::Load => &Part::OF_LOADED_ARTIFACTS,
            Self::LoadMachine => &Part::OF_LOADS,
            Self::JobCombination | Self::JobCaller | Self::JobMachine => &Part::OF_JOBS,
            Self::Cost | Self::CostVm | Self::CostCombination | Self::CostMachine | Self::CostCaller => &Part::OF_COSTS,
            Self::CostRun | Self::CostRunCombination | Self::CostRunMachine | Self::CostRunCaller => &Part::OF_COST_RUNS,
            Self::LoadCost => &Part::OF_LOAD_COSTS,
        }
    }

    /// The key with the columns of other families emptied.
    #[must_use]
    pub fn project(self, key: &Key) -> Key {
        let mut projected = [0; KEY_WIDTH];
        for column in self.columns() {
            projected[*column as usize] = key[*column as usize];
        }
        projected
    }
}

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
    /// Held machine time without a rate, picoseconds of whole machines.
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
    pub const OF_COSTS: [Self; 16] = [
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
        for family in Family::ALL {
            assert_eq!(Family::from_code(family.code()), Some(family));
            for part in family.parts() {
                assert_eq!(Part::from_code(part.code()), Some(*part));
            }
        }
        assert_eq!(Part::from_code(0), Some(Part::Keys));
        assert_eq!(Part::from_code(199), None);
    }

    #[test]
    fn projection_keeps_only_the_columns_of_the_family() {
        let key = std::array::from_fn(|at| at as u32 + 1);
        assert_eq!(Family::Combination.project(&key), [1, 0, 0, 0, 0, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Family::Machine.project(&key), [1, 0, 0, 0, 0, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Family::VmSample.project(&key), [0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Family::LoadMachine.project(&key), [0, 0, 0, 0, 0, 6, 0, 8, 0, 10, 11, 12, 13, 14, 0, 0, 0]);
    }

    #[test]
    fn what_is_kept_with_the_columns_of_executions_has_them_all() {
        use Family::{Caller, JobCaller, Machine, Timeline, Transition};
        for family in [Caller, Machine, JobCaller, Timeline, Transition] {
            assert!(family.columns().iter().all(|column| (*column as usize) < EXECUTION_KEY_WIDTH));
        }
    }
}
