//! Breakdowns of what lies where, of the loads that came from there, and what is cold.
//!
//! A row is there when it had bytes or a load in the window. Invariants: bytes x time is exact until it is divided; a window reckoned
//! from blocks of days gives what it gives from snapshots. Must not know: GraphQL, what storage costs.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use plimsoll_entity::value::time::{DAY_US, Instant, Window};
use rustc_hash::FxHashMap;

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Breakdown, Reader, Reading, check};
use super::figures::sum_of;
use super::filter::Filter;
use super::gather::{Gathered, Gathering, runs};
use super::table;
use crate::cell::column::Column;
use crate::cell::part::{Family, Key, Part};
use crate::cell::plan::Coarseness;
use crate::storage::day::read_day;
use crate::storage::holding::{Held, Holding, covers};
use crate::storage::place::Place;
use crate::store::DerivedKind;

/// Places that one question reckons with.
const PLACES_MAX: usize = 200_000;
/// Snapshots that one question reads one by one: those of days that have no block yet.
const SNAPSHOTS_MAX: u64 = 5_000_000;
/// Stretches with bytes that one question keeps, over all places.
const STRETCHES_MAX: usize = 2_000_000;
/// Blocks of days that are read at a time.
const DAYS_PER_READ: i32 = 31;
/// Days in which earlier loads are looked for at a time.
const LOOK_BACK_DAYS: i64 = 62;
/// Microseconds of an hour, as a divisor.
const HOUR_US: f64 = 3_600e6;

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageOrder {
    /// Bytes at the window's end.
    Size,
    /// Number of loads.
    Loads,
    /// Latest load.
    LastLoaded,
}

impl StorageOrder {
    fn value(self, figures: &StorageFigures) -> Option<f64> {
        match self {
            Self::Size => Some(figures.size_bytes as f64),
            Self::Loads => Some(figures.loads as f64),
            Self::LastLoaded => figures.last_loaded_at.map(|at| at.0 as f64),
        }
    }
}

/// A question about storage.
#[derive(Clone, Debug)]
pub struct StorageQuestion {
    /// The window.
    pub window: Window,
    /// Dimensions.
    pub by: Vec<Dimension>,
    /// Rows at most.
    pub limit: usize,
}

/// Figures of storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageFigures {
    /// Length of the window in microseconds.
    pub window_us: i64,
    /// Bytes at the window's end.
    pub size_bytes: u64,
    /// Places with bytes at the window's end.
    pub replicas: u64,
    /// Bytes x microseconds over the window.
    pub byte_us: u128,
    /// Loads that finished in the window.
    pub loads: u64,
    /// The latest load ever, up to the window's end.
    pub last_loaded_at: Option<Instant>,
    /// Whether there were bytes at every instant of the window.
    pub is_held_throughout: bool,
}

impl StorageFigures {
    /// Bytes x hours over the window.
    #[must_use]
    pub fn byte_hours(&self) -> f64 {
        self.byte_us as f64 / HOUR_US
    }

    /// Loads a day of the window.
    #[must_use]
    pub fn loads_per_day(&self) -> f64 {
        self.loads as f64 / (self.window_us.max(1) as f64 / DAY_US as f64)
    }

    /// Had bytes through the whole window, and no load came in it.
    #[must_use]
    pub const fn is_cold(&self) -> bool {
        self.is_held_throughout && self.loads == 0
    }
}

/// What was gathered for one question: loads by atom, and what the places of each atom held.
struct Stored {
    gathered: Gathered,
    held: FxHashMap<u32, Vec<Held>>,
}

impl Stored {
    fn figures(&self, window: Window, atoms: &[u32]) -> StorageFigures {
        let places = || atoms.iter().flat_map(|atom| self.held.get(atom).into_iter().flatten());
        let latest = match self.gathered.columns.get(&Part::LastLoad) {
            Some(Column::Latest(latest)) => atoms.iter().map(|atom| latest[*atom as usize]).max().unwrap_or(0),
            _ => 0,
        };
        StorageFigures {
            window_us: window.length_us(),
            size_bytes: places().map(|held| held.size_bytes).fold(0, u64::saturating_add),
            replicas: places().filter(|held| held.size_bytes > 0).count() as u64,
            byte_us: places().map(|held| held.byte_us).fold(0, u128::saturating_add),
            loads: sum_of(&self.gathered, Part::Loads, atoms),
            last_loaded_at: (latest > 0).then_some(Instant(latest)),
            is_held_throughout: covers(window, places().flat_map(|held| &held.stretches)),
        }
    }
}

