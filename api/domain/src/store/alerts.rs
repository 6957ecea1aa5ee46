//! Alerts, what they wait for, and each change of them.
//!
//! Invariants: of a rule and a subject one alert is open at most (the database's own index says so); a change is written in the
//! transaction that makes it, under the number of that commit, and never changes. Must not know: when an alert begins or ends.

use std::collections::{BTreeMap, HashMap};

use plimsoll_entity::value::label::{AlertState, Severity, Signal};
use plimsoll_entity::value::time::Instant;
use sea_orm::QueryResult;
use uuid::Uuid;

use super::{ColumnData, Kind, NewestFirst, Page, Rows, Snapshot, StoreError, Value, WriteTx};

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Identity.
    pub id: Uuid,
    /// The rule.
    pub rule_id: Uuid,
    /// What the rule looks at.
    pub signal: Signal,
    /// Whom it is about.
    pub subject: String,
    /// The key of the subject.
    pub subject_key: Uuid,
    /// The parts of the subject by name.
    pub labels: Vec<(String, String)>,
    /// State.
    pub state: AlertState,
    /// How much it mattered to the rule when it began.
    pub severity: Severity,
    /// What is wrong, for people.
    pub summary: String,
    /// The value when it began to alert, in the unit of the signal.
    pub value: f64,
    /// What was expected; none without an expectation.
    pub expected: Option<f64>,
    /// The least and the greatest value that would have been expected.
    pub band: Option<(f64, f64)>,
    /// When its condition began to hold.
    pub started_at: Instant,
    /// When its condition ended; none while it holds.
    pub resolved_at: Option<Instant>,
    /// Who has taken it.
    pub acknowledged_by: Option<String>,
    /// The rule's name when it began: notices of its beginning and of its end must name it alike.
    pub rule_name: String,
    /// Where its notices go: the address that the rule had when it began.
    pub webhook_url: Option<String>,
}

/// Whom a rule has looked at.
pub type RuleSubject = (Uuid, Uuid);

/// A change of an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertChange {
    /// Number of its commit.
    pub number: u64,
    /// Place in it.
    pub place: u32,
    /// The alert as the change left it.
    pub alert: Alert,
}

const COLUMNS: &str = "alert.id, alert.rule_id, alert.signal, alert.subject, alert.subject_key, alert.labels, alert.severity, \
    alert.summary, alert.value, alert.expected, alert.low, alert.high, alert.started_at, alert.rule_name, alert.webhook_url";
/// How many [`COLUMNS`] there are.
const COLUMN_COUNT: usize = 15;

impl WriteTx {
    /// Opens alerts.
    ///
    /// # Errors
    /// [`StoreError`] from the database, also when one of them is open already.
    pub async fn alert_open(&mut self, alerts: &[Alert]) -> Result<(), StoreError> {
        let texts = |of: &dyn Fn(&Alert) -> String| ColumnData::Texts(alerts.iter().map(|alert| Some(of(alert))).collect());
        let ints = |of: &dyn Fn(&Alert) -> i64| ColumnData::Ints(alerts.iter().map(|alert| Some(of(alert))).collect());
        let uuids = |of: &dyn Fn(&Alert) -> Uuid| ColumnData::Uuids(alerts.iter().map(|alert| Some(of(alert))).collect());
        let floats = |of: &dyn Fn(&Alert) -> Option<f64>| ColumnData::Floats(alerts.iter().map(of).collect());
        let rows = Rows {
            table: "alert",
            count: alerts.len(),
            columns: vec![
                ("id", uuids(&|alert| alert.id)),
                ("rule_id", uuids(&|alert| alert.rule_id)),
                ("signal", ints(&|alert| alert.signal.code().into())),
                ("subject", texts(&|alert| alert.subject.clone())),
                ("subject_key", uuids(&|alert| alert.subject_key)),
                ("labels", texts(&|alert| write_labels(&alert.labels))),
                ("state", ints(&|alert| alert.state.code().into())),
                ("severity", ints(&|alert| alert.severity.code().into())),
                ("summary", texts(&|alert| alert.summary.clone())),
                ("value", floats(&|alert| Some(alert.value))),
                ("expected", floats(&|alert| alert.expected)),
                ("low", floats(&|alert| alert.band.map(|(low, _)| low))),
                ("high", floats(&|alert| alert.band.map(|(_, high)| high))),
                ("started_at", ints(&|alert| alert.started_at.0)),
                ("rule_name", texts(&|alert| alert.rule_name.clone())),
                ("webhook_url", ColumnData::Texts(alerts.iter().map(|alert| alert.webhook_url.clone()).collect())),
            ],
        };
        self.insert(&rows, "").await.map(|_| ())
    }

