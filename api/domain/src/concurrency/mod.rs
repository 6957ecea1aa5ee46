//! How many executions run and wait at once, over time.
//!
//! Executions are read hour by hour, the latest end first, and swept backwards (`sweep`), so that memory holds one hour of them,
//! those that overlap one instant, and what the rows had in each tile, in few bytes (`level`); the latter two have a limit. An
//! execution may end long after the window: `execution_reach` tells which later hours have one that began before the window's end.
//! Past hours are read from their pack (`pack`), which is many times faster than rows. For the dimensions that are asked about most,
//! past hours are counted once (`kept`), and only what lies between such hours is swept.
//! Jobs without an execution count as `open_job` says, whether that lies before the snapshot's instant or after it.
//! Invariants: rows and total of one answer come from one snapshot; an execution counts in each of its rows and once in the total.
//! Must not know: GraphQL.

pub mod kept;
pub mod level;
pub mod open_job;
pub mod pack;
pub mod packer;
pub mod sweep;

use std::collections::BTreeSet;
use std::sync::Arc;

use plimsoll_entity::value::time::{HOUR_US, Instant, Step, Window};
use plimsoll_entity::value::varint::Truncated;
use rustc_hash::FxHashMap;

use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::{Reader, Reading, RowKey, Series, check, tiles};
use crate::breakdown::filter::Filter;
use crate::breakdown::gather::{Gathered, Gathering, Ids, Sources, runs};
use crate::breakdown::table::{self, Row};
use crate::breakdown::{ATOMS_MAX, BreakdownError};
use crate::cell::part::{Key, KeyColumn};
use crate::cell::plan::Coarseness;
use crate::store::{OpenJob, StoreError};

use level::{Cell, Levels};
use sweep::{Stay, Sweep};

/// Executions that run or wait at one instant.
const OVERLAP_MAX: usize = 2_000_000;
/// Jobs without an execution that count in one window.
const OPEN_JOBS_MAX: u64 = 200_000;
/// Bytes of what the rows had in each tile.
const TILES_SIZE_BYTES_MAX: usize = 256 << 20;
/// Points of one answer, over all its rows.
const ANSWER_POINTS_MAX: usize = 2_000_000;
/// Stretches between counted hours that are swept one by one.
const STRETCHES_MAX: usize = 24;
/// Counted hours that are read at a time.
const HOURS_PER_READ: i32 = 24;
/// The row of everything.
const TOTAL: u32 = 0;

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
        answer(sources, asked, &tiles, &hours, &swept).await
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
            hours.retain(|hour| !(first..=last).contains(hour));
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
    async fn blocks(&self, sources: Sources<'_>, mut take: impl FnMut(i32, &[u8]) -> Result<(), Truncated>) -> Result<(), BreakdownError> {
        for (from, to) in runs(self.hours.iter().copied(), HOURS_PER_READ) {
            for (hour, block) in sources.snapshot.concurrency_hour_list(from, to + 1).await? {
                take(hour, &block).map_err(StoreError::from)?;
            }
        }
        Ok(())
    }
}

/// The ids of a counted row in the order of the dimensions.
fn ids_of(by: &[Dimension], [vm, combination]: kept::PairIds) -> Ids {
    let mut ids = Ids::default();
    for (id, dimension) in ids.iter_mut().zip(by) {
        *id = if *dimension == Dimension::Vm { vm } else { combination };
    }
    ids
}

async fn open_jobs(sources: Sources<'_>, window: Window, columns: &[KeyColumn]) -> Result<Vec<OpenJob>, BreakdownError> {
    let changes = sources.snapshot.open_job_list(open_job::changes_of(window), columns, OPEN_JOBS_MAX + 1).await?;
    if changes.len() as u64 > OPEN_JOBS_MAX {
        return Err(BreakdownError::Limit(format!(
            "more than {OPEN_JOBS_MAX} jobs wait or run without an execution: ask for a shorter window"
        )));
    }
    Ok(open_job::latest(changes))
}

