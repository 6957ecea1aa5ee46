//! Figures of executions that their timelines tell: the share of the GPU memory that they took, the samples of GPUs that they held.
//!
//! Invariant: a sample counts where its combination has a row, and in the total. Must not know: how timelines come about.

use std::collections::BTreeSet;

use plimsoll_entity::value::time::Window;

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Reader, Reading};
use super::figures::{ExecutionFigures, GpuSampleFigures, gauge_of, sum_of};
use super::filter::Filter;
use super::gather::{Gathered, Gathering};
use super::timelines::Timelines;
use crate::cell::column::Column;
use crate::cell::part::{Family, Part};

/// The parts that GPU samples are answered from.
pub const SAMPLE_PARTS: [Part; 3] = [Part::GpuSamples, Part::GpuRatio, Part::GpuMemoryUsed];
/// The families that days of ratios are read from, the cheapest first.
const DAYS: [Family; 3] = [Family::TimelineCombination, Family::TimelineMachine, Family::TimelineCaller];

/// What was gathered of timelines for a question about executions.
#[derive(Debug, Default)]
pub struct Derived {
    ratios: Option<Gathered>,
    samples: Option<Gathered>,
}

/// Whether a part is answered from timelines.
#[must_use]
pub fn is_derived(part: Part) -> bool {
    part == Part::MemoryRatioMax || SAMPLE_PARTS.contains(&part)
}

impl Reader {
    /// Gathers what timelines tell; nothing where nothing of it is asked for.
    ///
    /// # Errors
    /// [`BreakdownError`] when the answer would be too large or the store fails.
    pub(super) async fn derived(
        &self,
        reading: &Reading,
        tiles: &[Window],
        by: &[Dimension],
        filter: &Filter,
        parts: &BTreeSet<Part>,
    ) -> Result<Derived, BreakdownError> {
        let mut derived = Derived::default();
        let Some(last) = tiles.last().filter(|_| parts.iter().copied().any(is_derived)) else { return Ok(derived) };
        let timelines = Timelines::until(reading, last.end).await?;
        let asked = |parts| Gathering { tiles, by, filter, parts, coarseness: self.coarseness };
        if parts.contains(&Part::MemoryRatioMax) {
            derived.ratios = Some(timelines.gather(&asked(&[Part::MemoryRatioMax]), Family::Timeline, &DAYS).await?);
        }
        if parts.contains(&Part::GpuSamples) && by.iter().all(|dimension| dimension.is_of_samples()) && filter.is_of_samples() {
            derived.samples = Some(timelines.gather(&asked(&SAMPLE_PARTS), Family::OwnedSample, &[Family::OwnedSample]).await?);
        }
        Ok(derived)
    }
}

impl Derived {
    /// Adds what belongs to some atoms of executions.
    pub fn add(&self, figures: &mut ExecutionFigures, gathered: &Gathered, atoms: &[u32]) {
        let own = |derived: &Gathered| atoms.iter().filter_map(|atom| derived.find(&gathered.atoms[*atom as usize])).collect::<Vec<_>>();
        self.add_ratio(figures, own);
        figures.gpu_samples = self.samples.as_ref().map(|samples| sample_figures(samples, &own(samples)));
    }

    /// Adds everything that belongs to one tile, or to all.
    pub fn add_all(&self, figures: &mut ExecutionFigures, tile: Option<u32>) {
        let own = |derived: &Gathered| {
            (0_u32..)
                .zip(&derived.atoms)
                .filter(|(_, key)| tile.is_none_or(|tile| key.tile == tile))
                .map(|(atom, _)| atom)
                .collect::<Vec<_>>()
        };
        self.add_ratio(figures, own);
        figures.gpu_samples = self.samples.as_ref().map(|samples| sample_figures(samples, &own(samples)));
    }

    fn add_ratio(&self, figures: &mut ExecutionFigures, own: impl Fn(&Gathered) -> Vec<u32>) {
        let (Some(memory), Some(ratios)) = (&mut figures.gpu_memory, &self.ratios) else { return };
        if let Some(Column::Latest(largest)) = ratios.columns.get(&Part::MemoryRatioMax) {
            let bits = own(ratios).into_iter().map(|atom| largest[atom as usize]).max().unwrap_or(0);
            memory.max_ratio = (bits > 0).then(|| f64::from_bits(bits as u64 - 1));
        }
    }
}

fn sample_figures(samples: &Gathered, atoms: &[u32]) -> GpuSampleFigures {
    GpuSampleFigures {
        samples: sum_of(samples, Part::GpuSamples, atoms),
        utilization_ratio: gauge_of(samples, Part::GpuRatio, atoms),
        memory_used_bytes: gauge_of(samples, Part::GpuMemoryUsed, atoms),
    }
}
