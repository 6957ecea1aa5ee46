//! Random events: few names, many coincidences, instants on and beside the bounds of hours, days and a month.

use std::collections::HashSet;

use plimsoll_domain::ingest::event::{Caller, CheckpointVersion, Event, Execution, GpuSample, ModelVersion, VmSample, VmStateChange};
use plimsoll_entity::value::label::{CheckpointKind, Outcome, VmState};
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US};
use uuid::Uuid;

use super::random::Random;

/// 2026-02-27T00:00:00Z: the events lie on both sides of the end of a month.
pub const START_US: i64 = 1_772_150_400_000_000;
/// When everything has been told: within the fourth day, which is still open.
pub const NOW_US: i64 = START_US + 3 * DAY_US + 15 * HOUR_US;

/// Machines that told states.
const VMS: [&str; 4] = ["vm-0", "vm-1", "vm-2", "vm-3"];
/// Machines that never did.
const STATELESS: [&str; 2] = ["vm-silent-0", "vm-silent-1"];
const WHOLE_MAX: i64 = (1 << 53) - 1;

/// An instant, often on a bound or in a crowd.
pub fn instant(random: &mut Random) -> Instant {
    let day = START_US + random.between(0, 4) * DAY_US;
    let hour = day + random.pick(&[0, 0, 1, 5, 5, 5, 11, 23, 23]) * HOUR_US;
    let at = match random.below(10) {
        0 => day,
        1 => day - 1,
        2 => hour,
        3 => hour - 1,
        4 => hour + random.between(0, 60) * MINUTE_US,
        5..8 => hour + 17 * MINUTE_US + random.between(0, 2 * MINUTE_US),
        _ => day + random.between(0, DAY_US),
    };
    Instant(at.clamp(START_US - HOUR_US, NOW_US - 1))
}

pub fn uuid(random: &mut Random) -> Uuid {
    Uuid::from_u128(u128::from(random.next()) << 64 | u128::from(random.next()))
}

pub fn size(random: &mut Random) -> i64 {
    match random.below(8) {
        0 => 0,
        1 => WHOLE_MAX,
        _ => random.between(1, 40_000_000_000),
    }
}

fn milliseconds(random: &mut Random) -> f64 {
    match random.below(6) {
        0 => 0.0,
        1 => random.fraction(),
        _ => random.fraction() * 100_000.0,
    }
}

pub fn numbered(random: &mut Random, name: &str, count: u64) -> String {
    format!("{name}-{}", random.below(count))
}

pub fn checkpoints(random: &mut Random) -> Vec<CheckpointVersion> {
    use CheckpointKind::{Controlnet, Lora};
    const POOL: [(&str, &str, CheckpointKind); 5] =
        [("anime", "1", Lora), ("anime", "2", Lora), ("depth", "1", Controlnet), ("depth", "1", Lora), ("ink", "unversioned", Lora)];
    let mut list: Vec<CheckpointVersion> = POOL
        .iter()
        .filter(|_| random.chance(30))
        .map(|(name, version, kind)| CheckpointVersion { name: (*name).to_owned(), version: (*version).to_owned(), kind: *kind })
        .collect();
    list.sort_by(|a, b| a.canonical().cmp(&b.canonical()));
    list
}

pub fn vm(random: &mut Random) -> String {
    if random.chance(75) { random.pick(&VMS) } else { random.pick(&STATELESS) }.to_owned()
}

fn gpus(random: &mut Random) -> Vec<u16> {
    (0..4).filter(|_| random.chance(25)).collect()
}

fn execution(random: &mut Random) -> Event {
    let finished_at = instant(random);
    let duration_us = if random.chance(10) { 0 } else { random.between(1, 20 * MINUTE_US) };
    let started_at = Instant(finished_at.0 - duration_us);
    let outcome = random.pick(&[Outcome::Succeeded, Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled]);
    let vm = random.maybe(80, vm);
    let error = outcome == Outcome::Failed || random.chance(5);
    Event::Execution(Box::new(Execution {
        id: uuid(random),
        job: random.maybe(30, |random| numbered(random, "job", 9)),
        attempt: 1,
        model: ModelVersion { model: numbered(random, "model", 3), version: numbered(random, "v", 2) },
        model_type: random.maybe(40, |random| numbered(random, "MODEL_TYPE", 3)),
        checkpoints: checkpoints(random),
        caller: Caller {
            application: random.maybe(70, |random| numbered(random, "application", 3)),
            user: random.maybe(70, |random| numbered(random, "user", 6)),
            department: random.maybe(50, |random| numbered(random, "department", 2)),
            project: random.maybe(50, |random| numbered(random, "project", 3)),
        },
        gpus: gpus(random),
        vm,
        queued_at: random.maybe(60, |random| Instant(started_at.0 - random.between(0, MINUTE_US))),
        started_at,
        finished_at,
        outcome,
        checkpoint_load_ms: random.maybe(50, milliseconds),
        model_init_ms: random.maybe(50, milliseconds),
        inference_ms: random.maybe(70, milliseconds),
        input_bytes: random.maybe(60, size),
        output_bytes: random.maybe(60, size),
        gpu_memory_peak_bytes: random.maybe(50, size),
        cpu_seconds: random.maybe(40, |random| random.fraction() * 900.0),
        error_type: error.then(|| numbered(random, "Error", 3)),
        error_message: None,
    }))
}

