//! Puts the jobs on the slots of the machines: queueing, loading, switching, failing and trying again come out of it.
//!
//! Invariants: a slot holds as many executions at once as its machine has lanes; a job's attempts follow each other.
//! Must not know: how events are written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use plimsoll_entity::value::label::StorageType;
use plimsoll_entity::value::time::{DAY_US, Instant, SECOND_US, Window};
use uuid::Uuid;

use crate::demo::attempt::{Attempt, Circumstances, inference_s, memory_need_gib};
use crate::demo::fleet::{Ending, Fleet, Up, weekday};
use crate::demo::random::Random;
use crate::demo::storage::{Source, source};
use crate::demo::studio::{Artifact, COMBINATIONS, INSTANCE_TYPES, MACHINES, MODELS};
use crate::demo::work::Job;

/// Attempts of a job, and how often one is made after a failure.
const ATTEMPTS: (u8, f64) = (3, 0.8);
/// Jobs that go where their memory may not suffice.
const CARELESS: f64 = 0.06;
/// A machine takes no work in its first seconds.
const SETTLING_US: i64 = 15 * SECOND_US;
/// The UTC day of the bad driver is the last workday that lies at least so many days before the end.
const BAD_DAY: i32 = 6;
/// Each GiB of GPU memory that a job leaves unused counts like so much waiting, so that small work goes to small machines.
const WASTE_US_PER_GIB: f64 = 14.0 * SECOND_US as f64;

/// One attempt on its slots.
pub struct Run {
    /// Identity of the execution.
    pub id: Uuid,
    /// Index of the job.
    pub job: usize,
    /// From 1.
    pub attempt: u8,
    /// Index into [`MACHINES`].
    pub vm: usize,
    /// First slot.
    pub slot: usize,
    /// When this attempt was queued.
    pub queued_us: i64,
    /// Start.
    pub start_us: i64,
    /// What came of it.
    pub went: Attempt,
    /// No further attempt follows.
    pub is_last: bool,
}

impl Run {
    /// End; may lie after the end of the demo.
    pub fn end_us(&self) -> i64 {
        self.start_us + self.went.duration_us
    }
}

/// One artifact brought to a slot.
pub struct Load {
    /// Identity.
    pub id: Uuid,
    /// What.
    pub artifact: Artifact,
    /// Base model that it was loaded for.
    pub model: usize,
    /// Index into [`MACHINES`].
    pub vm: usize,
    /// Slot.
    pub slot: usize,
    /// Start.
    pub start_us: i64,
    /// End.
    pub end_us: i64,
    /// Where it came from.
    pub source: Source,
    /// It did not arrive.
    pub failed: bool,
    /// Execution that waited for it.
    pub execution: Uuid,
}

/// An artifact came onto a machine's disk, or left it with the machine's life.
pub struct Cached {
    /// Index into [`MACHINES`].
    pub vm: usize,
    /// What.
    pub artifact: Artifact,
    /// When.
    pub at_us: i64,
    /// It came.
    pub present: bool,
}

/// What a slot holds.
#[derive(Clone, Default)]
struct Slot {
    /// When each lane is free.
    free_us: Vec<i64>,
    /// Model in memory.
    model: Option<usize>,
    /// Artifacts in memory.
    resident: u64,
}

struct Host {
    slots: Vec<Slot>,
    /// Artifacts on the disk.
    cached: u64,
    /// Life and stretch that the contents belong to.
    life: u32,
    up: usize,
}

/// A place for an attempt.
struct Place {
    vm: usize,
    slot: usize,
    up: usize,
    start_us: i64,
    score_us: i64,
}

/// What ran where.
pub struct Schedule {
    /// In the order in which they were placed.
    pub runs: Vec<Run>,
    /// In the order in which they were placed.
    pub loads: Vec<Load>,
    /// What came onto the disks and left them.
    pub cached: Vec<Cached>,
    window: Window,
    bad_day: i32,
    hosts: Vec<Host>,
    random: Random,
}

impl Schedule {
    /// Runs the jobs on the fleet.
    pub fn made_up(seed: u64, window: Window, jobs: &[Job], fleet: &Fleet) -> Self {
        let hosts = fleet.ups.iter().zip(&MACHINES).map(|(_, machine)| Host {
            slots: vec![Slot { free_us: vec![0; machine.lanes], ..Slot::default() }; INSTANCE_TYPES[machine.kind].gpu_count.max(1)],
            cached: 0,
            life: 0,
            up: usize::MAX,
        });
        let mut schedule = Self {
            runs: Vec::new(),
            loads: Vec::new(),
            cached: Vec::new(),
            window,
            bad_day: bad_day(window),
            hosts: hosts.collect(),
            random: Random::topic(seed, 2),
        };
        let mut waiting: BinaryHeap<_> = jobs.iter().enumerate().map(|(index, job)| Reverse((job.queued_us, index, 1_u8))).collect();
        while let Some(Reverse((queued_us, index, attempt))) = waiting.pop() {
            if let Some(retry_us) = schedule.attempt(fleet, jobs, index, queued_us, attempt) {
                waiting.push(Reverse((retry_us, index, attempt + 1)));
            }
        }
        // What a life that has ended had on its disk is gone, also where nothing ran afterwards.
        for (vm, ups) in fleet.ups.iter().enumerate() {
            schedule.forget(ups, vm, u32::MAX);
        }
        schedule
    }

