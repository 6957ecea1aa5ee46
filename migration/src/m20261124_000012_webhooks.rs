//! Notices of alerts that wait to be delivered to webhooks.

use sea_orm_migration::prelude::*;

use crate::statements::execute;

#[derive(DeriveMigrationName)]
pub struct Migration;

const STATEMENTS: &[&str] = &[
    "CREATE TABLE webhook_delivery (id {uuid} NOT NULL PRIMARY KEY, alert_id {uuid} NOT NULL, is_end {bool} NOT NULL, created_at {i64} NOT NULL, due_at {i64} NOT NULL, attempts INTEGER NOT NULL, host TEXT NOT NULL, url TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX webhook_delivery_by_age ON webhook_delivery (created_at, id)",
    "CREATE INDEX webhook_delivery_by_alert ON webhook_delivery (alert_id)",
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
        execute(manager, &["DROP TABLE webhook_delivery"]).await
    }
}
