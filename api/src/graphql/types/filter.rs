//! Filters by name, and their way to ids.
//!
//! All conditions hold together; within a list any one matches. Invariant: a name that nobody has brought matches nothing; an
//! empty list matches nothing.

use std::collections::HashSet;

use async_graphql::{InputObject, Result};
use plimsoll_domain::breakdown::executions::Reading;
use plimsoll_domain::breakdown::filter::{Filter, Ids};
use plimsoll_domain::cell::part::KeyColumn;
use plimsoll_domain::ingest::{event, fingerprint};
use plimsoll_domain::store::{NameDimension, StoreError};
use plimsoll_entity::value::label;

use super::enums::{CheckpointKind, JobState, Outcome, VmState};
use crate::graphql::error::{bad_input, of_store};

/// Entries of one list of a filter.
pub const LIST_ENTRIES_MAX: usize = 1_000;

/// A checkpoint by kind and name.
#[derive(InputObject, Clone, Debug)]
pub struct CheckpointInput {
    /// What it is to its base model.
    pub kind: CheckpointKind,
    /// Name.
    pub name: String,
}

/// A version of a checkpoint.
#[derive(InputObject, Clone, Debug)]
pub struct CheckpointVersionInput {
    /// What it is to its base model.
    pub kind: CheckpointKind,
    /// Name.
    pub name: String,
    /// Version; `unversioned` where none was told.
    pub version: String,
}

/// A version of a base model.
#[derive(InputObject, Clone, Debug)]
pub struct ModelVersionInput {
    /// Name of the base model.
    pub model: String,
    /// Version; `unversioned` where none was told.
    pub version: String,
}

/// A base model version and exactly these checkpoint versions (an empty list: the base model alone).
#[derive(InputObject, Clone, Debug)]
pub struct CombinationInput {
    /// Name of the base model.
    pub model: String,
    /// Version of the base model; `unversioned` where none was told.
    pub model_version: String,
    /// The checkpoint versions, in any order.
    #[graphql(default)]
    pub checkpoints: Vec<CheckpointVersionInput>,
}

/// Which executions count. All conditions hold together; within a list any one matches.
#[derive(InputObject, Clone, Debug, Default)]
pub struct ExecutionFilter {
    /// Types of base models.
    pub model_types: Option<Vec<String>>,
    /// Base models.
    pub models: Option<Vec<String>>,
    /// Base model versions.
    pub model_versions: Option<Vec<ModelVersionInput>>,
    /// Executions that applied any of these checkpoints, in any version.
    pub checkpoints: Option<Vec<CheckpointInput>>,
    /// Executions that applied any of these checkpoint versions.
    pub checkpoint_versions: Option<Vec<CheckpointVersionInput>>,
    /// Combinations.
    pub combinations: Option<Vec<CombinationInput>>,
    /// Applications.
    pub applications: Option<Vec<String>>,
    /// Users.
    pub users: Option<Vec<String>>,
    /// Departments.
    pub departments: Option<Vec<String>>,
    /// Projects.
    pub projects: Option<Vec<String>>,
    /// Machines.
    pub vms: Option<Vec<String>>,
    /// Instance types of the machines when the executions finished.
    pub instance_types: Option<Vec<String>>,
    /// Regions of the machines when the executions finished.
    pub regions: Option<Vec<String>>,
    /// How the executions ended.
    pub outcomes: Option<Vec<Outcome>>,
    /// Error types.
    pub error_types: Option<Vec<String>>,
}

/// Which jobs, by their latest change. All conditions hold together; within a list any one matches.
#[derive(InputObject, Clone, Debug, Default)]
pub struct JobFilter {
    /// States.
    pub states: Option<Vec<JobState>>,
    /// Base models.
    pub models: Option<Vec<String>>,
    /// Jobs that apply any of these checkpoints, in any version.
    pub checkpoints: Option<Vec<CheckpointInput>>,
    /// Users.
    pub users: Option<Vec<String>>,
    /// Applications.
    pub applications: Option<Vec<String>>,
    /// Departments.
    pub departments: Option<Vec<String>>,
    /// Projects.
    pub projects: Option<Vec<String>>,
    /// Machines.
    pub vms: Option<Vec<String>>,
}

