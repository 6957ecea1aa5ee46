//! From the names of events to their ids.
//!
//! Invariants: a name enters the shared cache only after the transaction that made it has committed; the cache is bounded; new
//! names of one dimension and day are capped, so that a client that puts a request id into `user` does not drown the store.
//! Must not know: facts, cells.

use std::collections::HashSet;
use std::hash::Hasher as _;

use hashbrown::HashMap;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use uuid::Uuid;

use super::event::{Caller, CheckpointVersion, Event, ModelVersion};
use crate::store::{NameDimension, StoreError, WriteTx};

/// Cached names of a process at most; past that the cache starts anew.
const CACHED_NAMES_MAX: usize = 400_000;
/// New names of one dimension on one day.
pub const NEW_NAMES_PER_DAY_MAX: u64 = 20_000;

type Owned = (NameDimension, i64);

/// Known names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    by_owner: HashMap<Owned, HashMap<String, u32>>,
    combinations: HashMap<Uuid, u32>,
    count: usize,
}

impl Names {
    fn get(&self, owned: Owned, name: &str) -> Option<u32> {
        self.by_owner.get(&owned)?.get(name).copied()
    }

    fn insert(&mut self, owned: Owned, name: String, id: u32) {
        if self.by_owner.entry(owned).or_default().insert(name, id).is_none() {
            self.count += 1;
        }
    }

    /// Takes over what a transaction has committed.
    pub fn absorb(&mut self, new: Names) {
        if self.count + new.count > CACHED_NAMES_MAX {
            *self = Self::default();
        }
        for (owned, names) in new.by_owner {
            for (name, id) in names {
                self.insert(owned, name, id);
            }
        }
        for (fingerprint, id) in new.combinations {
            if self.combinations.insert(fingerprint, id).is_none() {
                self.count += 1;
            }
        }
    }
}

/// A base model version and its checkpoint versions, as one key: SipHash-1-3-128 of the canonical form.
#[must_use]
pub fn fingerprint(model: &ModelVersion, checkpoints: &[CheckpointVersion]) -> Uuid {
    let mut hasher = SipHasher13::new_with_keys(0x706c_696d_736f_6c6c, 0x636f_6d62_696e_6564);
    let mut text = |text: &str| {
        hasher.write_u32(text.len() as u32);
        hasher.write(text.as_bytes());
    };
    text(&model.model);
    text(&model.version);
    for checkpoint in checkpoints {
        text(&checkpoint.name);
        text(&checkpoint.version);
        text(checkpoint.kind.wire());
    }
    Uuid::from_u128(hasher.finish128().as_u128())
}

/// The label of a combination, such as `sdxl 1.0 + anime 3 + depth 1`.
#[must_use]
pub fn label(model: &ModelVersion, checkpoints: &[CheckpointVersion]) -> String {
    let mut label = format!("{} {}", model.model, model.version);
    for checkpoint in checkpoints {
        label.push_str(" + ");
        label.push_str(&checkpoint.name);
        label.push(' ');
        label.push_str(&checkpoint.version);
    }
    label
}

/// The names of one transaction: what is cached and what it has found or made.
#[derive(Debug)]
pub struct Resolved<'a> {
    cached: &'a Names,
    /// What this transaction found or made.
    pub new: Names,
    /// Whether a name was left out because its dimension is over the daily cap.
    pub is_capped: bool,
}

impl Resolved<'_> {
    /// Id of a simple name; none when it could not be made today.
    #[must_use]
    pub fn simple(&self, dimension: NameDimension, name: &str) -> Option<u32> {
        self.owned((dimension, i64::from(dimension.code())), name)
    }

    fn owned(&self, owned: Owned, name: &str) -> Option<u32> {
        self.cached.get(owned, name).or_else(|| self.new.get(owned, name))
    }

    /// Id of a combination.
    #[must_use]
    pub fn combination(&self, model: &ModelVersion, checkpoints: &[CheckpointVersion]) -> Option<u32> {
        let fingerprint = fingerprint(model, checkpoints);
        self.cached.combinations.get(&fingerprint).or_else(|| self.new.combinations.get(&fingerprint)).copied()
    }

    /// Id of a base model version.
    #[must_use]
    pub fn model_version(&self, model: &ModelVersion) -> Option<u32> {
        let model_id = self.simple(NameDimension::Model, &model.model)?;
        self.owned((NameDimension::ModelVersion, i64::from(model_id)), &model.version)
    }

    /// Id of a checkpoint version.
    #[must_use]
    pub fn checkpoint_version(&self, checkpoint: &CheckpointVersion) -> Option<u32> {
        let checkpoint_id = self.owned((NameDimension::Checkpoint, i64::from(checkpoint.kind.code())), &checkpoint.name)?;
        self.owned((NameDimension::CheckpointVersion, i64::from(checkpoint_id)), &checkpoint.version)
    }
}

