//! Breakdowns and series of slot time: who spent it, who left it idle.
//!
//! Windows are whole hours. Time is split evenly among the checkpoint versions of a combination where checkpoints are asked about,
//! so that rows add up (contract, "Combination"). Invariant: rows + `other` = `total`, to the last picosecond.
//! Must not know: GraphQL, money.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_entity::value::time::{HOUR_US, Instant, Step, Window};
use rustc_hash::FxHashMap;

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Breakdown, Reader, Reading, RowKey, Series, check, tiles};
use super::filter::Filter;
use super::gather::{AtomKey, Gathered, Gathering, Ids};
use super::table::{self, Row};
use super::timelines::Timelines;
use crate::cell::column::Column;
use crate::cell::part::{Family, Part};

/// Units of a picosecond: divisible by every number of checkpoints that a combination may have, so that shares are whole.
const UNITS_PER_PS: i128 = 720_720;
/// Picoseconds of an hour.
const HOUR_PS: f64 = 3.6e15;
/// The parts of a figure, in its order.
const PARTS: [Part; 4] = [Part::GpuTime, Part::CpuTime, Part::IdleGpuTime, Part::IdleCpuTime];
/// The families that days are read from, the cheapest first.
const DAYS: [Family; 4] = [Family::TimelineVm, Family::TimelineCombination, Family::TimelineMachine, Family::TimelineCaller];

/// Slot time of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UsageFigures {
    /// Productive time of slots that are GPUs.
    pub gpu_hours: f64,
    /// Productive slot time x vCPUs / slots.
    pub cpu_hours: f64,
    /// Idle time that it caused, of slots that are GPUs.
    pub idle_gpu_hours: f64,
    /// Idle time that it caused x vCPUs / slots.
    pub idle_cpu_hours: f64,
}

/// GPU, CPU, idle GPU and idle CPU time in units.
type Units = [i128; 4];

fn figures(units: Units) -> UsageFigures {
    let hours = |units: i128| units as f64 / UNITS_PER_PS as f64 / HOUR_PS;
    UsageFigures {
        gpu_hours: hours(units[0]),
        cpu_hours: hours(units[1]),
        idle_gpu_hours: hours(units[2]),
        idle_cpu_hours: hours(units[3]),
    }
}

fn add(to: &mut Units, more: Units) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to = to.saturating_add(more));
}

/// The window widened to whole UTC hours.
#[must_use]
pub fn widened(window: Window) -> Window {
    let start = Instant(window.start.0.div_euclid(HOUR_US) * HOUR_US);
    let end = Instant(window.end.0.saturating_add(HOUR_US - 1).div_euclid(HOUR_US) * HOUR_US);
    Window { start, end }
}

/// A question about usage.
#[derive(Clone, Debug)]
pub struct UsageQuestion {
    /// The window; it is widened to whole hours.
    pub window: Window,
    /// Dimensions.
    pub by: Vec<Dimension>,
    /// Rows at most.
    pub limit: usize,
}

/// Time by row and tile.
#[derive(Debug, Default)]
struct Spent {
    rows: BTreeMap<Ids, FxHashMap<u32, Units>>,
    total: FxHashMap<u32, Units>,
}

impl Spent {
    /// Shares the time of each atom among its rows.
    fn of(gathered: &Gathered, by: &[Dimension], filter: &Filter) -> Self {
        let mut spent = Self::default();
        // Where checkpoints are filtered or asked for, the combination of an atom tells how its time is split.
        let slot = by.iter().position(|dimension| dimension.is_checkpoint() || *dimension == Dimension::Combination).unwrap_or(by.len());
        for (atom, key) in gathered.atoms.iter().enumerate() {
            let units = PARTS.map(|part| match gathered.columns.get(&part) {
                Some(Column::Sums(rows)) => rows[atom] * UNITS_PER_PS,
                _ => 0,
            });
            if units == [0; 4] {
                continue;
            }
            for (ids, part, whole) in shares(gathered, key, slot, by, filter) {
                let share = units.map(|units| units / whole * part);
                add(spent.rows.entry(ids).or_default().entry(key.tile).or_default(), share);
                add(spent.total.entry(key.tile).or_default(), share);
            }
        }
        spent
    }

    fn ranked(&self) -> Vec<Row> {
        let value = |tiles: &FxHashMap<u32, Units>| {
            let figures = figures(sum(tiles));
            Some(figures.gpu_hours + figures.cpu_hours)
        };
        self.rows.iter().map(|(ids, tiles)| Row { ids: *ids, atoms: Vec::new(), value: value(tiles) }).collect()
    }
}

fn sum(tiles: &FxHashMap<u32, Units>) -> Units {
    let mut units = [0; 4];
    tiles.values().for_each(|more| add(&mut units, *more));
    units
}