/// Which machines count. All conditions hold together; within a list any one matches.
#[derive(InputObject, Clone, Debug, Default)]
pub struct MachineFilter {
    /// Machines.
    pub vms: Option<Vec<String>>,
    /// Instance types.
    pub instance_types: Option<Vec<String>>,
    /// Regions.
    pub regions: Option<Vec<String>>,
    /// Providers.
    pub providers: Option<Vec<String>>,
    /// Newest states; machines without any state have none of them.
    pub states: Option<Vec<VmState>>,
}

pub(super) fn check<T>(field: &str, list: Option<&Vec<T>>) -> Result<()> {
    match list {
        Some(list) if list.len() > LIST_ENTRIES_MAX => {
            Err(bad_input(field, format!("at most {LIST_ENTRIES_MAX} entries in a list of a filter")))
        }
        _ => Ok(()),
    }
}

/// Whether an event could have brought the name; PostgreSQL takes no NUL.
fn is_possible(name: &str) -> bool {
    !name.contains('\0')
}

pub(super) async fn names(reading: &Reading, dimension: NameDimension, field: &str, list: Option<&Vec<String>>) -> Result<Ids> {
    check(field, list)?;
    match list {
        Some(list) => {
            let possible: Vec<String> = list.iter().filter(|name| is_possible(name)).cloned().collect();
            Ok(Some(reading.snapshot.name_ids(dimension, &possible).await.map_err(of_store)?.into_iter().collect()))
        }
        None => Ok(None),
    }
}

impl From<&CheckpointVersionInput> for event::CheckpointVersion {
    fn from(input: &CheckpointVersionInput) -> Self {
        Self { kind: label::CheckpointKind::from(input.kind), name: input.name.clone(), version: input.version.clone() }
    }
}

async fn found<T, F>(field: &str, list: Option<&Vec<T>>, find: F) -> Result<Ids>
where
    F: AsyncFn(&T) -> Result<Option<u32>, StoreError>,
{
    check(field, list)?;
    let Some(list) = list else { return Ok(None) };
    let mut ids = HashSet::new();
    for entry in list {
        ids.extend(find(entry).await.map_err(of_store)?);
    }
    Ok(Some(ids))
}

impl ExecutionFilter {
    /// The filter by ids.
    ///
    /// # Errors
    /// BAD_USER_INPUT for a list that is too long; what the store says.
    pub async fn resolve(&self, reading: &Reading) -> Result<Filter> {
        let snapshot = &reading.snapshot;
        let mut filter = Filter {
            model_types: names(reading, NameDimension::ModelType, "filter.modelTypes", self.model_types.as_ref()).await?,
            models: names(reading, NameDimension::Model, "filter.models", self.models.as_ref()).await?,
            instance_types: names(reading, NameDimension::InstanceType, "filter.instanceTypes", self.instance_types.as_ref()).await?,
            regions: names(reading, NameDimension::Region, "filter.regions", self.regions.as_ref()).await?,
            ..Filter::default()
        };
        filter.model_versions = found("filter.modelVersions", self.model_versions.as_ref(), async |entry| {
            snapshot.model_version_id(&entry.model, &entry.version).await
        })
        .await?;
        filter.checkpoints = found("filter.checkpoints", self.checkpoints.as_ref(), async |entry| {
            if !is_possible(&entry.name) {
                return Ok(None);
            }
            snapshot.checkpoint_id(label::CheckpointKind::from(entry.kind), &entry.name).await
        })
        .await?;
        filter.checkpoint_versions = found("filter.checkpointVersions", self.checkpoint_versions.as_ref(), async |entry| {
            if !is_possible(&entry.name) || !is_possible(&entry.version) {
                return Ok(None);
            }
            snapshot.checkpoint_version_id(label::CheckpointKind::from(entry.kind), &entry.name, &entry.version).await
        })
        .await?;
        filter.combinations = found("filter.combinations", self.combinations.as_ref(), async |entry| {
            let model = event::ModelVersion { model: entry.model.clone(), version: entry.model_version.clone() };
            let mut checkpoints: Vec<event::CheckpointVersion> = entry.checkpoints.iter().map(event::CheckpointVersion::from).collect();
            checkpoints.sort_by(|a, b| a.canonical().cmp(&b.canonical()));
            checkpoints.dedup();
            snapshot.combination_fetch_id(fingerprint(&model, &checkpoints)).await
        })
        .await?;
        let columns = [
            (KeyColumn::Application, NameDimension::Application, "filter.applications", &self.applications),
            (KeyColumn::User, NameDimension::User, "filter.users", &self.users),
            (KeyColumn::Department, NameDimension::Department, "filter.departments", &self.departments),
            (KeyColumn::Project, NameDimension::Project, "filter.projects", &self.projects),
            (KeyColumn::Vm, NameDimension::Vm, "filter.vms", &self.vms),
            (KeyColumn::ErrorType, NameDimension::ErrorType, "filter.errorTypes", &self.error_types),
        ];
        for (column, dimension, field, list) in columns {
            if let Some(ids) = names(reading, dimension, field, list.as_ref()).await? {
                filter.columns.insert(column as usize, ids);
            }
        }
        if let Some(outcomes) = &self.outcomes {
            let codes = outcomes.iter().map(|outcome| label::Outcome::from(*outcome).code() as u32 + 1).collect();
            filter.columns.insert(KeyColumn::Outcome as usize, codes);
        }
        Ok(filter)
    }
}

