//! Past hours, counted once for the sets of dimensions that are asked about most. Pure.
//!
//! The block of an hour holds, for each set, its bytes and then its rows in order of their ids: machine and combination (0 where the
//! set does not have them, the machine as the difference to the row before), then time and largest number of those that ran and
//! waited; all varints. Invariant: what is kept of an hour is what a sweep over it counts. Must not know: the database, names.

use std::collections::BTreeMap;

use plimsoll_entity::value::time::Window;
use plimsoll_entity::value::varint::{Reader, Truncated, put_u64};

use super::level::Cell;
use super::sweep::{Stay, Sweep, TooManyOverlap};
use crate::breakdown::dimension::Dimension;
use crate::cell::part::KeyColumn;
use crate::store::{ExecutionSpan, ReachingHour};

/// The sets of dimensions that hours are counted for.
const SETS: [&[Dimension]; 4] = [&[], &[Dimension::Vm], &[Dimension::Combination], &[Dimension::Vm, Dimension::Combination]];

/// The set without dimensions, whose one row is everything.
pub const EVERYTHING: usize = 0;

/// What a row is about; 0 where unknown or not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairIds {
    /// Machine.
    pub vm: u32,
    /// Combination.
    pub combination: u32,
}

impl std::hash::Hash for PairIds {
    // One round in place of two: there are millions to look up.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.vm) << 32 | u64::from(self.combination));
    }
}

/// Which set has these dimensions, in whatever order; none: hours are not counted for them.
#[must_use]
pub fn set_of(by: &[Dimension]) -> Option<usize> {
    SETS.iter().position(|set| set.len() == by.len() && by.iter().all(|dimension| set.contains(dimension)))
}

/// How many executions waited or ran in each of the hours `from..to` or may have.
#[must_use]
pub fn reach_sums(hours: &[ReachingHour], from: i32, to: i32) -> BTreeMap<i32, i64> {
    // Rises where an hour's executions begin to reach, falls behind it.
    let mut changes: BTreeMap<i32, i64> = BTreeMap::new();
    for reaching in hours {
        let (first, behind) = (reaching.earliest_at.hour().max(from), reaching.hour.saturating_add(1).min(to));
        if first < behind {
            *changes.entry(first).or_default() += reaching.executions;
            *changes.entry(behind).or_default() -= reaching.executions;
        }
    }
    let (mut sums, mut sum) = (BTreeMap::new(), 0);
    let ends = changes.keys().skip(1).copied().chain([to]).collect::<Vec<_>>();
    for ((first, change), end) in changes.iter().zip(ends) {
        sum += change;
        if sum > 0 {
            sums.extend((*first..end).map(|hour| (hour, sum)));
        }
    }
    sums
}

