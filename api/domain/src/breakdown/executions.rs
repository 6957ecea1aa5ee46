//! Breakdowns and series of executions.
//!
//! Invariant: rows, `other` and `total` of one answer come from one snapshot. Must not know: GraphQL.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use plimsoll_entity::value::time::{DAY_US, Instant, Step, Window};
use rustc_hash::FxHashMap;

use super::derived::is_derived;
use super::dimension::Dimension;
use super::figures::{ByAtom, ExecutionFigures, execution_figures};
use super::filter::Filter;
use super::gather::{Gathered, Gathering, Ids, OUTCOMES, Sources, family_for};
use super::table::{self, Row};
use super::{BreakdownError, DIMENSIONS_MAX, POINTS_MAX, ROWS_MAX, WINDOW_DAYS_MAX};
use crate::catalog::Catalog;
use crate::cell::column::Column;
use crate::cell::part::Part;
use crate::cell::plan::Coarseness;
use crate::cost::prices::PricesCache;
use crate::machine::fleet::{Fleet, FleetCache};
use crate::store::{Attribute, Snapshot, Store, StoreError};

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionOrder {
    /// Number of executions.
    Executions,
    /// Failed executions.
    Failures,
    /// Share of successes.
    SuccessRatio,
    /// 95th percentile of the duration.
    DurationP95,
    /// 95th percentile of the queue time.
    QueueP95,
    /// GPU-hours.
    GpuHours,
    /// Distinct users.
    Users,
}

impl ExecutionOrder {
    /// The part that ordering needs.
    const fn part(self) -> Option<Part> {
        match self {
            Self::Executions | Self::Failures | Self::SuccessRatio => None,
            Self::DurationP95 => Some(Part::Duration),
            Self::QueueP95 => Some(Part::Queue),
            Self::GpuHours => Some(Part::Usage),
            Self::Users => Some(Part::Users),
        }
    }
}

/// A key of a row: what it was broken down by, and the ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// Dimensions.
    pub by: Arc<[Dimension]>,
    /// An id for each dimension, 0 where unknown.
    pub ids: Ids,
}

/// A breakdown.
#[derive(Clone, Debug)]
pub struct Breakdown<F> {
    /// The window that was answered.
    pub window: Window,
    /// The instant of the snapshot.
    pub as_of: Instant,
    /// Rows before the limit.
    pub row_count: usize,
    /// The rows.
    pub rows: Vec<(RowKey, F)>,
    /// What was cut off; none when nothing was.
    pub other: Option<F>,
    /// Everything, once.
    pub total: F,
}

impl<F> Breakdown<F> {
    /// From the rows of a table, which `limit` has cut, and what atoms come to; there are `atoms` of them.
    pub fn of(
        reading: &Reading,
        window: Window,
        by: &[Dimension],
        table: &table::Table,
        atoms: usize,
        figures: impl Fn(&[u32]) -> F,
    ) -> Self {
        let by: Arc<[Dimension]> = by.into();
        let all: Vec<u32> = (0..atoms as u32).collect();
        Self {
            window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            rows: table.rows.iter().map(|row| (RowKey { by: Arc::clone(&by), ids: row.ids }, figures(&row.atoms))).collect(),
            other: (table.row_count > table.rows.len()).then(|| figures(&table.other)),
            total: figures(&all),
        }
    }
}

/// A series.
#[derive(Clone, Debug)]
pub struct Series<F> {
    /// The window that was answered.
    pub window: Window,
    /// The instant of the snapshot.
    pub as_of: Instant,
    /// The tiles of the window.
    pub tiles: Vec<Window>,
    /// Rows before the limit.
    pub row_count: usize,
    /// The rows, a point a tile.
    pub rows: Vec<(RowKey, Vec<F>)>,
    /// Everything, a point a tile.
    pub total: Vec<F>,
}

/// Reads figures.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The store.
    pub store: Store,
    /// Names and combinations.
    pub catalog: Arc<Catalog>,
    /// The fleet.
    pub fleets: Arc<FleetCache>,
    /// Prices.
    pub prices: Arc<PricesCache>,
    /// The coarsest cells that may be used; anything but days is for tests and measurements.
    pub coarseness: Coarseness,
}

