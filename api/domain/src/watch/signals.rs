//! What rules look at, as one reading sees it.
//!
//! Of machines and GPUs it is the newest sample, while it is fresh; of executions and loads the figures of the last
//! [`SIGNAL_WINDOW_SECONDS`] up to the reading; of money the bill of the last whole UTC hour. Invariants: what nobody knows is no
//! observation; keys of one rule are at most [`SUBJECTS_MAX`], the busiest ones. Must not know: thresholds, what is expected.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use plimsoll_entity::value::label::Signal;
use plimsoll_entity::value::money::NANOS;
use plimsoll_entity::value::time::{Instant, SECOND_US, Window};

use super::evaluation::{Observation, Subject};
use super::rule::{Rule, SignalKind, kind_of};
use crate::breakdown::BreakdownError;
use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::{ExecutionOrder, ExecutionQuestion, Reader, Reading, RowKey};
use crate::breakdown::figures::{ExecutionFigures, ratio};
use crate::breakdown::filter::Filter;
use crate::breakdown::loads::{LoadOrder, LoadQuestion};
use crate::breakdown::table::key_texts;
use crate::cell::part::Part;
use crate::cost::figures::CostSums;
use crate::cost::question::{CostFilter, CostOrder, CostQuestion, IdleView};
use crate::machine::availability::SILENT_INTERVALS;
use crate::machine::presence::{LastSample, Presence, presence};
use crate::store::{LatestGpuSample, VmSampleFact};

/// Seconds of executions and loads that are looked at.
pub const SIGNAL_WINDOW_SECONDS: i64 = 300;
/// Keys of executions or loads that one rule looks at.
pub const SUBJECTS_MAX: usize = 1_000;
/// Machines or GPUs that one rule looks at.
const MACHINES_MAX: usize = 50_000;
/// A sample is fresh for 3 of its intervals, and at least for so long.
const FRESH_US_MIN: i64 = 60 * SECOND_US;
/// A sample of a GPU is fresh for so long where its machine tells no interval.
const GPU_FRESH_US: i64 = 300 * SECOND_US;

/// What was found for each key; none where nothing can be said just now.
type Rows<T> = Option<Vec<(Subject, T)>>;

/// The observations of each rule, in the order of the rules; none for a rule of which nothing can be said just now.
///
/// # Errors
/// [`BreakdownError::Store`] when the store fails.
pub async fn observe(reader: &Reader, reading: &Reading, rules: &[Rule]) -> Result<Vec<Option<Vec<Observation>>>, BreakdownError> {
    let has = |kind: SignalKind| rules.iter().any(|rule| kind_of(rule.signal) == kind);
    let machines = if has(SignalKind::Machine) { Machines::read(reading).await? } else { Machines::default() };
    let mut executions: HashMap<&[Dimension], Rows<ExecutionFigures>> = HashMap::new();
    let mut loads: HashMap<&[Dimension], Rows<f64>> = HashMap::new();
    let mut costs: HashMap<&[Dimension], Rows<f64>> = HashMap::new();
    for rule in rules {
        let by = rule.by.as_slice();
        match kind_of(rule.signal) {
            SignalKind::Execution if !executions.contains_key(by) => {
                executions.insert(by, said(execution_figures(reader, reading, by).await, rule)?);
            }
            SignalKind::Load if !loads.contains_key(by) => {
                loads.insert(by, said(hit_ratios(reader, reading, by).await, rule)?);
            }
            SignalKind::Cost if !costs.contains_key(by) => {
                costs.insert(by, said(costs_per_hour(reader, reading, by).await, rule)?);
            }
            _ => {}
        }
    }
    let seen = |subject: &Subject, value: f64| Observation { subject: subject.clone(), value, expectation: None };
    let of_rule = |rule: &Rule| match kind_of(rule.signal) {
        SignalKind::Machine => Some(machines.observations(rule.signal, reading.snapshot.as_of)),
        SignalKind::Execution => {
            let rows = executions.get(rule.by.as_slice())?.as_ref()?.iter();
            Some(rows.filter_map(|(subject, figures)| Some(seen(subject, value_of(rule.signal, figures)?))).collect())
        }
        SignalKind::Load | SignalKind::Cost => {
            let values = if kind_of(rule.signal) == SignalKind::Load { &loads } else { &costs };
            let rows = values.get(rule.by.as_slice())?.as_ref()?.iter();
            Some(rows.map(|(subject, value)| seen(subject, *value)).collect())
        }
    };
    Ok(rules.iter().map(of_rule).collect())
}

