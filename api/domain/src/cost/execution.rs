//! What single executions cost.
//!
//! Their hours are built again from facts, whatever has been kept of them. Invariant: the amount of an execution is the sum of its
//! productive parts, as breakdowns show them. Must not know: GraphQL.

use std::collections::{BTreeMap, HashMap};

use plimsoll_entity::value::time::{Instant, Window};
use uuid::Uuid;

use super::price::Pricing;
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{Reader, Reading};
use crate::breakdown::timelines::Timelines;
use crate::catalog::ById;
use crate::timeline::sweep::Phase;

/// Machine-hours that are built for one page of executions.
const HOURS_MAX: usize = 5_000;

impl Reader {
    /// The productive parts of executions in nano-units, by id. An execution that no held, priced machine carried at any instant is
    /// absent, and so is one that there is not.
    ///
    /// # Errors
    /// [`BreakdownError`] when too many hours would have to be built or the store fails.
    pub async fn execution_cost_list(&self, reading: &Reading, ids: &[Uuid]) -> Result<HashMap<Uuid, i128>, BreakdownError> {
        let edges = reading.snapshot.execution_edge_list(ids).await?;
        let prices = self.prices.prices(&reading.snapshot).await?;
        let until = edges.iter().map(|(.., window)| window.end).max().unwrap_or(Instant(0));
        let timelines = Timelines::with_jobs(reading, until).await?;
        let combinations = ById::new();
        let pricing = Pricing { prices: &prices, combinations: &combinations, spreads: false };
        let mut costs: HashMap<Uuid, i128> = HashMap::new();
        let mut hours: BTreeMap<(u32, i32), Vec<Uuid>> = BTreeMap::new();
        for (id, vm, window) in edges.into_iter().filter(|(_, vm, _)| *vm != 0) {
            let whole = Window { start: window.start, end: window.end.max(Instant(window.start.0 + 1)) };
            if !pricing.is_priced(&timelines.machine(vm), whole) {
                continue;
            }
            costs.insert(id, 0);
            let of_execution = window.start.hour()..=Instant(window.end.0.max(window.start.0 + 1) - 1).hour();
            if hours.len() + of_execution.clone().count() > HOURS_MAX {
                return Err(BreakdownError::Limit(format!(
                    "these executions lie in more than {HOURS_MAX} machine-hours: ask for the cost of fewer at a time"
                )));
            }
            of_execution.for_each(|hour| hours.entry((vm, hour)).or_default().push(id));
        }
        for ((vm, hour), asked) in hours {
            let parts = timelines.bill(&prices, vm, hour).await?;
            for part in parts.iter().filter(|part| !matches!(part.phase, Phase::Idle | Phase::Overhead)) {
                if let Some(owner) = part.owner.filter(|owner| asked.contains(owner)) {
                    *costs.entry(owner).or_default() += part.amount;
                }
            }
        }
        Ok(costs)
    }
}
