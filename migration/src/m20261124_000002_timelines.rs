//! What is derived from neighbouring facts: machine-hours, which days of derived cells hold, and who works in the background.

use sea_orm_migration::prelude::*;

use crate::statements::execute;

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &[&str] = &[
    // The executions of a machine by their start: what a machine-hour is rebuilt from.
    "CREATE INDEX execution_by_vm ON execution (vm_id, started_at)",
    "CREATE INDEX gpu_sample_by_vm ON gpu_sample (vm_id, at)",
    // One rebuilt hour of one machine: its derived cells, and what the next hour has to know of it.
    "CREATE TABLE machine_hour (hour INTEGER NOT NULL, vm_id INTEGER NOT NULL, block {bytes} NOT NULL, carry {bytes} NOT NULL, PRIMARY KEY (hour, vm_id)) {clustered}",
    "CREATE INDEX machine_hour_by_vm ON machine_hour (vm_id, hour)",
    // What the hours of each machine were built with: its lives and their shapes, and from when to when it was touched.
    "CREATE TABLE machine_built (vm_id INTEGER NOT NULL PRIMARY KEY, lives {bytes} NOT NULL, touched_from {i64}, touched_to {i64})",
    // Every hour before this one has been built.
    "INSERT INTO counter (name, value) VALUES ('timeline_next_hour', 0)",
    // Days whose derived cells (of one kind) hold. Whoever changes what they were made from deletes the row.
    "CREATE TABLE derived_day (kind SMALLINT NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (kind, day)) {clustered}",
    // Background work that runs once in the fleet.
    "CREATE TABLE lease (name VARCHAR(40) NOT NULL PRIMARY KEY, holder {uuid} NOT NULL, epoch {i64} NOT NULL, expires_at {i64} NOT NULL)",
    // The memory of one GPU by the machine's latest sample with a total.
    "ALTER TABLE vm ADD COLUMN gpu_memory_bytes {i64}",
    "ALTER TABLE vm ADD COLUMN gpu_memory_at {i64}",
];

const DROPS: &[&str] = &[
    "ALTER TABLE vm DROP COLUMN gpu_memory_at",
    "ALTER TABLE vm DROP COLUMN gpu_memory_bytes",
    "DROP TABLE lease",
    "DROP TABLE derived_day",
    "DROP TABLE machine_built",
    "DROP TABLE machine_hour",
    "DELETE FROM counter WHERE name = 'timeline_next_hour'",
    "DROP INDEX gpu_sample_by_vm",
    "DROP INDEX execution_by_vm",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, TABLES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, DROPS).await
    }
}
