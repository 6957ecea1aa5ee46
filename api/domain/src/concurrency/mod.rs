//! How many executions run and wait at once, over time.
//!
//! Executions are read hour by hour, the latest end first, and swept backwards (`counting`, `sweep`, `level`). An execution may end
//! long after the window: `execution_reach` tells which later hours have one that began before the window's end.
//! Past hours are read from their pack (`pack`), which is many times faster than rows. For the dimensions that are asked about most,
//! past hours are counted once (`kept`), and only what lies between such hours is swept.
//! Jobs without an execution count as `open_job` says, whether that lies before the snapshot's instant or after it.
//! Invariants: rows and total of one answer come from one snapshot; an execution counts in each of its rows and once in the total.
//! Must not know: GraphQL.

pub mod counting;
pub mod kept;
pub mod level;
pub mod open_job;
pub mod pack;
pub mod packer;
pub mod sweep;

use std::collections::BTreeSet;
use std::sync::Arc;

use plimsoll_entity::value::time::{HOUR_US, Instant, Step, Window};
use rustc_hash::FxHashMap;

use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::{Reader, Reading, RowKey, Series, check, tiles};
use crate::breakdown::filter::Filter;
use crate::breakdown::gather::{Ids, Sources, runs};
use crate::breakdown::table::{self, Row};
use crate::breakdown::{ATOMS_MAX, BreakdownError};
use crate::store::StoreError;

use counting::{Counting, Swept, open_jobs};
use level::Cell;

/// Points of one answer, over all its rows.
const ANSWER_POINTS_MAX: usize = 2_000_000;
/// Stretches between counted hours that are swept one by one.
const STRETCHES_MAX: usize = 24;
/// Counted hours that are read at a time.
const HOURS_PER_READ: i32 = 24;

/// A question about concurrency.
#[derive(Clone, Debug)]
pub struct ConcurrencyQuestion {
    /// The window.
    pub window: Window,
    /// Dimensions.
    pub by: Vec<Dimension>,
    /// Rows at most.
    pub limit: usize,
}

/// How many ran and waited at once in one tile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConcurrencyFigures {
    /// Those that ran, weighted by time.
    pub mean: f64,
    /// Most that ran at once.
    pub max: u32,
    /// Those that waited, weighted by time.
    pub queued_mean: f64,
    /// Most that waited at once.
    pub queued_max: u32,
}

impl ConcurrencyFigures {
    fn of(cell: Cell, tile: Window) -> Self {
        let mean = |sum_us: u64| sum_us as f64 / tile.length_us() as f64;
        Self { mean: mean(cell.running_us), max: cell.running_max, queued_mean: mean(cell.waiting_us), queued_max: cell.waiting_max }
    }
}

impl Reader {
    /// How many executions ran and waited at once; the rows are the largest by mean over the window.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, the answer would be too large, or the store fails.
    pub async fn concurrency_series(
        &self,
        reading: &Reading,
        asked: &ConcurrencyQuestion,
        filter: &Filter,
        step: Step,
    ) -> Result<Series<ConcurrencyFigures>, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let tiles = tiles(asked.window, step)?;
        let sources = reading.sources();
        let hours = CountedHours::of(sources, asked, filter, step).await?;
        let (stretches, mut swept) = (hours.stretches(&tiles), Vec::new());
        for stretch in &stretches {
            let mut counting = Counting::new(sources, asked, filter, stretch);
            counting.read().await?;
            swept.push(counting.finish());
        }
        Answer { sources, asked, tiles: &tiles, hours: &hours, swept: &swept }.series().await
    }
}

/// Hours of a window that have been counted for what is asked.
#[derive(Debug, Default)]
struct CountedHours {
    /// The set of dimensions; meaningless without hours.
    set: usize,
    hours: BTreeSet<i32>,
}

