//! One hour of one machine: from its executions, samples and states, and what the hour before hands on, to what is derived.
//!
//! Invariants: the order in which facts are given does not matter; an execution counts in the hour in which it finished, its time
//! in the hours that it held; what the next hour has to know stands in the [`Carry`], so that hours can be rebuilt one by one.
//! Pure; must not know the database.

use std::collections::BTreeMap;

use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{Instant, Window};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::apportion::apportion;
use super::facts::{Amounts, Class, MachineTime, OwnedSample, RunFact, TimelineFact, TransitionFact};
use super::sweep::{Cause, Holder, Phase, Segment, Swept, overlap_us, sweep};
use crate::cell::part::{Key, KeyColumn};
use crate::machine::fleet::{Fleet, Shape};
use crate::store::GpuSampleFact;

/// Picoseconds of a microsecond: the unit in which slot time is kept.
pub const MICROSECOND_PS: i128 = 1_000_000;

/// An execution on a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Who holds what when.
    pub holder: Holder,
    /// Bytes.
    pub gpu_memory_peak_bytes: Option<i64>,
    /// Milliseconds.
    pub checkpoint_load_ms: Option<f64>,
    /// How it found its slot; known once its first hour has been built.
    pub class: Class,
}

/// The execution that started last on a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its start.
    pub started_at: Instant,
    /// Its id.
    pub id: Uuid,
    /// Its combination.
    pub combination_id: u32,
}

/// What an hour hands on to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carry {
    /// Who finished last on each slot.
    pub causes: Vec<Option<Cause>>,
    /// Who started last, by lowest slot.
    pub started: BTreeMap<u32, Started>,
    /// Executions that started before the end of the hour and finish at it or later, by start and id.
    pub in_flight: Vec<Run>,
    /// The last state that held, and the latest life that had begun: a change of either changes the hours that follow.
    pub state: Option<(VmState, Option<Instant>)>,
}

/// A machine as an hour needs it.
#[derive(Clone, Copy, Debug)]
pub struct MachineView<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// The machine.
    pub vm_id: u32,
    /// From when to when samples, loads and executions touched it: its life, where no state was ever told.
    pub touched: Option<(Instant, Instant)>,
    /// Memory of one of its GPUs in bytes.
    pub gpu_memory_bytes: Option<i64>,
}

impl MachineView<'_> {
    fn shape_at(&self, at: Instant) -> Shape {
        self.fleet.shape_at(self.vm_id, at)
    }

    /// When the life began to which an instant belongs: what started in an earlier one is no predecessor.
    fn life_of(&self, at: Instant) -> Option<Instant> {
        let machine = self.fleet.machine(self.vm_id)?;
        machine.timeline.lives().iter().rev().filter_map(|life| life.began_at).find(|began| *began <= at)
    }

    /// The stretches of a window in which the machine is held, each with one shape and one place; and those in state RUNNING.
    #[must_use]
    pub fn segments(&self, window: Window) -> Vec<Segment> {
        let timeline = self.fleet.machine(self.vm_id).map(|machine| &machine.timeline).filter(|timeline| !timeline.is_empty());
        let Some(timeline) = timeline else {
            let Some((first, last)) = self.touched else { return Vec::new() };
            let window = Window { start: first.max(window.start), end: last.min(window.end) };
            let slots = self.shape_at(first).slots;
            let segment = Segment { window, life_began_at: Instant(i64::MIN), slots, running: vec![window] };
            return if window.start < window.end { vec![segment] } else { Vec::new() };
        };
        let mut segments: Vec<Segment> = Vec::new();
        for span in timeline.spans(window).into_iter().filter(|span| span.is_held()) {
            let Some(life_began_at) = span.life_began_at else { continue };
            match segments.last_mut() {
                Some(last)
                    if last.window.end == span.window.start
                        && last.life_began_at == life_began_at
                        && timeline.place_at(last.window.start) == timeline.place_at(span.window.start) =>
                {
                    last.window.end = span.window.end
                }
                _ => {
                    let slots = self.shape_at(life_began_at).slots;
                    segments.push(Segment { window: span.window, life_began_at, slots, running: Vec::new() });
                }
            }
            if let (Some(last), VmState::Running) = (segments.last_mut(), span.state) {
                match last.running.last_mut() {
                    Some(running) if running.end == span.window.start => running.end = span.window.end,
                    _ => last.running.push(span.window),
                }
            }
        }
        segments
    }

    /// A window, cut where what is known of the machine's place changes.
    fn places(&self, window: Window) -> Vec<Window> {
        let changes = self.fleet.machine(self.vm_id).map(|machine| machine.timeline.place_changes()).unwrap_or_default();
        let mut pieces = Vec::new();
        let mut start = window.start;
        for at in changes.into_iter().filter(|at| window.start < *at && *at < window.end) {
            pieces.push(Window { start, end: at });
            start = at;
        }
        pieces.push(Window { start, end: window.end });
        pieces
    }

    /// The first hour in `from..until` in which the machine is held.
    #[must_use]
    pub fn held_from(&self, from: i32, until: i32) -> Option<i32> {
        if from >= until { None } else { self.segments(Window::of_hours(from, until)).first().map(|segment| segment.window.start.hour()) }
    }

    fn state_at_end(&self, window: Window) -> Option<(VmState, Option<Instant>)> {
        let timeline = &self.fleet.machine(self.vm_id)?.timeline;
        let last = Window { start: Instant(window.end.0 - 1), end: window.end };
        timeline.spans(last).last().map(|span| (span.state, self.life_of(last.start)))
    }
}

