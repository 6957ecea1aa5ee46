//! From one fact to the cells that it adds to. Pure.
//!
//! Invariant: a fact adds to a part the same whatever the family, and whether it is read from a table or has just arrived.

use plimsoll_entity::value::histogram::bucket_of;
use plimsoll_entity::value::time::Instant;

use super::column::Column;
use super::part::{KEY_WIDTH, Key, KeyColumn, Part, PartKind};
use super::stat::Usage;
use crate::store::{ExecutionFact, GpuSampleFact, JobFact, LoadFact, VmSampleFact};

/// Microseconds of a millisecond.
const MILLISECOND_US: f64 = 1000.0;
/// A GPU is idle under this utilization.
const IDLE_RATIO: f64 = 0.01;

/// What adds to cells.
pub trait Fact {
    /// The instant to which it belongs.
    fn at(&self) -> Instant;
    /// All columns of its key.
    fn key(&self) -> Key;
    /// Whether it is an execution, and counts as one.
    fn is_execution(&self) -> bool {
        false
    }
    /// Adds it to one row of a column of `part`.
    fn add(&self, part: Part, column: &mut Column, row: usize);
}

fn add_value(part: Part, column: &mut Column, row: usize, value: Option<f64>) {
    let (Some(value), Column::Summaries(summaries, _), PartKind::Summary { scale }) = (value, column, part.kind()) else { return };
    summaries[row].add(value, scale);
}

fn add_sum(column: &mut Column, row: usize, amount: Option<i64>) {
    if let (Some(amount), Column::Sums(sums)) = (amount, column) {
        sums[row] += i128::from(amount);
    }
}

fn add_latest(column: &mut Column, row: usize, at: Instant) {
    if let Column::Latest(latest) = column {
        latest[row] = latest[row].max(at.0);
    }
}

fn ratio(used: Option<i64>, total: Option<i64>) -> Option<f64> {
    match (used, total) {
        (Some(used), Some(total)) if total > 0 => Some(used as f64 / total as f64),
        _ => None,
    }
}

/// An execution with its values and their buckets worked out once for all families.
#[derive(Clone, Debug)]
pub struct MeasuredExecution {
    fact: ExecutionFact,
    /// Duration, queue, load, init, inference, input, output, GPU memory.
    values: [Option<(f64, i32)>; 8],
}

impl From<ExecutionFact> for MeasuredExecution {
    fn from(fact: ExecutionFact) -> Self {
        let between_ms = |from: Instant, to: Instant| (to.0 - from.0) as f64 / MILLISECOND_US;
        let values = [
            Some(between_ms(fact.started_at, fact.finished_at)),
            fact.queued_at.map(|queued_at| between_ms(queued_at, fact.started_at)),
            fact.checkpoint_load_ms,
            fact.model_init_ms,
            fact.inference_ms,
            fact.input_bytes.map(|bytes| bytes as f64),
            fact.output_bytes.map(|bytes| bytes as f64),
            fact.gpu_memory_peak_bytes.map(|bytes| bytes as f64),
        ];
        Self { values: values.map(|value| value.map(|value| (value, bucket_of(value)))), fact }
    }
}

impl MeasuredExecution {
    fn duration_us(&self) -> i64 {
        self.fact.finished_at.0 - self.fact.started_at.0
    }

    const fn place(part: Part) -> Option<usize> {
        match part {
            Part::Duration => Some(0),
            Part::Queue => Some(1),
            Part::CheckpointLoad => Some(2),
            Part::ModelInit => Some(3),
            Part::Inference => Some(4),
            Part::InputSize => Some(5),
            Part::OutputSize => Some(6),
            Part::GpuMemory => Some(7),
            _ => None,
        }
    }
}

impl Fact for MeasuredExecution {
    fn at(&self) -> Instant {
        self.fact.finished_at
    }

