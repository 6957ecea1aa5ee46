//! `DCGM_FI_*`, as dcgm-exporter writes it, by the names up to DCGM 4.6 and those since 4.7, some in other units.
//!
//! Samples are of GPUs, so what the exporter says about the instances of a GPU that is cut up (MIG) comes together:
//! - Utilization is that of the whole GPU. An instance tells the share of itself that was busy, and how large a part of its
//!   GPU it is depends on the model. `DCGM_FI_DEV_GPU_UTIL` is not supported with MIG and reads 0 then.
//! - Memory in use is what the instances use together, unless something on the page was not understood. The memory of the
//!   GPU is not theirs together, since it need not be given out.
//! - Temperature and power are the board's, and are repeated with every instance.
//!
//! Invariants: the order of lines does not matter; a GPU that several pods share is written once a pod and counted once.
//! Must not know: other sources.

use std::collections::BTreeMap;

use super::figure::{INSTANCE_PREFIX, ScrapedGpu, Unit, whole_bytes};
use super::text::Sample;
use crate::gpu::{GPUS_MAX, GpuFigures};
use crate::machine::check_name;

/// A GPU is cut into 7 instances at most; guards against a page that makes them up.
const INSTANCES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    MigMode,
    Utilization,
    EngineActive,
    MemoryTotal,
    MemoryFree,
    MemoryUsed,
    MemoryReserved,
    Temperature,
    Power,
}

/// The metrics that are read. Those in bytes and `…_GPU_UTIL_RATIO` came with DCGM 4.7; until 4.6 the latter was another
/// name of the percentage, and then nearly all of its values are none here.
const METRICS: [(&str, Field, Unit); 17] = [
    // 0 or 1.
    ("DCGM_FI_DEV_MIG_MODE", Field::MigMode, Unit::Ratio),
    ("DCGM_FI_DEV_GPU_UTIL", Field::Utilization, Unit::Percent),
    ("DCGM_FI_DEV_GPU_UTIL_RATIO", Field::Utilization, Unit::Ratio),
    ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", Field::EngineActive, Unit::Ratio),
    ("DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO", Field::EngineActive, Unit::Ratio),
    ("DCGM_FI_DEV_FB_TOTAL", Field::MemoryTotal, Unit::Mebibytes),
    ("DCGM_FI_DEV_FB_CAPACITY_BYTES", Field::MemoryTotal, Unit::Bytes),
    ("DCGM_FI_DEV_FB_FREE", Field::MemoryFree, Unit::Mebibytes),
    ("DCGM_FI_DEV_FB_FREE_BYTES", Field::MemoryFree, Unit::Bytes),
    ("DCGM_FI_DEV_FB_USED", Field::MemoryUsed, Unit::Mebibytes),
    ("DCGM_FI_DEV_FB_USED_BYTES", Field::MemoryUsed, Unit::Bytes),
    ("DCGM_FI_DEV_FB_RESERVED", Field::MemoryReserved, Unit::Mebibytes),
    ("DCGM_FI_DEV_FB_RESERVED_BYTES", Field::MemoryReserved, Unit::Bytes),
    ("DCGM_FI_DEV_GPU_TEMP", Field::Temperature, Unit::Celsius),
    ("DCGM_FI_DEV_GPU_TEMP_CELSIUS", Field::Temperature, Unit::Celsius),
    ("DCGM_FI_DEV_POWER_USAGE", Field::Power, Unit::Watts),
    ("DCGM_FI_DEV_BOARD_POWER_WATTS", Field::Power, Unit::Watts),
];

const UUID_LABELS: [&str; 3] = ["UUID", "uuid", "gpu_uuid"];
const MODEL_LABELS: [&str; 2] = ["modelName", "model_name"];
const INDEX_LABELS: [&str; 1] = ["gpu"];
const INSTANCE_LABELS: [&str; 2] = ["GPU_I_ID", "gpu_i_id"];
const INSTANCE_PROFILE_LABELS: [&str; 2] = ["GPU_I_PROFILE", "gpu_i_profile"];

pub(super) fn is_read(name: &str) -> bool {
    name.starts_with("DCGM_FI_") && METRICS.iter().any(|(known, ..)| *known == name)
}

type Figures = BTreeMap<Field, f64>;

#[derive(Default)]
struct Gpu {
    name: Option<String>,
    whole: Figures,
    instances: BTreeMap<String, Figures>,
}

