//! Two slices of executions side by side.

use async_graphql::{Enum, InputObject, SimpleObject};
use plimsoll_domain::comparison::{Comparison, Verdict};

use super::execution_stats::ExecutionStats;
use super::filter::ExecutionFilter;
use super::window::TimeWindowInput;

/// One side of a comparison.
#[derive(InputObject, Clone, Debug)]
pub struct ExecutionSliceInput {
    /// Executions that finished in it.
    pub window: TimeWindowInput,
    /// Which of them; null: all.
    pub filter: Option<ExecutionFilter>,
}

/// What a comparison says of the candidate.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "Verdict")]
pub enum ComparisonVerdict {
    /// Its inference takes less time: p < 0.05, and the medians differ by at least 2 %.
    Faster,
    /// Its inference takes more time: p < 0.05, and the medians differ by at least 2 %.
    Slower,
    /// Neither is clear.
    NoClearDifference,
    /// Fewer than 8 inference times on a side.
    NotEnoughData,
}

/// Two slices side by side. Times compare the executions that succeeded; ratios compare all. Where both windows together hold more than 200,000 executions, whatever the filters, times come from sketches, right to 1 %, and only a difference that is certain beyond that gives a verdict.
#[derive(SimpleObject, Clone, Debug)]
pub struct ExecutionComparison {
    /// Figures of all executions of the baseline.
    baseline: ExecutionStats,
    /// Figures of all executions of the candidate.
    candidate: ExecutionStats,
    /// Median duration, candidate / baseline - 1; null when either side has none.
    duration_p50_change: Option<f64>,
    /// 95th percentile of the duration, candidate / baseline - 1; null when either side has none.
    duration_p95_change: Option<f64>,
    /// Median inference time, candidate / baseline - 1; null when either side has none.
    inference_p50_change: Option<f64>,
    /// 95th percentile of the inference time, candidate / baseline - 1; null when either side has none.
    inference_p95_change: Option<f64>,
    /// Success ratio, candidate / baseline - 1; null when either side has none.
    success_ratio_change: Option<f64>,
    /// Two-sided p-value of a Mann-Whitney test on the inference times of both sides, 0 to 1; null with fewer than 8 on a side.
    inference_p_value: Option<f64>,
    /// What follows for the candidate.
    verdict: ComparisonVerdict,
}

impl From<Comparison> for ExecutionComparison {
    fn from(of: Comparison) -> Self {
        let ([duration_p50_change, duration_p95_change], [inference_p50_change, inference_p95_change]) =
            (of.duration_changes, of.inference_changes);
        Self {
            baseline: of.baseline.into(),
            candidate: of.candidate.into(),
            duration_p50_change,
            duration_p95_change,
            inference_p50_change,
            inference_p95_change,
            success_ratio_change: of.success_ratio_change,
            inference_p_value: of.inference_p_value,
            verdict: of.verdict.into(),
        }
    }
}