/// The rows of an atom, each with its part of the whole.
fn shares(gathered: &Gathered, key: &AtomKey, slot: usize, by: &[Dimension], filter: &Filter) -> Vec<(Ids, i128, i128)> {
    let splits = by.iter().any(|dimension| dimension.is_checkpoint()) || filter.asks_checkpoint();
    let mut own = key.ids;
    own[by.len()..].fill(0);
    let checkpoints = gathered.combinations.get(&key.ids[slot]).map_or(&[][..], |combination| &combination.checkpoints[..]);
    if !splits {
        return vec![(own, 1, 1)];
    }
    let fill = |version: u32, checkpoint: u32| {
        let mut ids = own;
        for (id, dimension) in ids.iter_mut().zip(by) {
            match dimension {
                Dimension::Checkpoint => *id = checkpoint,
                Dimension::CheckpointVersion => *id = version,
                _ => {}
            }
        }
        ids
    };
    if checkpoints.is_empty() {
        return vec![(fill(0, 0), 1, 1)];
    }
    let allowed = checkpoints.iter().filter(|checkpoint| filter.allows_checkpoint(**checkpoint));
    allowed.map(|(version, checkpoint)| (fill(*version, *checkpoint), 1, checkpoints.len() as i128)).collect()
}

impl Reader {
    async fn spent(
        &self,
        timelines: &Timelines<'_>,
        tiles: &[Window],
        by: &[Dimension],
        filter: &Filter,
    ) -> Result<(Gathered, Spent), BreakdownError> {
        let mut inner = by.to_vec();
        let known = by.iter().any(|dimension| dimension.is_checkpoint() || *dimension == Dimension::Combination);
        if filter.asks_checkpoint() && !known {
            inner.push(Dimension::Combination);
        }
        let gathering = Gathering { tiles, by: &inner, filter, parts: &PARTS, coarseness: self.coarseness };
        let gathered = timelines.gather(&gathering, Family::Timeline, &DAYS).await?;
        let spent = Spent::of(&gathered, by, filter);
        Ok((gathered, spent))
    }

    /// Breaks slot time down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn usage_breakdown(
        &self,
        reading: &Reading,
        asked: &UsageQuestion,
        filter: &Filter,
    ) -> Result<Breakdown<UsageFigures>, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let window = widened(asked.window);
        let timelines = Timelines::with_jobs(reading, window.end).await?;
        let (_, spent) = self.spent(&timelines, &[window], &asked.by, filter).await?;
        let table = table::order(reading.sources(), &asked.by, spent.ranked(), asked.limit).await?;
        let by: Arc<[Dimension]> = asked.by.clone().into();
        let total = sum(&spent.total);
        let mut other = total;
        let mut rows = Vec::with_capacity(table.rows.len());
        for row in &table.rows {
            let units = spent.rows.get(&row.ids).map_or([0; 4], sum);
            add(&mut other, units.map(|units| -units));
            rows.push((RowKey { by: Arc::clone(&by), ids: row.ids }, figures(units)));
        }
        Ok(Breakdown {
            window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            other: (table.row_count > rows.len()).then(|| figures(other)),
            rows,
            total: figures(total),
        })
    }

    /// A series of slot time; the rows are the largest by productive hours over the window.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn usage_series(
        &self,
        reading: &Reading,
        asked: &UsageQuestion,
        filter: &Filter,
        step: Step,
    ) -> Result<Series<UsageFigures>, BreakdownError> {
        if step == Step::Minute {
            return Err(BreakdownError::Question {
                field: "step",
                message: "usage is made of whole hours: no step of a minute".to_owned(),
            });
        }
        check(asked.window, &asked.by, asked.limit)?;
        let window = widened(asked.window);
        let tiles = tiles(window, step)?;
        let timelines = Timelines::with_jobs(reading, window.end).await?;
        let (_, spent) = self.spent(&timelines, &tiles, &asked.by, filter).await?;
        let table = table::order(reading.sources(), &asked.by, spent.ranked(), asked.limit).await?;
        let by: Arc<[Dimension]> = asked.by.clone().into();
        let points = |spent: &FxHashMap<u32, Units>| -> Vec<UsageFigures> {
            (0..tiles.len() as u32).map(|tile| figures(spent.get(&tile).copied().unwrap_or_default())).collect()
        };
        let row = |row: &Row| {
            let spent = spent.rows.get(&row.ids).map_or_else(|| points(&FxHashMap::default()), points);
            (RowKey { by: Arc::clone(&by), ids: row.ids }, spent)
        };
        Ok(Series {
            window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            rows: table.rows.iter().map(row).collect(),
            total: points(&spent.total),
            tiles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_widened_to_whole_hours() {
        assert_eq!(widened(Window::of(1, HOUR_US + 1)), Window::of(0, 2 * HOUR_US));
        assert_eq!(widened(Window::of(HOUR_US, 2 * HOUR_US)), Window::of(HOUR_US, 2 * HOUR_US));
    }

    #[test]
    fn every_number_of_checkpoints_divides_a_picosecond() {
        assert!((1..=crate::ingest::limit::CHECKPOINTS_MAX as i128).all(|count| UNITS_PER_PS % count == 0));
    }
}
