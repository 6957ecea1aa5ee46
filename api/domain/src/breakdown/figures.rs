//! From what was added up to the figures that are answered. Pure.
//!
//! Invariant: unknown is none, never 0; a sum over nothing is 0 (contract, "Belonging and order").

use std::collections::BTreeMap;

use plimsoll_entity::value::moments::Moments;
use plimsoll_entity::value::time::{Instant, MINUTE_US, SECOND_US, Window};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::gather::{Gathered, OUTCOMES};
use crate::cell::column::Column;
use crate::cell::part::Part;
use crate::cell::stat::{Minutes, SECOND_PS, Summary, Usage};
use crate::machine::fleet::Shape;

/// Microseconds of an hour, as a divisor.
const HOUR_US: f64 = 3_600e6;
/// Seconds of a minute.
const MINUTE_S: f64 = 60.0;
/// Seconds of an hour.
const HOUR_S: f64 = 3_600.0;

/// Durations in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distribution {
    /// Number of values.
    pub count: u64,
    /// Mean.
    pub mean_ms: f64,
    /// Sum.
    pub sum_ms: f64,
    /// Least.
    pub min_ms: f64,
    /// 50th, 90th, 95th and 99th percentile.
    pub percentiles_ms: [f64; 4],
    /// Largest.
    pub max_ms: f64,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeDistribution {
    /// Number of values.
    pub count: u64,
    /// Mean.
    pub mean_bytes: f64,
    /// Sum.
    pub sum_bytes: u64,
    /// 50th and 95th percentile.
    pub percentiles_bytes: [f64; 2],
    /// Largest.
    pub max_bytes: u64,
}

/// Samples of a level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauge {
    /// Plain mean over the samples.
    pub mean: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Largest.
    pub max: f64,
}

/// Sizes against durations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeCorrelation {
    /// Executions with an input or an output size.
    pub executions: u64,
    /// Input: Pearson's coefficient.
    pub input_pearson: Option<f64>,
    /// Output: Pearson's coefficient.
    pub output_pearson: Option<f64>,
    /// Input: slope.
    pub input_ms_per_mebibyte: Option<f64>,
    /// Output: slope.
    pub output_ms_per_mebibyte: Option<f64>,
}

/// Peak GPU memory of executions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GpuMemory {
    /// Executions that told it.
    pub executions: u64,
    /// Mean.
    pub mean_bytes: f64,
    /// 95th percentile.
    pub p95_bytes: f64,
    /// Largest.
    pub max_bytes: u64,
    /// Largest of peak over the memory of the GPUs held; none where that is unknown.
    pub max_ratio: Option<f64>,
}

/// Failed executions of one error type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorFigure {
    /// Id of the error type's name.
    pub error_type_id: u32,
    /// Number.
    pub count: u64,
    /// Latest end.
    pub last_seen_at: Instant,
}

/// Figures of executions. What was not asked for is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecutionFigures {
    /// Succeeded, failed, cancelled.
    pub outcomes: [u64; OUTCOMES],
    /// Executions over the length of the window.
    pub requests_per_second: f64,
    /// Highest count of a whole minute over 60 s; none where no whole minute fits.
    pub peak_requests_per_second: Option<f64>,
    /// Distinct known users.
    pub users: u64,
    /// Durations by part: duration, queue, load, init, inference.
    pub durations: BTreeMap<Part, Distribution>,
    /// Input and output sizes.
    pub sizes: BTreeMap<Part, SizeDistribution>,
    /// Sizes against durations.
    pub size_correlation: Option<SizeCorrelation>,
    /// Peak GPU memory.
    pub gpu_memory: Option<GpuMemory>,
    /// Duration x GPUs held.
    pub gpu_hours: f64,
    /// CPU time.
    pub cpu_hours: f64,
    /// Failed executions by error type, most first; equal: not yet in order.
    pub errors: Vec<ErrorFigure>,
    /// GPU samples by who held the GPU; none where dimensions or filter know more than samples do.
    pub gpu_samples: Option<GpuSampleFigures>,
}

