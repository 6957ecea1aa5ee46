//! Texts of ids and back, as one snapshot has them. A text is unique within its dimension.

use std::collections::{BTreeMap, HashSet};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::RowKey;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::cell::part::KeyColumn;
use plimsoll_domain::ingest::event::{CheckpointVersion, Execution, ModelVersion};
use plimsoll_domain::store::Snapshot;
use plimsoll_entity::value::label::{Outcome, StorageType};

/// A row's key: a text for each dimension, none where unknown.
pub type Key = Vec<Option<String>>;

/// One condition of a filter.
#[derive(Clone, Debug)]
pub enum Condition {
    Any(Dimension, Vec<String>),
    Outcome(Vec<Outcome>),
    CacheHit(bool),
}

#[derive(Default)]
pub struct Directory {
    texts: BTreeMap<(Dimension, u32), String>,
}

pub fn version_text(model: &ModelVersion) -> String {
    format!("{} {}", model.model, model.version)
}

pub fn checkpoint_texts(checkpoint: &CheckpointVersion) -> (String, String) {
    let name = format!("{} {}", checkpoint.kind.wire(), checkpoint.name);
    let version = format!("{name} {}", checkpoint.version);
    (name, version)
}

pub fn combination_text(execution: &Execution) -> String {
    let mut versions: Vec<String> = execution.checkpoints.iter().map(|checkpoint| checkpoint_texts(checkpoint).1).collect();
    versions.sort();
    format!("{} + {versions:?}", version_text(&execution.model))
}

/// Dimensions whose ids are of the table of names.
const SIMPLE: [Dimension; 12] = [
    Dimension::ModelType,
    Dimension::Model,
    Dimension::Application,
    Dimension::User,
    Dimension::Department,
    Dimension::Project,
    Dimension::Vm,
    Dimension::InstanceType,
    Dimension::Region,
    Dimension::Provider,
    Dimension::ErrorType,
    Dimension::StorageLocation,
];

impl Directory {
    pub async fn read(snapshot: &Snapshot) -> Self {
        let ids: Vec<u32> = (1..=2_000).collect();
        let mut directory = Self::default();
        let mut names = BTreeMap::new();
        for row in snapshot.name_list(&ids).await.unwrap() {
            for dimension in SIMPLE {
                directory.texts.insert((dimension, row.id), row.name.clone());
            }
            names.insert(row.id, row.name);
        }
        for (id, model, version) in snapshot.model_version_list(&ids).await.unwrap() {
            directory.texts.insert((Dimension::ModelVersion, id), format!("{} {version}", names[&model]));
        }
        for (id, kind, name) in snapshot.checkpoint_list(&ids).await.unwrap() {
            directory.texts.insert((Dimension::Checkpoint, id), format!("{} {name}", kind.wire()));
        }
        for (id, checkpoint, version) in snapshot.checkpoint_version_list(&ids).await.unwrap() {
            let text = format!("{} {version}", directory.texts[&(Dimension::Checkpoint, checkpoint)]);
            directory.texts.insert((Dimension::CheckpointVersion, id), text);
        }
        for (id, model_version, _, versions) in snapshot.combination_list(&ids).await.unwrap() {
            let mut versions: Vec<&String> = versions.iter().map(|id| &directory.texts[&(Dimension::CheckpointVersion, *id)]).collect();
            versions.sort();
            let text = format!("{} + {versions:?}", directory.texts[&(Dimension::ModelVersion, model_version)]);
            directory.texts.insert((Dimension::Combination, id), text);
        }
        for kind in StorageType::ALL {
            directory.texts.insert((Dimension::StorageType, kind.code() as u32 + 1), kind.wire().to_owned());
        }
        directory
    }

    pub fn text(&self, dimension: Dimension, id: u32) -> Option<String> {
        (id != 0).then(|| self.texts[&(dimension, id)].clone())
    }

    pub fn key(&self, key: &RowKey) -> Key {
        key.by.iter().zip(key.ids).map(|(dimension, id)| self.text(*dimension, id)).collect()
    }

    fn ids(&self, wanted: Dimension, names: &[String]) -> HashSet<u32> {
        let fits = |((dimension, _), text): &(&(Dimension, u32), &String)| *dimension == wanted && names.contains(text);
        self.texts.iter().filter(fits).map(|((_, id), _)| *id).collect()
    }

    pub fn filter(&self, conditions: &[Condition]) -> Filter {
        let mut filter = Filter::default();
        for condition in conditions {
            let (dimension, ids) = match condition {
                Condition::Outcome(outcomes) => {
                    let ids = outcomes.iter().map(|outcome| outcome.code() as u32 + 1).collect();
                    filter.columns.insert(KeyColumn::Outcome as usize, ids);
                    continue;
                }
                Condition::CacheHit(hit) => {
                    filter.columns.insert(KeyColumn::CacheHit as usize, [u32::from(*hit) + 1].into());
                    continue;
                }
                Condition::Any(dimension, names) => (*dimension, self.ids(*dimension, names)),
            };
            match dimension {
                Dimension::ModelType => filter.model_types = Some(ids),
                Dimension::Model => filter.models = Some(ids),
                Dimension::ModelVersion => filter.model_versions = Some(ids),
                Dimension::Checkpoint => filter.checkpoints = Some(ids),
                Dimension::CheckpointVersion => filter.checkpoint_versions = Some(ids),
                Dimension::Combination => filter.combinations = Some(ids),
                Dimension::InstanceType => filter.instance_types = Some(ids),
                Dimension::Region => filter.regions = Some(ids),
                Dimension::Provider => filter.providers = Some(ids),
                other => drop(filter.columns.insert(other.column() as usize, ids)),
            }
        }
        filter
    }
}
