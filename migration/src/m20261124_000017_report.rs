//! What closed months turned out to have cost differently.

use sea_orm_migration::prelude::*;

use crate::statements::{execute, keep_dense};

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    // Differences of earlier months that were booked in each closed month (counted from the year 0).
    "CREATE TABLE cost_correction (month INTEGER NOT NULL PRIMARY KEY, block {bytes} NOT NULL)",
];

const DROPS: &[&str] = &["DROP TABLE cost_correction"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, STATEMENTS).await?;
        keep_dense(manager, "cost_correction", "block").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, DROPS).await
    }
}
