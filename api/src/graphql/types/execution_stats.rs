//! Figures of executions.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_graphql::{Context, Lookahead, Object, Result, SimpleObject};
use plimsoll_domain::breakdown::derived::SAMPLE_PARTS;
use plimsoll_domain::breakdown::figures::{self, ExecutionFigures};
use plimsoll_domain::cell::part::Part;

use super::key::BreakdownKey;
use super::machine_stats::Gauge;
use super::window::TimeWindow;
use crate::graphql::error::bad_input;
use crate::graphql::loader;
use crate::graphql::scalar::{DateTime, UInt53};

/// Error types of one list at most.
const ERRORS_MAX: i32 = 1_000;

/// Durations in milliseconds. Percentiles have a relative error of at most 1 %; count, mean, sum, min and max are exact.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct Distribution {
    /// Number of values.
    count: UInt53,
    /// Mean in ms.
    mean_ms: f64,
    /// Sum in ms.
    sum_ms: f64,
    /// Least in ms.
    min_ms: f64,
    /// Median in ms.
    p50_ms: f64,
    /// 90th percentile in ms.
    p90_ms: f64,
    /// 95th percentile in ms.
    p95_ms: f64,
    /// 99th percentile in ms.
    p99_ms: f64,
    /// Largest in ms.
    max_ms: f64,
}

impl From<&figures::Distribution> for Distribution {
    fn from(of: &figures::Distribution) -> Self {
        let [p50_ms, p90_ms, p95_ms, p99_ms] = of.percentiles_ms;
        Self {
            count: of.count.into(),
            mean_ms: of.mean_ms,
            sum_ms: of.sum_ms,
            min_ms: of.min_ms,
            p50_ms,
            p90_ms,
            p95_ms,
            p99_ms,
            max_ms: of.max_ms,
        }
    }
}

/// Sizes in bytes. Percentiles have a relative error of at most 1 %; count, mean, sum and max are exact.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct SizeDistribution {
    /// Number of values.
    count: UInt53,
    /// Mean in bytes.
    mean_bytes: f64,
    /// Sum in bytes.
    sum_bytes: UInt53,
    /// Median in bytes.
    p50_bytes: f64,
    /// 95th percentile in bytes.
    p95_bytes: f64,
    /// Largest in bytes.
    max_bytes: UInt53,
}

impl From<&figures::SizeDistribution> for SizeDistribution {
    fn from(of: &figures::SizeDistribution) -> Self {
        let [p50_bytes, p95_bytes] = of.percentiles_bytes;
        Self {
            count: of.count.into(),
            mean_bytes: of.mean_bytes,
            sum_bytes: of.sum_bytes.into(),
            p50_bytes,
            p95_bytes,
            max_bytes: of.max_bytes.into(),
        }
    }
}

/// Pearson correlation of a size with the execution time, and the least-squares line through both; null with fewer than 3 executions or no variance.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct SizeCorrelation {
    /// Executions that told an input or an output size.
    executions: UInt53,
    /// Correlation of input size and duration, -1 to 1; null with fewer than 3 executions or no variance.
    input_pearson: Option<f64>,
    /// Correlation of output size and duration, -1 to 1; null with fewer than 3 executions or no variance.
    output_pearson: Option<f64>,
    /// Slope for the input size, ms per MiB; null with fewer than 3 executions or no variance.
    input_ms_per_mebibyte: Option<f64>,
    /// Slope for the output size, ms per MiB; null with fewer than 3 executions or no variance.
    output_ms_per_mebibyte: Option<f64>,
}

impl From<figures::SizeCorrelation> for SizeCorrelation {
    fn from(of: figures::SizeCorrelation) -> Self {
        Self {
            executions: of.executions.into(),
            input_pearson: of.input_pearson,
            output_pearson: of.output_pearson,
            input_ms_per_mebibyte: of.input_ms_per_mebibyte,
            output_ms_per_mebibyte: of.output_ms_per_mebibyte,
        }
    }
}

/// Peak GPU memory that executions told.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct GpuMemoryStats {
    /// Executions that told it.
    executions: UInt53,
    /// Mean in bytes.
    mean_bytes: f64,
    /// 95th percentile in bytes, within 1 %.
    p95_bytes: f64,
    /// Largest in bytes.
    max_bytes: UInt53,
    /// Largest of peak over the memory of the GPUs that it ran on; null when that memory is unknown.
    max_ratio: Option<f64>,
}

