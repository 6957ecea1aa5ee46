//! Versions of checkpoints.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "checkpoint_version")]
pub struct Model {
    /// Key.
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: i32,
    /// Checkpoint (its key).
    pub checkpoint_id: i32,
    /// Version.
    pub version: String,
    /// Day on which it first arrived, in days since 1970.
    pub created_day: i32,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
