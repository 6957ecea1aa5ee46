//! Slot time: who spent it, who left it idle.

use async_graphql::SimpleObject;
use plimsoll_domain::breakdown::usage::UsageFigures;

use super::key::BreakdownKey;
use super::window::TimeWindow;
use crate::graphql::scalar::{DateTime, UInt53};

/// Slot time in whole hours: time that executions share is divided among them, so that it adds up to the fleet. The same parts as the cost, without money.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct UsageStats {
    /// Productive time of slots that are GPUs, hours.
    gpu_hours: f64,
    /// Productive slot time x vCPUs / slots, hours; 0 where the vCPUs are unknown.
    cpu_hours: f64,
    /// Idle time that this row caused, of slots that are GPUs, hours.
    idle_gpu_hours: f64,
    /// Idle time that this row caused x vCPUs / slots, hours; 0 where the vCPUs are unknown.
    idle_cpu_hours: f64,
}

impl From<UsageFigures> for UsageStats {
    fn from(of: UsageFigures) -> Self {
        let UsageFigures { gpu_hours, cpu_hours, idle_gpu_hours, idle_cpu_hours } = of;
        Self { gpu_hours, cpu_hours, idle_gpu_hours, idle_cpu_hours }
    }
}

/// Usage by some dimensions, ordered by `gpuHours + cpuHours`, then by key.
#[derive(SimpleObject, Clone, Debug)]
pub struct UsageBreakdown {
    /// The window that was answered: the one asked for, widened to whole UTC hours.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<UsageRow>,
    /// What `limit` cut off; null when nothing was.
    pub other: Option<UsageStats>,
    /// Everything: rows + other.
    pub total: UsageStats,
}

/// A row of usage.
#[derive(SimpleObject, Clone, Debug)]
pub struct UsageRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// Its time.
    pub usage: UsageStats,
}

/// Usage over time. Points tile the widened window in UTC calendar units; empty points are there.
#[derive(SimpleObject, Clone, Debug)]
pub struct UsageSeries {
    /// The window that was answered: the one asked for, widened to whole UTC hours.
    pub window: TimeWindow,
    /// The calendar unit of the points.
    pub step: super::enums::Step,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The largest rows by `gpuHours + cpuHours` over the window.
    pub rows: Vec<UsageSeriesRow>,
    /// Everything.
    pub total: Vec<UsagePoint>,
}

/// A row of a series of usage.
#[derive(SimpleObject, Clone, Debug)]
pub struct UsageSeriesRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// One point for each tile of the window.
    pub points: Vec<UsagePoint>,
}

/// A point of a series of usage.
#[derive(SimpleObject, Clone, Debug)]
pub struct UsagePoint {
    /// The tile.
    pub window: TimeWindow,
    /// Time spent in it.
    pub usage: UsageStats,
}
