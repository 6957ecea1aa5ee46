//! The newest of what events told about a name: a model's type, a project's department.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "attribute")]
pub struct Model {
    /// Kind.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i16,
    /// Subject (its key).
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject_id: i32,
    /// Value (its key).
    pub value_id: i32,
    /// Told at, in microseconds since 1970.
    pub told_at: i64,
    /// Told by.
    pub told_by: Uuid,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
