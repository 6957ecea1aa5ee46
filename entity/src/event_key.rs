//! The identity and content hash of every event that has an id: what decides accepted, duplicate and conflict.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "event_key")]
pub struct Model {
    /// Key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Hash of the content.
    pub hash: i64,
    /// Kind.
    pub kind: i16,
    /// Instant in microseconds since 1970.
    pub at: i64,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
