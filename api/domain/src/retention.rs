//! Drops raw rows that are older than an operator wants to keep; cells stay, so that questions of whole hours and days answer as before.
//!
//! Whole UTC months are dropped on either database. Invariants: a horizon moves only when everything that is derived of what lies before
//! it stands, and from then on nothing before it is derived again and no event from before it is taken, so that no figure is ever made
//! of rows that are gone. One process at a time works, under a lease that each of its transactions checks. Must not know: figures.

use plimsoll_entity::value::hours::Hours;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US};
use uuid::Uuid;

use crate::job;
use crate::machine::fleet::FleetCache;
use crate::store::{DerivedKind, LEASE_US, Lease, RawKind, Snapshot, Store, StoreError};
use crate::timeline;

/// Days that rows are kept at least: the running month and the one before are always there, for what comes late and for what looks back.
pub const DAYS_MIN: u32 = 62;
/// From moving a horizon to dropping rows: longer than any snapshot lives.
const GRACE_US: i64 = 10 * MINUTE_US;
/// How often it is looked whether anything has become old.
const LOOK_US: i64 = HOUR_US;
/// For how long tables are left alone when one of them was not to be had.
const CONTENDED_US: i64 = 5 * MINUTE_US;
/// Rows of one transaction.
const ROWS_PER_STEP: u64 = 5_000;
/// Transactions of one run.
const STEPS_PER_RUN: usize = 20;

/// How long rows are kept, in days; none: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Executions, changes of jobs, loads.
    pub facts_days: Option<u32>,
    /// Samples of machines and GPUs.
    pub samples_days: Option<u32>,
}

/// The worker of one process.
#[derive(Debug)]
pub struct RetentionWorker {
    store: Store,
    holder: Uuid,
    ages: Ages,
    fleets: FleetCache,
    looked_at: Option<Instant>,
    /// Whether rows are left to be dropped.
    is_dropping: bool,
    /// Until when a table that was not to be had is left alone.
    waits_until: Option<Instant>,
}

impl RetentionWorker {
    /// A worker of this store; `holder` names the process.
    #[must_use]
    pub fn new(store: Store, holder: Uuid, ages: Ages) -> Self {
        Self { store, holder, ages, fleets: FleetCache::default(), looked_at: None, is_dropping: true, waits_until: None }
    }

    /// Moves horizons that are due and drops some of what lies before them; how many rows (months, where there are partitions).
    ///
    /// # Errors
    /// [`StoreError`] from the database; what was dropped stays dropped.
    pub async fn run_once(&mut self, now: Instant) -> Result<u64, StoreError> {
        if self.ages == Ages::default() {
            return Ok(0);
        }
        let is_look_due = self.looked_at.is_none_or(|at| now.0 - at.0 >= LOOK_US);
        if !is_look_due && !self.is_dropping {
            return Ok(0);
        }
        let Some(lease) = self.store.lease_take("retention", self.holder, now, LEASE_US).await? else { return Ok(0) };
        if is_look_due {
            self.looked_at = Some(now);
            // Another process may have moved a horizon and died before all was dropped.
            self.is_dropping = true;
            for (kind, days) in [(RawKind::Facts, self.ages.facts_days), (RawKind::Samples, self.ages.samples_days)] {
                if let Some(days) = days {
                    self.raise(lease, kind, horizon(kind, now, days), now).await?;
                }
            }
        }
        self.drop_some(lease, now).await
    }

    async fn raise(&self, lease: Lease, kind: RawKind, since: Instant, now: Instant) -> Result<(), StoreError> {
        let snapshot = self.store.snapshot().await?;
        if snapshot.kept().since(kind) >= since {
            return Ok(());
        }
        if !self.is_derived(&snapshot, since, now).await? {
            tracing::info!(before = %since, "rows are old enough to be dropped, but not everything has been derived of them yet");
            return Ok(());
        }
        drop(snapshot);
        let mut tx = self.store.begin_write().await?;
        tx.lease_check(lease).await?;
        tx.kept_lock().await?;
        // Taken under the lock: nobody adds rows from here on, and what came since the first look is marked in it.
        let locked = self.store.snapshot().await?;
        if !self.is_derived(&locked, since, now).await? {
            tracing::info!(before = %since, "rows came late while a horizon was to move");
            drop(locked);
            tx.rollback().await?;
            return Ok(());
        }
        drop(locked);
        tx.kept_since_raise(kind, since, now).await?;
        tx.commit().await
    }

