//! Measures of machines.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "vm_sample")]
pub struct Model {
    /// Instant in microseconds since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub at: i64,
    /// Vm (its key).
    #[sea_orm(primary_key, auto_increment = false)]
    pub vm_id: i32,
    /// Hash of the content.
    pub hash: i64,
    /// Interval seconds.
    pub interval_seconds: f64,
    /// Cpu ratio.
    pub cpu_ratio: Option<f64>,
    /// Memory used bytes.
    pub memory_used_bytes: Option<i64>,
    /// Memory total bytes.
    pub memory_total_bytes: Option<i64>,
    /// Disk used bytes.
    pub disk_used_bytes: Option<i64>,
    /// Disk total bytes.
    pub disk_total_bytes: Option<i64>,
    /// Disk busy ratio.
    pub disk_busy_ratio: Option<f64>,
    /// Network received bytes.
    pub network_received_bytes: Option<i64>,
    /// Network sent bytes.
    pub network_sent_bytes: Option<i64>,
    /// Network errors.
    pub network_errors: Option<i64>,
    /// Disk read bytes.
    pub disk_read_bytes: Option<i64>,
    /// Disk written bytes.
    pub disk_written_bytes: Option<i64>,
    /// Disk read ops.
    pub disk_read_ops: Option<i64>,
    /// Disk write ops.
    pub disk_write_ops: Option<i64>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
