//! A charge: what is paid for and who pays, as finely as it is kept, and how both are written.
//!
//! Must not know: files, where charges come from.

use std::collections::HashSet;
use std::sync::Arc;

use plimsoll_entity::value::label::{ServiceType, StorageType};
use plimsoll_entity::value::money::{NANOS, decimal, divide};

use crate::breakdown::executions::Reading;
use crate::cell::part::{Key, KeyColumn};
use crate::store::StoreError;

/// Columns of a charge's key.
pub const CHARGE_COLUMNS: usize = 14;
/// Picoseconds of an hour.
const HOUR_PS: i128 = 3_600_000_000_000_000;

/// By what a charge is counted: ids of names, 0 where there is none. Charges are ordered as the fields stand, none last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChargeKey {
    /// Department.
    pub department_id: u32,
    /// Project.
    pub project_id: u32,
    /// Code of the service type + 1.
    pub service_type: u32,
    /// User.
    pub user_id: u32,
    /// Application.
    pub application_id: u32,
    /// Combination of an execution, or of who caused idle time.
    pub combination_id: u32,
    /// Base model version of the bytes that lie or move.
    pub model_version_id: u32,
    /// Checkpoint version of the bytes that lie or move; none: the base model itself.
    pub checkpoint_version_id: u32,
    /// Machine.
    pub vm_id: u32,
    /// Its instance type.
    pub instance_type_id: u32,
    /// Its region.
    pub region_id: u32,
    /// Its provider.
    pub provider_id: u32,
    /// Code of the storage type + 1 where bytes lie or come from.
    pub storage_type: u32,
    /// The location.
    pub storage_location_id: u32,
}

impl ChargeKey {
    /// The key of what a cell is about.
    #[must_use]
    pub fn of(service_type: ServiceType, key: &Key) -> Self {
        let id = |column: KeyColumn| key[column as usize];
        let is_artifact = service_type != ServiceType::Compute;
        Self {
            department_id: id(KeyColumn::Department),
            project_id: id(KeyColumn::Project),
            service_type: service_type as u32 + 1,
            user_id: id(KeyColumn::User),
            application_id: id(KeyColumn::Application),
            combination_id: id(KeyColumn::Combination),
            model_version_id: id(KeyColumn::ModelVersion),
            // A combination names its checkpoints already.
            checkpoint_version_id: if is_artifact { id(KeyColumn::CheckpointVersion) } else { 0 },
            vm_id: id(KeyColumn::Vm),
            instance_type_id: id(KeyColumn::InstanceType),
            region_id: id(KeyColumn::Region),
            provider_id: id(KeyColumn::Provider),
            storage_type: id(KeyColumn::StorageType),
            storage_location_id: id(KeyColumn::StorageLocation),
        }
    }

    /// The fields in order.
    #[must_use]
    pub const fn columns(&self) -> [u32; CHARGE_COLUMNS] {
        [
            self.department_id,
            self.project_id,
            self.service_type,
            self.user_id,
            self.application_id,
            self.combination_id,
            self.model_version_id,
            self.checkpoint_version_id,
            self.vm_id,
            self.instance_type_id,
            self.region_id,
            self.provider_id,
            self.storage_type,
            self.storage_location_id,
        ]
    }

    /// The key of these fields.
    #[must_use]
    pub const fn from_columns(columns: [u32; CHARGE_COLUMNS]) -> Self {
        let [
            department_id,
            project_id,
            service_type,
            user_id,
            application_id,
            combination_id,
            model_version_id,
            checkpoint_version_id,
            vm_id,
            instance_type_id,
            region_id,
            provider_id,
            storage_type,
            storage_location_id,
        ] = columns;
        Self {
            department_id,
            project_id,
            service_type,
            user_id,
            application_id,
            combination_id,
            model_version_id,
            checkpoint_version_id,
            vm_id,
            instance_type_id,
            region_id,
            provider_id,
            storage_type,
            storage_location_id,
        }
    }

