//! Lists of executions and machines under a filter.
//!
//! What the database can tell by columns is asked of it; combinations, types and regions are looked at here, in bounded steps.
//! Invariant: a page holds the next rows that match, none left out. Must not know: GraphQL, cursors.

use std::collections::HashSet;

use plimsoll_entity::execution;
use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{Instant, Window};

use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::breakdown::filter::Filter;
use crate::cell::part::KeyColumn;
use crate::store::{ColumnFilter, NameDimension, NamePage, NamedRow, NewestFirst, Page, StoreError};

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

/// Whether a machine matches as it is now.
pub(crate) fn allows_machine(reading: &Reading, filter: &Filter, states: Option<&[VmState]>, vm: u32) -> bool {
    const NOW: Instant = Instant(i64::MAX);
    let state = || reading.fleet.machine(vm).and_then(|machine| machine.timeline.state());
    let named = filter.columns.get(&(KeyColumn::Vm as usize));
    named.is_none_or(|ids| ids.contains(&vm))
        && filter.allows_place(reading.fleet.place_at(vm, NOW))
        && states.is_none_or(|states| state().is_some_and(|state| states.contains(&state)))
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
    let mut step = NamePage { limit: STEP_ROWS, ..page.clone() };
    let mut found: Vec<NamedRow> = Vec::new();
    loop {
        let rows = reading.snapshot.name_page(NameDimension::Vm, &step).await?;
        let read = rows.len() as u64;
        let edge = if page.backwards { rows.first() } else { rows.last() }.map(|row| (row.name.clone(), row.id));
        let matching = rows.into_iter().filter(|row| allows_machine(reading, filter, states, row.id));
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