/// What was found; none where the question of one rule cannot be answered, which must not keep the others from theirs.
fn said<T>(found: Result<T, BreakdownError>, rule: &Rule) -> Result<Option<T>, BreakdownError> {
    match found {
        Err(BreakdownError::Store(error)) => Err(error.into()),
        Err(error) => {
            tracing::warn!(rule = %rule.id, error = &error as &dyn std::error::Error, "cannot evaluate an alert rule");
            Ok(None)
        }
        Ok(found) => Ok(Some(found)),
    }
}

/// The window of executions and loads that a reading looks at.
fn window(reading: &Reading) -> Window {
    let end = reading.snapshot.as_of;
    Window { start: Instant(end.0 - SIGNAL_WINDOW_SECONDS * SECOND_US), end }
}

async fn execution_figures(
    reader: &Reader,
    reading: &Reading,
    by: &[Dimension],
) -> Result<Vec<(Subject, ExecutionFigures)>, BreakdownError> {
    let parts = BTreeSet::from([Part::Duration, Part::Queue]);
    let asked = ExecutionQuestion { window: window(reading), by: by.to_vec(), parts, limit: SUBJECTS_MAX };
    let found = reader.execution_breakdown(reading, &asked, &Filter::default(), ExecutionOrder::Executions).await?;
    let (keys, figures): (Vec<RowKey>, Vec<ExecutionFigures>) = found.rows.into_iter().unzip();
    Ok(subjects(reading, by, &keys, "all executions").await?.into_iter().zip(figures).collect())
}

async fn hit_ratios(reader: &Reader, reading: &Reading, by: &[Dimension]) -> Result<Vec<(Subject, f64)>, BreakdownError> {
    let parts = BTreeSet::from([Part::Loads, Part::CacheHits]);
    let asked = LoadQuestion { window: window(reading), by: by.to_vec(), parts, with_cost: false, limit: SUBJECTS_MAX };
    let found = reader.load_breakdown(reading, &asked, &Filter::default(), LoadOrder::Loads).await?;
    let (keys, figures): (Vec<RowKey>, Vec<_>) = found.rows.into_iter().unzip();
    let subjects = subjects(reading, by, &keys, "all loads").await?;
    Ok(subjects.into_iter().zip(figures).filter_map(|(subject, figures)| Some((subject, figures.hit_ratio()?))).collect())
}

/// What the last whole UTC hour cost, in units of the currency: everything, idle time with what caused it.
async fn costs_per_hour(reader: &Reader, reading: &Reading, by: &[Dimension]) -> Result<Vec<(Subject, f64)>, BreakdownError> {
    let window = Window::of_hour(reading.snapshot.as_of.hour() - 1);
    let asked = CostQuestion { window, by: by.to_vec(), limit: SUBJECTS_MAX, idle: IdleView::Caused };
    let found = reader.cost_breakdown(reading, &asked, &CostFilter::default(), CostOrder::Total).await?;
    let mut rows = found.rows;
    if by.is_empty() && rows.is_empty() {
        // A fleet of which nothing is held costs nothing, and that is known.
        rows.push((RowKey { by: Arc::from([]), ids: Default::default() }, found.total));
    }
    let known = rows.into_iter().filter_map(|(key, sums)| Some((key, per_hour(&sums)?)));
    let (keys, values): (Vec<RowKey>, Vec<f64>) = known.unzip();
    Ok(subjects(reading, by, &keys, "everything").await?.into_iter().zip(values).collect())
}

/// The value of an hour's sums; none where nothing of it is priced.
fn per_hour(sums: &CostSums) -> Option<f64> {
    let is_known = sums.total() != 0 || sums.unpriced_ps == 0;
    is_known.then(|| sums.total() as f64 / NANOS as f64)
}

