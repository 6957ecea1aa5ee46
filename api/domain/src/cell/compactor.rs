//! Folds delta blocks into hour blocks, and rolls closed days up into day blocks.
//!
//! Invariants: a fold and the deletion of what it folded are one transaction; a day block that exists is the sum of the hour
//! blocks of its day and no delta of that day has been folded since. The state after any number of runs, at any points, by any
//! number of processes gives the same answers. Must not know: what the parts mean.

use std::collections::BTreeMap;

use plimsoll_entity::value::time::{Instant, SECOND_US};

use super::block::{Keys, unpack};
use super::column::{Column, SKIP};
use super::part::{Family, Key, Part};
use super::plan::DAY_HOURS;
use crate::store::{Grain, Snapshot, Store, StoreError};

/// Deltas of one family and day that are folded without waiting.
const DELTAS_FOLDED_AT: i64 = 32;
/// A delta is folded at the latest when it is this old.
const DELTA_AGE_MAX_US: i64 = 20 * SECOND_US;
/// Deltas that one fold takes.
const DELTAS_PER_FOLD: u64 = 128;
/// A day is rolled up when nothing has been folded into it for this long.
const DAY_QUIET_US: i64 = 10 * SECOND_US;
/// How often all days are looked through for missing day blocks.
const DAY_SEARCH_US: i64 = 60 * SECOND_US;

/// The compactor of one process.
#[derive(Debug)]
pub struct Compactor {
    store: Store,
    /// Days to roll up, and when they were last folded into.
    open_days: BTreeMap<(Family, i32), Instant>,
    searched_at: Option<Instant>,
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Delta blocks folded.
    pub deltas: usize,
    /// Days rolled up.
    pub days: usize,
}

impl Compactor {
    /// A compactor of this store.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store, open_days: BTreeMap::new(), searched_at: None }
    }

    /// Folds what is due at `now` and rolls up the days that are quiet.
    ///
    /// # Errors
    /// [`StoreError`] from the database; what was done before stays done.
    pub async fn run_once(&mut self, now: Instant) -> Result<Compaction, StoreError> {
        let mut done = Compaction::default();
        let backlog = self.store.snapshot().await?.delta_backlog().await?;
        for day in backlog {
            self.open_days.insert((day.family, day.day), now);
            if day.deltas >= DELTAS_FOLDED_AT || now.0 - day.oldest_at.0 >= DELTA_AGE_MAX_US {
                done.deltas += self.fold(day.family, day.day).await?;
            }
        }
        self.search_days(now).await?;
        done.days = self.roll_up_quiet(now, DAY_QUIET_US).await?;
        Ok(done)
    }

    /// Folds everything and rolls up every closed day at once.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn run_to_end(&mut self, now: Instant) -> Result<Compaction, StoreError> {
        let mut done = Compaction::default();
        loop {
            let backlog = self.store.snapshot().await?.delta_backlog().await?;
            if backlog.is_empty() {
                break;
            }
            for day in backlog {
                done.deltas += self.fold(day.family, day.day).await?;
            }
        }
        self.searched_at = None;
        self.search_days(now).await?;
        done.days = self.roll_up_quiet(now, 0).await?;
        Ok(done)
    }

    async fn search_days(&mut self, now: Instant) -> Result<(), StoreError> {
        if self.searched_at.is_some_and(|at| now.0 - at.0 < DAY_SEARCH_US) {
            return Ok(());
        }
        self.searched_at = Some(now);
        let snapshot = self.store.snapshot().await?;
        for family in Family::ADDITIVE {
            for day in snapshot.day_without_block_list(family, now.day()).await? {
                self.open_days.entry((family, day)).or_insert(Instant(0));
            }
        }
        Ok(())
    }

    async fn roll_up_quiet(&mut self, now: Instant, quiet_us: i64) -> Result<usize, StoreError> {
        let due: Vec<(Family, i32)> = self
            .open_days
            .iter()
            .filter(|((_, day), folded_at)| *day < now.day() && now.0 - folded_at.0 >= quiet_us)
            .map(|(place, _)| *place)
            .collect();
        let mut days = 0;
        for (family, day) in due {
            days += usize::from(self.roll_up(family, day).await?);
            self.open_days.remove(&(family, day));
        }
        Ok(days)
    }

    /// Folds the oldest deltas of a day into its hour blocks; the number of deltas that are gone.
    async fn fold(&self, family: Family, day: i32) -> Result<usize, StoreError> {
        let lock = self.store.lock_blocks(family, day).await?;
        let snapshot = self.store.snapshot().await?;
        let deltas = snapshot.delta_list(family, day, day, DELTAS_PER_FOLD).await?;
        if deltas.is_empty() {
            return Ok(0);
        }
        let hours = hours_of(family, day, deltas.iter().map(|delta| delta.block.as_slice()))?;
        let mut folded = Vec::new();
        for (hour, sources) in hours {
            folded.push((hour, merge_bucket(&snapshot, family, hour, &sources).await?));
        }
        drop(snapshot);
        let mut tx = lock.begin().await?;
        for (hour, parts) in folded {
            tx.cell_replace(family, Grain::Hour, hour, parts).await?;
        }
        // What the day block said is no longer so.
        tx.cell_replace(family, Grain::Day, day, Vec::new()).await?;
        let seqs: Vec<i64> = deltas.iter().map(|delta| delta.seq).collect();
        tx.delta_delete(&seqs).await?;
        tx.commit().await?;
        Ok(seqs.len())
    }

    /// Makes the day block of a closed day from its hour blocks; deltas that wait are added on top by whoever reads.
    async fn roll_up(&self, family: Family, day: i32) -> Result<bool, StoreError> {
        let lock = self.store.lock_blocks(family, day).await?;
        let snapshot = self.store.snapshot().await?;
        let (first, last) = (day * DAY_HOURS, day * DAY_HOURS + DAY_HOURS - 1);
        let mut sources = Vec::new();
        let keys = snapshot.cell_list(family, Grain::Hour, first, last, &[Part::Keys]).await?;
        for block in &keys {
            sources.push(Keys::decode(family, &block.block)?);
        }
        if sources.is_empty() {
            return Ok(false);
        }
        let (merged, rows) = merge_keys(&sources);
        let mut parts = vec![(Part::Keys, merged.encode(family))];
        for part in family.parts() {
            let mut column = Column::of(*part);
            column.grow(merged.keys.len());
            let blocks = snapshot.cell_list(family, Grain::Hour, first, last, &[*part]).await?;
            if blocks.len() != rows.len() {
                return Err(StoreError::Inconsistent("hour block"));
            }
            for (block, rows) in blocks.iter().zip(&rows) {
                column.merge_encoded(&block.block, rows)?;
            }
            parts.push((*part, encode_column(&column, merged.keys.len())));
        }
        drop(snapshot);
        let mut tx = lock.begin().await?;
        tx.cell_replace(family, Grain::Day, day, parts).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// The part of one hour's cells in one delta.
struct DeltaHour<'a> {
    keys: Keys,
    /// For each cell of the whole delta: its place among `keys`, or [`SKIP`].
    rows: Vec<u32>,
    parts: Vec<(Part, &'a [u8])>,
}

/// The deltas of a day, taken apart by hour since 1970.
fn hours_of<'a>(family: Family, day: i32, blocks: impl Iterator<Item = &'a [u8]>) -> Result<BTreeMap<i32, Vec<DeltaHour<'a>>>, StoreError> {
    let mut hours: BTreeMap<i32, Vec<DeltaHour<'a>>> = BTreeMap::new();
    for block in blocks {
        let parts = unpack(block)?;
        let keys = parts.iter().find(|(part, _)| *part == Part::Keys).ok_or(StoreError::Inconsistent("delta block"))?.1;
        let all = Keys::decode(family, keys)?;
        for hour in 0..DAY_HOURS {
            let inside = |at: usize| i32::from(all.hours[at]) == hour;
            let mut rows = vec![SKIP; all.keys.len()];
            let mut keys = Keys::default();
            for at in (0..all.keys.len()).filter(|at| inside(*at)) {
                rows[at] = keys.keys.len() as u32;
                keys.keys.push(all.keys[at]);
            }
            if !keys.keys.is_empty() {
                hours.entry(day * DAY_HOURS + hour).or_default().push(DeltaHour { keys, rows, parts: parts.clone() });
            }
        }
    }
    Ok(hours)
}

