//! Breakdowns and series of machines, from their samples and their states.
//!
//! Invariant: a machine that was RUNNING counts in `vms` whether it sent samples or not; a machine without any state is taken as
//! RUNNING from its first touch to its last (contract, "Machines"). Must not know: GraphQL.

use std::collections::BTreeSet;
use std::sync::Arc;

use plimsoll_entity::value::time::{Instant, Step, Window};
use rustc_hash::{FxHashMap, FxHashSet};

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Breakdown, Reader, Reading, RowKey, Series, by_tile, check, tiles};
use super::figures::{Activity, MachineFigures, machine_figures, sum_of};
use super::filter::Filter;
use super::gather::{AtomKey, Gathered, Gathering, Ids};
use super::table::{self, Row};
use super::timelines::Timelines;
use crate::cell::part::{Family, KeyColumn, Part};
use crate::timeline::life::Place;

/// Active time of atoms, in microseconds.
type ActiveTime = FxHashMap<AtomKey, i128>;

/// A question about machines.
#[derive(Clone, Debug)]
pub struct MachineQuestion {
    /// The window.
    pub window: Window,
    /// Dimensions: machine, instance type, region, provider.
    pub by: Vec<Dimension>,
    /// Parts of the figures that are wanted.
    pub parts: BTreeSet<Part>,
    /// Rows at most.
    pub limit: usize,
}

impl Reader {
    /// Breaks machines down.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn machine_breakdown(
        &self,
        reading: &Reading,
        asked: &MachineQuestion,
        filter: &Filter,
    ) -> Result<Breakdown<MachineFigures>, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let gathered = self.gather_machines(reading, &[asked.window], asked, filter, &asked.parts, None).await?;
        let active = self.gather_active(reading, &[asked.window], asked, filter, &gathered).await?;
        let figures =
            |atoms: &[u32]| MachineFigures { activity: activity(&gathered, active.as_ref(), atoms), ..machine_figures(&gathered, atoms) };
        let rows = ranked(&gathered, &asked.by);
        let table = table::order(reading.sources(), &asked.by, rows, asked.limit).await?;
        Ok(Breakdown::of(reading, asked.window, &asked.by, &table, gathered.atoms.len(), figures))
    }

    /// A series of machines; the rows are the largest by samples over the window.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn machine_series(
        &self,
        reading: &Reading,
        asked: &MachineQuestion,
        filter: &Filter,
        step: Step,
    ) -> Result<Series<MachineFigures>, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let tiles = tiles(asked.window, step)?;
        let whole = self.gather_machines(reading, &[asked.window], asked, filter, &BTreeSet::new(), None).await?;
        let table = table::order(reading.sources(), &asked.by, ranked(&whole, &asked.by), asked.limit).await?;
        let listed = table.rows.iter().map(|row| row.ids).collect();
        let gathered = self.gather_machines(reading, &tiles, asked, filter, &asked.parts, Some(listed)).await?;
        let by_tile = by_tile(&gathered, &asked.by, &table.rows, tiles.len());
        let by: Arc<[Dimension]> = asked.by.clone().into();
        let active = self.gather_active(reading, &tiles, asked, filter, &gathered).await?;
        let figures = |atoms: &Vec<u32>| MachineFigures {
            activity: activity(&gathered, active.as_ref(), atoms),
            ..machine_figures(&gathered, atoms)
        };
        let points = |atoms: &[Vec<u32>]| -> Vec<MachineFigures> { atoms.iter().map(figures).collect() };
        Ok(Series {
            window: asked.window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            rows: table
                .rows
                .iter()
                .zip(&by_tile.rows)
                .map(|(row, atoms)| (RowKey { by: Arc::clone(&by), ids: row.ids }, points(atoms)))
                .collect(),
            total: points(&by_tile.total),
            tiles,
        })
    }

    /// Active time of machines by the atoms that hold their other figures, where it is asked for.
    async fn gather_active(
        &self,
        reading: &Reading,
        tiles: &[Window],
        asked: &MachineQuestion,
        filter: &Filter,
        gathered: &Gathered,
    ) -> Result<Option<ActiveTime>, BreakdownError> {
        if !asked.parts.contains(&Part::ActiveTime) {
            return Ok(None);
        }
        let timelines = Timelines::until(reading, asked.window.end).await?;
        let gathering = Gathering { tiles, by: &asked.by, filter, parts: &[Part::ActiveTime], coarseness: self.coarseness };
        let active = timelines.gather(&gathering, Family::MachineTime, &[Family::MachineTime]).await?;
        let mut active_us = ActiveTime::default();
        for (atom, key) in (0_u32..).zip(&active.atoms) {
            let shown = AtomKey { tile: key.tile, ids: gathered.shown(key.ids) };
            *active_us.entry(shown).or_default() += i128::from(sum_of(&active, Part::ActiveTime, &[atom]));
        }
        Ok(Some(active_us))
    }

    pub(super) async fn gather_machines(
        &self,
        reading: &Reading,
        tiles: &[Window],
        asked: &MachineQuestion,
        filter: &Filter,
        parts: &BTreeSet<Part>,
        listed: Option<FxHashSet<Ids>>,
    ) -> Result<Gathered, BreakdownError> {
        let mut gathered = Gathered::listing(listed);
        for family in [Family::VmSample, Family::GpuSample] {
            let counted = if family == Family::VmSample { Part::Samples } else { Part::GpuSamples };
            let mut parts: Vec<Part> = parts.iter().copied().filter(|part| family.parts().contains(part)).collect();
            if !parts.contains(&counted) {
                parts.push(counted);
            }
            let gathering = Gathering { tiles, by: &asked.by, filter, parts: &parts, coarseness: self.coarseness };
            gathered.read(reading.sources(), &gathering, Some(family)).await?;
        }
        note_running(&mut gathered, reading, tiles, asked, filter).await?;
        Ok(gathered)
    }
}

