//! Breakdowns of jobs by the end of their last attempt, with that attempt's dimensions (contract, "Jobs").
//!
//! Whole days whose cells hold are read from those, the rest from the table of told jobs and from single executions; jobs that the
//! snapshot still has marked are worked out. Invariant: every plan gives the same answer. Must not know: GraphQL.

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;
use plimsoll_entity::value::time::{DAY_US, Instant, Step, Window};

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Breakdown, Reader, Reading, check};
use super::filter::Filter;
use super::gather::{Gathered, Gathering, chunk_of, runs, wanted};
use super::job_figures::{JobFigures, job_figures};
use super::table;
use crate::cell::column::Column;
use crate::cell::part::{Family, KeyColumn, Part};
use crate::cell::plan::{Breaks, Coarseness, cover};
use crate::job::pending::Pending;
use crate::store::{Grain, JobColumns, JobFact};

/// Jobs that are added at a time.
const FACTS_PER_STEP: usize = 4_096;

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOrder {
    /// Number of jobs.
    Jobs,
    /// Attempts but the first of each job.
    Retries,
    /// Jobs whose last attempt failed.
    Failures,
    /// 95th percentile of the time that first attempts waited.
    QueueP95,
    /// 95th percentile of the processing time.
    ProcessingP95,
}

impl JobOrder {
    /// The part that ordering needs.
    const fn part(self) -> Option<Part> {
        match self {
            Self::Jobs | Self::Failures => None,
            Self::Retries => Some(Part::Attempts),
            Self::QueueP95 => Some(Part::JobQueue),
            Self::ProcessingP95 => Some(Part::JobProcessing),
        }
    }

    fn value(self, figures: &JobFigures) -> Option<f64> {
        match self {
            Self::Jobs => Some(figures.jobs() as f64),
            Self::Retries => Some(figures.retries() as f64),
            Self::Failures => Some(figures.outcomes[1] as f64),
            Self::QueueP95 => figures.queue.map(|queue| queue.percentiles_ms[2]),
            Self::ProcessingP95 => figures.processing.map(|processing| processing.percentiles_ms[2]),
        }
    }
}

/// A question about jobs.
#[derive(Clone, Debug)]
pub struct JobQuestion {
    /// The window.
    pub window: Window,
    /// Dimensions.
    pub by: Vec<Dimension>,
    /// Parts of the figures that are wanted.
    pub parts: BTreeSet<Part>,
    /// Rows at most.
    pub limit: usize,
}

/// Key columns that a question asks about.
fn columns_used(by: &[Dimension], filter: &Filter) -> Vec<KeyColumn> {
    by.iter().map(|dimension| dimension.column()).chain(filter.columns_used()).collect()
}

/// The cheapest family of jobs that holds what is asked about; none: rows must be read.
fn family_for(by: &[Dimension], filter: &Filter) -> Option<Family> {
    let used = columns_used(by, filter);
    Family::OF_JOBS.into_iter().find(|family| used.iter().all(|column| family.columns().contains(column)))
}

impl Reader {
    /// Breaks jobs down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, too many jobs are marked, or the store fails.
    pub async fn job_breakdown(
        &self,
        reading: &Reading,
        asked: &JobQuestion,
        filter: &Filter,
        order: JobOrder,
    ) -> Result<Breakdown<JobFigures>, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let mut parts = asked.parts.clone();
        parts.extend(order.part());
        let parts: Vec<Part> = parts.into_iter().collect();
        let tiles = [asked.window];
        let gathering = Gathering { tiles: &tiles, by: &asked.by, filter, parts: &parts, coarseness: self.coarseness };
        let mut gathered = Gathered::default();
        gathered.read_jobs(reading, asked.window, &gathering).await?;
        let mut rows = table::rows(&gathered.atoms, &asked.by, &gathered.combinations);
        rows.iter_mut().for_each(|row| row.value = order.value(&job_figures(&gathered, &row.atoms)));
        let table = table::order(reading.sources(), &asked.by, rows, asked.limit).await?;
        Ok(Breakdown::of(reading, asked.window, &asked.by, &table, gathered.atoms.len(), |atoms| job_figures(&gathered, atoms)))
    }
}

impl Gathered {
    async fn read_jobs(&mut self, reading: &Reading, window: Window, asked: &Gathering<'_>) -> Result<(), BreakdownError> {
        let pending = Pending::read(&reading.snapshot).await?;
        asked.parts.iter().for_each(|part| {
            self.columns.entry(*part).or_insert_with(|| Column::of(*part));
        });
        let mut days = BTreeSet::new();
        if let Some(family) = family_for(asked.by, asked.filter)
            && asked.coarseness == Coarseness::Days
        {
            days = days_of_cells(reading, window, asked, &pending).await?;
            self.read_job_days(reading, asked, family, &days).await?;
        }
        for piece in around(window, &days) {
            self.read_job_rows(reading, asked, piece, &pending).await?;
        }
        self.grow()
    }

