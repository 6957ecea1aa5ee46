//! The days of loads whose cells have to be made of rows, because the loads came before there were cells of them.

use sea_orm_migration::prelude::*;

use crate::statements::execute;

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    "CREATE TABLE cell_rebuild (family SMALLINT NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (family, day))",
    // Both families of loads; a day has 86,400,000,000 microseconds.
    "INSERT INTO cell_rebuild (family, day) SELECT DISTINCT 6, finished_at / 86400000000 FROM checkpoint_load",
    "INSERT INTO cell_rebuild (family, day) SELECT DISTINCT 7, finished_at / 86400000000 FROM checkpoint_load",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, STATEMENTS).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &["DROP TABLE cell_rebuild"]).await
    }
}
