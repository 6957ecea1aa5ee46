//! Gathers what a question about costs adds up: bills, executions, transfers and storage, by tile and key.
//!
//! Days come from day cells, hours from hours of costs, and what was made for the question from there. Keys of costs hold the checkpoint
//! version that bears a share, and the place that the machine was in, so that nothing is joined that may change later.
//! Invariant: what is gathered does not depend on how far the worker has come. Must not know: order, limits, GraphQL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_entity::value::label::ServiceType;
use plimsoll_entity::value::time::Window;
use plimsoll_entity::value::varint::Reader as Bytes;
use rustc_hash::FxHashMap;

use super::figures::CostSums;
use super::question::{CostFilter, IdleView};
use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::Reading;
use crate::breakdown::gather::{Buckets, Ids, Sources, chunk_of, runs};
use crate::breakdown::timelines::Timelines;
use crate::breakdown::{ATOMS_MAX, BreakdownError, IDS_WIDTH};
use crate::catalog::Combination;
use crate::cell::block::{Keys, unpack};
use crate::cell::column::SKIP;
use crate::cell::part::{Family, Key, KeyColumn, Part};
use crate::cell::plan::{Breaks, Coarseness, DAY_HOURS};
use crate::store::{DerivedKind, Grain, HOURS_PER_READ, StoreError};
use crate::timeline::carry::block_of;
use crate::timeline::life::Place;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct CostGathering<'a> {
    /// Disjoint windows of whole hours, ascending.
    pub tiles: &'a [Window],
    /// Dimensions.
    pub by: &'a [Dimension],
    /// Which costs count.
    pub filter: &'a CostFilter,
    /// Where idle time is shown.
    pub idle: IdleView,
    /// The coarsest cells that may be used.
    pub coarseness: Coarseness,
}

impl CostGathering<'_> {
    /// Whether costs of a service type count.
    #[must_use]
    pub fn wants(&self, service_type: ServiceType) -> bool {
        self.filter.service_types.as_ref().is_none_or(|wanted| wanted.contains(&service_type))
    }

    /// Whether executions count in the rows of several checkpoints.
    #[must_use]
    pub fn splits_runs(&self) -> bool {
        self.by.iter().any(|dimension| dimension.is_checkpoint())
    }

    /// The first of some families whose days hold what is asked about; none: hours must be read.
    fn day_family(&self, families: &[Family], with_checkpoints: bool) -> Option<Family> {
        let mut used: Vec<KeyColumn> = self.by.iter().filter_map(|dimension| column_of(*dimension, with_checkpoints)).collect();
        let filter = &self.filter.filter;
        used.extend(
            filter.columns_used().into_iter().filter(|column| *column != KeyColumn::Vm || filter.columns.contains_key(&(*column as usize))),
        );
        if filter.asks_place() {
            used.push(KeyColumn::InstanceType);
        }
        if with_checkpoints && filter.asks_checkpoint() {
            used.push(KeyColumn::CheckpointVersion);
        }
        families.iter().copied().find(|family| used.iter().all(|column| family.columns().contains(column)))
    }
}

/// The key column of a dimension of bills (`with_checkpoints`) or executions; none: neither has it.
const fn column_of(dimension: Dimension, with_checkpoints: bool) -> Option<KeyColumn> {
    match dimension {
        Dimension::Checkpoint | Dimension::CheckpointVersion if with_checkpoints => Some(KeyColumn::CheckpointVersion),
        Dimension::InstanceType => Some(KeyColumn::InstanceType),
        Dimension::Region => Some(KeyColumn::Region),
        Dimension::Provider => Some(KeyColumn::Provider),
        Dimension::ServiceType | Dimension::StorageType | Dimension::StorageLocation | Dimension::Previous => None,
        dimension => Some(dimension.column()),
    }
}

