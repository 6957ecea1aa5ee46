//! The answers from the raw events: every event is looked at for every row.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::figures::{Distribution, ExecutionFigures, Gauge, MachineFigures, SizeDistribution};
use plimsoll_domain::cell::part::Part;
use plimsoll_domain::ingest::event::{CheckpointLoad, Event, Execution, GpuSample, StorageSnapshot, VmSample};
use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::time::{HOUR_US, Instant, MINUTE_US, Window};

use super::directory::{Condition, Directory, Key, checkpoint_texts, combination_text, version_text};
use super::fleet::{Fleet, Place};
use super::random::Random;

/// The events that were accepted, once each.
pub struct Raw {
    pub executions: Vec<Execution>,
    pub loads: Vec<CheckpointLoad>,
    pub snapshots: Vec<StorageSnapshot>,
    vm_samples: Vec<VmSample>,
    gpu_samples: Vec<GpuSample>,
    pub fleet: Fleet,
    model_types: BTreeMap<String, (Instant, u128, String)>,
}

/// What machines and samples count in a row.
#[derive(Default)]
pub struct MachineRow<'a> {
    vms: BTreeSet<String>,
    vm_samples: Vec<&'a VmSample>,
    gpu_samples: Vec<&'a GpuSample>,
}

pub fn place_of(place: &Place, dimension: Dimension) -> Option<String> {
    match dimension {
        Dimension::InstanceType => place[0].clone(),
        Dimension::Region => place[1].clone(),
        _ => place[2].clone(),
    }
}

