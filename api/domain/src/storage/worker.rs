//! Makes the blocks of closed days of snapshots.
//!
//! Invariants: one process at a time works, under a lease that each of its transactions checks; a block is put under
//! the lock that whoever adds a snapshot holds, too, and only if the day has as many as were read, so that it misses none that was there. Whoever adds one later drops
//! the day. Must not know: questions.

use futures_util::TryStreamExt as _;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, SECOND_US, Window};
use uuid::Uuid;

use super::day::DayBuilder;
use crate::store::{DerivedKind, Lease, Leasehold, Store, StoreError};

/// A day is closed when it ended so long ago: most of what belongs to it has arrived.
const CLOSED_US: i64 = HOUR_US;
/// Days that are made in one run.
const DAYS_PER_RUN: usize = 16;
/// How often all days are looked through for those that have no block.
const SEARCH_US: i64 = 60 * SECOND_US;

/// The worker of one process.
#[derive(Debug)]
pub struct StorageWorker {
    store: Store,
    leasehold: Leasehold,
    searched_at: Option<Instant>,
}

impl StorageWorker {
    /// A worker of this store; `holder` names the process.
    #[must_use]
    pub const fn new(store: Store, holder: Uuid) -> Self {
        Self { store, leasehold: Leasehold::new("storage", holder), searched_at: None }
    }

    /// Makes some blocks, of the newest days first; how many days.
    ///
    /// # Errors
    /// [`StoreError`] from the database; what was made stays made.
    pub async fn run_once(&mut self, now: Instant) -> Result<usize, StoreError> {
        if self.searched_at.is_some_and(|at| now.0 - at.0 < SEARCH_US) {
            return Ok(0);
        }
        let days = self.open_days(now).await?;
        let mut is_cut = days.len() > DAYS_PER_RUN;
        let mut made = 0;
        for day in days.into_iter().take(DAYS_PER_RUN) {
            let Some(lease) = self.leasehold.hold(&self.store, self.store.clock().now()).await? else { return Ok(made) };
            if self.make(day, lease).await? {
                made += 1;
            } else {
                is_cut = true;
            }
        }
        // What is left is made in the next run.
        self.searched_at = (!is_cut).then_some(now);
        Ok(made)
    }

    /// Makes every block that is missing.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn run_to_end(&mut self, now: Instant) -> Result<usize, StoreError> {
        let mut made = 0;
        self.searched_at = None;
        while self.searched_at.is_none() {
            match self.run_once(now).await? {
                0 => break,
                days => made += days,
            }
        }
        Ok(made)
    }

    /// Gives the right to work back, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn release(&mut self) -> Result<(), StoreError> {
        self.leasehold.release(&self.store).await
    }

    async fn open_days(&self, now: Instant) -> Result<Vec<i32>, StoreError> {
        let snapshot = self.store.snapshot().await?;
        // The day before the one that holds the instant until which all is closed.
        let mut day = Instant(now.0 - CLOSED_US).day() - 1;
        let held = snapshot.derived_day_list(DerivedKind::Storage, i32::MIN, day).await?;
        let mut open = Vec::new();
        while open.len() <= DAYS_PER_RUN {
            if held.contains(&day) {
                day -= 1;
                continue;
            }
            // Days without a snapshot are jumped over, and get no block.
            match snapshot.storage_day_until(day).await? {
                None => break,
                Some(next) if next == day => {
                    open.push(day);
                    day -= 1;
                }
                Some(next) => day = next,
            }
        }
        Ok(open)
    }

    /// Makes the block of a day; whether it was put: not if snapshots came while it was made.
    async fn make(&mut self, day: i32, lease: Lease) -> Result<bool, StoreError> {
        let mut builder = DayBuilder::new(day);
        let start = i64::from(day) * DAY_US;
        let window = Window::of(start, start + DAY_US);
        let snapshot = self.store.snapshot().await?;
        let mut count = 0;
        {
            let mut told = std::pin::pin!(snapshot.storage_size_stream(window).await?);
            while let Some(size) = told.try_next().await? {
                builder.tell(size.place, size.at, size.size_bytes);
                count += 1;
            }
        }
        drop(snapshot);
        let block = builder.finish();
        let mut tx = self.store.begin_write().await?;
        if let Err(error) = tx.lease_check(lease).await {
            self.leasehold.doubt();
            return Err(error);
        }
        tx.storage_days_lock().await?;
        // Snapshots are only ever added: as many as were read are the same ones.
        if tx.storage_snapshot_count(window).await? != count {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.storage_day_put(day, block).await?;
        tx.derived_day_hold(DerivedKind::Storage, day).await?;
        tx.commit().await?;
        Ok(true)
    }
}
