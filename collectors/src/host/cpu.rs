//! CPU time, as `/proc/stat` counts it.
//!
//! Invariant: iowait is idle time and steal is not: a machine that waits for its disk could compute, one whose hypervisor
//! is busy could not. Must not know: files.

/// CPU time of all CPUs since boot, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CpuTimes {
    busy_ticks: u64,
    total_ticks: u64,
}

impl CpuTimes {
    /// Reads the summary line of `/proc/stat`; guest time is part of user time there and is not counted again.
    pub(super) fn parse(stat: &str) -> Option<Self> {
        let summary = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks = summary.split_whitespace().take(8).map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
        let [user, nice, system, idle, rest @ ..] = ticks.as_slice() else { return None };
        let iowait = rest.first().copied().unwrap_or(0);
        let interrupts_and_steal: u64 = rest.iter().skip(1).sum();
        let busy_ticks = user + nice + system + interrupts_and_steal;
        Some(Self { busy_ticks, total_ticks: busy_ticks + idle + iowait })
    }

    /// Part of the time since `earlier` that was busy; `None` when no time passed or a counter went backwards.
    pub(super) fn busy_ratio_since(self, earlier: Self) -> Option<f64> {
        let busy = self.busy_ticks.checked_sub(earlier.busy_ticks)?;
        let total = self.total_ticks.checked_sub(earlier.total_ticks)?;
        (total > 0).then(|| busy as f64 / total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "cpu  1000 100 500 8000 200 10 20 70 300 0\ncpu0 1 2 3 4\n";

    #[test]
    fn splits_busy_from_idle() {
        let times = CpuTimes::parse(EARLIER).unwrap();
        assert_eq!(times, CpuTimes { busy_ticks: 1_700, total_ticks: 9_900 });
        let later = CpuTimes::parse("cpu  1020 100 505 8070 205 10 20 70 900 0\n").unwrap();
        assert_eq!(later.busy_ratio_since(times), Some(0.25));
    }

    #[test]
    fn gives_nothing_when_time_stood_still_or_ran_back() {
        let times = CpuTimes::parse(EARLIER).unwrap();
        assert_eq!(times.busy_ratio_since(times), None);
        let reset = CpuTimes::parse("cpu  1 0 0 1 0 0 0 0 0 0\n").unwrap();
        assert_eq!(reset.busy_ratio_since(times), None);
    }

    #[test]
    fn understands_old_kernels_and_refuses_other_texts() {
        assert_eq!(CpuTimes::parse("cpu  1 2 3 4\n"), Some(CpuTimes { busy_ticks: 6, total_ticks: 10 }));
        for text in ["", "cpu0 1 2 3 4", "cpu  1 2 3", "cpu  1 2 x 4"] {
            assert_eq!(CpuTimes::parse(text), None, "{text}");
        }
    }
}
