//! Which price holds for what, and since when. Pure.
//!
//! The newest card with `effectiveFrom` at or before an instant that names the instance type (storage type) is asked, and no older
//! one; in it the entry with the most fields that match, all given ones must; equal: region first (contract, "Money", 1 and 8).
//! Names are ids of the snapshot that the prices belong to; what no event has named yet has none and is left out.
//! Invariant: the answer depends on the set of cards alone. Must not know: machines, the database.

use plimsoll_entity::value::label::{PurchaseOption, StorageType};
use plimsoll_entity::value::time::{Instant, Window};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::card::{BusinessValue, PlaceEntry, RateCard};

/// Stands for a field that is not given, in the place of an id; no name has this id.
const ANY: u32 = 0;

/// Ids of names, of those that events have named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceNames {
    /// Instance types.
    pub instance_types: FxHashMap<String, u32>,
    /// Regions.
    pub regions: FxHashMap<String, u32>,
    /// Storage locations.
    pub locations: FxHashMap<String, u32>,
    /// Base models.
    pub models: FxHashMap<String, u32>,
    /// Checkpoints: one of each kind may bear a name.
    pub checkpoints: FxHashMap<String, Vec<u32>>,
    /// Applications.
    pub applications: FxHashMap<String, u32>,
}

/// What holds from an instant until the next one. The last of one instant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dated<T>(Vec<(Instant, T)>);

impl<T> Default for Dated<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Dated<T> {
    /// What holds at an instant, and since when.
    fn since_at(&self, at: Instant) -> Option<&(Instant, T)> {
        let until = self.0.partition_point(|(from, _)| *from <= at);
        self.0.get(until.checked_sub(1)?)
    }

    fn at(&self, at: Instant) -> Option<&T> {
        self.since_at(at).map(|(_, what)| what)
    }

    /// Instants inside of a window (not its start) from which on something else holds, ascending.
    fn changes(&self, window: Window) -> Vec<Instant> {
        let first = self.0.partition_point(|(from, _)| *from <= window.start);
        let inside = self.0[first..].iter().map(|(from, _)| *from).take_while(|from| *from < window.end);
        let mut changes: Vec<Instant> = inside.collect();
        changes.dedup();
        changes
    }
}

/// Entries of one instance type in one card, by region ([`ANY`]: everywhere) and purchase option, in order.
type TypeEntries = Vec<((u32, Option<PurchaseOption>), i64)>;
/// Entries of one storage type in one card, by location ([`ANY`]: everywhere), in order.
type PlaceEntries = Vec<(u32, i64)>;

/// Prices of places by storage type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PlacePrices(FxHashMap<StorageType, Dated<PlaceEntries>>);

impl PlacePrices {
    /// Adds the entries of a card; cards come in the order in which they hold.
    fn add(&mut self, from: Instant, rates: &[PlaceEntry], names: &PriceNames) {
        let mut of_card: FxHashMap<StorageType, PlaceEntries> = FxHashMap::default();
        for rate in rates {
            // A card that names the storage type is asked, whether anything lies at its places or not.
            let entries = of_card.entry(rate.storage_type).or_default();
            if let Some(location) = known(&names.locations, rate.location.as_deref()) {
                entries.push((location, rate.per_gib));
            }
        }
        for (storage_type, mut entries) in of_card {
            entries.sort_unstable_by_key(|(location, _)| *location);
            self.0.entry(storage_type).or_default().0.push((from, entries));
        }
    }

    fn at(&self, at: Instant, storage_type: StorageType, location_id: u32) -> Option<i64> {
        let entries = self.0.get(&storage_type)?.at(at)?;
        let of = |location: u32| entries.binary_search_by_key(&location, |(location, _)| *location).ok().map(|place| entries[place].1);
        of(location_id).or_else(|| of(ANY))
    }

    fn changes(&self, storage_type: StorageType, window: Window) -> Vec<Instant> {
        self.0.get(&storage_type).map(|dated| dated.changes(window)).unwrap_or_default()
    }
}

/// The id of a name: [`ANY`] when none is given, none when no event has named it.
fn known(ids: &FxHashMap<String, u32>, name: Option<&str>) -> Option<u32> {
    name.map_or(Some(ANY), |name| ids.get(name).copied())
}

/// Business values of one scope: id and nano-units.
type Values = Dated<(Uuid, i64)>;

/// Every price of one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    instance_types: FxHashMap<u32, Dated<TypeEntries>>,
    storage: PlacePrices,
    transfer: PlacePrices,
    /// By base model, checkpoint and application; [`ANY`]: any.
    values: FxHashMap<(u32, u32, u32), Values>,
}

impl Prices {
    /// The prices of all cards and business values, in whatever order these come.
    #[must_use]
    pub fn new(cards: &[RateCard], values: &[BusinessValue], names: &PriceNames) -> Self {
        let mut prices = Self::default();
        let mut in_order: Vec<&RateCard> = cards.iter().collect();
        in_order.sort_unstable_by_key(|card| (card.effective_from, card.id));
        for card in in_order {
            prices.add_instance_rates(card, names);
            prices.storage.add(card.effective_from, &card.storage_rates, names);
            prices.transfer.add(card.effective_from, &card.transfer_rates, names);
        }
        let mut in_order: Vec<&BusinessValue> = values.iter().collect();
        in_order.sort_unstable_by_key(|value| (value.effective_from, value.id));
        for value in in_order {
            prices.add_value(value, names);
        }
        prices
    }