/// What an hour is built from.
#[derive(Clone, Copy, Debug)]
pub struct HourInput<'a> {
    /// The machine.
    pub machine: MachineView<'a>,
    /// The whole hour.
    pub hour: Window,
    /// Time is held up to here: nothing is known of the future.
    pub as_of: Instant,
    /// Executions that started in the hour.
    pub started: &'a [Run],
    /// Jobs that run without an execution, in hours that are not older than a day.
    pub jobs: &'a [Holder],
    /// GPU samples of the hour, with their GPU.
    pub samples: &'a [(u16, GpuSampleFact)],
}

/// What was derived.
#[derive(Clone, Debug, Default)]
pub struct HourFacts {
    /// Of executions: time and how they found their slot.
    pub timeline: Vec<TimelineFact>,
    /// Switches.
    pub transitions: Vec<TransitionFact>,
    /// GPU samples with an owner.
    pub samples: Vec<OwnedSample>,
    /// The machine's time.
    pub time: Vec<MachineTime>,
}

/// A stretch in which the machine was held, swept.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The stretch.
    pub segment: Segment,
    /// Who had finished last on each slot before it.
    pub causes: Vec<Option<Cause>>,
    /// Its parts.
    pub swept: Swept,
}

/// What an hour was derived from, for whoever prices it.
#[derive(Clone, Debug, Default)]
pub struct HourParts {
    /// Stretches in which the machine was held, ascending.
    pub pieces: Vec<Piece>,
    /// Executions, and jobs that run without one, that touch the hour.
    pub holders: Vec<Holder>,
    /// Places in `holders` of executions that finished in the hour.
    pub finished: Vec<usize>,
}

/// Builds an hour; `clip` (within the hour) narrows what is counted by instant, and leaves slot time out where it is no whole hour.
#[must_use]
pub fn build(input: &HourInput<'_>, clip: Window, before: &Carry) -> (HourFacts, Carry, HourParts) {
    let mut carry = Carry { causes: before.causes.clone(), started: before.started.clone(), ..Carry::default() };
    let mut runs: Vec<Run> = before.in_flight.clone();
    runs.extend(classified(input, &mut carry.started));
    runs.sort_by_key(|run| (run.holder.started_at, run.holder.id));
    let mut facts = HourFacts::default();
    add_finished(input, clip, &runs, &mut facts);
    let holders: Vec<Holder> = runs.iter().map(|run| run.holder.clone()).collect();
    let with_jobs: Vec<Holder> = holders.iter().chain(input.jobs).cloned().collect();
    let mut pieces = Vec::new();
    let held = Window { start: input.hour.start, end: input.hour.end.min(input.as_of) };
    let whole = clip == input.hour;
    let mut swept_busy_us = 0;
    for segment in input.machine.segments(held) {
        let shape = input.machine.shape_at(segment.window.start);
        let causes = carry.causes.clone();
        let swept = sweep(&segment, &with_jobs, &mut carry.causes);
        if whole {
            add_time(segment.window.start, shape, &swept, &mut facts.timeline);
        }
        swept_busy_us += swept.busy_us.iter().sum::<i64>();
        pieces.push(Piece { segment, causes, swept });
    }
    facts.samples = owned_samples(input, clip, &runs);
    for piece in input.machine.places(clip) {
        // The sweep over the whole hour has the answer already, unless jobs took part in it.
        let busy_us = if piece == input.hour && input.jobs.is_empty() { swept_busy_us } else { busy_us(input, piece, &holders) };
        let active_us = active_us(input, piece, &holders);
        if active_us > 0 || busy_us > 0 {
            facts.time.push(MachineTime { at: piece.start, vm_id: input.machine.vm_id, active_us, busy_us });
        }
    }
    settle_causes(&mut carry.causes, &holders, input);
    carry.in_flight = runs.into_iter().filter(|run| run.holder.finished_at >= input.hour.end).collect();
    carry.state = input.machine.state_at_end(input.hour);
    let finished = (0..holders.len()).filter(|at| input.hour.contains(holders[*at].finished_at)).collect();
    (facts, carry, HourParts { pieces, holders: with_jobs, finished })
}

