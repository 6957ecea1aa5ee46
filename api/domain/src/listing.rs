//! Lists of executions and machines under a filter, and what a job is from its attempts and changes.
//!
//! What the database can tell by columns is asked of it; combinations, types and regions are looked at here, in bounded steps.
//! Invariant: a page holds the next rows that match, none left out. Must not know: GraphQL, cursors.

use std::collections::{BTreeMap, HashMap, HashSet};

use plimsoll_entity::value::label::{JobState, Outcome, VmState};
use plimsoll_entity::value::time::{Instant, Window};
use plimsoll_entity::{execution, job_event};
use uuid::Uuid;

use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::breakdown::filter::Filter;
use crate::cell::part::KeyColumn;
use crate::store::{ColumnFilter, NameDimension, NamePage, NamedRow, NewestFirst, Page, Snapshot, StoreError};

/// Rows that one request looks at under a filter that the database cannot answer.
const SCANNED_ROWS_MAX: usize = 200_000;
/// Rows of one step of such a look.
const STEP_ROWS: u64 = 1_000;

fn column_filter(filter: &Filter) -> ColumnFilter {
    let columns = [
        (KeyColumn::Application, execution::Column::ApplicationId),
        (KeyColumn::User, execution::Column::UserId),
        (KeyColumn::Department, execution::Column::DepartmentId),
        (KeyColumn::Project, execution::Column::ProjectId),
        (KeyColumn::Vm, execution::Column::VmId),
        (KeyColumn::ErrorType, execution::Column::ErrorTypeId),
    ];
    let ids = |column: KeyColumn| filter.columns.get(&(column as usize)).map(|ids| ids.iter().map(|id| *id as i32).collect::<Vec<_>>());
    let mut asked: Vec<_> = columns.into_iter().filter_map(|(key, column)| Some((column, ids(key)?))).collect();
    if let Some(codes) = ids(KeyColumn::Outcome) {
        asked.push((execution::Column::Outcome, codes.into_iter().map(|code| code - 1).collect()));
    }
    ColumnFilter(asked)
}

/// One page of executions, newest first (backwards: oldest first).
///
/// # Errors
/// [`BreakdownError::Limit`] when too many rows would have to be looked at; what the store says.
pub async fn executions(
    reading: &Reading,
    window: Window,
    filter: &Filter,
    page: &Page<NewestFirst>,
) -> Result<Vec<execution::Model>, BreakdownError> {
    let columns = column_filter(filter);
    if !filter.asks_combination() && !filter.asks_place() {
        return Ok(reading.snapshot.execution_page(window, &columns, page).await?);
    }
    let mut step = Page { limit: STEP_ROWS, ..page.clone() };
    let (mut found, mut scanned) = (Vec::new(), 0);
    loop {
        let rows = reading.snapshot.execution_page(window, &columns, &step).await?;
        let (read, last) = (rows.len(), rows.last().map(|row| (Instant(row.finished_at), row.id)));
        let matching = matching(reading, filter, rows).await?;
        found.extend(matching.into_iter().take(page.limit as usize - found.len()));
        scanned += read;
        if found.len() as u64 == page.limit || (read as u64) < STEP_ROWS {
            return Ok(found);
        }
        if scanned >= SCANNED_ROWS_MAX {
            return Err(BreakdownError::Limit(format!(
                "the filter matches too few of {SCANNED_ROWS_MAX} executions: ask for a shorter window"
            )));
        }
        let edge = if page.backwards { &mut step.before } else { &mut step.after };
        *edge = last;
    }
}

async fn matching(reading: &Reading, filter: &Filter, rows: Vec<execution::Model>) -> Result<Vec<execution::Model>, StoreError> {
    let sources = reading.sources();
    let ids: HashSet<u32> = rows.iter().map(|row| row.combination_id as u32).collect();
    let ids: Vec<u32> = ids.into_iter().collect();
    let combinations = sources.catalog.combinations(sources.snapshot, &ids).await?;
    let allowed: HashSet<u32> = combinations
        .iter()
        .filter(|(id, combination)| {
            let model_type = sources.model_types.get(&combination.model_id).copied().unwrap_or(0);
            filter.allows_combination(**id, combination, model_type)
        })
        .map(|(id, _)| *id)
        .collect();
    let allows = |row: &execution::Model| {
        let place = sources.fleet.place_at(row.vm_id.unwrap_or(0) as u32, Instant(row.finished_at));
        allowed.contains(&(row.combination_id as u32)) && filter.allows_place(place)
    };
    Ok(rows.into_iter().filter(allows).collect())
}

/// One page of machines by name, in order of name.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn machines(
    reading: &Reading,
    filter: &Filter,
    states: Option<&[VmState]>,
    page: &NamePage,
) -> Result<Vec<NamedRow>, StoreError> {
    const NOW: Instant = Instant(i64::MAX);
    let named = filter.columns.get(&(KeyColumn::Vm as usize));
    let allows = |vm: u32| {
        let state = || reading.fleet.machine(vm).and_then(|machine| machine.timeline.state());
        named.is_none_or(|ids| ids.contains(&vm))
            && filter.allows_place(reading.fleet.place_at(vm, NOW))
            && states.is_none_or(|states| state().is_some_and(|state| states.contains(&state)))
    };
    let mut step = NamePage { limit: STEP_ROWS, ..page.clone() };
    let mut found: Vec<NamedRow> = Vec::new();
    loop {
        let rows = reading.snapshot.name_page(NameDimension::Vm, &step).await?;
        let read = rows.len() as u64;
        let edge = if page.backwards { rows.first() } else { rows.last() }.map(|row| (row.name.clone(), row.id));
        let matching = rows.into_iter().filter(|row| allows(row.id));
        if page.backwards {
            let mut more: Vec<NamedRow> = matching.collect();
            more.append(&mut found);
            let surplus = more.len().saturating_sub(page.limit as usize);
            found = more.split_off(surplus);
        } else {
            found.extend(matching.take(page.limit as usize - found.len()));
        }
        if found.len() as u64 == page.limit || read < STEP_ROWS {
            return Ok(found);
        }
        *(if page.backwards { &mut step.before } else { &mut step.after }) = edge;
    }
}

