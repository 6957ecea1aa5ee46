//! `nv_*`, as Triton writes it about GPUs and the machine that it runs on.
//!
//! Triton names GPUs by uuid only; their index has to come from elsewhere. What it cannot read it writes as 0, so that a 0
//! counts only where 0 is a possible value and something else says that the GPU was read at all.
//!
//! Must not know: other sources.

use std::collections::BTreeMap;

use super::figure::{INSTANCE_PREFIX, ScrapedGpu, ScrapedMachine, Unit, whole_bytes};
use super::text::Sample;
use crate::gpu::{GPUS_MAX, GpuFigures};
use crate::machine::check_name;

const GPU_UTILIZATION: &str = "nv_gpu_utilization";
const GPU_MEMORY_USED: &str = "nv_gpu_memory_used_bytes";
const GPU_MEMORY_TOTAL: &str = "nv_gpu_memory_total_bytes";
const GPU_POWER: &str = "nv_gpu_power_usage";
const CPU_UTILIZATION: &str = "nv_cpu_utilization";
const CPU_MEMORY_USED: &str = "nv_cpu_memory_used_bytes";
const CPU_MEMORY_TOTAL: &str = "nv_cpu_memory_total_bytes";

const READ: [&str; 7] = [GPU_UTILIZATION, GPU_MEMORY_USED, GPU_MEMORY_TOTAL, GPU_POWER, CPU_UTILIZATION, CPU_MEMORY_USED, CPU_MEMORY_TOTAL];
const UUID_LABELS: [&str; 1] = ["gpu_uuid"];

pub(super) fn is_read(name: &str) -> bool {
    READ.contains(&name)
}

/// What a page says about GPUs.
pub(super) fn gpus(samples: &[Sample]) -> Vec<ScrapedGpu> {
    let mut gpus: BTreeMap<String, GpuFigures> = BTreeMap::new();
    for sample in samples {
        let Some(uuid) = sample.label(&UUID_LABELS).filter(|uuid| check_name(uuid).is_ok() && !uuid.starts_with(INSTANCE_PREFIX)) else {
            continue;
        };
        if !gpus.contains_key(uuid) && gpus.len() >= usize::from(GPUS_MAX) {
            continue;
        }
        let gpu = gpus.entry(uuid.to_owned()).or_default();
        match sample.name.as_str() {
            GPU_UTILIZATION => gpu.utilization_ratio = Unit::Ratio.figure(sample.value),
            GPU_MEMORY_USED => gpu.memory_used_bytes = Unit::Bytes.figure(sample.value).map(whole_bytes),
            GPU_MEMORY_TOTAL => gpu.memory_total_bytes = Unit::Bytes.figure(sample.value).map(whole_bytes).filter(|total| *total > 0),
            GPU_POWER => gpu.power_watts = Unit::Watts.figure(sample.value),
            _ => {}
        }
    }
    gpus.into_iter().map(|(uuid, figures)| ScrapedGpu { uuid: Some(uuid.clone()), index: None, figures: as_read(uuid, figures) }).collect()
}

fn as_read(uuid: String, mut figures: GpuFigures) -> GpuFigures {
    if figures.memory_total_bytes.is_none() {
        figures.memory_used_bytes = figures.memory_used_bytes.filter(|used| *used > 0);
    }
    let is_read = figures.memory_total_bytes.or(figures.memory_used_bytes).is_some() || figures.power_watts.is_some();
    if !is_read {
        figures.utilization_ratio = figures.utilization_ratio.filter(|ratio| *ratio > 0.0);
    }
    figures.uuid = Some(uuid);
    figures
}

/// What a page says about the machine.
pub(super) fn machine(samples: &[Sample]) -> ScrapedMachine {
    let value = |name: &str| samples.iter().find(|sample| sample.name == name).map(|sample| sample.value);
    let bytes = |name: &str| value(name).and_then(|value| Unit::Bytes.figure(value)).map(whole_bytes).filter(|bytes| *bytes > 0);
    let memory_total_bytes = bytes(CPU_MEMORY_TOTAL);
    let was_read = memory_total_bytes.is_some();
    let cpu_ratio = value(CPU_UTILIZATION).and_then(|value| Unit::Ratio.figure(value)).filter(|ratio| was_read || *ratio > 0.0);
    ScrapedMachine { cpu_ratio, memory_used_bytes: bytes(CPU_MEMORY_USED), memory_total_bytes }
}

#[cfg(test)]
mod tests;