/// Sums of one tile and key.
#[derive(Clone, Debug)]
pub struct CostAtom {
    /// Place of the tile.
    pub tile: u32,
    /// The key: an id for each dimension.
    pub ids: Ids,
    /// The sums.
    pub sums: CostSums,
}

/// Atoms by tile and key.
#[derive(Debug, Default)]
pub struct CostAtoms {
    /// The atoms.
    pub atoms: Vec<CostAtom>,
    places: FxHashMap<(u32, Ids), u32>,
}

impl CostAtoms {
    /// The place of an atom, which is made when it is new.
    fn place(&mut self, tile: u32, ids: Ids) -> u32 {
        *self.places.entry((tile, ids)).or_insert_with(|| {
            self.atoms.push(CostAtom { tile, ids, sums: CostSums::default() });
            self.atoms.len() as u32 - 1
        })
    }
}

/// What was gathered.
#[derive(Debug, Default)]
pub struct CostGathered {
    /// Amounts, and executions where they count in one row each.
    pub costs: CostAtoms,
    /// Executions where they count in the rows of several checkpoints: a checkpoint dimension holds the combination.
    pub runs: CostAtoms,
    /// Combinations that were met and allowed.
    pub combinations: FxHashMap<u32, Option<Arc<Combination>>>,
    /// The checkpoint of each checkpoint version that was met; 0 of 0.
    checkpoints: FxHashMap<u32, u32>,
    /// The model of each model version that was met; 0 of 0.
    models: FxHashMap<u32, u32>,
}

impl CostGathered {
    /// Reads bills, executions and transfers.
    ///
    /// # Errors
    /// [`BreakdownError`] when the answer would be too large or the store fails.
    pub async fn read(&mut self, reading: &Reading, timelines: &Timelines<'_>, asked: &CostGathering<'_>) -> Result<(), BreakdownError> {
        if asked.wants(ServiceType::Compute) {
            self.read_family(reading, timelines, asked, Family::Cost, asked.day_family(&Family::OF_BILLS, true)).await?;
            self.read_family(reading, timelines, asked, Family::CostRun, asked.day_family(&Family::OF_COST_RUNS, false)).await?;
        }
        if asked.wants(ServiceType::Transfer) {
            self.read_family(reading, timelines, asked, Family::LoadCost, Some(Family::LoadCost)).await?;
        }
        Ok(())
    }

    async fn read_family(
        &mut self,
        reading: &Reading,
        timelines: &Timelines<'_>,
        asked: &CostGathering<'_>,
        family: Family,
        day_family: Option<Family>,
    ) -> Result<(), BreakdownError> {
        let snapshot = &reading.snapshot;
        // Costs are made of whole hours: facts say no more than those.
        let coarseness = if asked.coarseness == Coarseness::Days { Coarseness::Days } else { Coarseness::Hours };
        let mut buckets = Buckets::new(asked.tiles, coarseness, &Breaks::default());
        let held = held_days(reading, timelines, &buckets.days, day_family).await?;
        if let Some(family) = day_family {
            let parts: Vec<Part> = std::iter::once(Part::Keys).chain(family.parts().iter().copied()).collect();
            for (from, to) in runs(held.iter().copied(), chunk_of(family)) {
                let blocks = snapshot.cell_list(family, Grain::Day, from, to, &parts).await?;
                for day in blocks.chunk_by(|a, b| a.bucket == b.bucket) {
                    let tile = buckets.days[&day[0].bucket];
                    let parts: Vec<(Part, &[u8])> = day.iter().map(|block| (block.part, block.block.as_slice())).collect();
                    self.add_block(reading, asked, family, &parts, tile).await?;
                }
            }
        }
        for (day, tile) in buckets.days.iter().filter(|(day, _)| !held.contains(day)) {
            buckets.hours.extend((0..DAY_HOURS).map(|hour| (day * DAY_HOURS + hour, *tile)));
        }
        for (from, to) in runs(buckets.hours.keys().copied(), HOURS_PER_READ) {
            for (hour, block) in timelines.cost_hours(from, to + 1).await? {
                let Some(block) = block_of(family, &block).map_err(StoreError::from)? else { continue };
                let parts = unpack(block).map_err(StoreError::from)?;
                self.add_block(reading, asked, family, &parts, buckets.hours[&hour]).await?;
            }
        }
        Ok(())
    }

