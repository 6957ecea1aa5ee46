//! NVIDIA GPUs, as the driver's management library tells (NVML), which is loaded when the process starts.
//!
//! Invariants: a machine without the library is no error; a value that this GPU or driver does not support is absent.

use std::ffi::OsString;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;

use super::{GPUS_MAX, GpuDriver, GpuError, GpuFigures};

/// Environment variable with the path of the library, for where the loader does not find it by itself.
pub const LIBRARY_VARIABLE: &str = "PLIMSOLL_NVML_LIBRARY";

/// The management library of this machine's NVIDIA driver.
#[derive(Debug)]
pub struct NvmlDriver {
    nvml: Nvml,
}

impl NvmlDriver {
    /// Loads the library, from where [`LIBRARY_VARIABLE`] says or where the loader finds it.
    ///
    /// `None` on a machine without it, which is said in one line of the log.
    #[must_use]
    pub fn load() -> Option<Self> {
        Self::load_from(std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()))
    }

    /// Loads the library from `library`, or from where the loader finds it.
    #[must_use]
    pub fn load_from(library: Option<OsString>) -> Option<Self> {
        let mut builder = Nvml::builder();
        if let Some(path) = &library {
            builder.lib_path(path);
        }
        match builder.init() {
            Ok(nvml) => Some(Self { nvml }),
            Err(error) => {
                tracing::info!(reason = %error, "nvml is not available, gpus are not sampled");
                None
            }
        }
    }
}

impl GpuDriver for NvmlDriver {
    fn gpu_count(&mut self) -> Result<u16, GpuError> {
        let gpu_count = self.nvml.device_count().map_err(fault)?;
        Ok(u16::try_from(gpu_count).unwrap_or(GPUS_MAX))
    }

    fn gpu_read(&mut self, index: u16) -> Result<GpuFigures, GpuError> {
        let device = self.nvml.device_by_index(u32::from(index)).map_err(fault)?;
        let memory = value(device.memory_info())?;
        Ok(GpuFigures {
            utilization_ratio: value(device.utilization_rates())?.map(|rates| f64::from(rates.gpu) / 100.0),
            memory_used_bytes: memory.as_ref().map(|memory| memory.used),
            memory_total_bytes: memory.map(|memory| memory.total),
            temperature_celsius: value(device.temperature(TemperatureSensor::Gpu))?.map(f64::from),
            power_watts: value(device.power_usage())?.map(|power_milliwatts| f64::from(power_milliwatts) / 1_000.0),
            uuid: value(device.uuid())?,
            name: value(device.name())?,
        })
    }
}

/// A single value: a GPU that is gone is an error, everything else means that this value is not to be had.
fn value<T>(read: Result<T, NvmlError>) -> Result<Option<T>, GpuError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(NvmlError::GpuLost) => Err(GpuError::Lost),
        Err(error) => {
            tracing::debug!(%error, "nvml does not tell a value");
            Ok(None)
        }
    }
}

fn fault(error: NvmlError) -> GpuError {
    match error {
        NvmlError::GpuLost => GpuError::Lost,
        error => GpuError::Driver(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_library_has_no_driver() {
        assert!(NvmlDriver::load_from(Some("/nonexistent/libnvidia-ml.so.1".into())).is_none());
    }
}
