//! What loads cost, as a view beside the bill: the time that they took of a slot, and what their bytes were charged.
//!
//! Invariant: an amount that is unknown of a load is in no sum; a load of which neither is known counts in no average (contract,
//! "Money", 10). Must not know: GraphQL.

use futures_util::TryStreamExt as _;
use plimsoll_entity::value::money::divide;
use plimsoll_entity::value::time::{DAY_US, Instant, Step, Window};
use rustc_hash::FxHashMap;

use super::facts::LoadCostFact;
use super::price::Pricing;
use super::question::IdleView;
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{Reader, Reading};
use crate::breakdown::gather::{Buckets, Gathered, Gathering, chunk_of, runs, wanted};
use crate::breakdown::timelines::Timelines;
use crate::breakdown::usage::widened;
use crate::catalog::ById;
use crate::cell::block::unpack;
use crate::cell::column::Column;
use crate::cell::part::{Family, Part};
use crate::cell::plan::{Breaks, DAY_HOURS};
use crate::store::{DerivedKind, Grain, HOURS_PER_READ, LoadFact, StoreError};
use crate::timeline::carry::{block_of, loads_of};

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
    reader: &Reader,
    reading: &Reading,
    asked: &Gathering<'_>,
    gathered: &mut Gathered,
) -> Result<FxHashMap<u32, LoadCostSums>, BreakdownError> {
    let (Some(first), Some(last)) = (asked.tiles.first(), asked.tiles.last()) else { return Ok(FxHashMap::default()) };
    let whole = Window { start: first.start, end: last.end };
    let prices = reader.prices.prices(&reading.snapshot).await?;
    let timelines = Timelines::with_costs(reading, &prices, widened(whole), IdleView::Caused).await?;
    let costs = Gathering { parts: &Part::OF_LOAD_COSTS, ..asked.clone() };
    costs.parts.iter().for_each(|part| {
        gathered.columns.entry(*part).or_insert_with(|| Column::of(*part));
    });
    let places = asked.by.iter().any(|dimension| dimension.is_place()) || asked.filter.asks_place();
    let breaks = if places { reading.fleet.breaks(whole) } else { Breaks::default() };
    let mut buckets = Buckets::new(asked.tiles, asked.coarseness, &breaks);
    let made = timelines.cost_days_made();
    let (from, to) = (whole.start.day(), whole.end.day());
    let mut held = reading.snapshot.derived_day_list(DerivedKind::Cost, from, to).await?;
    held.retain(|day| buckets.days.contains_key(day) && !made.contains(day));
    for (from, to) in runs(held.iter().copied(), chunk_of(Family::LoadCost)) {
        let blocks = reading.snapshot.cell_list(Family::LoadCost, Grain::Day, from, to, &wanted(Family::LoadCost, costs.parts)).await?;
        for day in blocks.chunk_by(|a, b| a.bucket == b.bucket) {
            let place = (buckets.days[&day[0].bucket], Instant(i64::from(day[0].bucket) * DAY_US));
            let parts: Vec<(Part, &[u8])> = day.iter().map(|block| (block.part, block.block.as_slice())).collect();
            gathered.add_block(reading.sources(), &costs, Family::LoadCost, &parts, |_| Some(place)).await?;
        }
    }
    let rest = buckets.days.iter().filter(|(day, _)| !held.contains(day));
    buckets.hours.extend(rest.flat_map(|(day, tile)| (0..DAY_HOURS).map(move |hour| (day * DAY_HOURS + hour, *tile))));
    for (from, to) in runs(buckets.hours.keys().copied(), HOURS_PER_READ) {
        for (hour, block) in timelines.cost_hours(from, to + 1).await? {
            let Some(block) = block_of(Family::LoadCost, &block).map_err(StoreError::from)? else { continue };
            let parts = unpack(block).map_err(StoreError::from)?;
            let place = (buckets.hours[&hour], Window::of_hour(hour).start);
            gathered.add_block(reading.sources(), &costs, Family::LoadCost, &parts, |_| Some(place)).await?;
        }
    }
    let combinations = ById::new();
    let pricing = Pricing { prices: &prices, combinations: &combinations, spreads: false };
    let facts = buckets.facts.iter().flat_map(|(window, tile)| window.tiles(Step::Hour).into_iter().map(|hour| (hour, *tile)));
    let closed_until = reading.snapshot.closed_until().await?;
    for (clip, tile) in Vec::from_iter(facts) {
        let facts = if clip.start < closed_until {
            kept_loads(reading, clip).await?
        } else {
            let loads: Vec<LoadFact> = reading.snapshot.load_stream(clip).await?.try_collect().await?;
            loads.iter().map(|load| pricing.load(&timelines.machine(load.vm_id), load)).collect()
        };
        gathered.add_facts(reading.sources(), &costs, &facts, tile).await?;
    }
    gathered.grow()?;
    Ok(sums(gathered))
}

/// What loads cost that finished in a part of an hour of a closed month, as it was when that was closed.
async fn kept_loads(reading: &Reading, clip: Window) -> Result<Vec<LoadCostFact>, StoreError> {
    let hour = clip.start.hour();
    let mut loads = Vec::new();
    for (_, _, block) in reading.snapshot.cost_hour_list(hour, hour + 1).await? {
        loads.extend(loads_of(&block, Window::of_hour(hour).start)?);
    }
    loads.retain(|load| clip.contains(load.at));
    Ok(loads)
}

/// The sums of each atom that has any.
fn sums(gathered: &Gathered) -> FxHashMap<u32, LoadCostSums> {
    let amount = |part: Part, atom: u32| match gathered.columns.get(&part) {
        Some(Column::Sums(sums)) => sums[atom as usize],
        _ => 0,
    };
    let of = |atom: u32| LoadCostSums {
        compute: amount(Part::LoadCompute, atom),
        transfer: amount(Part::LoadTransfer, atom),
        compute_known: amount(Part::LoadsComputed, atom) as u64,
        known: amount(Part::LoadsKnown, atom) as u64,
    };
    (0..gathered.atoms.len() as u32).map(|atom| (atom, of(atom))).filter(|(_, sums)| sums.known > 0).collect()
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
