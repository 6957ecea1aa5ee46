//! Gathers cells, deltas and facts of a question into atoms.
//!
//! An **atom** is what counts in the same rows: one tile of the window and one value of each dimension, where a checkpoint
//! dimension stands as the whole combination, so that an execution is in exactly one atom.
//! Invariant: what is gathered does not depend on the plan. Must not know: names, order, figures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use plimsoll_entity::value::time::{HOUR_US, Instant, Step, Window};
use roaring::RoaringBitmap;
use rustc_hash::{FxHashMap, FxHashSet};

use super::dimension::Dimension;
use super::filter::Filter;
use super::{ATOMS_MAX, BreakdownError, IDS_WIDTH};
use crate::catalog::{Catalog, Combination};
use crate::cell::block::{Keys, unpack};
use crate::cell::column::{Column, SKIP};
use crate::cell::fact::{Fact, MeasuredExecution};
use crate::cell::part::{Family, Key, KeyColumn, Part};
use crate::cell::plan::{Breaks, Coarseness, DAY_HOURS, cover};
use crate::cell::stat::{Usage, UsageByVm};
use crate::machine::fleet::{Fleet, Shape};
use crate::store::{ExecutionColumns, Grain, Snapshot, StoreError};
use crate::timeline::life::Place;
use plimsoll_entity::value::varint::{Reader, Truncated};

/// Facts that are added at a time.
const FACTS_PER_STEP: usize = 4_096;
/// Delta blocks that a question reads; the compactor keeps them far below.
const DELTAS_MAX: u64 = 100_000;
/// Outcomes of an execution.
pub const OUTCOMES: usize = 3;

/// One value of each dimension; 0 where unknown. A checkpoint dimension holds the combination.
pub type Ids = [u32; IDS_WIDTH];

/// What stands for all keys that an answer lists no row of.
const UNLISTED: Ids = [u32::MAX; IDS_WIDTH];

/// What counts in the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AtomKey {
    /// Place of the tile.
    pub tile: u32,
    /// The dimensions.
    pub ids: Ids,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Gathering<'a> {
    /// Disjoint windows, ascending.
    pub tiles: &'a [Window],
    /// Dimensions.
    pub by: &'a [Dimension],
    /// Filter.
    pub filter: &'a Filter,
    /// Parts to add up.
    pub parts: &'a [Part],
    /// The coarsest cells that may be used.
    pub coarseness: Coarseness,
}

/// What a question reads from, besides the snapshot's cells.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// Names and combinations.
    pub catalog: &'a Catalog,
    /// Machines.
    pub fleet: &'a Fleet,
    /// Type of each base model that has one.
    pub model_types: &'a FxHashMap<u32, u32>,
}

/// What a combination means for a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    #[default]
    Not,
    Denied,
    Allowed {
        model_version: u32,
        model: u32,
        model_type: u32,
    },
}

/// The atoms and what was added up for them.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The atoms.
    pub atoms: Vec<AtomKey>,
    by_key: FxHashMap<AtomKey, u32>,
    /// Parts that were asked for, a row an atom.
    pub columns: BTreeMap<Part, Column>,
    /// Executions by outcome: row `3 x atom + outcome`.
    pub outcomes: Vec<u64>,
    /// Failed executions of each atom and error type: number and latest end.
    pub errors: FxHashMap<(u32, u32), (u64, Instant)>,
    /// Usage of each atom by the shape of its machines.
    pub usage: FxHashMap<(u32, Shape), Usage>,
    /// Machines that each atom has samples of.
    pub machines: Vec<RoaringBitmap>,
    /// Keys that rows will be listed of, where they are known before: all others count only in the total, and share an atom a tile, so
    /// that memory grows with what is shown. None: any key may be listed.
    pub listed: Option<FxHashSet<Ids>>,
    /// RUNNING time of the machines of each atom, and RUNNING time x slots, in microseconds.
    pub running_us: FxHashMap<u32, (i128, i128)>,
    pub(super) known: Vec<Known>,
    /// Places in `known` of what loads brought: base model version, checkpoint version.
    pub(super) artifacts: FxHashMap<(u32, u32), u32>,
    /// Combinations that were met and allowed.
    pub combinations: FxHashMap<u32, Arc<Combination>>,
}