impl ExecutionFigures {
    /// Number of executions.
    #[must_use]
    pub fn executions(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// succeeded / (succeeded + failed).
    #[must_use]
    pub fn success_ratio(&self) -> Option<f64> {
        ratio(self.outcomes[0] as f64, (self.outcomes[0] + self.outcomes[1]) as f64)
    }
}

/// `part / whole`; none where the whole is nothing.
#[must_use]
pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Figures of machine samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineFigures {
    /// Machines that were RUNNING or sent samples.
    pub vms: u64,
    /// Counts and sums by part.
    pub sums: BTreeMap<Part, u64>,
    /// Levels by part.
    pub gauges: BTreeMap<Part, Gauge>,
    /// GPU samples with a utilization under 1 % over those with a utilization.
    pub gpu_idle_ratio: Option<f64>,
    /// RUNNING and active time; none where it was not asked for.
    pub activity: Option<Activity>,
}

/// Time in state RUNNING, and the part of it in which at least one execution ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Microseconds.
    pub running_us: i128,
    /// Microseconds.
    pub active_us: i128,
}

impl Activity {
    /// RUNNING, active and idle time in whole milliseconds, each rounded for itself.
    #[must_use]
    pub fn rounded_ms(&self) -> [u64; 3] {
        let rounded = |us: i128| u64::try_from((us + 500).div_euclid(1_000)).unwrap_or(0);
        [rounded(self.running_us), rounded(self.active_us), rounded(self.running_us - self.active_us)]
    }

    /// Idle time of RUNNING time; none without any.
    #[must_use]
    pub fn idle_ratio(&self) -> Option<f64> {
        ratio((self.running_us - self.active_us) as f64, self.running_us as f64)
    }
}

/// What the GPUs' own samples say of the combination that held them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GpuSampleFigures {
    /// Number of samples.
    pub samples: u64,
    /// 0 to 1.
    pub utilization_ratio: Option<Gauge>,
    /// Bytes.
    pub memory_used_bytes: Option<Gauge>,
}

/// The one row of a part over some atoms.
pub(super) enum Merged<'a> {
    /// A row of the column itself.
    Row(&'a Column, usize),
    /// A column of one row.
    Sum(Column),
}

impl Merged<'_> {
    pub(super) fn of<'a>(gathered: &'a Gathered, part: Part, atoms: &[u32]) -> Option<Merged<'a>> {
        let column = gathered.columns.get(&part)?;
        if let [atom] = atoms {
            return Some(Merged::Row(column, *atom as usize));
        }
        let mut sum = Column::of(part);
        sum.grow(1);
        atoms.iter().for_each(|atom| sum.merge_row(0, column, *atom as usize));
        Some(Merged::Sum(sum))
    }

    pub(super) fn summary(&self) -> Option<(&Summary, f64)> {
        match self {
            Self::Row(Column::Summaries(rows, scale), row) => Some((&rows[*row], *scale)),
            Self::Sum(Column::Summaries(rows, scale)) => Some((&rows[0], *scale)),
            _ => None,
        }
        .filter(|(summary, _)| summary.count > 0)
    }

    fn moments(&self) -> Option<&Moments> {
        match self {
            Self::Row(Column::Moments(rows), row) => Some(&rows[*row]),
            Self::Sum(Column::Moments(rows)) => Some(&rows[0]),
            _ => None,
        }
    }

    pub(super) fn sum(&self) -> u64 {
        let sum = match self {
            Self::Row(Column::Sums(rows), row) => rows[*row],
            Self::Sum(Column::Sums(rows)) => rows[0],
            _ => 0,
        };
        u64::try_from(sum).unwrap_or(u64::MAX)
    }
}

/// The distribution of a part over some atoms; none without values.
#[must_use]
pub fn distribution_of(gathered: &Gathered, part: Part, atoms: &[u32]) -> Option<Distribution> {
    let merged = Merged::of(gathered, part, atoms)?;
    merged.summary().map(|(summary, scale)| distribution(summary, scale))
}

/// The level of a part over some atoms; none without values.
#[must_use]
pub fn gauge_of(gathered: &Gathered, part: Part, atoms: &[u32]) -> Option<Gauge> {
    let merged = Merged::of(gathered, part, atoms)?;
    merged.summary().map(|(summary, scale)| gauge(summary, scale))
}

