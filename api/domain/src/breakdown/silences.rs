//! Gaps between machine samples for a question: those of its window, and the samples before it that decide how it begins.
//!
//! The window is read in steps, whose edges are put together here. The last sample before the window is nearly always one of the
//! last hour; for machines that are silent for longer the day cells tell on which day to look for it.
//! Invariant: memory is bounded by machines and gaps, never by samples. Must not know: what a gap means.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, Step, Window};

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::Reading;
use super::filter::Filter;
use super::gather::{Gathered, Gathering};
use crate::cell::part::{Family, KeyColumn, Part};
use crate::cell::plan::Coarseness;
use crate::machine::availability::Gap;

/// Length of one step through a window: what the database sorts at a time.
const STEP_US: i64 = 6 * HOUR_US;
/// How far the first look for the last sample before a window goes.
const FIRST_LOOK_US: i64 = HOUR_US;
/// Gaps that one question may gather before it is told to ask for less.
const GAPS_MAX: usize = 2_000_000;

/// What a question needs to know of samples.
#[derive(Debug)]
pub struct SilenceQuestion<'a> {
    /// The window, up to what is known.
    pub window: Window,
    /// Only these machines; none: all.
    pub vms: Option<&'a [u32]>,
    /// For a machine the stretch before the window of which the last sample is wanted.
    pub before: BTreeMap<u32, Window>,
    /// The coarsest cells that may be used.
    pub coarseness: Coarseness,
}

/// The long gaps of each machine, in order of time.
///
/// # Errors
/// [`BreakdownError`] when there are too many or the store fails.
pub async fn gaps(reading: &Reading, asked: SilenceQuestion<'_>) -> Result<BTreeMap<u32, Vec<Gap>>, BreakdownError> {
    let since = reading.snapshot.kept().samples_since;
    // The last sample of each machine so far.
    let mut last = last_before(reading, asked.before, asked.coarseness).await?;
    let mut gaps: BTreeMap<u32, Vec<Gap>> = BTreeMap::new();
    let (mut start, mut count) = (asked.window.start, 0);
    while start < asked.window.end {
        let end = Instant(start.0.saturating_add(STEP_US)).min(asked.window.end);
        for edge in reading.snapshot.sample_edge_list(Window { start, end }, asked.vms).await? {
            let before = if edge.is_first { last.remove(&edge.vm_id) } else { None };
            let before = before.map(|gap| joined(gap, edge.gap, since));
            if edge.gap.next_at.is_none() {
                last.insert(edge.vm_id, edge.gap);
            }
            let found = before.into_iter().chain(edge.gap.next_at.map(|_| edge.gap)).filter(Gap::is_long);
            let of_vm = gaps.entry(edge.vm_id).or_default();
            let known = of_vm.len();
            of_vm.extend(found);
            count += of_vm.len() - known;
        }
        if count > GAPS_MAX {
            return Err(BreakdownError::Limit(format!("samples have more than {GAPS_MAX} gaps: ask for a shorter window")));
        }
        start = end;
    }
    for (vm, gap) in last {
        gaps.entry(vm).or_default().push(gap);
    }
    Ok(gaps)
}

/// The gap from the last sample before to the first of a step. Where the last sample is gone only its day is known, and no interval: the
/// gap is as long as it must be at least, by the interval of what came next, and counts from the horizon on.
fn joined(before: Gap, next: Gap, since: Instant) -> Gap {
    if before.sampled_at >= since {
        return Gap { next_at: Some(next.sampled_at), ..before };
    }
    let silent_us = next.silent_at.0 - next.sampled_at.0;
    let silent_at = Instant(before.sampled_at.0.max(since.0 - 1).saturating_add(silent_us));
    Gap { silent_at, next_at: Some(next.sampled_at), ..before }
}