    /// What is paid for.
    #[must_use]
    pub fn service(&self) -> Option<ServiceType> {
        code(self.service_type).and_then(ServiceType::from_code)
    }
}

impl Ord for ChargeKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // None is 0 and becomes the largest.
        let order = |key: &Self| key.columns().map(|id| id.wrapping_sub(1));
        order(self).cmp(&order(other))
    }
}

impl PartialOrd for ChargeKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn code(id: u32) -> Option<i16> {
    i16::try_from(id).ok()?.checked_sub(1)
}

/// A text that may not be known.
pub type Text = Option<Arc<str>>;

/// The texts of a charge's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChargeTexts {
    /// Department.
    pub department: Text,
    /// Project.
    pub project: Text,
    /// `COMPUTE`, `STORAGE` or `TRANSFER`.
    pub service_type: Text,
    /// User.
    pub user: Text,
    /// Application.
    pub application: Text,
    /// Base model.
    pub model: Text,
    /// Version of the base model.
    pub model_version: Text,
    /// Checkpoints applied together, or the one whose bytes they are: `anime 3 + depth 1`.
    pub checkpoints: Text,
    /// Label of the combination.
    pub combination: Text,
    /// Machine.
    pub vm: Text,
    /// Its instance type.
    pub instance_type: Text,
    /// Its region.
    pub region: Text,
    /// Its provider.
    pub provider: Text,
    /// Where bytes lie or come from.
    pub storage_type: Text,
    /// The location.
    pub storage_location: Text,
}

/// Texts of a charge, in the order of the files.
pub const TEXTS: usize = 15;

impl ChargeTexts {
    /// The texts in the order of the files.
    #[must_use]
    pub const fn columns(&self) -> [&Text; TEXTS] {
        [
            &self.service_type,
            &self.department,
            &self.project,
            &self.user,
            &self.application,
            &self.model,
            &self.model_version,
            &self.checkpoints,
            &self.combination,
            &self.vm,
            &self.instance_type,
            &self.region,
            &self.provider,
            &self.storage_type,
            &self.storage_location,
        ]
    }
}

/// The texts of some keys.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn texts(reading: &Reading, keys: &[ChargeKey]) -> Result<Vec<ChargeTexts>, StoreError> {
    let (catalog, snapshot) = (reading.sources().catalog, reading.sources().snapshot);
    let ids = |of: &dyn Fn(&ChargeKey) -> Vec<u32>| Vec::from_iter(keys.iter().flat_map(of).collect::<HashSet<u32>>());
    let combinations = catalog.combinations(snapshot, &ids(&|key| vec![key.combination_id])).await?;
    let mut model_version_ids = ids(&|key| vec![key.model_version_id]);
    model_version_ids.extend(combinations.values().map(|combination| combination.model_version_id));
    let model_versions = catalog.model_versions(snapshot, &model_version_ids).await?;
    let mut version_ids = ids(&|key| vec![key.checkpoint_version_id]);
    version_ids.extend(combinations.values().flat_map(|combination| combination.checkpoints.iter().map(|(version, _)| *version)));
    let versions = catalog.checkpoint_versions(snapshot, &version_ids).await?;
    let checkpoint_ids: Vec<u32> = versions.values().map(|version| version.checkpoint_id).collect();
    let checkpoints = catalog.checkpoints(snapshot, &checkpoint_ids).await?;
    let mut name_ids = ids(&|key| {
        let ChargeKey { department_id, project_id, user_id, application_id, vm_id, .. } = *key;
        let place = [key.instance_type_id, key.region_id, key.provider_id, key.storage_location_id];
        [department_id, project_id, user_id, application_id, vm_id].into_iter().chain(place).collect()
    });
    name_ids.extend(model_versions.values().map(|version| version.model_id));
    let names = catalog.names(snapshot, &name_ids).await?;
    let name = |id: u32| names.get(&id).cloned();
    let checkpoint = |id: &u32| {
        let version = versions.get(id)?;
        Some(format!("{} {}", checkpoints.get(&version.checkpoint_id)?.name, version.version))
    };
    let texts_of = |key: &ChargeKey| {
        let combination = combinations.get(&key.combination_id);
        let model_version = model_versions.get(&combination.map_or(key.model_version_id, |combination| combination.model_version_id));
        let applied: Vec<String> = match combination {
            Some(combination) => combination.checkpoints.iter().filter_map(|(version, _)| checkpoint(version)).collect(),
            None => checkpoint(&key.checkpoint_version_id).into_iter().collect(),
        };
        ChargeTexts {
            department: name(key.department_id),
            project: name(key.project_id),
            service_type: key.service().map(|service_type| service_type.wire().into()),
            user: name(key.user_id),
            application: name(key.application_id),
            model: model_version.and_then(|version| name(version.model_id)),
            model_version: model_version.map(|version| Arc::clone(&version.version)),
            checkpoints: (!applied.is_empty()).then(|| applied.join(" + ").into()),
            combination: combination.map(|combination| Arc::clone(&combination.label)),
            vm: name(key.vm_id),
            instance_type: name(key.instance_type_id),
            region: name(key.region_id),
            provider: name(key.provider_id),
            storage_type: code(key.storage_type).and_then(StorageType::from_code).map(|storage_type| storage_type.wire().into()),
            storage_location: name(key.storage_location_id),
        }
    };
    Ok(keys.iter().map(texts_of).collect())
}

