//! Making, changing and deleting rules, and taking alerts.
//!
//! Invariants: each is one transaction that holds all rules and alerts; the alerts of a rule that is no longer evaluated end with the
//! change that says so; a deleted rule is kept. Must not know: who may do so.

use plimsoll_entity::value::label::AlertState;
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::notification::deliveries;
use super::rule::{RULES_MAX, Rule};
use crate::store::{Alert, Store, StoreError, WriteTx};

/// What became of an attempt to make a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is made.
    Done,
    /// There are as many rules as there may be.
    TooMany,
}

/// Makes a rule.
///
/// # Errors
/// [`StoreError`] from the database; then nothing was made.
pub async fn make(store: &Store, rule: &Rule) -> Result<Made, StoreError> {
    let mut tx = store.begin_write().await?;
    tx.alert_rules_hold().await?;
    // Read while nobody else can change rules.
    if store.snapshot().await?.alert_rule_list().await?.len() >= RULES_MAX {
        tx.rollback().await?;
        return Ok(Made::TooMany);
    }
    tx.alert_rule_put(rule).await?;
    tx.commit().await?;
    Ok(Made::Done)
}

/// Puts a rule in the place of what it was; the number of the commit in which its alerts ended, when any did. `change` says what the rule
/// is to be from what it is; none: as it is.
///
/// # Errors
/// [`StoreError`] from the database; then nothing was changed.
pub async fn change(
    store: &Store,
    id: Uuid,
    at: Instant,
    change: impl FnOnce(Rule) -> Option<Rule>,
) -> Result<(Option<Rule>, Option<u64>), StoreError> {
    let mut tx = store.begin_write().await?;
    tx.alert_rules_hold().await?;
    let snapshot = store.snapshot().await?;
    let rule = snapshot.alert_rule_fetch(&[id]).await?.pop().filter(|rule| rule.deleted_at.is_none());
    let Some(rule) = rule.and_then(change) else {
        tx.rollback().await?;
        return Ok((None, None));
    };
    tx.alert_rule_put(&rule).await?;
    let mut number = None;
    if !rule.is_live() {
        let open = snapshot.alert_open_list().await?.into_iter().filter(|alert| alert.rule_id == id).collect();
        let ended = end(&mut tx, at, open).await?;
        number = tell(&mut tx, at, &ended).await?;
    }
    if rule.deleted_at.is_some() {
        tx.alert_series_drop(id).await?;
    }
    tx.commit().await?;
    Ok((Some(rule), number))
}

/// Ends alerts: those that were still open, as they are now.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn end(tx: &mut WriteTx, at: Instant, alerts: Vec<Alert>) -> Result<Vec<Alert>, StoreError> {
    let ids: Vec<Uuid> = alerts.iter().map(|alert| alert.id).collect();
    // Somebody may have taken one since it was read.
    let mut ended = tx.alert_resolve(&ids, at).await?;
    let resolved = |alert: Alert| {
        let acknowledged_by = ended.remove(&alert.id)?;
        Some(Alert { state: AlertState::Resolved, resolved_at: Some(at.max(alert.started_at)), acknowledged_by, ..alert })
    };
    Ok(alerts.into_iter().filter_map(resolved).collect())
}

/// Tells what this commit changed of alerts, those who follow and those who wait for a notice; its number, when it changed any.
///
/// # Errors
/// [`StoreError`] from the database.
pub(super) async fn tell(tx: &mut WriteTx, at: Instant, changed: &[Alert]) -> Result<Option<u64>, StoreError> {
    if changed.is_empty() {
        return Ok(None);
    }
    tx.webhook_enqueue(&deliveries(changed, at)).await?;
    let number = tx.commit_number_take().await?;
    tx.alert_change_append(number, at, changed).await?;
    Ok(Some(number))
}

/// Takes an alert for a person; the alert as it is then, none where there is none, and the number of the commit when this changed it.
///
/// # Errors
/// [`StoreError`] from the database; then nothing was changed.
pub async fn acknowledge(store: &Store, id: Uuid, by: &str, at: Instant) -> Result<(Option<Alert>, Option<u64>), StoreError> {
    let mut tx = store.begin_write().await?;
    tx.alerts_hold().await?;
    let Some(alert) = store.snapshot().await?.alert_fetch(id).await? else {
        tx.rollback().await?;
        return Ok((None, None));
    };
    if !tx.alert_acknowledge(id, by).await? {
        tx.rollback().await?;
        return Ok((Some(alert), None));
    }
    let alert = Alert { state: AlertState::Acknowledged, acknowledged_by: Some(by.to_owned()), ..alert };
    let number = tx.commit_number_take().await?;
    tx.alert_change_append(number, at, std::slice::from_ref(&alert)).await?;
    tx.commit().await?;
    Ok((Some(alert), Some(number)))
}
