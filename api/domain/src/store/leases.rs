//! Background work that runs once in the fleet: who may do it, and until when.
//!
//! Invariant: an epoch names one holder for ever. Each write of a holder checks its epoch in its own transaction, so that a holder
//! who was thought dead cannot write beside the next, however far the clocks of processes are apart. Must not know: what the work is.

use plimsoll_entity::value::time::{Instant, SECOND_US};
use uuid::Uuid;

use super::{Kind, Store, StoreError, Value, WriteTx};

/// How long a right is taken for: with the longest pause between two looks of a worker, others go on well within half a minute.
pub const LEASE_US: i64 = 20 * SECOND_US;
/// A right is renewed when less than this is left of it: a piece of work may take that long before it is written.
const RENEW_US: i64 = LEASE_US / 2;

/// The right to do one kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The work.
    pub name: &'static str,
    /// Names the holder for ever.
    pub epoch: i64,
}

/// What a worker knows of its right. Whoever asks has work to do: an idle fleet writes nothing.
#[derive(Debug)]
pub struct Leasehold {
    name: &'static str,
    holder: Uuid,
    lease: Option<(Lease, Instant)>,
}

impl Leasehold {
    /// Of some work; `holder` names the worker for ever.
    #[must_use]
    pub const fn new(name: &'static str, holder: Uuid) -> Self {
        Self { name, holder, lease: None }
    }

    /// The right, taken or renewed where that is due; none while another one holds it.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn hold(&mut self, store: &Store, now: Instant) -> Result<Option<Lease>, StoreError> {
        if let Some((lease, until)) = self.lease
            && until.0 - now.0 > RENEW_US
        {
            return Ok(Some(lease));
        }
        let lease = store.lease_take(self.name, self.holder, now, LEASE_US).await?;
        self.lease = lease.map(|lease| (lease, Instant(now.0 + LEASE_US)));
        Ok(lease)
    }

    /// What was held last, be it still so or not.
    #[must_use]
    pub fn last(&self) -> Option<Lease> {
        self.lease.map(|(lease, _)| lease)
    }

    /// Asks anew before the next piece of work: the right may have changed hands.
    pub const fn doubt(&mut self) {
        self.lease = None;
    }

    /// Gives the right back, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn release(&mut self, store: &Store) -> Result<(), StoreError> {
        match self.lease.take() {
            Some((lease, _)) => store.lease_release(lease).await,
            None => Ok(()),
        }
    }
}

impl Store {
    /// Takes or renews the right to do some work until `now` + `length_us`; none while another one holds it.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn lease_take(&self, name: &'static str, holder: Uuid, now: Instant, length_us: i64) -> Result<Option<Lease>, StoreError> {
        let mut tx = self.begin_write().await?;
        let make = "INSERT INTO lease (name, holder, epoch, expires_at) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING";
        tx.execute(make, &[Value::Text(name.to_owned()), Value::Uuid(holder)]).await?;
        // Whoever comes first takes it; the other one then finds it taken.
        let take = "UPDATE lease SET epoch = CASE WHEN holder = ? AND epoch > 0 THEN epoch ELSE epoch + 1 END, holder = ?, expires_at = ? \
             WHERE name = ? AND (holder = ? OR expires_at <= ?)";
        let values = [
            Value::Uuid(holder),
            Value::Uuid(holder),
            Value::Int(now.0.saturating_add(length_us)),
            Value::Text(name.to_owned()),
            Value::Uuid(holder),
            Value::Int(now.0),
        ];
        if tx.execute(take, &values).await? == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        let rows = tx.fetch("SELECT epoch FROM lease WHERE name = ?", &[Value::Text(name.to_owned())], &[Kind::Int]).await?;
        let Some([Value::Int(epoch)]) = rows.first().map(Vec::as_slice) else { return Err(StoreError::Inconsistent("lease")) };
        let epoch = *epoch;
        tx.commit().await?;
        Ok(Some(Lease { name, epoch }))
    }

    /// Gives the right back, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn lease_release(&self, lease: Lease) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let values = [Value::Text(lease.name.to_owned()), Value::Int(lease.epoch)];
        tx.execute("UPDATE lease SET expires_at = 0 WHERE name = ? AND epoch = ?", &values).await?;
        tx.commit().await
    }
}

impl WriteTx {
    /// Makes sure that the right is still held, and keeps it from changing hands before the transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Contended`] when it has changed hands.
    pub async fn lease_check(&mut self, lease: Lease) -> Result<(), StoreError> {
        let values = [Value::Text(lease.name.to_owned()), Value::Int(lease.epoch)];
        match self.execute("UPDATE lease SET epoch = epoch WHERE name = ? AND epoch = ?", &values).await? {
            1 => Ok(()),
            _ => Err(StoreError::Contended),
        }
    }

    /// As [`WriteTx::lease_check`], and keeps the right until `now` + `length_us`.
    ///
    /// # Errors
    /// [`StoreError::Contended`] when it has changed hands.
    pub async fn lease_extend(&mut self, lease: Lease, now: Instant, length_us: i64) -> Result<(), StoreError> {
        let values = [Value::Int(now.0.saturating_add(length_us)), Value::Text(lease.name.to_owned()), Value::Int(lease.epoch)];
        match self.execute("UPDATE lease SET expires_at = ? WHERE name = ? AND epoch = ?", &values).await? {
            1 => Ok(()),
            _ => Err(StoreError::Contended),
        }
    }
}
