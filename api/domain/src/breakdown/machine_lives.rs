//! Breakdowns of what machines' states say: provisioning and availability.
//!
//! Each figure belongs to one machine at one instant, and so to one row. Invariants: rows stand in the order of their keys; a row
//! without anything to tell is left out; nothing is said of what lies behind the instant of the snapshot.
//! Must not know: GraphQL.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use plimsoll_entity::value::time::{Instant, Window};

use super::dimension::Dimension;
use super::executions::{Breakdown, Reader, Reading, RowKey, check};
use super::figures::{Distribution, distribution_of_summary};
use super::filter::Filter;
use super::gather::Ids;
use super::machines::ids_of;
use super::silences::{SilenceQuestion, gaps};
use super::table::{self, Row};
use super::{BreakdownError, ROWS_MAX};
use crate::cell::part::KeyColumn;
use crate::machine::availability::{AvailabilityFigures, availability, known_spans, undecided};
use crate::machine::provisioning::{MS_US, ProvisioningFigures, steps};
use crate::timeline::life::{Span, Timeline};

/// A question about machines' lives.
#[derive(Clone, Debug)]
pub struct LifeQuestion {
    /// The window.
    pub window: Window,
    /// Dimensions: machine, instance type, region, provider.
    pub by: Vec<Dimension>,
}

impl ProvisioningFigures {
    /// RUNNING - REQUESTED; none when none was told.
    #[must_use]
    pub fn provisioning_times(&self) -> Option<Distribution> {
        distribution_of_summary(&self.provisioning, MS_US)
    }

    /// TERMINATED - DEPROVISIONING; none when none was told.
    #[must_use]
    pub fn deprovisioning_times(&self) -> Option<Distribution> {
        distribution_of_summary(&self.deprovisioning, MS_US)
    }
}

/// The rows of one answer, as they are added up.
struct Rows<'a, F> {
    reading: &'a Reading,
    by: &'a [Dimension],
    filter: &'a Filter,
    rows: HashMap<Ids, F>,
    total: F,
}

impl<'a, F: Default> Rows<'a, F> {
    fn new(reading: &'a Reading, by: &'a [Dimension], filter: &'a Filter) -> Self {
        Self { reading, by, filter, rows: HashMap::new(), total: F::default() }
    }

    /// Adds to the row of a machine at an instant, and to the total, if the filter lets it.
    fn add(&mut self, vm: u32, at: Instant, add: impl Fn(&mut F)) {
        let place = self.reading.fleet.place_at(vm, at);
        if self.filter.allows_place(place) {
            add(self.rows.entry(ids_of(self.by, vm, place)).or_default());
            add(&mut self.total);
        }
    }

    async fn in_order(mut self, window: Window) -> Result<Breakdown<F>, BreakdownError> {
        let row_count = self.rows.len();
        if row_count > ROWS_MAX {
            return Err(BreakdownError::Limit(format!("the answer has more than {ROWS_MAX} rows: ask for fewer machines")));
        }
        let rows = self.rows.keys().map(|ids| Row { ids: *ids, atoms: Vec::new(), value: None }).collect();
        let table = table::order(self.reading.sources(), self.by, rows, ROWS_MAX).await?;
        let by: Arc<[Dimension]> = self.by.into();
        let figures = |row: Row| (RowKey { by: Arc::clone(&by), ids: row.ids }, self.rows.remove(&row.ids).unwrap_or_default());
        Ok(Breakdown {
            window,
            as_of: self.reading.snapshot.as_of,
            row_count,
            rows: table.rows.into_iter().map(figures).collect(),
            other: None,
            total: self.total,
        })
    }
}

/// The machines that a filter names; none: all.
fn named(filter: &Filter) -> Option<&HashSet<u32>> {
    filter.columns.get(&(KeyColumn::Vm as usize))
}

impl Reader {
    /// Breaks provisioning down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn provisioning_breakdown(
        &self,
        reading: &Reading,
        asked: &LifeQuestion,
        filter: &Filter,
    ) -> Result<Breakdown<ProvisioningFigures>, BreakdownError> {
        check(asked.window, &asked.by, 0)?;
        let named = named(filter);
        let mut rows: Rows<'_, ProvisioningFigures> = Rows::new(reading, &asked.by, filter);
        for (vm, machine) in reading.fleet.machines().filter(|(vm, _)| named.is_none_or(|named| named.contains(vm))) {
            for step in steps(&machine.timeline, asked.window) {
                rows.add(vm, step.at, |figures| figures.add(step));
            }
        }
        rows.in_order(asked.window).await
    }

    /// Breaks availability down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked, samples have too many gaps or the store fails.
    pub async fn availability_breakdown(
        &self,
        reading: &Reading,
        asked: &LifeQuestion,
        filter: &Filter,
    ) -> Result<Breakdown<AvailabilityFigures>, BreakdownError> {
        check(asked.window, &asked.by, 0)?;
        let known = Window { start: asked.window.start, end: asked.window.end.min(reading.snapshot.as_of) };
        let spans = lived(reading, filter, known).await?;
        let before = spans.iter().filter_map(|(vm, spans)| Some((*vm, undecided(spans, known)?))).collect();
        let vms: Option<Vec<u32>> = named(filter).map(|_| spans.keys().copied().collect());
        let question = SilenceQuestion { window: known, vms: vms.as_deref(), before, coarseness: self.coarseness };
        let gaps = gaps(reading, question).await?;
        let mut rows: Rows<'_, AvailabilityFigures> = Rows::new(reading, &asked.by, filter);
        for (vm, spans) in &spans {
            let of_vm = gaps.get(vm).map_or(&[][..], Vec::as_slice);
            for piece in availability(spans, of_vm, known) {
                rows.add(*vm, piece.at, |figures| figures.merge(&piece.figures));
            }
        }
        rows.in_order(asked.window).await
    }
}

/// What is known of the states of each machine that lived in a window or reached up to it.
async fn lived(reading: &Reading, filter: &Filter, known: Window) -> Result<BTreeMap<u32, Vec<Span>>, BreakdownError> {
    let named = named(filter);
    let allows = |vm: u32| named.is_none_or(|named| named.contains(&vm));
    let mut lived = BTreeMap::new();
    let mut keep = |vm: u32, spans: Vec<Span>| {
        if spans.last().is_some_and(|last| last.window.end >= known.start) {
            lived.insert(vm, spans);
        }
    };
    for (vm, machine) in reading.fleet.machines().filter(|(vm, _)| allows(*vm)) {
        keep(vm, known_spans(&machine.timeline, None, known.end));
    }
    let stateless = Timeline::default();
    for (vm, first, last) in reading.snapshot.vm_touch_list().await? {
        let has_states = reading.fleet.machine(vm).is_some_and(|machine| !machine.timeline.is_empty());
        if allows(vm) && !has_states {
            keep(vm, known_spans(&stateless, Some(Window { start: first, end: last }), known.end));
        }
    }
    Ok(lived)
}
