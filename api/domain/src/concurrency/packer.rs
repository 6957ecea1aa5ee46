//! Packs the executions of past hours in the background, and counts the hours that they reach into.
//!
//! An hour is packed when it is over and nothing came since the last look. Late executions make its pack stale, which a question
//! sees by their number; the hour is then packed anew, and the hours that it reaches into are counted anew. Any number of processes
//! could do it, since all make the same of the same executions; one at a time does, under a lease that each of its writes checks, for
//! twice would be once too often.
//! Invariant: what is kept and the number that it holds for come from one snapshot. Must not know: who reads it.

use std::collections::{BTreeMap, HashMap};

use plimsoll_entity::value::time::{Instant, Window};
use uuid::Uuid;

use super::counting::OVERLAP_MAX;
use super::kept::{count_hour, reach_sums};
use super::pack;
use crate::cell::part::KeyColumn;
use crate::store::{ExecutionSpan, Lease, Leasehold, ReachingHour, Snapshot, Store, StoreError, WriteTx};

/// Fewer executions of an hour are read as fast from their rows.
const EXECUTIONS_LEAST: i64 = 64;
/// Hours that one run packs at most, so that it never takes long.
const HOURS_PER_RUN: usize = 4;
/// Hours that one run looks at, the latest first.
const HOURS_LOOKED_AT: u32 = 1_000;
/// Hours that one run counts at most.
const COUNTED_PER_RUN: usize = 32;
/// Hours back from now that are counted: two years and a quarter.
const COUNTED_HOURS: i32 = 20_000;
/// What counted hours are broken down by.
const COUNTED_COLUMNS: [KeyColumn; 2] = [KeyColumn::Vm, KeyColumn::Combination];
/// Everything that an execution counts under.
const COLUMNS: [KeyColumn; 8] = [
    KeyColumn::Combination,
    KeyColumn::Application,
    KeyColumn::User,
    KeyColumn::Department,
    KeyColumn::Project,
    KeyColumn::Vm,
    KeyColumn::Outcome,
    KeyColumn::ErrorType,
];

/// The packer.
#[derive(Debug)]
pub struct Packer {
    store: Store,
    leasehold: Leasehold,
    executions_least: i64,
    /// Executions of the hours that are not packed, at the last look.
    seen: HashMap<i32, i64>,
    /// Executions that reach into the hours that are not counted, at the last look.
    seen_reach: HashMap<i32, i64>,
    /// Executions that reach into the hours that cannot be counted.
    refused: HashMap<i32, i64>,
    /// The newest commit and the hour at which there was nothing left to do.
    settled: Option<(u64, i32)>,
}

impl Packer {
    /// A packer of this store; `holder` names the process.
    #[must_use]
    pub fn new(store: Store, holder: Uuid) -> Self {
        let (seen, seen_reach, refused) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self {
            store,
            leasehold: Leasehold::new("packer", holder),
            executions_least: EXECUTIONS_LEAST,
            seen,
            seen_reach,
            refused,
            settled: None,
        }
    }

    /// Packs hours with at least so many executions.
    #[must_use]
    pub fn with_least(self, executions_least: i64) -> Self {
        Self { executions_least, ..self }
    }

