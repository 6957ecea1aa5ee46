//! Measures of GPUs.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "gpu_sample")]
pub struct Model {
    /// Instant in microseconds since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub at: i64,
    /// Vm (its key).
    #[sea_orm(primary_key, auto_increment = false)]
    pub vm_id: i32,
    /// Gpu.
    #[sea_orm(primary_key, auto_increment = false)]
    pub gpu: i32,
    /// Hash of the content.
    pub hash: i64,
    /// Utilization ratio.
    pub utilization_ratio: Option<f64>,
    /// Memory used bytes.
    pub memory_used_bytes: Option<i64>,
    /// Memory total bytes.
    pub memory_total_bytes: Option<i64>,
    /// Temperature celsius.
    pub temperature_celsius: Option<f64>,
    /// Power watts.
    pub power_watts: Option<f64>,
    /// Uuid.
    pub uuid: Option<String>,
    /// The name.
    pub name: Option<String>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
