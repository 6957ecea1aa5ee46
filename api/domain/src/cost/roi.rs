//! Breakdowns of cost and value.
//!
//! Invariant: what a row costs is what a breakdown of costs says of it, with idle time where it was caused. Must not know: GraphQL.

use plimsoll_entity::value::time::Window;

use super::figures::CostSums;
use super::question::{CostFilter, CostOrder, CostQuestion, IdleView};
use super::value::RoiFigures;
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{Breakdown, Reader, Reading};

impl Reader {
    /// Breaks cost and value down; idle time is with what caused it, whatever was asked. Rows are ordered by what they cost, then by key.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, its answer would be too large or the store fails.
    pub async fn roi_breakdown(
        &self,
        reading: &Reading,
        asked: &CostQuestion,
        filter: &CostFilter,
    ) -> Result<Breakdown<RoiFigures>, BreakdownError> {
        let asked = CostQuestion { idle: IdleView::Caused, ..asked.clone() };
        let costs = self.cost_breakdown(reading, &asked, filter, CostOrder::Total).await?;
        let all = self.costed_executions(reading, costs.window).await?;
        let figures = |sums: &CostSums| RoiFigures::of(sums, all, costs.window);
        Ok(Breakdown {
            window: costs.window,
            as_of: costs.as_of,
            row_count: costs.row_count,
            rows: costs.rows.iter().map(|(key, sums)| (key.clone(), figures(sums))).collect(),
            other: costs.other.as_ref().map(figures),
            total: figures(&costs.total),
        })
    }

    /// Number of executions in the costs of a window, whatever they were: of a closed month those that were booked in it, as in its rows.
    ///
    /// # Errors
    /// [`BreakdownError`] when the store fails.
    pub(super) async fn costed_executions(&self, reading: &Reading, window: Window) -> Result<u64, BreakdownError> {
        let asked = CostQuestion { window, by: Vec::new(), limit: 0, idle: IdleView::Caused };
        Ok(self.cost_breakdown(reading, &asked, &CostFilter::default(), CostOrder::Total).await?.total.executions())
    }
}
