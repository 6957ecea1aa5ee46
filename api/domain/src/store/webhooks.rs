//! Notices that wait to be delivered: a queue that outlives the process.
//!
//! Invariants: a notice stands here until somebody says that it is done with; the queue has a bound, past which the oldest go; of the
//! notices of one alert to one address only the oldest is due, so that an end never comes before its beginning.
//! Must not know: how notices are sent, when one is tried again.

use plimsoll_entity::value::time::Instant;
use sea_orm::QueryResult;
use uuid::Uuid;

use super::{ColumnData, OR_IGNORE, Rows, Snapshot, StoreError, Value, WriteTx};

/// Notices that wait at most; past it the oldest go.
pub const WEBHOOKS_QUEUED_MAX: u32 = 10_000;

/// A notice of one alert for one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Identity, which the receiver is told.
    pub id: Uuid,
    /// The alert that it is about.
    pub alert_id: Uuid,
    /// Whether it tells that the alert has ended.
    pub is_end: bool,
    /// When the alert changed.
    pub created_at: Instant,
    /// When it is to be sent, or sent again.
    pub due_at: Instant,
    /// How often it has been tried.
    pub attempts: u32,
    /// The receiver's host.
    pub host: String,
    /// Where it goes.
    pub url: String,
    /// What is sent.
    pub body: String,
}

/// The queue at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookQueue {
    /// Notices in it.
    pub length: u64,
    /// When the one that has waited longest was due; it may lie ahead. None when there are none.
    pub oldest_due_at: Option<Instant>,
}

/// That the beginning of an alert does not wait for the same address when this is its end, whatever the clocks said.
const IS_FIRST: &str = "NOT (delivery.is_end AND EXISTS (SELECT 1 FROM webhook_delivery AS beginning WHERE \
    beginning.alert_id = delivery.alert_id AND beginning.url = delivery.url AND NOT beginning.is_end))";

impl WriteTx {
    /// Adds notices, those that stand there already left alone. The oldest go when there are too many; they are counted.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn webhook_enqueue(&mut self, deliveries: &[Delivery]) -> Result<(), StoreError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let texts = |of: &dyn Fn(&Delivery) -> &String| ColumnData::Texts(deliveries.iter().map(|each| Some(of(each).clone())).collect());
        let ints = |of: &dyn Fn(&Delivery) -> i64| ColumnData::Ints(deliveries.iter().map(|each| Some(of(each))).collect());
        let uuids = |of: &dyn Fn(&Delivery) -> Uuid| ColumnData::Uuids(deliveries.iter().map(|each| Some(of(each))).collect());
        let rows = Rows {
            table: "webhook_delivery",
            count: deliveries.len(),
            columns: vec![
                ("id", uuids(&|each| each.id)),
                ("alert_id", uuids(&|each| each.alert_id)),
                ("is_end", ColumnData::Bools(deliveries.iter().map(|each| each.is_end).collect())),
                ("created_at", ints(&|each| each.created_at.0)),
                ("due_at", ints(&|each| each.due_at.0)),
                ("attempts", ints(&|each| each.attempts.into())),
                ("host", texts(&|each| &each.host)),
                ("url", texts(&|each| &each.url)),
                ("body", texts(&|each| &each.body)),
            ],
        };
        self.insert(&rows, OR_IGNORE).await?;
        // As many as are kept, counted from the newest; SQLite knows no offset without a limit.
        let drop = "DELETE FROM webhook_delivery WHERE id IN \
            (SELECT id FROM webhook_delivery ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?)";
        let dropped = self.execute(drop, &[Value::Int(i64::from(u32::MAX)), Value::Int(WEBHOOKS_QUEUED_MAX.into())]).await?;
        if dropped > 0 {
            tracing::warn!(dropped, "too many notices wait for webhooks, the oldest go");
            metrics::counter!("plimsoll_webhooks_total", "outcome" => "dropped").increment(dropped);
        }
        Ok(())
    }

    /// Says when a notice is to be tried again, and how often it has been; what else waits for its host is not tried before `host_at`.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn webhook_put_off(&mut self, delivery: &Delivery, due_at: Instant, host_at: Instant) -> Result<(), StoreError> {
        let attempts = delivery.attempts.saturating_add(1);
        let values = [Value::Int(due_at.0), Value::Int(attempts.into()), Value::Uuid(delivery.id)];
        self.execute("UPDATE webhook_delivery SET due_at = ?, attempts = ? WHERE id = ?", &values).await?;
        let values = [Value::Int(host_at.0), Value::Text(delivery.host.clone()), Value::Int(host_at.0)];
        self.execute("UPDATE webhook_delivery SET due_at = ? WHERE host = ? AND due_at < ?", &values).await.map(|_| ())
    }

    /// Removes a notice that is done with.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn webhook_remove(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.execute("DELETE FROM webhook_delivery WHERE id = ?", &[Value::Uuid(id)]).await.map(|_| ())
    }
}

impl Snapshot {
    /// The notices that are due, one a host, those first that have been due for longest.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn webhook_due_list(&self, now: Instant, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let sql = format!(
            "SELECT id, alert_id, created_at, due_at, attempts, host, url, body, is_end FROM \
             (SELECT delivery.*, ROW_NUMBER() OVER (PARTITION BY host ORDER BY due_at, created_at, id) AS place \
             FROM webhook_delivery AS delivery WHERE due_at <= ? AND {IS_FIRST}) AS due \
             WHERE place = 1 ORDER BY due_at, created_at, id LIMIT ?"
        );
        self.rows(&sql, vec![now.0.into(), i64::from(limit).into()]).await?.iter().map(delivery).collect()
    }

    /// The queue at a glance.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn webhook_queue(&self) -> Result<WebhookQueue, StoreError> {
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM webhook_delivery), (SELECT MIN(due_at) FROM webhook_delivery AS delivery WHERE {IS_FIRST})"
        );
        let rows = self.rows(&sql, Vec::new()).await?;
        let row = rows.first().ok_or(StoreError::Inconsistent("count"))?;
        let read = || -> Result<(i64, Option<i64>), sea_orm::DbErr> { Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)) };
        let (length, oldest) = read().map_err(StoreError::read)?;
        Ok(WebhookQueue { length: length.unsigned_abs(), oldest_due_at: oldest.map(Instant) })
    }
}

fn delivery(row: &QueryResult) -> Result<Delivery, StoreError> {
    let read = || -> Result<_, sea_orm::DbErr> {
        let attempts: i32 = row.try_get_by_index(4)?;
        Ok(Delivery {
            id: row.try_get_by_index(0)?,
            alert_id: row.try_get_by_index(1)?,
            created_at: Instant(row.try_get_by_index(2)?),
            due_at: Instant(row.try_get_by_index(3)?),
            attempts: attempts.unsigned_abs(),
            host: row.try_get_by_index(5)?,
            url: row.try_get_by_index(6)?,
            body: row.try_get_by_index(7)?,
            is_end: row.try_get_by_index(8)?,
        })
    };
    read().map_err(StoreError::read)
}
