//! Lists of jobs under a filter, by their latest change.
//!
//! Told jobs by state, single executions and marked jobs are read side by side and merged in steps.
//! Invariant: a page holds the next jobs that match, none left out and none twice. Must not know: GraphQL, cursors.

use std::cmp::Ordering;
use std::collections::HashSet;

use plimsoll_entity::value::label::{JobState, Outcome};

use super::pending::Pending;
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::breakdown::filter::Filter;
use crate::cell::part::KeyColumn;
use crate::store::{Job, JobIds, JobSource, NewestFirst, Page, StoreError, state_of};

/// Jobs that one request looks at under a filter that the database cannot answer.
const SCANNED_JOBS_MAX: usize = 200_000;
/// Jobs of one step of such a look, from each source.
const STEP_JOBS: u64 = 1_000;

/// The place of a job in the list.
#[must_use]
pub const fn place(job: &Job) -> NewestFirst {
    (job.changed_at, job.key)
}

/// Newest first, then by key; backwards the other way round.
fn order(a: &NewestFirst, b: &NewestFirst, backwards: bool) -> Ordering {
    let forwards = b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1));
    if backwards { forwards.reverse() } else { forwards }
}

/// What a job says of itself that a filter asks for; what its combination says is looked up ([`matching`]).
#[derive(Clone, Debug)]
pub struct Wanted {
    states: HashSet<JobState>,
    ids: JobIds,
}

impl Wanted {
    /// What a filter asks for; `states` none: in any.
    #[must_use]
    pub fn of(filter: &Filter, states: Option<&[JobState]>) -> Self {
        let columns = [KeyColumn::Application, KeyColumn::User, KeyColumn::Department, KeyColumn::Project, KeyColumn::Vm];
        let ids = columns.map(|column| filter.columns.get(&(column as usize)).map(|ids| ids.iter().copied().collect()));
        Self { states: states.unwrap_or(JobState::ALL).iter().copied().collect(), ids }
    }

    /// Whether a job fits.
    #[must_use]
    pub fn fits(&self, job: &Job) -> bool {
        let among = |(ids, id): (&Option<Vec<u32>>, u32)| ids.as_ref().is_none_or(|ids| id != 0 && ids.contains(&id));
        self.states.contains(&job.state) && self.ids.iter().zip(job.ids).all(among)
    }
}

/// What every step of one look asks for.
struct Step<'a> {
    pending: &'a Pending,
    wanted: &'a Wanted,
}

impl Step<'_> {
    /// The jobs of the next step in order, and the last place that it looked at; none: the end of the list.
    async fn read(&self, reading: &Reading, page: &Page<NewestFirst>) -> Result<(Vec<Job>, Option<NewestFirst>), StoreError> {
        let (mut jobs, mut end): (Vec<Job>, Option<NewestFirst>) = (Vec::new(), None);
        for source in sources(&self.wanted.states) {
            let read = reading.snapshot.job_page(&source, &self.wanted.ids, page).await?;
            if read.len() as u64 == page.limit
                && let Some(last) = read.last().map(place)
            {
                // Behind the last job of a source that goes on nothing is known of it.
                end = Some(end.map_or(last, |end| if order(&last, &end, page.backwards).is_lt() { last } else { end }));
            }
            jobs.extend(read.into_iter().filter(|job| !self.pending.holds(&job.key)));
        }
        let inside = |job: &&Job| {
            let place = place(job);
            page.after.is_none_or(|after| order(&place, &after, false).is_gt())
                && page.before.is_none_or(|before| order(&place, &before, false).is_lt())
        };
        let marked = self.pending.jobs.iter().map(|history| &history.job.job);
        jobs.extend(marked.filter(|job| self.wanted.fits(job)).filter(inside).cloned());
        jobs.retain(|job| end.is_none_or(|end| order(&place(job), &end, page.backwards).is_le()));
        jobs.sort_by(|a, b| order(&place(a), &place(b), page.backwards));
        Ok((jobs, end))
    }
}

fn sources(states: &HashSet<JobState>) -> Vec<JobSource> {
    let mut sources: Vec<JobSource> =
        JobState::ALL.iter().filter(|state| states.contains(state)).map(|state| JobSource::Told(*state)).collect();
    let outcomes: Vec<Outcome> = Outcome::ALL.iter().copied().filter(|outcome| states.contains(&state_of(*outcome))).collect();
    if !outcomes.is_empty() {
        sources.push(JobSource::Single(outcomes));
    }
    sources
}

/// One page of jobs, newest change first (backwards: oldest first); `pending` is what the snapshot has marked, `states` none: in any.
///
/// # Errors
/// [`BreakdownError::Limit`] when too many jobs would have to be looked at; what the store says.
pub async fn jobs(
    reading: &Reading,
    pending: &Pending,
    filter: &Filter,
    states: Option<&[JobState]>,
    page: &Page<NewestFirst>,
) -> Result<Vec<Job>, BreakdownError> {
    let step = Step { pending, wanted: &Wanted::of(filter, states) };
    let limit = if filter.asks_combination() { STEP_JOBS } else { page.limit.max(1) };
    let mut next = Page { limit, ..page.clone() };
    let (mut found, mut scanned) = (Vec::new(), 0);
    loop {
        let (jobs, end) = step.read(reading, &next).await?;
        scanned += jobs.len().max(next.limit as usize);
        let room = page.limit as usize - found.len();
        found.extend(matching(reading, filter, jobs, |job| job).await?.into_iter().take(room));
        let Some(end) = end.filter(|_| (found.len() as u64) < page.limit) else { return Ok(found) };
        if scanned >= SCANNED_JOBS_MAX {
            return Err(BreakdownError::Limit(format!(
                "the filter matches too few of {SCANNED_JOBS_MAX} jobs: ask for fewer things at once"
            )));
        }
        *(if page.backwards { &mut next.before } else { &mut next.after }) = Some(end);
    }
}

/// Those whose job has a combination that the filter allows.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn matching<T>(reading: &Reading, filter: &Filter, mut items: Vec<T>, job: fn(&T) -> &Job) -> Result<Vec<T>, StoreError> {
    if !filter.asks_combination() {
        return Ok(items);
    }
    let sources = reading.sources();
    let ids: HashSet<u32> = items.iter().map(|item| job(item).combination_id).collect();
    let ids: Vec<u32> = ids.into_iter().collect();
    let combinations = sources.catalog.combinations(sources.snapshot, &ids).await?;
    items.retain(|item| {
        let job = job(item);
        combinations.get(&job.combination_id).is_some_and(|combination| {
            let model_type = sources.model_types.get(&combination.model_id).copied().unwrap_or(0);
            filter.allows_combination(job.combination_id, combination, model_type)
        })
    });
    Ok(items)
}
