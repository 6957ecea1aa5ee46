//! What the contract says of slots, worked out from the raw events in the plainest way: every execution is looked at at every instant.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::ingest::event::{Event, Execution, GpuSample, VmStateChange};
use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{HOUR_US, Instant, Window};

use super::directory::{Key, checkpoint_texts, combination_text, version_text};
use super::fleet::{Fleet, Place};

/// Microseconds of an hour, as a divisor.
const HOURS: f64 = 3_600e6;

/// GPU, CPU, idle GPU, idle CPU hours.
pub type Hours = [f64; 4];

/// Executions, switches, cold starts.
pub type Switches = [u64; 3];

/// Time of one slot without a change that belongs to one execution.
struct Share {
    window: Window,
    execution: usize,
    place: Place,
    hours: Hours,
}

/// Time of one machine without a change.
struct Stretch {
    vm: String,
    window: Window,
    place: Place,
    is_running: bool,
    is_active: bool,
    busy_us: i64,
    slots: u32,
}

pub struct Truth {
    executions: Vec<Execution>,
    gpu_samples: Vec<GpuSample>,
    fleet: Fleet,
    states: BTreeMap<String, Vec<VmStateChange>>,
    touched: BTreeMap<String, (Instant, Instant)>,
    shares: Vec<Share>,
    stretches: Vec<Stretch>,
    /// Slot time held, and slot time held that nobody caused, in hours of GPUs.
    pub held_gpu_hours: f64,
    pub overhead_gpu_hours: f64,
}

fn holds(execution: &Execution, slot: u32, slots: u32) -> bool {
    let named: Vec<u32> = execution.gpus.iter().map(|gpu| u32::from(*gpu)).filter(|gpu| *gpu < slots).collect();
    named.is_empty() || named.contains(&slot)
}

impl Truth {
    pub fn new(events: &[Event], as_of: Instant) -> Self {
        let mut truth = Self {
            executions: Vec::new(),
            gpu_samples: Vec::new(),
            fleet: Fleet::new(events),
            states: BTreeMap::new(),
            touched: BTreeMap::new(),
            shares: Vec::new(),
            stretches: Vec::new(),
            held_gpu_hours: 0.0,
            overhead_gpu_hours: 0.0,
        };
        for event in events {
            match event {
                Event::Execution(execution) => {
                    truth.executions.push((**execution).clone());
                    execution.vm.iter().for_each(|vm| truth.touch(vm, execution.started_at, execution.finished_at));
                }
                Event::VmState(change) => truth.states.entry(change.vm.clone()).or_default().push((**change).clone()),
                Event::VmSample(sample) => truth.touch(&sample.vm, sample.at, sample.at),
                Event::GpuSample(sample) => {
                    truth.touch(&sample.vm, sample.at, sample.at);
                    truth.gpu_samples.push((**sample).clone());
                }
                _ => {}
            }
        }
        truth.states.values_mut().for_each(|changes| changes.sort_by_key(|change| (change.at, change.state, change.id)));
        let vms: BTreeSet<String> = truth.states.keys().chain(truth.touched.keys()).cloned().collect();
        vms.iter().for_each(|vm| truth.sweep(vm, as_of));
        truth
    }

    fn touch(&mut self, vm: &str, from: Instant, to: Instant) {
        let touched = self.touched.entry(vm.to_owned()).or_insert((from, to));
        *touched = (touched.0.min(from), touched.1.max(to));
    }

    /// First RUNNING and end of each life that ran.
    fn lives(&self, vm: &str) -> Vec<(Instant, Option<Instant>)> {
        let mut lives: Vec<(Option<Instant>, Option<Instant>)> = Vec::new();
        for change in self.states.get(vm).into_iter().flatten() {
            let begins = matches!(change.state, VmState::Requested | VmState::Provisioning | VmState::Running);
            if lives.is_empty() || (begins && lives.last().is_some_and(|life| life.1.is_some())) {
                lives.push((None, None));
            }
            let life = lives.last_mut().unwrap();
            match change.state {
                VmState::Running if life.0.is_none() && life.1.is_none() => life.0 = Some(change.at),
                VmState::Terminated if life.1.is_none() => life.1 = Some(change.at),
                _ => {}
            }
        }
        lives.into_iter().filter_map(|(began, ended)| Some((began?, ended))).collect()
    }