/// The sum of a part over some atoms.
#[must_use]
pub fn sum_of(gathered: &Gathered, part: Part, atoms: &[u32]) -> u64 {
    Merged::of(gathered, part, atoms).map_or(0, |merged| merged.sum())
}

/// What one atom has of a part, and its scale.
#[must_use]
pub fn summary_of(gathered: &Gathered, part: Part, atom: u32) -> Option<(&Summary, f64)> {
    match gathered.columns.get(&part) {
        Some(Column::Summaries(rows, scale)) => rows.get(atom as usize).map(|row| (row, *scale)),
        _ => None,
    }
}

pub(super) fn distribution(summary: &Summary, scale: f64) -> Distribution {
    let quantile = |q| summary.quantile(q).unwrap_or(summary.max);
    let sum_ms = summary.sum_scaled as f64 / scale;
    Distribution {
        count: summary.count,
        mean_ms: sum_ms / summary.count as f64,
        sum_ms,
        min_ms: summary.min,
        percentiles_ms: [0.5, 0.9, 0.95, 0.99].map(quantile),
        max_ms: summary.max,
    }
}

fn size_distribution(summary: &Summary) -> SizeDistribution {
    let quantile = |q| summary.quantile(q).unwrap_or(summary.max);
    SizeDistribution {
        count: summary.count,
        mean_bytes: summary.sum_scaled as f64 / summary.count as f64,
        sum_bytes: u64::try_from(summary.sum_scaled).unwrap_or(u64::MAX),
        percentiles_bytes: [0.5, 0.95].map(quantile),
        max_bytes: summary.max as u64,
    }
}

fn gauge(summary: &Summary, scale: f64) -> Gauge {
    Gauge {
        mean: summary.sum_scaled as f64 / scale / summary.count as f64,
        p95: summary.quantile(0.95).unwrap_or(summary.max),
        max: summary.max,
    }
}

/// GPU-hours and CPU-hours of usages by the shape of their machines (contract, "Figures of executions").
#[must_use]
pub fn usage_hours<'a>(usages: impl Iterator<Item = (&'a Shape, &'a Usage)>) -> (f64, f64) {
    let (mut gpu_us, mut cpu_hours) = (0_i128, 0.0);
    let mut by_shape: Vec<(&Shape, &Usage)> = usages.collect();
    // Floats are added in one order, so that the same cells give the same digits.
    by_shape.sort_unstable_by_key(|(shape, _)| **shape);
    for (shape, usage) in by_shape {
        if shape.gpus > 0 {
            gpu_us += usage.named_gpu_us + usage.whole_us * i128::from(shape.gpus);
        }
        let shared = usage.named_gpu_us_without_cpu as f64 / f64::from(shape.slots.max(1));
        let held_us = shared + usage.whole_us_without_cpu as f64;
        cpu_hours += usage.cpu_ps as f64 / SECOND_PS / HOUR_S + f64::from(shape.v_cpus.unwrap_or(0)) * held_us / HOUR_US;
    }
    (gpu_us as f64 / HOUR_US, cpu_hours)
}

/// The largest count of one minute that lies wholly in the window, over 60 s.
fn peak_per_second(window: Window, minutes: &[&Minutes]) -> Option<f64> {
    let first = (window.start.0 + MINUTE_US - 1).div_euclid(MINUTE_US);
    let after = window.end.0.div_euclid(MINUTE_US);
    if first >= after {
        return None;
    }
    let inside = |minute: u32| (first..after).contains(&i64::from(minute));
    let peak = match minutes {
        [one] => one.iter().filter(|(minute, _)| inside(*minute)).map(|(_, count)| count).max(),
        many => {
            let mut counts = vec![0_u32; (after - first) as usize];
            for (minute, count) in many.iter().flat_map(|minutes| minutes.iter()).filter(|(minute, _)| inside(*minute)) {
                counts[(i64::from(minute) - first) as usize] += count;
            }
            counts.into_iter().max()
        }
    };
    Some(f64::from(peak.unwrap_or(0)) / MINUTE_S)
}

