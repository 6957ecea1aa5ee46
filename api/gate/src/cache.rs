//! Admitted documents, kept for the next time that they come.
//!
//! Invariant: never more entries, bytes of text or estimated memory than the limits say; what was used longest ago goes first.
//! Only admitted documents are kept, so that nobody can fill it with nonsense.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::admit::Admitted;
use crate::limits::Limits;

struct Slot {
    text: Box<str>,
    operation_name: Option<Box<str>>,
    admitted: Arc<Admitted>,
    memory_bytes: usize,
    used_at: u64,
}

#[derive(Default)]
struct Slots {
    by_hash: HashMap<u64, Slot>,
    text_bytes: usize,
    memory_bytes: usize,
    clock: u64,
}

/// The documents, least recently used out first.
pub(crate) struct Cache {
    slots: Mutex<Slots>,
    hasher: RandomState,
    entries_max: usize,
    text_bytes_max: usize,
    memory_bytes_max: usize,
}

impl Cache {
    pub fn new(limits: &Limits) -> Self {
        Self {
            slots: Mutex::default(),
            hasher: RandomState::new(),
            entries_max: limits.cached_documents,
            text_bytes_max: limits.cached_text_size_bytes,
            memory_bytes_max: limits.cached_memory_size_bytes,
        }
    }

    pub fn get(&self, text: &str, operation_name: Option<&str>) -> Option<Arc<Admitted>> {
        let hash = self.hasher.hash_one((text, operation_name));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.clock += 1;
        let now = slots.clock;
        let slot = slots.by_hash.get_mut(&hash).filter(|slot| *slot.text == *text && slot.operation_name.as_deref() == operation_name)?;
        slot.used_at = now;
        Some(Arc::clone(&slot.admitted))
    }

    pub fn insert(&self, text: &str, operation_name: Option<&str>, admitted: &Arc<Admitted>) {
        let hash = self.hasher.hash_one((text, operation_name));
        let memory_bytes = text.len() + admitted.memory_size_bytes();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.clock += 1;
        let slot = Slot {
            text: text.into(),
            operation_name: operation_name.map(Into::into),
            admitted: Arc::clone(admitted),
            memory_bytes,
            used_at: slots.clock,
        };
        slots.text_bytes += text.len();
        slots.memory_bytes += memory_bytes;
        if let Some(previous) = slots.by_hash.insert(hash, slot) {
            slots.forget(&previous);
        }
        while slots.by_hash.len() > self.entries_max || slots.text_bytes > self.text_bytes_max || slots.memory_bytes > self.memory_bytes_max
        {
            let oldest = slots.by_hash.iter().min_by_key(|(_, slot)| slot.used_at).map(|(hash, _)| *hash);
            match oldest.and_then(|hash| slots.by_hash.remove(&hash)) {
                Some(slot) => slots.forget(&slot),
                None => break,
            }
        }
    }
}

impl Slots {
    fn forget(&mut self, slot: &Slot) {
        self.text_bytes -= slot.text.len();
        self.memory_bytes -= slot.memory_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CostTable, Gate};

    fn slots(cache: &Cache) -> (usize, usize, usize) {
        let slots = cache.slots.lock().unwrap();
        (slots.by_hash.len(), slots.text_bytes, slots.memory_bytes)
    }

    fn admitted() -> Arc<Admitted> {
        Gate::new("type Query { a: Int }", Limits::default(), CostTable::default()).unwrap().admit("{ a }", None).unwrap()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let admitted = admitted();
        let cache = Cache::new(&Limits { cached_documents: 2, ..Limits::default() });
        cache.insert("a", None, &admitted);
        cache.insert("b", None, &admitted);
        assert!(cache.get("a", None).is_some());
        cache.insert("c", None, &admitted);
        assert!(cache.get("a", None).is_some() && cache.get("b", None).is_none() && cache.get("c", None).is_some());
        assert!(cache.get("a", Some("Q")).is_none(), "the operation is part of the key");
        assert_eq!(slots(&cache), (2, 2, 2 * (1 + admitted.memory_size_bytes())));
    }

    #[test]
    fn text_and_memory_are_bounded_and_the_same_document_counts_once() {
        let admitted = admitted();
        let one = admitted.memory_size_bytes();
        let cache = Cache::new(&Limits { cached_text_size_bytes: 10, ..Limits::default() });
        for text in ["aaaa", "aaaa", "bbbb", "cccc"] {
            cache.insert(text, None, &admitted);
        }
        assert_eq!(slots(&cache), (2, 8, 2 * (4 + one)));
        cache.insert("longer than all of it", None, &admitted);
        assert_eq!(slots(&cache), (0, 0, 0));
        let cache = Cache::new(&Limits { cached_memory_size_bytes: 3 * (1 + one), ..Limits::default() });
        for text in ["a", "b", "c", "d", "e"] {
            cache.insert(text, None, &admitted);
        }
        assert_eq!(slots(&cache).0, 3);
    }
}
