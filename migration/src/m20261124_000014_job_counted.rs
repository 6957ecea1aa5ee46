//! Which attempts of a job have been counted: what is left of it when older ones have been dropped must not count again.

use sea_orm_migration::prelude::*;

use crate::statements::execute;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &["ALTER TABLE job ADD COLUMN last_attempt INTEGER", "ALTER TABLE job ADD COLUMN counted_until {i64}"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &["ALTER TABLE job DROP COLUMN counted_until", "ALTER TABLE job DROP COLUMN last_attempt"]).await
    }
}
