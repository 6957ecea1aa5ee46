//! The newest sample of each machine and of each GPU, which no index of the facts finds: those are keyed by instant.

use sea_orm_migration::prelude::*;

use crate::statements::{execute, keep_room};

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    "CREATE TABLE vm_latest (vm_id INTEGER NOT NULL PRIMARY KEY, at {i64} NOT NULL, interval_seconds {f64} NOT NULL, cpu_ratio {f64}, memory_used_bytes {i64}, memory_total_bytes {i64}, disk_used_bytes {i64}, disk_total_bytes {i64}, disk_busy_ratio {f64}, network_received_bytes {i64}, network_sent_bytes {i64}, network_errors {i64}, disk_read_bytes {i64}, disk_written_bytes {i64}, disk_read_ops {i64}, disk_write_ops {i64})",
    "CREATE TABLE gpu_latest (vm_id INTEGER NOT NULL, gpu INTEGER NOT NULL, at {i64} NOT NULL, utilization_ratio {f64}, memory_used_bytes {i64}, memory_total_bytes {i64}, temperature_celsius {f64}, power_watts {f64}, uuid TEXT, name TEXT, PRIMARY KEY (vm_id, gpu)) {clustered}",
    // Samples that came before are told a day at a time by whoever starts next: the day that is next.
    "INSERT INTO counter (name, value) SELECT 'latest_samples_until', 0 WHERE EXISTS (SELECT 1 FROM vm_sample) OR EXISTS (SELECT 1 FROM gpu_sample)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, STATEMENTS).await?;
        keep_room(manager, "vm_latest").await?;
        keep_room(manager, "gpu_latest").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &["DROP TABLE vm_latest", "DROP TABLE gpu_latest", "DELETE FROM counter WHERE name = 'latest_samples_until'"])
            .await
    }
}