impl CountedHours {
    async fn of(sources: Sources<'_>, asked: &ConcurrencyQuestion, filter: &Filter, step: Step) -> Result<Self, BreakdownError> {
        let Some(set) = kept::set_of(&asked.by).filter(|_| step != Step::Minute && filter.columns_used().is_empty()) else {
            return Ok(Self::default());
        };
        // Whole hours of the window.
        let (from, to) = (Instant(asked.window.start.0 + HOUR_US - 1).hour(), asked.window.end.hour());
        let counted = sources.snapshot.concurrency_hour_sums(from, to).await?;
        if counted.is_empty() {
            return Ok(Self::default());
        }
        let sums = kept::reach_sums(&sources.snapshot.reaching_hour_list(from).await?, from, to);
        let mut hours: BTreeSet<i32> = counted.iter().filter(|(hour, of)| sums.get(hour) == Some(of)).map(|(hour, _)| *hour).collect();
        // Jobs without an execution are not counted in them.
        for job in open_jobs(sources, asked.window, &[]).await? {
            let (first, last) = (job.at.hour(), Instant(job.at.0 + open_job::BELIEVED_US - 1).hour());
            (first..=last).for_each(|hour| {
                hours.remove(&hour);
            });
        }
        let counted = Self { set, hours };
        // Each stretch reads what reaches into it: many small ones cost more than one sweep.
        if counted.stretches(&asked.window.tiles(Step::Hour)).len() > STRETCHES_MAX { Ok(Self::default()) } else { Ok(counted) }
    }

    /// What lies between the counted hours, as pieces of tiles that lie side by side.
    fn stretches(&self, tiles: &[Window]) -> Vec<Vec<Window>> {
        let mut stretches: Vec<Vec<Window>> = Vec::new();
        let pieces = tiles.iter().flat_map(|tile| if self.hours.is_empty() { vec![*tile] } else { tile.tiles(Step::Hour) });
        for piece in pieces.filter(|piece| !self.hours.contains(&piece.start.hour())) {
            match stretches.last_mut() {
                Some(stretch) if stretch.last().is_some_and(|last| last.end == piece.start) => stretch.push(piece),
                _ => stretches.push(vec![piece]),
            }
        }
        stretches
    }

    /// Gives the block of every counted hour to `take`.
    async fn blocks(
        &self,
        sources: Sources<'_>,
        mut take: impl FnMut(i32, &[u8]) -> Result<(), BreakdownError>,
    ) -> Result<(), BreakdownError> {
        for (from, to) in runs(self.hours.iter().copied(), HOURS_PER_READ) {
            for (hour, block) in sources.snapshot.concurrency_hour_list(from, to + 1).await? {
                take(hour, &block)?;
            }
        }
        Ok(())
    }
}

/// Rows and total, from counted hours and from what was swept between them.
struct Answer<'a> {
    sources: Sources<'a>,
    asked: &'a ConcurrencyQuestion,
    tiles: &'a [Window],
    hours: &'a CountedHours,
    swept: &'a [Swept<'a>],
}