    async fn add_block(
        &mut self,
        reading: &Reading,
        asked: &CostGathering<'_>,
        family: Family,
        parts: &[(Part, &[u8])],
        tile: u32,
    ) -> Result<(), BreakdownError> {
        let body = |wanted: Part| {
            parts.iter().find(|(part, _)| *part == wanted).map(|(_, body)| *body).ok_or(StoreError::Inconsistent("cost block"))
        };
        let keys = Keys::decode(family, body(Part::Keys)?).map_err(StoreError::from)?.keys;
        self.learn(reading.sources(), asked, &keys).await?;
        let is_of_runs = family.parts().contains(&Part::CostRuns);
        let apart = is_of_runs && asked.splits_runs();
        let mut slots = Vec::with_capacity(keys.len());
        for key in &keys {
            let ids = match family {
                Family::LoadCost => self.transfer_ids(reading, asked, key),
                _ => self.compute_ids(reading, asked, key, is_of_runs),
            };
            let atoms = if apart { &mut self.runs } else { &mut self.costs };
            slots.push(ids.map_or(SKIP, |ids| atoms.place(tile, ids)));
        }
        let atoms = if apart { &mut self.runs } else { &mut self.costs };
        check_atoms(atoms)?;
        for part in family.parts() {
            let mut bytes = Bytes::new(body(*part)?);
            for (slot, key) in slots.iter().zip(&keys) {
                let amount = bytes.i128().map_err(StoreError::from)?;
                if *slot != SKIP && amount != 0 {
                    add(&mut atoms.atoms[*slot as usize].sums, *part, amount, key, asked.idle);
                }
            }
        }
        Ok(())
    }

    /// Learns what the combinations and artifacts of keys mean that were not met yet.
    async fn learn(&mut self, sources: Sources<'_>, asked: &CostGathering<'_>, keys: &[Key]) -> Result<(), BreakdownError> {
        let new = |known: &dyn Fn(u32) -> bool, column: KeyColumn| -> Vec<u32> {
            let ids: BTreeSet<u32> = keys.iter().map(|key| key[column as usize]).filter(|id| *id != 0 && !known(*id)).collect();
            Vec::from_iter(ids)
        };
        let combinations = new(&|id| self.combinations.contains_key(&id), KeyColumn::Combination);
        let versions = new(&|id| self.checkpoints.contains_key(&id), KeyColumn::CheckpointVersion);
        let models = new(&|id| self.models.contains_key(&id), KeyColumn::ModelVersion);
        let filter = &asked.filter.filter;
        for (id, combination) in sources.catalog.combinations(sources.snapshot, &combinations).await? {
            let model_type = sources.model_types.get(&combination.model_id).copied().unwrap_or(0);
            let allowed = filter.allows_combination(id, &combination, model_type).then_some(combination);
            self.combinations.insert(id, allowed);
        }
        for (id, version) in sources.catalog.checkpoint_versions(sources.snapshot, &versions).await? {
            self.checkpoints.insert(id, version.checkpoint_id);
        }
        for (id, version) in sources.catalog.model_versions(sources.snapshot, &models).await? {
            self.models.insert(id, version.model_id);
        }
        Ok(())
    }

