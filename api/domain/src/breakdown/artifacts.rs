//! What loads brought and storage holds, put into the place of combinations.
//!
//! An **artifact** is a base model version, or one checkpoint version for it; storage may hold a checkpoint of no known base model. For a
//! question it is a combination of that model version and at most that checkpoint, so that dimensions and filters of models and
//! checkpoints work as they do for executions.
//! Invariant: such a combination lives and is numbered within one question only; no table and no list of names ever sees it.

use std::sync::Arc;

use super::BreakdownError;
use super::filter::Filter;
use super::gather::{Gathered, Known, Sources};
use crate::catalog::Combination;
use crate::cell::part::{Key, KeyColumn};
use crate::store::StoreError;

impl Gathered {
    /// Learns what the artifacts mean that were not met yet, and writes their numbers into the keys. Keys without any stay as they are.
    ///
    /// # Errors
    /// [`BreakdownError::Store`] when they cannot be read.
    pub(super) async fn learn_artifacts(&mut self, sources: Sources<'_>, filter: &Filter, keys: &mut [Key]) -> Result<(), BreakdownError> {
        let artifact = |key: &Key| (key[KeyColumn::ModelVersion as usize], key[KeyColumn::CheckpointVersion as usize]);
        let mut new: Vec<(u32, u32)> = Vec::new();
        for key in keys.iter_mut().filter(|key| artifact(key) != (0, 0)) {
            let number = *self.artifacts.entry(artifact(key)).or_insert_with_key(|artifact| {
                new.push(*artifact);
                // 0 stands for none.
                self.known.resize(self.known.len().max(1) + 1, Known::Denied);
                self.known.len() as u32 - 1
            });
            key[KeyColumn::Combination as usize] = number;
        }
        if new.is_empty() {
            return Ok(());
        }
        let (models, checkpoints): (Vec<u32>, Vec<u32>) = new.iter().copied().unzip();
        let models = sources.catalog.model_versions(sources.snapshot, &models).await?;
        let checkpoints = sources.catalog.checkpoint_versions(sources.snapshot, &checkpoints).await?;
        for (model_version_id, version_id) in new {
            let model_id = match model_version_id {
                0 => 0,
                id => models.get(&id).ok_or(StoreError::Inconsistent("artifact"))?.model_id,
            };
            let mut applied = Vec::new();
            if version_id != 0 {
                applied.push((version_id, checkpoints.get(&version_id).ok_or(StoreError::Inconsistent("artifact"))?.checkpoint_id));
            }
            let combination = Combination { model_version_id, model_id, label: Arc::from(""), checkpoints: applied };
            let model_type = sources.model_types.get(&model_id).copied().unwrap_or(0);
            let number = self.artifacts[&(model_version_id, version_id)];
            if filter.allows_combination(number, &combination, model_type) {
                self.known[number as usize] = Known::Allowed { model_version: model_version_id, model: model_id, model_type };
                self.combinations.insert(number, Arc::new(combination));
            }
        }
        Ok(())
    }
}