impl From<figures::GpuMemory> for GpuMemoryStats {
    fn from(of: figures::GpuMemory) -> Self {
        Self {
            executions: of.executions.into(),
            mean_bytes: of.mean_bytes,
            p95_bytes: of.p95_bytes,
            max_bytes: of.max_bytes.into(),
            max_ratio: of.max_ratio,
        }
    }
}

/// Samples of GPUs. A sample belongs to the combination whose executions, and no others, held that GPU at its instant.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct GpuSampleStats {
    /// Number of samples.
    samples: UInt53,
    /// Utilization, 0 to 1; null without samples of it.
    utilization_ratio: Option<Gauge>,
    /// Memory used in bytes; null without samples of it.
    memory_used_bytes: Option<Gauge>,
}

impl From<figures::GpuSampleFigures> for GpuSampleStats {
    fn from(of: figures::GpuSampleFigures) -> Self {
        Self {
            samples: of.samples.into(),
            utilization_ratio: of.utilization_ratio.map(Gauge::from),
            memory_used_bytes: of.memory_used_bytes.map(Gauge::from),
        }
    }
}

/// Failed executions of one error type.
#[derive(SimpleObject, Clone, Debug)]
pub struct ErrorCount {
    /// Error type.
    error_type: Arc<str>,
    /// Number of failed executions.
    count: UInt53,
    /// Of the failed executions of this row, 0 to 1.
    ratio: f64,
    /// When the latest of them finished.
    last_seen_at: DateTime,
}

/// Executions that finished in the window.
#[derive(Clone, Debug)]
pub struct ExecutionStats(pub Arc<ExecutionFigures>);

impl From<ExecutionFigures> for ExecutionStats {
    fn from(figures: ExecutionFigures) -> Self {
        Self(Arc::new(figures))
    }
}

impl ExecutionStats {
    fn distribution(&self, part: Part) -> Option<Distribution> {
        self.0.durations.get(&part).map(Distribution::from)
    }
}

/// Executions that finished in the window.
#[Object]
impl ExecutionStats {
    /// Number of executions.
    async fn executions(&self) -> UInt53 {
        self.0.executions().into()
    }

    /// Executions that gave their result.
    async fn succeeded(&self) -> UInt53 {
        self.0.outcomes[0].into()
    }

    /// Executions that ended with an error.
    async fn failed(&self) -> UInt53 {
        self.0.outcomes[1].into()
    }

    /// Executions that somebody stopped.
    async fn cancelled(&self) -> UInt53 {
        self.0.outcomes[2].into()
    }

    /// Share of successes, succeeded / (succeeded + failed), 0 to 1; null when there are none.
    async fn success_ratio(&self) -> Option<f64> {
        self.0.success_ratio()
    }

    /// Executions over the seconds of the window.
    async fn requests_per_second(&self) -> f64 {
        self.0.requests_per_second
    }

    /// Highest count of one whole UTC minute inside the window, over 60 s; null where no whole minute fits.
    async fn peak_requests_per_second(&self) -> Option<f64> {
        self.0.peak_requests_per_second
    }

    /// Distinct known users.
    async fn users(&self) -> UInt53 {
        self.0.users.into()
    }

    /// Time from start to end, finishedAt - startedAt; null without executions.
    async fn duration(&self) -> Option<Distribution> {
        self.distribution(Part::Duration)
    }

    /// Time in the queue, startedAt - queuedAt; null when no execution told queuedAt.
    async fn queue(&self) -> Option<Distribution> {
        self.distribution(Part::Queue)
    }

    /// Time to load checkpoints; null when no execution told it.
    async fn checkpoint_load(&self) -> Option<Distribution> {
        self.distribution(Part::CheckpointLoad)
    }

    /// Time to initialise the model; null when no execution told it.
    async fn model_init(&self) -> Option<Distribution> {
        self.distribution(Part::ModelInit)
    }

    /// Time of inference; null when no execution told it.
    async fn inference(&self) -> Option<Distribution> {
        self.distribution(Part::Inference)
    }

    /// Input sizes; null when no execution told one.
    async fn input_size(&self) -> Option<SizeDistribution> {
        self.0.sizes.get(&Part::InputSize).map(SizeDistribution::from)
    }

    /// Output sizes; null when no execution told one.
    async fn output_size(&self) -> Option<SizeDistribution> {
        self.0.sizes.get(&Part::OutputSize).map(SizeDistribution::from)
    }

    /// Sizes against durations; null when no execution told a size.
    async fn size_correlation(&self) -> Option<SizeCorrelation> {
        self.0.size_correlation.map(SizeCorrelation::from)
    }

    /// Peak GPU memory; null when no execution told it.
    async fn gpu_memory(&self) -> Option<GpuMemoryStats> {
        self.0.gpu_memory.map(GpuMemoryStats::from)
    }