/// The union of the keys, ascending, and for each source the rows of its cells.
pub(crate) fn merge_keys(sources: &[Keys]) -> (Keys, Vec<Vec<u32>>) {
    let mut keys: Vec<Key> = sources.iter().flat_map(|source| source.keys.iter().copied()).collect();
    keys.sort_unstable();
    keys.dedup();
    let row_of = |key: &Key| keys.binary_search(key).map_or(SKIP, |row| row as u32);
    let rows = sources.iter().map(|source| source.keys.iter().map(row_of).collect()).collect();
    (Keys { hours: Vec::new(), keys }, rows)
}

pub(crate) fn encode_column(column: &Column, rows: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows * 4);
    (0..rows).for_each(|row| column.encode_row(row, &mut bytes));
    bytes
}

/// The parts of one hour: what its block holds now and the deltas.
async fn merge_bucket(
    snapshot: &Snapshot,
    family: Family,
    hour: i32,
    deltas: &[DeltaHour<'_>],
) -> Result<Vec<(Part, Vec<u8>)>, StoreError> {
    let mut wanted = vec![Part::Keys];
    wanted.extend_from_slice(family.parts());
    let stored = snapshot.cell_list(family, Grain::Hour, hour, hour, &wanted).await?;
    let mut sources: Vec<Keys> = Vec::with_capacity(deltas.len() + 1);
    if let Some(keys) = stored.iter().find(|block| block.part == Part::Keys) {
        sources.push(Keys::decode(family, &keys.block)?);
    }
    let stored_sources = sources.len();
    sources.extend(deltas.iter().map(|delta| delta.keys.clone()));
    let (merged, rows) = merge_keys(&sources);
    let mut parts = vec![(Part::Keys, merged.encode(family))];
    for part in family.parts() {
        let mut column = Column::of(*part);
        column.grow(merged.keys.len());
        if stored_sources == 1 {
            let block = stored.iter().find(|block| block.part == *part).ok_or(StoreError::Inconsistent("hour block"))?;
            column.merge_encoded(&block.block, &rows[0])?;
        }
        for (delta, rows) in deltas.iter().zip(&rows[stored_sources..]) {
            let body = delta.parts.iter().find(|(named, _)| named == part).ok_or(StoreError::Inconsistent("delta block"))?.1;
            let rows: Vec<u32> = delta.rows.iter().map(|row| if *row == SKIP { SKIP } else { rows[*row as usize] }).collect();
            column.merge_encoded(body, &rows)?;
        }
        parts.push((*part, encode_column(&column, merged.keys.len())));
    }
    Ok(parts)
}
