//! The rules of the contract that an hour of a machine keeps.

use plimsoll_entity::value::time::{HOUR_US, MINUTE_US};

use super::*;
use crate::machine::fleet::{InstanceType, StateRow};
use crate::timeline::life::StateChange;

/// Machine of all tests; it has two GPUs and four vCPUs.
const VM: u32 = 9;
const KIND: u32 = 5;

fn state(minute: i64, state: VmState, region_id: u32) -> StateRow {
    let told = InstanceType { v_cpus: Some(4), gpu_count: Some(2), ..InstanceType::default() };
    let change = StateChange {
        at: Instant(minute * MINUTE_US),
        state,
        id: Uuid::from_u128(minute as u128),
        instance_type_id: KIND,
        provider_id: 0,
        region_id,
        purchase_option: None,
    };
    StateRow { vm_id: VM, change, told }
}

fn running() -> Fleet {
    Fleet::new(1, vec![state(0, VmState::Running, 0)], Vec::new())
}

/// An execution of a combination between two minutes; its id is its combination and start.
fn run(combination_id: u32, start: i64, end: i64, gpus: &[u16]) -> Run {
    let mut key = Key::default();
    key[KeyColumn::Combination as usize] = combination_id;
    Run {
        holder: Holder {
            id: Uuid::from_u64_pair(u64::from(combination_id), start as u64),
            started_at: Instant(start * MINUTE_US),
            finished_at: Instant(end * MINUTE_US),
            gpus: gpus.to_vec(),
            key,
            phases_us: [0, 0],
        },
        gpu_memory_peak_bytes: None,
        checkpoint_load_ms: None,
        class: Class::default(),
    }
}

fn sample(gpu: u16, minute: i64) -> (u16, GpuSampleFact) {
    let sample = GpuSampleFact {
        at: Instant(minute * MINUTE_US),
        vm_id: VM,
        utilization_ratio: Some(0.5),
        memory_used_bytes: None,
        memory_total_bytes: None,
        temperature_celsius: None,
        power_watts: None,
    };
    (gpu, sample)
}

/// A machine and everything that happened on it.
struct Story {
    fleet: Fleet,
    touched: Option<(Instant, Instant)>,
    runs: Vec<Run>,
    samples: Vec<(u16, GpuSampleFact)>,
    as_of_minute: i64,
}

impl Story {
    fn new(fleet: Fleet, runs: Vec<Run>) -> Self {
        Self { fleet, touched: None, runs, samples: Vec::new(), as_of_minute: 100_000 }
    }

    /// The facts of the first hours, of a window each.
    fn hours(&self, clips: &[Window]) -> Vec<HourFacts> {
        let machine = MachineView { fleet: &self.fleet, vm_id: VM, touched: self.touched, gpu_memory_bytes: Some(100) };
        let mut carry = Carry::default();
        let hour = |number: i64| Window::of(number * HOUR_US, (number + 1) * HOUR_US);
        let mut built = Vec::new();
        for (number, clip) in (0..).zip(clips) {
            let hour = hour(number);
            let started: Vec<Run> = self.runs.iter().filter(|run| hour.contains(run.holder.started_at)).cloned().collect();
            let samples: Vec<_> = self.samples.iter().filter(|(_, sample)| hour.contains(sample.at)).cloned().collect();
            let as_of = Instant(self.as_of_minute * MINUTE_US);
            let input = HourInput { machine, hour, as_of, started: &started, jobs: &[], samples: &samples };
            let (facts, handed_on, _) = build(&input, *clip, &carry);
            carry = handed_on;
            built.push(facts);
        }
        built
    }

    fn whole_hours(&self, count: i64) -> Vec<HourFacts> {
        self.hours(&(0..count).map(|number| Window::of(number * HOUR_US, (number + 1) * HOUR_US)).collect::<Vec<_>>())
    }
}

/// Minutes of GPUs and of vCPUs, productive and idle, by combination.
fn time(facts: &HourFacts) -> Vec<(u32, [i128; 4])> {
    let minutes = |ps: i128| ps / MICROSECOND_PS / i128::from(MINUTE_US);
    let mut time: Vec<(u32, [i128; 4])> = Vec::new();
    for fact in &facts.timeline {
        if let TimelineFact::Time { key, productive, idle, .. } = fact {
            let amounts = [productive.gpu_ps, productive.cpu_ps, idle.gpu_ps, idle.cpu_ps].map(minutes);
            time.push((key[KeyColumn::Combination as usize], amounts));
        }
    }
    time
}

