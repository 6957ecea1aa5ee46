//! Figures of machines, from their samples.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_graphql::{Lookahead, Object, SimpleObject};
use plimsoll_domain::breakdown::figures::{self, MachineFigures};
use plimsoll_domain::cell::part::Part;

use super::key::BreakdownKey;
use super::window::TimeWindow;
use crate::graphql::scalar::{DateTime, UInt53};

/// Over samples: plain mean, nearest-rank p95 within 1 %, maximum.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct Gauge {
    /// Plain mean over the samples.
    mean: f64,
    /// 95th percentile, within 1 %.
    p95: f64,
    /// Largest sample.
    max: f64,
}

impl From<figures::Gauge> for Gauge {
    fn from(of: figures::Gauge) -> Self {
        Self { mean: of.mean, p95: of.p95, max: of.max }
    }
}

/// Time in state RUNNING: active while at least one execution ran on the machine, idle otherwise.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct ActivityStats {
    /// Time in state RUNNING, ms.
    running_ms: UInt53,
    /// Of it, time in which at least one execution ran, ms.
    active_ms: UInt53,
    /// Of it, the rest, ms.
    idle_ms: UInt53,
    /// Idle / running time, 0 to 1; null without RUNNING time.
    idle_ratio: Option<f64>,
}

impl From<figures::Activity> for ActivityStats {
    fn from(of: figures::Activity) -> Self {
        let [running_ms, active_ms, idle_ms] = of.rounded_ms();
        Self { running_ms: running_ms.into(), active_ms: active_ms.into(), idle_ms: idle_ms.into(), idle_ratio: of.idle_ratio() }
    }
}

/// Samples whose instant lies in the window. Ratios are 0 to 1; null without samples.
#[derive(Clone, Debug)]
pub struct MachineStats(pub Arc<MachineFigures>);

impl From<MachineFigures> for MachineStats {
    fn from(figures: MachineFigures) -> Self {
        Self(Arc::new(figures))
    }
}

impl MachineStats {
    fn gauge(&self, part: Part) -> Option<Gauge> {
        self.0.gauges.get(&part).copied().map(Gauge::from)
    }

    fn sum(&self, part: Part) -> UInt53 {
        self.0.sums.get(&part).copied().unwrap_or(0).into()
    }
}

/// Samples whose instant lies in the window. Ratios are 0 to 1; null without samples.
#[Object]
impl MachineStats {
    /// Machines that were RUNNING or sent samples in the window.
    async fn vms(&self) -> UInt53 {
        self.0.vms.into()
    }

    /// Machine samples.
    async fn samples(&self) -> UInt53 {
        self.sum(Part::Samples)
    }

    /// CPU in use, 0 to 1; null without samples of it.
    async fn cpu_ratio(&self) -> Option<Gauge> {
        self.gauge(Part::CpuRatio)
    }

    /// Memory used over memory total, 0 to 1; null without samples of both.
    async fn memory_ratio(&self) -> Option<Gauge> {
        self.gauge(Part::MemoryRatio)
    }

    /// Memory used in bytes; null without samples of it.
    async fn memory_used_bytes(&self) -> Option<Gauge> {
        self.gauge(Part::MemoryUsed)
    }

    /// Disk used over disk total, 0 to 1; null without samples of both.
    async fn disk_ratio(&self) -> Option<Gauge> {
        self.gauge(Part::DiskRatio)
    }

    /// Share of time in which a disk was busy, 0 to 1; null without samples of it.
    async fn disk_busy_ratio(&self) -> Option<Gauge> {
        self.gauge(Part::DiskBusyRatio)
    }

    /// GPU samples.
    async fn gpu_samples(&self) -> UInt53 {
        self.sum(Part::GpuSamples)
    }

    /// GPU utilization, 0 to 1; null without samples of it.
    async fn gpu_ratio(&self) -> Option<Gauge> {
        self.gauge(Part::GpuRatio)
    }

    /// GPU memory used over total, 0 to 1; null without samples of both.
    async fn gpu_memory_ratio(&self) -> Option<Gauge> {
        self.gauge(Part::GpuMemoryRatio)
    }

    /// GPU memory used in bytes; null without samples of it.
    async fn gpu_memory_used_bytes(&self) -> Option<Gauge> {
        self.gauge(Part::GpuMemoryUsed)
    }

    /// GPU temperature in degrees Celsius; null without samples of it.
    async fn gpu_temperature_celsius(&self) -> Option<Gauge> {
        self.gauge(Part::GpuTemperature)
    }

    /// GPU power in watts; null without samples of it.
    async fn gpu_power_watts(&self) -> Option<Gauge> {
        self.gauge(Part::GpuPower)
    }

    /// GPU samples with a utilization under 1 % over those with a utilization, 0 to 1; null when there are none.
    async fn gpu_idle_ratio(&self) -> Option<f64> {
        self.0.gpu_idle_ratio
    }

    /// Bytes received over the network.
    async fn network_received_bytes(&self) -> UInt53 {
        self.sum(Part::NetworkReceived)
    }

    /// Bytes sent over the network.
    async fn network_sent_bytes(&self) -> UInt53 {
        self.sum(Part::NetworkSent)
    }

