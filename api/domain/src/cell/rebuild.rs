//! Cells of loads that were ingested before there were any: made of rows, a family and day at a time, before anybody asks.
//!
//! Invariants: the rows and the deltas of a day are read in one snapshot and its blocks replaced in one transaction under the lock of
//! its blocks, so that loads may arrive meanwhile, several processes may do it, and a crash leaves the day to be done again.
//! Must not know: which days are left, nor why.

use futures_util::TryStreamExt as _;
use plimsoll_entity::value::time::{DAY_US, Step, Window};

use super::builder::BlockBuilder;
use super::part::Family;
use super::plan::DAY_HOURS;
use crate::store::{Grain, Store, StoreError};

/// Races with other processes over one day that are borne.
const ROUNDS_MAX: usize = 100;

/// Makes the cells of all days that are left; how many days of a family this process has made.
///
/// # Errors
/// [`StoreError`] from the database; what was made stays made.
pub async fn rebuild_days(store: &Store) -> Result<usize, StoreError> {
    let (mut days, mut lost) = (0, 0);
    if store.snapshot().await?.cell_rebuild_next().await?.is_some() {
        tracing::info!("making cells of rows that came before there were any; the server answers when it is done");
    }
    while let Some((family, day)) = store.snapshot().await?.cell_rebuild_next().await? {
        match rebuild_day(store, family, day).await {
            Ok(()) => (days, lost) = (days + 1, 0),
            Err(error) if error.is_retryable() && lost < ROUNDS_MAX => lost += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(days)
}

async fn rebuild_day(store: &Store, family: Family, day: i32) -> Result<(), StoreError> {
    let lock = store.lock_blocks(family, day).await?;
    let snapshot = store.snapshot().await?;
    let deltas = snapshot.delta_seq_list(family, day).await?;
    let start = i64::from(day) * DAY_US;
    if snapshot.facts_from(plimsoll_entity::value::time::Instant(start)).is_err() {
        // Its rows are gone: what was made of them stays.
        drop(snapshot);
        let mut tx = lock.begin().await?;
        tx.cell_rebuild_done(family, day).await?;
        return tx.commit().await;
    }
    let mut hours = Vec::new();
    for (hour, window) in (day * DAY_HOURS..).zip(Window::of(start, start + DAY_US).tiles(Step::Hour)) {
        let mut builder = BlockBuilder::new(family);
        let mut facts = std::pin::pin!(snapshot.load_stream(window).await?);
        while let Some(fact) = facts.try_next().await? {
            builder.add(&fact);
        }
        hours.push((hour, builder.finish()));
    }
    drop(snapshot);
    let mut tx = lock.begin().await?;
    for (hour, parts) in hours {
        tx.cell_replace(family, Grain::Hour, hour, parts).await?;
    }
    // The compactor makes it anew.
    tx.cell_replace(family, Grain::Day, day, Vec::new()).await?;
    tx.delta_delete(&deltas).await?;
    tx.cell_rebuild_done(family, day).await?;
    tx.commit().await
}
