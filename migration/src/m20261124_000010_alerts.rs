//! Alert rules, the alerts that they found, what each change left, and what the evaluator remembers.
//!
//! A handful of rules is there from the start; who deletes one is not given it again.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::statements::{execute, keep_dense};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// A subject may be longer than an index entry of PostgreSQL, so that its hash is the key.
const STATEMENTS: &[&str] = &[
    "CREATE TABLE alert_rule (id {uuid} NOT NULL PRIMARY KEY, name {name} NOT NULL, signal SMALLINT NOT NULL, detection SMALLINT NOT NULL, threshold {f64}, for_seconds INTEGER NOT NULL, severity SMALLINT NOT NULL, dimensions TEXT NOT NULL, enabled {bool} NOT NULL, webhook_url TEXT, created_at {i64} NOT NULL, deleted_at {i64})",
    "CREATE TABLE alert (id {uuid} NOT NULL PRIMARY KEY, rule_id {uuid} NOT NULL, signal SMALLINT NOT NULL, subject TEXT NOT NULL, subject_key {uuid} NOT NULL, labels TEXT NOT NULL, state SMALLINT NOT NULL, severity SMALLINT NOT NULL, summary TEXT NOT NULL, value {f64} NOT NULL, expected {f64}, low {f64}, high {f64}, started_at {i64} NOT NULL, resolved_at {i64}, acknowledged_by TEXT, rule_name TEXT NOT NULL, webhook_url TEXT)",
    "CREATE INDEX alert_by_start ON alert (started_at, id)",
    "CREATE UNIQUE INDEX alert_by_subject ON alert (rule_id, subject_key) WHERE resolved_at IS NULL",
    "CREATE TABLE alert_wait (rule_id {uuid} NOT NULL, subject_key {uuid} NOT NULL, since {i64} NOT NULL, PRIMARY KEY (rule_id, subject_key))",
    "CREATE TABLE alert_change (number {i64} NOT NULL, place INTEGER NOT NULL, at {i64} NOT NULL, alert_id {uuid} NOT NULL, state SMALLINT NOT NULL, resolved_at {i64}, acknowledged_by TEXT, PRIMARY KEY (number, place))",
    "CREATE TABLE alert_series (rule_id {uuid} NOT NULL, subject_key {uuid} NOT NULL, day INTEGER NOT NULL, points {bytes} NOT NULL, PRIMARY KEY (rule_id, subject_key, day))",
    // How often the rules have changed; who changes anything about alerts holds this row.
    "INSERT INTO counter (name, value) VALUES ('alert_rules', 0)",
    // When rules were last evaluated.
    "INSERT INTO counter (name, value) VALUES ('alerts_evaluated_at', 0)",
    // The newest commit whose change of an alert has been deleted.
    "INSERT INTO counter (name, value) SELECT 'alert_changes_forgotten', value FROM counter WHERE name = 'commits'",
];

struct Rule {
    name: &'static str,
    signal: i16,
    detection: i16,
    threshold: &'static str,
    for_seconds: i32,
    severity: i16,
    by: &'static str,
}

/// With the codes of `plimsoll_entity::value::label`.
const RULES: [Rule; 7] = [
    Rule { name: "Machine does not answer", signal: 6, detection: 0, threshold: "NULL", for_seconds: 60, severity: 2, by: "" },
    Rule { name: "Disk nearly full", signal: 2, detection: 0, threshold: "0.9", for_seconds: 300, severity: 1, by: "" },
    Rule { name: "Memory nearly full", signal: 1, detection: 0, threshold: "0.95", for_seconds: 300, severity: 1, by: "" },
    Rule { name: "GPU too hot", signal: 5, detection: 0, threshold: "88", for_seconds: 120, severity: 1, by: "" },
    Rule { name: "Executions fail", signal: 7, detection: 0, threshold: "0.2", for_seconds: 300, severity: 1, by: "COMBINATION" },
    Rule {
        name: "Execution times are unusual",
        signal: 8,
        detection: 2,
        threshold: "NULL",
        for_seconds: 300,
        severity: 0,
        by: "COMBINATION",
    },
    Rule { name: "Queue times are unusual", signal: 9, detection: 2, threshold: "NULL", for_seconds: 300, severity: 0, by: "" },
];

fn rules(backend: DbBackend) -> Vec<String> {
    let rule = |(index, rule): (usize, &Rule)| {
        // "plimsoll" and a number.
        let id = format!("706c696d736f6c6c80000000000000{:02x}", index + 1);
        let id = if backend == DbBackend::Postgres { format!("'{id}'") } else { format!("x'{id}'") };
        let Rule { name, signal, detection, threshold, for_seconds, severity, by } = rule;
        format!(
            "INSERT INTO alert_rule (id, name, signal, detection, threshold, for_seconds, severity, dimensions, enabled, created_at) \
             VALUES ({id}, '{name}', {signal}, {detection}, {threshold}, {for_seconds}, {severity}, '{by}', TRUE, 0)"
        )
    };
    RULES.iter().enumerate().map(rule).collect()
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, STATEMENTS).await?;
        keep_dense(manager, "alert_series", "points").await?;
        let rules = rules(manager.get_connection().get_database_backend());
        execute(manager, &rules.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drops = ["alert_series", "alert_change", "alert_wait", "alert", "alert_rule"].map(|table| format!("DROP TABLE {table}"));
        execute(manager, &drops.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        execute(manager, &["DELETE FROM counter WHERE name IN ('alert_rules', 'alerts_evaluated_at', 'alert_changes_forgotten')"]).await
    }
}