    /// Network errors.
    async fn network_errors(&self) -> UInt53 {
        self.sum(Part::NetworkErrors)
    }

    /// Bytes read from disks.
    async fn disk_read_bytes(&self) -> UInt53 {
        self.sum(Part::DiskRead)
    }

    /// Bytes written to disks.
    async fn disk_written_bytes(&self) -> UInt53 {
        self.sum(Part::DiskWritten)
    }

    /// Disk read operations.
    async fn disk_read_ops(&self) -> UInt53 {
        self.sum(Part::DiskReadOps)
    }

    /// Disk write operations.
    async fn disk_write_ops(&self) -> UInt53 {
        self.sum(Part::DiskWriteOps)
    }

    /// Received bytes a second, each sample's amount over its interval; null without samples of it.
    async fn network_received_bytes_per_second(&self) -> Option<Gauge> {
        self.gauge(Part::NetworkReceivedRate)
    }

    /// Sent bytes a second, each sample's amount over its interval; null without samples of it.
    async fn network_sent_bytes_per_second(&self) -> Option<Gauge> {
        self.gauge(Part::NetworkSentRate)
    }

    /// Read bytes a second, each sample's amount over its interval; null without samples of it.
    async fn disk_read_bytes_per_second(&self) -> Option<Gauge> {
        self.gauge(Part::DiskReadRate)
    }

    /// Written bytes a second, each sample's amount over its interval; null without samples of it.
    async fn disk_written_bytes_per_second(&self) -> Option<Gauge> {
        self.gauge(Part::DiskWrittenRate)
    }

    /// RUNNING time and how much of it was used.
    async fn activity(&self) -> ActivityStats {
        self.0.activity.unwrap_or_default().into()
    }
}

/// The parts that the fields asked of `stats` objects need.
pub fn parts_asked(stats: &[Lookahead<'_>]) -> BTreeSet<Part> {
    const PARTS: &[(&str, &[Part])] = &[
        ("cpuRatio", &[Part::CpuRatio]),
        ("memoryRatio", &[Part::MemoryRatio]),
        ("memoryUsedBytes", &[Part::MemoryUsed]),
        ("diskRatio", &[Part::DiskRatio]),
        ("diskBusyRatio", &[Part::DiskBusyRatio]),
        ("gpuRatio", &[Part::GpuRatio]),
        ("gpuMemoryRatio", &[Part::GpuMemoryRatio]),
        ("gpuMemoryUsedBytes", &[Part::GpuMemoryUsed]),
        ("gpuTemperatureCelsius", &[Part::GpuTemperature]),
        ("gpuPowerWatts", &[Part::GpuPower]),
        ("gpuIdleRatio", &[Part::GpuRatio, Part::GpuIdleSamples]),
        ("networkReceivedBytes", &[Part::NetworkReceived]),
        ("networkSentBytes", &[Part::NetworkSent]),
        ("networkErrors", &[Part::NetworkErrors]),
        ("diskReadBytes", &[Part::DiskRead]),
        ("diskWrittenBytes", &[Part::DiskWritten]),
        ("diskReadOps", &[Part::DiskReadOps]),
        ("diskWriteOps", &[Part::DiskWriteOps]),
        ("networkReceivedBytesPerSecond", &[Part::NetworkReceivedRate]),
        ("networkSentBytesPerSecond", &[Part::NetworkSentRate]),
        ("diskReadBytesPerSecond", &[Part::DiskReadRate]),
        ("diskWrittenBytesPerSecond", &[Part::DiskWrittenRate]),
        ("activity", &[Part::ActiveTime]),
    ];
    let asked = |field: &str| stats.iter().any(|stats| stats.field(field).exists());
    PARTS.iter().filter(|(field, _)| asked(field)).flat_map(|(_, parts)| parts.iter().copied()).collect()
}

/// Machines by some dimensions, ordered by samples.
#[derive(SimpleObject, Clone, Debug)]
pub struct MachineBreakdown {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<MachineRow>,
    /// What `limit` cut off; null when nothing was.
    pub other: Option<MachineStats>,
    /// Everything.
    pub total: MachineStats,
}

/// A row of machines.
#[derive(SimpleObject, Clone, Debug)]
pub struct MachineRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// Its figures.
    pub stats: MachineStats,
}

/// Machines over time. Points tile the window in UTC calendar units; the first and last are cut to it; empty points are there.
#[derive(SimpleObject, Clone, Debug)]
pub struct MachineSeries {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The calendar unit of the points.
    pub step: super::enums::Step,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The largest rows by samples over the window.
    pub rows: Vec<MachineSeriesRow>,
    /// Everything.
    pub total: Vec<MachinePoint>,
}

/// A row of a series of machines.
#[derive(SimpleObject, Clone, Debug)]
pub struct MachineSeriesRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// One point for each tile of the window.
    pub points: Vec<MachinePoint>,
}

/// A point of a series of machines.
#[derive(SimpleObject, Clone, Debug)]
pub struct MachinePoint {
    /// The tile.
    pub window: TimeWindow,
    /// Figures of the samples in it.
    pub stats: MachineStats,
}
