//! What a running process costs, as `/proc` counts it.
//!
//! Invariant: what cannot be read is no number rather than 0. Must not know: which process it is.

/// Clock ticks of a second (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of all threads of a process since its start, in seconds.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Fields 14 and 15, counted behind the name, which may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// Peak and present resident memory of a process in MiB.
#[must_use]
pub fn memory_mib(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
    };
    (read("VmHWM:"), read("VmRSS:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something_and_one_that_is_not_there_is_unknown() {
        let (peak_mib, now_mib) = memory_mib(std::process::id());
        assert!(now_mib > 1.0 && now_mib <= peak_mib && cpu_seconds(std::process::id()) >= 0.0);
        assert!(cpu_seconds(u32::MAX).is_nan() && memory_mib(u32::MAX).0.is_nan());
    }
}