/// Why an hour cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotCount {
    /// A question about it would be refused as well.
    #[error(transparent)]
    TooMany(#[from] TooManyOverlap),
    /// What was swept is damaged.
    #[error("what was swept cannot be read")]
    Damaged(#[from] Truncated),
}

/// Counts an hour of the executions that reach into it, the latest end first.
///
/// # Errors
/// [`CannotCount`] when more than `overlap_max` hold at once.
pub fn count_hour(hour: i32, executions: impl Iterator<Item = ExecutionSpan>, overlap_max: usize) -> Result<Vec<u8>, CannotCount> {
    let tiles = [Window::of_hour(hour)];
    let mut sweep = Sweep::new(&tiles, overlap_max);
    let mut rows: [BTreeMap<PairIds, u32>; SETS.len()] = Default::default();
    let (mut atoms, mut row_count): (BTreeMap<PairIds, u32>, u32) = (BTreeMap::new(), 0);
    for span in executions {
        let stay = Stay { queued_at: span.queued_at, started_at: span.started_at, finished_at: span.finished_at };
        if !stay.is_in(tiles[0]) {
            continue;
        }
        let ids = PairIds { vm: span.key[KeyColumn::Vm as usize], combination: span.key[KeyColumn::Combination as usize] };
        let next = atoms.len() as u32;
        let atom = *atoms.entry(ids).or_insert(next);
        if atom == next {
            let mut of_atom = [0; SETS.len()];
            for ((of_set, set), rows) in of_atom.iter_mut().zip(SETS).zip(&mut rows) {
                *of_set = *rows.entry(projected(ids, set)).or_insert_with(|| {
                    row_count += 1;
                    row_count - 1
                });
            }
            sweep.push_atom(of_atom, row_count as usize);
        }
        sweep.add(atom, stay)?;
    }
    let levels = sweep.finish();
    let cells = levels.cells(|row| Some(row as usize), row_count as usize)?;
    let cell = |row: u32| cells.get(row as usize).and_then(|cells| cells.first()).copied().unwrap_or_default();
    let mut out = Vec::new();
    for rows in &rows {
        let of_set = encode(rows.iter().map(|(ids, row)| (*ids, cell(*row))));
        put_u64(&mut out, of_set.len() as u64);
        out.extend(of_set);
    }
    Ok(out)
}

fn projected(ids: PairIds, set: &[Dimension]) -> PairIds {
    let kept = |id: u32, dimension: Dimension| if set.contains(&dimension) { id } else { 0 };
    PairIds { vm: kept(ids.vm, Dimension::Vm), combination: kept(ids.combination, Dimension::Combination) }
}

fn encode(rows: impl Iterator<Item = (PairIds, Cell)>) -> Vec<u8> {
    let (mut out, mut before) = (Vec::new(), 0);
    for (PairIds { vm, combination }, cell) in rows {
        put_u64(&mut out, u64::from(vm - before));
        put_u64(&mut out, u64::from(combination));
        put_u64(&mut out, cell.running_us);
        put_u64(&mut out, u64::from(cell.running_max));
        put_u64(&mut out, cell.waiting_us);
        put_u64(&mut out, u64::from(cell.waiting_max));
        before = vm;
    }
    out
}

/// Gives each row of a set to `take`.
///
/// # Errors
/// [`Truncated`] when the block is damaged.
pub fn rows_of(block: &[u8], set: usize, mut take: impl FnMut(PairIds, Cell)) -> Result<(), Truncated> {
    let mut reader = Reader::new(block);
    for _ in 0..set {
        let length = reader.u64()? as usize;
        reader.take(length)?;
    }
    let length = reader.u64()? as usize;
    let mut reader = Reader::new(reader.take(length)?);
    let mut vm: u32 = 0;
    while !reader.is_empty() {
        vm = vm.checked_add(reader.u32()?).ok_or(Truncated)?;
        let ids = PairIds { vm, combination: reader.u32()? };
        take(ids, Cell { running_us: reader.u64()?, running_max: reader.u32()?, waiting_us: reader.u64()?, waiting_max: reader.u32()? });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::time::{HOUR_US, Instant};

    use super::*;
    use crate::cell::part::KEY_WIDTH;

    fn span(vm: u32, combination: u32, started: i64, finished: i64) -> ExecutionSpan {
        let mut key = [0; KEY_WIDTH];
        (key[KeyColumn::Vm as usize], key[KeyColumn::Combination as usize]) = (vm, combination);
        let at = |us: i64| Instant(10 * HOUR_US + us);
        ExecutionSpan { finished_at: at(finished), started_at: at(started), queued_at: Some(at(started - 5)), key }
    }

    fn told(block: &[u8], set: usize) -> Vec<([u32; 2], u64, u32)> {
        let mut rows = Vec::new();
        rows_of(block, set, |ids, cell| rows.push(([ids.vm, ids.combination], cell.running_us, cell.running_max))).unwrap();
        rows
    }

    #[test]
    fn an_hour_is_counted_for_every_set() {
        let spans = [span(7, 2, 50, 2 * HOUR_US), span(3, 1, 20, 60), span(7, 1, 10, 40), span(7, 1, -9, -1)];
        let block = count_hour(10, spans.into_iter(), usize::MAX).unwrap();
        let rest = (HOUR_US - 50) as u64;
        assert_eq!(told(&block, 0), [([0, 0], rest + 70, 2)]);
        assert_eq!(told(&block, 1), [([3, 0], 40, 1), ([7, 0], rest + 30, 1)]);
        assert_eq!(told(&block, 2), [([0, 1], 70, 2), ([0, 2], rest, 1)]);
        assert_eq!(told(&block, 3), [([3, 1], 40, 1), ([7, 1], 30, 1), ([7, 2], rest, 1)]);
        assert!(rows_of(&block[..block.len() - 1], 3, |_, _| ()).is_err());
        assert!(count_hour(10, spans.into_iter(), 1).is_err());
    }

    #[test]
    fn dimensions_are_sets() {
        assert_eq!(set_of(&[Dimension::Combination, Dimension::Vm]), set_of(&[Dimension::Vm, Dimension::Combination]));
        assert_eq!((set_of(&[]), set_of(&[Dimension::User]), set_of(&[Dimension::Vm, Dimension::User])), (Some(0), None, None));
    }

    #[test]
    fn what_reaches_into_an_hour_is_summed() {
        let reaching = |hour: i32, earliest: i32, executions| ReachingHour {
            hour,
            earliest_at: Instant(i64::from(earliest) * HOUR_US + 7),
            executions,
            is_packed: true,
        };
        let sums = reach_sums(&[reaching(3, 3, 5), reaching(5, 4, 7), reaching(9, 1, 1)], 3, 8);
        assert_eq!(sums.into_iter().collect::<Vec<_>>(), [(3, 6), (4, 8), (5, 8), (6, 1), (7, 1)]);
    }
}
