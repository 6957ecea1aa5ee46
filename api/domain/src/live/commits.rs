//! The newest commit, as far as anybody here knows: what the bus says, joined with a look at the database once a second.
//!
//! Invariant: a commit is heard of within [`LOOK_EVERY`] whether or not the bus tells of it. Nobody looks while nobody waits.
//! Must not know: what is done about it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::bus::{Bus, raise};
use crate::store::{Store, StoreError};

/// Between two looks at the database.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells of commits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Commits(Arc<watch::Sender<u64>>);

/// Keeps [`Commits`] up to date.
#[derive(Debug)]
pub struct CommitsFollower {
    commits: Commits,
    bus: Arc<dyn Bus>,
    store: Store,
}

impl Commits {
    /// What tells, and what keeps it up to date.
    #[must_use]
    pub fn new(store: Store, bus: Arc<dyn Bus>) -> (Self, CommitsFollower) {
        let commits = Self(Arc::new(watch::Sender::new(0)));
        (commits.clone(), CommitsFollower { commits, bus, store })
    }

    /// The number that was heard of last, and each change of it: it rises, but for a hint that was wrong. A snapshot knows.
    #[must_use]
    pub fn heard(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

impl CommitsFollower {
    /// Listens and looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut heard = self.bus.heard();
        let mut bus_lives = true;
        let mut gaps = self.bus.gaps();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = heard.changed(), if bus_lives => match changed {
                    Ok(()) => {
                        let number = *heard.borrow_and_update();
                        self.tell(number, "bus");
                    }
                    // What is left is the database.
                    Err(_) => bus_lives = false,
                },
                () = gap(&mut gaps) => self.look_until(&stop).await,
                _ = looks.tick() => self.look_until(&stop).await,
            }
        }
    }

    async fn look_until(&self, stop: &CancellationToken) {
        if let Some(Err(error)) = stop.run_until_cancelled(self.look()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for commits, will try again");
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        if self.commits.0.receiver_count() == 0 {
            return Ok(());
        }
        let told = *self.commits.0.borrow();
        let number = self.store.snapshot().await?.commit_number().await?;
        // What was told before the look began and is not in it was wrong, or the database has gone back: it would outshout every
        // commit until it is reached.
        if number < told {
            self.commits.0.send_if_modified(|known| {
                let is_wrong = *known == told;
                *known = if is_wrong { number } else { *known };
                is_wrong
            });
        }
        self.tell(number, "look");
        Ok(())
    }

    fn tell(&self, number: u64, by: &'static str) {
        if raise(&self.commits.0, number) {
            metrics::counter!("plimsoll_live_wakes_total", "by" => by).increment(1);
        }
    }
}

/// Waits until hints may have been lost.
async fn gap(gaps: &mut Option<watch::Receiver<u64>>) {
    if let Some(changes) = gaps
        && changes.changed().await.is_ok()
    {
        return;
    }
    *gaps = None;
    std::future::pending().await
}
