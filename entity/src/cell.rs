//! Cells of one family and bucket, a row a part.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "cell")]
pub struct Model {
    /// Family.
    #[sea_orm(primary_key, auto_increment = false)]
    pub family: i16,
    /// Grain.
    #[sea_orm(primary_key, auto_increment = false)]
    pub grain: i16,
    /// Bucket.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: i32,
    /// Part.
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i16,
    /// Block.
    pub block: Vec<u8>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