    /// Makes one attempt, if a machine is there for it within the window; says when to try again.
    fn attempt(&mut self, fleet: &Fleet, jobs: &[Job], index: usize, queued_us: i64, attempt: u8) -> Option<i64> {
        let job = &jobs[index];
        let careless = attempt == 1 && self.random.chance(CARELESS);
        let place = self.place(fleet, job, queued_us, careless)?;
        let up = &fleet.ups[place.vm][place.up];
        self.settle(&fleet.ups[place.vm], &place);
        let start_us = place.start_us + self.random.below(400_000) as i64;
        let id = self.random.id(Instant(start_us));
        let fresh_model = self.hosts[place.vm].slots[place.slot].model != Some(COMBINATIONS[job.combination].model);
        let (load_us, load_failed) = self.load(job, &place, start_us, id);
        let kind = MACHINES[place.vm].kind;
        let mut went = Attempt::made_up(
            &mut self.random,
            &Circumstances { job, kind, load_us, load_failed, fresh_model, bad_day: Instant(start_us).day() == self.bad_day },
        );
        let duration_us = up.end_us - start_us;
        if let (Ending::Lost(kind), true) = (up.ending, went.duration_us > duration_us) {
            went.lose(kind, duration_us.max(0));
        }
        let again = went.is_worth_retrying() && attempt < ATTEMPTS.0 && self.random.chance(ATTEMPTS.1);
        let run = Run { id, job: index, attempt, vm: place.vm, slot: place.slot, queued_us, start_us, went, is_last: !again };
        let end_us = run.end_us();
        self.occupy(&run, job);
        self.runs.push(run);
        again.then(|| end_us + SECOND_US + self.random.below(20_000_000) as i64)
    }

    /// The place where the job would be done first.
    fn place(&self, fleet: &Fleet, job: &Job, queued_us: i64, careless: bool) -> Option<Place> {
        let model = &MODELS[COMBINATIONS[job.combination].model];
        let width = model.gpus.max(1);
        let need_gib = memory_need_gib(job);
        let mut best: Option<Place> = None;
        for (vm, host) in self.hosts.iter().enumerate() {
            let kind = &INSTANCE_TYPES[MACHINES[vm].kind];
            let suits = if model.gpus == 0 { kind.gpu_count == 0 } else { kind.gpu_count >= width };
            let fits = model.gpus == 0 || kind.gpu_memory_gib * width as f64 > need_gib * 1.02;
            if !suits || !(fits || careless) {
                continue;
            }
            let inference_us = (inference_s(job, MACHINES[vm].kind) * SECOND_US as f64) as i64;
            for slot in (0..=host.slots.len() - width).step_by(width) {
                let free_us =
                    host.slots[slot..slot + width].iter().filter_map(|slot| slot.free_us.iter().min()).max().copied().unwrap_or(0);
                let load_us = self.load_guess_us(host, slot, job);
                // Careless work looks for a machine that is too small; other work spares the big ones.
                let waste_us = if fits && careless {
                    3_600 * SECOND_US
                } else {
                    ((kind.gpu_memory_gib * width as f64 - need_gib).max(0.0) * WASTE_US_PER_GIB) as i64
                };
                let Some((up, start_us)) = earliest(&fleet.ups[vm], queued_us.max(free_us), load_us + inference_us * 3 / 2) else {
                    continue;
                };
                let score_us = start_us + load_us + inference_us + waste_us;
                if start_us < self.window.end.0 && best.as_ref().is_none_or(|place| score_us < place.score_us) {
                    best = Some(Place { vm, slot, up, start_us, score_us });
                }
            }
        }
        best
    }

    fn load_guess_us(&self, host: &Host, slot: usize, job: &Job) -> i64 {
        missing(&host.slots[slot], job)
            .map(|artifact| artifact.size_bytes() / if host.cached & artifact.bit() != 0 { 2_500 } else { 700 })
            .sum()
    }

    /// A new life has an empty disk, a new stretch empty memory.
    fn settle(&mut self, ups: &[Up], place: &Place) {
        let life = ups[place.up].life;
        if self.hosts[place.vm].life != life {
            self.forget(ups, place.vm, life);
        }
        let host = &mut self.hosts[place.vm];
        if host.up != place.up {
            host.up = place.up;
            for slot in &mut host.slots {
                slot.model = None;
                slot.resident = 0;
            }
        }
    }

