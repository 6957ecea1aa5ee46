//! Changes of machines' states.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "vm_state")]
pub struct Model {
    /// Key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Vm (its key).
    pub vm_id: i32,
    /// Instant in microseconds since 1970.
    pub at: i64,
    /// State.
    pub state: i16,
    /// Instance type (its key).
    pub instance_type_id: Option<i32>,
    /// Provider (its key).
    pub provider_id: Option<i32>,
    /// Region (its key).
    pub region_id: Option<i32>,
    /// Purchase option.
    pub purchase_option: Option<i16>,
    /// V cpus.
    pub v_cpus: Option<i32>,
    /// Memory bytes.
    pub memory_bytes: Option<i64>,
    /// Gpu model.
    pub gpu_model: Option<String>,
    /// Gpu count.
    pub gpu_count: Option<i32>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