/// The last sample of each machine in a stretch of its own, as a gap without an end.
async fn last_before(
    reading: &Reading,
    mut wanted: BTreeMap<u32, Window>,
    coarseness: Coarseness,
) -> Result<BTreeMap<u32, Gap>, BreakdownError> {
    let mut found = BTreeMap::new();
    let Some(end) = wanted.values().map(|stretch| stretch.end).max() else { return Ok(found) };
    let near: Vec<u32> = wanted.iter().filter(|(_, stretch)| stretch.end == end).map(|(vm, _)| *vm).collect();
    look(reading, Window { start: Instant(end.0 - FIRST_LOOK_US), end }, &near, &mut wanted, &mut found).await?;
    let mut days = sampled_days(reading, &wanted, coarseness).await?;
    // Newest day first: who is found is looked for no longer.
    while let Some((day, vms)) = days.pop_last() {
        if day < reading.snapshot.kept().samples_since {
            // The samples are gone. That day's end is the latest at which the last of them may have been.
            for vm in vms {
                if wanted.remove(&vm).is_some() {
                    found.insert(vm, Gap::after(Instant(day.next(Step::Day).0 - 1), 0.0, None));
                }
            }
            continue;
        }
        let mut by_end: BTreeMap<Instant, Vec<u32>> = BTreeMap::new();
        for vm in vms {
            if let Some(stretch) = wanted.get(&vm) {
                by_end.entry(stretch.end.min(day.next(Step::Day))).or_default().push(vm);
            }
        }
        for (end, vms) in by_end {
            look(reading, Window { start: day, end }, &vms, &mut wanted, &mut found).await?;
        }
    }
    Ok(found)
}

/// Looks for the last samples of some machines in a window that ends where or before their stretches end.
async fn look(
    reading: &Reading,
    window: Window,
    vms: &[u32],
    wanted: &mut BTreeMap<u32, Window>,
    found: &mut BTreeMap<u32, Gap>,
) -> Result<(), BreakdownError> {
    // Who was last sampled before is known by its day.
    let window = Window { start: window.start.max(reading.snapshot.kept().samples_since), end: window.end };
    if vms.is_empty() || window.length_us() == 0 {
        return Ok(());
    }
    let among: BTreeSet<u32> = vms.iter().copied().collect();
    for edge in reading.snapshot.sample_edge_list(window, Some(vms)).await? {
        let is_last = edge.gap.next_at.is_none() && among.contains(&edge.vm_id);
        if is_last && wanted.get(&edge.vm_id).is_some_and(|stretch| stretch.contains(edge.gap.sampled_at)) {
            wanted.remove(&edge.vm_id);
            found.insert(edge.vm_id, edge.gap);
        }
    }
    Ok(())
}

/// Machines that sent samples, by the first instant of each UTC day of their stretches.
async fn sampled_days(
    reading: &Reading,
    wanted: &BTreeMap<u32, Window>,
    coarseness: Coarseness,
) -> Result<BTreeMap<Instant, Vec<u32>>, BreakdownError> {
    let (starts, ends) = (wanted.values().map(|stretch| stretch.start), wanted.values().map(|stretch| stretch.end));
    let (Some(start), Some(end)) = (starts.min(), ends.max()) else { return Ok(BTreeMap::new()) };
    let first = Instant(i64::from(start.day()) * DAY_US);
    let tiles = Window { start: first, end: end.next(Step::Day) }.tiles(Step::Day);
    let filter = Filter { columns: [(KeyColumn::Vm as usize, wanted.keys().copied().collect())].into(), ..Filter::default() };
    let gathering = Gathering { tiles: &tiles, by: &[Dimension::Vm], filter: &filter, parts: &[Part::Samples], coarseness };
    let mut gathered = Gathered::default();
    gathered.read(reading.sources(), &gathering, Some(Family::VmSample)).await?;
    let mut days: BTreeMap<Instant, Vec<u32>> = BTreeMap::new();
    for atom in &gathered.atoms {
        let (day, vm) = (tiles[atom.tile as usize], atom.ids[0]);
        if wanted.get(&vm).is_some_and(|stretch| stretch.start < day.end && day.start < stretch.end) {
            days.entry(day.start).or_default().push(vm);
        }
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::time::{MINUTE_US, SECOND_US};

    use super::*;

    #[test]
    fn a_dropped_sample_is_no_silence_unless_the_next_comes_late() {
        let since = Instant(10 * DAY_US);
        let gone = Gap::after(Instant(since.0 - 1), 0.0, None);
        let next = |us: i64| joined(gone, Gap::after(Instant(since.0 + us), 60.0, None), since);
        assert!(!next(20 * SECOND_US).is_long() && !next(2 * MINUTE_US).is_long());
        let late = next(10 * MINUTE_US);
        assert!(late.is_long());
        assert_eq!((late.silent_at, late.next_at), (Instant(since.0 - 1 + 3 * MINUTE_US), Some(Instant(since.0 + 10 * MINUTE_US))));
        // A sample that is there has an interval of its own.
        let kept = Gap::after(since, 10.0, None);
        assert!(joined(kept, Gap::after(Instant(since.0 + MINUTE_US), 60.0, None), since).is_long());
    }
}
