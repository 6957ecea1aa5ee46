//! Cost and value.

use std::sync::Arc;

use async_graphql::{Enum, Object, SimpleObject};
use plimsoll_domain::breakdown::executions::{Breakdown, RowKey};
use plimsoll_domain::cost::value::{self, RoiFigures};

use super::key::BreakdownKey;
use super::money::{Currency, Money};
use super::window::TimeWindow;
use crate::graphql::scalar::{DateTime, UInt53};

/// What is to be done with what a row stands for.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "value::RoiVerdict")]
pub enum RoiVerdict {
    /// It costs nothing, or roiRatio is at least 1.
    Invest,
    /// roiRatio is at least 0.2.
    Keep,
    /// roiRatio is at least 0, or below and usageRatio at least 0.05.
    Optimize,
    /// roiRatio is below 0 and usageRatio below 0.05.
    Deprecate,
    /// No execution had a business value in force.
    NoValueSet,
}

/// Cost and value of some executions.
#[derive(Clone, Copy, Debug)]
pub struct RoiStats(RoiFigures);

/// Cost and value of what a row stands for.
#[Object]
impl RoiStats {
    /// Executions that finished in the window.
    async fn executions(&self) -> UInt53 {
        self.0.executions.into()
    }

    /// Of them those that succeeded.
    async fn succeeded(&self) -> UInt53 {
        self.0.succeeded.into()
    }

    /// Executions in each 24 hours of the window that was answered.
    async fn executions_per_day(&self) -> f64 {
        self.0.executions_per_day()
    }

    /// Of all executions in the window, whatever the filter, 0 to 1; 0 where there were none.
    async fn usage_ratio(&self) -> f64 {
        self.0.usage_ratio()
    }

    /// What it costs: `CostStats.total`, with the idle time that it caused.
    async fn cost(&self) -> Money {
        Money(self.0.cost)
    }

    /// Successful executions x business value in force when they finished; null when no execution had one.
    async fn value(&self) -> Option<Money> {
        self.0.value.map(Money)
    }

    /// Value - cost; null without a value.
    async fn net(&self) -> Option<Money> {
        self.0.net().map(Money)
    }

    /// Value / cost - 1; null without a value or with a cost of 0.
    async fn roi_ratio(&self) -> Option<f64> {
        self.0.roi_ratio()
    }

    /// What is to be done.
    async fn verdict(&self) -> RoiVerdict {
        self.0.verdict().into()
    }
}

/// Cost and value by some dimensions, ordered by cost, then by key.
#[derive(SimpleObject, Clone, Debug)]
pub struct RoiBreakdown {
    /// The window that was answered: the one asked for, widened to whole UTC hours.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Currency of every amount, as an ISO 4217 code.
    pub currency: Arc<str>,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<RoiRow>,
    /// What `limit` cut off; null when nothing was.
    pub other: Option<RoiStats>,
    /// Everything: rows + other.
    pub total: RoiStats,
}

/// A row of cost and value.
#[derive(SimpleObject, Clone, Debug)]
pub struct RoiRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// Its cost and value.
    pub roi: RoiStats,
}

impl RoiBreakdown {
    /// The breakdown in this currency.
    #[must_use]
    pub fn of(of: Breakdown<RoiFigures>, currency: Currency) -> Self {
        let row = |(key, figures): (RowKey, RoiFigures)| RoiRow { key: BreakdownKey(key), roi: RoiStats(figures) };
        Self {
            window: of.window.into(),
            as_of: DateTime(of.as_of),
            currency: currency.0,
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            other: of.other.map(RoiStats),
            total: RoiStats(of.total),
        }
    }
}