/// What is not known yet, each once, in order of arrival.
#[derive(Default)]
struct Missing<'e> {
    seen: HashSet<(NameDimension, i64, &'e str)>,
    names: HashMap<NameDimension, Vec<(i64, String)>>,
}

impl<'e> Missing<'e> {
    fn want(&mut self, resolved: &Resolved<'_>, dimension: NameDimension, owner: i64, name: &'e str) {
        if resolved.owned((dimension, owner), name).is_none() && self.seen.insert((dimension, owner, name)) {
            self.names.entry(dimension).or_default().push((owner, name.to_owned()));
        }
    }

    fn want_simple(&mut self, resolved: &Resolved<'_>, dimension: NameDimension, name: Option<&'e String>) {
        if let Some(name) = name {
            self.want(resolved, dimension, i64::from(dimension.code()), name);
        }
    }
}

/// Base model version and checkpoints that an event names.
fn artifacts(event: &Event) -> (Option<&ModelVersion>, &[CheckpointVersion], bool) {
    match event {
        Event::Execution(event) => (Some(&event.model), &event.checkpoints, true),
        Event::Job(event) => (Some(&event.model), &event.checkpoints, true),
        Event::CheckpointLoad(event) => (Some(&event.model), event.checkpoint.as_slice(), false),
        Event::StorageSnapshot(event) => (event.model.as_ref(), event.checkpoint.as_slice(), false),
        Event::VmState(_) | Event::VmSample(_) | Event::GpuSample(_) => (None, &[], false),
    }
}

/// Finds or makes the ids of everything that `events` name.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn resolve<'a>(tx: &mut WriteTx, cached: &'a Names, events: &[&Event], day: i32) -> Result<Resolved<'a>, StoreError> {
    let mut resolved = Resolved { cached, new: Names::default(), is_capped: false };
    let unknown: Vec<&Event> = events
        .iter()
        .copied()
        .filter(|event| {
            let (model, checkpoints, combined) = artifacts(event);
            !combined || model.is_some_and(|model| resolved.combination(model, checkpoints).is_none())
        })
        .collect();
    let mut simple = Missing::default();
    events.iter().for_each(|event| want_simple_names(&mut simple, &resolved, event));
    for event in &unknown {
        let (model, checkpoints, _) = artifacts(event);
        simple.want_simple(&resolved, NameDimension::Model, model.map(|model| &model.model));
        for checkpoint in checkpoints {
            simple.want(&resolved, NameDimension::Checkpoint, i64::from(checkpoint.kind.code()), &checkpoint.name);
        }
    }
    find_or_make(tx, &mut resolved, simple, day).await?;
    let mut versions = Missing::default();
    for event in &unknown {
        let (model, checkpoints, _) = artifacts(event);
        if let Some((model, id)) = model.and_then(|model| Some((model, resolved.simple(NameDimension::Model, &model.model)?))) {
            versions.want(&resolved, NameDimension::ModelVersion, i64::from(id), &model.version);
        }
        for checkpoint in checkpoints {
            if let Some(id) = resolved.owned((NameDimension::Checkpoint, i64::from(checkpoint.kind.code())), &checkpoint.name) {
                versions.want(&resolved, NameDimension::CheckpointVersion, i64::from(id), &checkpoint.version);
            }
        }
    }
    find_or_make(tx, &mut resolved, versions, day).await?;
    find_or_make_combinations(tx, &mut resolved, &unknown, day).await?;
    Ok(resolved)
}

