//! Bytes brought to a GPU or a cache.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "checkpoint_load")]
pub struct Model {
    /// Finished at, in microseconds since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub finished_at: i64,
    /// Key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Started at, in microseconds since 1970.
    pub started_at: i64,
    /// Vm (its key).
    pub vm_id: i32,
    /// Storage type.
    pub storage_type: i16,
    /// Storage location (its key).
    pub storage_location_id: Option<i32>,
    /// Cache hit.
    pub cache_hit: bool,
    /// Model version (its key).
    pub model_version_id: i32,
    /// Checkpoint version (its key).
    pub checkpoint_version_id: Option<i32>,
    /// Gpu.
    pub gpu: Option<i32>,
    /// Size bytes.
    pub size_bytes: Option<i64>,
    /// Execution (its key).
    pub execution_id: Option<Uuid>,
    /// Outcome.
    pub outcome: i16,
    /// Error type (its key).
    pub error_type_id: Option<i32>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
