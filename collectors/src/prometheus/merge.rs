//! Brings what pages say together with what was read already, so that a GPU and the machine have one sample a tick.
//!
//! The rule is the same for both, figure by figure: what the driver or the operating system says stands, what it does not say
//! is taken from the first endpoint that does, in the order of the settings. NVML therefore wins over dcgm-exporter, and
//! dcgm-exporter may still tell the utilization of a GPU that is cut up, which NVML does not.
//!
//! A GPU is known by its uuid. Its index is the driver's where the driver has told it, else that of a page which counts GPUs
//! as the driver does; a GPU that nobody tells the index of, as with Triton alone, is left out, since a wrong index would book
//! it on another.
//!
//! Invariant: never two samples of one index. Must not know: where pages come from.

use std::collections::HashMap;

use super::Figures;
use super::figure::{ScrapedGpu, ScrapedMachine};
use crate::clock::Moment;
use crate::gpu::{GPUS_MAX, sample};
use crate::interval::Interval;
use crate::reading::{GpuSample, Reading, VmSample, ratio, whole};

/// Indices by uuid.
pub(super) type Indices = HashMap<String, u16>;

/// The tick that readings belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick<'a> {
    pub(super) vm: &'a str,
    pub(super) interval: Interval,
    pub(super) now: Moment,
}

/// Why a GPU of a page is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LeftOut {
    #[error("nothing tells the index of gpu {0}")]
    NoIndex(String),
    #[error("gpu {uuid} has the index {index} of another gpu")]
    IndexTaken { index: u16, uuid: String },
}

/// Notes which index the driver gave to which GPU; it stays known while the driver cannot read one of them.
pub(super) fn learn_indices(known: &mut Indices, readings: &[Reading]) {
    for reading in readings {
        if let Reading::GpuSample(GpuSample { gpu, uuid: Some(uuid), .. }) = reading
            && (known.len() < usize::from(GPUS_MAX) || known.contains_key(uuid))
        {
            known.insert(uuid.clone(), *gpu);
        }
    }
}

/// Merges pages, in the order of the settings, into the readings of this tick; says what had to be left out.
pub(super) fn merge(tick: Tick<'_>, driver: &Indices, pages: Vec<Figures>, readings: &mut Vec<Reading>) -> Vec<LeftOut> {
    let mut known = driver.clone();
    for page in pages.iter().filter(|page| counts_as(driver, page)) {
        for gpu in &page.gpus {
            if let (Some(uuid), Some(index)) = (&gpu.uuid, gpu.index) {
                known.entry(uuid.clone()).or_insert(index);
            }
        }
    }
    let mut left_out = Vec::new();
    for page in pages {
        merge_machine(tick, page.machine, readings);
        for gpu in page.gpus {
            // Without a uuid the page's index is all there is.
            let index = gpu.uuid.as_ref().map_or(gpu.index, |uuid| known.get(uuid).copied());
            left_out.extend(merge_gpu(tick, index, gpu, readings).err());
        }
    }
    left_out
}

/// Whether a page gives no GPU another index than the driver does: else its indices are of no use for GPUs that the driver
/// does not tell.
fn counts_as(driver: &Indices, page: &Figures) -> bool {
    page.gpus.iter().all(|gpu| match (gpu.uuid.as_ref().and_then(|uuid| driver.get(uuid)), gpu.index) {
        (Some(known), Some(told)) => *known == told,
        _ => true,
    })
}

fn merge_gpu(tick: Tick<'_>, index: Option<u16>, gpu: ScrapedGpu, readings: &mut Vec<Reading>) -> Result<(), LeftOut> {
    let uuid = gpu.uuid.unwrap_or_default();
    let Some(scraped) = sample(tick.vm, index.unwrap_or_default(), tick.now, gpu.figures) else { return Ok(()) };
    let same_uuid = |known: &GpuSample| scraped.uuid.is_some() && known.uuid == scraped.uuid;
    let same_index = |known: &GpuSample| index == Some(known.gpu);
    let mut samples = readings.iter_mut().filter_map(|reading| match reading {
        Reading::GpuSample(known) if same_uuid(known) || same_index(known) => Some(known),
        _ => None,
    });
    match (samples.next(), index) {
        (Some(known), _) if same_uuid(known) || known.uuid.is_none() || scraped.uuid.is_none() => fill_gpu(known, scraped),
        (Some(known), _) => return Err(LeftOut::IndexTaken { index: known.gpu, uuid }),
        (None, None) => return Err(LeftOut::NoIndex(uuid)),
        (None, Some(_)) => readings.push(Reading::GpuSample(scraped)),
    }
    Ok(())
}

fn fill_gpu(known: &mut GpuSample, scraped: GpuSample) {
    fill(&mut known.utilization_ratio, scraped.utilization_ratio);
    fill(&mut known.memory_used_bytes, scraped.memory_used_bytes);
    fill(&mut known.memory_total_bytes, scraped.memory_total_bytes);
    fill(&mut known.temperature_celsius, scraped.temperature_celsius);
    fill(&mut known.power_watts, scraped.power_watts);
    fill(&mut known.uuid, scraped.uuid);
    fill(&mut known.name, scraped.name);
}

fn merge_machine(tick: Tick<'_>, machine: ScrapedMachine, readings: &mut Vec<Reading>) {
    if machine.is_empty() {
        return;
    }
    let known = readings.iter_mut().find_map(|reading| match reading {
        Reading::VmSample(known) => Some(known),
        _ => None,
    });
    if let Some(known) = known {
        fill_machine(known, machine);
        return;
    }
    let mut scraped = VmSample::empty(tick.vm.to_owned(), tick.now.at, tick.interval.seconds());
    fill_machine(&mut scraped, machine);
    if scraped.has_measure() {
        readings.push(Reading::VmSample(scraped));
    }
}

fn fill_machine(known: &mut VmSample, machine: ScrapedMachine) {
    fill(&mut known.cpu_ratio, machine.cpu_ratio.and_then(ratio));
    fill(&mut known.memory_used_bytes, machine.memory_used_bytes.and_then(whole));
    fill(&mut known.memory_total_bytes, machine.memory_total_bytes.and_then(whole));
}

fn fill<T>(known: &mut Option<T>, scraped: Option<T>) {
    if known.is_none() {
        *known = scraped;
    }
}

#[cfg(test)]
mod tests;
