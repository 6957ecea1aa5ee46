//! Switches of the combination on a slot: how many, what they cost in time, from what to what.
//!
//! Invariant: an execution on a machine is a cold start, switched or unswitched, and nothing else. Must not know: GraphQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_entity::value::time::{HOUR_US, Window};

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Breakdown, Reader, Reading, RowKey, check};
use super::figures::{Distribution, distribution_of, ratio, sum_of, summary_of};
use super::filter::Filter;
use super::gather::{Gathered, Gathering, OUTCOMES};
use super::table;
use super::timelines::Timelines;
use crate::cell::part::{Family, Part};
use crate::cell::stat::Summary;

/// What is gathered of executions.
const PARTS: [Part; 3] = [Part::ColdStarts, Part::Switched, Part::Unswitched];
/// The families that days are read from, the cheapest first.
const DAYS: [Family; 3] = [Family::TimelineCombination, Family::TimelineMachine, Family::TimelineCaller];

/// Figures of switching. What has no value is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SwitchFigures {
    /// Executions on machines.
    pub executions: u64,
    /// Those that found another combination on their slot.
    pub switches: u64,
    /// Those that were the first on their slot in a life.
    pub cold_starts: u64,
    /// switches / (executions - cold starts).
    pub switch_ratio: Option<f64>,
    /// Switches over the length of the window.
    pub switches_per_hour: f64,
    /// Durations of the switched.
    pub switched: Option<Distribution>,
    /// Durations of the unswitched.
    pub unswitched: Option<Distribution>,
    /// Mean over the switched of duration less the mean duration of the unswitched of the same combination, milliseconds.
    pub added_mean_ms: Option<f64>,
}

/// Switches from one combination to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// Combination before.
    pub from: u32,
    /// Combination after.
    pub to: u32,
    /// Number.
    pub switches: u64,
    /// Mean of the known `checkpointLoadMs`.
    pub mean_load_ms: Option<f64>,
}

/// A question about switching.
#[derive(Clone, Debug)]
pub struct SwitchQuestion {
    /// The window.
    pub window: Window,
    /// Dimensions.
    pub by: Vec<Dimension>,
    /// Rows at most.
    pub limit: usize,
    /// Transitions at most; none: they are not asked for.
    pub transitions: Option<usize>,
}

/// Rows, and the transitions of all.
#[derive(Clone, Debug)]
pub struct Switching {
    /// The rows.
    pub breakdown: Breakdown<SwitchFigures>,
    /// The most frequent transitions.
    pub transitions: Vec<Transition>,
}