    fn key(&self) -> Key {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::Combination as usize] = self.fact.combination_id;
        key[KeyColumn::Application as usize] = self.fact.application_id;
        key[KeyColumn::User as usize] = self.fact.user_id;
        key[KeyColumn::Department as usize] = self.fact.department_id;
        key[KeyColumn::Project as usize] = self.fact.project_id;
        key[KeyColumn::Vm as usize] = self.fact.vm_id;
        key[KeyColumn::Outcome as usize] = self.fact.outcome as u32 + 1;
        key[KeyColumn::ErrorType as usize] = self.fact.error_type_id;
        key
    }

    fn is_execution(&self) -> bool {
        true
    }

    #[inline]
    fn add(&self, part: Part, column: &mut Column, row: usize) {
        let fact = &self.fact;
        match (part, column) {
            (Part::Executions, Column::Sums(sums)) => sums[row] += 1,
            (Part::SizedExecutions, Column::Sums(sums)) => {
                sums[row] += i128::from(fact.input_bytes.is_some() || fact.output_bytes.is_some());
            }
            (Part::LastError, Column::Latest(latest)) if fact.error_type_id != 0 => latest[row] = latest[row].max(fact.finished_at.0),
            (Part::InputCorrelation, Column::Moments(moments)) => {
                if let Some(bytes) = fact.input_bytes {
                    moments[row].add(bytes, self.duration_us());
                }
            }
            (Part::OutputCorrelation, Column::Moments(moments)) => {
                if let Some(bytes) = fact.output_bytes {
                    moments[row].add(bytes, self.duration_us());
                }
            }
            (Part::Users, Column::Ids(ids)) if fact.user_id != 0 => {
                ids[row].insert(fact.user_id);
            }
            (Part::Minutes, Column::Minutes(minutes)) => minutes[row].add(fact.finished_at.minute() as u32, 1),
            (Part::Usage, Column::Usage(usages)) => {
                usages[row].add(fact.vm_id, &Usage::of(self.duration_us(), fact.gpus_named, fact.cpu_seconds));
            }
            (part, Column::Summaries(summaries, scale)) => {
                if let Some((value, bucket)) = Self::place(part).and_then(|place| self.values[place]) {
                    summaries[row].add_bucketed(value, bucket, *scale);
                }
            }
            _ => {}
        }
    }
}

impl Fact for VmSampleFact {
    fn at(&self) -> Instant {
        self.at
    }

    fn key(&self) -> Key {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::Vm as usize] = self.vm_id;
        key
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        let [memory_used, memory_total, disk_used, disk_total] = self.levels;
        let rate = |amount: Option<i64>| amount.map(|amount| amount as f64 / self.interval_seconds);
        match part {
            Part::Samples => add_sum(column, row, Some(1)),
            Part::CpuRatio => add_value(part, column, row, self.cpu_ratio),
            Part::MemoryRatio => add_value(part, column, row, ratio(memory_used, memory_total)),
            Part::MemoryUsed => add_value(part, column, row, memory_used.map(|bytes| bytes as f64)),
            Part::DiskRatio => add_value(part, column, row, ratio(disk_used, disk_total)),
            Part::DiskBusyRatio => add_value(part, column, row, self.disk_busy_ratio),
            Part::NetworkReceivedRate => add_value(part, column, row, rate(self.amounts[0])),
            Part::NetworkSentRate => add_value(part, column, row, rate(self.amounts[1])),
            Part::DiskReadRate => add_value(part, column, row, rate(self.amounts[3])),
            Part::DiskWrittenRate => add_value(part, column, row, rate(self.amounts[4])),
            Part::NetworkReceived => add_sum(column, row, self.amounts[0]),
            Part::NetworkSent => add_sum(column, row, self.amounts[1]),
            Part::NetworkErrors => add_sum(column, row, self.amounts[2]),
            Part::DiskRead => add_sum(column, row, self.amounts[3]),
            Part::DiskWritten => add_sum(column, row, self.amounts[4]),
            Part::DiskReadOps => add_sum(column, row, self.amounts[5]),
            Part::DiskWriteOps => add_sum(column, row, self.amounts[6]),
            _ => {}
        }
    }
}