/// What one answer is read from.
#[derive(Debug)]
pub struct Reading {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The fleet as the snapshot sees it.
    pub fleet: Arc<Fleet>,
    model_types: FxHashMap<u32, u32>,
    catalog: Arc<Catalog>,
}

impl Reading {
    /// The sources of a gathering.
    #[must_use]
    pub fn sources(&self) -> Sources<'_> {
        Sources { snapshot: &self.snapshot, catalog: &self.catalog, fleet: &self.fleet, model_types: &self.model_types }
    }
}

/// A question about executions.
#[derive(Clone, Debug)]
pub struct ExecutionQuestion {
    /// The window.
    pub window: Window,
    /// Dimensions.
    pub by: Vec<Dimension>,
    /// Parts of the figures that are wanted.
    pub parts: BTreeSet<Part>,
    /// Rows at most.
    pub limit: usize,
}

impl Reader {
    /// A reader of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, catalog: Arc::default(), fleets: Arc::default(), prices: Arc::default(), coarseness: Coarseness::Days }
    }

    /// Begins to read one answer.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn begin(&self) -> Result<Reading, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let fleet = self.fleets.fleet(&snapshot).await?;
        let model_types = snapshot.attribute_list(Attribute::ModelType).await?.into_iter().collect();
        Ok(Reading { snapshot, fleet, model_types, catalog: Arc::clone(&self.catalog) })
    }

    /// Breaks executions down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn execution_breakdown(
        &self,
        reading: &Reading,
        asked: &ExecutionQuestion,
        filter: &Filter,
        order: ExecutionOrder,
    ) -> Result<Breakdown<ExecutionFigures>, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let sources = reading.sources();
        let mut parts = asked.parts.clone();
        parts.extend(order.part());
        let tiles = [asked.window];
        let gathered = self.gather(sources, &tiles, &asked.by, filter, &parts).await?;
        let derived = self.derived(reading, &tiles, &asked.by, filter, &parts).await?;
        let by_atom = ByAtom::new(&gathered);
        let figures_of = |atoms: &[u32]| {
            let mut figures = execution_figures(&gathered, &by_atom, atoms, asked.window);
            derived.add(&mut figures, &gathered, atoms);
            figures
        };
        let mut rows = table::rows(&gathered.atoms, &asked.by, &gathered.combinations);
        rows.iter_mut().for_each(|row| row.value = order_value(order, &gathered, &by_atom, &row.atoms, asked.window));
        let table = table::order(sources, &asked.by, rows, asked.limit).await?;
        let mut ordered = Vec::with_capacity(table.rows.len());
        let by: Arc<[Dimension]> = asked.by.clone().into();
        for row in &table.rows {
            ordered.push((RowKey { by: Arc::clone(&by), ids: row.ids }, figures_of(&row.atoms)));
        }
        let all: Vec<u32> = (0..gathered.atoms.len() as u32).collect();
        let mut total = execution_figures(&gathered, &by_atom, &all, asked.window);
        derived.add_all(&mut total, None);
        let mut breakdown = Breakdown {
            window: asked.window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            rows: ordered,
            other: (table.row_count > table.rows.len()).then(|| figures_of(&table.other)),
            total,
        };
        let figures = breakdown.rows.iter_mut().map(|(_, figures)| figures).chain(&mut breakdown.other).chain([&mut breakdown.total]);
        order_errors(sources, figures).await?;
        Ok(breakdown)
    }

    /// A series of executions; the rows are the largest by executions over the window.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn execution_series(
        &self,
        reading: &Reading,
        asked: &ExecutionQuestion,
        filter: &Filter,
        step: Step,
    ) -> Result<Series<ExecutionFigures>, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let tiles = tiles(asked.window, step)?;
        let sources = reading.sources();
        let whole = self.gather(sources, &[asked.window], &asked.by, filter, &BTreeSet::new()).await?;
        let mut rows = table::rows(&whole.atoms, &asked.by, &whole.combinations);
        for row in &mut rows {
            row.value = order_value(ExecutionOrder::Executions, &whole, &ByAtom::default(), &row.atoms, asked.window);
        }
        let table = table::order(sources, &asked.by, rows, asked.limit).await?;
        let gathered = self.gather(sources, &tiles, &asked.by, filter, &asked.parts).await?;
        let by_atom = ByAtom::new(&gathered);
        let derived = self.derived(reading, &tiles, &asked.by, filter, &asked.parts).await?;
        let by_tile = by_tile(&gathered, &asked.by, &table.rows, tiles.len());
        let by: Arc<[Dimension]> = asked.by.clone().into();
        let points = |atoms: &[Vec<u32>]| -> Vec<ExecutionFigures> {
            let point = |(atoms, tile): (&Vec<u32>, &Window)| {
                let mut figures = execution_figures(&gathered, &by_atom, atoms, *tile);
                derived.add(&mut figures, &gathered, atoms);
                figures
            };
            atoms.iter().zip(&tiles).map(point).collect()
        };
        let mut total = points(&by_tile.total);
        (0_u32..).zip(&mut total).for_each(|(tile, figures)| derived.add_all(figures, Some(tile)));
        let mut series = Series {
            window: asked.window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            rows: table
                .rows
                .iter()
                .zip(&by_tile.rows)
                .map(|(row, atoms)| (RowKey { by: Arc::clone(&by), ids: row.ids }, points(atoms)))
                .collect(),
            total,
            tiles: tiles.clone(),
        };
        let figures = series.rows.iter_mut().flat_map(|(_, points)| points.iter_mut()).chain(series.total.iter_mut());
        order_errors(sources, figures).await?;
        Ok(series)
    }

    async fn gather(
        &self,
        sources: Sources<'_>,
        tiles: &[Window],
        by: &[Dimension],
        filter: &Filter,
        parts: &BTreeSet<Part>,
    ) -> Result<Gathered, BreakdownError> {
        let parts: Vec<Part> = parts.iter().copied().filter(|part| !is_derived(*part)).collect();
        let mut gathered = Gathered::default();
        let gathering = Gathering { tiles, by, filter, parts: &parts, coarseness: self.coarseness };
        gathered.read(sources, &gathering, family_for(by, filter)).await?;
        Ok(gathered)
    }
}