    fn forget(&mut self, ups: &[Up], vm: usize, life: u32) {
        let host = &mut self.hosts[vm];
        let ended_us = ups.iter().filter(|up| up.life == host.life).map(|up| up.end_us).max().unwrap_or(0);
        let gone = Artifact::all().filter(|artifact| host.cached & artifact.bit() != 0);
        self.cached.extend(gone.map(|artifact| Cached { vm, artifact, at_us: ended_us, present: false }));
        host.cached = 0;
        host.life = life;
    }

    /// Brings what is missing to the slot; says how long it took and whether it failed.
    fn load(&mut self, job: &Job, place: &Place, start_us: i64, execution: Uuid) -> (i64, bool) {
        let model = COMBINATIONS[job.combination].model;
        let wanted: Vec<Artifact> = missing(&self.hosts[place.vm].slots[place.slot], job).collect();
        let mut at_us = start_us;
        for artifact in wanted {
            let cached = self.hosts[place.vm].cached & artifact.bit() != 0;
            let source = source(&mut self.random, place.vm, cached);
            let took_us = self.random.log_normal(artifact.size_bytes() as f64 / source.bytes_per_us + 40_000.0, 0.3) as i64;
            let failed = self.random.chance(0.002);
            let took_us = if failed { took_us / 3 } else { took_us };
            let id = self.random.id(Instant(at_us));
            self.loads.push(Load {
                id,
                artifact,
                model,
                vm: place.vm,
                slot: place.slot,
                start_us: at_us,
                end_us: at_us + took_us,
                source,
                failed,
                execution,
            });
            at_us += took_us;
            if failed {
                return (at_us - start_us, true);
            }
            if !cached {
                self.hosts[place.vm].cached |= artifact.bit();
                self.cached.push(Cached { vm: place.vm, artifact, at_us, present: true });
            }
        }
        self.touch_memory(job, place, start_us, at_us, execution);
        (at_us - start_us, false)
    }

    /// Sometimes a slot tells that it had a checkpoint already.
    fn touch_memory(&mut self, job: &Job, place: &Place, start_us: i64, at_us: i64, execution: Uuid) {
        let first = COMBINATIONS[job.combination].checkpoints.first().map(|&index| Artifact::Checkpoint(index));
        if let (true, Some(artifact)) = (at_us == start_us, first)
            && self.random.chance(0.2)
        {
            let id = self.random.id(Instant(at_us));
            let source = Source { storage_type: StorageType::GpuMemory, location: None, hit: true, bytes_per_us: 0.0 };
            let model = COMBINATIONS[job.combination].model;
            self.loads.push(Load {
                id,
                artifact,
                model,
                vm: place.vm,
                slot: place.slot,
                start_us,
                end_us: start_us,
                source,
                failed: false,
                execution,
            });
        }
    }

    fn occupy(&mut self, run: &Run, job: &Job) {
        let combination = &COMBINATIONS[job.combination];
        let width = MODELS[combination.model].gpus.max(1);
        let lost = run.went.error.is_some_and(|(kind, _)| kind == "CHECKPOINT_LOAD_FAILED" || kind == "DRIVER_RESET");
        for slot in &mut self.hosts[run.vm].slots[run.slot..run.slot + width] {
            if let Some(free_us) = slot.free_us.iter_mut().min() {
                *free_us = run.end_us();
            }
            slot.model = (!lost).then_some(combination.model);
            slot.resident = if lost { 0 } else { wanted(job).fold(0, |set, artifact| set | artifact.bit()) };
        }
    }
}

fn bad_day(window: Window) -> i32 {
    let latest = window.end.day() - BAD_DAY;
    (0..7).map(|back| latest - back).find(|&day| weekday(i64::from(day) * DAY_US) < 5).unwrap_or(latest)
}

/// The artifacts of a job.
fn wanted(job: &Job) -> impl Iterator<Item = Artifact> {
    let combination = &COMBINATIONS[job.combination];
    std::iter::once(Artifact::Model(combination.model)).chain(combination.checkpoints.iter().map(|&index| Artifact::Checkpoint(index)))
}

/// Those of them that a slot does not hold: another model takes everything with it.
fn missing(slot: &Slot, job: &Job) -> impl Iterator<Item = Artifact> {
    let resident = if slot.model == Some(COMBINATIONS[job.combination].model) { slot.resident } else { 0 };
    wanted(job).filter(move |artifact| resident & artifact.bit() == 0)
}

/// The stretch and instant at which work of a length can begin.
fn earliest(ups: &[Up], from_us: i64, length_us: i64) -> Option<(usize, i64)> {
    let first = ups.partition_point(|up| up.end_us <= from_us);
    ups.iter().enumerate().skip(first).find_map(|(index, up)| {
        let start_us = from_us.max(up.start_us + SETTLING_US);
        let last_us = if up.ending == Ending::Planned { up.end_us - length_us } else { up.end_us - SECOND_US };
        (start_us < last_us).then_some((index, start_us))
    })
}
