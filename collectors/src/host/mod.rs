//! This machine: one `vmSample` a tick.
//!
//! Invariants: the first tick has gauges only, since amounts need an interval; the interval of every later one is the time
//! that really passed, by the monotonic clock. Must not know: GPUs.

#[cfg(target_os = "linux")]
mod cpu;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod disk_io;
#[cfg(target_os = "linux")]
mod linux;
mod memory;
mod network;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;

use std::time::Duration;

#[cfg(target_os = "linux")]
use linux::Machine;
#[cfg(not(target_os = "linux"))]
use portable::Machine;

use crate::clock::Moment;
use crate::collector::{CollectError, Collector};
use crate::interval::Interval;
use crate::reading::{Reading, VmSample, amount};

/// After a longer silence, such as a machine that slept, amounts say nothing about a rate and the sample starts afresh.
const GAP_MAX: Duration = Duration::from_secs(3_600);
/// A shorter interval cannot be told from none.
const ELAPSED_MIN: Duration = Duration::from_millis(1);

/// Samples this machine.
#[derive(Debug)]
pub struct HostCollector {
    vm: String,
    interval: Interval,
    machine: Machine,
    earlier: Option<Moment>,
}

impl HostCollector {
    /// Samples this machine under the name `vm`, as often as `interval` says.
    ///
    /// # Errors
    /// When the operating system tells nothing about itself.
    pub fn new(vm: String, interval: Interval) -> Result<Self, CollectError> {
        Ok(Self { vm, interval, machine: Machine::new()?, earlier: None })
    }
}

impl Collector for HostCollector {
    fn name(&self) -> &'static str {
        "host"
    }

    fn collect(&mut self, now: Moment, readings: &mut Vec<Reading>) -> Result<(), CollectError> {
        let elapsed = self
            .earlier
            .replace(now)
            .and_then(|earlier| now.monotonic.checked_sub(earlier.monotonic))
            .filter(|elapsed| (ELAPSED_MIN..=GAP_MAX).contains(elapsed));
        let interval_seconds = elapsed.and_then(|elapsed| amount(elapsed.as_secs_f64())).unwrap_or(self.interval.seconds());
        let mut sample = VmSample::empty(self.vm.clone(), now.at, interval_seconds);
        self.machine.read(elapsed, &mut sample);
        if sample.has_measure() {
            readings.push(Reading::VmSample(sample));
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::clock::{Clock, FixedClock};

    fn write_proc(root: &Path, busy_ticks: u64, diskstats: &str, received_bytes: u64) {
        fs::create_dir_all(root.join("net")).unwrap();
        fs::create_dir_all(root.join("self")).unwrap();
        fs::write(root.join("stat"), format!("cpu  {busy_ticks} 0 0 {} 0 0 0 0 0 0\n", 10_000 - busy_ticks)).unwrap();
        fs::write(root.join("diskstats"), diskstats).unwrap();
        let interface = format!("  eth0: {received_bytes} 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0");
        fs::write(root.join("net/dev"), format!("header\nheader\n{interface}\n")).unwrap();
        fs::write(root.join("self/mountinfo"), "27 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw\n").unwrap();
    }

    fn tick(collector: &mut HostCollector, now: Moment) -> VmSample {
        let mut readings = Vec::new();
        collector.collect(now, &mut readings).unwrap();
        let Some(Reading::VmSample(sample)) = readings.pop() else { panic!("no sample") };
        assert!(readings.is_empty());
        sample
    }

    #[test]
    fn the_first_tick_has_gauges_and_later_ones_amounts() {
        let proc_root = tempfile::tempdir().unwrap();
        let clock = FixedClock::at("2026-09-26T12:00:00Z".parse().unwrap());
        let interval = Interval::from_seconds(10).unwrap();
        let machine = Machine::at(proc_root.path()).unwrap();
        let mut collector = HostCollector { vm: "gpu-a-01".into(), interval, machine, earlier: None };

        write_proc(proc_root.path(), 1_000, include_str!("../../tests/fixtures/diskstats-earlier.txt"), 500);
        let first = tick(&mut collector, clock.now());
        assert_eq!(first.interval_seconds, 10.0);
        assert!(first.disk_total_bytes > Some(0) && first.memory_used_bytes > Some(0));
        assert_eq!((first.cpu_ratio, first.network_received_bytes, first.disk_busy_ratio), (None, None, None));

        clock.advance(Duration::from_millis(9_500));
        write_proc(proc_root.path(), 1_500, include_str!("../../tests/fixtures/diskstats-later.txt"), 600);
        let second = tick(&mut collector, clock.now());
        assert_eq!(second.interval_seconds, 9.5);
        assert_eq!(second.network_received_bytes, Some(100));
        assert_eq!(second.network_errors, Some(0));
        assert_eq!(second.disk_read_ops, Some(120));
        assert_eq!(second.disk_busy_ratio, Some(0.7895));
        assert_eq!(second.cpu_ratio, None, "the fixture's total of ticks stood still");

        // A file that goes away costs its own measures only; one tick later its amounts are not known yet either.
        clock.advance(Duration::from_secs(10));
        fs::remove_file(proc_root.path().join("diskstats")).unwrap();
        let third = tick(&mut collector, clock.now());
        assert_eq!((third.disk_read_ops, third.network_received_bytes), (None, Some(0)));

        // After a long sleep the sample starts afresh.
        clock.advance(GAP_MAX + Duration::from_secs(1));
        let fourth = tick(&mut collector, clock.now());
        assert_eq!((fourth.interval_seconds, fourth.network_received_bytes), (10.0, None));
    }

    #[test]
    fn this_machine_is_sampled_within_the_ranges_of_the_wire() {
        let clock = FixedClock::at("2026-09-26T12:00:00Z".parse().unwrap());
        let mut collector = HostCollector::new("here".into(), Interval::from_seconds(10).unwrap()).unwrap();
        tick(&mut collector, clock.now());
        clock.advance(Duration::from_secs(10));
        let sample = tick(&mut collector, clock.now());
        assert!(sample.network_received_bytes.is_some(), "{sample:?}");
        assert!(sample.cpu_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)), "{sample:?}");
        assert!(sample.disk_used_bytes <= sample.disk_total_bytes, "{sample:?}");
    }
}
