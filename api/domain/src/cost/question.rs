//! Breakdowns and series of what things cost.
//!
//! Windows are widened to whole hours. Invariants: rows + `other` = `total`, to the nano; both views of idle time have one total.
//! Must not know: GraphQL, how parts came about.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use plimsoll_entity::value::label::ServiceType;
use plimsoll_entity::value::time::{Step, Window};
use rustc_hash::FxHashMap;

use super::figures::CostSums;
use super::gather::{CostGathered, CostGathering};
use super::rate::Prices;
use super::storage::storage_costs;
use crate::breakdown::BreakdownError;
use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::{Breakdown, Reader, Reading, RowKey, Series, check, tiles};
use crate::breakdown::filter::Filter;
use crate::breakdown::gather::Ids;
use crate::breakdown::table::{self, Row};
use crate::breakdown::timelines::Timelines;
use crate::breakdown::usage::widened;

/// Rows x points of one answer, before its limit: each takes some 300 bytes.
const POINTS_TOGETHER_MAX: usize = 1_000_000;

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
        check(asked.window, &asked.by, asked.limit)?;
        let window = widened(asked.window);
        let told = self.costs(reading, asked, filter, &[window]).await?;
        let ranked = told.rows.iter().map(|row| order.value(&row.sums[0])).collect();
        let table = table::order(reading.sources(), &asked.by, told.ranked(ranked), asked.limit).await?;
        let by: Arc<[Dimension]> = asked.by.clone().into();
        let rows: Vec<(RowKey, CostSums)> =
            table.rows.iter().map(|row| (RowKey { by: Arc::clone(&by), ids: row.ids }, told.rows[row.atoms[0] as usize].sums[0])).collect();
        Ok(Breakdown {
            window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            other: (table.row_count > rows.len()).then(|| told.sum_of(&table.other)),
            rows,
            total: told.total[0],
        })
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
        if step == Step::Minute {
            return Err(BreakdownError::Question {
                field: "step",
                message: "costs are made of whole hours: no step of a minute".to_owned(),
            });
        }
        check(asked.window, &asked.by, asked.limit)?;
        let window = widened(asked.window);
        let tiles = tiles(window, step)?;
        let told = self.costs(reading, asked, filter, &tiles).await?;
        let ranked = told.rows.iter().map(|row| Some(row.sums.iter().map(CostSums::total).sum())).collect();
        let table = table::order(reading.sources(), &asked.by, told.ranked(ranked), asked.limit).await?;
        let by: Arc<[Dimension]> = asked.by.clone().into();
        let row = |row: &Row| (RowKey { by: Arc::clone(&by), ids: row.ids }, told.rows[row.atoms[0] as usize].sums.clone());
        Ok(Series {
            window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            rows: table.rows.iter().map(row).collect(),
            total: told.total,
            tiles,
        })
    }

    async fn costs(&self, reading: &Reading, asked: &CostQuestion, filter: &CostFilter, tiles: &[Window]) -> Result<Told, BreakdownError> {
        let (Some(first), Some(last)) = (tiles.first(), tiles.last()) else { return Ok(Told::default()) };
        let prices = self.prices.prices(&reading.snapshot).await?;
        let timelines = Timelines::with_costs(reading, &prices, Window { start: first.start, end: last.end }, asked.idle).await?;
        let asked = CostGathering { tiles, by: &asked.by, filter, idle: asked.idle, coarseness: self.coarseness };
        told(reading, &prices, &timelines, &asked).await
    }
}

/// Every row of what is asked for, read from timelines that were made before.
///
/// # Errors
/// As [`Reader::cost_breakdown`].
pub(super) async fn told(
    reading: &Reading,
    prices: &Prices,
    timelines: &Timelines<'_>,
    asked: &CostGathering<'_>,
) -> Result<Told, BreakdownError> {
    let (Some(first), Some(last)) = (asked.tiles.first(), asked.tiles.last()) else { return Ok(Told::default()) };
    if first.start >= last.end {
        return Ok(Told::default());
    }
    let mut gathered = CostGathered::default();
    gathered.read(reading, timelines, asked).await?;
    if asked.wants(ServiceType::Storage) {
        let stored = storage_costs(&reading.snapshot, prices, asked.tiles).await?;
        gathered.add_storage(reading, asked, &stored).await?;
    }
    Told::of(&gathered, asked)
}

/// One row of an answer: sums by tile.
#[derive(Clone, Debug)]
pub(super) struct ToldRow {
    /// An id for each dimension.
    pub(super) ids: Ids,
    /// By tile.
    pub(super) sums: Vec<CostSums>,
    /// Places of the runs that count in it, where they count in several rows.
    runs: Vec<u32>,
}

