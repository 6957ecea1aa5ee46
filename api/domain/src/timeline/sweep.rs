//! One sweep over the slots of a machine for as long as it is held with one shape: who held each slot when, and who left it idle.
//!
//! At an instant at which k executions hold a slot each gets 1/k of it (contract, "Money", 3). The share of an execution is the
//! integral of 1/k over its time, so shares are kept exact, in units of 1 / `denominator` microseconds.
//! Invariant: the weights of the parts of a slot add up to its held time, to the last unit. O(n log n). Pure.

use num_bigint::BigInt;
use num_integer::Integer as _;
use plimsoll_entity::value::time::{Instant, Window};
use uuid::Uuid;

use crate::cell::part::Key;

/// An execution, or a job that runs, on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub id: Uuid,
    /// Start.
    pub started_at: Instant,
    /// End.
    pub finished_at: Instant,
    /// GPU indices that it named, ascending; none: it holds every slot.
    pub gpus: Vec<u16>,
    /// Everything that it is counted by.
    pub key: Key,
    /// `checkpointLoadMs` and `modelInitMs` in microseconds, 0 where unknown.
    pub phases_us: [i64; 2],
}

impl Holder {
    /// Whether it holds a slot of a machine with so many.
    #[must_use]
    pub fn holds(&self, slot: u32, slots: u32) -> bool {
        let named = |slot: u32| self.gpus.iter().any(|gpu| u32::from(*gpu) == slot);
        // Indices that the machine does not have name nothing.
        named(slot) || !self.gpus.iter().any(|gpu| u32::from(*gpu) < slots)
    }

    /// Number of slots that it holds.
    #[must_use]
    pub fn slots_held(&self, slots: u32) -> u32 {
        (0..slots).filter(|slot| self.holds(*slot, slots)).count() as u32
    }

    /// The lowest slot that it holds.
    #[must_use]
    pub fn lowest_slot(&self, slots: u32) -> u32 {
        (0..slots).find(|slot| self.holds(*slot, slots)).unwrap_or(0)
    }

    /// The boundaries of its phases: load, init, inference (contract, "Money", 3).
    fn phases(&self) -> [(Phase, Instant, Instant); 3] {
        let duration_us = self.finished_at.0 - self.started_at.0;
        let load_us = self.phases_us[0].clamp(0, duration_us);
        let init_us = self.phases_us[1].clamp(0, duration_us - load_us);
        let loaded = Instant(self.started_at.0 + load_us);
        let ready = Instant(loaded.0 + init_us);
        [(Phase::Load, self.started_at, loaded), (Phase::Init, loaded, ready), (Phase::Inference, ready, self.finished_at)]
    }
}

/// What a part of a slot's time was spent on, in the order in which equal remainders are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Loading checkpoints.
    Load,
    /// Initialising the model.
    Init,
    /// Inference.
    Inference,
    /// Nobody held the slot; somebody had.
    Idle,
    /// Nobody held the slot, and nobody is to blame.
    Overhead,
}

/// Who finished last on a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// End.
    pub finished_at: Instant,
    /// Its id: decides between equal ends.
    pub id: Uuid,
    /// Its start.
    pub started_at: Instant,
    /// Everything that it is counted by.
    pub key: Key,
}

/// A stretch in which the machine is held with one shape, in one life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The stretch.
    pub window: Window,
    /// When its life began.
    pub life_began_at: Instant,
    /// Slots.
    pub slots: u32,
    /// Stretches in state RUNNING, ascending.
    pub running: Vec<Window>,
}

/// A part of a slot's held time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The slot.
    pub slot: u32,
    /// What it was spent on.
    pub phase: Phase,
    /// Whose it is: the execution's, or that of the cause of the idle time; none for overhead.
    pub owner: Option<Owner>,
    /// Time in units of 1 / `denominator` microseconds.
    pub weight: BigInt,
}