    async fn read_job_days(
        &mut self,
        reading: &Reading,
        asked: &Gathering<'_>,
        family: Family,
        days: &BTreeSet<i32>,
    ) -> Result<(), BreakdownError> {
        for (from, to) in runs(days.iter().copied(), chunk_of(family)) {
            let blocks = reading.snapshot.cell_list(family, Grain::Day, from, to, &wanted(family, asked.parts)).await?;
            // A held day without a block had no job.
            for day in blocks.chunk_by(|a, b| a.bucket == b.bucket) {
                let at = Instant(i64::from(day[0].bucket) * DAY_US);
                let parts: Vec<(Part, &[u8])> = day.iter().map(|block| (block.part, block.block.as_slice())).collect();
                self.add_block(reading.sources(), asked, family, &parts, |_| Some((0, at))).await?;
            }
        }
        Ok(())
    }

    async fn read_job_rows(
        &mut self,
        reading: &Reading,
        asked: &Gathering<'_>,
        piece: Window,
        pending: &Pending,
    ) -> Result<(), BreakdownError> {
        let columns = job_columns(asked);
        // An hour at a time: rows are read to the end before names are looked up on the same connection.
        for hour in piece.tiles(Step::Hour) {
            let mut facts: Vec<JobFact> = reading.snapshot.job_fact_stream(hour, columns).await?.try_collect().await?;
            facts.retain(|fact| !pending.holds(&fact.key));
            facts.extend_from_slice(pending.facts(hour));
            for step in facts.chunks(FACTS_PER_STEP) {
                self.add_facts(reading.sources(), asked, step, 0).await?;
            }
        }
        Ok(())
    }
}

fn job_columns(asked: &Gathering<'_>) -> JobColumns {
    let used = columns_used(asked.by, asked.filter);
    let of_caller = [KeyColumn::Application, KeyColumn::User, KeyColumn::Department, KeyColumn::Project];
    JobColumns {
        caller: used.iter().any(|column| of_caller.contains(column)),
        vm: used.contains(&KeyColumn::Vm),
        queue: asked.parts.contains(&Part::JobQueue),
    }
}

/// Whole days of the window whose cells hold, and inside of which no machine changes its place when that matters.
async fn days_of_cells(
    reading: &Reading,
    window: Window,
    asked: &Gathering<'_>,
    pending: &Pending,
) -> Result<BTreeSet<i32>, BreakdownError> {
    let places = asked.by.iter().any(|dimension| dimension.is_place()) || asked.filter.asks_place();
    let breaks = if places { reading.fleet.breaks(window) } else { Breaks::default() };
    let days = cover(window, Coarseness::Days, &breaks).days;
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(BTreeSet::new()) };
    let held = pending.held_days(&reading.snapshot, *first, *last).await?;
    Ok(days.into_iter().filter(|day| held.contains(day)).collect())
}

/// What is left of a window without some whole days of it.
fn around(window: Window, days: &BTreeSet<i32>) -> Vec<Window> {
    let mut pieces = Vec::new();
    let mut start = window.start;
    for day in days {
        let day_start = Instant(i64::from(*day) * DAY_US);
        pieces.push(Window { start, end: day_start });
        start = Instant(day_start.0 + DAY_US);
    }
    pieces.push(Window { start, end: window.end });
    pieces.retain(|piece| piece.length_us() > 0);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_days_and_what_is_around_them_are_the_window() {
        let window = Window::of(DAY_US / 2, 6 * DAY_US);
        let day = |from: i64, to: i64| Window::of(from * DAY_US, to * DAY_US);
        assert_eq!(around(window, &BTreeSet::new()), [window]);
        assert_eq!(around(window, &BTreeSet::from([1, 2, 4])), [Window::of(DAY_US / 2, DAY_US), day(3, 4), day(5, 6)]);
        assert_eq!(around(day(1, 3), &BTreeSet::from([1, 2])), []);
    }

    #[test]
    fn the_smallest_family_is_taken() {
        let filter = Filter::default();
        assert_eq!(family_for(&[Dimension::Model], &filter), Some(Family::JobCombination));
        assert_eq!(family_for(&[Dimension::Region], &filter), Some(Family::JobMachine));
        assert_eq!(family_for(&[Dimension::User, Dimension::Combination], &filter), Some(Family::JobCaller));
        assert_eq!(family_for(&[Dimension::User, Dimension::Vm], &filter), None);
    }
}
