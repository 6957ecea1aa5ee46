//! What this machine is: its name, its CPUs and its memory.
//!
//! Invariant: a name that is no valid name on the wire is refused before anything is sent under it.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::reading::whole;

/// Names on the wire have at most so many characters.
pub const NAME_CHARS_MAX: usize = 200;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too short or too long.
    #[error("a name has 1 to {NAME_CHARS_MAX} characters, not {0}")]
    Length(usize),
    /// Not printable.
    #[error("a name has no control characters")]
    ControlCharacter,
}

/// Checks a name of a machine, an instance type and so on.
///
/// # Errors
/// When Plimsoll would refuse it.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let char_count = name.chars().count();
    if char_count == 0 || char_count > NAME_CHARS_MAX {
        return Err(NameError::Length(char_count));
    }
    if name.chars().any(char::is_control) { Err(NameError::ControlCharacter) } else { Ok(()) }
}

/// The machine's own name, where it has one.
#[must_use]
pub fn hostname() -> Option<String> {
    System::host_name().ok().filter(|name| check_name(name).is_ok())
}

/// CPUs and memory of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Logical CPUs.
    pub v_cpus: Option<u32>,
    /// Memory that the operating system has.
    pub memory_bytes: Option<u64>,
}

impl Hardware {
    /// Looks at this machine.
    #[must_use]
    pub fn detect() -> Self {
        let wanted =
            RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
        let Ok(system) = System::new_with_specifics(wanted) else { return Self::default() };
        Self {
            v_cpus: u32::try_from(system.cpus().len()).ok().filter(|v_cpus| *v_cpus > 0),
            memory_bytes: whole(system.total_memory()).filter(|memory_bytes| *memory_bytes > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_wire_does() {
        assert_eq!(check_name("gpu-münchen-01"), Ok(()));
        assert_eq!(check_name(""), Err(NameError::Length(0)));
        assert_eq!(check_name(&"ü".repeat(200)), Ok(()));
        assert_eq!(check_name(&"ü".repeat(201)), Err(NameError::Length(201)));
        assert_eq!(check_name("a\nb"), Err(NameError::ControlCharacter));
    }

    #[test]
    fn this_machine_has_cpus_and_memory() {
        let hardware = Hardware::detect();
        assert!(hardware.v_cpus >= Some(1) && hardware.memory_bytes > Some(1 << 20), "{hardware:?}");
    }
}
