//! Switches of the combination on a slot: how many, what they cost in time, from what to what.
//!
//! Invariant: an execution on a machine is a cold start, switched or unswitched, and nothing else. Must not know: GraphQL.

use std::collections::BTreeMap;

use plimsoll_entity::value::time::{HOUR_US, Window};
use plimsoll_entity::value::varint::Reader as Bytes;
use rustc_hash::FxHashMap;

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Breakdown, Reader, Reading, check};
use super::figures::{Distribution, distribution_of, ratio, sum_of, summary_of};
use super::filter::Filter;
use super::gather::{AtomKey, Gathered, Gathering, Ids, OUTCOMES, runs};
use super::table;
use super::timelines::Timelines;
use crate::cell::block::Keys;
use crate::cell::column::Column;
use crate::cell::part::{Family, KeyColumn, Part, PartKind};
use crate::cell::plan::Coarseness;
use crate::store::{Grain, Snapshot, StoreError};

/// What is gathered of executions.
const PARTS: [Part; 3] = [Part::ColdStarts, Part::Switched, Part::Unswitched];
/// The families that days are read from, the cheapest first.
const DAYS: [Family; 4] = [Family::TimelineVm, Family::TimelineCombination, Family::TimelineMachine, Family::TimelineCaller];
/// What a switch adds follows from: summaries of hours, sums of days.
const ADDED_PARTS: [Part; 6] =
    [Part::Switched, Part::Unswitched, Part::SwitchedCount, Part::SwitchedTime, Part::UnswitchedCount, Part::UnswitchedTime];
