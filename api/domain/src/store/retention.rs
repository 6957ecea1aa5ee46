//! How far back raw rows are kept, and dropping what is older.
//!
//! Cells, what is derived, states of machines, snapshots of storage and the keys of events stay for ever: a key that stays keeps sending
//! again a duplicate. Invariants: the horizon only moves forward, at first in the counters and a while later in the tables, so that no
//! snapshot that holds an older one finds its rows gone; what reads raw rows asks [`Snapshot::facts_from`] or
//! [`Snapshot::samples_from`] before, so that nobody takes dropped rows for none. Must not know: when rows are old.

use plimsoll_entity::value::time::{DAY_US, Instant};
use sea_orm::QueryResult;

use super::{Kind, LEASE_US, Lease, Snapshot, Store, StoreError, Value, WriteTx};

/// The lock between those who add rows and whoever moves a horizon.
const LOCK: i64 = 0x5245_5445_4e54_0001;
/// Read first of every snapshot.
pub(super) const COUNTERS: &str =
    "SELECT name, value FROM counter WHERE name IN ('facts_kept_since', 'samples_kept_since', 'kept_since_set_at')";
/// How long a partition's lock is waited for: those who read in the meantime wait, too.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '200ms'";

/// What is dropped together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawKind {
    /// Executions, changes of jobs, loads.
    Facts,
    /// Samples of machines and GPUs.
    Samples,
}

/// How far before its start a question about facts may look: rows of facts are dropped so much later than they are told to be.
pub const LOOK_BACK_US: i64 = DAY_US;

/// A table of raw rows: its name, its columns of time and of the rest of its key.
#[derive(Clone, Copy, Debug)]
pub struct RawTable(&'static str, &'static str, &'static str);

impl RawKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Facts, Self::Samples];

    /// Its tables.
    #[must_use]
    pub const fn tables(self) -> &'static [RawTable] {
        match self {
            Self::Facts => &[
                RawTable("execution", "finished_at", "id"),
                RawTable("job_event", "at", "id"),
                RawTable("checkpoint_load", "finished_at", "id"),
            ],
            Self::Samples => &[RawTable("vm_sample", "at", "vm_id"), RawTable("gpu_sample", "at", "vm_id, gpu")],
        }
    }

    /// Before when rows may be dropped that are kept since an instant.
    #[must_use]
    pub const fn dropped_before(self, since: Instant) -> Instant {
        match self {
            Self::Facts => Instant(since.0 - LOOK_BACK_US),
            Self::Samples => since,
        }
    }

    const fn counter(self) -> &'static str {
        match self {
            Self::Facts => "facts_kept_since",
            Self::Samples => "samples_kept_since",
        }
    }
}

/// Since when raw rows are kept; 0: all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Executions, changes of jobs, loads.
    pub facts_since: Instant,
    /// Samples.
    pub samples_since: Instant,
    /// When either moved last.
    pub set_at: Instant,
}

impl Kept {
    /// Since when everything is there that anything is derived from. What is older stays as it was derived, and takes no events.
    #[must_use]
    pub fn derivable_since(self) -> Instant {
        self.facts_since.max(self.samples_since)
    }

    /// Since when a kind is kept.
    #[must_use]
    pub const fn since(self, kind: RawKind) -> Instant {
        match kind {
            RawKind::Facts => self.facts_since,
            RawKind::Samples => self.samples_since,
        }
    }

    fn of(counters: impl Iterator<Item = (String, i64)>) -> Self {
        let mut kept = Self::default();
        for (name, value) in counters {
            match name.as_str() {
                "facts_kept_since" => kept.facts_since = Instant(value),
                "samples_kept_since" => kept.samples_since = Instant(value),
                _ => kept.set_at = Instant(value),
            }
        }
        kept
    }

    pub(super) fn read(rows: &[QueryResult]) -> Result<Self, StoreError> {
        let counter = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        let counters = rows.iter().map(counter).collect::<Result<Vec<_>, sea_orm::DbErr>>().map_err(StoreError::read)?;
        Ok(Self::of(counters.into_iter()))
    }
}

impl Snapshot {
    /// Since when raw rows are kept.
    #[must_use]
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Makes sure that executions, changes of jobs and loads are there from an instant on.
    ///
    /// # Errors
    /// [`StoreError::Dropped`] when some of them have been dropped.
    pub fn facts_from(&self, at: Instant) -> Result<(), StoreError> {
        let since = self.kept.facts_since;
        if at < since { Err(StoreError::Dropped { what: "executions, jobs and loads", since }) } else { Ok(()) }
    }

    /// Makes sure that samples are there from an instant on.
    ///
    /// # Errors
    /// [`StoreError::Dropped`] when some of them have been dropped.
    pub fn samples_from(&self, at: Instant) -> Result<(), StoreError> {
        let since = self.kept.samples_since;
        if at < since { Err(StoreError::Dropped { what: "samples", since }) } else { Ok(()) }
    }
}

