//! Who asked what, and whether it was allowed.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_entry")]
pub struct Model {
    /// Instant in microseconds since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub at: i64,
    /// Key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Subject.
    pub subject: String,
    /// Roles.
    pub roles: String,
    /// Operation.
    pub operation: String,
    /// Fields.
    pub fields: String,
    /// Allowed.
    pub allowed: bool,
    /// Address.
    pub address: Option<String>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