impl Raw {
    pub fn new(events: &[Event]) -> Self {
        let (mut executions, mut loads, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
        let (mut vm_samples, mut gpu_samples) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Execution(execution) => executions.push((**execution).clone()),
                Event::CheckpointLoad(load) => loads.push((**load).clone()),
                Event::StorageSnapshot(snapshot) => snapshots.push((**snapshot).clone()),
                Event::VmSample(sample) => vm_samples.push((**sample).clone()),
                Event::GpuSample(sample) => gpu_samples.push((**sample).clone()),
                _ => {}
            }
        }
        let mut model_types: BTreeMap<String, (Instant, u128, String)> = BTreeMap::new();
        for execution in &executions {
            if let Some(kind) = &execution.model_type {
                let news = (execution.finished_at, execution.id.as_u128(), kind.clone());
                let known = model_types.entry(execution.model.model.clone()).or_insert_with(|| news.clone());
                *known = news.max(known.clone());
            }
        }
        Self { executions, loads, snapshots, vm_samples, gpu_samples, fleet: Fleet::new(events), model_types }
    }

    /// The instant of some event; none where there are none of a random kind.
    pub fn some_instant(&self, random: &mut Random) -> Option<Instant> {
        let instants: Vec<Instant> = match random.below(3) {
            0 => self.executions.iter().map(|execution| execution.finished_at).collect(),
            1 => self.vm_samples.iter().map(|sample| sample.at).collect(),
            _ => self.gpu_samples.iter().map(|sample| sample.at).collect(),
        };
        (!instants.is_empty()).then(|| random.pick(&instants))
    }

    /// The newest type of a base model.
    pub fn model_type(&self, model: &str) -> Option<String> {
        self.model_types.get(model).map(|(_, _, kind)| kind.clone())
    }

    /// The values of one dimension: several for checkpoints, one or none else.
    fn values(&self, execution: &Execution, dimension: Dimension) -> Vec<String> {
        let caller = &execution.caller;
        let one = match dimension {
            Dimension::Checkpoint => return execution.checkpoints.iter().map(|checkpoint| checkpoint_texts(checkpoint).0).collect(),
            Dimension::CheckpointVersion => return execution.checkpoints.iter().map(|checkpoint| checkpoint_texts(checkpoint).1).collect(),
            Dimension::ModelType => self.model_type(&execution.model.model),
            Dimension::Model => Some(execution.model.model.clone()),
            Dimension::ModelVersion => Some(version_text(&execution.model)),
            Dimension::Combination => Some(combination_text(execution)),
            Dimension::Application => caller.application.clone(),
            Dimension::User => caller.user.clone(),
            Dimension::Department => caller.department.clone(),
            Dimension::Project => caller.project.clone(),
            Dimension::Vm => execution.vm.clone(),
            Dimension::InstanceType | Dimension::Region | Dimension::Provider => {
                let place = execution.vm.as_ref().map(|vm| self.fleet.place_at(vm, execution.finished_at));
                place.and_then(|place| place_of(&place, dimension))
            }
            Dimension::ErrorType => execution.error_type.clone(),
            // Nobody can ask for them.
            Dimension::Previous | Dimension::StorageType | Dimension::StorageLocation | Dimension::ServiceType => None,
        };
        one.into_iter().collect()
    }

    fn execution_fits(&self, execution: &Execution, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| match condition {
            Condition::Outcome(outcomes) => outcomes.contains(&execution.outcome),
            Condition::CacheHit(_) => false,
            Condition::Any(dimension, names) => self.values(execution, *dimension).iter().any(|value| names.contains(value)),
        })
    }

    /// The executions of a window and the rows in which each counts.
    pub fn execution_rows(&self, window: Window, by: &[Dimension], conditions: &[Condition]) -> Vec<(&Execution, BTreeSet<Key>)> {
        let inside = self.executions.iter().filter(|execution| window.contains(execution.finished_at));
        let fitting = inside.filter(|execution| self.execution_fits(execution, conditions));
        fitting.map(|execution| (execution, self.keys(execution, by))).collect()
    }

    fn keys(&self, execution: &Execution, by: &[Dimension]) -> BTreeSet<Key> {
        let places = execution.checkpoints.len().max(1);
        let key = |place: usize| {
            let value = |dimension: &Dimension| {
                let mut values = self.values(execution, *dimension).into_iter();
                if dimension.is_checkpoint() { values.nth(place) } else { values.next() }
            };
            by.iter().map(value).collect()
        };
        (0..places).map(key).collect()
    }

    fn machine_key(vm: &str, place: &Place, by: &[Dimension], conditions: &[Condition]) -> Option<Key> {
        let value = |dimension: Dimension| match dimension {
            Dimension::Vm => Some(vm.to_owned()),
            other => place_of(place, other),
        };
        let fits = conditions.iter().all(|condition| match condition {
            Condition::Any(dimension, names) => value(*dimension).is_some_and(|value| names.contains(&value)),
            Condition::Outcome(_) | Condition::CacheHit(_) => false,
        });
        fits.then(|| by.iter().map(|dimension| value(*dimension)).collect())
    }

    /// The machines and samples of a window by row.
    pub fn machine_rows(&self, window: Window, by: &[Dimension], conditions: &[Condition]) -> BTreeMap<Key, MachineRow<'_>> {
        let mut rows: BTreeMap<Key, MachineRow<'_>> = BTreeMap::new();
        let key = |vm: &str, at: Instant| Self::machine_key(vm, &self.fleet.place_at(vm, at), by, conditions);
        for (vm, place) in self.fleet.running(window) {
            if let Some(key) = Self::machine_key(&vm, &place, by, conditions) {
                rows.entry(key).or_default().vms.insert(vm);
            }
        }
        for sample in self.vm_samples.iter().filter(|sample| window.contains(sample.at)) {
            if let Some(key) = key(&sample.vm, sample.at) {
                let row = rows.entry(key).or_default();
                row.vms.insert(sample.vm.clone());
                row.vm_samples.push(sample);
            }
        }
        for sample in self.gpu_samples.iter().filter(|sample| window.contains(sample.at)) {
            if let Some(key) = key(&sample.vm, sample.at) {
                let row = rows.entry(key).or_default();
                row.vms.insert(sample.vm.clone());
                row.gpu_samples.push(sample);
            }
        }
        rows
    }

    /// Several rows as one.
    pub fn machine_sum<'a>(rows: impl Iterator<Item = &'a MachineRow<'a>>) -> MachineRow<'a> {
        let mut sum = MachineRow::default();
        for row in rows {
            sum.vms.extend(row.vms.iter().cloned());
            sum.vm_samples.extend(&row.vm_samples);
            sum.gpu_samples.extend(&row.gpu_samples);
        }
        sum
    }
}

