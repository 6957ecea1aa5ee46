//! Cells that one transaction appended.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "cell_delta")]
pub struct Model {
    /// Place in the order of appending.
    #[sea_orm(primary_key, auto_increment = true)]
    pub seq: i64,
    /// Family.
    pub family: i16,
    /// Day.
    pub day: i32,
    /// Created at, in microseconds since 1970.
    pub created_at: i64,
    /// Block.
    pub block: Vec<u8>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