impl WriteTx {
    /// Since when raw rows are kept; it stays so until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn kept_hold(&mut self) -> Result<Kept, StoreError> {
        self.lock_shared(LOCK).await?;
        let rows = self.fetch(COUNTERS, &[], &[Kind::Text, Kind::Int]).await?;
        Ok(Kept::of(rows.into_iter().filter_map(|row| match <[Value; 2]>::try_from(row) {
            Ok([Value::Text(name), Value::Int(value)]) => Some((name, value)),
            _ => None,
        })))
    }

    /// Waits until nobody is adding rows; nobody does until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn kept_lock(&mut self) -> Result<(), StoreError> {
        self.lock(LOCK).await
    }

    /// Moves a horizon forward, under [`Self::kept_lock`].
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn kept_since_raise(&mut self, kind: RawKind, since: Instant, now: Instant) -> Result<(), StoreError> {
        let raise = "UPDATE counter SET value = ? WHERE name = ? AND value < ?";
        self.execute(raise, &[Value::Int(since.0), Value::Text(kind.counter().to_owned()), Value::Int(since.0)]).await?;
        self.execute("UPDATE counter SET value = ? WHERE name = 'kept_since_set_at'", &[Value::Int(now.0)]).await.map(|_| ())
    }
}

impl Store {
    /// Drops rows of a table from before an instant: one whole month where there are partitions, else at most `limit` rows; how many
    /// months or rows. 0: nothing is left.
    ///
    /// # Errors
    /// [`StoreError`] from the database; [`StoreError::Contended`] when the table was not to be had at once, or the right has changed hands.
    pub async fn raw_rows_drop(&self, lease: Lease, table: RawTable, before: Instant, limit: u64) -> Result<u64, StoreError> {
        let RawTable(name, at, rest) = table;
        let mut tx = self.begin_write().await?;
        // A run may take longer than the lease.
        tx.lease_extend(lease, self.clock().now(), LEASE_US).await?;
        let dropped = if self.is_partitioned() {
            drop_month(&mut tx, name, before).await
        } else {
            let sql = format!("DELETE FROM {name} WHERE ({at}, {rest}) IN (SELECT {at}, {rest} FROM {name} WHERE {at} < ? LIMIT {limit})");
            tx.execute(&sql, &[Value::Int(before.0)]).await
        };
        match dropped {
            Ok(0) | Err(_) => tx.rollback().await?,
            Ok(_) => tx.commit().await?,
        }
        dropped
    }

    /// Drops executions in other clothes from before an instant.
    ///
    /// # Errors
    /// [`StoreError`] from the database; [`StoreError::Contended`] when the right has changed hands.
    pub async fn execution_packs_drop(&self, lease: Lease, before: Instant) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        tx.lease_check(lease).await?;
        tx.execute("DELETE FROM execution_pack WHERE hour < ?", &[Value::Int(before.hour().into())]).await?;
        tx.commit().await
    }
}

/// The month of a partition, counted as by [`Instant::month`]; none: no partition of ours.
fn month_of(table: &str, partition: &str) -> Option<i32> {
    let (year, month) = partition.strip_prefix(table)?.strip_prefix('_')?.split_once('_')?;
    Some(year.parse::<i32>().ok()? * 12 + month.parse::<i32>().ok()? - 1)
}

async fn drop_month(tx: &mut WriteTx, table: &str, before: Instant) -> Result<u64, StoreError> {
    let sql = "SELECT CAST(c.relname AS TEXT) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent \
         WHERE p.relname = ? AND p.relnamespace = c.relnamespace AND pg_table_is_visible(p.oid) ORDER BY 1";
    let partitions = tx.fetch(sql, &[Value::Text(table.to_owned())], &[Kind::Text]).await?;
    let old = partitions.into_iter().flatten().find_map(|name| match name {
        // A month that ends by then.
        Value::Text(name) if month_of(table, &name).is_some_and(|month| Instant::of_month(month + 1) <= before) => Some(name),
        _ => None,
    });
    let Some(partition) = old else { return Ok(0) };
    tx.execute(LOCK_WAIT, &[]).await?;
    match tx.execute(&format!("DROP TABLE {partition}"), &[]).await {
        Ok(_) => Ok(1),
        Err(error) if error.is_unavailable_lock() => Err(StoreError::Contended),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_tell_their_month() {
        assert_eq!(month_of("execution", "execution_2026_01"), Some(2026 * 12));
        assert_eq!(month_of("execution", "execution_pkey"), None);
        assert_eq!(month_of("job_event", "execution_2026_01"), None);
    }

    #[test]
    fn derivable_is_what_has_both() {
        let kept = Kept { facts_since: Instant(5), samples_since: Instant(9), set_at: Instant(0) };
        assert_eq!((kept.derivable_since(), kept.since(RawKind::Facts)), (Instant(9), Instant(5)));
    }
}