/// Figures of some atoms of one tile. `usage` are the usages of every atom, by atom.
#[must_use]
pub fn execution_figures(gathered: &Gathered, by_atom: &ByAtom<'_>, atoms: &[u32], window: Window) -> ExecutionFigures {
    let mut figures = ExecutionFigures::default();
    for atom in atoms {
        for (outcome, count) in figures.outcomes.iter_mut().enumerate() {
            *count += gathered.outcomes[*atom as usize * OUTCOMES + outcome];
        }
    }
    let seconds = window.length_us() as f64 / SECOND_US as f64;
    figures.requests_per_second = ratio(figures.executions() as f64, seconds).unwrap_or(0.0);
    for part in gathered.columns.keys() {
        match part {
            Part::Duration | Part::Queue | Part::CheckpointLoad | Part::ModelInit | Part::Inference => {
                if let Some(merged) = Merged::of(gathered, *part, atoms)
                    && let Some((summary, scale)) = merged.summary()
                {
                    figures.durations.insert(*part, distribution(summary, scale));
                }
            }
            Part::InputSize | Part::OutputSize => {
                if let Some(merged) = Merged::of(gathered, *part, atoms)
                    && let Some((summary, _)) = merged.summary()
                {
                    figures.sizes.insert(*part, size_distribution(summary));
                }
            }
            Part::GpuMemory => figures.gpu_memory = gpu_memory(gathered, atoms),
            Part::SizedExecutions => figures.size_correlation = size_correlation(gathered, atoms),
            Part::Users => figures.users = distinct(gathered.columns.get(part), atoms),
            Part::Minutes => {
                if let Some(Column::Minutes(rows)) = gathered.columns.get(part) {
                    let minutes: Vec<&Minutes> = atoms.iter().map(|atom| &rows[*atom as usize]).collect();
                    figures.peak_requests_per_second = peak_per_second(window, &minutes);
                }
            }
            Part::Usage => {
                let usages = atoms.iter().flat_map(|atom| by_atom.usage.get(atom).into_iter().flatten());
                (figures.gpu_hours, figures.cpu_hours) = usage_hours(usages.copied());
            }
            Part::LastError => figures.errors = errors(by_atom, atoms),
            _ => {}
        }
    }
    figures
}

fn gpu_memory(gathered: &Gathered, atoms: &[u32]) -> Option<GpuMemory> {
    let merged = Merged::of(gathered, Part::GpuMemory, atoms)?;
    let (summary, _) = merged.summary()?;
    Some(GpuMemory {
        executions: summary.count,
        mean_bytes: summary.sum_scaled as f64 / summary.count as f64,
        p95_bytes: summary.quantile(0.95).unwrap_or(summary.max),
        max_bytes: summary.max as u64,
        max_ratio: None,
    })
}

fn size_correlation(gathered: &Gathered, atoms: &[u32]) -> Option<SizeCorrelation> {
    let executions = Merged::of(gathered, Part::SizedExecutions, atoms)?.sum();
    if executions == 0 {
        return None;
    }
    let of = |part| {
        let merged = Merged::of(gathered, part, atoms);
        let moments = merged.as_ref().and_then(Merged::moments);
        (moments.and_then(Moments::pearson), moments.and_then(Moments::slope_ms_per_mebibyte))
    };
    let ((input_pearson, input_ms_per_mebibyte), (output_pearson, output_ms_per_mebibyte)) =
        (of(Part::InputCorrelation), of(Part::OutputCorrelation));
    Some(SizeCorrelation { executions, input_pearson, output_pearson, input_ms_per_mebibyte, output_ms_per_mebibyte })
}

fn distinct(column: Option<&Column>, atoms: &[u32]) -> u64 {
    match (column, atoms) {
        (Some(Column::Ids(rows)), [atom]) => rows[*atom as usize].len(),
        (Some(Column::Ids(rows)), atoms) => atoms.iter().fold(RoaringBitmap::new(), |all, atom| all | &rows[*atom as usize]).len(),
        _ => 0,
    }
}

fn errors(by_atom: &ByAtom<'_>, atoms: &[u32]) -> Vec<ErrorFigure> {
    let mut counts: BTreeMap<u32, (u64, Instant)> = BTreeMap::new();
    for (error_type, count, last) in atoms.iter().flat_map(|atom| by_atom.errors.get(atom).into_iter().flatten()) {
        let entry = counts.entry(*error_type).or_insert((0, Instant(0)));
        *entry = (entry.0 + count, entry.1.max(*last));
    }
    let figure = |(error_type_id, (count, last_seen_at))| ErrorFigure { error_type_id, count, last_seen_at };
    counts.into_iter().map(figure).filter(|error| error.count > 0).collect()
}