/// The subjects of rows, such as `model=sdxl, user=kim`; what is unknown is empty.
async fn subjects(reading: &Reading, by: &[Dimension], keys: &[RowKey], all: &str) -> Result<Vec<Subject>, BreakdownError> {
    let ids: Vec<_> = keys.iter().map(|key| key.ids).collect();
    let texts = key_texts(reading.sources(), by, &ids).await?;
    let names: Vec<String> = by.iter().map(|dimension| dimension.wire().unwrap_or_default().to_lowercase()).collect();
    let subject = |(key, texts): (&RowKey, Vec<Option<String>>)| {
        let labels: Vec<(String, String)> = names.iter().cloned().zip(texts.into_iter().map(Option::unwrap_or_default)).collect();
        let parts: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        // Names may look alike, ids do not.
        let identity: Vec<u8> =
            by.iter().zip(key.ids).flat_map(|(dimension, id)| [&[*dimension as u8][..], &id.to_le_bytes()].concat()).collect();
        Subject::identified(if parts.is_empty() { all.to_owned() } else { parts.join(", ") }, labels, &identity)
    };
    Ok(keys.iter().zip(texts).map(subject).collect())
}

/// The value of a signal of executions; none where there is none.
fn value_of(signal: Signal, figures: &ExecutionFigures) -> Option<f64> {
    match signal {
        Signal::FailureRatio => figures.success_ratio().map(|succeeded| 1.0 - succeeded),
        Signal::DurationP95Ms => figures.durations.get(&Part::Duration).map(|duration| duration.percentiles_ms[2]),
        Signal::QueueP95Ms => figures.durations.get(&Part::Queue).map(|queue| queue.percentiles_ms[2]),
        _ => None,
    }
}

/// The machines as they are now.
#[derive(Debug, Default)]
pub struct Machines {
    /// Machines that are there, by id.
    pub present: BTreeMap<u32, Presence>,
    samples: Vec<VmSampleFact>,
    gpus: Vec<LatestGpuSample>,
    names: HashMap<u32, Arc<str>>,
}

impl Machines {
    /// Reads them.
    ///
    /// # Errors
    /// [`BreakdownError`] when the store fails.
    pub async fn read(reading: &Reading) -> Result<Self, BreakdownError> {
        let as_of = reading.snapshot.as_of;
        let samples = reading.snapshot.latest_sample_list(None).await?;
        let last: BTreeMap<u32, LastSample> =
            samples.iter().map(|sample| (sample.vm_id, LastSample { at: sample.at, interval_seconds: sample.interval_seconds })).collect();
        let known: BTreeSet<u32> = last.keys().copied().chain(reading.fleet.machines().map(|(vm, _)| vm)).collect();
        let of = |vm: u32| presence(reading.fleet.machine(vm).map(|machine| &machine.timeline), last.get(&vm).copied(), as_of);
        let mut present: BTreeMap<u32, Presence> =
            known.into_iter().map(|vm| (vm, of(vm))).filter(|(_, presence)| *presence != Presence::Absent).collect();
        // Machines of which only GPUs are sampled: nobody knows how often, so that silence says nothing.
        for (vm, at) in reading.snapshot.latest_gpu_only_list().await? {
            if as_of.0.saturating_sub(at.0) < GPU_FRESH_US && reading.fleet.machine(vm).is_none_or(|machine| machine.timeline.is_empty()) {
                present.insert(vm, Presence::Running);
            }
        }
        let ids: Vec<u32> = present.keys().copied().collect();
        let names = reading.sources().catalog.names(&reading.snapshot, &ids).await?;
        let gpus = reading.snapshot.latest_gpu_sample_list(None).await?;
        Ok(Self { present, samples, gpus, names })
    }

    fn name(&self, vm: u32) -> Option<String> {
        self.present.get(&vm)?;
        self.names.get(&vm).map(|name| name.to_string())
    }

    fn observations(&self, signal: Signal, as_of: Instant) -> Vec<Observation> {
        let observation = |(subject, value)| Observation { subject, value, expectation: None };
        let found: Vec<Observation> = match signal {
            Signal::VmUnreachable => self.down_seconds(as_of).into_iter().map(observation).collect(),
            Signal::CpuRatio | Signal::MemoryRatio | Signal::DiskRatio => {
                let fresh = self.samples.iter().filter(|sample| is_fresh(sample.at, sample.interval_seconds, as_of));
                let of = |sample: &VmSampleFact| Some((machine(self.name(sample.vm_id)?), of_machine(signal, sample)?));
                fresh.filter_map(of).map(observation).collect()
            }
            _ => {
                let intervals: HashMap<u32, f64> = self.samples.iter().map(|sample| (sample.vm_id, sample.interval_seconds)).collect();
                let is_fresh = |gpu: &&LatestGpuSample| match intervals.get(&gpu.sample.vm_id) {
                    Some(interval) => is_fresh(gpu.sample.at, *interval, as_of),
                    None => as_of.0.saturating_sub(gpu.sample.at.0) < GPU_FRESH_US,
                };
                let fresh = self.gpus.iter().filter(is_fresh);
                let of = |found: &LatestGpuSample| Some((gpu(&self.name(found.sample.vm_id)?, found.gpu), of_gpu(signal, found)?));
                fresh.filter_map(of).map(observation).collect()
            }
        };
        found.into_iter().take(MACHINES_MAX).collect()
    }

