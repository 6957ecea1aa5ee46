//! Alert rules.
//!
//! Invariants: whoever changes a rule or an alert holds one row (`alert_rules` of the counters) to the end of the transaction, so that
//! changes come one after the other; its number tells whether rules have changed. Must not know: what a rule means.

use plimsoll_entity::value::label::{Detection, Severity, Signal};
use plimsoll_entity::value::time::Instant;
use sea_orm::QueryResult;
use uuid::Uuid;

use super::audit::SEPARATOR;
use super::{ColumnData, Kind, Rows, Snapshot, StoreError, Value, WriteTx};
use crate::breakdown::dimension::Dimension;
use crate::watch::rule::Rule;

const COLUMNS: &str =
    "id, name, signal, detection, threshold, for_seconds, severity, dimensions, enabled, webhook_url, created_at, deleted_at";

impl WriteTx {
    /// Holds all rules and alerts for this transaction; how often the rules have been changed.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alerts_hold(&mut self) -> Result<i64, StoreError> {
        self.alert_rules_number("UPDATE counter SET value = value WHERE name = 'alert_rules' RETURNING value").await
    }

    /// As [`WriteTx::alerts_hold`], for who changes rules.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_rules_hold(&mut self) -> Result<i64, StoreError> {
        self.alert_rules_number("UPDATE counter SET value = value + 1 WHERE name = 'alert_rules' RETURNING value").await
    }

    async fn alert_rules_number(&mut self, sql: &str) -> Result<i64, StoreError> {
        match self.fetch(sql, &[], &[Kind::Int]).await?.first().map(Vec::as_slice) {
            Some([Value::Int(number)]) => Ok(*number),
            _ => Err(StoreError::Inconsistent("counter of alert rules")),
        }
    }

    /// Writes a rule, in the place of what it was before. What was waited for under it begins anew.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_rule_put(&mut self, rule: &Rule) -> Result<(), StoreError> {
        self.execute("DELETE FROM alert_rule WHERE id = ?", &[Value::Uuid(rule.id)]).await?;
        self.execute("DELETE FROM alert_wait WHERE rule_id = ?", &[Value::Uuid(rule.id)]).await?;
        let int = |value: i64| ColumnData::Ints(vec![Some(value)]);
        let by: Vec<&str> = rule.by.iter().filter_map(|dimension| dimension.wire()).collect();
        let rows = Rows {
            table: "alert_rule",
            count: 1,
            columns: vec![
                ("id", ColumnData::Uuids(vec![Some(rule.id)])),
                ("name", ColumnData::Texts(vec![Some(rule.name.clone())])),
                ("signal", int(rule.signal.code().into())),
                ("detection", int(rule.detection.code().into())),
                ("threshold", ColumnData::Floats(vec![rule.threshold])),
                ("for_seconds", int(rule.for_seconds.into())),
                ("severity", int(rule.severity.code().into())),
                ("dimensions", ColumnData::Texts(vec![Some(by.join(SEPARATOR))])),
                ("enabled", ColumnData::Bools(vec![rule.enabled])),
                ("webhook_url", ColumnData::Texts(vec![rule.webhook_url.clone()])),
                ("created_at", int(rule.created_at.0)),
                ("deleted_at", ColumnData::Ints(vec![rule.deleted_at.map(|at| at.0)])),
            ],
        };
        self.insert(&rows, "").await.map(|_| ())
    }
}

impl Snapshot {
    /// How often rules have been changed.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn alert_rules_number(&self) -> Result<i64, StoreError> {
        self.counter("alert_rules").await
    }

    /// Every rule that has not been deleted, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_rule_list(&self) -> Result<Vec<Rule>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM alert_rule WHERE deleted_at IS NULL ORDER BY created_at, id");
        self.rows(&sql, Vec::new()).await?.iter().map(rule).collect()
    }

    /// Rules by id, deleted ones among them; an id that nobody has is absent.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_rule_fetch(&self, ids: &[Uuid]) -> Result<Vec<Rule>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(super::KEYS_PER_STATEMENT) {
            let places = vec!["?"; ids.len()].join(", ");
            let sql = format!("SELECT {COLUMNS} FROM alert_rule WHERE id IN ({places})");
            let rows = self.rows(&sql, ids.iter().map(|id| (*id).into()).collect()).await?;
            found.extend(rows.iter().map(rule).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(found)
    }

    /// The value of a counter.
    pub(super) async fn counter(&self, name: &'static str) -> Result<i64, StoreError> {
        let rows = self.rows("SELECT value FROM counter WHERE name = ?", vec![name.into()]).await?;
        let row = rows.first().ok_or(StoreError::Inconsistent("counter"))?;
        row.try_get_by_index(0).map_err(StoreError::read)
    }
}

fn rule(row: &QueryResult) -> Result<Rule, StoreError> {
    let read = || -> Result<_, sea_orm::DbErr> {
        let (id, name): (Uuid, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let (signal, detection): (i16, i16) = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
        let (threshold, for_seconds, severity): (Option<f64>, i32, i16) =
            (row.try_get_by_index(4)?, row.try_get_by_index(5)?, row.try_get_by_index(6)?);
        let (dimensions, enabled): (String, bool) = (row.try_get_by_index(7)?, row.try_get_by_index(8)?);
        let webhook_url: Option<String> = row.try_get_by_index(9)?;
        let (created_at, deleted_at): (i64, Option<i64>) = (row.try_get_by_index(10)?, row.try_get_by_index(11)?);
        let by = dimensions.split(SEPARATOR).filter_map(Dimension::from_wire).collect();
        let labels = Signal::from_code(signal).zip(Detection::from_code(detection)).zip(Severity::from_code(severity));
        Ok(labels.map(|((signal, detection), severity)| Rule {
            id,
            name,
            signal,
            detection,
            threshold,
            for_seconds,
            severity,
            by,
            enabled,
            webhook_url,
            created_at: Instant(created_at),
            deleted_at: deleted_at.map(Instant),
        }))
    };
    read().map_err(StoreError::read)?.ok_or(StoreError::Inconsistent("alert rule"))
}