fn want_simple_names<'e>(missing: &mut Missing<'e>, resolved: &Resolved<'_>, event: &'e Event) {
    use NameDimension::{
        Application, Department, ErrorType, InstanceType, ModelType, Project, Provider, Region, StorageLocation, User, Vm,
    };
    let mut want = |dimension, name: Option<&'e String>| missing.want_simple(resolved, dimension, name);
    let mut caller = |caller: &'e Caller| {
        want(Application, caller.application.as_ref());
        want(User, caller.user.as_ref());
        want(Department, caller.department.as_ref());
        want(Project, caller.project.as_ref());
    };
    match event {
        Event::Execution(event) => {
            caller(&event.caller);
            want(Vm, event.vm.as_ref());
            want(ErrorType, event.error_type.as_ref());
            want(ModelType, event.model_type.as_ref());
            if event.model_type.is_some() {
                want(NameDimension::Model, Some(&event.model.model));
            }
        }
        Event::Job(event) => {
            caller(&event.caller);
            want(Vm, event.vm.as_ref());
        }
        Event::CheckpointLoad(event) => {
            want(Vm, Some(&event.vm));
            want(StorageLocation, event.storage_location.as_ref());
            want(ErrorType, event.error_type.as_ref());
        }
        Event::VmState(event) => {
            want(Vm, Some(&event.vm));
            want(InstanceType, event.instance_type.as_ref());
            want(Provider, event.provider.as_ref());
            want(Region, event.region.as_ref());
        }
        Event::VmSample(event) => want(Vm, Some(&event.vm)),
        Event::GpuSample(event) => want(Vm, Some(&event.vm)),
        Event::StorageSnapshot(event) => want(StorageLocation, event.storage_location.as_ref()),
    }
}

async fn find_or_make(tx: &mut WriteTx, resolved: &mut Resolved<'_>, missing: Missing<'_>, day: i32) -> Result<(), StoreError> {
    let mut dimensions: Vec<_> = missing.names.into_iter().collect();
    dimensions.sort_unstable_by_key(|(dimension, _)| *dimension);
    for (dimension, mut names) in dimensions {
        let mut found = tx.name_ids(dimension, &names, None).await?;
        names.retain(|name| !found.contains_key(name));
        if !names.is_empty() {
            let left = NEW_NAMES_PER_DAY_MAX.saturating_sub(tx.name_count_of_day(dimension, day).await?);
            resolved.is_capped |= names.len() as u64 > left;
            names.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            found.extend(tx.name_ids(dimension, &names, Some(day)).await?);
        }
        for ((owner, name), id) in found {
            resolved.new.insert((dimension, owner), name, id);
        }
    }
    Ok(())
}

async fn find_or_make_combinations(tx: &mut WriteTx, resolved: &mut Resolved<'_>, events: &[&Event], day: i32) -> Result<(), StoreError> {
    let mut wanted = Vec::new();
    let mut seen = HashSet::new();
    for event in events {
        let (Some(model), checkpoints, true) = artifacts(event) else { continue };
        let fingerprint = fingerprint(model, checkpoints);
        if !seen.insert(fingerprint) {
            continue;
        }
        let versions: Option<Vec<u32>> = checkpoints.iter().map(|checkpoint| resolved.checkpoint_version(checkpoint)).collect();
        if let (Some(model_version), Some(versions)) = (resolved.model_version(model), versions) {
            wanted.push((fingerprint, model_version, label(model, checkpoints), versions));
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let fingerprints: Vec<Uuid> = wanted.iter().map(|(fingerprint, ..)| *fingerprint).collect();
    let mut found = tx.combination_ids(&fingerprints).await?;
    wanted.retain(|(fingerprint, ..)| !found.contains_key(fingerprint));
    if !wanted.is_empty() {
        let left = NEW_NAMES_PER_DAY_MAX.saturating_sub(tx.name_count_of_day(NameDimension::Combination, day).await?);
        resolved.is_capped |= wanted.len() as u64 > left;
        wanted.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        wanted.sort_unstable_by_key(|(fingerprint, ..)| *fingerprint);
        found.extend(tx.combination_insert(&wanted, day).await?);
    }
    resolved.new.count += found.len();
    resolved.new.combinations.extend(found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::label::CheckpointKind;

    use super::*;

    fn checkpoint(kind: CheckpointKind, name: &str) -> CheckpointVersion {
        CheckpointVersion { kind, name: name.to_owned(), version: "1".to_owned() }
    }

    #[test]
    fn a_fingerprint_tells_kinds_and_boundaries_apart() {
        let model = ModelVersion { model: "sdxl".to_owned(), version: "1.0".to_owned() };
        let other = ModelVersion { model: "sdxl1".to_owned(), version: ".0".to_owned() };
        assert_ne!(fingerprint(&model, &[]), fingerprint(&other, &[]));
        let (lora, vae) = (checkpoint(CheckpointKind::Lora, "anime"), checkpoint(CheckpointKind::Vae, "anime"));
        assert_ne!(fingerprint(&model, std::slice::from_ref(&lora)), fingerprint(&model, &[vae]));
        assert_eq!(label(&model, &[lora, checkpoint(CheckpointKind::Controlnet, "depth")]), "sdxl 1.0 + anime 1 + depth 1");
    }
}