/// The executions that started in the hour, each with how it found its slot; `started` goes from the hour before to this one.
fn classified(input: &HourInput<'_>, started: &mut BTreeMap<u32, Started>) -> Vec<Run> {
    let mut runs = input.started.to_vec();
    runs.sort_by_key(|run| (run.holder.started_at, run.holder.id));
    for run in &mut runs {
        let holder = &run.holder;
        let slot = holder.lowest_slot(input.machine.shape_at(holder.started_at).slots);
        let combination_id = holder.key[KeyColumn::Combination as usize];
        let now = Started { started_at: holder.started_at, id: holder.id, combination_id };
        let life = input.machine.life_of(holder.started_at);
        run.class = match started.insert(slot, now) {
            Some(last) if input.machine.life_of(last.started_at) == life => {
                if last.combination_id == combination_id {
                    Class::Unswitched
                } else {
                    Class::Switched { from: last.combination_id }
                }
            }
            _ => Class::ColdStart,
        };
    }
    runs
}

fn add_finished(input: &HourInput<'_>, clip: Window, runs: &[Run], facts: &mut HourFacts) {
    for run in runs.iter().filter(|run| clip.contains(run.holder.finished_at)) {
        let holder = &run.holder;
        let shape = input.machine.shape_at(holder.finished_at);
        let gpus = if shape.gpus == 0 {
            0
        } else if holder.gpus.is_empty() {
            shape.slots as usize
        } else {
            holder.gpus.len()
        };
        let memory = input.machine.gpu_memory_bytes.map(|bytes| bytes as f64 * gpus as f64).filter(|bytes| *bytes > 0.0);
        let duration_us = holder.finished_at.0 - holder.started_at.0;
        facts.timeline.push(TimelineFact::Run(RunFact {
            at: holder.finished_at,
            key: holder.key,
            class: run.class,
            duration_us,
            memory_ratio: run.gpu_memory_peak_bytes.and_then(|peak| memory.map(|memory| peak as f64 / memory)),
        }));
        if let Class::Switched { from } = run.class {
            let mut key = holder.key;
            key[KeyColumn::Previous as usize] = from;
            facts.transitions.push(TransitionFact { at: holder.finished_at, key, checkpoint_load_ms: run.checkpoint_load_ms });
        }
    }
}

/// Slot time by key, in whole picoseconds that add up to the held time of each slot.
fn add_time(at: Instant, shape: Shape, swept: &Swept, facts: &mut Vec<TimelineFact>) {
    let mut by_key: BTreeMap<Key, [Amounts; 2]> = BTreeMap::new();
    for parts in swept.parts.chunk_by(|a, b| a.slot == b.slot) {
        let mut parts: Vec<_> = parts.iter().collect();
        parts.sort_by_key(|part| {
            part.owner.as_ref().map_or((true, Instant(0), Uuid::nil(), part.phase), |owner| (false, owner.started_at, owner.id, part.phase))
        });
        let weights: Vec<_> = parts.iter().map(|part| &part.weight).collect();
        let units: num_bigint::BigInt = weights.iter().copied().sum();
        // The weights of a slot are whole microseconds together.
        let held_ps = i128::try_from(units / &swept.denominator).unwrap_or(0) * MICROSECOND_PS;
        for (part, slot_ps) in parts.iter().zip(apportion(held_ps, &weights)) {
            let Some(owner) = &part.owner else { continue };
            let gpu_ps = if part.slot < shape.gpus { slot_ps } else { 0 };
            let cpu_ps = shape.v_cpus.map_or(0, |v_cpus| slot_ps * i128::from(v_cpus) / i128::from(shape.slots.max(1)));
            let amounts = &mut by_key.entry(owner.key).or_default()[usize::from(part.phase == Phase::Idle)];
            amounts.gpu_ps += gpu_ps;
            amounts.cpu_ps += cpu_ps;
        }
    }
    facts.extend(by_key.into_iter().map(|(key, [productive, idle])| TimelineFact::Time { at, key, productive, idle }));
}