/// A job, from its attempts and its changes of state. Ids of names are 0 where unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Key.
    pub key: Uuid,
    /// Its name; the id of its execution where it has none.
    pub name: String,
    /// That of the latest change.
    pub state: JobState,
    /// Executions so far; at least the highest attempt that was told.
    pub attempts: i32,
    /// Of the latest change.
    pub combination_id: u32,
    /// Of the latest change: application, user, department, project, machine.
    pub ids: [u32; 5],
    /// When the first attempt was queued.
    pub queued_at: Option<Instant>,
    /// When the first attempt started.
    pub started_at: Option<Instant>,
    /// When the last attempt finished; none while the job goes on.
    pub finished_at: Option<Instant>,
}

struct Change {
    at: Instant,
    state: JobState,
    attempt: i32,
    id: Uuid,
    combination_id: i32,
    ids: [Option<i32>; 5],
}

impl Change {
    /// Equal instants: the later stage, then the higher attempt, then the greater id. How it ended is no stage: a second attempt
    /// that succeeds is later than a first one that fails.
    const fn order(&self) -> (Instant, u8, i32, Uuid) {
        let stage = match self.state {
            JobState::Queued => 0,
            JobState::Running => 1,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => 2,
        };
        (self.at, stage, self.attempt, self.id)
    }
}

/// Jobs by their keys.
///
/// # Errors
/// [`StoreError::Read`] from the database.
pub async fn jobs(snapshot: &Snapshot, keys: &[Uuid]) -> Result<HashMap<Uuid, Job>, StoreError> {
    let mut told: BTreeMap<Uuid, (Vec<execution::Model>, Vec<job_event::Model>)> = BTreeMap::new();
    for attempt in snapshot.attempt_list(keys).await? {
        told.entry(attempt.job_key).or_default().0.push(attempt);
    }
    for event in snapshot.job_event_list(keys).await? {
        told.entry(event.job_key).or_default().1.push(event);
    }
    told.into_iter()
        .filter_map(|(key, (attempts, events))| job(key, &attempts, &events).transpose())
        .map(|job| job.map(|job| (job.key, job)))
        .collect()
}

fn job(key: Uuid, attempts: &[execution::Model], events: &[job_event::Model]) -> Result<Option<Job>, StoreError> {
    let mut changes = Vec::with_capacity(attempts.len() + events.len());
    for attempt in attempts {
        let state = match Outcome::from_code(attempt.outcome).ok_or(StoreError::Inconsistent("execution"))? {
            Outcome::Succeeded => JobState::Succeeded,
            Outcome::Failed => JobState::Failed,
            Outcome::Cancelled => JobState::Cancelled,
        };
        let ids = [attempt.application_id, attempt.user_id, attempt.department_id, attempt.project_id, attempt.vm_id];
        let (at, combination_id) = (Instant(attempt.finished_at), attempt.combination_id);
        changes.push(Change { at, state, attempt: attempt.attempt, id: attempt.id, combination_id, ids });
    }
    for event in events {
        let state = JobState::from_code(event.state).ok_or(StoreError::Inconsistent("job event"))?;
        let ids = [event.application_id, event.user_id, event.department_id, event.project_id, event.vm_id];
        let (at, combination_id) = (Instant(event.at), event.combination_id);
        changes.push(Change { at, state, attempt: event.attempt.unwrap_or(0), id: event.id, combination_id, ids });
    }
    let Some(latest) = changes.iter().max_by_key(|change| change.order()) else { return Ok(None) };
    let first = attempts.iter().min_by_key(|attempt| (attempt.attempt, attempt.started_at, attempt.id));
    let at_state = |state: JobState| events.iter().filter(|event| event.state == state.code()).map(|event| Instant(event.at)).min();
    let over = matches!(latest.state, JobState::Succeeded | JobState::Failed | JobState::Cancelled);
    let told = attempts.iter().map(|attempt| attempt.attempt).chain(events.iter().filter_map(|event| event.attempt)).max().unwrap_or(0);
    let name = events.first().map(|event| event.job.clone()).or_else(|| attempts.iter().find_map(|attempt| attempt.job.clone()));
    Ok(Some(Job {
        key,
        name: name.unwrap_or_else(|| key.to_string()),
        state: latest.state,
        attempts: told.max(attempts.len() as i32),
        combination_id: latest.combination_id as u32,
        ids: latest.ids.map(|id| id.unwrap_or(0) as u32),
        queued_at: first.and_then(|attempt| attempt.queued_at.map(Instant)).or_else(|| at_state(JobState::Queued)),
        started_at: first.map(|attempt| Instant(attempt.started_at)).or_else(|| at_state(JobState::Running)),
        finished_at: over.then_some(latest.at),
    }))
}
