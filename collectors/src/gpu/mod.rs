//! GPUs: one `gpuSample` a GPU and tick.
//!
//! A [`GpuDriver`] reads GPUs, the [`GpuCollector`] makes samples of what it says: [`nvml`] asks the driver of this machine,
//! [`recorded`] replays what some machine once said. A GPU that is cut into MIG instances is one GPU here (see [`nvml`]).
//!
//! Invariants: a value that a GPU does not support is absent; a GPU that is lost costs its own samples only, and a driver that
//! is gone those of the ticks until it is back; both are said once per change. Must not know: where the driver lies.

pub mod nvml;
pub mod recorded;

use std::collections::HashMap;
use std::error::Error;

use crate::clock::Moment;
use crate::collector::{CollectError, Collector, chain};
use crate::condition::Condition;
use crate::reading::{GpuSample, Reading, amount, ratio, whole};

/// More GPUs than a machine has; guards against a driver that answers nonsense.
pub const GPUS_MAX: u16 = 256;

/// What a driver says about one GPU; what it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuFigures {
    /// Part of the driver's sampling period in which a kernel ran.
    pub utilization_ratio: Option<f64>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// All memory.
    pub memory_total_bytes: Option<u64>,
    /// Temperature of the die.
    pub temperature_celsius: Option<f64>,
    /// Power draw.
    pub power_watts: Option<f64>,
    /// The GPU's own id.
    pub uuid: Option<String>,
    /// Product name.
    pub name: Option<String>,
}

/// Why a GPU or the list of them could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The GPU does not answer any more.
    #[error("gpu is lost")]
    Lost,
    /// Something else is wrong with it.
    #[error("gpu driver failed")]
    Driver(#[source] Box<dyn Error + Send + Sync>),
    /// The driver itself does not answer, so that no GPU can be read.
    #[error("gpu driver does not answer")]
    Gone(#[source] Box<dyn Error + Send + Sync>),
}

/// Reads the GPUs of a machine.
pub trait GpuDriver: Send {
    /// Says that a tick begins, at which the driver may look again for what it has lost.
    fn begin_tick(&mut self, _now: Moment) {}

    /// How many GPUs there are, lost ones included.
    ///
    /// # Errors
    /// When the driver does not say.
    fn gpu_count(&mut self) -> Result<u16, GpuError>;

    /// Reads the GPU with this index.
    ///
    /// # Errors
    /// When the GPU cannot be read at all; a single value that cannot is `None`.
    fn gpu_read(&mut self, index: u16) -> Result<GpuFigures, GpuError>;
}

/// What the GPUs of a machine are, for the description of its instance type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInventory {
    /// How many.
    pub gpu_count: u16,
    /// Product name of the first that tells it.
    pub gpu_model: Option<String>,
}

/// Samples the GPUs of a driver.
#[derive(Debug)]
pub struct GpuCollector<D> {
    vm: String,
    driver: D,
    conditions: HashMap<u16, Condition>,
}

impl<D: GpuDriver> GpuCollector<D> {
    /// Samples the GPUs of `driver` as those of the machine `vm`.
    pub fn new(vm: String, driver: D) -> Self {
        Self { vm, driver, conditions: HashMap::new() }
    }

    /// Counts the GPUs.
    ///
    /// # Errors
    /// When the driver does not say.
    pub fn inventory(&mut self) -> Result<GpuInventory, GpuError> {
        let gpu_count = self.driver.gpu_count()?.min(GPUS_MAX);
        let gpu_model = (0..gpu_count).find_map(|index| self.driver.gpu_read(index).ok()?.name);
        Ok(GpuInventory { gpu_count, gpu_model })
    }

