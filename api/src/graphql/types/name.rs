//! Objects that are hardly more than a name: models, checkpoints, combinations, callers.
//!
//! Each holds an id; what it refers to is loaded in batches.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};
use plimsoll_domain::store::Attribute;

use super::enums::CheckpointKind;
use super::id::NodeKind;
use crate::graphql::loader;

/// Base model.
#[derive(Clone, Copy, Debug)]
pub struct Model(pub u32);

/// Base model.
#[Object]
impl Model {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Model.id(self.0)
    }

    /// Name.
    async fn name(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        loader::name(ctx, self.0).await
    }

    /// Such as TEXT_TO_IMAGE, the newest that an event told; null when never told.
    #[graphql(name = "type")]
    async fn model_type(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        match loader::attribute(ctx, Attribute::ModelType, self.0).await? {
            Some(id) => loader::name(ctx, id).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Version of a base model.
#[derive(Clone, Copy, Debug)]
pub struct ModelVersion(pub u32);

/// Version of a base model.
#[Object]
impl ModelVersion {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::ModelVersion.id(self.0)
    }

    /// The base model.
    async fn model(&self, ctx: &Context<'_>) -> Result<Model> {
        Ok(Model(loader::model_version(ctx, self.0).await?.model_id))
    }

    /// Version; `unversioned` where none was told.
    async fn version(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        Ok(Arc::clone(&loader::model_version(ctx, self.0).await?.version))
    }
}

/// Checkpoint: a LoRA, ControlNet, fine-tune and so on.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint(pub u32);

/// Checkpoint: a LoRA, ControlNet, fine-tune and so on.
#[Object]
impl Checkpoint {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Checkpoint.id(self.0)
    }

    /// What it is to its base model.
    async fn kind(&self, ctx: &Context<'_>) -> Result<CheckpointKind> {
        Ok(loader::checkpoint(ctx, self.0).await?.kind.into())
    }

    /// Name.
    async fn name(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        Ok(Arc::clone(&loader::checkpoint(ctx, self.0).await?.name))
    }
}

/// Version of a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointVersion(pub u32);

/// Version of a checkpoint.
#[Object]
impl CheckpointVersion {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::CheckpointVersion.id(self.0)
    }

    /// The checkpoint.
    async fn checkpoint(&self, ctx: &Context<'_>) -> Result<Checkpoint> {
        Ok(Checkpoint(loader::checkpoint_version(ctx, self.0).await?.checkpoint_id))
    }

    /// Version; `unversioned` where none was told.
    async fn version(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        Ok(Arc::clone(&loader::checkpoint_version(ctx, self.0).await?.version))
    }
}

/// A base model version and the set of checkpoint versions applied together (none: the base model alone).
#[derive(Clone, Copy, Debug)]
pub struct Combination(pub u32);

/// A base model version and the set of checkpoint versions applied together (none: the base model alone).
#[Object]
impl Combination {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Combination.id(self.0)
    }

    /// Such as "sdxl 1.0 + anime 3 + depth 1".
    async fn label(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        Ok(Arc::clone(&loader::combination(ctx, self.0).await?.label))
    }

    /// The base model version.
    async fn model_version(&self, ctx: &Context<'_>) -> Result<ModelVersion> {
        Ok(ModelVersion(loader::combination(ctx, self.0).await?.model_version_id))
    }

    /// The checkpoint versions, ordered by name, version and kind; empty: the base model alone.
    async fn checkpoint_versions(&self, ctx: &Context<'_>) -> Result<Vec<CheckpointVersion>> {
        Ok(loader::combination(ctx, self.0).await?.checkpoints.iter().map(|(version, _)| CheckpointVersion(*version)).collect())
    }
}

/// Calling application.
#[derive(Clone, Copy, Debug)]
pub struct Application(pub u32);

/// Calling application.
#[Object]
impl Application {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Application.id(self.0)
    }

    /// Name.
    async fn name(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        loader::name(ctx, self.0).await
    }
}

/// Person or service that asks for work.
#[derive(Clone, Copy, Debug)]
pub struct User(pub u32);

/// Person or service that asks for work.
#[Object]
impl User {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::User.id(self.0)
    }

    /// Name.
    async fn name(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        loader::name(ctx, self.0).await
    }
}

/// Department.
#[derive(Clone, Copy, Debug)]
pub struct Department(pub u32);

/// Department.
#[Object]
impl Department {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Department.id(self.0)
    }

    /// Name.
    async fn name(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        loader::name(ctx, self.0).await
    }
}

/// Project.
#[derive(Clone, Copy, Debug)]
pub struct Project(pub u32);

/// Project.
#[Object]
impl Project {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Project.id(self.0)
    }

    /// Name.
    async fn name(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        loader::name(ctx, self.0).await
    }

    /// The department that the newest execution of the project named; null when none did.
    async fn department(&self, ctx: &Context<'_>) -> Result<Option<Department>> {
        Ok(loader::attribute(ctx, Attribute::ProjectDepartment, self.0).await?.map(Department))
    }
}