/// Fails unless `got` lies within 1 % of the nearest-rank value.
fn check_percentile(values: &[f64], quantile: f64, got: f64, what: &str) {
    let rank = ((quantile * values.len() as f64).ceil() as usize).max(1);
    let exact = values[rank - 1];
    assert!((got - exact).abs() <= exact.abs() * 0.01 + 1e-12, "{what}: percentile {quantile} is {got}, exactly {exact}");
}

pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The exact sum of fractions in units of 10^-12.
fn fraction_sum(values: &[f64]) -> f64 {
    values.iter().map(|value| (value * 1e12).round() as i128).sum::<i128>() as f64 / 1e12
}

pub fn check_durations(values: &[f64], got: Option<&Distribution>, what: &str) {
    let Some(got) = got else { return assert!(values.is_empty(), "{what}: {} values are missing", values.len()) };
    let (Some(min), Some(max)) = (values.first(), values.last()) else { panic!("{what}: values from nowhere") };
    assert_eq!((got.count, got.sum_ms, got.min_ms, got.max_ms), (values.len() as u64, fraction_sum(values), *min, *max), "{what}");
    assert_eq!(got.mean_ms, fraction_sum(values) / values.len() as f64, "{what}");
    for (quantile, got) in [0.5, 0.9, 0.95, 0.99].into_iter().zip(got.percentiles_ms) {
        check_percentile(values, quantile, got, what);
    }
}

fn check_sizes(values: &[i64], got: Option<&SizeDistribution>, what: &str) {
    let Some(got) = got else { return assert!(values.is_empty(), "{what}: {} values are missing", values.len()) };
    let sum = values.iter().map(|value| i128::from(*value)).sum::<i128>();
    assert_eq!((got.count, i128::from(got.sum_bytes)), (values.len() as u64, sum), "{what}");
    assert_eq!(Some(got.max_bytes), values.iter().max().map(|max| *max as u64), "{what}");
    let floats = sorted(values.iter().map(|value| *value as f64));
    check_percentile(&floats, 0.5, got.percentiles_bytes[0], what);
    check_percentile(&floats, 0.95, got.percentiles_bytes[1], what);
}

pub fn milliseconds(from: Instant, to: Instant) -> f64 {
    (to.0 - from.0) as f64 / 1000.0
}

/// Fails unless the figures are those of these executions in this window.
pub fn check_executions(raw: &Raw, directory: &Directory, rows: &[&Execution], window: Window, got: &ExecutionFigures, what: &str) {
    let of = |outcome| rows.iter().filter(|row| row.outcome == outcome).count() as u64;
    assert_eq!(got.outcomes, [of(Outcome::Succeeded), of(Outcome::Failed), of(Outcome::Cancelled)], "{what}: outcomes");
    let users: BTreeSet<&String> = rows.iter().filter_map(|row| row.caller.user.as_ref()).collect();
    assert_eq!(got.users, users.len() as u64, "{what}: users");
    let parts: [(Part, fn(&Execution) -> Option<f64>); 5] = [
        (Part::Duration, |row| Some(milliseconds(row.started_at, row.finished_at))),
        (Part::Queue, |row| row.queued_at.map(|queued_at| milliseconds(queued_at, row.started_at))),
        (Part::CheckpointLoad, |row| row.checkpoint_load_ms),
        (Part::ModelInit, |row| row.model_init_ms),
        (Part::Inference, |row| row.inference_ms),
    ];
    for (part, value) in parts {
        let values = sorted(rows.iter().filter_map(|row| value(row)));
        check_durations(&values, got.durations.get(&part), &format!("{what}: {part:?}"));
    }
    let sizes: [(Part, fn(&Execution) -> Option<i64>); 2] =
        [(Part::InputSize, |row| row.input_bytes), (Part::OutputSize, |row| row.output_bytes)];
    for (part, value) in sizes {
        let values: Vec<i64> = rows.iter().filter_map(|row| value(row)).collect();
        check_sizes(&values, got.sizes.get(&part), &format!("{what}: {part:?}"));
    }
    let sized = rows.iter().filter(|row| row.input_bytes.is_some() || row.output_bytes.is_some()).count() as u64;
    assert_eq!(got.size_correlation.map_or(0, |correlation| correlation.executions), sized, "{what}: sized executions");
    let memory: Vec<i64> = rows.iter().filter_map(|row| row.gpu_memory_peak_bytes).collect();
    let told = got.gpu_memory.map(|memory| (memory.executions, memory.max_bytes));
    assert_eq!(told, memory.iter().max().map(|max| (memory.len() as u64, *max as u64)), "{what}: GPU memory");
    check_peak(rows, window, got.peak_requests_per_second, what);
    check_usage(raw, rows, got, what);
    check_errors(directory, rows, got, what);
}