    /// The sample of one GPU, where there is one.
    ///
    /// # Errors
    /// When there is no use in asking for the others either.
    fn collect_one(&mut self, gpu: u16, now: Moment) -> Result<Option<GpuSample>, GpuError> {
        let read = self.driver.gpu_read(gpu);
        let condition = self.conditions.entry(gpu).or_default();
        match read {
            Ok(figures) => {
                if condition.recovers() {
                    tracing::info!(gpu, "gpu is back");
                }
                Ok(sample(&self.vm, gpu, now, figures))
            }
            Err(error @ GpuError::Gone(_)) => Err(error),
            Err(error) => {
                let fault = chain(&error);
                if condition.fails(&fault) {
                    tracing::warn!(gpu, error = fault, "gpu cannot be read, it is left out");
                }
                Ok(None)
            }
        }
    }
}

impl<D: GpuDriver> Collector for GpuCollector<D> {
    fn name(&self) -> &'static str {
        "gpu"
    }

    fn collect(&mut self, now: Moment, readings: &mut Vec<Reading>) -> Result<(), CollectError> {
        self.driver.begin_tick(now);
        for gpu in 0..self.driver.gpu_count().map_err(CollectError::Gpu)?.min(GPUS_MAX) {
            readings.extend(self.collect_one(gpu, now).map_err(CollectError::Gpu)?.map(Reading::GpuSample));
        }
        Ok(())
    }
}

/// The sample of `figures`; `None` when there is no measure, since the event would not be valid.
pub(crate) fn sample(vm: &str, gpu: u16, now: Moment, figures: GpuFigures) -> Option<GpuSample> {
    let sample = GpuSample {
        vm: vm.to_owned(),
        gpu,
        at: now.at,
        utilization_ratio: figures.utilization_ratio.and_then(ratio),
        memory_used_bytes: figures.memory_used_bytes.and_then(whole),
        memory_total_bytes: figures.memory_total_bytes.and_then(whole),
        temperature_celsius: figures.temperature_celsius.and_then(amount),
        power_watts: figures.power_watts.and_then(amount),
        uuid: figures.uuid,
        name: figures.name,
    };
    let has_measure = sample.utilization_ratio.is_some()
        || sample.memory_used_bytes.is_some()
        || sample.memory_total_bytes.is_some()
        || sample.temperature_celsius.is_some()
        || sample.power_watts.is_some();
    has_measure.then_some(sample)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A driver that says what it is told to.
    struct Scripted(Vec<Result<GpuFigures, &'static str>>);

    impl GpuDriver for Scripted {
        fn gpu_count(&mut self) -> Result<u16, GpuError> {
            u16::try_from(self.0.len()).map_err(|error| GpuError::Driver(error.into()))
        }

        fn gpu_read(&mut self, index: u16) -> Result<GpuFigures, GpuError> {
            self.0[usize::from(index)].clone().map_err(|_| GpuError::Lost)
        }
    }

    fn now() -> Moment {
        Moment { at: "2026-09-26T12:00:00Z".parse().unwrap(), monotonic: Duration::ZERO }
    }

    #[test]
    fn a_lost_gpu_and_one_without_measures_are_left_out() {
        let figures = GpuFigures { utilization_ratio: Some(0.5), memory_used_bytes: Some(u64::MAX), ..GpuFigures::default() };
        let named = GpuFigures { name: Some("NVIDIA H100".into()), ..GpuFigures::default() };
        let driver = Scripted(vec![Err("lost"), Ok(named), Ok(figures)]);
        let mut collector = GpuCollector::new("gpu-a-01".into(), driver);

        let mut readings = Vec::new();
        collector.collect(now(), &mut readings).unwrap();
        let [Reading::GpuSample(sample)] = readings.as_slice() else { panic!("{readings:?}") };
        assert_eq!((sample.gpu, sample.utilization_ratio, sample.memory_used_bytes), (2, Some(0.5), None));
        assert!(!collector.conditions.get_mut(&0).unwrap().fails("gpu is lost"), "the loss has been said");

        collector.driver.0[0] = Ok(GpuFigures { power_watts: Some(70.25), ..GpuFigures::default() });
        readings.clear();
        collector.collect(now(), &mut readings).unwrap();
        assert_eq!(readings.len(), 2);
        let inventory = GpuInventory { gpu_count: 3, gpu_model: Some("NVIDIA H100".into()) };
        assert_eq!(collector.inventory().unwrap(), inventory);
    }
}
