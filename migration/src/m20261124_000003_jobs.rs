//! Jobs that are more than one execution.

use sea_orm_migration::prelude::*;

use crate::statements::execute;

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &[&str] = &[
    // Jobs with a change of state or several executions; every other job is its only execution. What begins with `last_` is of the last
    // attempt (null: no execution yet), the rest of the latest change.
    "CREATE TABLE job (job_key {uuid} NOT NULL PRIMARY KEY, job TEXT, changed_at {i64} NOT NULL, state SMALLINT NOT NULL, attempts INTEGER NOT NULL, combination_id INTEGER NOT NULL, application_id INTEGER, user_id INTEGER, department_id INTEGER, project_id INTEGER, vm_id INTEGER, queued_at {i64}, started_at {i64}, finished_at {i64}, executions INTEGER NOT NULL, queue_us {i64}, processing_us {i64} NOT NULL, last_finished_at {i64}, last_outcome SMALLINT, last_error_type_id INTEGER, last_combination_id INTEGER, last_application_id INTEGER, last_user_id INTEGER, last_department_id INTEGER, last_project_id INTEGER, last_vm_id INTEGER) {clustered}",
    "CREATE INDEX job_by_state ON job (state, changed_at DESC, job_key)",
    "CREATE INDEX job_by_end ON job (last_finished_at)",
    // Marks are worked off by kind.
    "CREATE INDEX dirty_mark_by_kind ON dirty_mark (kind, seq)",
    // 1 once a job has been named by a UUID: from then on another event may belong to the job of an execution without a name.
    "INSERT INTO counter (name, value) SELECT 'jobs_named_by_uuid', CASE WHEN EXISTS (SELECT 1 FROM job_event) OR EXISTS (SELECT 1 FROM execution WHERE job IS NOT NULL) THEN 1 ELSE 0 END",
];

const DROPS: &[&str] = &["DELETE FROM counter WHERE name = 'jobs_named_by_uuid'", "DROP INDEX dirty_mark_by_kind", "DROP TABLE job"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, TABLES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, DROPS).await
    }
}