    /// Whether all cells from before an instant stand, so that none of them will ever have to be made again.
    async fn is_derived(&self, snapshot: &Snapshot, since: Instant, now: Instant) -> Result<bool, StoreError> {
        if snapshot.cell_rebuild_next().await?.is_some() || !snapshot.timeline_day_list(since.day(), 1).await?.is_empty() {
            return Ok(false);
        }
        let fleet = self.fleets.fleet(snapshot).await?;
        let hours = timeline::rebuild::Pending::of(snapshot, &fleet, now).await?;
        let waits = |hours: &Hours| hours.first().is_some_and(|first| first < since.hour());
        let mut waiting = hours.hours.values().chain(hours.priced.values()).chain([&hours.machineless]);
        if hours.is_cut || waiting.any(waits) || !snapshot.cost_day_list(since.day(), 1).await?.is_empty() {
            return Ok(false);
        }
        match job::pending::Pending::read(snapshot).await {
            Ok(pending) if !pending.touches_before(since.day()) => {}
            Ok(_) | Err(job::pending::PendingError::TooMany | job::pending::PendingError::TooManyRunning) => return Ok(false),
            Err(job::pending::PendingError::Store(error)) => return Err(error),
        }
        let from = snapshot.kept().facts_since.day();
        let held = snapshot.derived_day_list(DerivedKind::Jobs, from, since.day()).await?;
        let mut day = from;
        while let Some(next) = snapshot.execution_day_from(day).await?.filter(|day| *day < since.day()) {
            if !held.contains(&next) {
                return Ok(false);
            }
            day = next + 1;
        }
        Ok(true)
    }

    async fn drop_some(&mut self, lease: Lease, now: Instant) -> Result<u64, StoreError> {
        let kept = self.store.snapshot().await?.kept();
        if now.0 - kept.set_at.0 < GRACE_US || self.waits_until.is_some_and(|until| now < until) {
            return Ok(0);
        }
        let (mut dropped, mut is_contended) = (0, false);
        for kind in RawKind::ALL.into_iter().filter(|kind| kept.since(*kind) > Instant(0)) {
            let before = kind.dropped_before(kept.since(kind));
            for table in kind.tables() {
                for _ in 0..STEPS_PER_RUN {
                    match self.store.raw_rows_drop(lease, *table, before, ROWS_PER_STEP).await {
                        Ok(0) => break,
                        Ok(some) => dropped += some,
                        Err(StoreError::Contended) => {
                            is_contended = true;
                            break;
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            if kind == RawKind::Facts && dropped == 0 {
                self.store.execution_packs_drop(lease, before).await?;
            }
        }
        // Whoever reads a table waits behind whoever wants to drop a part of it.
        self.waits_until = is_contended.then_some(Instant(now.0 + CONTENDED_US));
        self.is_dropping = dropped > 0 || is_contended;
        Ok(dropped)
    }
}

/// Since when rows are kept: the start of the month that holds the oldest instant to be kept, and what questions about that may look back.
fn horizon(kind: RawKind, now: Instant, days: u32) -> Instant {
    let oldest = Instant((now.0 - i64::from(days.max(DAYS_MIN)) * DAY_US).max(0));
    let look_back_us = oldest.0 - kind.dropped_before(oldest).0;
    Instant(Instant::of_month(Instant((oldest.0 - look_back_us).max(0)).month()).0 + look_back_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_months_are_dropped() {
        let at = |text: &str| Instant::parse(text).unwrap();
        let samples = |days| horizon(RawKind::Samples, at("2026-06-15T12:00:00Z"), days);
        assert_eq!((samples(90), samples(1)), (at("2026-03-01T00:00:00Z"), at("2026-04-01T00:00:00Z")));
        // Their rows go from before the month, too, but what looks back for a day still finds all.
        let facts = |now: &str| horizon(RawKind::Facts, at(now), 90);
        assert_eq!(facts("2026-06-15T12:00:00Z"), at("2026-03-02T00:00:00Z"));
        assert_eq!(facts("2026-05-30T12:00:00Z"), at("2026-02-02T00:00:00Z"), "the first of March is to be kept");
    }
}