/// The families that days of it are read from, the cheapest first.
const ADDED_DAYS: [Family; 4] = [Family::TimelineCombination, Family::SwitchMachine, Family::TimelineMachine, Family::TimelineCaller];
/// The families that days of transitions are read from, the cheapest first.
const TRANSITION_DAYS: [Family; 2] = [Family::TransitionCombination, Family::TransitionMachine];
/// What is gathered of transitions: summaries of hours, sums of days.
const TRANSITION_PARTS: [Part; 4] = [Part::Switches, Part::SwitchLoad, Part::SwitchLoadCount, Part::SwitchLoadTime];
/// Days whose transitions are read at a time.
const DAYS_PER_READ: i32 = 31;
/// Transitions that are held before equal ones are added up.
const TAKEN_MAX: usize = 4_000_000;

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
        let (tiles, by) = ([asked.window], &asked.by);
        let gathering = Gathering { tiles: &tiles, by, filter, parts: &PARTS, coarseness: self.coarseness };
        let gathered = timelines.gather(&gathering, Family::Timeline, &DAYS).await?;
        let added = self.added(&timelines, &tiles, by, filter).await?;
        let figures = |atoms: &[u32]| figures(&gathered, &added, atoms, by.len(), asked.window);
        let mut rows = table::rows(&gathered.atoms, &asked.by, &gathered.combinations);
        rows.iter_mut().for_each(|row| row.value = Some(executions(&gathered, &row.atoms) as f64));
        // Cells of time alone hold no execution.
        rows.retain(|row| row.value != Some(0.0));
        let table = table::order(reading.sources(), &asked.by, rows, asked.limit).await?;
        let breakdown = Breakdown::of(reading, asked.window, &asked.by, &table, gathered.atoms.len(), figures);
        let transitions = match asked.transitions {
            Some(limit) => self.transitions(reading, &timelines, asked.window, filter, limit).await?,
            None => Vec::new(),
        };
        Ok(Switching { breakdown, transitions })
    }

    /// What switches took of each combination, by the ids of the rows in which it counts.
    async fn added(
        &self,
        timelines: &Timelines<'_>,
        tiles: &[Window],
        by: &[Dimension],
        filter: &Filter,
    ) -> Result<FxHashMap<Ids, Added>, BreakdownError> {
        let mut inner = by.to_vec();
        let knows = |dimension: &Dimension| dimension.is_checkpoint() || *dimension == Dimension::Combination;
        if !by.iter().any(knows) {
            inner.push(Dimension::Combination);
        }
        let slot = inner.iter().position(knows).unwrap_or(0);
        let gathering = Gathering { tiles, by: &inner, filter, parts: &ADDED_PARTS, coarseness: self.coarseness };
        let gathered = timelines.gather(&gathering, Family::Timeline, &ADDED_DAYS).await?;
        let mut added: FxHashMap<Ids, Added> = FxHashMap::default();
        for (atom, key) in (0_u32..).zip(&gathered.atoms) {
            let combination = key.ids[slot];
            let took = [
                took(&gathered, atom, Part::Switched, Part::SwitchedCount, Part::SwitchedTime),
                took(&gathered, atom, Part::Unswitched, Part::UnswitchedCount, Part::UnswitchedTime),
            ];
            let sums = added.entry(row_ids(key, by.len())).or_default().entry(combination).or_default();
            for (sum, took) in sums.iter_mut().zip(took) {
                *sum = (sum.0 + took.0, sum.1.saturating_add(took.1));
            }
        }
        Ok(added)
    }

    async fn transitions(
        &self,
        reading: &Reading,
        timelines: &Timelines<'_>,
        window: Window,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Transition>, BreakdownError> {
        let (days, tiles) = if self.coarseness == Coarseness::Days && filter.columns_used().is_empty() {
            timelines.held_days(window).await?
        } else {
            (Vec::new(), vec![window])
        };
        let by = [Dimension::Previous, Dimension::Combination];
        let gathering = Gathering { tiles: &tiles, by: &by, filter, parts: &TRANSITION_PARTS, coarseness: self.coarseness };
        let gathered = timelines.gather(&gathering, Family::Transition, &TRANSITION_DAYS).await?;
        let mut taken = Taken::default();
        for (atom, key) in (0_u32..).zip(&gathered.atoms) {
            let loads = took(&gathered, atom, Part::SwitchLoad, Part::SwitchLoadCount, Part::SwitchLoadTime);
            taken.push((key.ids[0], key.ids[1]), sum_of(&gathered, Part::Switches, &[atom]), loads);
        }
        for (from, to) in runs(days.into_iter(), DAYS_PER_READ) {
            taken.read_days(&reading.snapshot, from, to).await?;
        }
        let mut transitions = taken.transitions();
        // Only those need a label that may stand before the cut.
        transitions.sort_unstable_by_key(|transition| std::cmp::Reverse(transition.switches));
        if let Some(last) = limit.checked_sub(1).and_then(|last| transitions.get(last)).map(|last| last.switches) {
            let contenders = transitions.partition_point(|transition| transition.switches >= last);
            transitions.truncate(contenders);
        }
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

/// Number and scaled time of the switched, then of the unswitched, by combination. Whole: the order of adding shows in no digit.
type Added = BTreeMap<u32, [(u64, i128); 2]>;

/// Number and scaled time that one atom has, from summaries of hours and from sums of days.
fn took(gathered: &Gathered, atom: u32, summary: Part, count: Part, time: Part) -> (u64, i128) {
    let sum = |part: Part| match gathered.columns.get(&part) {
        Some(Column::Sums(rows)) => rows[atom as usize],
        _ => 0,
    };
    let hours = summary_of(gathered, summary, atom).map_or((0, 0), |(summary, _)| (summary.count, summary.sum_scaled));
    (hours.0 + u64::try_from(sum(count)).unwrap_or(0), hours.1.saturating_add(sum(time)))
}

/// What was taken of one transition.
#[derive(Clone, Copy)]
struct TakenOne {
    /// Combination before and after.
    pair: (u32, u32),
    switches: u64,
    /// Number and scaled time of the loads.
    loads: (u64, i128),
}

/// Transitions of many days. Those of a day come sorted: sorting and adding up costs a fraction of looking each one up.
#[derive(Default)]
struct Taken(Vec<TakenOne>);

impl Taken {
    fn push(&mut self, pair: (u32, u32), switches: u64, loads: (u64, i128)) {
        self.0.push(TakenOne { pair, switches, loads });
    }

    /// Takes the cells of the days `from..=to`.
    async fn read_days(&mut self, snapshot: &Snapshot, from: i32, to: i32) -> Result<(), StoreError> {
        let family = Family::TransitionCombination;
        let parts = [Part::Keys, Part::Switches, Part::SwitchLoadCount, Part::SwitchLoadTime];
        let blocks = snapshot.cell_list(family, Grain::Day, from, to, &parts).await?;
        for day in blocks.chunk_by(|a, b| a.bucket == b.bucket) {
            let body = |part: Part| {
                day.iter().find(|block| block.part == part).map(|block| &block.block[..]).ok_or(StoreError::Inconsistent("cell block"))
            };
            let keys = Keys::decode(family, body(Part::Keys)?)?;
            let mut switches = Bytes::new(body(Part::Switches)?);
            let (mut counts, mut times) = (Bytes::new(body(Part::SwitchLoadCount)?), Bytes::new(body(Part::SwitchLoadTime)?));
            for key in keys.keys {
                let pair = (key[KeyColumn::Previous as usize], key[KeyColumn::Combination as usize]);
                self.push(pair, switches.i128()? as u64, (counts.i128()? as u64, times.i128()?));
            }
            if self.0.len() > TAKEN_MAX {
                self.add_up();
            }
        }
        Ok(())
    }

    fn add_up(&mut self) {
        self.0.sort_by_key(|taken| (taken.pair.1, taken.pair.0));
        self.0.dedup_by(|next, first| {
            let is_same = next.pair == first.pair;
            if is_same {
                first.switches += next.switches;
                first.loads = (first.loads.0 + next.loads.0, first.loads.1.saturating_add(next.loads.1));
            }
            is_same
        });
    }

    fn transitions(mut self) -> Vec<Transition> {
        self.add_up();
        let scale = if let PartKind::Summary { scale } = Part::SwitchLoad.kind() { scale } else { 1.0 };
        let transition = |taken: TakenOne| Transition {
            from: taken.pair.0,
            to: taken.pair.1,
            switches: taken.switches,
            mean_load_ms: ratio(taken.loads.1 as f64 / scale, taken.loads.0 as f64),
        };
        self.0.into_iter().map(transition).collect()
    }
}

/// The dimensions of an atom without what was gathered besides.
fn row_ids(key: &AtomKey, dimensions: usize) -> Ids {
    let mut ids = key.ids;
    ids[dimensions..].fill(0);
    ids
}

fn figures(gathered: &Gathered, added: &FxHashMap<Ids, Added>, atoms: &[u32], dimensions: usize, window: Window) -> SwitchFigures {
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
        added_mean_ms: added_mean_ms(atoms.iter().filter_map(|atom| added.get(&row_ids(&gathered.atoms[*atom as usize], dimensions)))),
    }
}

/// What a switch adds, over the combinations that ran unswitched as well.
fn added_mean_ms<'a>(of_atoms: impl Iterator<Item = &'a Added>) -> Option<f64> {
    let PartKind::Summary { scale } = Part::Switched.kind() else { return None };
    let mut sums: Added = BTreeMap::new();
    for (combination, took) in of_atoms.flatten() {
        let sums = sums.entry(*combination).or_default();
        for (sum, took) in sums.iter_mut().zip(took) {
            *sum = (sum.0 + took.0, sum.1.saturating_add(took.1));
        }
    }
    let (mut switches, mut added_ms) = (0, 0.0);
    for [switched, unswitched] in sums.into_values().filter(|[_, unswitched]| unswitched.0 > 0) {
        switches += switched.0;
        added_ms += switched.1 as f64 / scale - switched.0 as f64 * (unswitched.1 as f64 / scale / unswitched.0 as f64);
    }
    ratio(added_ms, switches as f64)
}
