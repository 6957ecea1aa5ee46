//! Packs the executions of past hours in the background.
//!
//! An hour is packed when it is over and nothing came since the last look. Late executions make its pack stale, which a question
//! sees by their number; the hour is then packed anew. Any number of processes may pack: all make the same of the same executions.
//! Invariant: a pack and the number that it holds for come from one snapshot. Must not know: who reads packs.

use std::collections::HashMap;

use plimsoll_entity::value::time::{Instant, Window};

use super::pack;
use crate::cell::part::KeyColumn;
use crate::store::{Store, StoreError};

/// Fewer executions of an hour are read as fast from their rows.
const EXECUTIONS_LEAST: i64 = 64;
/// Hours that one run packs at most, so that it never takes long.
const HOURS_PER_RUN: usize = 4;
/// Hours that one run looks at, the latest first.
const HOURS_LOOKED_AT: u32 = 1_000;
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
    executions_least: i64,
    /// Executions of the hours that are not packed, at the last look.
    seen: HashMap<i32, i64>,
}

impl Packer {
    /// A packer of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, executions_least: EXECUTIONS_LEAST, seen: HashMap::new() }
    }

    /// Packs hours with at least so many executions.
    #[must_use]
    pub fn with_least(self, executions_least: i64) -> Self {
        Self { executions_least, ..self }
    }

    /// Packs some hours that are over and quiet since the last run; their number.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn run_once(&mut self, now: Instant) -> Result<usize, StoreError> {
        let snapshot = self.store.snapshot().await?;
        let found = snapshot.execution_unpacked_list(now.hour(), self.executions_least, HOURS_LOOKED_AT).await?;
        let is_quiet = |(hour, executions): &&(i32, i64)| self.seen.get(hour) == Some(executions);
        let quiet: Vec<(i32, i64)> = found.iter().filter(is_quiet).take(HOURS_PER_RUN).copied().collect();
        self.seen = found.into_iter().collect();
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
            tx.execution_pack_put(hour, executions, block).await?;
            tx.commit().await?;
        }
        Ok(packed)
    }
}
