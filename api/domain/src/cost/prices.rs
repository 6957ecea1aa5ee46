//! The prices that a snapshot sees, with its ids of names.
//!
//! Rows are read again when a price has been added. Names that no event had borne are looked for again each time, and checkpoints
//! always, since one of another kind may come to bear the name. Invariant: what is given is as old as the snapshot, never older.
//! Must not know: what a price is applied to.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

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
    rows: Arc<PriceRows>,
    /// Ids that were known.
    names: PriceNames,
    prices: Arc<Prices>,
}

/// What is the same until a price is added.
#[derive(Debug, Default)]
struct PriceRows {
    cards: Vec<RateCard>,
    values: Vec<BusinessValue>,
    borne: Borne,
}

impl PriceRows {
    async fn read(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let (cards, values) = (snapshot.rate_card_list().await?, snapshot.business_value_list().await?);
        let borne = Borne::of(&cards, &values);
        Ok(Self { cards, values, borne })
    }
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
        let rows = if is_known { Arc::clone(&cached.rows) } else { Arc::new(PriceRows::read(snapshot).await?) };
        // An id never changes: what was found once holds, and an older snapshot has no row with one that it does not see.
        let names = rows.borne.find(snapshot, cached.names.clone()).await?;
        if is_known && names == cached.names {
            return Ok(Arc::clone(&cached.prices));
        }
        let prices = Arc::new(Prices::new(&rows.cards, &rows.values, &names));
        let mut newest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if newest.number <= number {
            *newest = Arc::new(Cached { number, rows, names, prices: Arc::clone(&prices) });
        }
        Ok(prices)
    }
}

/// Names that prices bear, each once.
#[derive(Debug, Default)]
struct Borne {
    instance_types: Vec<String>,
    regions: Vec<String>,
    locations: Vec<String>,
    models: Vec<String>,
    checkpoints: Vec<String>,
    applications: Vec<String>,
}

impl Borne {
    fn of(cards: &[RateCard], values: &[BusinessValue]) -> Self {
        let rates = || cards.iter().flat_map(|card| &card.instance_rates);
        let places = cards.iter().flat_map(|card| card.storage_rates.iter().chain(&card.transfer_rates));
        Self {
            instance_types: once(rates().map(|rate| &rate.instance_type)),
            regions: once(rates().filter_map(|rate| rate.region.as_ref())),
            locations: once(places.filter_map(|place| place.location.as_ref())),
            models: once(values.iter().filter_map(|value| value.model.as_ref())),
            checkpoints: once(values.iter().filter_map(|value| value.checkpoint.as_ref())),
            applications: once(values.iter().filter_map(|value| value.application.as_ref())),
        }
    }

    /// Ids of the names, beside those that are known already.
    async fn find(&self, snapshot: &Snapshot, mut known: PriceNames) -> Result<PriceNames, StoreError> {
        for (dimension, names, ids) in [
            (NameDimension::InstanceType, &self.instance_types, &mut known.instance_types),
            (NameDimension::Region, &self.regions, &mut known.regions),
            (NameDimension::StorageLocation, &self.locations, &mut known.locations),
            (NameDimension::Model, &self.models, &mut known.models),
            (NameDimension::Application, &self.applications, &mut known.applications),
        ] {
            let unknown: Vec<String> = names.iter().filter(|name| !ids.contains_key(*name)).cloned().collect();
            ids.extend(snapshot.names_called(dimension, &unknown).await?);
        }
        for (name, id) in snapshot.checkpoints_named(&self.checkpoints).await? {
            let ids = known.checkpoints.entry(name).or_default();
            if let Err(place) = ids.binary_search(&id) {
                ids.insert(place, id);
            }
        }
        Ok(known)
    }
}

fn once<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}