    /// The beginning of the latest life that had begun.
    fn life_of(&self, vm: &str, at: Instant) -> Option<Instant> {
        self.lives(vm).into_iter().map(|(began, _)| began).filter(|began| *began <= at).max()
    }

    /// State at an instant, and the beginning of the life where the machine is held.
    fn held(&self, vm: &str, at: Instant) -> (Option<VmState>, Option<Instant>) {
        let Some(changes) = self.states.get(vm) else {
            let within = self.touched.get(vm).is_some_and(|(first, last)| *first <= at && at < *last);
            return (within.then_some(VmState::Running), within.then_some(Instant(i64::MIN)));
        };
        let Some(state) = changes.iter().rev().find(|change| change.at <= at).map(|change| change.state) else { return (None, None) };
        let life = self.lives(vm).into_iter().rev().find(|(began, _)| *began <= at);
        let life = life.filter(|(_, ended)| ended.is_none_or(|ended| at < ended)).map(|(began, _)| began);
        (Some(state), life.filter(|_| state != VmState::Stopped))
    }

    fn sweep(&mut self, vm: &str, as_of: Instant) {
        let own: Vec<usize> = (0..self.executions.len()).filter(|at| self.executions[*at].vm.as_deref() == Some(vm)).collect();
        let mut instants: BTreeSet<i64> = [as_of.0].into();
        own.iter().for_each(|at| instants.extend([self.executions[*at].started_at.0, self.executions[*at].finished_at.0]));
        self.states.get(vm).into_iter().flatten().for_each(|change| instants.extend([change.at.0]));
        self.touched.get(vm).into_iter().for_each(|(first, last)| instants.extend([first.0, last.0]));
        let (first, last) = (instants.first().copied().unwrap(), instants.last().copied().unwrap());
        instants.extend((first.div_euclid(HOUR_US)..=last.div_euclid(HOUR_US)).map(|hour| hour * HOUR_US));
        let instants: Vec<i64> = instants.into_iter().filter(|at| *at <= as_of.0).collect();
        for pair in instants.windows(2) {
            let (window, at) = (Window::of(pair[0], pair[1]), Instant(pair[0]));
            let (Some(state), Some(began)) = self.held(vm, at) else { continue };
            self.stretch(vm, window, state == VmState::Running, began, &own);
        }
    }

    /// Every slot of a machine in time without a change.
    fn stretch(&mut self, vm: &str, window: Window, is_running: bool, began: Instant, own: &[usize]) {
        let (at, us) = (window.start, window.length_us() as f64);
        let shape = self.fleet.shape_at(vm, at);
        let (slots, place) = (shape.slots as u32, self.fleet.place_at(vm, at));
        let mut busy_us = 0;
        for slot in 0..slots {
            let gpu_us = if i128::from(slot) < shape.gpus { us } else { 0.0 };
            let hours = [gpu_us / HOURS, us * shape.v_cpus / shape.slots / HOURS];
            self.held_gpu_hours += hours[0];
            let on_slot: Vec<usize> = own.iter().copied().filter(|run| holds(&self.executions[*run], slot, slots)).collect();
            let runs = |run: &usize| self.executions[*run].started_at <= at && at < self.executions[*run].finished_at;
            let holders: Vec<usize> = on_slot.iter().copied().filter(runs).collect();
            if holders.is_empty() {
                let ended = |run: &&usize| began <= self.executions[**run].finished_at && self.executions[**run].finished_at <= at;
                let end = |run: &&usize| (self.executions[**run].finished_at, self.executions[**run].id);
                match on_slot.iter().filter(ended).max_by_key(end).filter(|_| is_running) {
                    Some(cause) => {
                        let hours = [0.0, 0.0, hours[0], hours[1]];
                        self.shares.push(Share { window, execution: *cause, place: place.clone(), hours });
                    }
                    None => self.overhead_gpu_hours += hours[0],
                }
            } else if is_running {
                busy_us += window.length_us();
            }
            for holder in &holders {
                let part = holders.len() as f64;
                let hours = [hours[0] / part, hours[1] / part, 0.0, 0.0];
                self.shares.push(Share { window, execution: *holder, place: place.clone(), hours });
            }
        }
        let is_active = own.iter().any(|run| self.executions[*run].started_at <= at && at < self.executions[*run].finished_at);
        self.stretches.push(Stretch { vm: vm.to_owned(), window, place, is_running, is_active, busy_us, slots });
    }

