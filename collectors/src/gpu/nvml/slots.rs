//! Which GPU of a machine has which index, for as long as the process runs.
//!
//! The library counts the GPUs anew whenever it is opened, and one that has fallen off the bus may not be counted any more:
//! those behind it move up. A sample must not be booked on its neighbour for that, so a GPU keeps the index under which it was
//! seen first, by its uuid.
//!
//! Invariants: an index belongs to one uuid; a GPU that is not there any more keeps its index until another GPU needs it.
//! Must not know: the library.

/// GPUs by the index that they keep.
#[derive(Debug, Default)]
pub(super) struct Slots {
    uuids: Vec<Option<String>>,
}

impl Slots {
    /// How many GPUs there are, those included that are not there any more.
    pub(super) fn count(&self) -> usize {
        self.uuids.len()
    }

    /// Takes in what the library tells when it has been opened: the uuid at each of its indices, where it tells one. Answers
    /// with the library's index of each slot, `None` for a GPU that is not there.
    pub(super) fn assign(&mut self, told: Vec<Option<String>>) -> Vec<Option<u32>> {
        let mut indices = vec![None; self.count()];
        let mut newcomers = Vec::new();
        for (index, uuid) in (0..).zip(told) {
            match uuid.as_deref().and_then(|uuid| self.slot_of(uuid)) {
                Some(slot) => indices[slot] = Some(index),
                None => newcomers.push((index, uuid)),
            }
        }
        for (index, uuid) in newcomers {
            let slot = free_slot(&indices, index);
            if slot >= indices.len() {
                indices.resize(slot + 1, None);
                self.uuids.resize(slot + 1, None);
            }
            indices[slot] = Some(index);
            if uuid.is_some() {
                self.uuids[slot] = uuid;
            }
        }
        indices
    }

    /// Whether the GPU that was read in this slot is the slot's own; one that has told no uuid yet is noted.
    pub(super) fn admits(&mut self, slot: usize, uuid: &str) -> bool {
        match self.slot_of(uuid) {
            Some(known) => known == slot,
            None => match self.uuids.get_mut(slot) {
                Some(unknown @ None) => {
                    *unknown = Some(uuid.to_owned());
                    true
                }
                _ => false,
            },
        }
    }

    fn slot_of(&self, uuid: &str) -> Option<usize> {
        self.uuids.iter().position(|known| known.as_deref() == Some(uuid))
    }
}

/// The slot for a GPU that is new: the one of its index, where that is free, else the first that is.
fn free_slot(indices: &[Option<u32>], index: u32) -> usize {
    let is_free = |slot: usize| indices.get(slot).is_none_or(Option::is_none);
    usize::try_from(index).ok().filter(|slot| is_free(*slot)).unwrap_or_else(|| {
        let first = indices.iter().position(Option::is_none);
        first.unwrap_or(indices.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(uuids: &[&str]) -> Vec<Option<String>> {
        uuids.iter().map(|uuid| (!uuid.is_empty()).then(|| (*uuid).to_owned())).collect()
    }

    fn slots(uuids: &[&str]) -> Slots {
        let mut slots = Slots::default();
        assert_eq!(slots.assign(told(uuids)), (0..).take(uuids.len()).map(Some).collect::<Vec<_>>());
        slots
    }

    #[test]
    fn a_gpu_keeps_its_index_when_those_before_it_go() {
        let mut slots = slots(&["a", "b", "c"]);
        assert_eq!(slots.assign(told(&["a", "c"])), [Some(0), None, Some(1)]);
        assert_eq!(slots.assign(told(&["c", "b", "a"])), [Some(2), Some(1), Some(0)]);
        assert_eq!(slots.count(), 3);
    }

    #[test]
    fn a_gpu_that_tells_no_uuid_keeps_its_index_as_well() {
        let mut slots = slots(&["a", "", "c"]);
        assert_eq!(slots.assign(told(&["a", "", "c"])), [Some(0), Some(1), Some(2)]);
        assert!(slots.admits(1, "b"), "it may tell it later");
        assert!(slots.admits(1, "b") && !slots.admits(1, "x") && !slots.admits(1, "c"), "and then it is known");
        assert_eq!(slots.assign(told(&["b", "", "c"])), [Some(1), Some(0), Some(2)], "which is left for the other");
    }

    #[test]
    fn a_new_gpu_takes_its_index_or_the_place_of_one_that_went() {
        let mut slots = slots(&["a", "b"]);
        assert_eq!(slots.assign(told(&["a", "new"])), [Some(0), Some(1)]);
        assert_eq!(slots.assign(told(&["new", "newer"])), [Some(1), Some(0)], "its own index is taken");
        assert_eq!(slots.assign(told(&["newest", "newer", "new"])), [Some(1), Some(2), Some(0)]);
        assert!(slots.admits(2, "newest") && !slots.admits(9, "x"));
    }
}