/// The places of the cells of one block in the answer.
struct Placed {
    atoms: Vec<u32>,
    outcomes: Vec<u8>,
    errors: Vec<u32>,
    instants: Vec<Instant>,
}

/// The cheapest family of executions that holds what is asked about; none: facts must be read.
#[must_use]
pub fn family_for(by: &[Dimension], filter: &Filter) -> Option<Family> {
    let mut used: Vec<KeyColumn> = by.iter().map(|dimension| dimension.column()).collect();
    used.extend(filter.columns_used());
    Family::OF_EXECUTIONS.into_iter().find(|family| used.iter().all(|column| family.columns().contains(column)))
}

/// Which buckets and windows a question reads, and to which tile each belongs.
#[derive(Debug, Default)]
pub struct Buckets {
    /// Whole days.
    pub days: BTreeMap<i32, u32>,
    /// Whole hours outside of them.
    pub hours: BTreeMap<i32, u32>,
    /// The rest.
    pub facts: Vec<(Window, u32)>,
    /// Every hour that cells cover, for the deltas.
    covered: FxHashMap<i32, u32>,
}

impl Buckets {
    /// The buckets of tiles.
    #[must_use]
    pub fn new(tiles: &[Window], coarseness: Coarseness, breaks: &Breaks) -> Self {
        let mut buckets = Self::default();
        for (tile, window) in (0_u32..).zip(tiles) {
            let cover = cover(*window, coarseness, breaks);
            for day in cover.days {
                buckets.days.insert(day, tile);
                buckets.covered.extend((0..DAY_HOURS).map(|hour| (day * DAY_HOURS + hour, tile)));
            }
            for hour in cover.hours {
                buckets.hours.insert(hour, tile);
                buckets.covered.insert(hour, tile);
            }
            buckets.facts.extend(cover.facts.into_iter().map(|piece| (piece, tile)));
        }
        buckets
    }
}

/// Runs of consecutive buckets, at most `most` long.
pub fn runs(buckets: impl Iterator<Item = i32>, most: i32) -> Vec<(i32, i32)> {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for bucket in buckets {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == bucket && bucket - run.0 < most => run.1 = bucket,
            _ => runs.push((bucket, bucket)),
        }
    }
    runs
}

impl Gathered {
    /// Nothing yet, for an answer that lists rows of these keys; none: of any.
    #[must_use]
    pub fn listing(listed: Option<FxHashSet<Ids>>) -> Self {
        Self { listed, ..Self::default() }
    }

    /// Reads everything that a question about one family needs; `family` none: from facts of executions.
    ///
    /// # Errors
    /// [`BreakdownError`] when the answer would be too large or the store fails.
    pub async fn read(&mut self, sources: Sources<'_>, asked: &Gathering<'_>, family: Option<Family>) -> Result<(), BreakdownError> {
        let places =
            asked.by.iter().any(|dimension| dimension.is_place()) || asked.filter.asks_place() || asked.parts.contains(&Part::Usage);
        let whole = Window {
            start: asked.tiles.first().map_or(Instant(0), |tile| tile.start),
            end: asked.tiles.last().map_or(Instant(0), |tile| tile.end),
        };
        let breaks = if places { sources.fleet.breaks(whole) } else { Breaks::default() };
        let coarseness = if family.is_some() { asked.coarseness } else { Coarseness::Facts };
        let mut buckets = Buckets::new(asked.tiles, coarseness, &breaks);
        asked.parts.iter().for_each(|part| {
            self.columns.entry(*part).or_insert_with(|| Column::of(*part));
        });
        if let Some(family) = family {
            self.read_days(sources, asked, family, &mut buckets).await?;
            self.read_hours(sources, asked, family, &buckets).await?;
            self.read_deltas(sources, asked, family, &buckets).await?;
        }
        let columns = execution_columns(asked);
        // An hour at a time: facts are read to the end before names are looked up on the same connection.
        for (window, tile) in &buckets.facts {
            for hour in window.tiles(Step::Hour) {
                match family {
                    Some(Family::VmSample) => {
                        let facts = sources.snapshot.vm_sample_stream(hour).await?.try_collect().await?;
                        self.add_hour(sources, asked, facts, *tile, std::convert::identity).await?;
                    }
                    Some(Family::Load | Family::LoadMachine) => {
                        let facts = sources.snapshot.load_stream(hour).await?.try_collect().await?;
                        self.add_hour(sources, asked, facts, *tile, std::convert::identity).await?;
                    }
                    Some(Family::GpuSample) => {
                        let facts = sources.snapshot.gpu_sample_stream(hour).await?.try_collect().await?;
                        self.add_hour(sources, asked, facts, *tile, std::convert::identity).await?;
                    }
                    _ => {
                        let facts = sources.snapshot.execution_stream(hour, columns).await?.try_collect().await?;
                        self.add_hour(sources, asked, facts, *tile, MeasuredExecution::from).await?;
                    }
                }
            }
        }
        // Atoms of a family that was read before have a row in the columns of this one, too.
        self.grow()
    }

