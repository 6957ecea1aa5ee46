//! What has been read and not been delivered yet.
//!
//! Every line passes through here: it is put in, handed out in a [`Batch`], and leaves when the batch is settled. With a
//! spool it is on disk from the first moment on, so that a killed process loses nothing; without one, or while the disk
//! does not take anything, it waits in memory.
//!
//! Invariants: lines leave in the order in which they came; one batch is out at a time; memory and disk are bounded, the
//! oldest go first, and how many went is counted and said. Must not know: where lines are delivered to.

use std::collections::VecDeque;

use crate::collector::chain;
use crate::condition::{Condition, Tally};
use crate::reading::Reading;
use crate::spool::{Position, Spool};

/// Lines that wait in memory at most; a GPU machine makes about ten a tick.
pub const MEMORY_LINES_MAX: usize = 4_096;
/// Lines of a batch at most.
pub const BATCH_LINES_MAX: usize = 1_000;
/// Bytes of a batch, about; the server takes 64 MiB.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Lines written to the disk at once, which even the smallest spool has room for.
const SPILL_LINES_MAX: usize = 64;

/// Whole NDJSON lines, delivered together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    ndjson: String,
    line_count: usize,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Disk(Position),
    Memory,
}

impl Batch {
    /// The lines, each with its newline: the body of `POST /ingest`.
    #[must_use]
    pub fn as_ndjson(&self) -> &str {
        &self.ndjson
    }

    /// How many lines there are, at least one.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.line_count
    }

    /// The lines one by one, without their newlines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.ndjson.lines()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Backlog {
    disk: Option<Spool>,
    /// Oldest first, all newer than what is on disk.
    memory: VecDeque<String>,
    /// A batch from memory is out; until it is settled nothing newer may go to the disk.
    memory_batch_out: bool,
    disk_writable: Condition,
    dropped_lines: Tally,
}

impl Backlog {
    /// Keeps lines in memory only, as within a server that needs no protection from itself.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Keeps lines in a spool, and in memory while that takes none.
    #[must_use]
    pub fn on_disk(spool: Spool) -> Self {
        Self { disk: Some(spool), ..Self::default() }
    }

    /// Lines that wait, those of a batch on disk that is out included.
    #[must_use]
    pub fn line_count(&self) -> u64 {
        self.disk.as_ref().map_or(0, Spool::line_count) + self.memory.len() as u64
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.line_count() == 0
    }