/// Whose a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Start of the execution.
    pub started_at: Instant,
    /// Its id.
    pub id: Uuid,
    /// Everything that it is counted by.
    pub key: Key,
}

/// What a sweep gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The parts, by slot.
    pub parts: Vec<Part>,
    /// Units of a microsecond.
    pub denominator: BigInt,
    /// Time in which each slot was held by somebody while RUNNING, microseconds.
    pub busy_us: Vec<i64>,
}

/// Time without a change in the number of holders.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start: Instant,
    end: Instant,
    holders: u32,
}

/// Sweeps one segment. `causes` holds who finished last on each slot before it, and then who did up to its end.
#[must_use]
pub fn sweep(segment: &Segment, holders: &[Holder], causes: &mut Vec<Option<Cause>>) -> Swept {
    causes.resize(segment.slots as usize, None);
    causes.iter_mut().for_each(|cause| {
        // What ended before this life is not to blame.
        cause.take_if(|cause| cause.finished_at < segment.life_began_at);
    });
    let on_slots: Vec<Vec<&Holder>> =
        (0..segment.slots).map(|slot| holders.iter().filter(|holder| holder.holds(slot, segment.slots)).collect()).collect();
    let stretches: Vec<Vec<Stretch>> = on_slots.iter().map(|holders| stretches(segment.window, holders)).collect();
    let counts = stretches.iter().flatten().filter(|stretch| stretch.holders > 1).map(|stretch| stretch.holders);
    let denominator = counts.fold(BigInt::from(1), |denominator, count| denominator.lcm(&BigInt::from(count)));
    let mut swept = Swept { parts: Vec::new(), denominator, busy_us: Vec::with_capacity(segment.slots as usize) };
    for (slot, (holders, stretches)) in (0_u32..).zip(on_slots.iter().zip(&stretches)) {
        let held = stretches.iter().filter(|stretch| stretch.holders > 0);
        swept.busy_us.push(held.map(|stretch| overlap_us(&segment.running, stretch.start, stretch.end)).sum());
        add_productive(&mut swept, segment.window, slot, holders, stretches);
        let cause = causes[slot as usize].take();
        causes[slot as usize] = add_idle(&mut swept, segment, slot, holders, stretches, cause);
    }
    swept
}

/// Microseconds of [start, end) within windows.
#[must_use]
pub fn overlap_us(windows: &[Window], start: Instant, end: Instant) -> i64 {
    let from = windows.partition_point(|window| window.end <= start);
    windows[from..].iter().take_while(|window| window.start < end).map(|window| window.end.min(end).0 - window.start.max(start).0).sum()
}

fn stretches(window: Window, holders: &[&Holder]) -> Vec<Stretch> {
    let mut changes: Vec<(Instant, i32)> = Vec::with_capacity(holders.len() * 2);
    for holder in holders {
        let (start, end) = (holder.started_at.max(window.start), holder.finished_at.min(window.end));
        if start < end {
            changes.extend([(start, 1), (end, -1)]);
        }
    }
    changes.sort_unstable();
    let mut stretches: Vec<Stretch> = Vec::with_capacity(changes.len() + 1);
    let (mut at, mut count) = (window.start, 0_i32);
    for (instant, change) in changes.into_iter().chain([(window.end, 0)]) {
        if instant > at {
            match stretches.last_mut() {
                Some(last) if last.holders == count.unsigned_abs() => last.end = instant,
                _ => stretches.push(Stretch { start: at, end: instant, holders: count.unsigned_abs() }),
            }
            at = instant;
        }
        count += change;
    }
    stretches
}