/// RUNNING and active time of some atoms; none where active time was not asked for.
fn activity(gathered: &Gathered, active: Option<&ActiveTime>, atoms: &[u32]) -> Option<Activity> {
    let active = active?;
    let active_us = atoms.iter().filter_map(|atom| active.get(&gathered.atoms[*atom as usize])).sum();
    let running_us = atoms.iter().filter_map(|atom| gathered.running_us.get(atom)).map(|(running_us, _)| running_us).sum();
    Some(Activity { running_us, active_us })
}

/// Rows with the number of their samples as value.
fn ranked(gathered: &Gathered, by: &[Dimension]) -> Vec<Row> {
    let mut rows = table::rows(&gathered.atoms, by, &gathered.combinations);
    for row in &mut rows {
        row.value = machine_figures(gathered, &row.atoms).sums.get(&Part::Samples).map(|samples| *samples as f64);
    }
    rows
}

/// Notes every machine in the atoms of the tiles in which it was RUNNING.
async fn note_running(
    gathered: &mut Gathered,
    reading: &Reading,
    tiles: &[Window],
    asked: &MachineQuestion,
    filter: &Filter,
) -> Result<(), BreakdownError> {
    let (Some(first), Some(last)) = (tiles.first(), tiles.last()) else { return Ok(()) };
    let window = Window { start: first.start, end: last.end };
    let mut running: Vec<(u32, Window)> = Vec::new();
    for (vm, machine) in reading.fleet.machines().filter(|(_, machine)| !machine.timeline.is_empty()) {
        let changes = machine.timeline.place_changes();
        for stretch in machine.timeline.running(window) {
            running.extend(cut(stretch, &changes).into_iter().map(|piece| (vm, piece)));
        }
    }
    for (vm, from, to) in reading.snapshot.vm_touch_list().await? {
        let stateless = reading.fleet.machine(vm).is_none_or(|machine| machine.timeline.is_empty());
        let stretch = Window { start: from.max(window.start), end: to.min(window.end) };
        if stateless && stretch.length_us() > 0 {
            running.push((vm, stretch));
        }
    }
    let vm_allowed = |vm: u32| filter.columns.get(&(KeyColumn::Vm as usize)).is_none_or(|ids| ids.contains(&vm));
    for (vm, stretch) in running.into_iter().filter(|(vm, _)| vm_allowed(*vm)) {
        let place = reading.fleet.place_at(vm, stretch.start);
        if !filter.allows_place(place) {
            continue;
        }
        let from = tiles.partition_point(|tile| tile.end <= stretch.start);
        for (tile, _) in tiles.iter().enumerate().skip(from).take_while(|(_, tile)| tile.start < stretch.end) {
            let atom = gathered.intern(AtomKey { tile: tile as u32, ids: gathered.shown(ids_of(&asked.by, vm, place)) });
            gathered.grow()?;
            gathered.machines[atom as usize].insert(vm);
            // Nothing is known of the future.
            let end = stretch.end.min(tiles[tile].end).min(reading.snapshot.as_of);
            let running_us = i128::from((end.0 - stretch.start.max(tiles[tile].start).0).max(0));
            let sums = gathered.running_us.entry(atom).or_default();
            sums.0 += running_us;
            sums.1 += running_us * i128::from(reading.fleet.shape_at(vm, stretch.start).slots);
        }
    }
    Ok(())
}

/// The key of a machine at a place.
pub(super) fn ids_of(by: &[Dimension], vm: u32, place: Place) -> Ids {
    let mut ids = [0; super::IDS_WIDTH];
    for (id, dimension) in ids.iter_mut().zip(by) {
        *id = match dimension {
            Dimension::InstanceType => place.instance_type_id,
            Dimension::Region => place.region_id,
            Dimension::Provider => place.provider_id,
            _ => vm,
        };
    }
    ids
}

/// A stretch, cut at some instants.
fn cut(stretch: Window, at: &[Instant]) -> Vec<Window> {
    let mut pieces = Vec::new();
    let mut start = stretch.start;
    for instant in at.iter().filter(|instant| stretch.start < **instant && **instant < stretch.end) {
        pieces.push(Window { start, end: *instant });
        start = *instant;
    }
    pieces.push(Window { start, end: stretch.end });
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_cut_where_places_change() {
        let cuts = [Instant(0), Instant(5), Instant(10)];
        assert_eq!(cut(Window::of(0, 10), &cuts), [Window::of(0, 5), Window::of(5, 10)]);
        assert_eq!(cut(Window::of(6, 9), &cuts), [Window::of(6, 9)]);
    }
}
