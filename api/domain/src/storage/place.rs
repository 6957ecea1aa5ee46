//! A place: an artifact on a storage type at a location, packed into one id. Pure.
//!
//! Invariant: the database keeps these ids, so that the layout never changes. 0 stands for none.

use uuid::Uuid;

use crate::cell::part::{KEY_WIDTH, Key, KeyColumn};

/// Bits of the ids below the storage type.
const LOCATION_BITS: u32 = 32;
/// Where the storage type begins, behind 16 bits that are 0.
const TYPE_SHIFT: u32 = LOCATION_BITS + 16;
/// Where the checkpoint version begins.
const CHECKPOINT_SHIFT: u32 = 64;
/// Where the base model version begins.
const MODEL_SHIFT: u32 = 96;

/// An artifact on a storage type at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Base model version; 0: a checkpoint of no known base model.
    pub model_version_id: u32,
    /// Checkpoint version; 0: the base model itself.
    pub checkpoint_version_id: u32,
    /// Code of the storage type.
    pub storage_type: i16,
    /// Storage location; 0 where none was told.
    pub storage_location_id: u32,
}

impl Place {
    /// The id that the database keeps.
    #[must_use]
    pub fn id(self) -> Uuid {
        let packed = u128::from(self.model_version_id) << MODEL_SHIFT
            | u128::from(self.checkpoint_version_id) << CHECKPOINT_SHIFT
            | u128::from(self.storage_type as u16) << TYPE_SHIFT
            | u128::from(self.storage_location_id);
        Uuid::from_u128(packed)
    }

    /// The place of an id.
    #[must_use]
    pub const fn of(id: Uuid) -> Self {
        let packed = id.as_u128();
        Self {
            model_version_id: (packed >> MODEL_SHIFT) as u32,
            checkpoint_version_id: (packed >> CHECKPOINT_SHIFT) as u32,
            storage_type: (packed >> TYPE_SHIFT) as u16 as i16,
            storage_location_id: packed as u32,
        }
    }

    /// The key under which cells of loads count what came from it.
    #[must_use]
    pub fn key(self) -> Key {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::ModelVersion as usize] = self.model_version_id;
        key[KeyColumn::CheckpointVersion as usize] = self.checkpoint_version_id;
        key[KeyColumn::StorageType as usize] = self.storage_type as u32 + 1;
        key[KeyColumn::StorageLocation as usize] = self.storage_location_id;
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let place = Place { model_version_id: 0xfedc_ba98, checkpoint_version_id: 7, storage_type: 4, storage_location_id: u32::MAX };
        assert_eq!(Place::of(place.id()), place);
        assert_eq!(place.id().simple().to_string(), "fedcba980000000700040000ffffffff");
    }
}