    fn add_instance_rates(&mut self, card: &RateCard, names: &PriceNames) {
        let mut of_card: FxHashMap<u32, TypeEntries> = FxHashMap::default();
        for rate in &card.instance_rates {
            let Some(instance_type_id) = names.instance_types.get(&rate.instance_type) else { continue };
            // A card that names the type is asked, whether there are machines in its regions or not.
            let entries = of_card.entry(*instance_type_id).or_default();
            if let Some(region) = known(&names.regions, rate.region.as_deref()) {
                entries.push(((region, rate.purchase_option), rate.hourly));
            }
        }
        for (instance_type_id, mut entries) in of_card {
            entries.sort_unstable_by_key(|(key, _)| *key);
            self.instance_types.entry(instance_type_id).or_default().0.push((card.effective_from, entries));
        }
    }

    fn add_value(&mut self, value: &BusinessValue, names: &PriceNames) {
        let model = known(&names.models, value.model.as_deref());
        let Some((model, application)) = model.zip(known(&names.applications, value.application.as_deref())) else { return };
        let checkpoints = match &value.checkpoint {
            None => &[ANY][..],
            Some(name) => names.checkpoints.get(name).map_or(&[][..], Vec::as_slice),
        };
        for checkpoint in checkpoints {
            let dated = self.values.entry((model, *checkpoint, application)).or_default();
            dated.0.push((value.effective_from, (value.id, value.per_success)));
        }
    }

    /// Nano-units an hour of a machine at an instant; none: no rate is in force. `region_id` 0: none was told.
    #[must_use]
    pub fn hourly_at(&self, at: Instant, instance_type_id: u32, region_id: u32, purchase_option: Option<PurchaseOption>) -> Option<i64> {
        let entries = self.instance_types.get(&instance_type_id)?.at(at)?;
        let of =
            |key: (u32, Option<PurchaseOption>)| entries.binary_search_by_key(&key, |(key, _)| *key).ok().map(|place| entries[place].1);
        let closest = [(region_id, purchase_option), (region_id, None), (ANY, purchase_option), (ANY, None)];
        closest.into_iter().find_map(of)
    }

    /// Instants inside of a window (not its start) from which on a newer card names an instance type, ascending.
    #[must_use]
    pub fn hourly_changes(&self, instance_type_id: u32, window: Window) -> Vec<Instant> {
        self.instance_types.get(&instance_type_id).map(|dated| dated.changes(window)).unwrap_or_default()
    }

    /// Nano-units a GiB and month of bytes at a place; none: no rate is in force. `location_id` 0: none was told.
    #[must_use]
    pub fn storage_at(&self, at: Instant, storage_type: StorageType, location_id: u32) -> Option<i64> {
        self.storage.at(at, storage_type, location_id)
    }

    /// Instants inside of a window (not its start) from which on a newer card names a storage type for storage, ascending.
    #[must_use]
    pub fn storage_changes(&self, storage_type: StorageType, window: Window) -> Vec<Instant> {
        self.storage.changes(storage_type, window)
    }

    /// Nano-units a GiB that comes from a place; none: no rate is in force. `location_id` 0: none was told.
    #[must_use]
    pub fn transfer_at(&self, at: Instant, storage_type: StorageType, location_id: u32) -> Option<i64> {
        self.transfer.at(at, storage_type, location_id)
    }

    /// Nano-units that a successful execution is worth which finished at an instant: of the business values in force then, the one
    /// with the most fields that match, then the newest, then the greatest id. None: no value is in force. `application_id` 0: none
    /// was told.
    #[must_use]
    pub fn value_at(&self, at: Instant, model_id: u32, checkpoint_ids: &[u32], application_id: u32) -> Option<i64> {
        if self.values.is_empty() {
            return None;
        }
        // What is unknown matches no value that gives it, and must not be looked up as one that gives nothing.
        let told = |id: u32| (id != ANY).then_some(id);
        let (model, application) = (told(model_id), told(application_id));
        let mut best: Option<(u32, Instant, Uuid, i64)> = None;
        let checkpoints = checkpoint_ids.iter().copied().filter_map(told).map(Some).chain([None]);
        for checkpoint in checkpoints {
            for model in [model, None] {
                for application in [application, None] {
                    let scope = [model, checkpoint, application];
                    let fields = scope.iter().flatten().count() as u32;
                    let [model, checkpoint, application] = scope.map(|id| id.unwrap_or(ANY));
                    let found = self.values.get(&(model, checkpoint, application)).and_then(|dated| dated.since_at(at));
                    best = best.max(found.map(|(from, (id, nanos))| (fields, *from, *id, *nanos)));
                }
            }
        }
        best.map(|(.., nanos)| nanos)
    }
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
