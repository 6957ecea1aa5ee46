//! Which cells a question takes: filters by ids. Pure.
//!
//! All conditions hold together; within one any id matches. Invariant: a condition on something unknown (id 0) never matches.

use std::collections::{HashMap, HashSet};

use crate::catalog::Combination;
use crate::cell::part::{Key, KeyColumn};

/// Ids of one condition; none: no condition.
pub type Ids = Option<HashSet<u32>>;

/// A filter whose names have been found.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Types of base models.
    pub model_types: Ids,
    /// Base models.
    pub models: Ids,
    /// Base model versions.
    pub model_versions: Ids,
    /// Checkpoints.
    pub checkpoints: Ids,
    /// Checkpoint versions.
    pub checkpoint_versions: Ids,
    /// Combinations.
    pub combinations: Ids,
    /// Applications, users, departments, projects, machines, outcomes (code + 1), error types and, of loads, storage types (code + 1),
    /// storage locations and cache hits by their key column.
    pub columns: HashMap<KeyColumnId, HashSet<u32>>,
    /// Instance types.
    pub instance_types: Ids,
    /// Regions.
    pub regions: Ids,
    /// Providers.
    pub providers: Ids,
}

/// A key column as a map key.
pub type KeyColumnId = usize;

fn allows(ids: &Ids, id: u32) -> bool {
    ids.as_ref().is_none_or(|ids| id != 0 && ids.contains(&id))
}

impl Filter {
    /// Key columns that it asks about.
    #[must_use]
    pub fn columns_used(&self) -> Vec<KeyColumn> {
        let mut used = Vec::new();
        if self.asks_combination() {
            used.push(KeyColumn::Combination);
        }
        if self.asks_place() {
            used.push(KeyColumn::Vm);
        }
        let all = [
            KeyColumn::Application,
            KeyColumn::User,
            KeyColumn::Department,
            KeyColumn::Project,
            KeyColumn::Vm,
            KeyColumn::Outcome,
            KeyColumn::ErrorType,
            KeyColumn::StorageType,
            KeyColumn::StorageLocation,
            KeyColumn::CacheHit,
        ];
        used.extend(all.into_iter().filter(|column| self.columns.contains_key(&(*column as usize))));
        used
    }

    /// Whether it asks about models, checkpoints or combinations.
    #[must_use]
    pub const fn asks_combination(&self) -> bool {
        self.model_types.is_some()
            || self.models.is_some()
            || self.model_versions.is_some()
            || self.checkpoints.is_some()
            || self.checkpoint_versions.is_some()
            || self.combinations.is_some()
    }

    /// Whether it asks about checkpoints.
    #[must_use]
    pub const fn asks_checkpoint(&self) -> bool {
        self.checkpoints.is_some() || self.checkpoint_versions.is_some()
    }

    /// Whether a checkpoint version (and its checkpoint) is one of those that it asks about.
    #[must_use]
    pub fn allows_checkpoint(&self, (version, checkpoint): (u32, u32)) -> bool {
        allows(&self.checkpoint_versions, version) && allows(&self.checkpoints, checkpoint)
    }

    /// Whether it asks about nothing but models, checkpoints, combinations and machines.
    #[must_use]
    pub fn is_of_samples(&self) -> bool {
        self.columns.keys().all(|column| *column == KeyColumn::Vm as usize)
    }

    /// Whether it asks about what is joined from the fleet.
    #[must_use]
    pub const fn asks_place(&self) -> bool {
        self.instance_types.is_some() || self.regions.is_some() || self.providers.is_some()
    }

    /// Whether the columns of a key match.
    #[must_use]
    pub fn allows_key(&self, key: &Key) -> bool {
        self.columns.iter().all(|(column, ids)| key[*column] != 0 && ids.contains(&key[*column]))
    }

    /// Whether a combination matches; `model_type` is that of its model.
    #[must_use]
    pub fn allows_combination(&self, id: u32, combination: &Combination, model_type: u32) -> bool {
        let any = |ids: &Ids, of: fn(&(u32, u32)) -> u32| {
            ids.as_ref().is_none_or(|ids| combination.checkpoints.iter().any(|checkpoint| ids.contains(&of(checkpoint))))
        };
        allows(&self.combinations, id)
            && allows(&self.model_types, model_type)
            && allows(&self.models, combination.model_id)
            && allows(&self.model_versions, combination.model_version_id)
            && any(&self.checkpoint_versions, |checkpoint| checkpoint.0)
            && any(&self.checkpoints, |checkpoint| checkpoint.1)
    }

    /// Whether type, region and provider match.
    #[must_use]
    pub fn allows_place(&self, place: crate::timeline::life::Place) -> bool {
        allows(&self.instance_types, place.instance_type_id)
            && allows(&self.regions, place.region_id)
            && allows(&self.providers, place.provider_id)
    }
}