impl Answer<'_> {
    async fn series(&self) -> Result<Series<ConcurrencyFigures>, BreakdownError> {
        let ConcurrencyQuestion { window, by, limit } = self.asked;
        let (whole_us, total) = self.sums().await?;
        if whole_us.len().min(*limit).saturating_mul(self.tiles.len()) > ANSWER_POINTS_MAX {
            return Err(BreakdownError::Limit(format!(
                "an answer has at most {ANSWER_POINTS_MAX} points: take a larger step, a shorter window or fewer rows"
            )));
        }
        let mean = |us: u128| us as f64 / window.length_us() as f64;
        let unordered = whole_us.into_iter().map(|(ids, us)| Row { ids, atoms: Vec::new(), value: Some(mean(us)) }).collect();
        let table = table::order(self.sources, by, unordered, *limit).await?;
        let cells = self.cells(&table.rows, total).await?;
        let figures = |cells: &Vec<Cell>| cells.iter().zip(self.tiles).map(|(cell, tile)| ConcurrencyFigures::of(*cell, *tile)).collect();
        let mut points = cells.iter().map(figures);
        let total = points.next().unwrap_or_default();
        let key: Arc<[Dimension]> = by.clone().into();
        Ok(Series {
            window: *window,
            as_of: self.sources.snapshot.as_of,
            tiles: self.tiles.to_vec(),
            row_count: table.row_count,
            rows: table.rows.iter().map(|row| RowKey { by: Arc::clone(&key), ids: row.ids }).zip(points).collect(),
            total,
        })
    }

    /// Time of those that run by row, and what counted hours have of everything by tile.
    async fn sums(&self) -> Result<(FxHashMap<Ids, u128>, Vec<Cell>), BreakdownError> {
        let (mut whole_us, mut total): (FxHashMap<Ids, u128>, _) = (FxHashMap::default(), vec![Cell::default(); self.tiles.len()]);
        for swept in self.swept {
            for (row, ids) in (1_u32..).zip(&swept.rows) {
                *whole_us.entry(*ids).or_default() += swept.levels.whole_us(row);
            }
        }
        // By pair as they come: there are as many rows as hours x keys, and the ids of a row are four times as long.
        let mut by_pair: FxHashMap<kept::PairIds, u128> = FxHashMap::default();
        let sum = |hour: i32, block: &[u8]| {
            let of_row = |pair, cell: Cell| *by_pair.entry(pair).or_default() += u128::from(cell.running_us);
            kept::rows_of(block, self.hours.set, of_row).map_err(StoreError::from)?;
            kept::rows_of(block, kept::EVERYTHING, |_, cell| total[self.tile_of(hour)].add(cell)).map_err(StoreError::from)?;
            if by_pair.len() > ATOMS_MAX { Err(too_many_keys()) } else { Ok(()) }
        };
        self.hours.blocks(self.sources, sum).await?;
        by_pair.into_iter().for_each(|(pair, us)| *whole_us.entry(self.ids_of(pair)).or_default() += us);
        Ok((whole_us, total))
    }

    /// The cells of everything, which come first, and of these rows, by tile.
    async fn cells(&self, rows: &[Row], total: Vec<Cell>) -> Result<Vec<Vec<Cell>>, BreakdownError> {
        let places: FxHashMap<Ids, usize> = rows.iter().map(|row| row.ids).zip(1..).collect();
        let mut cells = vec![vec![Cell::default(); self.tiles.len()]; rows.len() + 1];
        cells[0] = total;
        for swept in self.swept {
            swept.add_to(&mut cells, self.tiles, &places)?;
        }
        let pairs: FxHashMap<kept::PairIds, usize> = rows.iter().map(|row| self.pair_of(&row.ids)).zip(1..).collect();
        let add = |hour: i32, block: &[u8]| {
            let tile = self.tile_of(hour);
            let of_row = |pair, cell| {
                if let Some(place) = pairs.get(&pair) {
                    cells[*place][tile].add(cell);
                }
            };
            Ok(kept::rows_of(block, self.hours.set, of_row).map_err(StoreError::from)?)
        };
        self.hours.blocks(self.sources, add).await?;
        Ok(cells)
    }

    /// The ids of a counted row in the order of the dimensions.
    fn ids_of(&self, kept::PairIds { vm, combination }: kept::PairIds) -> Ids {
        let mut ids = Ids::default();
        for (id, dimension) in ids.iter_mut().zip(&self.asked.by) {
            *id = if *dimension == Dimension::Vm { vm } else { combination };
        }
        ids
    }

    /// The other way round.
    fn pair_of(&self, ids: &Ids) -> kept::PairIds {
        let of = |wanted: Dimension| self.asked.by.iter().zip(ids).find(|(dimension, _)| **dimension == wanted).map_or(0, |(_, id)| *id);
        kept::PairIds { vm: of(Dimension::Vm), combination: of(Dimension::Combination) }
    }

    /// The tile in which an hour lies.
    fn tile_of(&self, hour: i32) -> usize {
        self.tiles.partition_point(|tile| tile.start <= Window::of_hour(hour).start) - 1
    }
}

fn too_many_keys() -> BreakdownError {
    BreakdownError::Limit("too many distinct keys and points: ask for a larger step, a shorter window or fewer dimensions".to_owned())
}