impl Reader {
    /// Breaks storage down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, its answer would be too large or the store fails.
    pub async fn storage_breakdown(
        &self,
        reading: &Reading,
        asked: &StorageQuestion,
        filter: &Filter,
        order: StorageOrder,
    ) -> Result<Breakdown<StorageFigures>, BreakdownError> {
        let window = asked.window;
        check(window, &asked.by, asked.limit)?;
        let tiles = [window];
        let gathering =
            Gathering { tiles: &tiles, by: &asked.by, filter, parts: &[Part::Loads, Part::LastLoad], coarseness: self.coarseness };
        let mut gathered = Gathered::default();
        gathered.read(reading.sources(), &gathering, Some(Family::Load)).await?;
        add_last_loads(reading, &gathering, &mut gathered, window).await?;
        let held = held(reading, &gathering, &mut gathered, window).await?;
        let stored = Stored { gathered, held };
        let mut rows = table::rows(&stored.gathered.atoms, &asked.by, &stored.gathered.combinations);
        rows.retain_mut(|row| {
            let figures = stored.figures(window, &row.atoms);
            row.value = order.value(&figures);
            figures.byte_us > 0 || figures.loads > 0
        });
        let table = table::order(reading.sources(), &asked.by, rows, asked.limit).await?;
        let atoms = stored.gathered.atoms.len();
        Ok(Breakdown::of(reading, window, &asked.by, &table, atoms, |atoms| stored.figures(window, atoms)))
    }
}

/// The atoms of places, in their order; none where the filter leaves a place out.
async fn atoms_of(
    reading: &Reading,
    asked: &Gathering<'_>,
    gathered: &mut Gathered,
    places: impl Iterator<Item = Place>,
) -> Result<Vec<Option<u32>>, BreakdownError> {
    let mut keys: Vec<Key> = places.map(Place::key).collect();
    if keys.len() > PLACES_MAX {
        return Err(BreakdownError::Limit(format!("there are more than {PLACES_MAX} places")));
    }
    gathered.learn_artifacts(reading.sources(), asked.filter, &mut keys).await?;
    let atoms = keys.iter().map(|key| gathered.atom(reading.sources(), asked, key, 0, Instant(0))).collect();
    gathered.grow()?;
    Ok(atoms)
}

/// Adds the latest load of each atom before the window's end to those of the window. A place whose last load lies before the end has
/// it told; of the others earlier cells are looked through, for as long as one of them may still be found later than what is known.
async fn add_last_loads(reading: &Reading, asked: &Gathering<'_>, gathered: &mut Gathered, window: Window) -> Result<(), BreakdownError> {
    let reaches = reading.snapshot.load_reach_list(PLACES_MAX + 1).await?;
    let atoms = atoms_of(reading, asked, gathered, reaches.iter().map(|reach| reach.place)).await?;
    let mut waiting: Vec<u32> = Vec::new();
    let mut oldest = window.start;
    for (reach, atom) in reaches.iter().zip(atoms) {
        let Some(atom) = atom else { continue };
        if reach.last_at < window.end {
            if let Some(Column::Latest(latest)) = gathered.columns.get_mut(&Part::LastLoad) {
                latest[atom as usize] = latest[atom as usize].max(reach.last_at.0);
            }
        } else if reach.first_at < window.start {
            waiting.push(atom);
            oldest = oldest.min(reach.first_at);
        }
    }
    let mut until = window.start;
    loop {
        waiting.retain(|atom| match gathered.columns.get(&Part::LastLoad) {
            Some(Column::Latest(latest)) => latest[*atom as usize] < until.0,
            _ => false,
        });
        if waiting.is_empty() || until <= oldest {
            return Ok(());
        }
        let from = Instant((i64::from(until.day()) - LOOK_BACK_DAYS).max(i64::from(oldest.day())) * DAY_US).min(until);
        let before = [Window { start: from, end: until }];
        let earlier = Gathering { tiles: &before, parts: &[Part::LastLoad], ..asked.clone() };
        gathered.read(reading.sources(), &earlier, Some(Family::Load)).await?;
        until = from;
    }
}

