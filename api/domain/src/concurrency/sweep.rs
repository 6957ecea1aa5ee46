//! One sweep over stays, from the end of the window back to its start. Pure.
//!
//! Executions are kept in order of their end. Read backwards, a stay begins to hold at its end and stops at its start, so what has
//! to be remembered are the stays that overlap the instant that the sweep has reached: O(n log n) over n stays.
//! Intervals are half-open: where one ends and another starts, the two never hold at once; one without length never holds.
//! Invariant: the ends of stays, cut to the window, never ascend. Must not know: names, the database.

use std::collections::BinaryHeap;

use plimsoll_entity::value::time::{Instant, Window};

use super::level::{Kind, Levels};

/// When somebody waited and ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// When the wait began; none where unknown.
    pub queued_at: Option<Instant>,
    /// When the wait ended and the run began.
    pub started_at: Instant,
    /// When the run ended.
    pub finished_at: Instant,
}

impl Stay {
    /// Whether any of it lies in the window.
    #[must_use]
    pub fn is_in(self, window: Window) -> bool {
        let overlaps = |from: Instant, to: Instant| from.max(window.start) < to.min(window.end);
        overlaps(self.started_at, self.finished_at) || self.queued_at.is_some_and(|queued_at| overlaps(queued_at, self.started_at))
    }
}

/// Why a sweep cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {0} overlap")]
pub struct TooManyOverlap(pub usize);

/// A stay that holds: when it stops, going backwards. The greatest is the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stop {
    at: Instant,
    atom: u32,
    is_wait: bool,
    /// Of a run: when the wait before it began.
    queued_at: Option<Instant>,
}

/// The sweep. An **atom** is what counts in the same rows.
#[derive(Debug)]
pub struct Sweep<'t> {
    tiles: &'t [Window],
    window: Window,
    levels: Levels<'t>,
    /// The rows of all atoms, one after the other, and where those of each atom end.
    rows: Vec<u32>,
    ends: Vec<u32>,
    holding: BinaryHeap<Stop>,
    /// Waits that begin to hold at the instant of the sweep.
    waits: Vec<Stop>,
    overlap_max: usize,
}

impl<'t> Sweep<'t> {
    /// A sweep over tiles that lie side by side; at most `overlap_max` stays may hold at once.
    #[must_use]
    pub fn new(tiles: &'t [Window], overlap_max: usize) -> Self {
        let window =
            Window { start: tiles.first().map_or(Instant(0), |tile| tile.start), end: tiles.last().map_or(Instant(0), |tile| tile.end) };
        Self {
            tiles,
            window,
            levels: Levels::new(tiles),
            rows: Vec::new(),
            ends: Vec::new(),
            holding: BinaryHeap::new(),
            waits: Vec::new(),
            overlap_max,
        }
    }