    /// Lines that had to go since the start.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.dropped_lines.count()
    }

    /// Takes readings in.
    pub fn push(&mut self, readings: &[Reading]) {
        if readings.is_empty() {
            return;
        }
        self.memory.extend(readings.iter().map(Reading::to_json_line));
        self.spill();
        self.bound_memory();
        self.count_spool_drops();
    }

    /// The oldest lines, at most `max_lines`. They must be settled before the next batch is asked for.
    pub fn next_batch(&mut self, max_lines: usize) -> Option<Batch> {
        let batch = self.next_from_disk(max_lines).or_else(|| self.next_from_memory(max_lines));
        self.count_spool_drops();
        batch
    }

    /// The lines of the batch are done with.
    pub fn finish(&mut self, batch: Batch) {
        match batch.origin {
            Origin::Memory => self.memory_batch_out = false,
            Origin::Disk(position) => {
                if let Some(spool) = &mut self.disk {
                    spool.acknowledge(position);
                }
            }
        }
    }

    /// The lines of the batch go back to where they were.
    pub fn put_back(&mut self, batch: Batch) {
        match batch.origin {
            Origin::Memory => {
                self.memory_batch_out = false;
                for line in batch.ndjson.split_inclusive('\n').rev() {
                    self.memory.push_front(line.to_owned());
                }
                self.bound_memory();
            }
            Origin::Disk(_) => {
                if let Some(spool) = &mut self.disk {
                    spool.release();
                }
            }
        }
    }

    /// Brings what waits to the device before the process ends, and says what waits in memory and is lost with it.
    pub fn close(mut self) -> u64 {
        self.spill();
        if let Some(spool) = &mut self.disk
            && let Err(error) = spool.sync()
        {
            tracing::warn!(error = chain(&error), "the spool could not be synced");
        }
        self.count_drops(self.memory.len() as u64);
        self.dropped_lines.count()
    }

    /// Moves what waits in memory to the disk, as far as that takes it.
    fn spill(&mut self) {
        let Some(spool) = self.disk.as_mut().filter(|_| !self.memory_batch_out) else { return };
        while !self.memory.is_empty() {
            let line_count = self.memory.len().min(SPILL_LINES_MAX);
            let ndjson: String = self.memory.iter().take(line_count).map(String::as_str).collect();
            if let Err(error) = spool.append(&ndjson, line_count) {
                let fault = chain(&error);
                if self.disk_writable.fails(&fault) {
                    tracing::warn!(error = fault, "the spool takes no lines, they wait in memory");
                }
                return;
            }
            self.memory.drain(..line_count);
            if self.disk_writable.recovers() {
                tracing::info!("the spool takes lines again");
            }
        }
    }

    fn next_from_disk(&mut self, max_lines: usize) -> Option<Batch> {
        let spool = self.disk.as_mut()?;
        loop {
            match spool.peek(max_lines, BATCH_BYTES_MAX) {
                Ok(lines) => {
                    let lines = lines?;
                    return Some(Batch { ndjson: lines.ndjson, line_count: lines.line_count, origin: Origin::Disk(lines.position) });
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "a segment of the spool cannot be read and is given up");
                    spool.give_up_oldest();
                }
            }
        }
    }

    fn next_from_memory(&mut self, max_lines: usize) -> Option<Batch> {
        let line_count = self.memory.len().min(max_lines);
        if line_count == 0 {
            return None;
        }
        self.memory_batch_out = true;
        let ndjson = self.memory.drain(..line_count).collect();
        Some(Batch { ndjson, line_count, origin: Origin::Memory })
    }

    fn bound_memory(&mut self) {
        let surplus = self.memory.len().saturating_sub(MEMORY_LINES_MAX);
        self.memory.drain(..surplus);
        self.count_drops(surplus as u64);
    }

    fn count_spool_drops(&mut self) {
        let lines = self.disk.as_mut().map_or(0, Spool::take_dropped_lines);
        self.count_drops(lines);
    }

    /// A backlog that stays full must not fill the log, so drops are said whenever their number has doubled.
    fn count_drops(&mut self, lines: u64) {
        if self.dropped_lines.add(lines) {
            tracing::error!(lines = self.dropped_lines.count(), "lines had to be dropped, the oldest first");
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::reading::VmSample;
    use crate::spool::MAX_BYTES_MIN;

    fn reading(number: usize) -> Reading {
        Reading::VmSample(VmSample::empty(format!("vm-{number}"), DateTime::UNIX_EPOCH, 1.0))
    }

    fn readings(numbers: std::ops::Range<usize>) -> Vec<Reading> {
        numbers.map(reading).collect()
    }

    fn text(numbers: std::ops::Range<usize>) -> String {
        numbers.map(|number| reading(number).to_json_line()).collect()
    }

    #[test]
    fn memory_keeps_the_order_over_a_failed_delivery() {
        let mut backlog = Backlog::in_memory();
        backlog.push(&readings(0..5));
        let batch = backlog.next_batch(3).unwrap();
        assert_eq!((batch.as_ndjson(), batch.line_count(), batch.lines().count()), (text(0..3).as_str(), 3, 3));
        backlog.push(&readings(5..6));
        backlog.put_back(batch);
        let batch = backlog.next_batch(BATCH_LINES_MAX).unwrap();
        assert_eq!(batch.as_ndjson(), text(0..6));
        backlog.finish(batch);
        assert_eq!(backlog.next_batch(1), None);
    }

    #[test]
    fn memory_is_bounded_and_counts_what_goes() {
        let mut backlog = Backlog::in_memory();
        backlog.push(&readings(0..MEMORY_LINES_MAX + 10));
        assert_eq!((backlog.line_count(), backlog.dropped_lines()), (MEMORY_LINES_MAX as u64, 10));
        let batch = backlog.next_batch(1).unwrap();
        assert_eq!(batch.as_ndjson(), text(10..11));
        backlog.push(&readings(0..1));
        backlog.put_back(batch);
        assert_eq!((backlog.line_count(), backlog.dropped_lines()), (MEMORY_LINES_MAX as u64, 11));
        assert_eq!(backlog.close(), 11 + MEMORY_LINES_MAX as u64, "what is in memory at the end is lost");
    }

    #[test]
    fn a_disk_that_takes_nothing_is_stood_in_for_by_memory() {
        let dir = tempfile::tempdir().unwrap();
        let spool_dir = dir.path().join("spool");
        let mut backlog = Backlog::on_disk(Spool::open(&spool_dir, MAX_BYTES_MIN).unwrap());
        std::fs::remove_dir_all(&spool_dir).unwrap();
        backlog.push(&readings(0..2));
        assert_eq!((backlog.memory.len(), backlog.line_count()), (2, 2));
        let batch = backlog.next_batch(1).unwrap();

        std::fs::create_dir(&spool_dir).unwrap();
        backlog.push(&readings(2..3));
        assert_eq!(backlog.memory.len(), 2, "nothing newer may overtake the batch that is out");
        backlog.put_back(batch);
        backlog.push(&readings(3..4));
        assert_eq!((backlog.memory.len(), backlog.line_count()), (0, 4));
        assert_eq!(backlog.next_batch(BATCH_LINES_MAX).unwrap().as_ndjson(), text(0..4));
    }

    #[test]
    fn a_closed_backlog_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut backlog = Backlog::on_disk(Spool::open(dir.path(), MAX_BYTES_MIN).unwrap());
        backlog.push(&readings(0..3));
        let batch = backlog.next_batch(2).unwrap();
        backlog.finish(batch);
        assert_eq!(backlog.close(), 0);
        let mut backlog = Backlog::on_disk(Spool::open(dir.path(), MAX_BYTES_MIN).unwrap());
        // How far a segment had been sent is not kept: sending a line again is safe, losing one is not.
        assert_eq!(backlog.next_batch(BATCH_LINES_MAX).unwrap().as_ndjson(), text(0..3));
    }
}
