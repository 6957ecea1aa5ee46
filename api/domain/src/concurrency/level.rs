//! How many hold at once, row by row and tile by tile, counted backwards in time. Pure.
//!
//! A tile is written down when the count passes its start, one compact block a tile; only rows that the tile touched stand in it.
//! Invariants: instants never ascend; time is summed in whole microseconds; a count is a maximum only where it holds for longer
//! than no time. Must not know: what is counted, where it comes from.

use plimsoll_entity::value::time::{Instant, Window};
use plimsoll_entity::value::varint::{Reader, Truncated, put_u64};

/// What one row has in one tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Sum over the tile of those that run, in microseconds.
    pub running_us: u64,
    /// Largest number that run at once.
    pub running_max: u32,
    /// Sum over the tile of those that wait, in microseconds.
    pub waiting_us: u64,
    /// Largest number that wait at once.
    pub waiting_max: u32,
}

impl Cell {
    /// Adds what the row has in another part of the tile.
    pub fn add(&mut self, other: Self) {
        self.running_us += other.running_us;
        self.running_max = self.running_max.max(other.running_max);
        self.waiting_us += other.waiting_us;
        self.waiting_max = self.waiting_max.max(other.waiting_max);
    }
}

/// Running or waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From start to end.
    Running,
    /// From the queue to the start.
    Waiting,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    count: u32,
    max: u32,
    since: i64,
    sum_us: u64,
}

impl Level {
    const fn new(at: i64) -> Self {
        Self { count: 0, max: 0, since: at, sum_us: 0 }
    }

    const fn reach(&mut self, at: i64) {
        self.sum_us += self.count as u64 * (self.since - at) as u64;
        self.since = at;
    }

    fn rise(&mut self, at: i64) {
        self.reach(at);
        self.count += 1;
        self.max = self.max.max(self.count);
    }

    const fn fall(&mut self, at: i64) {
        self.reach(at);
        self.count -= 1;
    }

    /// The sum and maximum of the tile that starts at `at`; the next begins with those that hold on.
    const fn take(&mut self, at: i64) -> (u64, u32) {
        self.reach(at);
        let taken = (self.sum_us, self.max);
        (self.sum_us, self.max) = (0, self.count);
        taken
    }
}

#[derive(Clone, Debug)]
struct Row {
    running: Level,
    waiting: Level,
    touched: bool,
    /// Those that run, over the whole window.
    whole_us: u128,
}

/// The counts of all rows.
#[derive(Debug)]
pub struct Levels<'t> {
    tiles: &'t [Window],
    /// The tile that is being counted; as many as there are: the count is at its end.
    tile: usize,
    rows: Vec<Row>,
    touched: Vec<u32>,
    /// A block a tile, the last tile first.
    blocks: Vec<Vec<u8>>,
    /// Bytes of the blocks.
    size_bytes: usize,
}

impl<'t> Levels<'t> {
    /// No rows yet, at the end of the last tile.
    #[must_use]
    pub const fn new(tiles: &'t [Window]) -> Self {
        Self { tiles, tile: tiles.len(), rows: Vec::new(), touched: Vec::new(), blocks: Vec::new(), size_bytes: 0 }
    }

    /// Makes room for this many rows.
    pub fn grow(&mut self, rows: usize) {
        let level = Level::new(self.tiles.last().map_or(0, |tile| tile.end.0));
        self.rows.resize(rows, Row { running: level, waiting: level, touched: false, whole_us: 0 });
    }

    /// Bytes that the tiles take that are done.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Writes down the tiles that start at or after `at`.
    pub fn pass(&mut self, at: Instant) {
        while let Some(start) = self.current_start()
            && start >= at.0
        {
            self.write(start);
        }
    }

    /// One more holds in a row before `at`. Tiles that start there or later must have been passed.
    pub fn rise(&mut self, row: u32, kind: Kind, at: Instant) {
        let counted = &mut self.rows[row as usize];
        if !counted.touched {
            // Nothing held since: the levels stand where they last changed.
            counted.touched = true;
            self.touched.push(row);
        }
        counted.level(kind).rise(at.0);
    }

    /// One less holds in a row before `at`.
    pub fn fall(&mut self, row: u32, kind: Kind, at: Instant) {
        self.rows[row as usize].level(kind).fall(at.0);
    }

    /// Those that run in a row, summed over the window in microseconds, once everything has been passed.
    #[must_use]
    pub fn whole_us(&self, row: u32) -> u128 {
        self.rows[row as usize].whole_us
    }

    /// The cells of some rows, a tile after the other; `place` says where a row stands among those.
    ///
    /// # Errors
    /// [`Truncated`] when a block is damaged.
    pub fn cells(&self, place: impl Fn(u32) -> Option<usize>, places: usize) -> Result<Vec<Vec<Cell>>, Truncated> {
        let mut cells = vec![vec![Cell::default(); self.tiles.len()]; places];
        for (block, tile) in self.blocks.iter().zip((0..self.tiles.len()).rev()) {
            let mut reader = Reader::new(block);
            while !reader.is_empty() {
                let row = reader.u32()?;
                let cell =
                    Cell { running_us: reader.u64()?, running_max: reader.u32()?, waiting_us: reader.u64()?, waiting_max: reader.u32()? };
                if let Some(place) = place(row) {
                    cells[place][tile] = cell;
                }
            }
        }
        Ok(cells)
    }

    fn current_start(&self) -> Option<i64> {
        self.tile.checked_sub(1).map(|tile| self.tiles[tile].start.0)
    }

    fn write(&mut self, start: i64) {
        let mut block = Vec::new();
        let mut touched = std::mem::take(&mut self.touched);
        touched.retain(|row| {
            let counted = &mut self.rows[*row as usize];
            let ((running_us, running_max), (waiting_us, waiting_max)) = (counted.running.take(start), counted.waiting.take(start));
            counted.whole_us += u128::from(running_us);
            if running_us > 0 || waiting_us > 0 {
                put_u64(&mut block, u64::from(*row));
                put_u64(&mut block, running_us);
                put_u64(&mut block, u64::from(running_max));
                put_u64(&mut block, waiting_us);
                put_u64(&mut block, u64::from(waiting_max));
            }
            counted.touched = counted.running.count > 0 || counted.waiting.count > 0;
            counted.touched
        });
        self.touched = touched;
        block.shrink_to_fit();
        self.size_bytes += block.len();
        self.blocks.push(block);
        self.tile -= 1;
    }
}

impl Row {
    const fn level(&mut self, kind: Kind) -> &mut Level {
        match kind {
            Kind::Running => &mut self.running,
            Kind::Waiting => &mut self.waiting,
        }
    }
}
