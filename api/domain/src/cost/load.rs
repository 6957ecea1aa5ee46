//! What loads cost, as a view beside the bill: the time that they took of a slot, and what their bytes were charged.
//!
//! Invariant: an amount that is unknown of a load is in no sum; a load of which neither is known counts in no average (contract,
//! "Money", 10). Must not know: GraphQL.

use plimsoll_entity::value::money::divide;
use rustc_hash::FxHashMap;

use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::breakdown::gather::{Gathered, Gathering};

/// What loads cost. Amounts in nano-units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadCostSums {
    /// Duration x hourly rate at the end / slots, each load half up.
    pub compute: i128,
    /// What the bill charges for their bytes.
    pub transfer: i128,
    /// Loads whose machine had a rate.
    pub compute_known: u64,
    /// Loads of which either is known.
    pub known: u64,
}

impl LoadCostSums {
    /// Adds another one.
    pub const fn add(&mut self, more: &Self) {
        self.compute += more.compute;
        self.transfer += more.transfer;
        self.compute_known += more.compute_known;
        self.known += more.known;
    }

    /// Whether anything is known of any load.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.known > 0
    }

    /// Both amounts.
    #[must_use]
    pub const fn total(&self) -> i128 {
        self.compute + self.transfer
    }

    /// Total of each load of which either is known, half up; none without any.
    #[must_use]
    pub fn per_load(&self) -> Option<i128> {
        self.is_known().then(|| divide(self.total(), i128::from(self.known)))
    }
}

/// What the loads of a question cost, by the atom that they count in. A load counts in the atom that its own figures count in; atoms that
/// were not gathered yet are added.
///
/// # Errors
/// [`BreakdownError`] when the answer would be too large or the store fails.
pub(crate) async fn load_costs(
    reading: &Reading,
    asked: &Gathering<'_>,
    gathered: &mut Gathered,
) -> Result<FxHashMap<u32, LoadCostSums>, BreakdownError> {
    let _ = (reading, asked, gathered);
    Err(BreakdownError::Limit("costs are not read yet".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_load_that_is_known_carries_its_part_half_up() {
        let mut sums = LoadCostSums { compute: 4, transfer: 0, compute_known: 1, known: 1 };
        sums.add(&LoadCostSums { compute: 0, transfer: 3, compute_known: 0, known: 1 });
        assert_eq!((sums.total(), sums.per_load(), sums.compute_known), (7, Some(4), 1));
    }

    #[test]
    fn nothing_known_has_no_average() {
        let nothing = LoadCostSums::default();
        assert!(!nothing.is_known());
        assert_eq!((nothing.total(), nothing.per_load()), (0, None));
        // A load that cost nothing is known all the same.
        assert_eq!(LoadCostSums { known: 1, ..nothing }.per_load(), Some(0));
    }
}