    /// Ends alerts; those of them that were open, each with who had taken it.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_resolve(&mut self, ids: &[Uuid], at: Instant) -> Result<HashMap<Uuid, Option<String>>, StoreError> {
        let first = [Value::Int(AlertState::Resolved.code().into()), Value::Int(at.0)];
        let ids: Vec<Value> = ids.iter().copied().map(Value::Uuid).collect();
        let sql = "UPDATE alert SET state = ?, resolved_at = ? WHERE resolved_at IS NULL AND id {in} RETURNING id, acknowledged_by";
        let ended = self.fetch_in(sql, &first, &ids, &[Kind::Uuid, Kind::Text]).await?;
        let read = |row: &Vec<Value>| match row.as_slice() {
            [Value::Uuid(id), Value::Text(by)] => Ok((*id, Some(by.clone()))),
            [Value::Uuid(id), _] => Ok((*id, None)),
            _ => Err(StoreError::Inconsistent("alert")),
        };
        ended.iter().map(read).collect()
    }

    /// A person takes an alert; whether it was firing.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_acknowledge(&mut self, id: Uuid, by: &str) -> Result<bool, StoreError> {
        let values = [
            Value::Int(AlertState::Acknowledged.code().into()),
            Value::Text(by.to_owned()),
            Value::Uuid(id),
            Value::Int(AlertState::Firing.code().into()),
        ];
        Ok(self.execute("UPDATE alert SET state = ?, acknowledged_by = ? WHERE id = ? AND state = ?", &values).await? == 1)
    }

    /// Tells what this commit, whose number was taken before, changed of alerts: each as it is now.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_change_append(&mut self, number: u64, at: Instant, changed: &[Alert]) -> Result<(), StoreError> {
        let count = changed.len();
        let rows = Rows {
            table: "alert_change",
            count,
            columns: vec![
                ("number", ColumnData::Ints(vec![Some(number.cast_signed()); count])),
                ("place", ColumnData::Ints((0..count as i64).map(Some).collect())),
                ("at", ColumnData::Ints(vec![Some(at.0); count])),
                ("alert_id", ColumnData::Uuids(changed.iter().map(|alert| Some(alert.id)).collect())),
                ("state", ColumnData::Ints(changed.iter().map(|alert| Some(alert.state.code().into())).collect())),
                ("resolved_at", ColumnData::Ints(changed.iter().map(|alert| alert.resolved_at.map(|at| at.0)).collect())),
                ("acknowledged_by", ColumnData::Texts(changed.iter().map(|alert| alert.acknowledged_by.clone()).collect())),
            ],
        };
        self.insert(&rows, "").await.map(|_| ())
    }

    /// Forgets the changes from before an instant, the alerts that had ended before another, and the rules that had been deleted before that
    /// and that no alert names.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_forget(&mut self, changes_before: Instant, alerts_before: Instant) -> Result<(), StoreError> {
        let told = "UPDATE counter SET value = COALESCE((SELECT MAX(number) FROM alert_change WHERE at < ?), value) \
             WHERE name = 'alert_changes_forgotten'";
        self.execute(told, &[Value::Int(changes_before.0)]).await?;
        let forgotten = "DELETE FROM alert_change WHERE number <= (SELECT value FROM counter WHERE name = 'alert_changes_forgotten')";
        self.execute(forgotten, &[]).await?;
        self.execute("DELETE FROM alert WHERE resolved_at < ?", &[Value::Int(alerts_before.0)]).await?;
        let unnamed =
            "DELETE FROM alert_rule WHERE deleted_at < ? AND NOT EXISTS (SELECT 1 FROM alert WHERE alert.rule_id = alert_rule.id)";
        self.execute(unnamed, &[Value::Int(alerts_before.0)]).await.map(|_| ())
    }

    /// Remembers since when conditions have held that do not alert yet.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_wait_begin(&mut self, waits: &[(RuleSubject, Instant)]) -> Result<(), StoreError> {
        let rows = Rows {
            table: "alert_wait",
            count: waits.len(),
            columns: vec![
                ("rule_id", ColumnData::Uuids(waits.iter().map(|((rule, _), _)| Some(*rule)).collect())),
                ("subject_key", ColumnData::Uuids(waits.iter().map(|((_, subject), _)| Some(*subject)).collect())),
                ("since", ColumnData::Ints(waits.iter().map(|(_, since)| Some(since.0)).collect())),
            ],
        };
        self.insert(&rows, super::OR_IGNORE).await.map(|_| ())
    }

    /// Forgets conditions that hold no longer, or alert by now.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_wait_end(&mut self, waits: &[RuleSubject]) -> Result<(), StoreError> {
        let mut by_rule: BTreeMap<Uuid, Vec<Value>> = BTreeMap::new();
        for (rule, subject) in waits {
            by_rule.entry(*rule).or_default().push(Value::Uuid(*subject));
        }
        for (rule, subjects) in by_rule {
            let sql = "DELETE FROM alert_wait WHERE rule_id = ? AND subject_key {in} RETURNING since";
            self.fetch_in(sql, &[Value::Uuid(rule)], &subjects, &[Kind::Int]).await?;
        }
        Ok(())
    }

    /// Notes that the rules have been evaluated.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alerts_evaluated(&mut self, at: Instant) -> Result<(), StoreError> {
        self.execute("UPDATE counter SET value = ? WHERE name = 'alerts_evaluated_at'", &[Value::Int(at.0)]).await.map(|_| ())
    }
}