fn check_peak(rows: &[&Execution], window: Window, got: Option<f64>, what: &str) {
    let mut minutes: BTreeMap<i64, u32> = BTreeMap::new();
    for row in rows {
        let minute = row.finished_at.0.div_euclid(MINUTE_US);
        if minute * MINUTE_US >= window.start.0 && (minute + 1) * MINUTE_US <= window.end.0 {
            *minutes.entry(minute).or_default() += 1;
        }
    }
    let first = window.start.0.div_euclid(MINUTE_US) + i64::from(window.start.0 % MINUTE_US != 0);
    let fits = (first + 1) * MINUTE_US <= window.end.0;
    let peak = fits.then(|| f64::from(minutes.values().copied().max().unwrap_or(0)) / 60.0);
    assert_eq!(got, peak, "{what}: peak");
}

fn check_usage(raw: &Raw, rows: &[&Execution], got: &ExecutionFigures, what: &str) {
    let (mut gpu_us, mut cpu_hours) = (0_i128, 0.0);
    for row in rows {
        let duration_us = row.finished_at.0 - row.started_at.0;
        let shape = row.vm.as_ref().map(|vm| raw.fleet.shape_at(vm, row.finished_at));
        let (gpus, slots, v_cpus) = shape.map_or((0, 1.0, 0.0), |shape| (shape.gpus, shape.slots, shape.v_cpus));
        let held = if row.gpus.is_empty() { gpus } else { row.gpus.len() as i128 };
        gpu_us += if gpus > 0 { held * i128::from(duration_us) } else { 0 };
        let share = if row.gpus.is_empty() { 1.0 } else { row.gpus.len() as f64 / slots };
        let hours = duration_us as f64 / HOUR_US as f64;
        cpu_hours += row.cpu_seconds.map_or(hours * v_cpus * share, |seconds| seconds / 3_600.0);
    }
    assert_eq!(got.gpu_hours, gpu_us as f64 / HOUR_US as f64, "{what}: GPU-hours");
    assert!((got.cpu_hours - cpu_hours).abs() <= 1e-9 * cpu_hours, "{what}: CPU-hours are {}, exactly {cpu_hours}", got.cpu_hours);
}

fn check_errors(directory: &Directory, rows: &[&Execution], got: &ExecutionFigures, what: &str) {
    let mut errors: BTreeMap<String, (u64, Instant)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.outcome == Outcome::Failed) {
        let entry = errors.entry(row.error_type.clone().unwrap_or_default()).or_insert((0, row.finished_at));
        *entry = (entry.0 + 1, entry.1.max(row.finished_at));
    }
    let mut errors: Vec<(String, u64, Instant)> = errors.into_iter().map(|(name, (count, last))| (name, count, last)).collect();
    errors.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let text = |id| directory.text(Dimension::ErrorType, id).unwrap_or_default();
    let told: Vec<_> = got.errors.iter().map(|error| (text(error.error_type_id), error.count, error.last_seen_at)).collect();
    assert_eq!(told, errors, "{what}: errors");
}

fn ratio(used: Option<i64>, total: Option<i64>) -> Option<f64> {
    Some(used? as f64 / total.filter(|total| *total > 0)? as f64)
}

