//! Figures of jobs. Pure.
//!
//! Invariant: unknown is none, never 0; a sum over nothing is 0. Must not know: which jobs count.

use super::figures::{Distribution, Merged, distribution, ratio};
use super::gather::{Gathered, OUTCOMES};
use crate::cell::part::Part;

/// Figures of jobs. What was not asked for is 0 or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFigures {
    /// Jobs whose last attempt succeeded, failed, was cancelled.
    pub outcomes: [u64; OUTCOMES],
    /// Executions of the jobs.
    pub attempts: u64,
    /// Jobs with more than one execution.
    pub retried_jobs: u64,
    /// Time that first attempts waited.
    pub queue: Option<Distribution>,
    /// Sums of the durations of all attempts.
    pub processing: Option<Distribution>,
}

impl JobFigures {
    /// Number of jobs.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Attempts but the first of each job.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.attempts.saturating_sub(self.jobs())
    }

    /// failed / (succeeded + failed).
    #[must_use]
    pub fn failure_ratio(&self) -> Option<f64> {
        ratio(self.outcomes[1] as f64, (self.outcomes[0] + self.outcomes[1]) as f64)
    }

    /// retries / attempts.
    #[must_use]
    pub fn retry_ratio(&self) -> Option<f64> {
        ratio(self.retries() as f64, self.attempts as f64)
    }
}

/// Figures of some atoms.
#[must_use]
pub fn job_figures(gathered: &Gathered, atoms: &[u32]) -> JobFigures {
    let mut figures = JobFigures::default();
    for atom in atoms {
        for (outcome, count) in figures.outcomes.iter_mut().enumerate() {
            *count += gathered.outcomes[*atom as usize * OUTCOMES + outcome];
        }
    }
    let sum = |part| Merged::of(gathered, part, atoms).map_or(0, |merged| merged.sum());
    let spread =
        |part| Merged::of(gathered, part, atoms).and_then(|merged| merged.summary().map(|(summary, scale)| distribution(summary, scale)));
    figures.attempts = sum(Part::Attempts);
    figures.retried_jobs = sum(Part::RetriedJobs);
    figures.queue = spread(Part::JobQueue);
    figures.processing = spread(Part::JobProcessing);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_of_nothing_are_none() {
        let none = JobFigures::default();
        assert_eq!((none.failure_ratio(), none.retry_ratio(), none.retries()), (None, None, 0));
        let some = JobFigures { outcomes: [2, 1, 4], attempts: 10, ..JobFigures::default() };
        assert_eq!((some.jobs(), some.retries(), some.retry_ratio()), (7, 3, Some(0.3)));
        assert_eq!(some.failure_ratio(), Some(1.0 / 3.0));
        assert_eq!(JobFigures { outcomes: [0, 0, 4], ..none }.failure_ratio(), None);
    }
}
