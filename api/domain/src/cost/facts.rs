//! What an hour of costs gives, as facts that add to cells. Pure.

use plimsoll_entity::value::time::Instant;

use super::single::ExecutionCosts;
use crate::cell::column::Column;
use crate::cell::fact::Fact;
use crate::cell::part::{Key, Part};

/// Amounts of one key in one hour, one for each of [`Part::OF_COSTS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostFact {
    /// The hour.
    pub at: Instant,
    /// Whose.
    pub key: Key,
    /// The amounts.
    pub amounts: [i128; Part::OF_COSTS.len()],
}

/// Executions of one key that finished in one hour, one count for each of [`Part::OF_COST_RUNS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostRunFact {
    /// The hour.
    pub at: Instant,
    /// Whose.
    pub key: Key,
    /// The counts.
    pub counts: [i128; Part::OF_COST_RUNS.len()],
}

/// What loads of one key cost that finished in one hour, one amount for each of [`Part::OF_LOAD_COSTS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadCostFact {
    /// The hour.
    pub at: Instant,
    /// What was loaded, from where, on which machine.
    pub key: Key,
    /// The amounts.
    pub amounts: [i128; Part::OF_LOAD_COSTS.len()],
}

/// What an hour of a machine costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CostHour {
    /// Parts of the bill.
    pub costs: Vec<CostFact>,
    /// Executions.
    pub runs: Vec<CostRunFact>,
    /// Loads.
    pub loads: Vec<LoadCostFact>,
    /// What single executions cost.
    pub executions: ExecutionCosts,
}

fn add(parts: &[Part], amounts: &[i128], part: Part, column: &mut Column, row: usize) {
    if let (Some(place), Column::Sums(sums)) = (parts.iter().position(|known| *known == part), column) {
        sums[row] = sums[row].saturating_add(amounts[place]);
    }
}

impl Fact for CostFact {
    fn at(&self) -> Instant {
        self.at
    }

    fn key(&self) -> Key {
        self.key
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        add(&Part::OF_COSTS, &self.amounts, part, column, row);
    }
}

impl Fact for CostRunFact {
    fn at(&self) -> Instant {
        self.at
    }

    fn key(&self) -> Key {
        self.key
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        add(&Part::OF_COST_RUNS, &self.counts, part, column, row);
    }
}

impl Fact for LoadCostFact {
    fn at(&self) -> Instant {
        self.at
    }

    fn key(&self) -> Key {
        self.key
    }

    fn add(&self, part: Part, column: &mut Column, row: usize) {
        add(&Part::OF_LOAD_COSTS, &self.amounts, part, column, row);
    }
}