    async fn read_days(
        &mut self,
        sources: Sources<'_>,
        asked: &Gathering<'_>,
        family: Family,
        buckets: &mut Buckets,
    ) -> Result<(), BreakdownError> {
        let mut without_block: BTreeSet<i32> = buckets.days.keys().copied().collect();
        for (from, to) in runs(buckets.days.keys().copied(), chunk_of(family)) {
            let blocks = sources.snapshot.cell_list(family, Grain::Day, from, to, &wanted(family, asked.parts)).await?;
            for day in blocks.chunk_by(|a, b| a.bucket == b.bucket) {
                without_block.remove(&day[0].bucket);
                let tile = buckets.days[&day[0].bucket];
                let at = Instant(i64::from(day[0].bucket) * i64::from(DAY_HOURS) * HOUR_US);
                let parts: Vec<(Part, &[u8])> = day.iter().map(|block| (block.part, block.block.as_slice())).collect();
                self.add_block(sources, asked, family, &parts, |_| Some((tile, at))).await?;
            }
        }
        for day in without_block {
            let tile = buckets.days[&day];
            buckets.hours.extend((0..DAY_HOURS).map(|hour| (day * DAY_HOURS + hour, tile)));
        }
        Ok(())
    }

    async fn read_hours(
        &mut self,
        sources: Sources<'_>,
        asked: &Gathering<'_>,
        family: Family,
        buckets: &Buckets,
    ) -> Result<(), BreakdownError> {
        for (from, to) in runs(buckets.hours.keys().copied(), chunk_of(family) * DAY_HOURS / 2) {
            let blocks = sources.snapshot.cell_list(family, Grain::Hour, from, to, &wanted(family, asked.parts)).await?;
            for hour in blocks.chunk_by(|a, b| a.bucket == b.bucket) {
                let tile = buckets.hours[&hour[0].bucket];
                let at = Instant(i64::from(hour[0].bucket) * HOUR_US);
                let parts: Vec<(Part, &[u8])> = hour.iter().map(|block| (block.part, block.block.as_slice())).collect();
                self.add_block(sources, asked, family, &parts, |_| Some((tile, at))).await?;
            }
        }
        Ok(())
    }

    async fn read_deltas(
        &mut self,
        sources: Sources<'_>,
        asked: &Gathering<'_>,
        family: Family,
        buckets: &Buckets,
    ) -> Result<(), BreakdownError> {
        let (Some(first), Some(last)) = (buckets.covered.keys().min(), buckets.covered.keys().max()) else { return Ok(()) };
        let (first, last) = (first.div_euclid(DAY_HOURS), last.div_euclid(DAY_HOURS));
        for delta in sources.snapshot.delta_list(family, first, last, DELTAS_MAX).await? {
            let parts = unpack(&delta.block).map_err(StoreError::from)?;
            let place = |hour: u8| {
                let hour = delta.day * DAY_HOURS + i32::from(hour);
                buckets.covered.get(&hour).map(|tile| (*tile, Instant(i64::from(hour) * HOUR_US)))
            };
            self.add_block(sources, asked, family, &parts, place).await?;
        }
        Ok(())
    }

