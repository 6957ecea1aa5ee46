//! What has to be derived again.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "dirty_mark")]
pub struct Model {
    /// Place in the order of appending.
    #[sea_orm(primary_key, auto_increment = true)]
    pub seq: i64,
    /// Kind.
    pub kind: i16,
    /// Subjects.
    pub subjects: Vec<u8>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
