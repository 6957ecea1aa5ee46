//! How far back the executions reach that finished in an hour: what tells which later hours a window has to look at.

use sea_orm_migration::prelude::*;

use crate::m20261124_000001_foundation::render;

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    "CREATE TABLE execution_reach (hour INTEGER NOT NULL PRIMARY KEY, earliest_at {i64} NOT NULL)",
    "INSERT INTO execution_reach (hour, earliest_at) SELECT finished_at / 3600000000, MIN(COALESCE(queued_at, started_at)) FROM execution GROUP BY finished_at / 3600000000",
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
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE execution_reach").await.map(|_| ())
    }
}