    /// The key of a part of a bill, or of executions; none when the filter leaves it out.
    fn compute_ids(&self, reading: &Reading, asked: &CostGathering<'_>, key: &Key, is_of_runs: bool) -> Option<Ids> {
        let filter = &asked.filter.filter;
        let place = place_of(key);
        if !filter.allows_key(key) || !filter.allows_place(place) {
            return None;
        }
        let combination_id = key[KeyColumn::Combination as usize];
        let combination = match self.combinations.get(&combination_id) {
            Some(Some(combination)) => Some(combination),
            _ if combination_id == 0 && !filter.asks_combination() => None,
            _ => return None,
        };
        let version = key[KeyColumn::CheckpointVersion as usize];
        let checkpoint = self.checkpoints.get(&version).copied().unwrap_or(0);
        if !is_of_runs && filter.asks_checkpoint() && !filter.allows_checkpoint((version, checkpoint)) {
            return None;
        }
        let model = combination.map_or(0, |combination| combination.model_id);
        let mut ids = [0; IDS_WIDTH];
        for (id, dimension) in ids.iter_mut().zip(asked.by) {
            *id = match dimension {
                Dimension::ModelType => reading.sources().model_types.get(&model).copied().unwrap_or(0),
                Dimension::Model => model,
                Dimension::ModelVersion => combination.map_or(0, |combination| combination.model_version_id),
                // Executions count in the row of each: the combination says which they are.
                Dimension::Checkpoint | Dimension::CheckpointVersion if is_of_runs => combination_id,
                Dimension::Checkpoint => checkpoint,
                Dimension::CheckpointVersion => version,
                Dimension::InstanceType => place.instance_type_id,
                Dimension::Region => place.region_id,
                Dimension::Provider => place.provider_id,
                Dimension::StorageType | Dimension::StorageLocation => 0,
                Dimension::ServiceType => ServiceType::Compute as u32 + 1,
                dimension => key[dimension.column() as usize],
            };
        }
        Some(ids)
    }

    /// The key of a transfer; none when the filter leaves it out.
    fn transfer_ids(&self, reading: &Reading, asked: &CostGathering<'_>, key: &Key) -> Option<Ids> {
        let mut key = *key;
        // Loads have error types; what they are charged has none.
        key[KeyColumn::ErrorType as usize] = 0;
        self.artifact_ids(reading, asked, &key, ServiceType::Transfer)
    }

    /// The key of what is charged for an artifact; none when the filter leaves it out.
    fn artifact_ids(&self, reading: &Reading, asked: &CostGathering<'_>, key: &Key, service_type: ServiceType) -> Option<Ids> {
        let filter = &asked.filter.filter;
        let place = place_of(key);
        if !filter.allows_key(key) || !filter.allows_place(place) || filter.combinations.is_some() {
            return None;
        }
        let (model_version, version) = (key[KeyColumn::ModelVersion as usize], key[KeyColumn::CheckpointVersion as usize]);
        let model = self.models.get(&model_version).copied().unwrap_or(0);
        let checkpoint = self.checkpoints.get(&version).copied().unwrap_or(0);
        let model_type = reading.sources().model_types.get(&model).copied().unwrap_or(0);
        let applied = if version == 0 { Vec::new() } else { vec![(version, checkpoint)] };
        let artifact = Combination { model_version_id: model_version, model_id: model, label: Arc::from(""), checkpoints: applied };
        if !filter.allows_combination(0, &artifact, model_type) {
            return None;
        }
        let mut ids = [0; IDS_WIDTH];
        for (id, dimension) in ids.iter_mut().zip(asked.by) {
            *id = match dimension {
                Dimension::ModelType => model_type,
                Dimension::Model => model,
                Dimension::ModelVersion => model_version,
                Dimension::Checkpoint => checkpoint,
                Dimension::CheckpointVersion => version,
                Dimension::Combination => 0,
                Dimension::InstanceType => place.instance_type_id,
                Dimension::Region => place.region_id,
                Dimension::Provider => place.provider_id,
                Dimension::ServiceType => service_type as u32 + 1,
                dimension => key[dimension.column() as usize],
            };
        }
        Some(ids)
    }

