//! The figures of a Linux machine, from `/proc` and, for its memory, `sysinfo`.
//!
//! Invariants: a file that cannot be read costs its own measures only, and is said once per change; interval measures need
//! the counters of the tick before. Must not know: the wire.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sysinfo::System;

use super::cpu::CpuTimes;
use super::disk_io::DiskCounters;
use super::network::NetworkCounters;
use super::{disk, memory, network};
use crate::collector::{CollectError, chain};
use crate::condition::Condition;
use crate::reading::{VmSample, ratio, whole};

/// One file below `/proc`, its last counters, and whether it is readable.
#[derive(Debug)]
struct Source<T> {
    path: PathBuf,
    earlier: Option<T>,
    readable: Condition,
}

/// Reads the machine; keeps what the next tick is compared with.
#[derive(Debug)]
pub(super) struct Machine {
    system: System,
    text: String,
    cpu: Source<CpuTimes>,
    disk_io: Source<DiskCounters>,
    network: Source<NetworkCounters>,
    mounts: Source<()>,
}

impl Machine {
    /// The machine whose `/proc` is at `proc_root`.
    pub(super) fn at(proc_root: &Path) -> Result<Self, CollectError> {
        Ok(Self {
            system: System::new().map_err(CollectError::System)?,
            text: String::new(),
            cpu: Source::at(proc_root.join("stat")),
            disk_io: Source::at(proc_root.join("diskstats")),
            network: Source::at(proc_root.join("net/dev")),
            mounts: Source::at(proc_root.join("self/mountinfo")),
        })
    }

    /// This machine.
    pub(super) fn new() -> Result<Self, CollectError> {
        Self::at(Path::new("/proc"))
    }

    /// Fills `sample`; without `elapsed`, the time since the tick before, only the gauges.
    pub(super) fn read(&mut self, elapsed: Option<Duration>, sample: &mut VmSample) {
        self.read_cpu(elapsed, sample);
        self.read_disk_io(elapsed, sample);
        self.read_network(elapsed, sample);
        if let Some(volumes) = self.mounts.read(&mut self.text, |text| disk::volumes(text).map_err(|error| error.to_string())) {
            let space = disk::total(&volumes, disk::space_at);
            sample.disk_used_bytes = space.and_then(|space| whole(space.used_bytes));
            sample.disk_total_bytes = space.and_then(|space| whole(space.total_bytes));
        }
        let memory = memory::read(&mut self.system);
        sample.memory_used_bytes = memory.and_then(|memory| whole(memory.used_bytes));
        sample.memory_total_bytes = memory.and_then(|memory| whole(memory.total_bytes));
    }

    fn read_cpu(&mut self, elapsed: Option<Duration>, sample: &mut VmSample) {
        let parse = |text: &str| CpuTimes::parse(text).ok_or_else(|| "no summary of the cpu time".to_owned());
        let now = self.cpu.read(&mut self.text, parse);
        let earlier = std::mem::replace(&mut self.cpu.earlier, now);
        if let (Some(_), Some(now), Some(earlier)) = (elapsed, now, earlier) {
            sample.cpu_ratio = now.busy_ratio_since(earlier).and_then(ratio);
        }
    }

    fn read_disk_io(&mut self, elapsed: Option<Duration>, sample: &mut VmSample) {
        let now = self.disk_io.read(&mut self.text, |text| DiskCounters::parse(text).map_err(|error| error.to_string()));
        if let (Some(elapsed), Some(now), Some(earlier)) = (elapsed, &now, &self.disk_io.earlier)
            && let Some(traffic) = now.since(earlier, elapsed)
        {
            sample.disk_read_bytes = whole(traffic.read_bytes);
            sample.disk_written_bytes = whole(traffic.written_bytes);
            sample.disk_read_ops = whole(traffic.read_ops);
            sample.disk_write_ops = whole(traffic.write_ops);
            sample.disk_busy_ratio = traffic.busy_ratio.and_then(ratio);
        }
        self.disk_io.earlier = now;
    }

    fn read_network(&mut self, elapsed: Option<Duration>, sample: &mut VmSample) {
        let now = self.network.read(&mut self.text, |text| network::parse(text).map_err(|error| error.to_string()));
        if let (Some(_), Some(now), Some(earlier)) = (elapsed, &now, &self.network.earlier)
            && let Some(traffic) = now.since(earlier)
        {
            sample.network_received_bytes = whole(traffic.received_bytes);
            sample.network_sent_bytes = whole(traffic.sent_bytes);
            sample.network_errors = whole(traffic.errors);
        }
        self.network.earlier = now;
    }
}

impl<T> Source<T> {
    fn at(path: PathBuf) -> Self {
        Self { path, earlier: None, readable: Condition::default() }
    }

    /// Reads and parses the file; a fault is logged once per change.
    fn read<P>(&mut self, text: &mut String, parse: impl FnOnce(&str) -> Result<P, String>) -> Option<P> {
        let parsed = read_into(&self.path, text)
            .and_then(|()| parse(text).map_err(|message| CollectError::Format { path: self.path.clone(), message }));
        match parsed {
            Ok(parsed) => {
                if self.readable.recovers() {
                    tracing::info!(path = %self.path.display(), "a source of samples is back");
                }
                Some(parsed)
            }
            Err(error) => {
                if self.readable.fails(&error.to_string()) {
                    tracing::warn!(error = chain(&error), "a source of samples is unavailable, its measures are left out");
                }
                None
            }
        }
    }
}

/// Reads the file into a buffer that is used again and again.
fn read_into(path: &Path, text: &mut String) -> Result<(), CollectError> {
    text.clear();
    let read = File::open(path).and_then(|mut file| file.read_to_string(text));
    read.map(|_| ()).map_err(|source| CollectError::Read { path: path.to_owned(), source })
}
