//! Network traffic, as `/proc/net/dev` counts it.
//!
//! Invariants: loopback is no traffic; an interface that only passes on what another one also counts (a bridge, a container's
//! end of a pair, a VLAN or bond over its parents) is left out, so that a byte counts once. Must not know: files.

use std::collections::HashMap;

/// Interfaces whose traffic some other interface of the machine counts too: container and bridge plumbing, bonds and mirrors.
const REPEATING_PREFIXES: [&str; 14] =
    ["veth", "docker", "br-", "virbr", "vnet", "cni", "flannel", "cali", "cilium", "lxc", "bond", "team", "ifb", "dummy"];

/// Counters of one interface since it came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InterfaceCounters {
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) errors: u64,
}

/// The counters of all interfaces that count, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NetworkCounters(HashMap<String, InterfaceCounters>);

impl NetworkCounters {
    /// Keeps the interfaces that count.
    pub(super) fn of(interfaces: impl IntoIterator<Item = (String, InterfaceCounters)>) -> Self {
        Self(interfaces.into_iter().filter(|(name, _)| counts(name)).collect())
    }

    /// Traffic since `earlier`; `None` when a counter went backwards.
    ///
    /// An interface that has come or gone in between adds nothing: how much of its count belongs here is unknown.
    pub(super) fn since(&self, earlier: &Self) -> Option<InterfaceCounters> {
        let mut total = InterfaceCounters::default();
        for (name, now) in &self.0 {
            let Some(before) = earlier.0.get(name) else { continue };
            total.received_bytes += now.received_bytes.checked_sub(before.received_bytes)?;
            total.sent_bytes += now.sent_bytes.checked_sub(before.sent_bytes)?;
            total.errors += now.errors.checked_sub(before.errors)?;
        }
        Some(total)
    }
}

fn counts(name: &str) -> bool {
    // `eth0.100` is a VLAN over `eth0`, which counts its bytes.
    name != "lo" && !name.contains('.') && !REPEATING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Reads `/proc/net/dev`.
#[cfg(target_os = "linux")]
pub(super) fn parse(text: &str) -> procfs::ProcResult<NetworkCounters> {
    use procfs::FromBufRead;

    let devices = procfs::net::InterfaceDeviceStatus::from_buf_read(text.as_bytes())?;
    Ok(NetworkCounters::of(devices.0.into_iter().map(|(name, device)| {
        let counters = InterfaceCounters {
            received_bytes: device.recv_bytes,
            sent_bytes: device.sent_bytes,
            errors: device.recv_errs.saturating_add(device.sent_errs),
        };
        (name, counters)
    })))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    const HEADER: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
";

    fn table(lines: &[(&str, u64, u64, u64, u64)]) -> NetworkCounters {
        let mut text = HEADER.to_owned();
        for (name, received, receive_errors, sent, send_errors) in lines {
            text.push_str(&format!("{name:>6}: {received} 10 {receive_errors} 9 0 0 0 0 {sent} 10 {send_errors} 9 0 0 0 0\n"));
        }
        parse(&text).unwrap()
    }

    #[test]
    fn sums_what_leaves_and_enters_the_machine_once() {
        let before = table(&[("lo", 5, 0, 5, 0), ("eth0", 100, 1, 50, 0), ("ib0", 7, 0, 7, 0), ("docker0", 90, 0, 9, 0)]);
        let after = table(&[
            ("lo", 9_000, 0, 9_000, 0),
            ("eth0", 1_100, 2, 80, 3),
            ("eth0.100", 1_000, 0, 30, 0),
            ("ib0", 17, 0, 8, 0),
            ("docker0", 990, 0, 9, 0),
            ("veth12ab", 900, 0, 9, 0),
        ]);
        assert_eq!(after.since(&before), Some(InterfaceCounters { received_bytes: 1_010, sent_bytes: 31, errors: 4 }));
    }

    #[test]
    fn an_interface_that_comes_or_goes_adds_nothing() {
        let before = table(&[("eth0", 100, 0, 50, 0), ("wg0", 5, 0, 5, 0)]);
        let after = table(&[("eth0", 101, 0, 52, 0), ("tun0", 9_000, 0, 9_000, 0)]);
        assert_eq!(after.since(&before), Some(InterfaceCounters { received_bytes: 1, sent_bytes: 2, errors: 0 }));
    }

    #[test]
    fn a_reset_counter_gives_no_value() {
        let before = table(&[("eth0", 100, 0, 50, 0), ("eth1", 1, 0, 1, 0)]);
        let after = table(&[("eth0", 20, 0, 60, 0), ("eth1", 2, 0, 2, 0)]);
        assert_eq!(after.since(&before), None);
    }
}