/// Slot time of the clip in which the machine was RUNNING and executions held the slot.
fn busy_us(input: &HourInput<'_>, clip: Window, holders: &[Holder]) -> i64 {
    let cut = Window { start: clip.start, end: clip.end.min(input.as_of) };
    input.machine.segments(cut).iter().flat_map(|segment| sweep(segment, holders, &mut Vec::new()).busy_us).sum()
}

/// Time of the clip in which the machine was RUNNING and at least one execution ran.
fn active_us(input: &HourInput<'_>, clip: Window, holders: &[Holder]) -> i64 {
    let cut = Window { start: clip.start, end: clip.end.min(input.as_of) };
    let running: Vec<Window> = input.machine.segments(cut).into_iter().flat_map(|segment| segment.running).collect();
    let mut active_us = 0;
    let mut covered = cut.start;
    // By start already.
    for holder in holders {
        let (start, end) = (holder.started_at.max(covered), holder.finished_at.min(cut.end));
        if start < end {
            active_us += overlap_us(&running, start, end);
            covered = end;
        }
    }
    active_us
}

/// The samples that every execution on their GPU shares one combination at.
fn owned_samples(input: &HourInput<'_>, clip: Window, runs: &[Run]) -> Vec<OwnedSample> {
    let mut owned = Vec::new();
    let mut samples: Vec<&(u16, GpuSampleFact)> = input.samples.iter().filter(|(_, sample)| clip.contains(sample.at)).collect();
    samples.sort_by_key(|(gpu, sample)| (*gpu, sample.at));
    for of_gpu in samples.chunk_by(|a, b| a.0 == b.0) {
        let gpu = u32::from(of_gpu[0].0);
        let mut changes: Vec<(Instant, i32, u32)> = Vec::new();
        for run in runs.iter().filter(|run| run.holder.started_at < run.holder.finished_at) {
            let slots = input.machine.shape_at(run.holder.started_at).slots;
            if gpu < slots && run.holder.holds(gpu, slots) {
                let combination_id = run.holder.key[KeyColumn::Combination as usize];
                changes.extend([(run.holder.started_at, 1, combination_id), (run.holder.finished_at, -1, combination_id)]);
            }
        }
        changes.sort_unstable();
        let mut changes = changes.into_iter().peekable();
        let mut holding: FxHashMap<u32, i32> = FxHashMap::default();
        for (_, sample) in of_gpu {
            while let Some((_, change, combination_id)) = changes.next_if(|(at, ..)| *at <= sample.at) {
                let count = holding.entry(combination_id).or_insert(0);
                *count += change;
                if *count == 0 {
                    holding.remove(&combination_id);
                }
            }
            if let (1, Some(combination_id)) = (holding.len(), holding.keys().next()) {
                owned.push(OwnedSample { combination_id: *combination_id, sample: sample.clone() });
            }
        }
    }
    owned
}

/// Executions may finish while the machine is not held: they are to blame for what follows in the same life all the same.
fn settle_causes(causes: &mut Vec<Option<Cause>>, holders: &[Holder], input: &HourInput<'_>) {
    let slots = input.machine.shape_at(Instant(input.hour.end.0 - 1)).slots;
    causes.resize(causes.len().max(slots as usize), None);
    // Whoever ends with the hour is in flight still.
    for holder in holders.iter().filter(|holder| holder.finished_at < input.hour.end) {
        for (slot, cause) in (0_u32..).zip(causes.iter_mut()) {
            let later = cause.as_ref().is_none_or(|cause| (cause.finished_at, cause.id) < (holder.finished_at, holder.id));
            if later && holder.holds(slot, slots) {
                let Holder { id, started_at, finished_at, key, .. } = *holder;
                *cause = Some(Cause { finished_at, id, started_at, key });
            }
        }
    }
}

#[cfg(test)]
#[path = "hour_tests.rs"]
mod tests;