/// Rows and total, from counted hours and from what was swept between them.
async fn answer(
    sources: Sources<'_>,
    asked: &ConcurrencyQuestion,
    tiles: &[Window],
    hours: &CountedHours,
    swept: &[Swept<'_>],
) -> Result<Series<ConcurrencyFigures>, BreakdownError> {
    let ConcurrencyQuestion { window, by, limit } = asked;
    let mut whole_us: FxHashMap<Ids, u128> = FxHashMap::default();
    for swept in swept {
        for (row, ids) in (1_u32..).zip(&swept.rows) {
            *whole_us.entry(*ids).or_default() += swept.levels.whole_us(row);
        }
    }
    let tile_of = |hour: i32| tiles.partition_point(|tile| tile.start <= Window::of_hour(hour).start) - 1;
    let mut total = vec![Cell::default(); tiles.len()];
    let sum = |hour: i32, block: &[u8]| {
        kept::rows_of(block, 0, |_, cell| total[tile_of(hour)].add(cell))?;
        kept::rows_of(block, hours.set, |ids, cell| *whole_us.entry(ids_of(by, ids)).or_default() += u128::from(cell.running_us))
    };
    hours.blocks(sources, sum).await?;
    if whole_us.len() > ATOMS_MAX {
        return Err(too_many_keys());
    }
    if whole_us.len().min(*limit).saturating_mul(tiles.len()) > ANSWER_POINTS_MAX {
        return Err(BreakdownError::Limit(format!(
            "an answer has at most {ANSWER_POINTS_MAX} points: take a larger step, a shorter window or fewer rows"
        )));
    }
    let mean = |us: u128| us as f64 / window.length_us() as f64;
    let unordered = whole_us.into_iter().map(|(ids, us)| Row { ids, atoms: Vec::new(), value: Some(mean(us)) }).collect();
    let table = table::order(sources, by, unordered, *limit).await?;
    // The total comes first.
    let places: FxHashMap<Ids, usize> = table.rows.iter().map(|row| row.ids).zip(1..).collect();
    let mut cells = vec![vec![Cell::default(); tiles.len()]; table.rows.len() + 1];
    cells[0] = total;
    for swept in swept {
        swept.add_to(&mut cells, tiles, &places)?;
    }
    let add = |hour: i32, block: &[u8]| {
        kept::rows_of(block, hours.set, |ids, cell| {
            if let Some(place) = places.get(&ids_of(by, ids)) {
                cells[*place][tile_of(hour)].add(cell);
            }
        })
    };
    hours.blocks(sources, add).await?;
    let mut points =
        cells.iter().map(|cells| cells.iter().zip(tiles).map(|(cell, tile)| ConcurrencyFigures::of(*cell, *tile)).collect::<Vec<_>>());
    let total = points.next().unwrap_or_default();
    let key: Arc<[Dimension]> = by.clone().into();
    Ok(Series {
        window: *window,
        as_of: sources.snapshot.as_of,
        tiles: tiles.to_vec(),
        row_count: table.row_count,
        rows: table.rows.iter().map(|row| RowKey { by: Arc::clone(&key), ids: row.ids }).zip(points).collect(),
        total,
    })
}

/// A stretch of the window that was swept.
struct Swept<'t> {
    /// Keys of the rows after the total.
    rows: Vec<Ids>,
    tiles: &'t [Window],
    levels: Levels<'t>,
}

impl Swept<'_> {
    /// Adds its cells to those of the tiles that its pieces lie in.
    fn add_to(&self, cells: &mut [Vec<Cell>], tiles: &[Window], places: &FxHashMap<Ids, usize>) -> Result<(), BreakdownError> {
        let place = |row: u32| match row.checked_sub(1) {
            None => Some(0),
            Some(row) => places.get(self.rows.get(row as usize)?).copied(),
        };
        let own = self.levels.cells(place, cells.len()).map_err(StoreError::from)?;
        for (cells, own) in cells.iter_mut().zip(own) {
            for (cell, piece) in own.into_iter().zip(self.tiles) {
                cells[tiles.partition_point(|tile| tile.start <= piece.start) - 1].add(cell);
            }
        }
        Ok(())
    }
}

/// A stay and what it counts under; `at` is where its machine stood.
#[derive(Clone, Copy, Debug)]
struct Counted {
    stay: Stay,
    key: Key,
    at: Instant,
}

struct Counting<'a> {
    sources: Sources<'a>,
    asked: Gathering<'a>,
    window: Window,
    tiles: &'a [Window],
    columns: Vec<KeyColumn>,
    /// Only tells atoms and their keys apart.
    gathered: Gathered,
    sweep: Sweep<'a>,
    /// Keys of the rows after the total, and their places.
    rows: Vec<Ids>,
    places: FxHashMap<Ids, u32>,
    /// Jobs without an execution, the latest end last.
    jobs: Vec<Counted>,
}

impl<'a> Counting<'a> {
    fn new(sources: Sources<'a>, asked: &'a ConcurrencyQuestion, filter: &'a Filter, tiles: &'a [Window]) -> Self {
        let mut columns: Vec<KeyColumn> = asked.by.iter().map(|dimension| dimension.column()).collect();
        columns.extend(filter.columns_used());
        Self {
            sources,
            asked: Gathering { tiles: &[], by: &asked.by, filter, parts: &[], coarseness: Coarseness::Facts },
            window: Window {
                start: tiles.first().map_or(Instant(0), |tile| tile.start),
                end: tiles.last().map_or(Instant(0), |tile| tile.end),
            },
            tiles,
            columns,
            gathered: Gathered::default(),
            sweep: Sweep::new(tiles, OVERLAP_MAX),
            rows: Vec::new(),
            places: FxHashMap::default(),
            jobs: Vec::new(),
        }
    }

