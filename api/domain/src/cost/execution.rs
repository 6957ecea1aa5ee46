//! What single executions cost.
//!
//! In open months their hours are built again from facts, whatever has been kept of them; in closed months they cost what was kept.
//! Invariant: the amount of an execution is the sum of its productive parts, as breakdowns show them. Must not know: GraphQL.

use std::collections::{BTreeMap, HashMap};

use plimsoll_entity::value::time::{Instant, Window};
use uuid::Uuid;

use super::price::{Pricing, execution_costs};
use super::single::ExecutionCosts;
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{Reader, Reading};
use crate::breakdown::timelines::Timelines;
use crate::catalog::ById;
use crate::store::{Snapshot, StoreError};
use crate::timeline::carry::executions_of;

/// Machine-hours that are built or read for one page of executions.
const HOURS_MAX: usize = 5_000;

impl Reader {
    /// The productive parts of executions in nano-units, by id. An execution that no held, priced machine carried at any instant is
    /// absent, and so is one that there is not, and one that came when the months that it lies in were closed.
    ///
    /// # Errors
    /// [`BreakdownError`] when too many hours would have to be built or the store fails.
    pub async fn execution_cost_list(&self, reading: &Reading, ids: &[Uuid]) -> Result<HashMap<Uuid, i128>, BreakdownError> {
        let edges = reading.snapshot.execution_edge_list(ids).await?;
        let closed_until = reading.snapshot.closed_until().await?;
        let prices = self.prices.prices(&reading.snapshot).await?;
        let until = edges.iter().map(|(.., window)| window.end).max().unwrap_or(Instant(0));
        let timelines = Timelines::with_jobs(reading, until).await?;
        let combinations = ById::new();
        let pricing = Pricing { prices: &prices, combinations: &combinations, spreads: false };
        let mut costs: HashMap<Uuid, i128> = HashMap::new();
        let mut hours: BTreeMap<(u32, i32), Vec<Uuid>> = BTreeMap::new();
        for (id, vm, window) in edges.into_iter().filter(|(_, vm, _)| *vm != 0) {
            let whole = Window { start: window.start, end: window.end.max(Instant(window.start.0 + 1)) };
            if pricing.is_priced(&timelines.machine(vm), Window { start: whole.start.max(closed_until), ..whole }) {
                costs.insert(id, 0);
            } else if whole.start >= closed_until {
                continue;
            }
            let of_execution = whole.start.hour()..=Instant(whole.end.0 - 1).hour();
            if hours.len() + of_execution.clone().count() > HOURS_MAX {
                return Err(BreakdownError::Limit(format!(
                    "these executions lie in more than {HOURS_MAX} machine-hours: ask for the cost of fewer at a time"
                )));
            }
            of_execution.for_each(|hour| hours.entry((vm, hour)).or_default().push(id));
        }
        for ((vm, hour), asked) in hours {
            let of_hour = if hour < closed_until.hour() {
                kept(&reading.snapshot, vm, hour).await?
            } else {
                execution_costs(&timelines.bill(&prices, vm, hour).await?)
            };
            for (id, amount) in asked.into_iter().filter_map(|id| Some((id, of_hour.get(&id)?))) {
                *costs.entry(id).or_default() += amount;
            }
        }
        Ok(costs)
    }
}

/// What executions cost in an hour of a closed month, as it was when that was closed.
async fn kept(snapshot: &Snapshot, vm: u32, hour: i32) -> Result<ExecutionCosts, StoreError> {
    let block = snapshot.cost_hour(vm, hour).await?;
    Ok(block.map_or(Ok(ExecutionCosts::new()), |block| executions_of(&block))?)
}
