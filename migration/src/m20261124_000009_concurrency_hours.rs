//! How many executions ran and waited at once in past hours, so that a month need not be swept for each question.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::m20261124_000001_foundation::render;

#[derive(DeriveMigrationName)]
pub struct Migration;

// An hour holds while those that reach into it are as many: they only ever become more.
const TABLE: &str = "CREATE TABLE concurrency_hour (hour INTEGER NOT NULL PRIMARY KEY, executions {i64} NOT NULL, block {bytes} NOT NULL)";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared(&render(TABLE, connection.get_database_backend())).await?;
        if connection.get_database_backend() == DbBackend::Postgres {
            connection.execute_unprepared("ALTER TABLE concurrency_hour ALTER COLUMN block SET STORAGE EXTERNAL").await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE concurrency_hour").await.map(|_| ())
    }
}
