//! Random fleets: several lives, states of every kind, machines without states, types and GPUs that are told late, executions
//! that overlap, go on over hours, have no length, outlive their machine or have none.

use std::collections::HashSet;

use plimsoll_domain::ingest::event::{Caller, CheckpointVersion, Event, Execution, GpuSample, ModelVersion, VmSample, VmStateChange};
use plimsoll_entity::value::label::{CheckpointKind, Outcome, PurchaseOption, VmState};
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US};
use uuid::Uuid;

use super::random::Random;

/// 2026-02-27T00:00:00Z.
pub const START_US: i64 = 1_772_150_400_000_000;
/// Nothing happens at this instant or later: within the third day, which is still open.
pub const NOW_US: i64 = START_US + 2 * DAY_US + 5 * HOUR_US + 2 * MINUTE_US;

/// Machines that tell states.
pub const VMS: [&str; 4] = ["vm-0", "vm-1", "vm-2", "vm-3"];
/// A machine that only ever asks to be made.
pub const NEVER_RAN: &str = "vm-never";
/// A machine that never tells a state.
pub const STATELESS: &str = "vm-silent";

const MODELS: u64 = 2;
const ERRORS: u64 = 2;
const TYPES: u64 = 3;
const REGIONS: u64 = 2;
const APPLICATIONS: u64 = 2;
const USERS: u64 = 3;
const DEPARTMENTS: u64 = 2;

/// Names of machines, types, regions and providers.
pub struct Names {
    pub vms: Vec<String>,
    pub types: Vec<String>,
    pub regions: Vec<String>,
    pub providers: Vec<String>,
}

pub fn names() -> Names {
    let numbered = |name: &str, count: u64| (0..count).map(|number| format!("{name}-{number}")).collect();
    let vms = VMS.into_iter().chain([NEVER_RAN, STATELESS]).map(str::to_owned).collect();
    Names { vms, types: numbered("type", TYPES), regions: numbered("region", REGIONS), providers: numbered("provider", 1) }
}

fn numbered(random: &mut Random, name: &str, count: u64) -> String {
    format!("{name}-{}", random.below(count))
}

fn uuid(random: &mut Random) -> Uuid {
    Uuid::from_u128(u128::from(random.next()) << 64 | u128::from(random.next()))
}

/// An instant, often on or beside the bound of an hour.
fn instant(random: &mut Random) -> Instant {
    let hour = START_US + random.between(0, (NOW_US - START_US) / HOUR_US + 1) * HOUR_US;
    let at = match random.below(10) {
        0 => hour,
        1 => hour - 1,
        2 => hour + 1,
        _ => hour + random.between(0, 12) * 5 * MINUTE_US,
    };
    Instant(at.clamp(START_US, NOW_US - 1))
}

fn combination(number: u64) -> (ModelVersion, Vec<CheckpointVersion>) {
    let version = |name: &str, version: &str, kind| CheckpointVersion { name: name.to_owned(), version: version.to_owned(), kind };
    let (lora, controlnet) = (CheckpointKind::Lora, CheckpointKind::Controlnet);
    let checkpoints = match number {
        0 => Vec::new(),
        1 => vec![version("anime", "1", lora)],
        2 => vec![version("anime", "1", lora), version("anime", "2", lora), version("depth", "1", controlnet)],
        _ => vec![version("depth", "1", controlnet)],
    };
    (ModelVersion { model: format!("model-{}", number % MODELS), version: "1".to_owned() }, checkpoints)
}

fn execution(random: &mut Random, number: u64) -> Execution {
    let (model, checkpoints) = combination(number);
    let at = instant(random);
    let outcome = random.pick(&[Outcome::Succeeded, Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled]);
    Execution {
        id: uuid(random),
        job: None,
        attempt: 1,
        model,
        model_type: None,
        checkpoints,
        caller: Caller {
            application: random.maybe(70, |random| numbered(random, "application", APPLICATIONS)),
            user: random.maybe(70, |random| numbered(random, "user", USERS)),
            department: random.maybe(60, |random| numbered(random, "department", DEPARTMENTS)),
            project: None,
        },
        vm: None,
        gpus: Vec::new(),
        queued_at: None,
        started_at: at,
        finished_at: at,
        outcome,
        checkpoint_load_ms: random.maybe(50, |random| random.fraction() * 90_000.0),
        model_init_ms: random.maybe(50, |random| random.fraction() * 90_000.0),
        inference_ms: None,
        input_bytes: None,
        output_bytes: None,
        gpu_memory_peak_bytes: random.maybe(60, |random| random.between(0, 1 << 33)),
        cpu_seconds: None,
        error_type: (outcome == Outcome::Failed).then(|| numbered(random, "Error", ERRORS)),
        error_message: None,
    }
}

/// Executions without a machine that name every combination and caller: what comes first, so that ids never depend on order.
pub fn naming(random: &mut Random) -> Vec<Event> {
    let most = ERRORS.max(APPLICATIONS).max(USERS).max(4);
    let named = |number: u64| {
        let mut execution = execution(random, number.min(3));
        execution.caller.application = Some(format!("application-{}", number % APPLICATIONS));
        execution.caller.user = Some(format!("user-{}", number % USERS));
        execution.caller.department = Some(format!("department-{}", number % DEPARTMENTS));
        execution.outcome = Outcome::Failed;
        execution.error_type = Some(format!("Error-{}", number % ERRORS));
        Event::Execution(Box::new(execution))
    };
    (0..most).map(named).collect()
}

