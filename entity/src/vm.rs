//! What any event told about a machine's GPUs.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "vm")]
pub struct Model {
    /// Vm (its key).
    #[sea_orm(primary_key, auto_increment = false)]
    pub vm_id: i32,
    /// Gpu index max.
    pub gpu_index_max: Option<i32>,
    /// First touched at, in microseconds since 1970.
    pub first_touch_at: Option<i64>,
    /// Last touched at, in microseconds since 1970.
    pub last_touch_at: Option<i64>,
    /// Memory of one GPU in bytes, by the latest sample that told a total.
    pub gpu_memory_bytes: Option<i64>,
    /// Instant of that sample, in microseconds since 1970.
    pub gpu_memory_at: Option<i64>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