    /// Adds what bytes cost that lay somewhere: for each key the amounts of some tiles.
    ///
    /// # Errors
    /// [`BreakdownError::Store`] when names cannot be read.
    pub async fn add_storage(
        &mut self,
        reading: &Reading,
        asked: &CostGathering<'_>,
        stored: &[(Key, Vec<(u32, i128)>)],
    ) -> Result<(), BreakdownError> {
        let keys: Vec<Key> = stored.iter().map(|(key, _)| *key).collect();
        self.learn(reading.sources(), asked, &keys).await?;
        for (key, amounts) in stored {
            if let Some(ids) = self.artifact_ids(reading, asked, key, ServiceType::Storage) {
                for (tile, amount) in amounts {
                    let place = self.costs.place(*tile, ids) as usize;
                    self.costs.atoms[place].sums.storage += amount;
                }
                check_atoms(&self.costs)?;
            }
        }
        Ok(())
    }
}

fn check_atoms(atoms: &CostAtoms) -> Result<(), BreakdownError> {
    if atoms.atoms.len() <= ATOMS_MAX {
        return Ok(());
    }
    Err(BreakdownError::Limit(format!("the answer has more than {ATOMS_MAX} distinct keys: ask for a shorter window or fewer dimensions")))
}

const fn place_of(key: &Key) -> Place {
    Place {
        instance_type_id: key[KeyColumn::InstanceType as usize],
        provider_id: key[KeyColumn::Provider as usize],
        region_id: key[KeyColumn::Region as usize],
    }
}

/// Days whose cells hold and in which nothing was made for the question.
async fn held_days(
    reading: &Reading,
    timelines: &Timelines<'_>,
    days: &BTreeMap<i32, u32>,
    family: Option<Family>,
) -> Result<BTreeSet<i32>, BreakdownError> {
    let (Some(first), Some(last), Some(_)) = (days.keys().next(), days.keys().next_back(), family) else {
        return Ok(BTreeSet::new());
    };
    let mut held = reading.snapshot.derived_day_list(DerivedKind::Cost, *first, *last).await?;
    let made = timelines.cost_days_made();
    held.retain(|day| days.contains_key(day) && !made.contains(day));
    Ok(held)
}

/// Adds one amount to the sums of its atom.
pub(super) fn add(sums: &mut CostSums, part: Part, amount: i128, key: &Key, idle: IdleView) {
    let count = amount as u64;
    let outcome = (key[KeyColumn::Outcome as usize].max(1) as usize - 1).min(2);
    match part {
        Part::CostInference => sums.inference += amount,
        Part::CostLoad => sums.load += amount,
        Part::CostInit => sums.init += amount,
        Part::CostIdle if idle == IdleView::Caused => sums.idle += amount,
        Part::CostSpread if idle == IdleView::Spread => sums.idle += amount,
        Part::CostOverhead => sums.overhead += amount,
        Part::CostGpu => sums.gpu += amount,
        Part::CostSucceeded => sums.of_succeeded += amount,
        Part::CostFailed => sums.of_failed += amount,
        Part::CostCancelled => sums.of_cancelled += amount,
        Part::CostAttributed if idle == IdleView::Caused => sums.attributed += amount,
        Part::CostAttributedSpread if idle == IdleView::Spread => sums.attributed += amount,
        Part::CostValue => sums.value += amount,
        Part::UnpricedTime if idle == IdleView::Caused => sums.unpriced_ps += amount,
        Part::UnpricedSpreadTime if idle == IdleView::Spread => sums.unpriced_ps += amount,
        Part::GpuTime => sums.gpu_ps += amount,
        Part::CpuTime => sums.cpu_ps += amount,
        Part::CostRuns => sums.executions[outcome] += count,
        Part::CostedRuns => sums.costed[outcome] += count,
        Part::ValuedRuns => sums.valued += count,
        Part::LoadTransfer => sums.transfer += amount,
        _ => {}
    }
}