impl Snapshot {
    /// Alerts of some signals, newest first, then id; `states` none: in any.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_page(
        &self,
        signals: &[Signal],
        states: Option<&[AlertState]>,
        page: &Page<NewestFirst>,
    ) -> Result<Vec<Alert>, StoreError> {
        let mut values: Vec<sea_orm::Value> = Vec::new();
        let mut sql = format!("SELECT {COLUMNS}, state, resolved_at, acknowledged_by FROM alert WHERE ");
        sql.push_str(&within("signal", signals.iter().map(|signal| signal.code()), &mut values));
        if let Some(states) = states {
            sql.push_str(" AND ");
            sql.push_str(&within("state", states.iter().map(|state| state.code()), &mut values));
        }
        for (key, further, next) in [(&page.after, '<', '>'), (&page.before, '>', '<')] {
            if let Some((at, id)) = key {
                // The first bound is one that an index takes.
                sql.push_str(&format!(" AND started_at {further}= ? AND (started_at {further} ? OR id {next} ?)"));
                values.extend([at.0.into(), at.0.into(), (*id).into()]);
            }
        }
        let (by_at, by_id) = if page.backwards { ("ASC", "DESC") } else { ("DESC", "ASC") };
        sql.push_str(&format!(" ORDER BY started_at {by_at}, id {by_id} LIMIT ?"));
        values.push(page.limit.cast_signed().into());
        self.rows(&sql, values).await?.iter().map(alert).collect()
    }

    /// One alert; none when there is none with this id.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_fetch(&self, id: Uuid) -> Result<Option<Alert>, StoreError> {
        let sql = format!("SELECT {COLUMNS}, state, resolved_at, acknowledged_by FROM alert WHERE id = ?");
        self.rows(&sql, vec![id.into()]).await?.first().map(alert).transpose()
    }

    /// Every alert whose condition holds.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_open_list(&self) -> Result<Vec<Alert>, StoreError> {
        let sql = format!("SELECT {COLUMNS}, state, resolved_at, acknowledged_by FROM alert WHERE resolved_at IS NULL");
        self.rows(&sql, Vec::new()).await?.iter().map(alert).collect()
    }

    /// Since when conditions have held that do not alert yet.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_wait_list(&self) -> Result<Vec<(RuleSubject, Instant)>, StoreError> {
        let rows = self.rows("SELECT rule_id, subject_key, since FROM alert_wait", Vec::new()).await?;
        let read = |row: &QueryResult| -> Result<_, sea_orm::DbErr> {
            Ok(((row.try_get_by_index(0)?, row.try_get_by_index(1)?), Instant(row.try_get_by_index(2)?)))
        };
        rows.iter().map(|row| read(row).map_err(StoreError::read)).collect()
    }

    /// Changes of alerts behind a place of a commit, in order.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn alert_change_list(&self, number: u64, place: u32, limit: u64) -> Result<Vec<AlertChange>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, change.state, change.resolved_at, change.acknowledged_by, change.number, change.place \
             FROM alert_change AS change JOIN alert ON alert.id = change.alert_id \
             WHERE change.number > ? OR (change.number = ? AND change.place > ?) ORDER BY change.number, change.place LIMIT ?"
        );
        let number = number.cast_signed();
        let values = vec![number.into(), number.into(), i64::from(place).into(), limit.cast_signed().into()];
        let read = |row: &QueryResult| {
            let number: i64 = row.try_get_by_index(COLUMN_COUNT + 3).map_err(StoreError::read)?;
            let place: i32 = row.try_get_by_index(COLUMN_COUNT + 4).map_err(StoreError::read)?;
            Ok(AlertChange { number: number.unsigned_abs(), place: place.unsigned_abs(), alert: alert(row)? })
        };
        self.rows(&sql, values).await?.iter().map(read).collect()
    }

    /// The newest commit of which it has been forgotten what it changed of alerts.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn alert_changes_forgotten(&self) -> Result<u64, StoreError> {
        self.counter("alert_changes_forgotten").await.map(i64::unsigned_abs)
    }

    /// When the rules were last evaluated; none if never.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn alerts_evaluated_at(&self) -> Result<Option<Instant>, StoreError> {
        Ok(Some(Instant(self.counter("alerts_evaluated_at").await?)).filter(|at| at.0 > 0))
    }
}