/// The atoms of each row and of everything, by tile.
#[derive(Debug)]
pub struct ByTile {
    /// For each row, for each tile.
    pub rows: Vec<Vec<Vec<u32>>>,
    /// For each tile.
    pub total: Vec<Vec<u32>>,
}

/// Sorts the atoms of a series by row and tile.
#[must_use]
pub fn by_tile(gathered: &Gathered, by: &[Dimension], rows: &[Row], tiles: usize) -> ByTile {
    let places: FxHashMap<Ids, usize> = rows.iter().enumerate().map(|(place, row)| (row.ids, place)).collect();
    let mut sorted = ByTile { rows: vec![vec![Vec::new(); tiles]; rows.len()], total: vec![Vec::new(); tiles] };
    for (atom, key) in (0_u32..).zip(&gathered.atoms) {
        sorted.total[key.tile as usize].push(atom);
        for ids in table::rows_of(key, by, &gathered.combinations) {
            if let Some(place) = places.get(&ids) {
                sorted.rows[*place][key.tile as usize].push(atom);
            }
        }
    }
    sorted
}

/// The tiles of a series.
///
/// # Errors
/// [`BreakdownError::Limit`] when there are too many points.
pub fn tiles(window: Window, step: Step) -> Result<Vec<Window>, BreakdownError> {
    let shortest_us = match step {
        Step::Minute => 60_000_000,
        Step::Hour => 3_600_000_000,
        Step::Day | Step::Month => DAY_US,
    };
    // Counted before they are made: a minute of 400 days would be many.
    if window.length_us() / shortest_us > POINTS_MAX as i64 {
        return Err(BreakdownError::Limit(format!("a series has at most {POINTS_MAX} points: take a larger step or a shorter window")));
    }
    Ok(window.tiles(step))
}