/// What is kept beside the columns, by atom.
#[derive(Debug, Default)]
pub struct ByAtom<'a> {
    usage: FxHashMap<u32, Vec<(&'a Shape, &'a Usage)>>,
    errors: FxHashMap<u32, Vec<(u32, u64, Instant)>>,
}

impl<'a> ByAtom<'a> {
    /// Sorts what was gathered by atom.
    #[must_use]
    pub fn new(gathered: &'a Gathered) -> Self {
        let mut by_atom = Self::default();
        for ((atom, shape), usage) in &gathered.usage {
            by_atom.usage.entry(*atom).or_default().push((shape, usage));
        }
        for ((atom, error_type), (count, last)) in &gathered.errors {
            by_atom.errors.entry(*atom).or_default().push((*error_type, *count, *last));
        }
        by_atom
    }
}

/// The distribution of milliseconds; none without any.
#[must_use]
pub fn distribution_of_summary(summary: &Summary, scale: f64) -> Option<Distribution> {
    (summary.count > 0).then(|| distribution(summary, scale))
}

/// Figures of machine samples of some atoms.
#[must_use]
pub fn machine_figures(gathered: &Gathered, atoms: &[u32]) -> MachineFigures {
    let mut figures = MachineFigures {
        vms: atoms.iter().fold(RoaringBitmap::new(), |all, atom| all | &gathered.machines[*atom as usize]).len(),
        ..MachineFigures::default()
    };
    let mut with_utilization = 0;
    for part in gathered.columns.keys() {
        let Some(merged) = Merged::of(gathered, *part, atoms) else { continue };
        match merged.summary() {
            Some((summary, scale)) => {
                figures.gauges.insert(*part, gauge(summary, scale));
                if *part == Part::GpuRatio {
                    with_utilization = summary.count;
                }
            }
            None => {
                figures.sums.insert(*part, merged.sum());
            }
        }
    }
    let idle = figures.sums.get(&Part::GpuIdleSamples).copied().unwrap_or(0);
    figures.gpu_idle_ratio = ratio(idle as f64, with_utilization as f64);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(counts: &[(u32, u32)]) -> Minutes {
        let mut minutes = Minutes::default();
        counts.iter().for_each(|(minute, count)| minutes.add(*minute, *count));
        minutes
    }

    #[test]
    fn only_whole_minutes_peak() {
        let (one, two) = (minutes(&[(0, 50), (1, 6), (2, 60)]), minutes(&[(1, 6)]));
        let window = Window::of(1, 2 * MINUTE_US + 1);
        assert_eq!(peak_per_second(window, &[&one]), Some(0.1));
        assert_eq!(peak_per_second(window, &[&one, &two]), Some(0.2));
        assert_eq!(peak_per_second(Window::of(0, MINUTE_US - 1), &[&one]), None);
        assert_eq!(peak_per_second(Window::of(60 * MINUTE_US, 61 * MINUTE_US), &[&one]), Some(0.0));
    }

    #[test]
    fn usage_follows_the_shape() {
        let mut usage = Usage::of(3_600_000_000, 1, None);
        usage.merge(&Usage::of(1_800_000_000, 0, None));
        usage.merge(&Usage::of(3_600_000_000, 0, Some(1_800.0)));
        let gpu = Shape { slots: 4, gpus: 4, v_cpus: Some(8) };
        let (gpu_hours, cpu_hours) = usage_hours([(&gpu, &usage)].into_iter());
        assert!((gpu_hours - (1.0 + 2.0 + 4.0)).abs() < 1e-12);
        assert!((cpu_hours - (8.0 / 4.0 + 8.0 * 0.5 + 0.5)).abs() < 1e-12);
        let none = Shape { slots: 1, gpus: 0, v_cpus: None };
        assert_eq!(usage_hours([(&none, &usage)].into_iter()), (0.0, 0.5));
    }
}