/// What a page says about GPUs. `is_complete` says that all of it was understood.
pub(super) fn gpus(samples: &[Sample], is_complete: bool) -> Vec<ScrapedGpu> {
    let mut gpus: BTreeMap<(Option<u16>, Option<String>), Gpu> = BTreeMap::new();
    for sample in samples {
        let Some((_, field, unit)) = METRICS.iter().find(|(name, ..)| *name == sample.name) else { continue };
        let uuid = sample.label(&UUID_LABELS).filter(|uuid| check_name(uuid).is_ok() && !uuid.starts_with(INSTANCE_PREFIX));
        let index = sample.label(&INDEX_LABELS).and_then(|index| index.parse().ok()).filter(|index| *index < GPUS_MAX);
        let key = (index, uuid.map(str::to_owned));
        if key == (None, None) || (!gpus.contains_key(&key) && gpus.len() >= usize::from(GPUS_MAX)) {
            continue;
        }
        let gpu = gpus.entry(key).or_default();
        if gpu.name.is_none() {
            gpu.name = sample.label(&MODEL_LABELS).filter(|name| check_name(name).is_ok()).map(str::to_owned);
        }
        // An instance whose figure is blank is noted all the same: what the GPU's other instances use is not all then.
        let figures = match instance(sample) {
            None => &mut gpu.whole,
            Some(id) if gpu.instances.contains_key(id) || gpu.instances.len() < INSTANCES_MAX => {
                gpu.instances.entry(id.to_owned()).or_default()
            }
            Some(_) => continue,
        };
        if let Some(figure) = unit.figure(sample.value) {
            let known = figures.entry(*field).or_insert(figure);
            *known = known.max(figure);
        }
    }
    gpus.into_iter().map(|((index, uuid), gpu)| gpu.scraped(index, uuid, is_complete)).collect()
}

/// The instance that a series is about; `None` when it is about the whole GPU.
fn instance(sample: &Sample) -> Option<&str> {
    let by_uuid = || sample.label(&UUID_LABELS).filter(|uuid| uuid.starts_with(INSTANCE_PREFIX));
    sample.label(&INSTANCE_LABELS).or_else(|| sample.label(&INSTANCE_PROFILE_LABELS)).or_else(by_uuid)
}

impl Gpu {
    fn scraped(self, index: Option<u16>, uuid: Option<String>, is_complete: bool) -> ScrapedGpu {
        let (used, total) = self.memory(is_complete);
        let is_cut_up = !self.instances.is_empty() || self.whole.get(&Field::MigMode).is_some_and(|mode| *mode > 0.0);
        let utilization = match self.whole.get(&Field::EngineActive) {
            None if !is_cut_up => self.whole.get(&Field::Utilization),
            active => active,
        };
        let figures = GpuFigures {
            utilization_ratio: utilization.copied(),
            memory_used_bytes: used.map(whole_bytes),
            memory_total_bytes: total.map(whole_bytes),
            temperature_celsius: self.of_board(Field::Temperature),
            power_watts: self.of_board(Field::Power),
            uuid: uuid.clone(),
            name: self.name,
        };
        ScrapedGpu { uuid, index, figures }
    }

    /// Used and total, in bytes.
    fn memory(&self, is_complete: bool) -> (Option<f64>, Option<f64>) {
        let whole = |field| self.whole.get(&field).copied();
        // Without what is reserved the sum is too small: since DCGM 3 it is in neither of the others.
        let parts = || Some(whole(Field::MemoryUsed)? + whole(Field::MemoryFree)? + whole(Field::MemoryReserved)?);
        let total = whole(Field::MemoryTotal).or_else(parts);
        // DCGM 2.4.5 said 0 of everything.
        if total == Some(0.0) {
            return (None, None);
        }
        let of_instances = || {
            let used: Option<Vec<f64>> = self.instances.values().map(|instance| instance.get(&Field::MemoryUsed).copied()).collect();
            used.filter(|used| is_complete && !used.is_empty()).map(|used| used.iter().sum())
        };
        (whole(Field::MemoryUsed).or_else(of_instances), total)
    }

    fn of_board(&self, field: Field) -> Option<f64> {
        let repeated = || self.instances.values().filter_map(|instance| instance.get(&field)).copied().reduce(f64::max);
        self.whole.get(&field).copied().or_else(repeated)
    }
}

#[cfg(test)]
mod tests;