impl Reader {
    /// Switches of executions that finished in the window.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn switching(&self, reading: &Reading, asked: &SwitchQuestion, filter: &Filter) -> Result<Switching, BreakdownError> {
        check(asked.window, &asked.by, asked.limit)?;
        let timelines = Timelines::until(reading, asked.window.end).await?;
        let tiles = [asked.window];
        let mut inner = asked.by.clone();
        if !asked.by.iter().any(|dimension| dimension.is_checkpoint() || *dimension == Dimension::Combination) {
            inner.push(Dimension::Combination);
        }
        let slot = inner.iter().position(|dimension| dimension.is_checkpoint() || *dimension == Dimension::Combination).unwrap_or(0);
        let gathering = Gathering { tiles: &tiles, by: &inner, filter, parts: &PARTS, coarseness: self.coarseness };
        let gathered = timelines.gather(&gathering, Family::Timeline, &DAYS).await?;
        let figures = |atoms: &[u32]| figures(&gathered, atoms, slot, asked.window);
        let mut rows = table::rows(&gathered.atoms, &asked.by, &gathered.combinations);
        rows.iter_mut().for_each(|row| row.value = Some(executions(&gathered, &row.atoms) as f64));
        // Cells of time alone hold no execution.
        rows.retain(|row| row.value != Some(0.0));
        let table = table::order(reading.sources(), &asked.by, rows, asked.limit).await?;
        let by: Arc<[Dimension]> = asked.by.clone().into();
        let all: Vec<u32> = (0..gathered.atoms.len() as u32).collect();
        let breakdown = Breakdown {
            window: asked.window,
            as_of: reading.snapshot.as_of,
            row_count: table.row_count,
            rows: table.rows.iter().map(|row| (RowKey { by: Arc::clone(&by), ids: row.ids }, figures(&row.atoms))).collect(),
            other: (table.row_count > table.rows.len()).then(|| figures(&table.other)),
            total: figures(&all),
        };
        let transitions = match asked.transitions {
            Some(limit) => self.transitions(reading, &timelines, &tiles, filter, limit).await?,
            None => Vec::new(),
        };
        Ok(Switching { breakdown, transitions })
    }

    async fn transitions(
        &self,
        reading: &Reading,
        timelines: &Timelines<'_>,
        tiles: &[Window],
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Transition>, BreakdownError> {
        let by = [Dimension::Previous, Dimension::Combination];
        let gathering = Gathering { tiles, by: &by, filter, parts: &Part::OF_TRANSITIONS, coarseness: self.coarseness };
        let gathered = timelines.gather(&gathering, Family::Transition, &[Family::TransitionMachine]).await?;
        let mut transitions: Vec<Transition> = (0_u32..)
            .zip(&gathered.atoms)
            .map(|(atom, key)| Transition {
                from: key.ids[0],
                to: key.ids[1],
                switches: sum_of(&gathered, Part::Switches, &[atom]),
                mean_load_ms: distribution_of(&gathered, Part::SwitchLoad, &[atom]).map(|load| load.mean_ms),
            })
            .collect();
        let mut ids: Vec<u32> = transitions.iter().flat_map(|transition| [transition.from, transition.to]).collect();
        ids.sort_unstable();
        ids.dedup();
        let labels = reading.sources().catalog.combinations(&reading.snapshot, &ids).await?;
        let label = |id: u32| labels.get(&id).map(|combination| combination.label.as_bytes());
        transitions.sort_by(|a, b| {
            b.switches.cmp(&a.switches).then_with(|| label(a.from).cmp(&label(b.from))).then_with(|| label(a.to).cmp(&label(b.to)))
        });
        transitions.truncate(limit);
        Ok(transitions)
    }
}

fn executions(gathered: &Gathered, atoms: &[u32]) -> u64 {
    atoms.iter().flat_map(|atom| &gathered.outcomes[*atom as usize * OUTCOMES..][..OUTCOMES]).sum()
}

fn figures(gathered: &Gathered, atoms: &[u32], slot: usize, window: Window) -> SwitchFigures {
    let executions = executions(gathered, atoms);
    let cold_starts = sum_of(gathered, Part::ColdStarts, atoms);
    let switched = distribution_of(gathered, Part::Switched, atoms);
    let switches = switched.map_or(0, |switched| switched.count);
    SwitchFigures {
        executions,
        switches,
        cold_starts,
        switch_ratio: ratio(switches as f64, executions.saturating_sub(cold_starts) as f64),
        switches_per_hour: ratio(switches as f64, window.length_us() as f64 / HOUR_US as f64).unwrap_or(0.0),
        switched,
        unswitched: distribution_of(gathered, Part::Unswitched, atoms),
        added_mean_ms: added_mean_ms(gathered, atoms, slot),
    }
}

/// What a switch adds, over the combinations that ran unswitched as well.
fn added_mean_ms(gathered: &Gathered, atoms: &[u32], slot: usize) -> Option<f64> {
    // Scaled sums are whole: the order of the atoms shows in no digit.
    let mut by_combination: BTreeMap<u32, [(u64, i128, f64); 2]> = BTreeMap::new();
    for atom in atoms {
        let sums = by_combination.entry(gathered.atoms[*atom as usize].ids[slot]).or_default();
        for (sum, part) in sums.iter_mut().zip([Part::Switched, Part::Unswitched]) {
            if let Some((Summary { count, sum_scaled, .. }, scale)) = summary_of(gathered, part, *atom) {
                *sum = (sum.0 + count, sum.1 + sum_scaled, scale);
            }
        }
    }
    let (mut switches, mut added_ms) = (0, 0.0);
    for [switched, unswitched] in by_combination.into_values().filter(|[_, unswitched]| unswitched.0 > 0) {
        switches += switched.0;
        let ms = |(_, sum_scaled, scale): (u64, i128, f64)| if sum_scaled == 0 { 0.0 } else { sum_scaled as f64 / scale };
        added_ms += ms(switched) - switched.0 as f64 * (ms(unswitched) / unswitched.0 as f64);
    }
    ratio(added_ms, switches as f64)
}
