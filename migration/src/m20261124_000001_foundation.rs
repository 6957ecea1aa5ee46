//! The first tables: names, facts, event keys, cells, dirty marks, audit.
//!
//! Facts are clustered by time on SQLite (`WITHOUT ROWID`) and partitioned by month on PostgreSQL; the partitions are made by
//! the writer when the first event of a month arrives. Instants are microseconds, 0 never stands for unknown.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::statements::{execute, keep_dense};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Written in the words of both: `{id}` a generated key, `{uuid} {bytes} {i64} {f64} {bool} {name}` types, `{clustered}` and
/// `{by:column}` how facts are laid out.
const TABLES: &[&str] = &[
    // Names that events brought.
    "CREATE TABLE name (id {id}, dimension SMALLINT NOT NULL, name {name} NOT NULL, folded {name} NOT NULL, created_day INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX name_by_name ON name (dimension, name)",
    "CREATE INDEX name_by_day ON name (created_day, dimension)",
    "CREATE TABLE model_version (id {id}, model_id INTEGER NOT NULL, version {name} NOT NULL, created_day INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX model_version_by_name ON model_version (model_id, version)",
    "CREATE TABLE checkpoint (id {id}, kind SMALLINT NOT NULL, name {name} NOT NULL, folded {name} NOT NULL, created_day INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX checkpoint_by_name ON checkpoint (kind, name)",
    "CREATE TABLE checkpoint_version (id {id}, checkpoint_id INTEGER NOT NULL, version {name} NOT NULL, created_day INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX checkpoint_version_by_name ON checkpoint_version (checkpoint_id, version)",
    "CREATE TABLE combination (id {id}, fingerprint {uuid} NOT NULL, model_version_id INTEGER NOT NULL, label {name} NOT NULL, folded {name} NOT NULL, created_day INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX combination_by_fingerprint ON combination (fingerprint)",
    "CREATE TABLE combination_checkpoint (combination_id INTEGER NOT NULL, position SMALLINT NOT NULL, checkpoint_version_id INTEGER NOT NULL, PRIMARY KEY (combination_id, position)) {clustered}",
    "CREATE TABLE vm (vm_id INTEGER NOT NULL PRIMARY KEY, gpu_index_max INTEGER, first_touch_at {i64}, last_touch_at {i64})",
    "CREATE TABLE attribute (kind SMALLINT NOT NULL, subject_id INTEGER NOT NULL, value_id INTEGER NOT NULL, told_at {i64} NOT NULL, told_by {uuid} NOT NULL, PRIMARY KEY (kind, subject_id)) {clustered}",
    // Facts.
    "CREATE TABLE event_key (id {uuid} NOT NULL PRIMARY KEY, hash {i64} NOT NULL, kind SMALLINT NOT NULL, at {i64} NOT NULL) {clustered}",
    "CREATE TABLE execution (finished_at {i64} NOT NULL, id {uuid} NOT NULL, started_at {i64} NOT NULL, queued_at {i64}, job_key {uuid} NOT NULL, job TEXT, attempt INTEGER NOT NULL, combination_id INTEGER NOT NULL, application_id INTEGER, user_id INTEGER, department_id INTEGER, project_id INTEGER, vm_id INTEGER, gpus {bytes}, outcome SMALLINT NOT NULL, error_type_id INTEGER, error_message TEXT, checkpoint_load_ms {f64}, model_init_ms {f64}, inference_ms {f64}, input_bytes {i64}, output_bytes {i64}, gpu_memory_peak_bytes {i64}, cpu_seconds {f64}, PRIMARY KEY (finished_at, id)) {clustered} {by:finished_at}",
    "CREATE INDEX execution_by_job ON execution (job_key)",
    "CREATE TABLE job_event (at {i64} NOT NULL, id {uuid} NOT NULL, job_key {uuid} NOT NULL, job TEXT NOT NULL, state SMALLINT NOT NULL, attempt INTEGER, combination_id INTEGER NOT NULL, application_id INTEGER, user_id INTEGER, department_id INTEGER, project_id INTEGER, vm_id INTEGER, gpus {bytes}, PRIMARY KEY (at, id)) {clustered} {by:at}",
    "CREATE INDEX job_event_by_job ON job_event (job_key)",
    "CREATE TABLE checkpoint_load (finished_at {i64} NOT NULL, id {uuid} NOT NULL, started_at {i64} NOT NULL, vm_id INTEGER NOT NULL, storage_type SMALLINT NOT NULL, storage_location_id INTEGER, cache_hit {bool} NOT NULL, model_version_id INTEGER NOT NULL, checkpoint_version_id INTEGER, gpu INTEGER, size_bytes {i64}, execution_id {uuid}, outcome SMALLINT NOT NULL, error_type_id INTEGER, PRIMARY KEY (finished_at, id)) {clustered} {by:finished_at}",
    "CREATE TABLE vm_state (id {uuid} NOT NULL PRIMARY KEY, vm_id INTEGER NOT NULL, at {i64} NOT NULL, state SMALLINT NOT NULL, instance_type_id INTEGER, provider_id INTEGER, region_id INTEGER, purchase_option SMALLINT, v_cpus INTEGER, memory_bytes {i64}, gpu_model TEXT, gpu_count INTEGER) {clustered}",
    "CREATE INDEX vm_state_by_vm ON vm_state (vm_id, at)",
    "CREATE TABLE vm_sample (at {i64} NOT NULL, vm_id INTEGER NOT NULL, hash {i64} NOT NULL, interval_seconds {f64} NOT NULL, cpu_ratio {f64}, memory_used_bytes {i64}, memory_total_bytes {i64}, disk_used_bytes {i64}, disk_total_bytes {i64}, disk_busy_ratio {f64}, network_received_bytes {i64}, network_sent_bytes {i64}, network_errors {i64}, disk_read_bytes {i64}, disk_written_bytes {i64}, disk_read_ops {i64}, disk_write_ops {i64}, PRIMARY KEY (at, vm_id)) {clustered} {by:at}",
    "CREATE TABLE gpu_sample (at {i64} NOT NULL, vm_id INTEGER NOT NULL, gpu INTEGER NOT NULL, hash {i64} NOT NULL, utilization_ratio {f64}, memory_used_bytes {i64}, memory_total_bytes {i64}, temperature_celsius {f64}, power_watts {f64}, uuid TEXT, name TEXT, PRIMARY KEY (at, vm_id, gpu)) {clustered} {by:at}",
    "CREATE TABLE storage_snapshot (id {uuid} NOT NULL PRIMARY KEY, at {i64} NOT NULL, storage_type SMALLINT NOT NULL, storage_location_id INTEGER, model_version_id INTEGER, checkpoint_version_id INTEGER, size_bytes {i64} NOT NULL) {clustered}",
    "CREATE INDEX storage_snapshot_by_at ON storage_snapshot (at)",
    // What adds up, and what has to be derived again.
    "CREATE TABLE cell_delta (seq {id}, family SMALLINT NOT NULL, day INTEGER NOT NULL, created_at {i64} NOT NULL, block {bytes} NOT NULL)",
    "CREATE INDEX cell_delta_by_day ON cell_delta (family, day)",
    "CREATE TABLE cell (family SMALLINT NOT NULL, grain SMALLINT NOT NULL, bucket INTEGER NOT NULL, part SMALLINT NOT NULL, block {bytes} NOT NULL, PRIMARY KEY (family, grain, bucket, part))",
    "CREATE TABLE dirty_mark (seq {id}, kind SMALLINT NOT NULL, subjects {bytes} NOT NULL)",
    "CREATE TABLE counter (name VARCHAR(40) NOT NULL PRIMARY KEY, value {i64} NOT NULL)",
    "INSERT INTO counter (name, value) VALUES ('fleet_version', 0)",
    // Who asked what.
    "CREATE TABLE audit_entry (at {i64} NOT NULL, id {uuid} NOT NULL, subject TEXT NOT NULL, roles TEXT NOT NULL, operation TEXT NOT NULL, fields TEXT NOT NULL, allowed {bool} NOT NULL, address TEXT, PRIMARY KEY (at, id)) {clustered}",
];