/// Fails unless the figures are those of these machines and samples.
pub fn check_machines(row: &MachineRow<'_>, got: &MachineFigures, what: &str) {
    assert_eq!(got.vms, row.vms.len() as u64, "{what}: machines");
    let sum = |value: fn(&VmSample) -> Option<i64>| row.vm_samples.iter().filter_map(|sample| value(sample)).sum::<i64>() as u64;
    let sums = [
        (Part::Samples, row.vm_samples.len() as u64),
        (Part::NetworkReceived, sum(|sample| sample.network_received_bytes)),
        (Part::NetworkSent, sum(|sample| sample.network_sent_bytes)),
        (Part::NetworkErrors, sum(|sample| sample.network_errors)),
        (Part::DiskRead, sum(|sample| sample.disk_read_bytes)),
        (Part::DiskWritten, sum(|sample| sample.disk_written_bytes)),
        (Part::DiskReadOps, sum(|sample| sample.disk_read_ops)),
        (Part::DiskWriteOps, sum(|sample| sample.disk_write_ops)),
        (Part::GpuSamples, row.gpu_samples.len() as u64),
    ];
    for (part, sum) in sums {
        assert_eq!(got.sums.get(&part).copied(), Some(sum), "{what}: {part:?}");
    }
    type Level<S> = (Part, f64, fn(&S) -> Option<f64>);
    let of_vms: [Level<VmSample>; 6] = [
        (Part::CpuRatio, 1e12, |sample| sample.cpu_ratio),
        (Part::MemoryRatio, 1e12, |sample| ratio(sample.memory_used_bytes, sample.memory_total_bytes)),
        (Part::MemoryUsed, 1.0, |sample| sample.memory_used_bytes.map(|bytes| bytes as f64)),
        (Part::DiskRatio, 1e12, |sample| ratio(sample.disk_used_bytes, sample.disk_total_bytes)),
        (Part::DiskBusyRatio, 1e12, |sample| sample.disk_busy_ratio),
        (Part::NetworkSentRate, 1e12, |sample| sample.network_sent_bytes.map(|bytes| bytes as f64 / sample.interval_seconds)),
    ];
    for (part, scale, value) in of_vms {
        let values = sorted(row.vm_samples.iter().filter_map(|sample| value(sample)));
        check_gauge(&values, scale, got.gauges.get(&part), &format!("{what}: {part:?}"));
    }
    let of_gpus: [Level<GpuSample>; 5] = [
        (Part::GpuRatio, 1e12, |sample| sample.utilization_ratio),
        (Part::GpuMemoryRatio, 1e12, |sample| ratio(sample.memory_used_bytes, sample.memory_total_bytes)),
        (Part::GpuMemoryUsed, 1.0, |sample| sample.memory_used_bytes.map(|bytes| bytes as f64)),
        (Part::GpuTemperature, 1e12, |sample| sample.temperature_celsius),
        (Part::GpuPower, 1e12, |sample| sample.power_watts),
    ];
    for (part, scale, value) in of_gpus {
        let values = sorted(row.gpu_samples.iter().filter_map(|sample| value(sample)));
        check_gauge(&values, scale, got.gauges.get(&part), &format!("{what}: {part:?}"));
    }
    let utilizations: Vec<f64> = row.gpu_samples.iter().filter_map(|sample| sample.utilization_ratio).collect();
    let idle = utilizations.iter().filter(|ratio| **ratio < 0.01).count() as f64;
    assert_eq!(got.gpu_idle_ratio, (!utilizations.is_empty()).then(|| idle / utilizations.len() as f64), "{what}: idle GPUs");
}

fn check_gauge(values: &[f64], scale: f64, got: Option<&Gauge>, what: &str) {
    let Some(got) = got else { return assert!(values.is_empty(), "{what}: {} values are missing", values.len()) };
    let sum = values.iter().map(|value| (value * scale).round() as i128).sum::<i128>() as f64 / scale;
    assert_eq!((got.mean, Some(&got.max)), (sum / values.len() as f64, values.last()), "{what}");
    check_percentile(values, 0.95, got.p95, what);
}
