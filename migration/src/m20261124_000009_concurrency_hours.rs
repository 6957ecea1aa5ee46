//! How many executions ran and waited at once in past hours, so that a month need not be swept for each question.

use sea_orm_migration::prelude::*;

use crate::statements::{execute, keep_dense};

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
        execute(manager, &[TABLE]).await?;
        keep_dense(manager, "concurrency_hour", "block").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &["DROP TABLE concurrency_hour"]).await
    }
}
