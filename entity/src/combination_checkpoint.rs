//! The checkpoint versions of a combination, in canonical order.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "combination_checkpoint")]
pub struct Model {
    /// Combination (its key).
    #[sea_orm(primary_key, auto_increment = false)]
    pub combination_id: i32,
    /// Position.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i16,
    /// Checkpoint version (its key).
    pub checkpoint_version_id: i32,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
