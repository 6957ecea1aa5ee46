//! Names that events brought: models, model types, applications, users, departments, projects, machines, instance types, regions, providers, storage locations, error types.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "name")]
pub struct Model {
    /// Key.
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: i32,
    /// Dimension.
    pub dimension: i16,
    /// The name.
    pub name: String,
    /// The name in lower case, for searching.
    pub folded: String,
    /// Day on which it first arrived, in days since 1970.
    pub created_day: i32,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
