//! NVIDIA GPUs, as the driver's management library tells (NVML), which is loaded when the process starts.
//!
//! Read are utilization, memory, temperature, power, uuid and name.
//!
//! **GPUs that are cut up (MIG)** stay one GPU with one sample, as in `prometheus::dcgm`. A GPU of a machine is a board: it is
//! counted in `gpuCount`, bought, powered and cooled as one. Its instances come and go while it runs, have no index among the
//! machine's GPUs, and would be counted beside the GPU that they are part of. So:
//! - The index is the GPU's, whatever becomes of its instances.
//! - There is no utilization, since NVML tells none with MIG, neither of the GPU nor of an instance. dcgm-exporter does
//!   (`DCGM_FI_PROF_GR_ENGINE_ACTIVE`), and `--scrape` fills it in.
//! - Memory is the GPU's where NVML tells that (only the privileged are told). Else what its instances use together counts as
//!   used, if all of them tell, and the total is unknown: memory that is not given out to an instance is the GPU's all the same.
//! - Temperature and power are the board's.
//!
//! **What goes wrong.** A GPU that is lost or wants a reset is left out; a driver that is unloaded, reset or upgraded beneath
//! this process answers nothing any more. Either may last until the library is opened anew, so that is tried after
//! [`REOPEN_DELAY_MIN`] and then after delays that double up to [`REOPEN_DELAY_MAX`], since it takes seconds on a large machine.
//! A driver that is not up yet when the process starts is waited for in the same way; `gpuCount` was announced by then.
//!
//! Invariants: a machine without the library is no error; a value that this GPU or driver does not support is absent; a GPU
//! keeps its index for as long as the process runs (see `slots`).

mod device;
mod slots;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use device::{Told, is_of_driver};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use slots::Slots;

use super::{GPUS_MAX, GpuDriver, GpuError, GpuFigures};
use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::condition::Condition;

/// Environment variable with the path of the library, for where the loader does not find it by itself.
pub const LIBRARY_VARIABLE: &str = "PLIMSOLL_NVML_LIBRARY";
/// So long after something went wrong the library is opened anew for the first time.
pub const REOPEN_DELAY_MIN: Duration = Duration::from_secs(10);
/// However long it stays wrong, it is tried so often.
pub const REOPEN_DELAY_MAX: Duration = Duration::from_secs(300);

/// The management library of this machine's NVIDIA driver.
#[derive(Debug)]
pub struct NvmlDriver {
    library: Option<OsString>,
    state: State,
    slots: Slots,
    /// Whether each GPU tells what it should.
    telling: HashMap<u16, Condition>,
    /// A GPU could not be read, for a reason that opening the library anew may cure.
    has_lost: bool,
    backoff: Backoff,
    /// On the monotonic clock; none while all is well.
    reopen_at: Option<Duration>,
}

#[derive(Debug)]
enum State {
    Open(Box<Session>),
    Closed(Arc<NvmlError>),
}

