//! Changes of jobs' states.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "job_event")]
pub struct Model {
    /// Instant in microseconds since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub at: i64,
    /// Key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Job key.
    pub job_key: Uuid,
    /// Job.
    pub job: String,
    /// State.
    pub state: i16,
    /// Attempt.
    pub attempt: Option<i32>,
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
}

/// None: rows are joined by batch loaders.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
