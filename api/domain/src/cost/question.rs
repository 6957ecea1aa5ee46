//! Breakdowns and series of what things cost.
//!
//! Windows are widened to whole hours. Invariants: rows + `other` = `total`, to the nano; both views of idle time have one total.
//! Must not know: GraphQL, how parts came about.

use std::collections::HashSet;

use plimsoll_entity::value::label::ServiceType;
use plimsoll_entity::value::time::{Step, Window};

use super::figures::CostSums;
use crate::breakdown::BreakdownError;
use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::{Breakdown, Reader, Reading, Series};
use crate::breakdown::filter::Filter;

/// Where idle time is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleView {
    /// With what caused it.
    #[default]
    Caused,
    /// With the executions of the same machine and hour.
    Spread,
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostOrder {
    /// Everything.
    Total,
    /// The bill of machines.
    Compute,
    /// Idle time.
    Idle,
    /// Storage.
    Storage,
    /// Transfer.
    Transfer,
    /// Productive of each costed execution.
    CostPerExecution,
    /// Number of executions.
    Executions,
}

impl CostOrder {
    /// What a row is ordered by; none: behind all others.
    #[must_use]
    pub fn value(self, sums: &CostSums) -> Option<i128> {
        match self {
            Self::Total => Some(sums.total()),
            Self::Compute => Some(sums.compute()),
            Self::Idle => Some(sums.idle),
            Self::Storage => Some(sums.storage),
            Self::Transfer => Some(sums.transfer),
            Self::CostPerExecution => sums.per_execution(),
            Self::Executions => Some(i128::from(sums.executions())),
        }
    }
}

/// A question about costs.
#[derive(Clone, Debug)]
pub struct CostQuestion {
    /// The window; it is widened to whole hours.
    pub window: Window,
    /// Dimensions.
    pub by: Vec<Dimension>,
    /// Rows at most.
    pub limit: usize,
    /// Where idle time is shown.
    pub idle: IdleView,
}

/// Which costs count.
#[derive(Clone, Debug, Default)]
pub struct CostFilter {
    /// Conditions on dimensions.
    pub filter: Filter,
    /// Service types; none: all.
    pub service_types: Option<HashSet<ServiceType>>,
}

impl Reader {
    /// Breaks costs down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, its answer would be too large or the store fails.
    pub async fn cost_breakdown(
        &self,
        reading: &Reading,
        asked: &CostQuestion,
        filter: &CostFilter,
        order: CostOrder,
    ) -> Result<Breakdown<CostSums>, BreakdownError> {
        let _ = (reading, asked, filter, order);
        Err(BreakdownError::Limit("costs are not read yet".to_owned()))
    }

    /// A series of costs; the rows are the largest by total over the window.
    ///
    /// # Errors
    /// As [`Reader::cost_breakdown`].
    pub async fn cost_series(
        &self,
        reading: &Reading,
        asked: &CostQuestion,
        filter: &CostFilter,
        step: Step,
    ) -> Result<Series<CostSums>, BreakdownError> {
        let _ = (reading, asked, filter, step);
        Err(BreakdownError::Limit("costs are not read yet".to_owned()))
    }
}
