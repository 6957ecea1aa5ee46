//! How many executions run at once.

use async_graphql::SimpleObject;
use plimsoll_domain::breakdown::executions::{RowKey, Series};
use plimsoll_domain::concurrency::ConcurrencyFigures;

use super::enums::Step;
use super::key::BreakdownKey;
use super::window::TimeWindow;
use crate::graphql::scalar::{DateTime, UInt53};

/// Executions running and waiting at once, over time. Points tile the window in UTC calendar units; the first and last are cut to it; empty points are there. Rows: the largest by mean over the window. A job that runs or waits and has no execution yet counts from its latest change on, for 24 hours at most.
#[derive(SimpleObject, Clone, Debug)]
pub struct ConcurrencySeries {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The calendar unit of the points.
    pub step: Step,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The largest rows by mean over the window. An execution with several checkpoints counts in the row of each.
    pub rows: Vec<ConcurrencySeriesRow>,
    /// Everything, each execution once.
    pub total: Vec<ConcurrencyPoint>,
}

/// A row of a series of concurrency.
#[derive(SimpleObject, Clone, Debug)]
pub struct ConcurrencySeriesRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// One point for each tile of the window.
    pub points: Vec<ConcurrencyPoint>,
}

/// A point of a series of concurrency.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct ConcurrencyPoint {
    /// The tile.
    pub window: TimeWindow,
    /// Executions running, weighted by time over the tile.
    pub mean: f64,
    /// Most executions that ran at once.
    pub max: UInt53,
    /// Executions waiting, from the queue to the start, weighted by time over the tile.
    pub queued_mean: f64,
    /// Most executions that waited at once.
    pub queued_max: UInt53,
}

impl ConcurrencySeries {
    /// A series at this step.
    #[must_use]
    pub fn new(of: Series<ConcurrencyFigures>, step: Step) -> Self {
        let tiles = of.tiles;
        let points = |figures: Vec<ConcurrencyFigures>| -> Vec<ConcurrencyPoint> {
            figures
                .into_iter()
                .zip(&tiles)
                .map(|(figures, tile)| ConcurrencyPoint {
                    window: (*tile).into(),
                    mean: figures.mean,
                    max: u64::from(figures.max).into(),
                    queued_mean: figures.queued_mean,
                    queued_max: u64::from(figures.queued_max).into(),
                })
                .collect()
        };
        let row = |(key, figures): (RowKey, _)| ConcurrencySeriesRow { key: BreakdownKey(key), points: points(figures) };
        Self {
            window: of.window.into(),
            step,
            as_of: DateTime(of.as_of),
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            total: points(of.total),
        }
    }
}
