//! The key of a row of a breakdown.

use std::fmt::Write as _;
use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::RowKey;
use plimsoll_entity::value::label;

use super::enums::{ServiceType, StorageType};
use super::name::{Application, Checkpoint, CheckpointVersion, Combination, Department, Model, ModelVersion, Project, User};
use super::vm::{InstanceType, Vm};
use crate::graphql::loader;

/// What a row stands for. Only what was asked for in `by` is set.
#[derive(Clone, Debug)]
pub struct BreakdownKey(pub RowKey);

impl BreakdownKey {
    /// The id of a dimension; none when it was not asked for or is unknown.
    fn of(&self, dimension: Dimension) -> Option<u32> {
        let slot = self.0.by.iter().position(|asked| *asked == dimension)?;
        Some(self.0.ids[slot]).filter(|id| *id != 0)
    }

    async fn name(&self, ctx: &Context<'_>, dimension: Dimension) -> Result<Option<Arc<str>>> {
        match self.of(dimension) {
            Some(id) => loader::name(ctx, id).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What a row stands for. Only what was asked for in `by` is set. A set dimension whose value is unknown or absent is null as well: the base model alone has no checkpoint.
#[Object]
impl BreakdownKey {
    /// Stable for the same key, for a client's cache.
    async fn id(&self) -> ID {
        let mut id = String::from("key");
        for (dimension, value) in self.0.by.iter().zip(self.0.ids) {
            let _ = write!(id, "_{}.{value}", *dimension as u8);
        }
        ID(id)
    }

    /// Type of the base model; null when not asked for or never told.
    async fn model_type(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        self.name(ctx, Dimension::ModelType).await
    }

    /// Base model; null when not asked for.
    async fn model(&self) -> Option<Model> {
        self.of(Dimension::Model).map(Model)
    }

    /// Base model version; null when not asked for.
    async fn model_version(&self) -> Option<ModelVersion> {
        self.of(Dimension::ModelVersion).map(ModelVersion)
    }

    /// Checkpoint; null when not asked for or for the base model alone.
    async fn checkpoint(&self) -> Option<Checkpoint> {
        self.of(Dimension::Checkpoint).map(Checkpoint)
    }

    /// Checkpoint version; null when not asked for or for the base model alone.
    async fn checkpoint_version(&self) -> Option<CheckpointVersion> {
        self.of(Dimension::CheckpointVersion).map(CheckpointVersion)
    }

    /// Combination; null when not asked for.
    async fn combination(&self) -> Option<Combination> {
        self.of(Dimension::Combination).map(Combination)
    }

    /// Application; null when not asked for or unknown.
    async fn application(&self) -> Option<Application> {
        self.of(Dimension::Application).map(Application)
    }

    /// User; null when not asked for or unknown.
    async fn user(&self) -> Option<User> {
        self.of(Dimension::User).map(User)
    }

    /// Department; null when not asked for or unknown.
    async fn department(&self) -> Option<Department> {
        self.of(Dimension::Department).map(Department)
    }

    /// Project; null when not asked for or unknown.
    async fn project(&self) -> Option<Project> {
        self.of(Dimension::Project).map(Project)
    }

    /// Machine; null when not asked for or unknown.
    async fn vm(&self) -> Option<Vm> {
        self.of(Dimension::Vm).map(Vm)
    }

    /// Instance type; null when not asked for or unknown.
    async fn instance_type(&self) -> Option<InstanceType> {
        self.of(Dimension::InstanceType).map(InstanceType)
    }

    /// Region; null when not asked for or unknown.
    async fn region(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        self.name(ctx, Dimension::Region).await
    }

    /// Provider; null when not asked for or unknown.
    async fn provider(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        self.name(ctx, Dimension::Provider).await
    }

    /// Type of storage; null when not asked for.
    async fn storage_type(&self) -> Option<StorageType> {
        let code = i16::try_from(self.of(Dimension::StorageType)?).ok()? - 1;
        label::StorageType::from_code(code).map(StorageType::from)
    }

    /// Location of the storage; null when not asked for or not told.
    async fn storage_location(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        self.name(ctx, Dimension::StorageLocation).await
    }

    /// Error type; null when not asked for or for what has none.
    async fn error_type(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        self.name(ctx, Dimension::ErrorType).await
    }

    /// Whether it is a cost of machines, of bytes that lie or of bytes that move; null when not asked for.
    async fn service_type(&self) -> Option<ServiceType> {
        let code = i16::try_from(self.of(Dimension::ServiceType)?).ok()? - 1;
        label::ServiceType::from_code(code).map(ServiceType::from)
    }
}
