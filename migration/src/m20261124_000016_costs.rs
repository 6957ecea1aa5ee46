//! What hours of machines cost, and what prices are found by.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::statements::{execute, keep_dense};

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    // Loads of a machine by their end: what the costs of an hour are made from.
    "CREATE INDEX checkpoint_load_by_vm ON checkpoint_load (vm_id, finished_at)",
    // Parts of the bill of one hour of one machine; machine 0: what finished without a machine. Rows of closed months never change.
    "CREATE TABLE cost_hour (hour INTEGER NOT NULL, vm_id INTEGER NOT NULL, block {bytes} NOT NULL, PRIMARY KEY (hour, vm_id)) {clustered}",
    "CREATE INDEX cost_hour_by_vm ON cost_hour (vm_id, hour)",
    // What hours of closed months would cost by what is known by now.
    "CREATE TABLE cost_late (hour INTEGER NOT NULL, vm_id INTEGER NOT NULL, block {bytes} NOT NULL, PRIMARY KEY (hour, vm_id)) {clustered}",
    // What storage cost in each closed month (counted from the year 0), by place and hour.
    "CREATE TABLE cost_storage (month INTEGER NOT NULL PRIMARY KEY, block {bytes} NOT NULL)",
    // Instance type, place and purchase that the costs of each machine were made with; none: they have to be made.
    "ALTER TABLE machine_built ADD COLUMN billings {bytes}",
    // Executions without a machine that came before: their hours are made by the mark below.
    "INSERT INTO cost_hour (hour, vm_id, block) SELECT DISTINCT finished_at / 3600000000, 0, CAST('' AS {bytes}) FROM execution WHERE vm_id IS NULL",
];

const DROPS: &[&str] = &[
    "ALTER TABLE machine_built DROP COLUMN billings",
    "DROP TABLE cost_storage",
    "DROP TABLE cost_late",
    "DROP TABLE cost_hour",
    "DROP INDEX checkpoint_load_by_vm",
    "DELETE FROM derived_day WHERE kind = 4",
    "DELETE FROM dirty_mark WHERE kind = 4",
    "DELETE FROM cell WHERE family BETWEEN 40 AND 49",
];

/// A mark of prices that names the values of successful executions, in every hour from 1970 on: varints of kind 2, no name, hour 0, and
/// how many hours follow.
const EVERYTHING: &str = "020000feffffff07";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, STATEMENTS).await?;
        let bytes = match manager.get_connection().get_database_backend() {
            DbBackend::Postgres => format!("'\\x{EVERYTHING}'::bytea"),
            _ => format!("x'{EVERYTHING}'"),
        };
        execute(manager, &[&format!("INSERT INTO dirty_mark (kind, subjects) SELECT 4, {bytes} WHERE EXISTS (SELECT 1 FROM cost_hour)")])
            .await?;
        keep_dense(manager, "cost_hour", "block").await?;
        keep_dense(manager, "cost_late", "block").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, DROPS).await
    }
}
