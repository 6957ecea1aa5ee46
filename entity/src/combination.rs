//! Combinations: a base model version and the set of checkpoint versions applied together.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "combination")]
pub struct Model {
    /// Key.
    #[sea_orm(primary_key, auto_increment = true)]
    pub id: i32,
    /// Fingerprint.
    pub fingerprint: Uuid,
    /// Model version (its key).
    pub model_version_id: i32,
    /// Label.
    pub label: String,
    /// The name in lower case, for searching.
    pub folded: String,
    /// Day on which it first arrived, in days since 1970.
    pub created_day: i32,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
