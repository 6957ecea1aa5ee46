//! Rate cards, what successful executions are worth, and which months are closed.
//!
//! Rows are only added. Names stand as texts, since a price may be told before anything that bears the name.

use sea_orm_migration::prelude::*;

use crate::statements::execute;

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    "CREATE TABLE rate_card (id {uuid} NOT NULL PRIMARY KEY, effective_from {i64} NOT NULL, currency TEXT NOT NULL, created_at {i64} NOT NULL, created_by TEXT NOT NULL)",
    "CREATE TABLE instance_rate (card_id {uuid} NOT NULL, place INTEGER NOT NULL, instance_type {name} NOT NULL, region {name}, purchase_option SMALLINT, hourly_nanos {i64} NOT NULL, PRIMARY KEY (card_id, place)) {clustered}",
    "CREATE TABLE storage_rate (card_id {uuid} NOT NULL, place INTEGER NOT NULL, storage_type SMALLINT NOT NULL, location {name}, per_gib_month_nanos {i64} NOT NULL, PRIMARY KEY (card_id, place)) {clustered}",
    "CREATE TABLE transfer_rate (card_id {uuid} NOT NULL, place INTEGER NOT NULL, storage_type SMALLINT NOT NULL, location {name}, per_gib_nanos {i64} NOT NULL, PRIMARY KEY (card_id, place)) {clustered}",
    "CREATE TABLE business_value (id {uuid} NOT NULL PRIMARY KEY, effective_from {i64} NOT NULL, model {name}, checkpoint {name}, application {name}, per_success_nanos {i64} NOT NULL, currency TEXT NOT NULL, created_at {i64} NOT NULL, created_by TEXT NOT NULL)",
    // Months counted from the year 0; they are closed in order.
    "CREATE TABLE cost_month (month INTEGER NOT NULL PRIMARY KEY, closed_at {i64} NOT NULL, closed_by TEXT NOT NULL)",
    // How often prices have been added; who adds one or closes a month holds this row.
    "INSERT INTO counter (name, value) VALUES ('prices', 0)",
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
        let tables = ["cost_month", "business_value", "transfer_rate", "storage_rate", "instance_rate", "rate_card"];
        let drops = tables.map(|table| format!("DROP TABLE {table}"));
        execute(manager, &drops.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        execute(manager, &["DELETE FROM counter WHERE name = 'prices'"]).await
    }
}
