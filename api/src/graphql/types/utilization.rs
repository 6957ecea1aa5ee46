//! What machines and their GPUs did when they were last sampled.

use std::sync::Arc;

use async_graphql::{Lookahead, Object};
use plimsoll_domain::utilization::{GpuUtilization as Gpu, OfGpus, Utilization};

use super::name::Combination;
use super::vm::Vm;
use crate::graphql::scalar::{DateTime, UInt53};

/// What is asked of the GPUs of a `VmUtilization`.
pub fn gpus_asked(look: Lookahead<'_>) -> OfGpus {
    let gpus = look.field("gpus");
    match (gpus.exists(), gpus.field("combination").exists()) {
        (false, _) => OfGpus::Nothing,
        (true, false) => OfGpus::Samples,
        (true, true) => OfGpus::Combinations,
    }
}

fn bytes(bytes: Option<i64>) -> Option<UInt53> {
    bytes.map(|bytes| UInt53(bytes as u64))
}

/// A machine as its newest sample tells. What that sample did not tell is null, whatever samples before it told.
#[derive(Clone, Debug)]
pub struct VmUtilization(pub Arc<Utilization>);

/// A machine as its newest sample tells. What that sample did not tell is null, whatever samples before it told.
#[Object]
impl VmUtilization {
    /// The machine.
    async fn vm(&self) -> Vm {
        Vm(self.0.vm_id)
    }

    /// Instant of the sample; of a machine of which only GPUs have sent samples, of the newest of those.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// Busy share of the CPUs, 0 to 1; null when not sampled.
    async fn cpu_ratio(&self) -> Option<f64> {
        self.0.cpu_ratio
    }

    /// Memory in use, in bytes; null when not sampled.
    async fn memory_used_bytes(&self) -> Option<UInt53> {
        bytes(self.0.memory_used_bytes)
    }

    /// Memory, in bytes; null when not sampled.
    async fn memory_total_bytes(&self) -> Option<UInt53> {
        bytes(self.0.memory_total_bytes)
    }

    /// Disk space in use, in bytes; null when not sampled.
    async fn disk_used_bytes(&self) -> Option<UInt53> {
        bytes(self.0.disk_used_bytes)
    }

    /// Disk space, in bytes; null when not sampled.
    async fn disk_total_bytes(&self) -> Option<UInt53> {
        bytes(self.0.disk_total_bytes)
    }

    /// Bytes received in the sample's interval, over its length in seconds; null when not sampled.
    async fn network_received_bytes_per_second(&self) -> Option<f64> {
        self.0.network_received_bytes_per_second
    }

    /// Bytes sent in the sample's interval, over its length in seconds; null when not sampled.
    async fn network_sent_bytes_per_second(&self) -> Option<f64> {
        self.0.network_sent_bytes_per_second
    }

    /// Bytes read from disks in the sample's interval, over its length in seconds; null when not sampled.
    async fn disk_read_bytes_per_second(&self) -> Option<f64> {
        self.0.disk_read_bytes_per_second
    }

    /// Bytes written to disks in the sample's interval, over its length in seconds; null when not sampled.
    async fn disk_written_bytes_per_second(&self) -> Option<f64> {
        self.0.disk_written_bytes_per_second
    }

    /// Its GPUs that have ever sent a sample, by index, each as its own newest sample tells.
    async fn gpus(&self) -> Vec<GpuUtilization> {
        (0..self.0.gpus.len()).map(|at| GpuUtilization { of: Arc::clone(&self.0), at }).collect()
    }
}

/// A GPU as its newest sample tells. What that sample did not tell is null, whatever samples before it told.
#[derive(Clone, Debug)]
pub struct GpuUtilization {
    of: Arc<Utilization>,
    at: usize,
}

impl GpuUtilization {
    fn gpu(&self) -> &Gpu {
        &self.of.gpus[self.at]
    }
}

/// A GPU as its newest sample tells. What that sample did not tell is null, whatever samples before it told.
#[Object]
impl GpuUtilization {
    /// Index on its machine, from 0.
    async fn index(&self) -> i32 {
        self.gpu().latest.gpu.into()
    }

    /// Instant of the sample, which may be older than that of the machine.
    async fn at(&self) -> DateTime {
        DateTime(self.gpu().latest.sample.at)
    }

    /// UUID of the device; null when not told.
    async fn uuid(&self) -> Option<&str> {
        self.gpu().latest.uuid.as_deref()
    }

    /// Name of the device; null when not told.
    async fn name(&self) -> Option<&str> {
        self.gpu().latest.name.as_deref()
    }

    /// Busy share, 0 to 1; null when not sampled.
    async fn utilization_ratio(&self) -> Option<f64> {
        self.gpu().latest.sample.utilization_ratio
    }

    /// Memory in use, in bytes; null when not sampled.
    async fn memory_used_bytes(&self) -> Option<UInt53> {
        bytes(self.gpu().latest.sample.memory_used_bytes)
    }

    /// Memory, in bytes; null when not sampled.
    async fn memory_total_bytes(&self) -> Option<UInt53> {
        bytes(self.gpu().latest.sample.memory_total_bytes)
    }

    /// Temperature in degrees Celsius; null when not sampled.
    async fn temperature_celsius(&self) -> Option<f64> {
        self.gpu().latest.sample.temperature_celsius
    }

    /// Power in watts; null when not sampled.
    async fn power_watts(&self) -> Option<f64> {
        self.gpu().latest.sample.power_watts
    }

    /// The combination of all jobs in state RUNNING that hold the GPU now; a job without GPU indices holds all of its machine, and none is believed to run for more than a day. Null when none does, and when they have several combinations. An execution is told when it is over, so one that no job tells of is not seen.
    async fn combination(&self) -> Option<Combination> {
        self.gpu().combination_id.map(Combination)
    }
}
