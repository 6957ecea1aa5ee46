//! What the contract says of machines, worked out from the raw events in the plainest way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plimsoll_domain::ingest::event::{Event, VmStateChange};
use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{Instant, Window};

/// Instance type, region, provider.
pub type Place = [Option<String>; 3];

#[derive(Default)]
pub struct Fleet {
    states: BTreeMap<String, Vec<VmStateChange>>,
    v_cpus: HashMap<String, i32>,
    gpu_count: HashMap<String, i32>,
    gpu_index_max: HashMap<String, u16>,
    touched: BTreeMap<String, (Instant, Instant)>,
}

/// GPUs, slots, vCPUs.
pub struct Shape {
    pub gpus: i128,
    pub slots: f64,
    pub v_cpus: f64,
}

impl Fleet {
    pub fn new(events: &[Event]) -> Self {
        let mut fleet = Self::default();
        let mut states: Vec<VmStateChange> = Vec::new();
        for event in events {
            match event {
                Event::VmState(change) => states.push((**change).clone()),
                Event::Execution(execution) => {
                    if let Some(vm) = &execution.vm {
                        fleet.touch(vm, execution.started_at, execution.finished_at);
                        execution.gpus.iter().for_each(|gpu| fleet.name_gpu(vm, *gpu));
                    }
                }
                Event::CheckpointLoad(load) => {
                    fleet.touch(&load.vm, load.started_at, load.finished_at);
                    load.gpu.into_iter().for_each(|gpu| fleet.name_gpu(&load.vm, gpu));
                }
                Event::VmSample(sample) => fleet.touch(&sample.vm, sample.at, sample.at),
                Event::GpuSample(sample) => {
                    fleet.touch(&sample.vm, sample.at, sample.at);
                    fleet.name_gpu(&sample.vm, sample.gpu);
                }
                _ => {}
            }
        }
        states.sort_by_key(|change| (change.at, change.state, change.id));
        for change in states {
            if let Some(kind) = &change.instance_type {
                fleet.v_cpus.extend(change.v_cpus.map(|v_cpus| (kind.clone(), v_cpus)));
                fleet.gpu_count.extend(change.gpu_count.map(|gpus| (kind.clone(), gpus)));
            }
            fleet.states.entry(change.vm.clone()).or_default().push(change);
        }
        fleet
    }

    fn touch(&mut self, vm: &str, from: Instant, to: Instant) {
        let touched = self.touched.entry(vm.to_owned()).or_insert((from, to));
        *touched = (touched.0.min(from), touched.1.max(to));
    }

    fn name_gpu(&mut self, vm: &str, gpu: u16) {
        let highest = self.gpu_index_max.entry(vm.to_owned()).or_insert(gpu);
        *highest = (*highest).max(gpu);
    }

    /// The type of the life that holds at an instant.
    fn type_at(&self, states: &[VmStateChange], at: Instant) -> Option<String> {
        let mut lives: Vec<(Instant, Option<String>)> = Vec::new();
        let mut terminated = false;
        for change in states {
            let begins = matches!(change.state, VmState::Requested | VmState::Provisioning | VmState::Running);
            if lives.is_empty() || (terminated && begins) {
                lives.push((change.at, None));
                terminated = false;
            }
            terminated |= change.state == VmState::Terminated;
            if let (Some(life), Some(kind)) = (lives.last_mut(), &change.instance_type) {
                life.1 = Some(kind.clone());
            }
        }
        let life = lives.iter().rev().find(|life| life.0 <= at).or(lives.first());
        life.and_then(|life| life.1.clone())
    }

    pub fn place_at(&self, vm: &str, at: Instant) -> Place {
        let Some(states) = self.states.get(vm) else { return Place::default() };
        let told = |name: fn(&VmStateChange) -> &Option<String>| {
            let before = states.iter().filter(|change| change.at <= at).filter_map(|change| name(change).clone()).last();
            before.or_else(|| states.iter().find_map(|change| name(change).clone()))
        };
        [self.type_at(states, at), told(|change| &change.region), told(|change| &change.provider)]
    }

    pub fn shape_at(&self, vm: &str, at: Instant) -> Shape {
        let [kind, ..] = self.place_at(vm, at);
        let of_kind = |facts: &HashMap<String, i32>| kind.as_ref().and_then(|kind| facts.get(kind).copied());
        let named = self.gpu_index_max.get(vm).map_or(0, |index| i32::from(*index) + 1);
        let gpus = of_kind(&self.gpu_count).unwrap_or(named);
        Shape { gpus: i128::from(gpus), slots: f64::from(gpus.max(1)), v_cpus: f64::from(of_kind(&self.v_cpus).unwrap_or(0)) }
    }

    /// Machines that were RUNNING at some instant of the window, and where.
    pub fn running(&self, window: Window) -> BTreeSet<(String, Place)> {
        let mut running = BTreeSet::new();
        for (vm, states) in &self.states {
            let ends = states.iter().skip(1).map(|change| change.at).chain([window.end]);
            for (change, end) in states.iter().zip(ends).filter(|(change, _)| change.state == VmState::Running) {
                let (start, end) = (change.at.max(window.start), end.min(window.end));
                // A place changes only where a state does: the stretch itself has one.
                if start < end {
                    running.insert((vm.clone(), self.place_at(vm, start)));
                }
            }
        }
        for (vm, (first, last)) in self.touched.iter().filter(|(vm, _)| !self.states.contains_key(*vm)) {
            if (*first).max(window.start) < (*last).min(window.end) {
                running.insert((vm.clone(), Place::default()));
            }
        }
        running
    }
}