    /// Packs and counts some hours that are over and quiet since the last run; their number.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn run_once(&mut self, now: Instant) -> Result<usize, StoreError> {
        let state = (self.store.snapshot().await?.commit_number().await?, now.hour());
        if self.settled == Some(state) {
            return Ok(0);
        }
        let done = self.pack(now).await? + self.count(now).await?;
        let is_settled = done == 0 && self.seen.is_empty() && self.seen_reach.is_empty();
        self.settled = is_settled.then_some(state);
        Ok(done)
    }

    /// Gives the right to work back, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn release(&mut self) -> Result<(), StoreError> {
        self.leasehold.release(&self.store).await
    }

    /// The right to work; none while another process has it.
    async fn lease(&mut self) -> Result<Option<Lease>, StoreError> {
        self.leasehold.hold(&self.store, self.store.clock().now()).await
    }

    /// Whoever has lost the right asks for it anew before it works on.
    async fn check(&mut self, tx: &mut WriteTx, lease: Lease) -> Result<(), StoreError> {
        tx.lease_check(lease).await.inspect_err(|_| self.leasehold.doubt())
    }

    async fn pack(&mut self, now: Instant) -> Result<usize, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let mut found = snapshot.execution_unpacked_list(now.hour(), self.executions_least, HOURS_LOOKED_AT).await?;
        // Of hours before, the executions are gone.
        found.retain(|(hour, _)| *hour >= snapshot.kept().facts_since.hour());
        let is_quiet = |(hour, executions): &&(i32, i64)| self.seen.get(hour) == Some(executions);
        let quiet: Vec<(i32, i64)> = found.iter().filter(is_quiet).take(HOURS_PER_RUN).copied().collect();
        self.seen = found.into_iter().collect();
        if quiet.is_empty() {
            return Ok(0);
        }
        let Some(lease) = self.lease().await? else { return Ok(0) };
        let mut packs = Vec::with_capacity(quiet.len());
        for (hour, executions) in quiet {
            let spans = snapshot.execution_span_list(Window::of_hour(hour), Window::of_hour(hour).end, &COLUMNS).await?;
            // Counted otherwise than they are: a pack would never hold.
            if spans.len() as i64 == executions {
                packs.push((hour, executions, pack::encode(hour, spans)));
            }
        }
        drop(snapshot);
        let packed = packs.len();
        for (hour, executions, block) in packs {
            let mut tx = self.store.begin_write().await?;
            self.check(&mut tx, lease).await?;
            tx.execution_pack_put(hour, executions, block).await?;
            tx.commit().await?;
            self.seen.remove(&hour);
        }
        Ok(packed)
    }

    /// Counts hours into which no execution reaches that finished in an hour that is not over.
    async fn count(&mut self, now: Instant) -> Result<usize, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let (from, to) = ((now.hour() - COUNTED_HOURS).max(snapshot.kept().facts_since.hour()), now.hour());
        let hours = snapshot.reaching_hour_list(from).await?;
        let known: HashMap<i32, i64> = snapshot.concurrency_hour_sums(from, to).await?.into_iter().collect();
        let open: Vec<ReachingHour> = hours.iter().filter(|reaching| reaching.hour >= to).copied().collect();
        let open = reach_sums(&open, from, to);
        let is_due = |(hour, sum): &(i32, i64)| {
            let is_as = |of: &HashMap<i32, i64>| of.get(hour) == Some(sum);
            *sum >= self.executions_least && !open.contains_key(hour) && !is_as(&known) && !is_as(&self.refused)
        };
        let due: BTreeMap<i32, i64> = reach_sums(&hours, from, to).into_iter().filter(is_due).collect();
        let is_quiet = |(hour, sum): &(&i32, &i64)| self.seen_reach.get(*hour) == Some(*sum);
        let quiet: Vec<(i32, i64)> = due.iter().rev().filter(is_quiet).take(COUNTED_PER_RUN).map(|(hour, sum)| (*hour, *sum)).collect();
        self.seen_reach = due.into_iter().collect();
        if quiet.is_empty() {
            return Ok(0);
        }
        let Some(lease) = self.lease().await? else { return Ok(0) };
        let mut counted = Vec::with_capacity(quiet.len());
        for (hour, sum) in quiet {
            let executions = executions_in(&snapshot, &hours, hour).await?;
            match count_hour(hour, executions.into_iter(), OVERLAP_MAX) {
                Ok(block) => counted.push((hour, sum, block)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, hour, executions = sum, "cannot count an hour");
                    self.refused.insert(hour, sum);
                }
            }
            self.seen_reach.remove(&hour);
        }
        drop(snapshot);
        let count = counted.len();
        if count == 0 {
            return Ok(0);
        }
        let mut tx = self.store.begin_write().await?;
        self.check(&mut tx, lease).await?;
        for (hour, sum, block) in counted {
            tx.concurrency_hour_put(hour, sum, block).await?;
        }
        tx.commit().await?;
        Ok(count)
    }
}

/// Executions that reach into an hour, the latest end first.
async fn executions_in(snapshot: &Snapshot, hours: &[ReachingHour], hour: i32) -> Result<Vec<ExecutionSpan>, StoreError> {
    let mut executions = Vec::new();
    let reaching = hours.iter().rev().filter(|reaching| reaching.hour >= hour && reaching.earliest_at.hour() <= hour);
    for reaching in reaching {
        let mut spans = if reaching.is_packed {
            let block = snapshot.execution_pack(reaching.hour).await?.ok_or(StoreError::Inconsistent("pack"))?;
            pack::decode(reaching.hour, &block)?
        } else {
            snapshot.execution_span_list(Window::of_hour(reaching.hour), Window::of_hour(hour).end, &COUNTED_COLUMNS).await?
        };
        spans.sort_by_key(|span| std::cmp::Reverse(span.finished_at));
        executions.append(&mut spans);
    }
    Ok(executions)
}
