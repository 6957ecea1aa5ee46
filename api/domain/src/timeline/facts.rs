//! What a machine-hour gives, as facts that add to cells. Pure.

use plimsoll_entity::value::time::Instant;

use crate::cell::column::Column;
use crate::cell::fact::Fact;
use crate::cell::part::{KEY_WIDTH, Key, KeyColumn, Part, PartKind};
use crate::store::GpuSampleFact;

/// Microseconds of a millisecond.
const MILLISECOND_US: f64 = 1_000.0;

/// How an execution found its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// The first on its slot in this life.
    #[default]
    ColdStart,
    /// The one before had another combination.
    Switched {
        /// That combination.
        from: u32,
    },
    /// The one before had the same combination.
    Unswitched,
}

/// Slot time in picoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Of slots that are GPUs.
    pub gpu_ps: i128,
    /// Times vCPUs / slots.
    pub cpu_ps: i128,
}

/// An execution that finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunFact {
    /// End.
    pub at: Instant,
    /// Everything that it is counted by.
    pub key: Key,
    /// How it found its slot.
    pub class: Class,
    /// Length.
    pub duration_us: i64,
    /// Peak memory over the memory of the GPUs held, where both are known.
    pub memory_ratio: Option<f64>,
}

/// What is derived of executions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimelineFact {
    /// One finished.
    Run(RunFact),
    /// Time that was held, or left idle, in one hour.
    Time {
        /// The hour.
        at: Instant,
        /// Whose.
        key: Key,
        /// Held.
        productive: Amounts,
        /// Left idle.
        idle: Amounts,
    },
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransitionFact {
    /// End of the execution that switched.
    pub at: Instant,
    /// Its key, with the combination before.
    pub key: Key,
    /// Milliseconds.
    pub checkpoint_load_ms: Option<f64>,
}

/// A GPU sample and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedSample {
    /// The combination that alone held the GPU.
    pub combination_id: u32,
    /// The sample.
    pub sample: GpuSampleFact,
}

/// Time of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineTime {
    /// The hour.
    pub at: Instant,
    /// The machine.
    pub vm_id: u32,
    /// RUNNING with an execution.
    pub active_us: i64,
    /// Slot time RUNNING and held by an execution.
    pub busy_us: i64,
}

fn add_sum(column: &mut Column, row: usize, amount: i128) {
    if let Column::Sums(sums) = column {
        sums[row] = sums[row].saturating_add(amount);
    }
}

fn add_value(part: Part, column: &mut Column, row: usize, value: f64) {
    if let (Column::Summaries(summaries, _), PartKind::Summary { scale }) = (column, part.kind()) {
        summaries[row].add(value, scale);
    }
}

impl Fact for TimelineFact {
    fn at(&self) -> Instant {
        match self {
            Self::Run(run) => run.at,
            Self::Time { at, .. } => *at,
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::Run(run) => run.key,
            Self::Time { key, .. } => *key,
        }
    }

    fn is_execution(&self) -> bool {
        matches!(self, Self::Run(_))
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        match (self, part) {
            (Self::Time { productive, .. }, Part::GpuTime) => add_sum(column, row, productive.gpu_ps),
            (Self::Time { productive, .. }, Part::CpuTime) => add_sum(column, row, productive.cpu_ps),
            (Self::Time { idle, .. }, Part::IdleGpuTime) => add_sum(column, row, idle.gpu_ps),
            (Self::Time { idle, .. }, Part::IdleCpuTime) => add_sum(column, row, idle.cpu_ps),
            (Self::Run(_), Part::Executions) => add_sum(column, row, 1),
            (Self::Run(run), Part::ColdStarts) => add_sum(column, row, i128::from(run.class == Class::ColdStart)),
            (Self::Run(run), Part::Switched) if matches!(run.class, Class::Switched { .. }) => {
                add_value(part, column, row, run.duration_us as f64 / MILLISECOND_US);
            }
            (Self::Run(run), Part::Unswitched) if run.class == Class::Unswitched => {
                add_value(part, column, row, run.duration_us as f64 / MILLISECOND_US);
            }
            (Self::Run(run), Part::MemoryRatioMax) => {
                if let (Some(ratio), Column::Latest(largest)) = (run.memory_ratio, column) {
                    // The bits of floats that are not negative are ordered as the floats are; 0 means none.
                    largest[row] = largest[row].max(ratio.to_bits() as i64 + 1);
                }
            }
            _ => {}
        }
    }
}

impl Fact for TransitionFact {
    fn at(&self) -> Instant {
        self.at
    }

    fn key(&self) -> Key {
        self.key
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        match part {
            Part::Switches => add_sum(column, row, 1),
            Part::SwitchLoad => self.checkpoint_load_ms.into_iter().for_each(|load_ms| add_value(part, column, row, load_ms)),
            _ => {}
        }
    }
}

impl Fact for OwnedSample {
    fn at(&self) -> Instant {
        self.sample.at
    }

    fn key(&self) -> Key {
        let mut key = self.sample.key();
        key[KeyColumn::Combination as usize] = self.combination_id;
        key
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        self.sample.add(part, column, row);
    }
}

impl Fact for MachineTime {
    fn at(&self) -> Instant {
        self.at
    }

    fn key(&self) -> Key {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::Vm as usize] = self.vm_id;
        key
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        match part {
            Part::ActiveTime => add_sum(column, row, i128::from(self.active_us)),
            Part::BusyTime => add_sum(column, row, i128::from(self.busy_us)),
            _ => {}
        }
    }
}