/// What the places of each atom held in the window.
async fn held(
    reading: &Reading,
    asked: &Gathering<'_>,
    gathered: &mut Gathered,
    window: Window,
) -> Result<FxHashMap<u32, Vec<Held>>, BreakdownError> {
    let sizes = reading.snapshot.storage_size_at_list(window.start, PLACES_MAX + 1).await?;
    let atoms = atoms_of(reading, asked, gathered, sizes.iter().map(|size| size.place)).await?;
    let mut holdings: FxHashMap<Place, (u32, Holding)> = FxHashMap::default();
    for (size, atom) in sizes.iter().zip(atoms) {
        if let Some(atom) = atom {
            holdings.insert(size.place, (atom, Holding::new(window, size.size_bytes)));
        }
    }
    if !holdings.is_empty() {
        tell(reading, asked.coarseness, &mut holdings, window).await?;
    }
    let mut held: FxHashMap<u32, Vec<Held>> = FxHashMap::default();
    // In the order of places, so that nothing depends on chance.
    let ordered: BTreeMap<Place, (u32, Holding)> = holdings.into_iter().collect();
    for (atom, holding) in ordered.into_values() {
        held.entry(atom).or_default().push(holding.end());
    }
    Ok(held)
}

/// Tells the places everything of the window in the order of time: days that have a block by it, the rest by snapshots.
async fn tell(
    reading: &Reading,
    coarseness: Coarseness,
    holdings: &mut FxHashMap<Place, (u32, Holding)>,
    window: Window,
) -> Result<(), BreakdownError> {
    let (first, after) = (Instant(window.start.0 + DAY_US - 1).day(), window.end.day());
    let days = match coarseness {
        Coarseness::Days if first < after => reading.snapshot.derived_day_list(DerivedKind::Storage, first, after - 1).await?,
        _ => std::collections::BTreeSet::new(),
    };
    // What holds at the window's start is known: the snapshots at that very instant are in it.
    let mut from = Instant(window.start.0 + 1);
    let mut snapshots_left = SNAPSHOTS_MAX;
    for (first, last) in runs(days.into_iter(), DAYS_PER_READ) {
        let run = Window::of(i64::from(first) * DAY_US, (i64::from(last) + 1) * DAY_US);
        tell_snapshots(reading, holdings, Window { start: from, end: run.start }, &mut snapshots_left).await?;
        for (day, block) in reading.snapshot.storage_day_list(first, last).await? {
            read_day(day, &block, |day| {
                if let Some((_, holding)) = holdings.get_mut(&day.place) {
                    holding.tell_day(day.window, &day.held);
                }
                Ok::<(), crate::store::StoreError>(())
            })?;
        }
        check_stretches(holdings)?;
        from = run.end;
    }
    tell_snapshots(reading, holdings, Window { start: from, end: window.end }, &mut snapshots_left).await?;
    check_stretches(holdings)
}

async fn tell_snapshots(
    reading: &Reading,
    holdings: &mut FxHashMap<Place, (u32, Holding)>,
    window: Window,
    left: &mut u64,
) -> Result<(), BreakdownError> {
    if window.length_us() == 0 {
        return Ok(());
    }
    let mut told = std::pin::pin!(reading.snapshot.storage_size_stream(window).await?);
    while let Some(size) = told.try_next().await? {
        *left = left.checked_sub(1).ok_or_else(too_many_snapshots)?;
        if let Some((_, holding)) = holdings.get_mut(&size.place) {
            holding.tell(size.at, size.size_bytes);
        }
    }
    Ok(())
}

fn too_many_snapshots() -> BreakdownError {
    BreakdownError::Limit(format!(
        "more than {SNAPSHOTS_MAX} snapshots of the window are not put together yet: ask for a shorter window, or again in a minute"
    ))
}

fn check_stretches(holdings: &FxHashMap<Place, (u32, Holding)>) -> Result<(), BreakdownError> {
    if holdings.values().map(|(_, holding)| holding.stretches()).sum::<usize>() > STRETCHES_MAX {
        return Err(BreakdownError::Limit(format!(
            "places were emptied and filled more than {STRETCHES_MAX} times: ask for a shorter window"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cold_is_what_lay_there_all_the_time_and_nobody_wanted() {
        let held = StorageFigures { window_us: 2 * DAY_US, is_held_throughout: true, ..StorageFigures::default() };
        assert!(held.is_cold());
        assert!(!StorageFigures { loads: 1, ..held.clone() }.is_cold());
        assert!(!StorageFigures { is_held_throughout: false, ..held.clone() }.is_cold());
        assert_eq!(StorageFigures { loads: 3, byte_us: 7_200_000_000, ..held }.loads_per_day(), 1.5);
    }

    #[test]
    fn rows_are_ordered_by_what_they_show() {
        let figures = StorageFigures { size_bytes: 7, loads: 3, ..StorageFigures::default() };
        assert_eq!(StorageOrder::Size.value(&figures), Some(7.0));
        assert_eq!(StorageOrder::Loads.value(&figures), Some(3.0));
        assert_eq!(StorageOrder::LastLoaded.value(&figures), None);
    }
}