    /// Adds one block; `place` gives the tile and the instant of the cells of an hour (0 where the block is one bucket).
    ///
    /// # Errors
    /// As [`Gathered::read`].
    pub async fn add_block(
        &mut self,
        sources: Sources<'_>,
        asked: &Gathering<'_>,
        family: Family,
        parts: &[(Part, &[u8])],
        place: impl Fn(u8) -> Option<(u32, Instant)>,
    ) -> Result<(), BreakdownError> {
        let body = |wanted: Part| {
            parts.iter().find(|(part, _)| *part == wanted).map(|(_, body)| *body).ok_or(StoreError::Inconsistent("cell block"))
        };
        let mut keys = Keys::decode(family, body(Part::Keys)?).map_err(StoreError::from)?;
        self.learn_artifacts(sources, asked.filter, &mut keys.keys).await?;
        let by_combination = family.columns().contains(&KeyColumn::Combination);
        if by_combination {
            self.learn(sources, asked.filter, keys.keys.iter().map(|key| key[KeyColumn::Combination as usize])).await?;
        }
        let mut placed = Placed::with_capacity(keys.keys.len());
        for (at, key) in keys.keys.iter().enumerate() {
            let hour = keys.hours.get(at).copied().unwrap_or(0);
            let found = place(hour).and_then(|(tile, at)| Some((self.atom(sources, asked, key, tile, at)?, at)));
            placed.push(found, key);
        }
        self.grow()?;
        if family.is_of_samples() {
            self.note_machines(&keys.keys, &placed.atoms);
        } else if family.parts().contains(&Part::Executions) {
            self.add_outcomes(body(Part::Executions)?, &placed).map_err(StoreError::from)?;
        }
        for part in asked.parts.iter().filter(|part| family.parts().contains(part)) {
            match part {
                Part::Executions => {}
                Part::LastError => self.add_last_errors(body(*part)?, &placed).map_err(StoreError::from)?,
                Part::Usage => self.add_usage(sources.fleet, body(*part)?, &placed).map_err(StoreError::from)?,
                part => {
                    if let Some(column) = self.columns.get_mut(part) {
                        column.merge_encoded(body(*part)?, &placed.atoms).map_err(StoreError::from)?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn add_hour<F, M: Fact>(
        &mut self,
        sources: Sources<'_>,
        asked: &Gathering<'_>,
        facts: Vec<F>,
        tile: u32,
        measure: impl Fn(F) -> M,
    ) -> Result<(), BreakdownError> {
        let mut facts = facts.into_iter().map(measure);
        loop {
            let step: Vec<M> = facts.by_ref().take(FACTS_PER_STEP).collect();
            if step.is_empty() {
                return Ok(());
            }
            self.add_facts(sources, asked, &step, tile).await?;
        }
    }

    /// Adds facts of one tile.
    ///
    /// # Errors
    /// As [`Gathered::read`].
    pub async fn add_facts<M: Fact>(
        &mut self,
        sources: Sources<'_>,
        asked: &Gathering<'_>,
        facts: &[M],
        tile: u32,
    ) -> Result<(), BreakdownError> {
        let mut keys: Vec<Key> = facts.iter().map(Fact::key).collect();
        self.learn_artifacts(sources, asked.filter, &mut keys).await?;
        let combination = |key: &Key| key[KeyColumn::Combination as usize];
        self.learn(sources, asked.filter, keys.iter().map(combination).filter(|id| *id != 0)).await?;
        let mut placed = Placed::with_capacity(facts.len());
        for (fact, key) in facts.iter().zip(&keys) {
            let found = self.atom(sources, asked, key, tile, fact.at()).map(|atom| (atom, fact.at()));
            placed.push(found, key);
        }
        self.grow()?;
        let mut usage = Column::of(Part::Usage);
        usage.grow(1);
        for (at, fact) in facts.iter().enumerate() {
            let atom = placed.atoms[at];
            if atom == SKIP {
                continue;
            }
            if fact.is_execution() {
                self.outcomes[atom as usize * OUTCOMES + placed.outcomes[at] as usize] += 1;
                placed.error(at).into_iter().for_each(|error| {
                    let entry = self.errors.entry(error).or_insert((0, Instant(0)));
                    *entry = (entry.0 + 1, entry.1.max(fact.at()));
                });
            } else if combination(&keys[at]) == 0 {
                self.machines[atom as usize].insert(keys[at][KeyColumn::Vm as usize]);
            }
            for part in asked.parts {
                if *part == Part::Usage {
                    fact.add(*part, &mut usage, 0);
                } else if let Some(column) = self.columns.get_mut(part) {
                    fact.add(*part, column, atom as usize);
                }
            }
            if let Column::Usage(of_fact) = &mut usage {
                self.merge_usage(sources.fleet, atom, &of_fact[0], fact.at());
                of_fact[0].clear();
            }
        }
        Ok(())
    }

    /// Learns what the combinations mean that were not met yet.
    ///
    /// # Errors
    /// [`BreakdownError::Store`] when they cannot be read.
    pub(crate) async fn learn(
        &mut self,
        sources: Sources<'_>,
        filter: &Filter,
        ids: impl Iterator<Item = u32>,
    ) -> Result<(), BreakdownError> {
        let mut new: Vec<u32> = Vec::new();
        for id in ids {
            if self.known.len() <= id as usize {
                self.known.resize(id as usize + 1, Known::Not);
            }
            if self.known[id as usize] == Known::Not {
                self.known[id as usize] = Known::Denied;
                new.push(id);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        for (id, combination) in sources.catalog.combinations(sources.snapshot, &new).await? {
            let model_type = sources.model_types.get(&combination.model_id).copied().unwrap_or(0);
            if filter.allows_combination(id, &combination, model_type) {
                self.known[id as usize] =
                    Known::Allowed { model_version: combination.model_version_id, model: combination.model_id, model_type };
                self.combinations.insert(id, combination);
            }
        }
        Ok(())
    }

    /// The atom of a key, whose combination has been learnt; none when the filter leaves it out.
    pub(crate) fn atom(&mut self, sources: Sources<'_>, asked: &Gathering<'_>, key: &Key, tile: u32, at: Instant) -> Option<u32> {
        if !asked.filter.allows_key(key) {
            return None;
        }
        let combination = key[KeyColumn::Combination as usize];
        let (model_version, model, model_type) = match self.known.get(combination as usize) {
            Some(Known::Allowed { model_version, model, model_type }) => (*model_version, *model, *model_type),
            _ if combination == 0 => (0, 0, 0),
            _ => return None,
        };
        let vm = key[KeyColumn::Vm as usize];
        let joins_place = asked.filter.asks_place() || asked.by.iter().any(|dimension| dimension.is_place());
        let place = if joins_place { sources.fleet.place_at(vm, at) } else { Place::default() };
        if !asked.filter.allows_place(place) {
            return None;
        }
        let mut ids = [0; IDS_WIDTH];
        for (id, dimension) in ids.iter_mut().zip(asked.by) {
            *id = match dimension {
                Dimension::ModelType => model_type,
                Dimension::Model => model,
                Dimension::ModelVersion => model_version,
                Dimension::InstanceType => place.instance_type_id,
                Dimension::Region => place.region_id,
                Dimension::Provider => place.provider_id,
                dimension => key[dimension.column() as usize],
            };
        }
        Some(self.intern(AtomKey { tile, ids: self.shown(ids) }))
    }

    /// The key under which an atom's figures are kept: its own where a row may be listed of it.
    #[must_use]
    pub fn shown(&self, ids: Ids) -> Ids {
        if self.listed.as_ref().is_none_or(|listed| listed.contains(&ids)) { ids } else { UNLISTED }
    }

    /// The place of an atom that was met; none when it was not.
    #[must_use]
    pub fn find(&self, key: &AtomKey) -> Option<u32> {
        match self.atoms.last() {
            Some(last) if last == key => Some(self.atoms.len() as u32 - 1),
            _ => self.by_key.get(key).copied(),
        }
    }

    /// The place of an atom, which is made when it is new.
    pub fn intern(&mut self, key: AtomKey) -> u32 {
        // Cells come sorted by key: the atom of the last one is often that of the next.
        if let Some(last) = self.atoms.last()
            && *last == key
        {
            return self.atoms.len() as u32 - 1;
        }
        *self.by_key.entry(key).or_insert_with(|| {
            self.atoms.push(key);
            self.atoms.len() as u32 - 1
        })
    }

    /// Makes room for every atom.
    ///
    /// # Errors
    /// [`BreakdownError::Limit`] when there are too many.
    pub fn grow(&mut self) -> Result<(), BreakdownError> {
        let atoms = self.atoms.len();
        if atoms > ATOMS_MAX {
            return Err(BreakdownError::Limit(format!(
                "the answer has more than {ATOMS_MAX} distinct keys: ask for a shorter window or fewer dimensions"
            )));
        }
        for column in self.columns.values_mut() {
            column.grow(atoms);
        }
        self.outcomes.resize(atoms * OUTCOMES, 0);
        self.machines.resize_with(atoms, RoaringBitmap::new);
        Ok(())
    }

    fn note_machines(&mut self, keys: &[Key], atoms: &[u32]) {
        for (key, atom) in keys.iter().zip(atoms) {
            if *atom != SKIP {
                self.machines[*atom as usize].insert(key[KeyColumn::Vm as usize]);
            }
        }
    }

    fn add_outcomes(&mut self, bytes: &[u8], placed: &Placed) -> Result<(), Truncated> {
        let mut reader = Reader::new(bytes);
        for (at, atom) in placed.atoms.iter().enumerate() {
            let count = reader.i128()? as u64;
            if *atom != SKIP {
                self.outcomes[*atom as usize * OUTCOMES + placed.outcomes[at] as usize] += count;
                if let Some(error) = placed.error(at) {
                    self.errors.entry(error).or_insert((0, Instant(0))).0 += count;
                }
            }
        }
        Ok(())
    }

    fn add_last_errors(&mut self, bytes: &[u8], placed: &Placed) -> Result<(), Truncated> {
        let mut reader = Reader::new(bytes);
        for at in 0..placed.atoms.len() {
            let latest = Instant(reader.i64()?);
            if let Some(error) = placed.error(at) {
                let entry = self.errors.entry(error).or_insert((0, Instant(0)));
                entry.1 = entry.1.max(latest);
            }
        }
        Ok(())
    }

    fn add_usage(&mut self, fleet: &Fleet, bytes: &[u8], placed: &Placed) -> Result<(), Truncated> {
        let mut reader = Reader::new(bytes);
        let mut of_cell = UsageByVm::default();
        for (at, atom) in placed.atoms.iter().enumerate() {
            of_cell.clear();
            of_cell.merge_encoded(&mut reader)?;
            if *atom != SKIP {
                self.merge_usage(fleet, *atom, &of_cell, placed.instants[at]);
            }
        }
        Ok(())
    }

    fn merge_usage(&mut self, fleet: &Fleet, atom: u32, usage: &UsageByVm, at: Instant) {
        for (vm, usage) in usage.iter() {
            self.usage.entry((atom, fleet.shape_at(*vm, at))).or_default().merge(usage);
        }
    }
}

impl Placed {
    fn with_capacity(cells: usize) -> Self {
        let room = || Vec::with_capacity(cells);
        Self { atoms: room(), outcomes: Vec::with_capacity(cells), errors: room(), instants: Vec::with_capacity(cells) }
    }

    fn push(&mut self, found: Option<(u32, Instant)>, key: &Key) {
        let (atom, at) = found.unwrap_or((SKIP, Instant(0)));
        self.atoms.push(atom);
        self.instants.push(at);
        self.outcomes.push((key[KeyColumn::Outcome as usize].max(1) - 1).min(OUTCOMES as u32 - 1) as u8);
        self.errors.push(key[KeyColumn::ErrorType as usize]);
    }

    /// Atom and error type of a cell, when its executions failed and it is taken.
    fn error(&self, at: usize) -> Option<(u32, u32)> {
        let failed = self.outcomes[at] == plimsoll_entity::value::label::Outcome::Failed.code() as u8;
        (failed && self.errors[at] != 0 && self.atoms[at] != SKIP).then_some((self.atoms[at], self.errors[at]))
    }
}

/// The columns of executions that a question needs.
pub(crate) fn execution_columns(asked: &Gathering<'_>) -> ExecutionColumns {
    let mut used: Vec<KeyColumn> = asked.by.iter().map(|dimension| dimension.column()).collect();
    used.extend(asked.filter.columns_used());
    let wants = |part: Part| asked.parts.contains(&part);
    let caller =
        |column: &KeyColumn| matches!(column, KeyColumn::Application | KeyColumn::User | KeyColumn::Department | KeyColumn::Project);
    ExecutionColumns {
        caller: used.iter().any(caller) || wants(Part::Users),
        vm: used.contains(&KeyColumn::Vm) || wants(Part::Usage),
        usage: wants(Part::Usage),
        queued_at: wants(Part::Queue),
        measures: [
            wants(Part::CheckpointLoad),
            wants(Part::ModelInit),
            wants(Part::Inference),
            wants(Part::InputSize) || wants(Part::InputCorrelation) || wants(Part::SizedExecutions),
            wants(Part::OutputSize) || wants(Part::OutputCorrelation) || wants(Part::SizedExecutions),
            wants(Part::GpuMemory),
        ],
    }
}

/// Days of one read: large families are read in small steps, so that memory stays bounded.
pub const fn chunk_of(family: Family) -> i32 {
    match family {
        Family::Combination
        | Family::VmSample
        | Family::GpuSample
        | Family::Load
        | Family::TimelineCombination
        | Family::TimelineVm
        | Family::TransitionMachine
        | Family::TransitionCombination
        | Family::SwitchMachine
        | Family::OwnedSample
        | Family::JobCombination
        | Family::MachineTime
        | Family::CostVm
        | Family::CostCombination
        | Family::CostRunCombination
        | Family::LoadCost => 62,
        Family::Caller
        | Family::Machine
        | Family::LoadMachine
        | Family::Timeline
        | Family::TimelineCaller
        | Family::TimelineMachine
        | Family::Transition
        | Family::JobCaller
        | Family::JobMachine
        | Family::Cost
        | Family::CostMachine
        | Family::CostCaller
        | Family::CostRun
        | Family::CostRunMachine
        | Family::CostRunCaller => 8,
    }
}

/// The parts to read: the keys, the executions, what is asked for.
pub fn wanted(family: Family, parts: &[Part]) -> Vec<Part> {
    let mut wanted = vec![Part::Keys];
    if family.parts().contains(&Part::Executions) {
        wanted.push(Part::Executions);
    }
    wanted.extend(parts.iter().filter(|part| family.parts().contains(part) && **part != Part::Executions));
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_buckets_are_read_together() {
        assert_eq!(runs([1, 2, 3, 5, 6, 7, 8].into_iter(), 3), [(1, 3), (5, 7), (8, 8)]);
        assert!(runs(std::iter::empty(), 3).is_empty());
    }

    #[test]
    fn the_smallest_family_is_taken() {
        let filter = Filter::default();
        assert_eq!(family_for(&[Dimension::Model], &filter), Some(Family::Combination));
        assert_eq!(family_for(&[Dimension::Region, Dimension::Combination], &filter), Some(Family::Machine));
        assert_eq!(family_for(&[Dimension::User], &filter), Some(Family::Caller));
        assert_eq!(family_for(&[Dimension::User, Dimension::Vm], &filter), None);
    }
}
