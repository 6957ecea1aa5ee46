//! Finished attempts of jobs.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "execution")]
pub struct Model {
    /// Finished at, in microseconds since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub finished_at: i64,
    /// Key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Started at, in microseconds since 1970.
    pub started_at: i64,
    /// Queued at, in microseconds since 1970.
    pub queued_at: Option<i64>,
    /// Job key.
    pub job_key: Uuid,
    /// Job.
    pub job: Option<String>,
    /// Attempt.
    pub attempt: i32,
    /// Combination (its key).
    pub combination_id: i32,
    /// Application (its key).
    pub application_id: Option<i32>,
    /// User (its key).
    pub user_id: Option<i32>,
    /// Department (its key).
    pub department_id: Option<i32>,
    /// Project (its key).
    pub project_id: Option<i32>,
    /// Vm (its key).
    pub vm_id: Option<i32>,
    /// Gpus.
    pub gpus: Option<Vec<u8>>,
    /// Outcome.
    pub outcome: i16,
    /// Error type (its key).
    pub error_type_id: Option<i32>,
    /// Error message.
    pub error_message: Option<String>,
    /// Checkpoint load ms.
    pub checkpoint_load_ms: Option<f64>,
    /// Model init ms.
    pub model_init_ms: Option<f64>,
    /// Inference ms.
    pub inference_ms: Option<f64>,
    /// Input bytes.
    pub input_bytes: Option<i64>,
    /// Output bytes.
    pub output_bytes: Option<i64>,
    /// Gpu memory peak bytes.
    pub gpu_memory_peak_bytes: Option<i64>,
    /// Cpu seconds.
    pub cpu_seconds: Option<f64>,
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