    fn key(execution: &Execution, place: &Place, by: &[Dimension]) -> Key {
        by.iter()
            .map(|dimension| match dimension {
                Dimension::Model => Some(execution.model.model.clone()),
                Dimension::ModelVersion => Some(version_text(&execution.model)),
                Dimension::Combination => Some(combination_text(execution)),
                Dimension::Application => execution.caller.application.clone(),
                Dimension::User => execution.caller.user.clone(),
                Dimension::Vm => execution.vm.clone(),
                Dimension::ErrorType => execution.error_type.clone(),
                Dimension::InstanceType => place[0].clone(),
                Dimension::Region => place[1].clone(),
                Dimension::Provider => place[2].clone(),
                other => unreachable!("{other:?} has several values"),
            })
            .collect()
    }

    /// The keys of a share, each with its part: one, or one for each checkpoint version.
    fn keys(execution: &Execution, place: &Place, by: &[Dimension]) -> Vec<(Key, f64)> {
        let [dimension] = by else { return vec![(Self::key(execution, place, by), 1.0)] };
        if !dimension.is_checkpoint() {
            return vec![(Self::key(execution, place, by), 1.0)];
        }
        let text = |texts: (String, String)| if *dimension == Dimension::Checkpoint { texts.0 } else { texts.1 };
        match execution.checkpoints.len() {
            0 => vec![(vec![None], 1.0)],
            count => {
                execution.checkpoints.iter().map(|version| (vec![Some(text(checkpoint_texts(version)))], 1.0 / count as f64)).collect()
            }
        }
    }

    /// Slot time by row in a window of whole hours; checkpoints only by themselves.
    pub fn usage(&self, window: Window, by: &[Dimension]) -> BTreeMap<Key, Hours> {
        let mut rows: BTreeMap<Key, Hours> = BTreeMap::new();
        for share in self.shares.iter().filter(|share| window.contains(share.window.start)) {
            for (key, part) in Self::keys(&self.executions[share.execution], &share.place, by) {
                let row = rows.entry(key).or_default();
                row.iter_mut().zip(share.hours).for_each(|(sum, hours)| *sum += hours * part);
            }
        }
        rows
    }

    /// What came before each execution on its slot in its life: the execution, and the one before.
    fn chains(&self) -> Vec<(&Execution, Option<&Execution>)> {
        let mut runs: Vec<(&Execution, &String)> = self.executions.iter().filter_map(|run| Some((run, run.vm.as_ref()?))).collect();
        runs.sort_by_key(|(run, vm)| (*vm, run.started_at, run.id));
        let chain = |(run, vm): &(&Execution, &String)| {
            let slots = self.fleet.shape_at(vm, run.started_at).slots as u32;
            ((*vm).clone(), self.life_of(vm, run.started_at), (0..slots).find(|slot| holds(run, *slot, slots)))
        };
        let before = |at: usize| runs[..at].iter().rev().find(|other| chain(other) == chain(&runs[at])).map(|(run, _)| *run);
        (0..runs.len()).map(|at| (runs[at].0, before(at))).collect()
    }