    /// What the GPUs' own samples say; null unless broken down by, and filtered for, models, checkpoints, combinations and machines only.
    async fn gpu_samples(&self) -> Option<GpuSampleStats> {
        self.0.gpu_samples.map(GpuSampleStats::from)
    }

    /// Duration x GPUs held in hours, each execution for itself: time that executions share counts for each.
    async fn execution_gpu_hours(&self) -> f64 {
        self.0.gpu_hours
    }

    /// CPU-hours: as reported, else duration x the machine's vCPUs x the share of its slots held.
    async fn execution_cpu_hours(&self) -> f64 {
        self.0.cpu_hours
    }

    /// Failed executions by error type, most first, then by name.
    async fn errors(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 10, desc = "Error types at most, 0 to 1,000; null: 10.")] limit: Option<i32>,
    ) -> Result<Vec<ErrorCount>> {
        let limit = limit.unwrap_or(10);
        if !(0..=ERRORS_MAX).contains(&limit) {
            return Err(bad_input("limit", format!("limit is 0 to {ERRORS_MAX}")));
        }
        let mut counts = Vec::new();
        for error in self.0.errors.iter().take(limit as usize) {
            counts.push(ErrorCount {
                error_type: loader::name(ctx, error.error_type_id).await?,
                count: error.count.into(),
                ratio: figures::ratio(error.count as f64, self.0.outcomes[1] as f64).unwrap_or(0.0),
                last_seen_at: DateTime(error.last_seen_at),
            });
        }
        Ok(counts)
    }
}

/// The parts that the fields asked of `stats` objects need.
pub fn parts_asked(stats: &[Lookahead<'_>]) -> BTreeSet<Part> {
    const PARTS: &[(&str, &[Part])] = &[
        ("duration", &[Part::Duration]),
        ("queue", &[Part::Queue]),
        ("checkpointLoad", &[Part::CheckpointLoad]),
        ("modelInit", &[Part::ModelInit]),
        ("inference", &[Part::Inference]),
        ("inputSize", &[Part::InputSize]),
        ("outputSize", &[Part::OutputSize]),
        ("sizeCorrelation", &[Part::SizedExecutions, Part::InputCorrelation, Part::OutputCorrelation]),
        ("gpuMemory", &[Part::GpuMemory]),
        ("gpuSamples", &SAMPLE_PARTS),
        ("users", &[Part::Users]),
        ("peakRequestsPerSecond", &[Part::Minutes]),
        ("executionGpuHours", &[Part::Usage]),
        ("executionCpuHours", &[Part::Usage]),
        ("errors", &[Part::LastError]),
    ];
    let asked = |field: &str| stats.iter().any(|stats| stats.field(field).exists());
    let mut parts: BTreeSet<Part> = PARTS.iter().filter(|(field, _)| asked(field)).flat_map(|(_, parts)| parts.iter().copied()).collect();
    // It takes the timelines, which whoever does not ask for it need not wait for.
    if stats.iter().any(|stats| stats.field("gpuMemory").field("maxRatio").exists()) {
        parts.insert(Part::MemoryRatioMax);
    }
    parts
}

/// Executions by some dimensions.
#[derive(SimpleObject, Clone, Debug)]
pub struct ExecutionBreakdown {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<ExecutionBreakdownRow>,
    /// What `limit` cut off, each execution once; null when nothing was.
    pub other: Option<ExecutionStats>,
    /// Everything, each execution once.
    pub total: ExecutionStats,
}

/// A row of executions.
#[derive(SimpleObject, Clone, Debug)]
pub struct ExecutionBreakdownRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// Its figures.
    pub stats: ExecutionStats,
}

/// Executions over time. Points tile the window in UTC calendar units; the first and last are cut to it; empty points are there. Rows: the largest by the sum over the window.
#[derive(SimpleObject, Clone, Debug)]
pub struct ExecutionSeries {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The calendar unit of the points.
    pub step: super::enums::Step,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The largest rows by executions over the window.
    pub rows: Vec<ExecutionSeriesRow>,
    /// Everything, each execution once.
    pub total: Vec<ExecutionPoint>,
}

/// A row of a series of executions.
#[derive(SimpleObject, Clone, Debug)]
pub struct ExecutionSeriesRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// One point for each tile of the window.
    pub points: Vec<ExecutionPoint>,
}

/// A point of a series of executions.
#[derive(SimpleObject, Clone, Debug)]
pub struct ExecutionPoint {
    /// The tile.
    pub window: TimeWindow,
    /// Figures of the executions that finished in it.
    pub stats: ExecutionStats,
}