/// Adds what executions spent: differences of the integral of 1/k.
fn add_productive(swept: &mut Swept, window: Window, slot: u32, holders: &[&Holder], stretches: &[Stretch]) {
    let rates: Vec<BigInt> =
        stretches.iter().map(|stretch| if stretch.holders == 0 { BigInt::ZERO } else { &swept.denominator / stretch.holders }).collect();
    let mut sums = Vec::with_capacity(stretches.len() + 1);
    let mut sum = BigInt::ZERO;
    for (stretch, rate) in stretches.iter().zip(&rates) {
        sums.push(sum.clone());
        sum += rate * (stretch.end.0 - stretch.start.0);
    }
    let integral = |at: Instant| -> BigInt {
        match stretches.partition_point(|stretch| stretch.start <= at).checked_sub(1) {
            Some(place) => &sums[place] + &rates[place] * (at.0.min(stretches[place].end.0) - stretches[place].start.0),
            None => BigInt::ZERO,
        }
    };
    for holder in holders {
        for (phase, start, end) in holder.phases() {
            let (start, end) = (start.max(window.start), end.min(window.end));
            if start < end {
                let owner = Some(Owner { started_at: holder.started_at, id: holder.id, key: holder.key });
                swept.parts.push(Part { slot, phase, owner, weight: integral(end) - integral(start) });
            }
        }
    }
}