/// The rows of an answer, and what they come to.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The rows, unordered.
    pub(super) rows: Vec<ToldRow>,
    /// Everything, once, by tile.
    pub(super) total: Vec<CostSums>,
    /// Counts of executions that count in several rows.
    runs: Vec<CostSums>,
}

impl Told {
    fn of(gathered: &CostGathered, asked: &CostGathering<'_>) -> Result<Self, BreakdownError> {
        let tiles = asked.tiles.len();
        let mut told = Self { rows: Vec::new(), total: vec![CostSums::default(); tiles], runs: Vec::new() };
        let mut places: FxHashMap<Ids, usize> = FxHashMap::default();
        for atom in gathered.costs.atoms.iter().filter(|atom| !atom.sums.is_empty()) {
            let row = told.row(&mut places, atom.ids)?;
            told.rows[row].sums[atom.tile as usize].add(&atom.sums);
            told.total[atom.tile as usize].add(&atom.sums);
        }
        for atom in gathered.runs.atoms.iter().filter(|atom| !atom.sums.is_empty()) {
            told.total[atom.tile as usize].add(&atom.sums);
            told.runs.push(atom.sums);
            for ids in rows_of_run(gathered, asked, &atom.ids) {
                let row = told.row(&mut places, ids)?;
                told.rows[row].sums[atom.tile as usize].add(&atom.sums);
                told.rows[row].runs.push(told.runs.len() as u32 - 1);
            }
        }
        Ok(told)
    }

    fn row(&mut self, places: &mut FxHashMap<Ids, usize>, ids: Ids) -> Result<usize, BreakdownError> {
        if let Some(place) = places.get(&ids) {
            return Ok(*place);
        }
        if self.rows.len() * self.total.len() > POINTS_TOGETHER_MAX {
            return Err(BreakdownError::Limit(format!(
                "the answer has more than {POINTS_TOGETHER_MAX} points before `limit`: take a larger step, a shorter window or fewer dimensions"
            )));
        }
        self.rows.push(ToldRow { ids, sums: vec![CostSums::default(); self.total.len()], runs: Vec::new() });
        places.insert(ids, self.rows.len() - 1);
        Ok(self.rows.len() - 1)
    }

    /// The rows with what they are ordered by: ranks, since a float cannot hold every amount.
    fn ranked(&self, values: Vec<Option<i128>>) -> Vec<Row> {
        let mut ranks: Vec<i128> = values.iter().flatten().copied().collect();
        ranks.sort_unstable();
        ranks.dedup();
        let rank = |value: i128| ranks.partition_point(|other| *other < value) as f64;
        let rows = self.rows.iter().zip(values).zip(0_u32..);
        rows.map(|((row, value), place)| Row { ids: row.ids, atoms: vec![place], value: value.map(rank) }).collect()
    }

    /// What some rows come to: executions that count in several of them once.
    fn sum_of(&self, rows: &[u32]) -> CostSums {
        let mut sum = CostSums::default();
        let mut runs: BTreeSet<u32> = BTreeSet::new();
        for row in rows.iter().map(|row| &self.rows[*row as usize]) {
            row.sums.iter().for_each(|sums| sum.add(sums));
            runs.extend(&row.runs);
        }
        if self.runs.is_empty() {
            return sum;
        }
        sum.keep_counts(runs.into_iter().map(|run| &self.runs[run as usize]));
        sum
    }
}

/// The rows in which executions count: one for each checkpoint of their combination that the filter allows.
fn rows_of_run(gathered: &CostGathered, asked: &CostGathering<'_>, ids: &Ids) -> Vec<Ids> {
    let Some(slot) = asked.by.iter().position(|dimension| dimension.is_checkpoint()) else { return vec![*ids] };
    let combination = gathered.combinations.get(&ids[slot]).and_then(Option::as_ref);
    let applied = combination.map_or(&[][..], |combination| &combination.checkpoints[..]);
    let fill = |(version, checkpoint): (u32, u32)| {
        let mut ids = *ids;
        for (id, dimension) in ids.iter_mut().zip(asked.by) {
            match dimension {
                Dimension::Checkpoint => *id = checkpoint,
                Dimension::CheckpointVersion => *id = version,
                _ => {}
            }
        }
        ids
    };
    if applied.is_empty() {
        return vec![fill((0, 0))];
    }
    let allowed = applied.iter().copied().filter(|applied| asked.filter.filter.allows_checkpoint(*applied));
    let rows: BTreeSet<Ids> = allowed.map(fill).collect();
    Vec::from_iter(rows)
}