    /// Seconds for which each machine has been down; 0 for those that are up.
    fn down_seconds(&self, as_of: Instant) -> Vec<(Subject, f64)> {
        let seconds = |presence: Presence| match presence {
            Presence::Down(since) => Some((as_of.0 - since.0) as f64 / SECOND_US as f64),
            Presence::Running => Some(0.0),
            Presence::Apart | Presence::Absent => None,
        };
        let mut found: Vec<(Subject, f64)> =
            self.present.iter().filter_map(|(vm, presence)| Some((machine(self.name(*vm)?), seconds(*presence)?))).collect();
        // Those that are down for longest are looked at first.
        found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        found
    }
}

fn is_fresh(at: Instant, interval_seconds: f64, as_of: Instant) -> bool {
    let fresh_us = ((interval_seconds * SILENT_INTERVALS * SECOND_US as f64) as i64).max(FRESH_US_MIN);
    as_of.0.saturating_sub(at.0) < fresh_us
}

fn machine(name: String) -> Subject {
    Subject::new(name.clone(), vec![("vm".to_owned(), name)])
}

fn gpu(vm: &str, index: u16) -> Subject {
    Subject::new(format!("{vm} GPU {index}"), vec![("vm".to_owned(), vm.to_owned()), ("gpu".to_owned(), index.to_string())])
}

fn part_of(part: Option<i64>, whole: Option<i64>) -> Option<f64> {
    part.zip(whole).and_then(|(part, whole)| ratio(part as f64, whole as f64))
}

fn of_machine(signal: Signal, sample: &VmSampleFact) -> Option<f64> {
    let [memory_used, memory_total, disk_used, disk_total] = sample.levels;
    match signal {
        Signal::CpuRatio => sample.cpu_ratio,
        Signal::MemoryRatio => part_of(memory_used, memory_total),
        Signal::DiskRatio => part_of(disk_used, disk_total),
        _ => None,
    }
}

fn of_gpu(signal: Signal, gpu: &LatestGpuSample) -> Option<f64> {
    match signal {
        Signal::GpuRatio => gpu.sample.utilization_ratio,
        Signal::GpuMemoryRatio => part_of(gpu.sample.memory_used_bytes, gpu.sample.memory_total_bytes),
        Signal::GpuTemperatureCelsius => gpu.sample.temperature_celsius,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_fresh_for_three_intervals_and_at_least_a_minute() {
        let at = |second: i64| Instant(second * SECOND_US);
        assert!(is_fresh(at(0), 1.0, at(59)) && !is_fresh(at(0), 1.0, at(60)));
        assert!(is_fresh(at(0), 60.0, at(179)) && !is_fresh(at(0), 60.0, at(180)));
        assert!(is_fresh(at(300), 1.0, at(0)), "a clock may run ahead");
    }

    #[test]
    fn what_nobody_has_priced_costs_nobody_knows_what() {
        let priced = CostSums { idle: 1_500_000_000, ..CostSums::default() };
        assert_eq!(per_hour(&priced), Some(1.5));
        assert_eq!(per_hour(&CostSums { unpriced_ps: 1, ..priced }), Some(1.5));
        assert_eq!(per_hour(&CostSums { unpriced_ps: 1, ..CostSums::default() }), None);
        assert_eq!(per_hour(&CostSums::default()), Some(0.0));
    }

    #[test]
    fn ratios_need_both_sides() {
        let sample = VmSampleFact {
            at: Instant(0),
            vm_id: 1,
            interval_seconds: 5.0,
            cpu_ratio: Some(0.25),
            disk_busy_ratio: None,
            levels: [Some(3), Some(4), Some(5), None],
            amounts: [None; 7],
        };
        assert_eq!(of_machine(Signal::CpuRatio, &sample), Some(0.25));
        assert_eq!(of_machine(Signal::MemoryRatio, &sample), Some(0.75));
        assert_eq!(of_machine(Signal::DiskRatio, &sample), None);
    }
}
