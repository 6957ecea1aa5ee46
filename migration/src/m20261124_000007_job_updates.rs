//! Which jobs each commit changed, in the order of commits: what is told of jobs as they change is read from here.

use sea_orm_migration::prelude::*;

use crate::statements::{execute, keep_dense};

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    "CREATE TABLE job_update (number {i64} NOT NULL, first_index INTEGER NOT NULL, at {i64} NOT NULL, entries {bytes} NOT NULL, PRIMARY KEY (number, first_index))",
    // The newest commit whose row has been deleted: whoever asks for what follows an older one has lost something.
    "INSERT INTO counter (name, value) SELECT 'job_updates_forgotten', value FROM counter WHERE name = 'commits'",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, STATEMENTS).await?;
        keep_dense(manager, "job_update", "entries").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &["DROP TABLE job_update", "DELETE FROM counter WHERE name = 'job_updates_forgotten'"]).await
    }
}
