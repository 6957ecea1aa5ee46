//! Two slices of executions side by side (contract, "Comparison").
//!
//! Times are compared as they were told where the windows hold few executions, else by their sketches, which are right to 1 %: then
//! only a difference that is certain beyond that gives a verdict. Either way no window is held in memory.
//! Invariant: both sides come from one snapshot. Must not know: GraphQL.

pub mod rank_test;

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;
use plimsoll_entity::value::histogram::{GAMMA, value_of};
use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::time::{Step, Window};

use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{ExecutionOrder, ExecutionQuestion, Reader, Reading};
use crate::breakdown::figures::{ExecutionFigures, ratio, summary_of};
use crate::breakdown::filter::Filter;
use crate::breakdown::gather::{Gathered, Gathering, execution_columns, family_for};
use crate::cell::fact::{Fact as _, MeasuredExecution};
use crate::cell::part::{KeyColumn, Part};
use crate::cell::plan::Coarseness;
use crate::store::ExecutionFact;
use rank_test::{count, counted, mann_whitney, percentile};

/// Executions in both windows, whatever the filter, of which times are still read as they were told.
pub const EXACT_MAX: u64 = 200_000;
/// Executions that a side has at least for a verdict.
const ENOUGH: u64 = 8;
/// Below this a difference is no chance.
const SIGNIFICANCE: f64 = 0.05;
/// Medians differ by as much at least for a verdict.
const DIFFERENCE_MIN: f64 = 0.02;
/// The times that are compared.
const TIMES: [Part; 2] = [Part::Duration, Part::Inference];

/// Which executions are on a side.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The window in which they finished.
    pub window: Window,
    /// Which of them.
    pub filter: Filter,
    /// Parts of their figures that are wanted.
    pub parts: BTreeSet<Part>,
}

/// What the comparison says of the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its inference takes less time.
    Faster,
    /// Its inference takes more time.
    Slower,
    /// Neither is clear.
    NoClearDifference,
    /// A side has too few executions.
    NotEnoughData,
}

/// Two slices side by side. Changes are candidate / baseline - 1; none where a side has no value or the baseline's is 0.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Figures of the baseline.
    pub baseline: ExecutionFigures,
    /// Figures of the candidate.
    pub candidate: ExecutionFigures,
    /// Change of the median and of the 95th percentile of durations.
    pub duration_changes: [Option<f64>; 2],
    /// Change of the median and of the 95th percentile of inference times.
    pub inference_changes: [Option<f64>; 2],
    /// Change of the success ratio.
    pub success_ratio_change: Option<f64>,
    /// Two-sided p-value on the inference times; none with too few on a side.
    pub inference_p_value: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
}

/// The times of one side's succeeded executions: durations and inference times, each value with how often it occurs.
#[derive(Clone, Debug, Default)]
struct Times {
    values: [Vec<(f64, u64)>; 2],
}

/// candidate / baseline - 1.
fn change(baseline: Option<f64>, candidate: Option<f64>) -> Option<f64> {
    ratio(candidate?, baseline?).map(|ratio| ratio - 1.0)
}

/// `error_ratio`: how far a value may be off.
fn verdict(baseline: &[(f64, u64)], candidate: &[(f64, u64)], p_value: Option<f64>, error_ratio: f64) -> Verdict {
    let Some(p_value) = p_value else { return Verdict::NotEnoughData };
    let Some(change) = change(percentile(baseline, 50), percentile(candidate, 50)) else { return Verdict::NoClearDifference };
    // The least and the largest change that the medians as they are known leave open.
    let spread = (1.0 + error_ratio) / (1.0 - error_ratio);
    let (least, largest) = ((1.0 + change) / spread - 1.0, (1.0 + change) * spread - 1.0);
    match p_value < SIGNIFICANCE {
        true if largest <= -DIFFERENCE_MIN => Verdict::Faster,
        true if least >= DIFFERENCE_MIN => Verdict::Slower,
        _ => Verdict::NoClearDifference,
    }
}

/// The executions of a filter that succeeded.
fn succeeded(filter: &Filter) -> Filter {
    let mut filter = filter.clone();
    let only = u32::from(Outcome::Succeeded.code().unsigned_abs()) + 1;
    filter
        .columns
        .entry(KeyColumn::Outcome as usize)
        .and_modify(|outcomes| outcomes.retain(|outcome| *outcome == only))
        .or_insert_with(|| [only].into());
    filter
}

impl Reader {
    /// Compares two slices; `exact_max` is [`EXACT_MAX`] but in tests.
    ///
    /// # Errors
    /// [`BreakdownError`] when a side cannot be asked for or the store fails.
    pub async fn comparison(
        &self,
        reading: &Reading,
        baseline: &Slice,
        candidate: &Slice,
        exact_max: u64,
    ) -> Result<Comparison, BreakdownError> {
        let (of_baseline, of_candidate) = (self.side(reading, baseline).await?, self.side(reading, candidate).await?);
        let mut executions = 0;
        for (slice, figures) in [(baseline, &of_baseline), (candidate, &of_candidate)] {
            // Whatever the filter: all of the window would be read.
            let everything = Slice { window: slice.window, filter: Filter::default(), parts: BTreeSet::new() };
            let is_everything = slice.filter.columns_used().is_empty();
            executions += if is_everything { figures.executions() } else { self.side(reading, &everything).await?.executions() };
        }
        let is_exact = executions <= exact_max;
        let (old, new) = if is_exact {
            (told_times(reading, baseline).await?, told_times(reading, candidate).await?)
        } else {
            (self.sketched_times(reading, baseline).await?, self.sketched_times(reading, candidate).await?)
        };
        let changes =
            |time: usize| [50, 95].map(|percent| change(percentile(&old.values[time], percent), percentile(&new.values[time], percent)));
        let [old_inference, new_inference] = [&old.values[1], &new.values[1]];
        let is_enough = count(old_inference).min(count(new_inference)) >= ENOUGH;
        let inference_p_value = if is_enough { mann_whitney(old_inference, new_inference) } else { None };
        let error_ratio = if is_exact { 0.0 } else { (GAMMA - 1.0) / 2.0 };
        Ok(Comparison {
            success_ratio_change: change(of_baseline.success_ratio(), of_candidate.success_ratio()),
            duration_changes: changes(0),
            inference_changes: changes(1),
            inference_p_value,
            verdict: verdict(old_inference, new_inference, inference_p_value, error_ratio),
            baseline: of_baseline,
            candidate: of_candidate,
        })
    }