/// `column IN (…)`; nothing is within an empty list.
fn within(column: &str, codes: impl Iterator<Item = i16>, values: &mut Vec<sea_orm::Value>) -> String {
    let before = values.len();
    values.extend(codes.map(sea_orm::Value::from));
    match values.len() - before {
        0 => "1 = 0".to_owned(),
        count => format!("{column} IN ({})", vec!["?"; count].join(", ")),
    }
}

fn write_labels(labels: &[(String, String)]) -> String {
    // Texts are always JSON.
    serde_json::to_string(labels).unwrap_or_default()
}

/// An alert from its [`COLUMNS`], state, end and who has taken it.
fn alert(row: &QueryResult) -> Result<Alert, StoreError> {
    let read = || -> Result<_, sea_orm::DbErr> {
        let (signal, severity, state): (i16, i16, i16) =
            (row.try_get_by_index(2)?, row.try_get_by_index(6)?, row.try_get_by_index(COLUMN_COUNT)?);
        let labels: String = row.try_get_by_index(5)?;
        let (low, high): (Option<f64>, Option<f64>) = (row.try_get_by_index(10)?, row.try_get_by_index(11)?);
        let resolved_at: Option<i64> = row.try_get_by_index(COLUMN_COUNT + 1)?;
        let known = Signal::from_code(signal).zip(Severity::from_code(severity)).zip(AlertState::from_code(state));
        let Some(((signal, severity), state)) = known else { return Ok(None) };
        Ok(Some(Alert {
            id: row.try_get_by_index(0)?,
            rule_id: row.try_get_by_index(1)?,
            signal,
            subject: row.try_get_by_index(3)?,
            subject_key: row.try_get_by_index(4)?,
            labels: serde_json::from_str(&labels).unwrap_or_default(),
            state,
            severity,
            summary: row.try_get_by_index(7)?,
            value: row.try_get_by_index(8)?,
            expected: row.try_get_by_index(9)?,
            band: low.zip(high),
            started_at: Instant(row.try_get_by_index(12)?),
            resolved_at: resolved_at.map(Instant),
            acknowledged_by: row.try_get_by_index(COLUMN_COUNT + 2)?,
            rule_name: row.try_get_by_index(13)?,
            webhook_url: row.try_get_by_index(14)?,
        }))
    };
    read().map_err(StoreError::read)?.ok_or(StoreError::Inconsistent("alert"))
}