fn classes(facts: &[HourFacts]) -> Vec<(u32, Class)> {
    let runs = facts.iter().flat_map(|facts| &facts.timeline).filter_map(|fact| match fact {
        TimelineFact::Run(run) => Some((run.key[KeyColumn::Combination as usize], run.class)),
        TimelineFact::Time { .. } => None,
    });
    runs.collect()
}

#[test]
fn an_execution_over_hours_holds_each_and_counts_where_it_ends() {
    let hours = Story::new(running(), vec![run(1, 30, 90, &[0])]).whole_hours(2);
    assert_eq!(time(&hours[0]), [(1, [30, 60, 0, 0])]);
    assert_eq!(time(&hours[1]), [(1, [30, 60, 30, 60])]);
    assert_eq!(classes(&hours[..1]), []);
    assert_eq!(classes(&hours[1..]), [(1, Class::ColdStart)]);
}

#[test]
fn an_execution_that_names_no_gpu_holds_all() {
    let hours = Story::new(running(), vec![run(1, 0, 60, &[])]).whole_hours(1);
    assert_eq!(time(&hours[0]), [(1, [120, 240, 0, 0])]);
}

#[test]
fn nothing_idles_unless_running_and_executions_count_while_held() {
    let states = vec![
        state(0, VmState::Running, 0),
        state(20, VmState::Unreachable, 0),
        state(40, VmState::Stopped, 0),
        state(50, VmState::Running, 0),
        state(70, VmState::Terminated, 0),
    ];
    let runs = vec![run(1, 0, 10, &[0]), run(2, 25, 30, &[0]), run(3, 45, 48, &[0]), run(4, 65, 80, &[1])];
    let hours = Story::new(Fleet::new(1, states, Vec::new()), runs).whole_hours(2);
    // What ran while STOPPED held nothing, and is to blame for what follows all the same; what outlives the machine is cut.
    assert_eq!(time(&hours[0]), [(1, [10, 20, 10, 20]), (2, [5, 10, 0, 0]), (3, [0, 0, 10, 20])]);
    assert_eq!(time(&hours[1]), [(3, [0, 0, 10, 20]), (4, [5, 10, 0, 0])]);
}

#[test]
fn a_new_life_blames_and_follows_nobody() {
    let states = vec![state(0, VmState::Running, 0), state(20, VmState::Terminated, 0), state(30, VmState::Running, 0)];
    let runs = vec![run(1, 0, 10, &[0]), run(2, 12, 15, &[0]), run(1, 40, 50, &[0])];
    let hours = Story::new(Fleet::new(1, states, Vec::new()), runs).whole_hours(1);
    assert_eq!(classes(&hours), [(1, Class::ColdStart), (2, Class::Switched { from: 1 }), (1, Class::ColdStart)]);
    let idle: i128 = time(&hours[0]).iter().map(|(_, minutes)| minutes[2]).sum();
    assert_eq!(idle, 2 + 5 + 10);
}

#[test]
fn switching_looks_at_the_lowest_slot_alone() {
    let runs = vec![run(1, 0, 10, &[]), run(2, 20, 30, &[1]), run(2, 61, 62, &[1]), run(1, 63, 64, &[0, 1]), run(3, 63, 64, &[0])];
    let hours = Story::new(running(), runs).whole_hours(2);
    let expected =
        [(1, Class::ColdStart), (2, Class::ColdStart), (2, Class::Unswitched), (1, Class::Unswitched), (3, Class::Switched { from: 1 })];
    assert_eq!(classes(&hours), expected);
    assert_eq!(hours[1].transitions.len(), 1);
}

#[test]
fn a_machine_without_states_runs_from_its_first_touch_to_its_last() {
    let fleet = Fleet::new(1, Vec::new(), vec![(VM, 0)]);
    let mut story = Story::new(fleet, vec![run(1, 10, 20, &[0])]);
    story.touched = Some((Instant(10 * MINUTE_US), Instant(50 * MINUTE_US)));
    let hours = story.whole_hours(1);
    // vCPUs are unknown: none are counted.
    assert_eq!(time(&hours[0]), [(1, [10, 0, 30, 0])]);
    assert_eq!(hours[0].time[0].active_us, 10 * MINUTE_US);
}

