//! How far back the executions reach that finished in an hour, which tells the later hours that a window has to look at, and how
//! many they are; when they waited and ran, packed.

use sea_orm_migration::prelude::*;

use crate::statements::{execute, keep_dense};

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    "CREATE TABLE execution_reach (hour INTEGER NOT NULL PRIMARY KEY, earliest_at {i64} NOT NULL, executions {i64} NOT NULL)",
    // A pack holds while its hour has as many executions: they only ever become more.
    "CREATE TABLE execution_pack (hour INTEGER NOT NULL PRIMARY KEY, executions {i64} NOT NULL, block {bytes} NOT NULL)",
    "INSERT INTO execution_reach (hour, earliest_at, executions) SELECT finished_at / 3600000000, MIN(COALESCE(queued_at, started_at)), COUNT(*) FROM execution GROUP BY finished_at / 3600000000",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, STATEMENTS).await?;
        keep_dense(manager, "execution_pack", "block").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &["DROP TABLE execution_pack", "DROP TABLE execution_reach"]).await
    }
}