/// Adds the time in which nobody held the slot; who finished last on it up to the end of the segment.
fn add_idle(
    swept: &mut Swept,
    segment: &Segment,
    slot: u32,
    holders: &[&Holder],
    stretches: &[Stretch],
    before: Option<Cause>,
) -> Option<Cause> {
    let mut ends: Vec<Cause> = holders
        .iter()
        .filter(|holder| holder.finished_at <= segment.window.end && holder.finished_at >= segment.life_began_at)
        .map(|holder| Cause { finished_at: holder.finished_at, id: holder.id, started_at: holder.started_at, key: holder.key })
        .chain(before)
        .collect();
    ends.sort_unstable_by_key(|cause| (cause.finished_at, cause.id));
    let mut overhead_us = 0;
    let mut idle_us: Vec<i64> = vec![0; ends.len()];
    for gap in stretches.iter().filter(|stretch| stretch.holders == 0) {
        let mut at = gap.start;
        while at < gap.end {
            let place = ends.partition_point(|cause| cause.finished_at <= at);
            let until = ends.get(place).map_or(gap.end, |next| next.finished_at.min(gap.end));
            let running_us = overlap_us(&segment.running, at, until);
            match place.checked_sub(1) {
                Some(cause) => idle_us[cause] += running_us,
                None => overhead_us += running_us,
            }
            overhead_us += until.0 - at.0 - running_us;
            at = until;
        }
    }
    for (cause, idle_us) in ends.iter().zip(idle_us).filter(|(_, idle_us)| *idle_us > 0) {
        let owner = Some(Owner { started_at: cause.started_at, id: cause.id, key: cause.key });
        swept.parts.push(Part { slot, phase: Phase::Idle, owner, weight: &swept.denominator * idle_us });
    }
    if overhead_us > 0 {
        swept.parts.push(Part { slot, phase: Phase::Overhead, owner: None, weight: &swept.denominator * overhead_us });
    }
    ends.pop()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holder(id: u128, start: i64, end: i64, gpus: &[u16]) -> Holder {
        let mut key = Key::default();
        key[0] = id as u32;
        Holder {
            id: Uuid::from_u128(id),
            started_at: Instant(start),
            finished_at: Instant(end),
            gpus: gpus.to_vec(),
            key,
            phases_us: [0, 0],
        }
    }

    fn segment(start: i64, end: i64, slots: u32) -> Segment {
        Segment { window: Window::of(start, end), life_began_at: Instant(start), slots, running: vec![Window::of(start, end)] }
    }

    /// Slot, phase, owner, numerator over denominator in microseconds.
    fn told(swept: &Swept) -> Vec<(u32, Phase, u32, f64)> {
        let weight = |part: &Part| {
            let units: i64 = (&part.weight).try_into().unwrap();
            let denominator: i64 = (&swept.denominator).try_into().unwrap();
            units as f64 / denominator as f64
        };
        let owner = |part: &Part| part.owner.as_ref().map_or(0, |owner| owner.key[0]);
        swept.parts.iter().map(|part| (part.slot, part.phase, owner(part), weight(part))).collect()
    }

    #[test]
    fn time_that_executions_share_is_divided() {
        let swept = sweep(&segment(0, 100, 1), &[holder(1, 10, 40, &[]), holder(2, 20, 60, &[])], &mut Vec::new());
        assert_eq!(
            told(&swept),
            [(0, Phase::Inference, 1, 20.0), (0, Phase::Inference, 2, 30.0), (0, Phase::Idle, 2, 40.0), (0, Phase::Overhead, 0, 10.0),]
        );
        assert_eq!(swept.busy_us, [50]);
    }

    #[test]
    fn phases_are_cut_to_the_duration() {
        let mut long = holder(1, 0, 100, &[]);
        long.phases_us = [30, 200];
        let swept = sweep(&segment(20, 60, 1), &[long], &mut Vec::new());
        assert_eq!(told(&swept), [(0, Phase::Load, 1, 10.0), (0, Phase::Init, 1, 30.0)]);
    }

    #[test]
    fn idle_time_goes_to_who_finished_last_in_this_life() {
        let before = Cause {
            finished_at: Instant(5),
            id: Uuid::from_u128(9),
            started_at: Instant(1),
            key: std::array::from_fn(|at| if at == 0 { 9 } else { 0 }),
        };
        let mut causes = vec![Some(before.clone()), None];
        let mut held = segment(10, 100, 2);
        held.life_began_at = Instant(0);
        held.running = vec![Window::of(10, 50), Window::of(70, 100)];
        // One of no length takes over the blame at its instant.
        let swept = sweep(&held, &[holder(1, 30, 30, &[0]), holder(2, 80, 100, &[0])], &mut causes);
        assert_eq!(
            told(&swept),
            [
                (0, Phase::Inference, 2, 20.0),
                (0, Phase::Idle, 9, 20.0),
                (0, Phase::Idle, 1, 30.0),
                (0, Phase::Overhead, 0, 20.0),
                (1, Phase::Overhead, 0, 90.0),
            ]
        );
        assert_eq!(causes[0].as_ref().map(|cause| cause.id), Some(Uuid::from_u128(2)));
        held.life_began_at = Instant(10);
        let swept = sweep(&held, &[], &mut vec![Some(before)]);
        assert_eq!(told(&swept), [(0, Phase::Overhead, 0, 90.0), (1, Phase::Overhead, 0, 90.0)]);
    }

    #[test]
    fn unknown_indices_name_nothing() {
        assert_eq!((holder(1, 0, 1, &[7]).slots_held(2), holder(1, 0, 1, &[1, 7]).slots_held(2)), (2, 1));
        assert_eq!((holder(1, 0, 1, &[1]).lowest_slot(2), holder(1, 0, 1, &[]).lowest_slot(2)), (1, 0));
    }

    proptest! {
        #[test]
        fn the_parts_cover_the_held_time_exactly_once(
            executions in prop::collection::vec((-50_i64..150, 0_i64..80, prop::collection::btree_set(0_u16..4, 0..3), 0_i64..40, 0_i64..40), 0..40),
            slots in 1_u32..4,
        ) {
            let holders: Vec<Holder> = (1_u128..)
                .zip(&executions)
                .map(|(id, (start, length, gpus, load, init))| {
                    let gpus: Vec<u16> = gpus.iter().copied().collect();
                    Holder { phases_us: [*load, *init], ..holder(id, *start, start + length, &gpus) }
                })
                .collect();
            let swept = sweep(&segment(0, 100, slots), &holders, &mut Vec::new());
            for slot in 0..slots {
                let sum: BigInt = swept.parts.iter().filter(|part| part.slot == slot).map(|part| &part.weight).sum();
                prop_assert_eq!(sum, &swept.denominator * 100);
            }
            prop_assert!(swept.parts.iter().all(|part| part.weight > BigInt::ZERO));
        }
    }
}