#[test]
fn a_sample_belongs_to_the_one_combination_that_holds_its_gpu() {
    let runs = vec![run(1, 0, 10, &[]), run(1, 5, 20, &[0]), run(2, 15, 30, &[0]), run(3, 40, 40, &[])];
    let mut story = Story::new(running(), runs);
    // The machine has no third GPU; nobody holds one of no length.
    story.samples = [(0, 7), (1, 7), (1, 10), (0, 15), (0, 20), (0, 30), (0, 40), (2, 7)].map(|(gpu, at)| sample(gpu, at)).to_vec();
    let hours = story.whole_hours(1);
    let owned: Vec<(u32, i64)> = hours[0].samples.iter().map(|owned| (owned.combination_id, owned.sample.at.0 / MINUTE_US)).collect();
    assert_eq!(owned, [(1, 7), (2, 20), (1, 7)]);
}

#[test]
fn memory_is_that_of_the_gpus_held() {
    let mut runs = vec![run(1, 0, 10, &[1]), run(2, 0, 10, &[]), run(3, 0, 10, &[])];
    runs[0].gpu_memory_peak_bytes = Some(50);
    runs[1].gpu_memory_peak_bytes = Some(50);
    let hours = Story::new(running(), runs).whole_hours(1);
    let ratios: Vec<Option<f64>> =
        hours[0].timeline.iter().filter_map(|fact| if let TimelineFact::Run(run) = fact { Some(run.memory_ratio) } else { None }).collect();
    assert_eq!(ratios, [Some(0.5), Some(0.25), None]);
}

#[test]
fn time_belongs_to_the_place_where_it_was_spent() {
    let states = vec![state(0, VmState::Running, 1), state(20, VmState::Running, 2)];
    let hours = Story::new(Fleet::new(1, states, Vec::new()), vec![run(1, 10, 50, &[0])]).whole_hours(1);
    let at: Vec<(i64, i128)> = hours[0]
        .timeline
        .iter()
        .filter_map(|fact| match fact {
            TimelineFact::Time { at, productive, .. } => {
                Some((at.0 / MINUTE_US, productive.gpu_ps / MICROSECOND_PS / i128::from(MINUTE_US)))
            }
            TimelineFact::Run(_) => None,
        })
        .collect();
    assert_eq!(at, [(0, 10), (20, 30)]);
    let active: Vec<(i64, i64)> = hours[0].time.iter().map(|time| (time.at.0 / MINUTE_US, time.active_us / MINUTE_US)).collect();
    assert_eq!(active, [(0, 10), (20, 30)]);
}

#[test]
fn nothing_is_known_of_the_future() {
    let mut story = Story::new(running(), vec![run(1, 0, 10, &[0])]);
    story.as_of_minute = 30;
    let hours = story.whole_hours(2);
    assert_eq!(time(&hours[0]), [(1, [10, 20, 20, 40])]);
    assert_eq!(time(&hours[1]), []);
}

#[test]
fn a_part_of_an_hour_has_its_ends_but_no_slot_time() {
    let runs = vec![run(1, 0, 10, &[0]), run(2, 20, 40, &[0]), run(1, 45, 50, &[0])];
    let clip = Window::of(30 * MINUTE_US, 45 * MINUTE_US);
    let hours = Story::new(running(), runs).hours(&[clip]);
    assert_eq!(time(&hours[0]), []);
    assert_eq!(classes(&hours), [(2, Class::Switched { from: 1 })]);
    assert_eq!((hours[0].time[0].active_us, hours[0].time[0].busy_us), (10 * MINUTE_US, 10 * MINUTE_US));
}

#[test]
fn a_life_told_late_reaches_what_follows_its_end() {
    let end = |states: Vec<StateRow>| {
        let fleet = Fleet::new(1, states, Vec::new());
        let machine = MachineView { fleet: &fleet, vm_id: VM, touched: None, gpu_memory_bytes: None };
        let hour = Window::of(0, HOUR_US);
        let input = HourInput { machine, hour, as_of: hour.end, started: &[], jobs: &[], samples: &[] };
        build(&input, hour, &Carry::default()).1
    };
    let (ran, ended) = (state(0, VmState::Running, 0), state(50, VmState::Terminated, 0));
    let known = end(vec![ran.clone(), ended.clone()]);
    // What starts after the end belonged to the life from minute 0; now it belongs to that from minute 30.
    let told = end(vec![ran, state(20, VmState::Terminated, 0), state(30, VmState::Running, 0), ended]);
    assert_ne!(known, told);
}