/// The library from its start to its end.
#[derive(Debug)]
struct Session {
    nvml: Nvml,
    /// The library's index of each slot.
    indices: Vec<Option<u32>>,
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
        let mut slots = Slots::default();
        let state = match open(library.as_deref(), &mut slots) {
            Ok(session) => State::Open(Box::new(session)),
            Err(error @ NvmlError::LibloadingError(_)) => {
                tracing::info!(reason = %error, "nvml is not available, gpus are not sampled");
                return None;
            }
            Err(error) => State::Closed(Arc::new(error)),
        };
        let backoff = Backoff::between(REOPEN_DELAY_MIN, REOPEN_DELAY_MAX);
        Some(Self { library, state, slots, telling: HashMap::new(), has_lost: false, backoff, reopen_at: None })
    }

    fn reopen(&mut self) {
        tracing::debug!("nvml is opened anew");
        // It is shut down and unloaded first, so that the library of a new driver takes the place of the old one's.
        self.state = State::Closed(Arc::new(NvmlError::Uninitialized));
        self.state = match open(self.library.as_deref(), &mut self.slots) {
            Ok(session) => State::Open(Box::new(session)),
            Err(error) => State::Closed(Arc::new(error)),
        };
    }

    fn fail(&mut self, error: NvmlError) -> GpuError {
        if is_of_driver(&error) {
            let fault = Arc::new(error);
            self.state = State::Closed(Arc::clone(&fault));
            return GpuError::Gone(Box::new(fault));
        }
        // What may not be read is forbidden to a new session as well.
        self.has_lost |= !matches!(error, NvmlError::NoPermission | NvmlError::NotSupported);
        match error {
            NvmlError::GpuLost => GpuError::Lost,
            error => GpuError::Driver(Box::new(error)),
        }
    }

    fn say_faults(&mut self, gpu: u16, faults: &[String]) {
        let telling = self.telling.entry(gpu).or_default();
        let reason = faults.join(", ");
        if reason.is_empty() {
            if telling.recovers() {
                tracing::info!(gpu, "gpu tells all its values again");
            }
        } else if telling.fails(&reason) {
            tracing::warn!(gpu, reason, "gpu does not tell some values, they are left out");
        }
    }
}

impl GpuDriver for NvmlDriver {
    fn begin_tick(&mut self, now: Moment) {
        let is_well = !mem::take(&mut self.has_lost) && matches!(self.state, State::Open(_));
        if is_well {
            self.reopen_at = None;
            self.backoff.reset();
            return;
        }
        let due = *self.reopen_at.get_or_insert_with(|| now.monotonic + self.backoff.delay());
        if now.monotonic >= due {
            self.reopen();
            self.reopen_at = Some(now.monotonic + self.backoff.delay());
        }
    }

    fn gpu_count(&mut self) -> Result<u16, GpuError> {
        match &self.state {
            State::Open(_) => Ok(u16::try_from(self.slots.count()).unwrap_or(GPUS_MAX)),
            State::Closed(fault) => Err(GpuError::Gone(Box::new(Arc::clone(fault)))),
        }
    }

    fn gpu_read(&mut self, index: u16) -> Result<GpuFigures, GpuError> {
        let read = match &self.state {
            State::Open(session) => session.read(index),
            State::Closed(fault) => return Err(GpuError::Gone(Box::new(Arc::clone(fault)))),
        };
        let Told { figures, faults } = read.map_err(|error| self.fail(error))?;
        if let Some(uuid) = &figures.uuid
            && !self.slots.admits(usize::from(index), uuid)
        {
            return Err(self.fail(NvmlError::NotFound));
        }
        self.say_faults(index, &faults);
        Ok(figures)
    }
}

impl Session {
    fn read(&self, slot: u16) -> Result<Told, NvmlError> {
        let index = self.indices.get(usize::from(slot)).copied().flatten().ok_or(NvmlError::NotFound)?;
        device::read(&self.nvml.device_by_index(index)?)
    }
}

/// Starts the library and looks which GPUs it has.
fn open(library: Option<&OsStr>, slots: &mut Slots) -> Result<Session, NvmlError> {
    let mut builder = Nvml::builder();
    if let Some(path) = library {
        builder.lib_path(path);
    }
    let nvml = builder.init()?;
    let gpu_count = nvml.device_count()?.min(u32::from(GPUS_MAX));
    let mut uuids = Vec::new();
    for index in 0..gpu_count {
        match nvml.device_by_index(index).and_then(|device| device.uuid()) {
            Err(error) if is_of_driver(&error) => return Err(error),
            uuid => uuids.push(uuid.ok()),
        }
    }
    let indices = slots.assign(uuids);
    Ok(Session { nvml, indices })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_library_has_no_driver() {
        assert!(NvmlDriver::load_from(Some("/nonexistent/libnvidia-ml.so.1".into())).is_none());
    }
}
