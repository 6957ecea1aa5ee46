//! Closing a month: its figures are frozen.
//!
//! Hours of machines are frozen by being closed: from then on the worker keeps what comes out differently apart (`cost_late`), and
//! questions pass over what they made for them. What bytes cost is reckoned when it is asked for, so it is kept as it is now, and so are
//! the corrections of earlier months that are due (`correction`). Invariants: months are closed in order, without a gap, each once and
//! only when it has ended; nothing of it waited to be built or priced when it was closed, so that what was frozen does not depend on how
//! far the worker had come.
//!
//! Everything is checked and written in one transaction that holds the prices and the closing of months; the snapshot is taken after
//! that, so that it sees all that was committed before. Who else writes in the meantime does no harm:
//! - **Another closing, a new price**: they hold the same row and wait; after that they find the month closed.
//! - **Ingest**: its commit leaves a mark. The snapshot sees it, then the closing waits; or it does not, then the facts are late.
//!   Snapshots of storage leave none: the kept amounts are of the snapshot, and what it did not see is a difference.
//! - **The worker, or one of another replica that is about to lose its lease**: it writes costs in a transaction that holds the same row
//!   and looks there what is closed. Before the closing: its marks are still there, because they go in a later transaction, so that the
//!   closing waits. After it: it writes to `cost_late`. Hours that it read from an older snapshot have marks, too.
//! - **Day cells** are made of frozen hours whenever they are made.
//!
//! Must not know: who may close a month, GraphQL.

use std::time::Duration;

use plimsoll_entity::value::time::Instant;

use super::correction::{corrections_due, encode};
use super::report::month;
use super::storage::{encode_month, storage_runs};
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::{Reader, Reading};
use crate::store::{StoreError, WriteTx};
use crate::timeline::rebuild::Pending;

/// How long a closing waits for the worker.
pub const CLOSE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Between two looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why a month cannot be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseFault {
    /// It has not ended.
    NotEnded,
    /// It is closed.
    Closed,
    /// Another one comes first, as [`Instant::month`] counts.
    NotNext(i32),
    /// No event that could cost anything has come for it, or for a month before.
    Nothing,
    /// What came for it is still being built or priced.
    Busy,
}

impl CloseFault {
    /// One sentence for whoever wanted to close it.
    #[must_use]
    pub fn message(self) -> String {
        match self {
            Self::NotEnded => "has not ended yet (in UTC)".to_owned(),
            Self::Closed => "is closed already".to_owned(),
            Self::NotNext(next) => format!("is not the next to be closed: close {} first", month::text(next)),
            Self::Nothing => "has nothing to close: no event that could cost anything has come for it or a month before".to_owned(),
            Self::Busy => "is still being reckoned after new events or prices: try again in a minute".to_owned(),
        }
    }
}

/// Attempts to close a month until the worker is done with it, for `wait` at most. Between two attempts nothing is held.
///
/// # Errors
/// What an attempt says.
pub async fn while_busy<E, F>(wait: Duration, mut attempt: impl FnMut() -> F) -> Result<Option<CloseFault>, E>
where
    F: Future<Output = Result<Option<CloseFault>, E>>,
{
    let mut waited = Duration::ZERO;
    loop {
        let fault = attempt().await?;
        if fault != Some(CloseFault::Busy) || waited >= wait {
            return Ok(fault);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

/// Closes a month (as [`Instant::month`] counts); what keeps it from being closed, if anything does.
///
/// # Errors
/// [`BreakdownError`] when there is too much to reckon or the store fails; then it was not closed.
pub async fn close_month(reader: &Reader, closing: i32, by: &str) -> Result<Option<CloseFault>, BreakdownError> {
    // Looked at first without holding anybody up.
    let reading = reader.begin().await?;
    let fault = fault(&reading, closing).await?;
    drop(reading);
    match fault {
        None => close_once(reader, closing, by).await,
        fault => Ok(fault),
    }
}

async fn close_once(reader: &Reader, closing: i32, by: &str) -> Result<Option<CloseFault>, BreakdownError> {
    let mut tx = reader.store.begin_write().await?;
    tx.prices_hold().await?;
    // Begun while nobody else can add prices, close a month or keep costs.
    let reading = reader.begin().await?;
    if let Some(fault) = fault(&reading, closing).await? {
        tx.rollback().await?;
        return Ok(Some(fault));
    }
    freeze(reader, &reading, closing, by, &mut tx).await?;
    tx.commit().await?;
    Ok(None)
}

async fn freeze(reader: &Reader, reading: &Reading, closing: i32, by: &str, tx: &mut WriteTx) -> Result<(), BreakdownError> {
    let prices = reader.prices.prices(&reading.snapshot).await?;
    let corrections = corrections_due(reading, &prices).await?;
    let stored = storage_runs(&reading.snapshot, &prices, month::window(closing)).await?;
    tx.cost_month_close(closing, reading.snapshot.as_of, by).await?;
    tx.cost_storage_put(closing, encode_month(&stored)).await?;
    tx.cost_correction_put(closing, encode(&corrections)).await?;
    Ok(())
}

/// What keeps a month from being closed in the state that a reading sees.
async fn fault(reading: &Reading, closing: i32) -> Result<Option<CloseFault>, StoreError> {
    let snapshot = &reading.snapshot;
    let window = month::window(closing);
    let closed_until = snapshot.closed_until().await?;
    if window.end <= closed_until {
        return Ok(Some(CloseFault::Closed));
    }
    if snapshot.as_of < window.end {
        return Ok(Some(CloseFault::NotEnded));
    }
    let until = window.end.hour();
    if snapshot.timeline_next_hour().await? < until || waits(&Pending::of(snapshot, &reading.fleet, snapshot.as_of).await?, until) {
        return Ok(Some(CloseFault::Busy));
    }
    let next = match closed_until {
        Instant(0) => match snapshot.cost_first_at().await? {
            Some(first) => first.month(),
            None => return Ok(Some(CloseFault::Nothing)),
        },
        closed_until => closed_until.month(),
    };
    Ok((closing != next).then_some(if closing < next { CloseFault::Nothing } else { CloseFault::NotNext(next) }))
}

/// Whether anything before an hour has to be built or priced.
fn waits(pending: &Pending, until: i32) -> bool {
    let of_machines = pending.hours.values().chain(pending.priced.values());
    pending.is_cut || of_machines.chain([&pending.machineless]).any(|hours| hours.first().is_some_and(|first| first < until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_month_is_attempted_again_for_a_while() {
        let mut attempts = 0;
        let mut busy_until = |last: u32| {
            attempts += 1;
            std::future::ready(Ok::<_, ()>((attempts < last).then_some(CloseFault::Busy)))
        };
        assert_eq!(while_busy(CLOSE_WAIT_MAX, || busy_until(2)).await, Ok(None));
        assert_eq!(while_busy(Duration::ZERO, || busy_until(9)).await, Ok(Some(CloseFault::Busy)));
        assert_eq!(attempts, 3);
    }
}
