//! Breakdowns of loads, and their figures.
//!
//! Invariant: a load counts once in each figure, whether it failed or not; what is unknown of it counts in none (see `Fact` of
//! [`LoadFact`](crate::store::LoadFact)). What loads cost is `cost::load`'s. Must not know: GraphQL.

use std::collections::BTreeSet;

use plimsoll_entity::value::time::{SECOND_US, Window};
use rustc_hash::FxHashMap;

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Breakdown, Reader, Reading, check};
use super::figures::{Distribution, Merged, distribution, distribution_of, ratio, sum_of};
use super::filter::Filter;
use super::gather::{Gathered, Gathering};
use super::table;
use crate::cell::part::{Family, KeyColumn, Part};
use crate::cost::load::{LoadCostSums, load_costs};

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadOrder {
    /// Number of loads.
    Loads,
    /// Cache misses.
    Misses,
    /// Bytes.
    Bytes,
    /// 95th percentile of the duration.
    DurationP95,
}

impl LoadOrder {
    /// The parts that ordering needs.
    const fn parts(self) -> &'static [Part] {
        match self {
            Self::Loads => &[Part::Loads],
            Self::Misses => &[Part::Loads, Part::CacheHits],
            Self::Bytes => &[Part::LoadSize],
            Self::DurationP95 => &[Part::HitDuration, Part::MissDuration],
        }
    }

    fn value(self, gathered: &Gathered, atoms: &[u32]) -> Option<f64> {
        match self {
            Self::Loads => Some(sum_of(gathered, Part::Loads, atoms) as f64),
            Self::Misses => Some(misses(gathered, atoms) as f64),
            Self::Bytes => Some(sum_of(gathered, Part::LoadSize, atoms) as f64),
            Self::DurationP95 => duration_of(gathered, atoms).map(|duration| duration.percentiles_ms[2]),
        }
    }
}

/// A question about loads.
#[derive(Clone, Debug)]
pub struct LoadQuestion {
    /// The window.
    pub window: Window,
    /// Dimensions.
    pub by: Vec<Dimension>,
    /// Parts of the figures that are wanted.
    pub parts: BTreeSet<Part>,
    /// Whether what they cost is wanted.
    pub with_cost: bool,
    /// Rows at most.
    pub limit: usize,
}

/// Figures of loads. What was not asked for is 0 or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadFigures {
    /// Number of loads.
    pub loads: u64,
    /// Loads of what was on the machine already.
    pub cache_hits: u64,
    /// Loads that failed.
    pub failed: u64,
    /// Bytes, where known.
    pub size_bytes: u64,
    /// Durations of all loads.
    pub duration: Option<Distribution>,
    /// Durations of cache hits.
    pub hit_duration: Option<Distribution>,
    /// Durations of cache misses.
    pub miss_duration: Option<Distribution>,
    /// Bytes of the cache misses over the time that they took, of those whose bytes are known; none without any such time.
    pub throughput_bytes_per_second: Option<f64>,
    /// What they cost.
    pub cost: Option<LoadCostSums>,
}

impl LoadFigures {
    /// Loads of what was not on the machine.
    #[must_use]
    pub const fn cache_misses(&self) -> u64 {
        self.loads.saturating_sub(self.cache_hits)
    }

    /// cacheHits / loads.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        ratio(self.cache_hits as f64, self.loads as f64)
    }
}

fn misses(gathered: &Gathered, atoms: &[u32]) -> u64 {
    sum_of(gathered, Part::Loads, atoms).saturating_sub(sum_of(gathered, Part::CacheHits, atoms))
}

/// The durations of hits and misses together.
fn duration_of(gathered: &Gathered, atoms: &[u32]) -> Option<Distribution> {
    let parts = [Part::HitDuration, Part::MissDuration].map(|part| Merged::of(gathered, part, atoms));
    let summaries: Vec<_> = parts.iter().flatten().filter_map(Merged::summary).collect();
    match summaries[..] {
        [] => None,
        [(summary, scale)] => Some(distribution(summary, scale)),
        [(hits, scale), (misses, _), ..] => {
            let mut all = hits.clone();
            all.merge(misses);
            Some(distribution(&all, scale))
        }
    }
}

