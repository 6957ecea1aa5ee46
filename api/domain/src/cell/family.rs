//! The families of cells and their keys: which dimensions are kept together.
//!
//! Invariant: codes stand in the database and never change their meaning.

use super::part::Part;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways() {
        for family in Family::ALL {
            assert_eq!(Family::from_code(family.code()), Some(family));
        }
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