/// The states of one machine. The first of them in time begins a life: how lives are told apart is a matter of the timeline, and
/// all plans share it.
fn vm_states(random: &mut Random, vm: &str) -> Vec<Event> {
    let mut changes: Vec<VmStateChange> = (0..random.below(8)).map(|_| vm_state(random, vm)).collect();
    changes.sort_by_key(|change| (change.at, change.state, change.id));
    changes.into_iter().map(|change| Event::VmState(Box::new(change))).collect()
}

fn vm_state(random: &mut Random, vm: &str) -> VmStateChange {
    use VmState::{Failed, Maintenance, Provisioning, Requested, Running, Stopped, Terminated, Unreachable};
    let kind = random.maybe(40, |random| numbered(random, "type", 3));
    VmStateChange {
        id: uuid(random),
        vm: vm.to_owned(),
        at: instant(random),
        state: random.pick(&[Requested, Provisioning, Running, Running, Running, Unreachable, Maintenance, Stopped, Terminated, Failed]),
        provider: random.maybe(30, |random| numbered(random, "provider", 2)),
        region: random.maybe(50, |random| numbered(random, "region", 3)),
        purchase_option: None,
        v_cpus: kind.as_ref().and_then(|_| random.maybe(50, |random| random.between(1, 64) as i32)),
        memory_bytes: None,
        gpu_model: None,
        gpu_count: kind.as_ref().and_then(|_| random.maybe(40, |random| random.between(0, 5) as i32)),
        instance_type: kind,
    }
}

fn vm_sample(random: &mut Random) -> VmSample {
    VmSample {
        vm: vm(random),
        at: instant(random),
        interval_seconds: random.pick(&[0.1, 7.0, 15.0, 60.0]),
        cpu_ratio: random.maybe(60, Random::fraction),
        memory_used_bytes: random.maybe(60, size),
        memory_total_bytes: random.maybe(60, size),
        disk_used_bytes: random.maybe(60, size),
        disk_total_bytes: random.maybe(60, size),
        disk_busy_ratio: random.maybe(60, Random::fraction),
        network_received_bytes: random.maybe(60, size),
        network_sent_bytes: random.maybe(60, |random| random.between(0, 1 << 30)),
        network_errors: random.maybe(60, |random| random.between(0, 9)),
        disk_read_bytes: random.maybe(60, |random| random.between(0, 1 << 30)),
        disk_written_bytes: random.maybe(60, |random| random.between(0, 1 << 30)),
        disk_read_ops: random.maybe(60, |random| random.between(0, 999)),
        disk_write_ops: random.maybe(60, |random| random.between(0, 999)),
    }
}

fn gpu_sample(random: &mut Random) -> GpuSample {
    GpuSample {
        vm: vm(random),
        gpu: random.below(3) as u16,
        at: instant(random),
        utilization_ratio: random.maybe(70, |random| if random.chance(30) { 0.0 } else { random.fraction() }),
        memory_used_bytes: random.maybe(60, size),
        memory_total_bytes: random.maybe(60, size),
        temperature_celsius: random.maybe(60, |random| random.fraction() * 120.0 - 30.0),
        power_watts: random.maybe(60, |random| random.fraction() * 700.0),
        uuid: None,
        name: None,
    }
}

/// Distinct events in random order, without those that come again.
pub fn events(random: &mut Random) -> Vec<Event> {
    let mut events: Vec<Event> = (0..random.between(20, 160)).map(|_| execution(random)).collect();
    events.extend((0..random.between(0, 120)).map(|_| super::loads::load(random)));
    events.extend((0..random.between(0, 90)).map(|_| super::storage::snapshot(random)));
    for vm in VMS {
        events.extend(vm_states(random, vm));
    }
    let mut keys = HashSet::new();
    for _ in 0..random.between(0, 90) {
        let sample = vm_sample(random);
        if keys.insert((sample.vm.clone(), 0, sample.at)) {
            events.push(Event::VmSample(Box::new(sample)));
        }
    }
    keys.clear();
    for _ in 0..random.between(0, 90) {
        let sample = gpu_sample(random);
        if keys.insert((sample.vm.clone(), sample.gpu, sample.at)) {
            events.push(Event::GpuSample(Box::new(sample)));
        }
    }
    random.shuffle(&mut events);
    events
}
