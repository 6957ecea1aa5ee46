//! Which jobs each commit changed, in the order of commits: what is told of jobs as they change is read from here.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261124_000001_foundation::render;

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
        let connection = manager.get_connection();
        for template in STATEMENTS {
            connection.execute_unprepared(&render(template, connection.get_database_backend())).await?;
        }
        if connection.get_database_backend() == DbBackend::Postgres {
            connection.execute_unprepared("ALTER TABLE job_update ALTER COLUMN entries SET STORAGE EXTERNAL").await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE job_update").await?;
        manager.get_connection().execute_unprepared("DELETE FROM counter WHERE name = 'job_updates_forgotten'").await.map(|_| ())
    }
}