    /// The tiles.
    #[must_use]
    pub const fn tiles(&self) -> &'t [Window] {
        self.tiles
    }

    /// Atoms that have rows.
    #[must_use]
    pub const fn atoms(&self) -> usize {
        self.ends.len()
    }

    /// The rows of the next atom, each once; rows are numbered from 0 as they come.
    pub fn push_atom(&mut self, rows: impl IntoIterator<Item = u32>, row_count: usize) {
        self.rows.extend(rows);
        self.ends.push(self.rows.len() as u32);
        self.levels.grow(row_count);
    }

    /// Adds a stay, or what of it lies in the window.
    ///
    /// # Errors
    /// [`TooManyOverlap`] when the window would have to be shorter.
    pub fn add(&mut self, atom: u32, stay: Stay) -> Result<(), TooManyOverlap> {
        let runs_until = stay.finished_at.min(self.window.end);
        if stay.started_at < runs_until {
            if runs_until <= self.window.start {
                return Ok(());
            }
            self.go_to(runs_until);
            self.rise(Stop { at: stay.started_at, atom, is_wait: false, queued_at: stay.queued_at }, runs_until);
        } else if let Some(queued_at) = stay.queued_at {
            let waits_until = stay.started_at.min(self.window.end);
            if queued_at.max(self.window.start) >= waits_until {
                return Ok(());
            }
            self.go_to(waits_until);
            self.rise(Stop { at: queued_at, atom, is_wait: true, queued_at: None }, waits_until);
        }
        if self.holding.len() > self.overlap_max { Err(TooManyOverlap(self.overlap_max)) } else { Ok(()) }
    }

    /// Goes back to the start of the window; the levels of all tiles.
    #[must_use]
    pub fn finish(mut self) -> Levels<'t> {
        self.go_to(self.window.start);
        self.levels
    }

    /// Bytes that the tiles take that are done.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.levels.size_bytes()
    }

    /// Stops everything that stops at or after `at`, and is done with the tiles that start there or later.
    fn go_to(&mut self, at: Instant) {
        while let Some(next) = self.holding.peek().map(|stop| stop.at).filter(|next| *next >= at) {
            // A tile that starts where this stops still holds it: only later ones are done.
            self.levels.pass(Instant(next.0 + 1));
            while let Some(stop) = self.pop_at(next) {
                self.fall(stop);
                if let Some(queued_at) = stop.queued_at.filter(|queued_at| *queued_at < next) {
                    self.waits.push(Stop { at: queued_at, atom: stop.atom, is_wait: true, queued_at: None });
                }
            }
            // Waits end where runs start. They rise when all that stops here has, else they would seem to meet.
            if !self.waits.is_empty() {
                self.levels.pass(next);
            }
            while let Some(wait) = self.waits.pop() {
                self.rise(wait, next);
            }
        }
        self.levels.pass(at);
    }

    fn pop_at(&mut self, at: Instant) -> Option<Stop> {
        if self.holding.peek()?.at == at { self.holding.pop() } else { None }
    }

    fn rise(&mut self, stop: Stop, at: Instant) {
        let kind = if stop.is_wait { Kind::Waiting } else { Kind::Running };
        for row in range(&self.ends, stop.atom) {
            self.levels.rise(self.rows[row], kind, at);
        }
        // What stops at the start of the window or before it holds to the end of the sweep.
        if stop.at > self.window.start {
            self.holding.push(stop);
        }
    }

    fn fall(&mut self, stop: Stop) {
        let kind = if stop.is_wait { Kind::Waiting } else { Kind::Running };
        for row in range(&self.ends, stop.atom) {
            self.levels.fall(self.rows[row], kind, stop.at);
        }
    }
}

