//! Disk traffic, as `/proc/diskstats` counts it.
//!
//! Invariants: only whole devices count, not their partitions, and only those that hold the bytes themselves: a RAID, a
//! mapped volume or a loop device passes on what its parents also count. Must not know: files.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use procfs::{DiskStat, DiskStats, FromBufRead, ProcResult};

/// A sector of `/proc/diskstats`, whatever the sector of the device.
const SECTOR_BYTES: u64 = 512;

/// Devices that hold nothing of their own, or that nobody means by "disk".
const STACKED_PREFIXES: [&str; 11] = ["loop", "ram", "zram", "dm-", "md", "zd", "drbd", "bcache", "sr", "fd", "mtdblock"];

/// Counters of one device since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeviceCounters {
    read_sectors: u64,
    written_sectors: u64,
    read_ops: u64,
    write_ops: u64,
    busy_ms: u64,
}

/// The counters of all devices that count, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DiskCounters(HashMap<String, DeviceCounters>);

/// What the devices did over an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct DiskTraffic {
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) read_ops: u64,
    pub(super) write_ops: u64,
    /// Of the busiest device; `None` when the machine has none.
    pub(super) busy_ratio: Option<f64>,
}

impl DiskCounters {
    /// Reads `/proc/diskstats`.
    pub(super) fn parse(text: &str) -> ProcResult<Self> {
        let DiskStats(devices) = DiskStats::from_buf_read(text.as_bytes())?;
        let names: HashSet<&str> = devices.iter().map(|device| device.name.as_str()).collect();
        let whole = devices.iter().filter(|device| is_whole_device(&device.name, &names));
        Ok(Self(whole.map(|device| (device.name.clone(), DeviceCounters::of(device))).collect()))
    }

    /// Traffic since `earlier`; `None` when a counter went backwards, or there is no device.
    ///
    /// A device that has come or gone in between adds nothing: how much of its count belongs here is unknown.
    pub(super) fn since(&self, earlier: &Self, elapsed: Duration) -> Option<DiskTraffic> {
        let mut traffic = DiskTraffic::default();
        let mut busiest_ms = None;
        for (name, now) in &self.0 {
            let Some(before) = earlier.0.get(name) else { continue };
            traffic.read_bytes += now.read_sectors.checked_sub(before.read_sectors)?.saturating_mul(SECTOR_BYTES);
            traffic.written_bytes += now.written_sectors.checked_sub(before.written_sectors)?.saturating_mul(SECTOR_BYTES);
            traffic.read_ops += now.read_ops.checked_sub(before.read_ops)?;
            traffic.write_ops += now.write_ops.checked_sub(before.write_ops)?;
            busiest_ms = busiest_ms.max(Some(now.busy_ms.checked_sub(before.busy_ms)?));
        }
        let elapsed_ms = elapsed.as_secs_f64() * 1_000.0;
        traffic.busy_ratio = (elapsed_ms > 0.0).then(|| busiest_ms.map(|busy_ms| busy_ms as f64 / elapsed_ms)).flatten();
        busiest_ms.map(|_| traffic)
    }
}

impl DeviceCounters {
    fn of(device: &DiskStat) -> Self {
        Self {
            read_sectors: device.sectors_read,
            written_sectors: device.sectors_written,
            read_ops: device.reads,
            write_ops: device.writes,
            busy_ms: device.time_in_progress,
        }
    }
}

/// A device is a partition when its name is that of another one and a number: `sda1`, `nvme0n1p2`.
fn is_whole_device(name: &str, names: &HashSet<&str>) -> bool {
    if STACKED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return true;
    }
    let parent = stem.strip_suffix('p').filter(|parent| parent.ends_with(|c: char| c.is_ascii_digit())).unwrap_or(stem);
    !names.contains(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = include_str!("../../tests/fixtures/diskstats-earlier.txt");
    const LATER: &str = include_str!("../../tests/fixtures/diskstats-later.txt");

    #[test]
    fn counts_whole_devices_once() {
        let counters = DiskCounters::parse(EARLIER).unwrap();
        let mut names: Vec<_> = counters.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["mmcblk0", "nvme0n1", "nvme1n1", "sda", "xvda1"]);
    }

    #[test]
    fn sums_traffic_and_takes_the_busiest_device() {
        let earlier = DiskCounters::parse(EARLIER).unwrap();
        let later = DiskCounters::parse(LATER).unwrap();
        let traffic = later.since(&earlier, Duration::from_secs(10)).unwrap();
        assert_eq!(traffic.read_ops, 120);
        assert_eq!(traffic.write_ops, 31);
        assert_eq!(traffic.read_bytes, 2_080 * 512);
        assert_eq!(traffic.written_bytes, 1_008 * 512);
        assert_eq!(traffic.busy_ratio, Some(0.75));
    }

    #[test]
    fn a_reset_counter_gives_no_value() {
        let earlier = DiskCounters::parse(EARLIER).unwrap();
        let later = DiskCounters::parse(LATER).unwrap();
        assert_eq!(earlier.since(&later, Duration::from_secs(10)), None);
    }

    #[test]
    fn without_devices_nothing_is_known() {
        let none = DiskCounters::default();
        assert_eq!(none.since(&none, Duration::from_secs(10)), None);
        let sda = DiskCounters::parse("8 0 sda 1 0 1 0 1 0 1 0 0 1 0").unwrap();
        assert_eq!(sda.since(&none, Duration::from_secs(10)), None);
    }
}
