//! Work that is shared for as long as somebody holds it.
//!
//! Invariants: under one key at most one piece of work is joined; the last holder that drops it ends its task. Must not know: what the
//! work is.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::task::AbortHandle;
use tracing::Instrument as _;

type Entries<K, T> = Arc<Mutex<HashMap<K, Weak<Shared<K, T>>>>>;

/// What is shared, by key.
pub(crate) struct Registry<K: Eq + Hash, T>(Entries<K, T>);

impl<K: Eq + Hash, T> Clone for Registry<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash, T> Default for Registry<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// A piece of work, of which `T` is what its holders see.
pub(crate) struct Shared<K: Eq + Hash, T> {
    sight: T,
    task: AbortHandle,
    key: K,
    entries: Entries<K, T>,
}

impl<K: Eq + Hash + Clone, T> Registry<K, T> {
    /// The work under a key, started by `start` where there is none that runs.
    pub fn join<F: Future<Output = ()> + Send + 'static>(&self, key: K, start: impl FnOnce() -> (T, F)) -> Arc<Shared<K, T>> {
        // Dropped behind the lock, which the end of a piece of work takes.
        let found;
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found = entries.get(&key).and_then(Weak::upgrade);
        if let Some(shared) = found.as_ref().filter(|shared| !shared.task.is_finished()) {
            return Arc::clone(shared);
        }
        let (sight, work) = start();
        // It outlives the request that was the first to ask, so it has a span of its own.
        let task = tokio::spawn(work.instrument(tracing::info_span!(parent: None, "shared subscription"))).abort_handle();
        let shared = Arc::new(Shared { sight, task, key: key.clone(), entries: Arc::clone(&self.0) });
        entries.insert(key, Arc::downgrade(&shared));
        shared
    }

    /// How many are shared.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl<K: Eq + Hash, T> Deref for Shared<K, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.sight
    }
}

impl<K: Eq + Hash, T> Drop for Shared<K, T> {
    fn drop(&mut self) {
        self.task.abort();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have started anew under the key meanwhile.
        if entries.get(&self.key).is_some_and(|entry| entry.strong_count() == 0) {
            entries.remove(&self.key);
        }
    }
}