impl JobFilter {
    /// The filter by ids, and the states that are asked for; none: any.
    ///
    /// # Errors
    /// BAD_USER_INPUT for a list that is too long; what the store says.
    pub async fn resolve(self, reading: &Reading) -> Result<(Filter, Option<Vec<label::JobState>>)> {
        check("filter.states", self.states.as_ref())?;
        let states = self.states.map(|states| states.into_iter().map(label::JobState::from).collect());
        // What it asks about an execution filter can be asked, too.
        let same = ExecutionFilter {
            models: self.models,
            checkpoints: self.checkpoints,
            users: self.users,
            applications: self.applications,
            departments: self.departments,
            projects: self.projects,
            vms: self.vms,
            ..ExecutionFilter::default()
        };
        Ok((same.resolve(reading).await?, states))
    }
}

impl MachineFilter {
    /// The filter by ids, and the states that are asked for. Machines whose newest state is none of them are left out.
    ///
    /// # Errors
    /// BAD_USER_INPUT for a list that is too long; what the store says.
    pub async fn resolve(&self, reading: &Reading) -> Result<(Filter, Option<Vec<label::VmState>>)> {
        let mut filter = Filter {
            instance_types: names(reading, NameDimension::InstanceType, "filter.instanceTypes", self.instance_types.as_ref()).await?,
            regions: names(reading, NameDimension::Region, "filter.regions", self.regions.as_ref()).await?,
            providers: names(reading, NameDimension::Provider, "filter.providers", self.providers.as_ref()).await?,
            ..Filter::default()
        };
        if let Some(ids) = names(reading, NameDimension::Vm, "filter.vms", self.vms.as_ref()).await? {
            filter.columns.insert(KeyColumn::Vm as usize, ids);
        }
        let states = self.states.as_ref().map(|states| states.iter().copied().map(label::VmState::from).collect());
        Ok((filter, states))
    }

    /// The filter by ids, with the states turned into the machines that are in one of them.
    ///
    /// # Errors
    /// As [`MachineFilter::resolve`].
    pub async fn resolve_machines(&self, reading: &Reading) -> Result<Filter> {
        let (mut filter, states) = self.resolve(reading).await?;
        if let Some(states) = states {
            let in_state = |state: Option<label::VmState>| state.is_some_and(|state| states.contains(&state));
            let mut vms: HashSet<u32> =
                reading.fleet.machines().filter(|(_, machine)| in_state(machine.timeline.state())).map(|(vm, _)| vm).collect();
            if let Some(named) = filter.columns.get(&(KeyColumn::Vm as usize)) {
                vms.retain(|vm| named.contains(vm));
            }
            filter.columns.insert(KeyColumn::Vm as usize, vms);
        }
        Ok(filter)
    }
}
