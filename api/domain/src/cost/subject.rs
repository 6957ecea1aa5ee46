//! What a recommendation is about, as conditions of the filters of operations.
//!
//! Invariant: a condition names its subject wholly; what has no name has none. Must not know: why something is recommended.

use std::collections::HashSet;
use std::fmt::Write as _;

use plimsoll_entity::value::label::StorageType;

use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::RowKey;
use crate::breakdown::gather::Sources;
use crate::catalog::{ById, Checkpoint, CheckpointVersion, ModelVersion};
use crate::store::StoreError;

/// A condition of a filter, such as `regions: ["eu"]`, and the dimension that it is about.
pub type Condition = (Dimension, String);

/// A filter of those conditions that are about some dimensions, in their order; empty where there is none.
#[must_use]
pub fn filter(conditions: &[Condition], of: &[Dimension]) -> String {
    let of = of.iter().filter_map(|wanted| conditions.iter().find(|(dimension, _)| dimension == wanted));
    of.map(|(_, condition)| condition.as_str()).collect::<Vec<_>>().join(", ")
}

fn id(key: &RowKey, of: Dimension) -> Option<u32> {
    let place = key.by.iter().position(|dimension| *dimension == of)?;
    Some(key.ids[place]).filter(|id| *id != 0)
}

/// Dimensions whose values are names.
const NAMED: [(Dimension, &str); 3] =
    [(Dimension::InstanceType, "instanceTypes"), (Dimension::Region, "regions"), (Dimension::StorageLocation, "storageLocations")];

/// What the conditions of some keys say, by id.
struct Names {
    names: ById<str>,
    model_versions: ById<ModelVersion>,
    versions: ById<CheckpointVersion>,
    checkpoints: ById<Checkpoint>,
}

/// The conditions that choose each key.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn conditions(sources: Sources<'_>, keys: &[RowKey]) -> Result<Vec<Vec<Condition>>, StoreError> {
    let Sources { snapshot, catalog, .. } = sources;
    let ids = |of: Dimension| Vec::from_iter(keys.iter().filter_map(|key| id(key, of)).collect::<HashSet<u32>>());
    let combinations = catalog.combinations(snapshot, &ids(Dimension::Combination)).await?;
    let mut model_version_ids = ids(Dimension::ModelVersion);
    model_version_ids.extend(combinations.values().map(|combination| combination.model_version_id));
    let model_versions = catalog.model_versions(snapshot, &model_version_ids).await?;
    let mut version_ids = ids(Dimension::CheckpointVersion);
    version_ids.extend(combinations.values().flat_map(|combination| combination.checkpoints.iter().map(|(version, _)| *version)));
    let versions = catalog.checkpoint_versions(snapshot, &version_ids).await?;
    let checkpoint_ids: Vec<u32> = versions.values().map(|version| version.checkpoint_id).collect();
    let checkpoints = catalog.checkpoints(snapshot, &checkpoint_ids).await?;
    let mut name_ids: Vec<u32> = NAMED.iter().flat_map(|(dimension, _)| ids(*dimension)).collect();
    name_ids.extend(model_versions.values().map(|version| version.model_id));
    let names = Names { names: catalog.names(snapshot, &name_ids).await?, model_versions, versions, checkpoints };
    let of_key = |key: &RowKey| {
        let mut conditions: Vec<Condition> = Vec::new();
        if let Some(combination) = id(key, Dimension::Combination).and_then(|id| combinations.get(&id)) {
            let applied = combination.checkpoints.iter().map(|(version, _)| names.checkpoint_version(*version)).collect::<Option<Vec<_>>>();
            let parts = names.model_version(combination.model_version_id).zip(applied);
            conditions.extend(parts.map(|((model, version), applied)| {
                let applied = applied.join(", ");
                let text = format!("combinations: [{{model: {model}, modelVersion: {version}, checkpoints: [{applied}]}}]");
                (Dimension::Combination, text)
            }));
        }
        if let Some((model, version)) = id(key, Dimension::ModelVersion).and_then(|id| names.model_version(id)) {
            conditions.push((Dimension::Model, format!("models: [{model}]")));
            conditions.push((Dimension::ModelVersion, format!("modelVersions: [{{model: {model}, version: {version}}}]")));
        }
        if let Some(version) = id(key, Dimension::CheckpointVersion).and_then(|id| names.checkpoint_version(id)) {
            conditions.push((Dimension::CheckpointVersion, format!("checkpointVersions: [{version}]")));
        }
        let storage_type = id(key, Dimension::StorageType).and_then(|id| StorageType::from_code(i16::try_from(id).ok()? - 1));
        conditions.extend(storage_type.map(|told| (Dimension::StorageType, format!("storageTypes: [{}]", told.wire()))));
        for (dimension, field) in NAMED {
            let name = id(key, dimension).and_then(|id| names.names.get(&id));
            conditions.extend(name.map(|name| (dimension, format!("{field}: [{}]", string(name)))));
        }
        conditions
    };
    Ok(keys.iter().map(of_key).collect())
}

impl Names {
    /// Base model and version, as strings of GraphQL.
    fn model_version(&self, id: u32) -> Option<(String, String)> {
        let version = self.model_versions.get(&id)?;
        Some((string(self.names.get(&version.model_id)?), string(&version.version)))
    }

    fn checkpoint_version(&self, id: u32) -> Option<String> {
        let version = self.versions.get(&id)?;
        let checkpoint = self.checkpoints.get(&version.checkpoint_id)?;
        let (name, version) = (string(&checkpoint.name), string(&version.version));
        Some(format!("{{kind: {}, name: {name}, version: {version}}}", checkpoint.kind.wire()))
    }
}

/// A text as a string of GraphQL (October 2021, 2.9.4).
fn string(text: &str) -> String {
    let mut string = String::with_capacity(text.len() + 2);
    string.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => string.extend(['\\', character]),
            control if control.is_control() => {
                // Control characters lie below U+00A0: four digits hold them. Writing to a string does not fail.
                let _ = write!(string, "\\u{:04x}", u32::from(control));
            }
            other => string.push(other),
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_strings_of_graphql() {
        assert_eq!(string("a \"b\" \\ \n\u{7f}ä"), "\"a \\\"b\\\" \\\\ \\u000a\\u007fä\"");
    }

    #[test]
    fn a_filter_has_what_its_operation_knows() {
        let conditions =
            [(Dimension::Region, "regions: [\"eu\"]".to_owned()), (Dimension::InstanceType, "instanceTypes: [\"a\"]".to_owned())];
        assert_eq!(filter(&conditions, &[Dimension::InstanceType, Dimension::Region]), "instanceTypes: [\"a\"], regions: [\"eu\"]");
        assert_eq!(filter(&conditions, &[Dimension::Vm]), "");
    }
}