fn on_machine(random: &mut Random, vm: Option<String>, since: Instant) -> Execution {
    let number = random.below(4);
    let mut execution = execution(random, number);
    // Often one begins where another did, or ended.
    execution.started_at = if random.chance(20) { since } else { execution.started_at };
    let length_us = match random.below(10) {
        0 => 0,
        1 => random.between(60, 420) * MINUTE_US,
        2 => random.between(1, MINUTE_US),
        _ => random.between(1, 24) * 5 * MINUTE_US,
    };
    execution.finished_at = Instant((execution.started_at.0 + length_us).min(NOW_US - 1));
    execution.gpus = if random.chance(50) { Vec::new() } else { (0..4).filter(|_| random.chance(30)).collect() };
    execution.vm = vm;
    execution
}

fn vm_state(random: &mut Random, vm: &str, at: Instant, state: VmState) -> Event {
    let kind = random.maybe(40, |random| numbered(random, "type", TYPES));
    Event::VmState(Box::new(VmStateChange {
        id: uuid(random),
        vm: vm.to_owned(),
        at,
        state,
        provider: random.maybe(20, |random| numbered(random, "provider", 1)),
        region: random.maybe(30, |random| numbered(random, "region", REGIONS)),
        purchase_option: random.maybe(40, |random| random.pick(PurchaseOption::ALL)),
        v_cpus: kind.as_ref().and_then(|_| random.maybe(50, |random| random.between(1, 9) as i32)),
        memory_bytes: random.maybe(30, |random| random.between(1, 9) << 30),
        gpu_model: None,
        gpu_count: kind.as_ref().and_then(|_| random.maybe(50, |random| random.between(0, 5) as i32)),
        instance_type: kind,
    }))
}

fn vm_states(random: &mut Random, vm: &str) -> Vec<Event> {
    use VmState::{Deprovisioning, Failed, Maintenance, Provisioning, Requested, Running, Stopped, Terminated, Unreachable};
    let all = [Requested, Provisioning, Running, Running, Running, Unreachable, Maintenance, Stopped, Terminated, Deprovisioning, Failed];
    let mut states = Vec::new();
    // Mostly as machines live; else as it comes.
    if random.chance(70) {
        let mut at = instant(random).0.min(NOW_US - DAY_US);
        let mut story = vec![Requested, Running];
        for _ in 0..random.below(3) {
            story.extend(random.pick(&[[Stopped, Running], [Unreachable, Running], [Maintenance, Running], [Terminated, Running]]));
        }
        story.push(Terminated);
        story.truncate(random.between(2, story.len() as i64 + 1) as usize);
        for state in story {
            states.push(vm_state(random, vm, Instant(at.min(NOW_US - 1)), state));
            at += random.between(1, 200) * 5 * MINUTE_US;
        }
    }
    for _ in 0..random.below(5) {
        let (at, state) = (instant(random), random.pick(&all));
        states.push(vm_state(random, vm, at, state));
    }
    states
}

fn gpu_sample(random: &mut Random, vm: &str, at: Instant) -> GpuSample {
    GpuSample {
        vm: vm.to_owned(),
        gpu: random.below(5) as u16,
        at,
        utilization_ratio: Some(random.fraction()),
        memory_used_bytes: random.maybe(60, |random| random.between(0, 1 << 33)),
        memory_total_bytes: random.maybe(15, |random| random.between(1, 9) << 30),
        temperature_celsius: None,
        power_watts: None,
        uuid: None,
        name: None,
    }
}

fn vm_sample(vm: &str, at: Instant) -> VmSample {
    VmSample {
        vm: vm.to_owned(),
        at,
        interval_seconds: 60.0,
        cpu_ratio: Some(0.5),
        memory_used_bytes: None,
        memory_total_bytes: None,
        disk_used_bytes: None,
        disk_total_bytes: None,
        disk_busy_ratio: None,
        network_received_bytes: None,
        network_sent_bytes: None,
        network_errors: None,
        disk_read_bytes: None,
        disk_written_bytes: None,
        disk_read_ops: None,
        disk_write_ops: None,
    }
}

/// When an event is over.
pub fn end(event: &Event) -> Instant {
    match event {
        Event::Execution(execution) => execution.finished_at,
        Event::VmState(change) => change.at,
        Event::VmSample(sample) => sample.at,
        Event::GpuSample(sample) => sample.at,
        other => unreachable!("{other:?} is not made here"),
    }
}

/// Distinct events in order of time.
pub fn events(random: &mut Random) -> Vec<Event> {
    let mut events = Vec::new();
    let mut keys = HashSet::new();
    for vm in VMS.into_iter().chain([NEVER_RAN, STATELESS]) {
        match vm {
            NEVER_RAN => events.extend((0..2).map(|_| {
                let at = instant(random);
                vm_state(random, vm, at, VmState::Requested)
            })),
            STATELESS => {}
            _ => events.extend(vm_states(random, vm)),
        }
        let mut last = instant(random);
        for _ in 0..random.between(3, 16) {
            let execution = on_machine(random, Some(vm.to_owned()), last);
            last = random.pick(&[execution.started_at, execution.finished_at]);
            // Samples where executions are: at their ends, too.
            for _ in 0..random.below(3) {
                let span_us = execution.finished_at.0 - execution.started_at.0;
                let at = execution.started_at.0 + random.pick(&[0, span_us / 2, span_us]);
                let sample = gpu_sample(random, vm, Instant(at));
                if keys.insert((vm, Some(sample.gpu), sample.at)) {
                    events.push(Event::GpuSample(Box::new(sample)));
                }
            }
            events.push(Event::Execution(Box::new(execution)));
        }
        for at in [instant(random), instant(random)] {
            if keys.insert((vm, None, at)) {
                events.push(Event::VmSample(Box::new(vm_sample(vm, at))));
            }
        }
    }
    let at = instant(random);
    events.push(Event::Execution(Box::new(on_machine(random, None, at))));
    events.sort_by_key(end);
    events
}