fn range(ends: &[u32], atom: u32) -> std::ops::Range<usize> {
    let start = atom.checked_sub(1).map_or(0, |before| ends[before as usize]);
    start as usize..ends[atom as usize] as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::level::Cell;
    use super::*;

    const ROWS: usize = 4;

    fn windows(bounds: &[i64]) -> Vec<Window> {
        bounds.windows(2).map(|pair| Window::of(pair[0], pair[1])).collect()
    }

    fn stay(queued_at: Option<i64>, started_at: i64, finished_at: i64) -> Stay {
        Stay { queued_at: queued_at.map(Instant), started_at: Instant(started_at), finished_at: Instant(finished_at) }
    }

    /// Every row counts what its atoms have; row 0 counts everything.
    fn swept(tiles: &[Window], atoms: &[Vec<u32>], mut stays: Vec<(u32, Stay)>) -> (Vec<Vec<Cell>>, Vec<u128>) {
        stays.sort_by_key(|(_, stay)| std::cmp::Reverse(stay.finished_at));
        let mut sweep = Sweep::new(tiles, usize::MAX);
        for rows in atoms {
            sweep.push_atom(rows.iter().copied(), ROWS);
        }
        for (atom, stay) in stays {
            sweep.add(atom, stay).unwrap();
        }
        let levels = sweep.finish();
        let rows = 0..ROWS as u32;
        (levels.cells(|row| Some(row as usize), ROWS).unwrap(), rows.map(|row| levels.whole_us(row)).collect())
    }

    /// Instant by instant.
    fn counted(tile: Window, stays: &[Stay]) -> Cell {
        let mut cell = Cell::default();
        for at in (tile.start.0..tile.end.0).map(Instant) {
            let runs = stays.iter().filter(|stay| stay.started_at <= at && at < stay.finished_at).count() as u32;
            let waits = |stay: &&Stay| stay.queued_at.is_some_and(|queued_at| queued_at <= at) && at < stay.started_at;
            let waits = stays.iter().filter(waits).count() as u32;
            cell.running_us += u64::from(runs);
            cell.running_max = cell.running_max.max(runs);
            cell.waiting_us += u64::from(waits);
            cell.waiting_max = cell.waiting_max.max(waits);
        }
        cell
    }

    fn any_stay() -> impl Strategy<Value = Stay> {
        // Few instants, so that bounds meet; some stays have no length.
        (proptest::option::of(0_i64..12), 0_i64..40, prop_oneof![Just(0_i64), 0_i64..12, 0_i64..60])
            .prop_map(|(waited, started, ran)| stay(waited.map(|waited| started - waited), started, started + ran))
    }

    proptest! {
        #[test]
        fn a_sweep_counts_as_one_counts_by_hand(
            stays in proptest::collection::vec((0_u32..5, any_stay()), 0..40),
            bounds in proptest::collection::btree_set(-3_i64..60, 2..8),
            rows in proptest::collection::vec(proptest::collection::btree_set(1_u32..ROWS as u32, 1..3), 5),
        ) {
            let tiles = windows(&bounds.into_iter().collect::<Vec<_>>());
            let window = Window { start: tiles[0].start, end: tiles[tiles.len() - 1].end };
            let atoms: Vec<Vec<u32>> = rows.into_iter().map(|rows| std::iter::once(0).chain(rows).collect()).collect();
            let (cells, wholes) = swept(&tiles, &atoms, stays.clone());
            for row in 0..ROWS {
                let of_row: Vec<Stay> =
                    stays.iter().filter(|(atom, _)| atoms[*atom as usize].contains(&(row as u32))).map(|(_, stay)| *stay).collect();
                let expected: Vec<Cell> = tiles.iter().map(|tile| counted(*tile, &of_row)).collect();
                prop_assert_eq!(&cells[row], &expected, "row {}", row);
                prop_assert_eq!(wholes[row], expected.iter().map(|cell| u128::from(cell.running_us)).sum::<u128>());
                let any = expected.iter().any(|cell| cell.running_us + cell.waiting_us > 0);
                prop_assert_eq!(any, of_row.iter().any(|stay| stay.is_in(window)));
            }
        }
    }

    #[test]
    fn neighbours_never_meet_and_nothing_without_length_counts() {
        let tiles = windows(&[0, 10, 20]);
        let stays = vec![(0, stay(Some(2), 4, 10)), (0, stay(Some(4), 10, 15)), (0, stay(Some(10), 12, 12)), (0, stay(None, 13, 13))];
        let (cells, _) = swept(&tiles, &[vec![0]], stays);
        let first = Cell { running_us: 6, running_max: 1, waiting_us: 8, waiting_max: 1 };
        assert_eq!(cells[0], [first, Cell { running_us: 5, running_max: 1, waiting_us: 2, waiting_max: 1 }]);
    }

    #[test]
    fn what_overlaps_is_bounded() {
        let tiles = windows(&[0, 10]);
        let mut sweep = Sweep::new(&tiles, 1);
        sweep.push_atom([0], 1);
        sweep.add(0, stay(None, 5, 9)).unwrap();
        // Holds to the start of the window, so nothing has to be remembered.
        sweep.add(0, stay(None, 0, 9)).unwrap();
        assert_eq!(sweep.add(0, stay(None, 6, 8)), Err(TooManyOverlap(1)));
    }
}