    async fn read(&mut self) -> Result<(), BreakdownError> {
        self.read_jobs().await?;
        let (start, end) = (self.window.start, self.window.end);
        for (hour, is_packed) in self.sources.snapshot.execution_reach_list(start.hour(), end).await? {
            self.read_hour(hour, is_packed).await?;
        }
        let jobs = std::mem::take(&mut self.jobs);
        jobs.iter().rev().try_for_each(|job| self.count(job))
    }

    async fn read_jobs(&mut self) -> Result<(), BreakdownError> {
        let jobs = open_jobs(self.sources, self.window, &self.columns).await?;
        let counted = jobs.iter().map(|job| Counted { stay: open_job::stay(job), key: job.key, at: job.at });
        self.jobs = counted.filter(|job| job.stay.is_in(self.window)).collect();
        self.jobs.sort_unstable_by_key(|job| job.stay.finished_at);
        let jobs: Vec<Key> = self.jobs.iter().map(|job| job.key).collect();
        self.learn(&jobs).await
    }

    /// Executions that finished in an hour.
    async fn read_hour(&mut self, hour: i32, is_packed: bool) -> Result<(), BreakdownError> {
        let snapshot = self.sources.snapshot;
        let spans = if is_packed {
            let block = snapshot.execution_pack(hour).await?.ok_or(StoreError::Inconsistent("pack"))?;
            pack::decode(hour, &block).map_err(StoreError::from)?
        } else {
            snapshot.execution_span_list(Window::of_hour(hour), self.window.end, &self.columns).await?
        };
        let mut executions: Vec<Counted> = spans
            .into_iter()
            .map(|span| Counted {
                stay: Stay { queued_at: span.queued_at, started_at: span.started_at, finished_at: span.finished_at },
                key: span.key,
                at: span.finished_at,
            })
            .filter(|execution| execution.stay.is_in(self.window))
            .collect();
        executions.sort_unstable_by_key(|execution| std::cmp::Reverse(execution.stay.finished_at));
        let keys: Vec<Key> = executions.iter().map(|execution| execution.key).collect();
        self.learn(&keys).await?;
        for execution in &executions {
            while let Some(job) = self.jobs.pop_if(|job| job.stay.finished_at >= execution.stay.finished_at) {
                self.count(&job)?;
            }
            self.count(execution)?;
        }
        if self.sweep.size_bytes() > TILES_SIZE_BYTES_MAX {
            return Err(too_many_keys());
        }
        Ok(())
    }

    async fn learn(&mut self, keys: &[Key]) -> Result<(), BreakdownError> {
        let combinations = keys.iter().map(|key| key[KeyColumn::Combination as usize]).filter(|id| *id != 0);
        self.gathered.learn(self.sources, self.asked.filter, combinations).await
    }

    fn count(&mut self, counted: &Counted) -> Result<(), BreakdownError> {
        let Some(atom) = self.gathered.atom(self.sources, &self.asked, &counted.key, 0, counted.at) else { return Ok(()) };
        if atom as usize == self.sweep.atoms() {
            self.push_atom(atom)?;
        }
        self.sweep
            .add(atom, counted.stay)
            .map_err(|source| BreakdownError::Limit(format!("{source} at one instant: ask for a shorter window or a narrower filter")))
    }

    fn push_atom(&mut self, atom: u32) -> Result<(), BreakdownError> {
        let mut of_atom = vec![TOTAL];
        for ids in table::rows_of(&self.gathered.atoms[atom as usize], self.asked.by, &self.gathered.combinations) {
            let next = self.rows.len() as u32 + 1;
            let row = *self.places.entry(ids).or_insert(next);
            if row == next {
                self.rows.push(ids);
            }
            of_atom.push(row);
        }
        if self.rows.len() > ATOMS_MAX || self.sweep.atoms() > ATOMS_MAX {
            return Err(too_many_keys());
        }
        self.sweep.push_atom(of_atom, self.rows.len() + 1);
        Ok(())
    }

    fn finish(self) -> Swept<'a> {
        Swept { rows: self.rows, tiles: self.tiles, levels: self.sweep.finish() }
    }
}

fn too_many_keys() -> BreakdownError {
    BreakdownError::Limit("too many distinct keys and points: ask for a larger step, a shorter window or fewer dimensions".to_owned())
}