const DROPS: &[&str] = &[
    "audit_entry",
    "counter",
    "dirty_mark",
    "cell",
    "cell_delta",
    "storage_snapshot",
    "gpu_sample",
    "vm_sample",
    "vm_state",
    "checkpoint_load",
    "job_event",
    "execution",
    "event_key",
    "attribute",
    "vm",
    "combination_checkpoint",
    "combination",
    "checkpoint_version",
    "checkpoint",
    "model_version",
    "name",
];

/// The statement in the words of one database.
pub(crate) fn render(template: &str, backend: DbBackend) -> String {
    let postgres = backend == DbBackend::Postgres;
    let words: [(&str, &str); 8] = if postgres {
        [
            ("{id}", "INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
            ("{uuid}", "UUID"),
            ("{bytes}", "BYTEA"),
            ("{i64}", "BIGINT"),
            ("{f64}", "DOUBLE PRECISION"),
            ("{bool}", "BOOLEAN"),
            // Names are ordered by their bytes.
            ("{name}", "TEXT COLLATE \"C\""),
            ("{clustered}", ""),
        ]
    } else {
        [
            ("{id}", "INTEGER PRIMARY KEY AUTOINCREMENT"),
            ("{uuid}", "BLOB"),
            ("{bytes}", "BLOB"),
            ("{i64}", "BIGINT"),
            ("{f64}", "DOUBLE"),
            ("{bool}", "BOOLEAN"),
            ("{name}", "TEXT"),
            ("{clustered}", "WITHOUT ROWID"),
        ]
    };
    let mut sql = template.to_owned();
    if postgres && template.contains("(seq {id}") {
        sql = sql.replace("{id}", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY");
    }
    for (word, with) in words {
        sql = sql.replace(word, with);
    }
    if let Some((head, tail)) = sql.clone().split_once("{by:") {
        let column = tail.trim_end_matches('}');
        sql = if postgres { format!("{head}PARTITION BY RANGE ({column})") } else { head.to_owned() };
    }
    sql
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, TABLES).await?;
        keep_dense(manager, "cell", "block").await?;
        keep_dense(manager, "cell_delta", "block").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in DROPS {
            manager.get_connection().execute_unprepared(&format!("DROP TABLE {table}")).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_rendered() {
        for template in TABLES {
            for backend in [DbBackend::Sqlite, DbBackend::Postgres] {
                let sql = render(template, backend);
                assert!(!sql.contains('{'), "{sql}");
            }
        }
        assert!(render("CREATE TABLE t (a {i64}) {clustered} {by:a}", DbBackend::Postgres).ends_with("PARTITION BY RANGE (a)"));
    }
}
