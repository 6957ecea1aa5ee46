//! One GPU, value by value, and what of it is none.
//!
//! Invariants: a value out of any GPU's range is none, since drivers tell all ones, and figures that they have just not got,
//! as values; what several values must agree on (memory) is told together or not at all. Must not know: other GPUs.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::MemoryInfo;

use crate::gpu::GpuFigures;

/// A board draws less, all of its chips together.
const POWER_MILLIWATTS_MAX: u32 = 10_000_000;
/// A chip that is hotter has switched itself off long ago. All ones, 2^31 - 1 and wrapped negative numbers lie above.
const TEMPERATURE_CELSIUS_MAX: u32 = 150;
/// A GPU is cut into 7 instances at most; guards against a driver that answers nonsense.
const INSTANCES_MAX: u32 = 64;
/// What NVML says of a GPU whose MIG mode is on.
const MIG_ENABLED: u32 = 1;

/// What a GPU told.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) figures: GpuFigures,
    /// Why it did not tell a value that it should be able to tell.
    pub(super) faults: Vec<String>,
}

/// Whether the library itself is of no use any more.
pub(super) fn is_of_driver(error: &NvmlError) -> bool {
    matches!(error, NvmlError::Uninitialized | NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch)
}

/// Whether no value of the GPU can be had.
fn is_of_gpu(error: &NvmlError) -> bool {
    matches!(error, NvmlError::GpuLost | NvmlError::ResetRequired) || is_of_driver(error)
}

/// Reads all values.
///
/// # Errors
/// When the GPU or the driver is gone. A single value that cannot be read is none.
pub(super) fn read(device: &Device<'_>) -> Result<Told, NvmlError> {
    let mut reader = Reader::default();
    // A driver that knows nothing of MIG cuts nothing up.
    let mig_mode = reader.quiet(device.mig_mode())?;
    let is_cut_up = mig_mode.is_some_and(|mode| mode.current == MIG_ENABLED);
    let (memory_used_bytes, memory_total_bytes) = reader.memory(device, is_cut_up)?;
    let power_milliwatts = reader.value("power", device.power_usage())?;
    let temperature = reader.value("temperature", device.temperature(TemperatureSensor::Gpu))?;
    let figures = GpuFigures {
        // With MIG it is not supported, and a driver that tells it all the same tells 0.
        utilization_ratio: if is_cut_up { None } else { reader.value("utilization", device.utilization_rates())? }
            .and_then(|rates| percentage(rates.gpu)),
        memory_used_bytes,
        memory_total_bytes,
        temperature_celsius: temperature.filter(|celsius| *celsius <= TEMPERATURE_CELSIUS_MAX).map(f64::from),
        power_watts: power_milliwatts.filter(|milliwatts| *milliwatts <= POWER_MILLIWATTS_MAX).map(|power| f64::from(power) / 1_000.0),
        uuid: reader.value("uuid", device.uuid())?,
        name: reader.value("name", device.name())?,
    };
    Ok(Told { figures, faults: reader.faults })
}

#[derive(Default)]
struct Reader {
    faults: Vec<String>,
}

impl Reader {
    /// One value: none where this GPU does not support it, and none with a fault where it may not be read or the like.
    fn value<T>(&mut self, name: &str, read: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
        match read {
            Err(error) if !is_of_gpu(&error) && !matches!(error, NvmlError::NotSupported) => {
                self.faults.push(format!("{name}: {error}"));
                Ok(None)
            }
            read => self.quiet(read),
        }
    }

    /// One value that nobody misses.
    fn quiet<T>(&self, read: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_of_gpu(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Memory in use and all memory. Of a GPU that is cut up only the privileged are told both.
    fn memory(&mut self, device: &Device<'_>, is_cut_up: bool) -> Result<(Option<u64>, Option<u64>), NvmlError> {
        let of_gpu = device.memory_info();
        if is_cut_up
            && matches!(&of_gpu, Err(error) if !is_of_gpu(error))
            && let Some(used_bytes) = self.used_by_instances(device)?
        {
            return Ok((Some(used_bytes), None));
        }
        let memory = self.value("memory", of_gpu)?.as_ref().and_then(used_and_total);
        Ok((memory.map(|(used_bytes, _)| used_bytes), memory.map(|(_, total_bytes)| total_bytes)))
    }

    /// What the instances of a GPU use together; none unless there are some and all of them tell.
    fn used_by_instances(&self, device: &Device<'_>) -> Result<Option<u64>, NvmlError> {
        let Some(instances_max) = self.quiet(device.mig_device_count())? else { return Ok(None) };
        let mut together = None;
        for place in 0..instances_max.min(INSTANCES_MAX) {
            let instance = match device.mig_device_by_index(place) {
                // Places may be empty, also between others.
                Err(NvmlError::NotFound) => continue,
                instance => self.quiet(instance)?,
            };
            let Some(instance) = instance else { return Ok(None) };
            let memory = self.quiet(instance.memory_info())?.as_ref().and_then(used_and_total);
            let Some((used_bytes, _)) = memory else { return Ok(None) };
            together = Some(together.unwrap_or(0_u64).saturating_add(used_bytes));
        }
        Ok(together)
    }
}

fn percentage(value: u32) -> Option<f64> {
    (value <= 100).then(|| f64::from(value) / 100.0)
}

/// Memory that is none, or less than what is used of it, was not read.
fn used_and_total(memory: &MemoryInfo) -> Option<(u64, u64)> {
    (memory.total > 0 && memory.used <= memory.total).then_some((memory.used, memory.total))
}
