//! Memory, as the operating system gives it out.
//!
//! Invariant: used is what could not be given to a new process; caches that can be dropped are not used.

use sysinfo::{MemoryRefreshKind, System};

/// Used and total memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) used_bytes: u64,
    pub(super) total_bytes: u64,
}

/// Reads only the memory; `None` where the system tells nothing.
pub(super) fn read(system: &mut System) -> Option<Memory> {
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    from_totals(system.total_memory(), system.available_memory())
}

fn from_totals(total_bytes: u64, available_bytes: u64) -> Option<Memory> {
    (total_bytes > 0).then(|| Memory { used_bytes: total_bytes.saturating_sub(available_bytes), total_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_total_means_unknown() {
        assert_eq!(from_totals(0, 0), None);
        assert_eq!(from_totals(100, 30), Some(Memory { used_bytes: 70, total_bytes: 100 }));
        assert_eq!(from_totals(100, 130), Some(Memory { used_bytes: 0, total_bytes: 100 }));
    }

    #[test]
    fn this_machine_has_memory() {
        let memory = read(&mut System::new().unwrap()).unwrap();
        assert!(memory.used_bytes > 0 && memory.used_bytes <= memory.total_bytes, "{memory:?}");
    }
}