/// A text as a cell of a file that spreadsheets open: what they would take for a formula is quoted by an apostrophe, at its beginning
/// and where a spreadsheet with other separators would begin a cell.
#[must_use]
pub fn cell(text: &str) -> std::borrow::Cow<'_, str> {
    let begins_cell = |at: usize| at == 0 || text[..at].ends_with([';', '\t', '\r', '\n']);
    let quoted = |at: usize| begins_cell(at) && (is_formula(&text[at..]) || (at == 0 && text.starts_with(['\t', '\r', '\n'])));
    if !text.char_indices().any(|(at, _)| quoted(at)) {
        return text.into();
    }
    let mut cell = String::with_capacity(text.len() + 1);
    for (at, character) in text.char_indices() {
        if quoted(at) {
            cell.push('\'');
        }
        cell.push(character);
    }
    cell.into()
}

/// Whether a spreadsheet takes this for a formula, as some do behind white space and quotes.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches(|character: char| character.is_whitespace() || character == '"').starts_with(['=', '+', '-', '@'])
}

/// Time in picoseconds as decimal hours, to the nano.
#[must_use]
pub fn hours(picoseconds: i128) -> String {
    decimal(divide(picoseconds * NANOS, HOUR_PS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_without_a_department_stand_behind_the_others() {
        let key = |department_id, vm_id| ChargeKey { department_id, vm_id, ..ChargeKey::default() };
        let mut keys = [key(0, 1), key(2, 0), key(1, 9), key(2, 7)];
        keys.sort_unstable();
        assert_eq!(keys, [key(1, 9), key(2, 7), key(2, 0), key(0, 1)]);
        assert_eq!(ChargeKey::from_columns(keys[1].columns()), keys[1]);
    }

    #[test]
    fn nothing_is_taken_for_a_formula() {
        for text in ["=1+1", "+1", "-1", "@a", " =1", "\u{a0}=1", "\"=1", "\ta", "\ra", "\na"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for (text, told) in [
            ("a;=1", "a;'=1"),
            ("a; -1;b", "a;' -1;b"),
            ("a\t@b", "a\t'@b"),
            ("a;\"=1", "a;'\"=1"),
            ("a\n=1", "a\n'=1"),
            ("\t=1", "'\t'=1"),
        ] {
            assert_eq!(cell(text), told);
        }
        assert_eq!((cell("a; b=1"), cell(""), cell("'=1")), ("a; b=1".into(), "".into(), "'=1".into()));
    }

    #[test]
    fn hours_are_decimal() {
        assert_eq!([0, HOUR_PS / 3, HOUR_PS * 24].map(hours), ["0.00", "0.333333333", "24.00"]);
    }
}
