//! Bytes held in one place from an instant on.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "storage_snapshot")]
pub struct Model {
    /// Key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Instant in microseconds since 1970.
    pub at: i64,
    /// Storage type.
    pub storage_type: i16,
    /// Storage location (its key).
    pub storage_location_id: Option<i32>,
    /// Model version (its key).
    pub model_version_id: Option<i32>,
    /// Checkpoint version (its key).
    pub checkpoint_version_id: Option<i32>,
    /// Size bytes.
    pub size_bytes: i64,
    /// Artifact, storage type and location as one id; every row since it came has one.
    pub place: Option<Uuid>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