/// Figures of some atoms.
#[must_use]
pub fn load_figures(gathered: &Gathered, atoms: &[u32]) -> LoadFigures {
    let sum = |part| sum_of(gathered, part, atoms);
    LoadFigures {
        loads: sum(Part::Loads),
        cache_hits: sum(Part::CacheHits),
        failed: sum(Part::FailedLoads),
        size_bytes: sum(Part::LoadSize),
        duration: duration_of(gathered, atoms),
        hit_duration: distribution_of(gathered, Part::HitDuration, atoms),
        miss_duration: distribution_of(gathered, Part::MissDuration, atoms),
        throughput_bytes_per_second: ratio(sum(Part::MissSize) as f64, sum(Part::SizedMissTime) as f64 / SECOND_US as f64),
        cost: None,
    }
}

/// The sum over some atoms of what their loads cost.
fn cost_of(costs: &FxHashMap<u32, LoadCostSums>, atoms: &[u32]) -> LoadCostSums {
    let mut sums = LoadCostSums::default();
    atoms.iter().filter_map(|atom| costs.get(atom)).for_each(|more| sums.add(more));
    sums
}

/// The cheapest family of loads that holds what is asked about.
fn family_for(by: &[Dimension], filter: &Filter) -> Family {
    let by_vm = by.iter().any(|dimension| dimension.column() == KeyColumn::Vm) || filter.columns_used().contains(&KeyColumn::Vm);
    if by_vm { Family::LoadMachine } else { Family::Load }
}

impl Reader {
    /// Breaks loads down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn load_breakdown(
        &self,
        reading: &Reading,
        asked: &LoadQuestion,
        filter: &Filter,
        order: LoadOrder,
    ) -> Result<Breakdown<LoadFigures>, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let mut parts = asked.parts.clone();
        parts.extend(order.parts());
        let parts: Vec<Part> = parts.into_iter().collect();
        let gathering = Gathering { tiles: &[asked.window], by: &asked.by, filter, parts: &parts, coarseness: self.coarseness };
        let mut gathered = Gathered::default();
        gathered.read(reading.sources(), &gathering, Some(family_for(&asked.by, filter))).await?;
        let costs = if asked.with_cost { Some(load_costs(self, reading, &gathering, &mut gathered).await?) } else { None };
        let mut rows = table::rows(&gathered.atoms, &asked.by, &gathered.combinations);
        rows.iter_mut().for_each(|row| row.value = order.value(&gathered, &row.atoms));
        let table = table::order(reading.sources(), &asked.by, rows, asked.limit).await?;
        let figures =
            |atoms: &[u32]| LoadFigures { cost: costs.as_ref().map(|costs| cost_of(costs, atoms)), ..load_figures(&gathered, atoms) };
        Ok(Breakdown::of(reading, asked.window, &asked.by, &table, gathered.atoms.len(), figures))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ratios_of_nothing_are_none() {
        let none = load_figures(&Gathered::default(), &[]);
        assert_eq!((none.clone(), none.hit_ratio(), none.cache_misses()), (LoadFigures::default(), None, 0));
        let some = LoadFigures { loads: 4, cache_hits: 3, ..none };
        assert_eq!((some.hit_ratio(), some.cache_misses()), (Some(0.75), 1));
    }

    #[test]
    fn the_cost_of_a_row_is_that_of_its_atoms() {
        let of = |compute| LoadCostSums { compute, transfer: 1, compute_known: 1, known: 1 };
        let costs = FxHashMap::from_iter([(0, of(5)), (2, of(7))]);
        assert_eq!(cost_of(&costs, &[0, 1, 2]), LoadCostSums { compute: 12, transfer: 2, compute_known: 2, known: 2 });
        assert_eq!(cost_of(&costs, &[1]), LoadCostSums::default());
    }

    #[test]
    fn machines_are_read_only_where_they_matter() {
        let mut filter = Filter::default();
        assert_eq!(family_for(&[Dimension::Checkpoint, Dimension::StorageType], &filter), Family::Load);
        assert_eq!(family_for(&[Dimension::Region], &filter), Family::LoadMachine);
        filter.regions = Some(HashSet::from([1]));
        assert_eq!(family_for(&[], &filter), Family::LoadMachine);
    }
}
