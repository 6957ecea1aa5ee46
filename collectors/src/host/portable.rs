//! The figures of a machine that has no `/proc`, from `sysinfo`: CPU, memory, disks and network traffic.
//!
//! Invariant: what `sysinfo` does not tell everywhere (operations and busy time of disks) stays absent. It is compiled for
//! the tests on every system, so that it does not rot. Must not know: the wire.

use std::collections::HashSet;
use std::time::Duration;

use sysinfo::{DiskRefreshKind, Disks, Networks, System};

use super::memory;
use super::network::{InterfaceCounters, NetworkCounters};
use crate::collector::CollectError;
use crate::reading::{VmSample, ratio, whole};

/// Reads the machine; keeps what the next tick is compared with.
#[derive(Debug)]
pub(super) struct Machine {
    system: System,
    disks: Disks,
    networks: Networks,
    earlier: Option<NetworkCounters>,
}

impl Machine {
    /// This machine.
    pub(super) fn new() -> Result<Self, CollectError> {
        let system = System::new().map_err(CollectError::System)?;
        let disks = Disks::new().map_err(CollectError::System)?;
        let networks = Networks::new().map_err(CollectError::System)?;
        Ok(Self { system, disks, networks, earlier: None })
    }

    /// Fills `sample`; without `elapsed`, the time since the tick before, only the gauges.
    pub(super) fn read(&mut self, elapsed: Option<Duration>, sample: &mut VmSample) {
        self.system.refresh_cpu_usage();
        if elapsed.is_some() {
            sample.cpu_ratio = ratio(f64::from(self.system.global_cpu_usage()) / 100.0);
        }
        let memory = memory::read(&mut self.system);
        sample.memory_used_bytes = memory.and_then(|memory| whole(memory.used_bytes));
        sample.memory_total_bytes = memory.and_then(|memory| whole(memory.total_bytes));
        self.read_disks(sample);
        self.read_network(elapsed, sample);
    }

    fn read_disks(&mut self, sample: &mut VmSample) {
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing().with_storage());
        let mut seen = HashSet::new();
        let disks = self.disks.iter().filter(|disk| disk.total_space() > 0 && seen.insert(disk.name().to_owned()));
        let (used_bytes, total_bytes) = disks.fold((0_u64, 0_u64), |(used, total), disk| {
            (used + disk.total_space().saturating_sub(disk.available_space()), total + disk.total_space())
        });
        if total_bytes > 0 {
            sample.disk_used_bytes = whole(used_bytes);
            sample.disk_total_bytes = whole(total_bytes);
        }
    }

    fn read_network(&mut self, elapsed: Option<Duration>, sample: &mut VmSample) {
        self.networks.refresh(true);
        let now = NetworkCounters::of(self.networks.iter().map(|(name, data)| {
            let counters = InterfaceCounters {
                received_bytes: data.total_received(),
                sent_bytes: data.total_transmitted(),
                errors: data.total_errors_on_received().saturating_add(data.total_errors_on_transmitted()),
            };
            (name.to_string_lossy().into_owned(), counters)
        }));
        if let (Some(_), Some(earlier)) = (elapsed, &self.earlier)
            && let Some(traffic) = now.since(earlier)
        {
            sample.network_received_bytes = whole(traffic.received_bytes);
            sample.network_sent_bytes = whole(traffic.sent_bytes);
            sample.network_errors = whole(traffic.errors);
        }
        self.earlier = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_gauges_first_and_traffic_at_the_second_tick() {
        let mut machine = Machine::new().unwrap();
        let empty = VmSample::empty("here".into(), chrono::DateTime::UNIX_EPOCH, 10.0);
        let mut first = empty.clone();
        machine.read(None, &mut first);
        assert!(first.memory_total_bytes > Some(0));
        assert_eq!((first.cpu_ratio, first.network_sent_bytes), (None, None));
        let mut second = empty;
        machine.read(Some(Duration::from_secs(10)), &mut second);
        assert!(second.cpu_ratio.is_some() && second.network_received_bytes.is_some());
        assert_eq!(second.disk_read_ops, None);
    }
}