impl Fact for GpuSampleFact {
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
            Part::GpuSamples => add_sum(column, row, Some(1)),
            Part::GpuRatio => add_value(part, column, row, self.utilization_ratio),
            Part::GpuMemoryRatio => add_value(part, column, row, ratio(self.memory_used_bytes, self.memory_total_bytes)),
            Part::GpuMemoryUsed => add_value(part, column, row, self.memory_used_bytes.map(|bytes| bytes as f64)),
            Part::GpuTemperature => add_value(part, column, row, self.temperature_celsius),
            Part::GpuPower => add_value(part, column, row, self.power_watts),
            Part::GpuIdleSamples => add_sum(column, row, self.utilization_ratio.map(|ratio| i64::from(ratio < IDLE_RATIO))),
            _ => {}
        }
    }
}

impl Fact for JobFact {
    fn at(&self) -> Instant {
        self.finished_at
    }

    fn key(&self) -> Key {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::Combination as usize] = self.combination_id;
        let of_caller = [KeyColumn::Application, KeyColumn::User, KeyColumn::Department, KeyColumn::Project, KeyColumn::Vm];
        of_caller.into_iter().zip(self.ids).for_each(|(column, id)| key[column as usize] = id);
        key[KeyColumn::Outcome as usize] = self.outcome.code() as u32 + 1;
        key[KeyColumn::ErrorType as usize] = self.error_type_id;
        key
    }

    /// Jobs are counted by the outcome of their last attempt, as executions are.
    fn is_execution(&self) -> bool {
        true
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        let milliseconds = |us: i64| us as f64 / MILLISECOND_US;
        match part {
            Part::Executions => add_sum(column, row, Some(1)),
            Part::Attempts => add_sum(column, row, Some(self.executions.into())),
            Part::RetriedJobs => add_sum(column, row, Some(i64::from(self.executions > 1))),
            Part::JobQueue => add_value(part, column, row, self.queue_us.map(milliseconds)),
            Part::JobProcessing => add_value(part, column, row, Some(milliseconds(self.processing_us))),
            _ => {}
        }
    }
}

impl Fact for LoadFact {
    fn at(&self) -> Instant {
        self.finished_at
    }

    fn key(&self) -> Key {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::ModelVersion as usize] = self.model_version_id;
        key[KeyColumn::CheckpointVersion as usize] = self.checkpoint_version_id;
        key[KeyColumn::Vm as usize] = self.vm_id;
        key[KeyColumn::StorageType as usize] = self.storage_type as u32 + 1;
        key[KeyColumn::StorageLocation as usize] = self.storage_location_id;
        key[KeyColumn::CacheHit as usize] = u32::from(self.cache_hit) + 1;
        key[KeyColumn::ErrorType as usize] = self.error_type_id;
        key
    }

    /// A load that failed took its time and moved its bytes like any other, so it counts in all of them. A miss whose bytes are
    /// unknown tells nothing of the throughput: its time counts as little as its bytes.
    fn add(&self, part: Part, column: &mut Column, row: usize) {
        let duration_us = self.finished_at.0 - self.started_at.0;
        let duration_ms = |counts: bool| counts.then_some(duration_us as f64 / MILLISECOND_US);
        let missed_bytes = self.size_bytes.filter(|_| !self.cache_hit);
        match part {
            Part::Loads => add_sum(column, row, Some(1)),
            Part::CacheHits => add_sum(column, row, Some(i64::from(self.cache_hit))),
            Part::FailedLoads => add_sum(column, row, Some(i64::from(self.failed))),
            Part::LoadSize => add_sum(column, row, self.size_bytes),
            Part::HitDuration => add_value(part, column, row, duration_ms(self.cache_hit)),
            Part::MissDuration => add_value(part, column, row, duration_ms(!self.cache_hit)),
            Part::MissSize => add_sum(column, row, missed_bytes),
            Part::SizedMissTime => add_sum(column, row, missed_bytes.map(|_| duration_us)),
            Part::LastLoad => add_latest(column, row, self.finished_at),
            _ => {}
        }
    }
}