/// Whether a question can be asked.
///
/// # Errors
/// [`BreakdownError::Question`] when it cannot.
pub fn check(window: Window, by: &[Dimension], limit: usize) -> Result<(), BreakdownError> {
    let wrong = |field, message: String| Err(BreakdownError::Question { field, message });
    if window.end <= window.start {
        return wrong("window", "the window must end after it starts".to_owned());
    }
    if window.length_us() > WINDOW_DAYS_MAX * DAY_US {
        return wrong("window", format!("a window has at most {WINDOW_DAYS_MAX} days"));
    }
    if by.len() > DIMENSIONS_MAX {
        return wrong("by", format!("at most {DIMENSIONS_MAX} dimensions"));
    }
    if by.iter().collect::<HashSet<_>>().len() != by.len() {
        return wrong("by", "a dimension stands twice".to_owned());
    }
    if limit > ROWS_MAX {
        return wrong("limit", format!("at most {ROWS_MAX} rows"));
    }
    Ok(())
}

fn order_value(order: ExecutionOrder, gathered: &Gathered, by_atom: &ByAtom<'_>, atoms: &[u32], window: Window) -> Option<f64> {
    let outcome = |outcome: usize| atoms.iter().map(|atom| gathered.outcomes[*atom as usize * OUTCOMES + outcome]).sum::<u64>() as f64;
    match order {
        ExecutionOrder::Executions => Some((0..OUTCOMES).map(outcome).sum()),
        ExecutionOrder::Failures => Some(outcome(1)),
        ExecutionOrder::SuccessRatio => super::figures::ratio(outcome(0), outcome(0) + outcome(1)),
        ExecutionOrder::Users => match (gathered.columns.get(&Part::Users), atoms) {
            (Some(Column::Ids(rows)), [atom]) => Some(rows[*atom as usize].len() as f64),
            _ => Some(execution_figures(gathered, by_atom, atoms, window).users as f64),
        },
        ExecutionOrder::GpuHours => Some(execution_figures(gathered, by_atom, atoms, window).gpu_hours),
        ExecutionOrder::DurationP95 | ExecutionOrder::QueueP95 => {
            let part = if order == ExecutionOrder::DurationP95 { Part::Duration } else { Part::Queue };
            execution_figures(gathered, by_atom, atoms, window).durations.get(&part).map(|distribution| distribution.percentiles_ms[2])
        }
    }
}

/// Orders errors by number, then by the bytes of their names.
async fn order_errors(sources: Sources<'_>, figures: impl Iterator<Item = &mut ExecutionFigures>) -> Result<(), BreakdownError> {
    let figures: Vec<&mut ExecutionFigures> = figures.filter(|figures| figures.errors.len() > 1).collect();
    let mut ids: Vec<u32> = figures.iter().flat_map(|figures| figures.errors.iter().map(|error| error.error_type_id)).collect();
    ids.sort_unstable();
    ids.dedup();
    let names = sources.catalog.names(sources.snapshot, &ids).await?;
    for figures in figures {
        figures.errors.sort_by(|a, b| {
            let name = |id| names.get(&id).map(|name| name.as_bytes());
            b.count.cmp(&a.count).then_with(|| name(a.error_type_id).cmp(&name(b.error_type_id)))
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_cannot_be_asked_name_their_argument() {
        let day = Window::of(0, DAY_US);
        let field = |result: Result<(), BreakdownError>| match result {
            Err(BreakdownError::Question { field, .. }) => field,
            _ => "",
        };
        assert!(check(day, &[Dimension::Model], 100).is_ok());
        assert_eq!(field(check(Window::of(5, 5), &[], 1)), "window");
        assert_eq!(field(check(Window::of(0, 401 * DAY_US), &[], 1)), "window");
        assert_eq!(field(check(day, &[Dimension::Model, Dimension::Model], 1)), "by");
        assert_eq!(field(check(day, &[Dimension::Model, Dimension::User, Dimension::Vm, Dimension::Project, Dimension::Region], 1)), "by");
        assert_eq!(field(check(day, &[], ROWS_MAX + 1)), "limit");
    }

    #[test]
    fn a_series_is_bounded() {
        assert!(tiles(Window::of(0, 2 * DAY_US), Step::Minute).is_err());
        assert_eq!(tiles(Window::of(0, 2 * DAY_US), Step::Hour).unwrap().len(), 48);
    }
}