    async fn side(&self, reading: &Reading, slice: &Slice) -> Result<ExecutionFigures, BreakdownError> {
        let asked = ExecutionQuestion { window: slice.window, by: Vec::new(), parts: slice.parts.clone(), limit: 0 };
        Ok(self.execution_breakdown(reading, &asked, &slice.filter, ExecutionOrder::Executions).await?.total)
    }

    /// Times as their sketches have them.
    async fn sketched_times(&self, reading: &Reading, slice: &Slice) -> Result<Times, BreakdownError> {
        let filter = succeeded(&slice.filter);
        let mut gathered = Gathered::default();
        let gathering = Gathering { tiles: &[slice.window], by: &[], filter: &filter, parts: &TIMES, coarseness: self.coarseness };
        gathered.read(reading.sources(), &gathering, family_for(&[], &filter)).await?;
        let of = |part| {
            let summary = summary_of(&gathered, part, 0).map(|(summary, _)| summary);
            summary.into_iter().flat_map(|summary| summary.sketch.buckets()).map(|(bucket, count)| (value_of(bucket), count)).collect()
        };
        Ok(Times { values: TIMES.map(of) })
    }
}

/// Times as they were told, a day at a time.
async fn told_times(reading: &Reading, slice: &Slice) -> Result<Times, BreakdownError> {
    let (filter, tiles) = (succeeded(&slice.filter), [slice.window]);
    let gathering = Gathering { tiles: &tiles, by: &[], filter: &filter, parts: &TIMES, coarseness: Coarseness::Facts };
    let sources = reading.sources();
    let (mut gathered, mut values) = (Gathered::default(), [Vec::new(), Vec::new()]);
    let columns = execution_columns(&gathering);
    for day in slice.window.tiles(Step::Day) {
        let facts: Vec<ExecutionFact> = sources.snapshot.execution_stream(day, columns).await?.try_collect().await?;
        gathered.learn(sources, &filter, facts.iter().map(|fact| fact.combination_id)).await?;
        for fact in facts {
            let (duration_us, inference_ms, at) = (fact.finished_at.0 - fact.started_at.0, fact.inference_ms, fact.finished_at);
            if gathered.atom(sources, &gathering, &MeasuredExecution::from(fact).key(), 0, at).is_some() {
                values[0].push(duration_us as f64 / 1_000.0);
                values[1].extend(inference_ms);
            }
        }
    }
    Ok(Times { values: values.map(counted) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(median: f64, count: u64) -> Vec<(f64, u64)> {
        vec![(median, count)]
    }

    #[test]
    fn a_verdict_takes_a_difference_that_is_clear_and_large_enough() {
        let old = times(100.0, 20);
        assert_eq!(verdict(&old, &times(98.0, 20), Some(0.01), 0.0), Verdict::Faster);
        assert_eq!(verdict(&old, &times(98.1, 20), Some(0.01), 0.0), Verdict::NoClearDifference);
        assert_eq!(verdict(&old, &times(102.0, 20), Some(0.01), 0.0), Verdict::Slower);
        assert_eq!(verdict(&old, &times(120.0, 20), Some(0.05), 0.0), Verdict::NoClearDifference);
        assert_eq!(verdict(&old, &times(120.0, 20), None, 0.0), Verdict::NotEnoughData);
    }

    #[test]
    fn what_sketches_leave_open_is_no_difference() {
        let old = times(100.0, 20);
        assert_eq!(verdict(&old, &times(103.0, 20), Some(0.01), 0.01), Verdict::NoClearDifference);
        assert_eq!(verdict(&old, &times(105.0, 20), Some(0.01), 0.01), Verdict::Slower);
        assert_eq!(verdict(&old, &times(95.0, 20), Some(0.01), 0.01), Verdict::Faster);
    }

    #[test]
    fn changes_are_none_where_a_side_has_nothing() {
        assert_eq!(change(Some(4.0), Some(5.0)), Some(0.25));
        assert_eq!((change(None, Some(1.0)), change(Some(1.0), None), change(Some(0.0), Some(1.0))), (None, None, None));
    }

    #[test]
    fn only_what_succeeded_is_compared() {
        let column = KeyColumn::Outcome as usize;
        let mut failed = Filter::default();
        failed.columns.insert(column, [2].into());
        assert!(succeeded(&failed).columns[&column].is_empty());
        assert_eq!(succeeded(&Filter::default()).columns[&column], [1].into());
    }
}
