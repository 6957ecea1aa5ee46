//! Which price holds for what, and since when. Pure.
//!
//! The newest card with `effectiveFrom` at or before an instant that names the instance type (storage type) is asked, and no older
//! one; in it the entry with the most fields that match, all given ones must; equal: region first (contract, "Money", 1 and 8).
//! Names are ids of the snapshot that the prices belong to; what no event has named yet has none and is left out.
//! Invariant: the answer depends on the set of cards alone. Must not know: machines, the database.

use plimsoll_entity::value::label::{PurchaseOption, StorageType};
use plimsoll_entity::value::time::{Instant, Window};

/// The price of machines of one instance type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceRate {
    /// Only in this region; none: everywhere.
    pub region_id: Option<u32>,
    /// Only bought this way; none: however bought.
    pub purchase_option: Option<PurchaseOption>,
    /// Nano-units an hour.
    pub hourly: i64,
}

/// Every price of one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {}

impl Prices {
    /// Nano-units an hour of a machine at an instant; none: no rate is in force.
    #[must_use]
    pub fn hourly_at(&self, at: Instant, instance_type_id: u32, region_id: u32, purchase_option: Option<PurchaseOption>) -> Option<i64> {
        let _ = (at, instance_type_id, region_id, purchase_option);
        None
    }

    /// Instants inside of a window (not its start) from which on a newer card names an instance type, ascending.
    #[must_use]
    pub fn hourly_changes(&self, instance_type_id: u32, window: Window) -> Vec<Instant> {
        let _ = (instance_type_id, window);
        Vec::new()
    }

    /// Nano-units a GiB and month of bytes at a place; none: no rate is in force. `location_id` 0: none was told.
    #[must_use]
    pub fn storage_at(&self, at: Instant, storage_type: StorageType, location_id: u32) -> Option<i64> {
        let _ = (at, storage_type, location_id);
        None
    }

    /// Instants inside of a window (not its start) from which on a newer card names a storage type for storage, ascending.
    #[must_use]
    pub fn storage_changes(&self, storage_type: StorageType, window: Window) -> Vec<Instant> {
        let _ = (storage_type, window);
        Vec::new()
    }

    /// Nano-units a GiB that comes from a place; none: no rate is in force.
    #[must_use]
    pub fn transfer_at(&self, at: Instant, storage_type: StorageType, location_id: u32) -> Option<i64> {
        let _ = (at, storage_type, location_id);
        None
    }

    /// Nano-units that a successful execution is worth which finished at an instant: of the business values in force then, the one
    /// with the most fields that match, then the newest, then the greatest id. None: no value is in force.
    #[must_use]
    pub fn value_at(&self, at: Instant, model_id: u32, checkpoint_ids: &[u32], application_id: u32) -> Option<i64> {
        let _ = (at, model_id, checkpoint_ids, application_id);
        None
    }
}
