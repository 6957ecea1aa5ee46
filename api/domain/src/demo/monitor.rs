//! What a machine's own measures would have shown, from what ran on it.
//!
//! Invariant: a bin is one sample interval that ends on a multiple of it; busy time in a bin never exceeds its length.
//! Must not know: why something ran.

use plimsoll_entity::value::time::{Instant, SECOND_US, Window};

use crate::demo::fleet::Up;
use crate::demo::schedule::{Load, Run};
use crate::demo::studio::{COMBINATIONS, INSTANCE_TYPES, MACHINES, MODELS};
use crate::demo::work::Job;

/// What happened on one slot in one bin.
#[derive(Clone, Copy, Default)]
pub struct SlotBin {
    /// Time in which something ran.
    pub busy_us: i64,
    /// Part of it that was loading.
    pub loading_us: i64,
    /// Most memory held.
    pub memory_bytes: i64,
}

/// What happened on one machine in one bin.
#[derive(Clone, Copy, Default)]
pub struct HostBin {
    /// Bytes that came over the network.
    pub received_bytes: i64,
    /// Bytes that went over the network.
    pub sent_bytes: i64,
    /// Bytes read from disk.
    pub read_bytes: i64,
    /// Bytes written to disk.
    pub written_bytes: i64,
    /// CPU time.
    pub cpu_us: i64,
}

/// Everything that happened, by machine, slot and bin.
pub struct Monitor {
    interval_us: i64,
    first_us: i64,
    bins: usize,
    hosts: Vec<Vec<HostBin>>,
    slots: Vec<Vec<Vec<SlotBin>>>,
}

impl Monitor {
    /// Watches runs and loads.
    pub fn of(window: Window, interval_s: i64, machines: usize, jobs: &[Job], runs: &[Run], loads: &[Load]) -> Self {
        let interval_us = interval_s * SECOND_US;
        let first_us = window.start.0.div_euclid(interval_us) * interval_us + interval_us;
        let bins = ((window.end.0 - first_us).div_euclid(interval_us) + 1).max(0) as usize;
        let slots = MACHINES
            .iter()
            .take(machines)
            .map(|machine| vec![vec![SlotBin::default(); bins]; INSTANCE_TYPES[machine.kind].gpu_count.max(1)]);
        let mut monitor =
            Self { interval_us, first_us, bins, hosts: vec![vec![HostBin::default(); bins]; machines], slots: slots.collect() };
        for run in runs {
            monitor.watch_run(run, &jobs[run.job]);
        }
        for load in loads.iter().filter(|load| !load.failed) {
            monitor.watch_load(load);
        }
        monitor
    }

    /// Length of a bin.
    pub const fn interval_us(&self) -> i64 {
        self.interval_us
    }

    /// The end of a bin: the instant of its samples.
    pub const fn at(&self, bin: usize) -> Instant {
        Instant(self.first_us + bin as i64 * self.interval_us)
    }

    /// The bins that lie wholly in a stretch of running.
    pub fn bins_of(&self, up: &Up) -> impl Iterator<Item = usize> + use<> {
        let first = (up.start_us - self.first_us).div_euclid(self.interval_us) + 2;
        let after = (up.end_us - self.first_us).div_euclid(self.interval_us) + 1;
        (first.max(0) as usize)..(after.clamp(0, self.bins as i64) as usize)
    }

    /// A machine's bin.
    pub fn host(&self, vm: usize, bin: usize) -> HostBin {
        self.hosts[vm][bin]
    }

    /// A slot's bin.
    pub fn slot(&self, vm: usize, slot: usize, bin: usize) -> SlotBin {
        self.slots[vm][slot][bin]
    }

    /// Slots of a machine.
    pub fn slots(&self, vm: usize) -> usize {
        self.slots[vm].len()
    }

    /// The bin of an instant.
    fn bin(&self, at_us: i64) -> Option<usize> {
        let bin = (at_us - self.first_us).div_euclid(self.interval_us) + 1;
        usize::try_from(bin).ok().filter(|&bin| bin < self.bins)
    }

    /// Bins that a stretch touches, and how long.
    fn shares(&self, start_us: i64, end_us: i64) -> Vec<(usize, i64)> {
        let mut shares = Vec::new();
        let mut at_us = start_us;
        while let Some(bin) = self.bin(at_us).filter(|_| at_us < end_us) {
            let until_us = self.at(bin).0.min(end_us);
            shares.push((bin, until_us - at_us));
            at_us = until_us;
        }
        shares
    }

    fn watch_run(&mut self, run: &Run, job: &Job) {
        let width = MODELS[COMBINATIONS[job.combination].model].gpus.max(1);
        let memory_bytes = run.went.gpu_memory_peak_bytes.unwrap_or(0) / width as i64;
        let loaded_us = run.start_us + run.went.load_us;
        for (bin, us) in self.shares(run.start_us, run.end_us()) {
            let bin_start_us = self.at(bin).0 - self.interval_us;
            let loading_us = (loaded_us.min(bin_start_us + self.interval_us) - run.start_us.max(bin_start_us)).clamp(0, us);
            for slot in run.slot..run.slot + width {
                let cell = &mut self.slots[run.vm][slot][bin];
                cell.busy_us = (cell.busy_us + us).min(self.interval_us);
                cell.loading_us = (cell.loading_us + loading_us).min(cell.busy_us);
                cell.memory_bytes = cell.memory_bytes.max(memory_bytes);
            }
            self.hosts[run.vm][bin].cpu_us += (run.went.cpu_ms as f64 * 1000.0 * us as f64 / run.went.duration_us.max(1) as f64) as i64;
        }
        if let Some(bin) = self.bin(run.start_us) {
            self.hosts[run.vm][bin].received_bytes += run.went.input_bytes;
        }
        if let Some(bin) = self.bin(run.end_us()) {
            self.hosts[run.vm][bin].sent_bytes += run.went.output_bytes.unwrap_or(0);
        }
    }

    fn watch_load(&mut self, load: &Load) {
        let size_bytes = load.artifact.size_bytes();
        let length_us = (load.end_us - load.start_us).max(1);
        for (bin, us) in self.shares(load.start_us, load.end_us) {
            let bytes = (size_bytes as f64 * us as f64 / length_us as f64) as i64;
            let cell = &mut self.hosts[load.vm][bin];
            if !load.source.hit {
                cell.received_bytes += bytes;
                cell.written_bytes += bytes;
            } else if load.source.storage_type == plimsoll_entity::value::label::StorageType::LocalDisk {
                cell.read_bytes += bytes;
            }
        }
    }
}
