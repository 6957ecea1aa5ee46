//! Names, versions and combinations by id, cached.
//!
//! Invariant: what is cached never changes in the database, so that any snapshot may use it; the cache is bounded.
//! Must not know: figures.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use plimsoll_entity::value::label::CheckpointKind;

use crate::store::{Snapshot, StoreError};

/// Entries of one kind that are kept; past that the kind starts anew.
const ENTRIES_MAX: usize = 300_000;

/// A version of a base model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelVersion {
    /// Id of the base model's name.
    pub model_id: u32,
    /// Version.
    pub version: Arc<str>,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What it is to its base model.
    pub kind: CheckpointKind,
    /// Name.
    pub name: Arc<str>,
}

/// A version of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointVersion {
    /// Id of the checkpoint.
    pub checkpoint_id: u32,
    /// Version.
    pub version: Arc<str>,
}

/// A base model version and the set of checkpoint versions applied together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combination {
    /// Id of the base model version.
    pub model_version_id: u32,
    /// Id of the base model's name.
    pub model_id: u32,
    /// Such as `sdxl 1.0 + anime 3`.
    pub label: Arc<str>,
    /// Ids of the checkpoint versions and their checkpoints, in canonical order.
    pub checkpoints: Vec<(u32, u32)>,
}

type Kept<T> = RwLock<HashMap<u32, Arc<T>>>;

/// The cache.
#[derive(Debug, Default)]
pub struct Catalog {
    names: Kept<str>,
    model_versions: Kept<ModelVersion>,
    checkpoints: Kept<Checkpoint>,
    checkpoint_versions: Kept<CheckpointVersion>,
    combinations: Kept<Combination>,
}

/// Entries by id; an id that nobody has is absent.
pub type ById<T> = HashMap<u32, Arc<T>>;

fn cached<T: ?Sized>(kept: &Kept<T>, ids: &[u32]) -> (ById<T>, Vec<u32>) {
    let kept = kept.read().unwrap_or_else(PoisonError::into_inner);
    let mut found = HashMap::with_capacity(ids.len());
    let mut missing = Vec::new();
    for id in ids {
        match kept.get(id) {
            Some(entry) => {
                found.insert(*id, Arc::clone(entry));
            }
            None if *id != 0 => missing.push(*id),
            None => {}
        }
    }
    missing.sort_unstable();
    missing.dedup();
    (found, missing)
}

fn keep<T: ?Sized>(kept: &Kept<T>, found: &mut ById<T>, loaded: Vec<(u32, Arc<T>)>) {
    let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
    if kept.len() + loaded.len() > ENTRIES_MAX {
        kept.clear();
    }
    for (id, entry) in loaded {
        found.insert(id, Arc::clone(&entry));
        kept.insert(id, entry);
    }
}

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident, $kept:ident -> $value:ty;)+) => {
        impl Catalog {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self, id: u32) -> Option<Arc<$value>> {
                self.$kept.read().unwrap_or_else(PoisonError::into_inner).get(&id).map(Arc::clone)
            }
        )+}
    };
}

known! {
    /// A simple name, when it is cached.
    known_name, names -> str;
    /// A version of a base model, when it is cached.
    known_model_version, model_versions -> ModelVersion;
    /// A checkpoint, when it is cached.
    known_checkpoint, checkpoints -> Checkpoint;
    /// A version of a checkpoint, when it is cached.
    known_checkpoint_version, checkpoint_versions -> CheckpointVersion;
    /// A combination, when it is cached.
    known_combination, combinations -> Combination;
}

impl Catalog {
    /// Simple names.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn names(&self, snapshot: &Snapshot, ids: &[u32]) -> Result<ById<str>, StoreError> {
        let (mut found, missing) = cached(&self.names, ids);
        if !missing.is_empty() {
            let loaded = snapshot.name_list(&missing).await?;
            keep(&self.names, &mut found, loaded.into_iter().map(|row| (row.id, Arc::from(row.name))).collect());
        }
        Ok(found)
    }

    /// Versions of base models.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn model_versions(&self, snapshot: &Snapshot, ids: &[u32]) -> Result<ById<ModelVersion>, StoreError> {
        let (mut found, missing) = cached(&self.model_versions, ids);
        if !missing.is_empty() {
            let loaded = snapshot.model_version_list(&missing).await?;
            let entry = |(id, model_id, version): (u32, u32, String)| (id, Arc::new(ModelVersion { model_id, version: version.into() }));
            keep(&self.model_versions, &mut found, loaded.into_iter().map(entry).collect());
        }
        Ok(found)
    }

    /// Checkpoints.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn checkpoints(&self, snapshot: &Snapshot, ids: &[u32]) -> Result<ById<Checkpoint>, StoreError> {
        let (mut found, missing) = cached(&self.checkpoints, ids);
        if !missing.is_empty() {
            let loaded = snapshot.checkpoint_list(&missing).await?;
            let entry = |(id, kind, name): (u32, CheckpointKind, String)| (id, Arc::new(Checkpoint { kind, name: name.into() }));
            keep(&self.checkpoints, &mut found, loaded.into_iter().map(entry).collect());
        }
        Ok(found)
    }

    /// Versions of checkpoints.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn checkpoint_versions(&self, snapshot: &Snapshot, ids: &[u32]) -> Result<ById<CheckpointVersion>, StoreError> {
        let (mut found, missing) = cached(&self.checkpoint_versions, ids);
        if !missing.is_empty() {
            let loaded = snapshot.checkpoint_version_list(&missing).await?;
            let entry = |(id, checkpoint_id, version): (u32, u32, String)| {
                (id, Arc::new(CheckpointVersion { checkpoint_id, version: version.into() }))
            };
            keep(&self.checkpoint_versions, &mut found, loaded.into_iter().map(entry).collect());
        }
        Ok(found)
    }

    /// Combinations.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn combinations(&self, snapshot: &Snapshot, ids: &[u32]) -> Result<ById<Combination>, StoreError> {
        let (mut found, missing) = cached(&self.combinations, ids);
        if missing.is_empty() {
            return Ok(found);
        }
        let loaded = snapshot.combination_list(&missing).await?;
        let models: Vec<u32> = loaded.iter().map(|(_, model_version, ..)| *model_version).collect();
        let models = self.model_versions(snapshot, &models).await?;
        let versions: Vec<u32> = loaded.iter().flat_map(|(.., versions)| versions.iter().copied()).collect();
        let versions = self.checkpoint_versions(snapshot, &versions).await?;
        let mut entries = Vec::with_capacity(loaded.len());
        for (id, model_version_id, label, applied) in loaded {
            let model_id = models.get(&model_version_id).ok_or(StoreError::Inconsistent("combination"))?.model_id;
            let checkpoints = applied
                .into_iter()
                .map(|version| Ok((version, versions.get(&version).ok_or(StoreError::Inconsistent("combination"))?.checkpoint_id)))
                .collect::<Result<_, StoreError>>()?;
            entries.push((id, Arc::new(Combination { model_version_id, model_id, label: label.into(), checkpoints })));
        }
        keep(&self.combinations, &mut found, entries);
        Ok(found)
    }
}
