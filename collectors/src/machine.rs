//! What this machine is, and the collectors that read it.
//!
//! Invariants: a name that is no valid name on the wire is refused before anything is sent under it; of GPUs nothing is
//! said where no driver tells about them. Must not know: where readings go.

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::collector::{CollectError, Collector, chain};
use crate::gpu::nvml::NvmlDriver;
use crate::gpu::recorded::RecordedGpus;
use crate::gpu::{GpuCollector, GpuDriver};
use crate::host::HostCollector;
use crate::interval::Interval;
use crate::prometheus::{Endpoint, PrometheusCollector, ScrapeError};
use crate::reading::{MachineDescription, whole};

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

/// Which GPUs to read.
#[derive(Debug)]
pub enum GpuSource {
    /// None.
    Off,
    /// Those of this machine, where NVML loads.
    Nvml,
    /// Those of a recording.
    Recorded(RecordedGpus),
}

/// The collectors of this machine and what they found it to be.
pub struct ThisMachine {
    /// To be asked at every tick.
    pub collectors: Vec<Box<dyn Collector>>,
    /// CPUs, memory and, where a driver tells, GPUs.
    pub description: MachineDescription,
}

impl ThisMachine {
    /// Looks at this machine, which is to be known as `vm`. Loading NVML can take seconds.
    ///
    /// # Errors
    /// When the operating system tells nothing about itself.
    pub fn open(vm: &str, interval: Interval, gpus: GpuSource) -> Result<Self, CollectError> {
        let wanted = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()).with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted).map_err(CollectError::System)?;
        let mut machine = Self {
            collectors: vec![Box::new(HostCollector::new(vm.to_owned(), interval)?)],
            description: MachineDescription {
                v_cpus: u32::try_from(system.cpus().len()).ok().filter(|v_cpus| *v_cpus > 0),
                memory_bytes: whole(system.total_memory()).filter(|memory_bytes| *memory_bytes > 0),
                ..MachineDescription::default()
            },
        };
        match gpus {
            GpuSource::Off => {}
            GpuSource::Nvml => {
                if let Some(driver) = NvmlDriver::load() {
                    machine.add_gpus(vm, driver);
                }
            }
            GpuSource::Recorded(driver) => machine.add_gpus(vm, driver),
        }
        Ok(machine)
    }

    /// Scrapes `endpoints` as well. They come last, so that what the machine itself tells stands.
    ///
    /// # Errors
    /// When there are too many, or the client cannot be set up.
    pub fn scrape(&mut self, vm: &str, interval: Interval, endpoints: Vec<Endpoint>) -> Result<(), ScrapeError> {
        if !endpoints.is_empty() {
            self.collectors.push(Box::new(PrometheusCollector::new(vm.to_owned(), interval, endpoints)?));
        }
        Ok(())
    }

    fn add_gpus(&mut self, vm: &str, driver: impl GpuDriver + 'static) {
        let mut collector = GpuCollector::new(vm.to_owned(), driver);
        match collector.inventory() {
            Ok(inventory) => {
                tracing::info!(gpus = inventory.gpu_count, model = inventory.gpu_model.as_deref(), "gpus are sampled");
                self.description.gpu_count = Some(inventory.gpu_count);
                self.description.gpu_model = inventory.gpu_model.filter(|model| check_name(model).is_ok());
            }
            Err(error) => tracing::warn!(error = chain(&error), "gpus could not be counted"),
        }
        self.collectors.push(Box::new(collector));
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
        let machine = ThisMachine::open("here", Interval::from_seconds(10).unwrap(), GpuSource::Off).unwrap();
        let description = machine.description;
        assert!(description.v_cpus >= Some(1) && description.memory_bytes > Some(1 << 20), "{description:?}");
        assert_eq!((machine.collectors.len(), description.gpu_count), (1, None));
    }

    #[test]
    fn recorded_gpus_describe_the_machine() {
        let gpus = RecordedGpus::parse(include_str!("../tests/fixtures/gpus.csv")).unwrap();
        let machine = ThisMachine::open("here", Interval::from_seconds(10).unwrap(), GpuSource::Recorded(gpus)).unwrap();
        assert_eq!(machine.collectors.len(), 2);
        assert_eq!(machine.description.gpu_count, Some(2));
        assert_eq!(machine.description.gpu_model.as_deref(), Some("NVIDIA H100 80GB HBM3"));
    }
}
