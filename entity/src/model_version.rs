//! Versions of base models.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "model_version")]
pub struct Model {
    /// Key.
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: i32,
    /// Model (its key).
    pub model_id: i32,
    /// Version.
    pub version: String,
    /// Day on which it first arrived, in days since 1970.
    pub created_day: i32,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
