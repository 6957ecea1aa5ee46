//! Counts a stretch of a window from packs, rows and jobs without an execution.
//!
//! Invariant: memory holds one hour of executions, those that overlap one instant, and what the rows had in each tile; the latter two
//! have a limit. Must not know: which stretches have been counted already.

use plimsoll_entity::value::time::{Instant, Window};
use rustc_hash::FxHashMap;

use super::level::{Cell, Levels};
use super::sweep::{Stay, Sweep};
use super::{ConcurrencyQuestion, open_job, pack, too_many_keys};
use crate::breakdown::filter::Filter;
use crate::breakdown::gather::{Gathered, Gathering, Ids, Sources};
use crate::breakdown::table;
use crate::breakdown::{ATOMS_MAX, BreakdownError};
use crate::cell::part::{Key, KeyColumn};
use crate::cell::plan::Coarseness;
use crate::store::{OpenJob, StoreError};

/// Executions that run or wait at one instant.
pub const OVERLAP_MAX: usize = 2_000_000;
/// Jobs without an execution that count in one window.
const OPEN_JOBS_MAX: u64 = 200_000;
/// Bytes of what the rows had in each tile.
const TILES_SIZE_BYTES_MAX: usize = 256 << 20;
/// The row of everything.
const TOTAL: u32 = 0;

/// Jobs that wait or run without an execution, as they count in a window; of their columns, these.
///
/// # Errors
/// [`BreakdownError`] when there are too many or the store fails.
pub async fn open_jobs(sources: Sources<'_>, window: Window, columns: &[KeyColumn]) -> Result<Vec<OpenJob>, BreakdownError> {
    let changes = sources.snapshot.open_job_list(open_job::changes_of(window), columns, OPEN_JOBS_MAX + 1).await?;
    if changes.len() as u64 > OPEN_JOBS_MAX {
        return Err(BreakdownError::Limit(format!(
            "more than {OPEN_JOBS_MAX} jobs wait or run without an execution: ask for a shorter window"
        )));
    }
    Ok(open_job::latest(changes))
}

/// A stretch of the window that was swept.
pub struct Swept<'t> {
    /// Keys of the rows after the total.
    pub rows: Vec<Ids>,
    /// Pieces of tiles that lie side by side.
    pub tiles: &'t [Window],
    /// What each row has in each piece.
    pub levels: Levels<'t>,
}

impl Swept<'_> {
    /// Adds its cells to those of the tiles that its pieces lie in.
    ///
    /// # Errors
    /// [`BreakdownError::Store`] when what was swept is damaged.
    pub fn add_to(&self, cells: &mut [Vec<Cell>], tiles: &[Window], places: &FxHashMap<Ids, usize>) -> Result<(), BreakdownError> {
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

/// A sweep over the executions, and jobs without one, of a stretch of the window.
pub struct Counting<'a> {
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
    /// A sweep over tiles that lie side by side.
    pub fn new(sources: Sources<'a>, asked: &'a ConcurrencyQuestion, filter: &'a Filter, tiles: &'a [Window]) -> Self {
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

    /// Reads everything that waits or runs in the stretch.
    ///
    /// # Errors
    /// [`BreakdownError`] when it is too much or the store fails.
    pub async fn read(&mut self) -> Result<(), BreakdownError> {
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

    /// What was counted.
    pub fn finish(self) -> Swept<'a> {
        Swept { rows: self.rows, tiles: self.tiles, levels: self.sweep.finish() }
    }
}