    /// Switches by row, and transitions.
    pub fn switching(&self, window: Window, by: &[Dimension]) -> (BTreeMap<Key, Switches>, BTreeMap<(String, String), u64>) {
        let (mut rows, mut transitions) = (BTreeMap::new(), BTreeMap::new());
        for (run, before) in self.chains().into_iter().filter(|(run, _)| window.contains(run.finished_at)) {
            let place = self.fleet.place_at(run.vm.as_ref().unwrap(), run.finished_at);
            let keys: BTreeSet<Key> = Self::keys(run, &place, by).into_iter().map(|(key, _)| key).collect();
            let switched = before.filter(|before| combination_text(before) != combination_text(run));
            for key in keys {
                let row: &mut Switches = rows.entry(key).or_default();
                row[0] += 1;
                row[1] += u64::from(switched.is_some());
                row[2] += u64::from(before.is_none());
            }
            if let Some(before) = switched {
                *transitions.entry((combination_text(before), combination_text(run))).or_default() += 1;
            }
        }
        (rows, transitions)
    }

    /// RUNNING, active and busy time and RUNNING slot time in microseconds, by machine and place.
    pub fn activity(&self, window: Window) -> BTreeMap<(String, Place), [i64; 4]> {
        let mut rows: BTreeMap<(String, Place), [i64; 4]> = BTreeMap::new();
        for stretch in self.stretches.iter().filter(|stretch| stretch.is_running) {
            let us = (stretch.window.end.min(window.end).0 - stretch.window.start.max(window.start).0).max(0);
            if us > 0 {
                let row = rows.entry((stretch.vm.clone(), stretch.place.clone())).or_default();
                row[0] += us;
                row[1] += if stretch.is_active { us } else { 0 };
                // Each slot is held throughout, or not at all.
                row[2] += stretch.busy_us / stretch.window.length_us() * us;
                row[3] += us * i64::from(stretch.slots);
            }
        }
        rows
    }

    /// GPU samples by combination whose executions alone held the GPU, by machine.
    pub fn owned_samples(&self, window: Window) -> BTreeMap<(String, String), u64> {
        let mut owned = BTreeMap::new();
        for sample in self.gpu_samples.iter().filter(|sample| window.contains(sample.at)) {
            let holds = |run: &&Execution| {
                let slots = self.fleet.shape_at(&sample.vm, run.started_at).slots as u32;
                let runs = run.started_at <= sample.at && sample.at < run.finished_at;
                run.vm.as_ref() == Some(&sample.vm) && runs && u32::from(sample.gpu) < slots && holds(run, u32::from(sample.gpu), slots)
            };
            let combinations: BTreeSet<String> = self.executions.iter().filter(holds).map(combination_text).collect();
            if let (1, Some(combination)) = (combinations.len(), combinations.first()) {
                *owned.entry((sample.vm.clone(), combination.clone())).or_default() += 1;
            }
        }
        owned
    }

    /// The largest share of the memory of its GPUs that an execution took, by machine.
    pub fn memory_ratio(&self, window: Window) -> BTreeMap<String, f64> {
        let mut largest: BTreeMap<String, f64> = BTreeMap::new();
        for run in self.executions.iter().filter(|run| window.contains(run.finished_at)) {
            let Some((vm, peak)) = run.vm.as_ref().zip(run.gpu_memory_peak_bytes) else { continue };
            let told = |sample: &&GpuSample| sample.vm == *vm && sample.memory_total_bytes.is_some();
            let Some(told) = self.gpu_samples.iter().filter(told).max_by_key(|sample| (sample.at, sample.memory_total_bytes)) else {
                continue;
            };
            let shape = self.fleet.shape_at(vm, run.finished_at);
            let gpus = match (shape.gpus, run.gpus.len()) {
                (0, _) => continue,
                (gpus, 0) => gpus as f64,
                (_, named) => named as f64,
            };
            let ratio = peak as f64 / (told.memory_total_bytes.unwrap() as f64 * gpus);
            let row = largest.entry(vm.clone()).or_insert(ratio);
            *row = row.max(ratio);
        }
        largest
    }
}
