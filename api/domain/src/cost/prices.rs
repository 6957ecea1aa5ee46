//! The prices that a snapshot sees, with its ids of names.
//!
//! Rows are read again when a price has been added. Names that no event had borne are looked for again each time, and checkpoints
//! always, since one of another kind may come to bear the name. Invariant: what is given is as old as the snapshot, never older.
//! Must not know: what a price is applied to.

use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::card::{BusinessValue, RateCard};
use super::rate::{PriceNames, Prices};
use crate::store::{NameDimension, Snapshot, StoreError};

/// Keeps the prices of the newest number that was asked for.
#[derive(Debug, Default)]
pub struct PricesCache(RwLock<Arc<Cached>>);

#[derive(Debug, Default)]
struct Cached {
    /// How often prices had been added.
    number: i64,
    cards: Arc<[RateCard]>,
    values: Arc<[BusinessValue]>,
    /// Ids that were known.
    names: PriceNames,
    prices: Arc<Prices>,
}

impl PricesCache {
    /// The prices as the snapshot sees them.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn prices(&self, snapshot: &Snapshot) -> Result<Arc<Prices>, StoreError> {
        let number = snapshot.prices_number().await?;
        // A poisoned lock holds whole prices all the same: they are replaced in one step.
        let cached = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let is_known = cached.number == number;
        let (cards, values) = if is_known {
            (Arc::clone(&cached.cards), Arc::clone(&cached.values))
        } else {
            (snapshot.rate_card_list().await?.into(), snapshot.business_value_list().await?.into())
        };
        // An id never changes: what was found once holds, and an older snapshot has no row with one that it does not see.
        let names = PriceNames::find(snapshot, &cards, &values, cached.names.clone()).await?;
        if is_known && names == cached.names {
            return Ok(Arc::clone(&cached.prices));
        }
        let prices = Arc::new(Prices::new(&cards, &values, &names));
        let mut newest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if newest.number <= number {
            *newest = Arc::new(Cached { number, cards, values, names, prices: Arc::clone(&prices) });
        }
        Ok(prices)
    }
}

impl PriceNames {
    /// Ids of the names that prices bear, beside those that are known already.
    async fn find(snapshot: &Snapshot, cards: &[RateCard], values: &[BusinessValue], known: Self) -> Result<Self, StoreError> {
        let mut names = known;
        let wanted = Wanted::of(cards, values);
        find(snapshot, NameDimension::InstanceType, wanted.instance_types, &mut names.instance_types).await?;
        find(snapshot, NameDimension::Region, wanted.regions, &mut names.regions).await?;
        find(snapshot, NameDimension::StorageLocation, wanted.locations, &mut names.locations).await?;
        find(snapshot, NameDimension::Model, wanted.models, &mut names.models).await?;
        find(snapshot, NameDimension::Application, wanted.applications, &mut names.applications).await?;
        let mut checkpoints: Vec<String> = values.iter().filter_map(|value| value.checkpoint.clone()).collect();
        checkpoints.sort_unstable();
        checkpoints.dedup();
        for (name, id) in snapshot.checkpoints_named(&checkpoints).await? {
            let ids = names.checkpoints.entry(name).or_default();
            if let Err(place) = ids.binary_search(&id) {
                ids.insert(place, id);
            }
        }
        Ok(names)
    }
}

/// The names that prices bear, some of them again and again.
struct Wanted<'a> {
    instance_types: Vec<&'a str>,
    regions: Vec<&'a str>,
    locations: Vec<&'a str>,
    models: Vec<&'a str>,
    applications: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(cards: &'a [RateCard], values: &'a [BusinessValue]) -> Self {
        let rates = || cards.iter().flat_map(|card| &card.instance_rates);
        let places = cards.iter().flat_map(|card| card.storage_rates.iter().chain(&card.transfer_rates));
        Self {
            instance_types: rates().map(|rate| rate.instance_type.as_str()).collect(),
            regions: rates().filter_map(|rate| rate.region.as_deref()).collect(),
            locations: places.filter_map(|rate| rate.location.as_deref()).collect(),
            models: values.iter().filter_map(|value| value.model.as_deref()).collect(),
            applications: values.iter().filter_map(|value| value.application.as_deref()).collect(),
        }
    }
}

/// Looks for the names that have no id yet.
async fn find(snapshot: &Snapshot, dimension: NameDimension, names: Vec<&str>, ids: &mut FxHashMap<String, u32>) -> Result<(), StoreError> {
    let mut unknown: Vec<String> = names.into_iter().filter(|name| !ids.contains_key(*name)).map(str::to_owned).collect();
    unknown.sort_unstable();
    unknown.dedup();
    ids.extend(snapshot.names_called(dimension, &unknown).await?);
    Ok(())
}
