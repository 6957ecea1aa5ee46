//! Where bytes lie: the place of each snapshot, the places that there are, and when loads first and last came from each; since when
//! raw rows are kept; the audit log by subject.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::statements::{execute, keep_dense};

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    // An artifact on a storage type at a location, packed into one id: 32 bits of the base model version, 32 of the checkpoint
    // version, 16 of the storage type, 16 that are 0, 32 of the location; 0 where there is none.
    "ALTER TABLE storage_snapshot ADD COLUMN place {uuid}",
    "UPDATE storage_snapshot SET place = {place}",
    "DROP INDEX storage_snapshot_by_at",
    // What holds at an instant, and what changes in a window: each is answered from its index alone.
    "CREATE INDEX storage_snapshot_by_place ON storage_snapshot (place, at, id, size_bytes)",
    "CREATE INDEX storage_snapshot_by_at ON storage_snapshot (at, id, place, size_bytes)",
    "CREATE TABLE storage_place (place {uuid} NOT NULL PRIMARY KEY) {clustered}",
    "INSERT INTO storage_place (place) SELECT DISTINCT place FROM storage_snapshot",
    // What all snapshots of a UTC day come to, a block a day.
    "CREATE TABLE storage_day (day INTEGER NOT NULL PRIMARY KEY, block {bytes} NOT NULL)",
    "CREATE TABLE load_reach (place {uuid} NOT NULL PRIMARY KEY, first_at {i64} NOT NULL, last_at {i64} NOT NULL) {clustered}",
    "INSERT INTO load_reach (place, first_at, last_at) SELECT {place}, MIN(finished_at), MAX(finished_at) FROM checkpoint_load GROUP BY {place}",
    // Cells of loads tell the latest load from here on: those that were made before are made again. 6 is their family.
    "INSERT INTO cell_rebuild (family, day) SELECT DISTINCT 6, finished_at / 86400000000 FROM checkpoint_load WHERE true ON CONFLICT DO NOTHING",
    // Microseconds; 0: everything is kept.
    "INSERT INTO counter (name, value) VALUES ('facts_kept_since', 0), ('samples_kept_since', 0), ('kept_since_set_at', 0) ON CONFLICT DO NOTHING",
    "CREATE INDEX audit_entry_by_subject ON audit_entry (subject, at)",
];

const DROPS: &[&str] = &[
    "DROP INDEX audit_entry_by_subject",
    "DELETE FROM counter WHERE name IN ('facts_kept_since', 'samples_kept_since', 'kept_since_set_at')",
    "DROP TABLE load_reach",
    "DROP TABLE storage_day",
    "DROP TABLE storage_place",
    "DROP INDEX storage_snapshot_by_at",
    "DROP INDEX storage_snapshot_by_place",
    "ALTER TABLE storage_snapshot DROP COLUMN place",
    "CREATE INDEX storage_snapshot_by_at ON storage_snapshot (at)",
];

/// The packed place of a row of `storage_snapshot` or `checkpoint_load`.
const fn place(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => {
            "CAST(LPAD(TO_HEX(COALESCE(model_version_id, 0)), 8, '0') || LPAD(TO_HEX(COALESCE(checkpoint_version_id, 0)), 8, '0') \
             || LPAD(TO_HEX(CAST(storage_type AS INTEGER)), 4, '0') || '0000' || LPAD(TO_HEX(COALESCE(storage_location_id, 0)), 8, '0') AS UUID)"
        }
        _ => {
            "UNHEX(PRINTF('%08x%08x%04x0000%08x', COALESCE(model_version_id, 0), COALESCE(checkpoint_version_id, 0), storage_type, \
             COALESCE(storage_location_id, 0)))"
        }
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let place = place(manager.get_database_backend());
        let statements: Vec<String> = STATEMENTS.iter().map(|statement| statement.replace("{place}", place)).collect();
        execute(manager, &statements.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        keep_dense(manager, "storage_day", "block").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, DROPS).await
    }
}
