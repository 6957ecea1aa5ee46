//! What the made-up studio pays, and what its work is worth to it.
//!
//! Two rate cards: one from before everything, one of the last third, in which two instance types have other prices. Machines that are
//! bought as no rate says (`c3-02` on spot) have none, and speech has no value, so that what is unknown shows. Invariant: ids are the
//! same for everybody, so that a price is entered once. Must not know: the database.

use plimsoll_entity::value::label::{PurchaseOption, StorageType};
use plimsoll_entity::value::time::{DAY_US, Instant, Window};
use uuid::Uuid;

use crate::cost::card::{BusinessValue, InstanceEntry, PlaceEntry, RateCard};
use crate::demo::studio::{APPLICATIONS, CHECKPOINTS, INSTANCE_TYPES, MODELS};

use PurchaseOption::{OnDemand, Reserved, Spot};

/// Who is said to have entered them.
const ENTERED_BY: &str = "demo";
/// The first bits of every id.
const IDS: u128 = 0x0190_0000_0000_7000_8000_0de0_0000_0000;
/// Days before the end from which on the second card holds.
const NEW_PRICES_DAYS: i64 = 10;

/// Instance type (index), region, purchase option, millis of the currency an hour.
type Rate = (usize, Option<&'static str>, Option<PurchaseOption>, i64);

/// Rates of instance types.
const RATES: [Rate; 13] = [
    (0, None, Some(OnDemand), 978),
    (0, Some("eu-central-1"), Some(OnDemand), 1_222),
    (0, None, Some(Spot), 412),
    (1, None, Some(OnDemand), 10_140),
    (1, None, Some(Spot), 4_280),
    (2, None, Some(OnDemand), 15_066),
    (2, Some("eu-central-1"), Some(OnDemand), 18_833),
    (2, None, Some(Spot), 6_610),
    (3, None, None, 21_958),
    (3, None, Some(Reserved), 12_880),
    (3, None, Some(Spot), 8_450),
    (4, None, Some(OnDemand), 1_113),
    (4, None, Some(Reserved), 701),
];

/// Rates of the instance types that have other prices later: all of them, since a newer card is asked alone.
const NEW_RATES: [Rate; 5] = [
    (0, None, Some(OnDemand), 1_026),
    (0, Some("eu-central-1"), Some(OnDemand), 1_283),
    (0, None, Some(Spot), 371),
    (1, None, Some(OnDemand), 9_630),
    (1, None, Some(Spot), 4_650),
];

/// Storage type, location, millis of the currency a GiB and month.
const STORAGE: [(StorageType, Option<&str>, i64); 4] = [
    (StorageType::ObjectStore, None, 23),
    (StorageType::ObjectStore, Some("gs://studio-weights-eu"), 20),
    (StorageType::NetworkFilesystem, None, 160),
    (StorageType::NetworkFilesystem, Some("fsx-weights"), 145),
];

/// Storage type, location, millis of the currency a GiB that comes from there.
const TRANSFER: [(StorageType, Option<&str>, i64); 3] = [
    (StorageType::ObjectStore, None, 10),
    (StorageType::ObjectStore, Some("gs://studio-weights-eu"), 12),
    (StorageType::NetworkFilesystem, None, 2),
];

/// Base model (index), checkpoint (index), application (index), millis of the currency a success.
type Value = (Option<usize>, Option<usize>, Option<usize>, i64);

/// What a success is worth.
const VALUES: [Value; 9] = [
    (Some(0), None, None, 1_900),
    (Some(0), None, Some(0), 3_100),
    (Some(1), None, None, 2_700),
    (Some(3), None, None, 5_800),
    (Some(5), None, None, 8_100),
    (Some(6), None, None, 2_500),
    (None, Some(0), None, 250),
    (None, Some(19), None, 9_000),
    (Some(0), Some(4), None, 900),
];

const fn nanos(millis: i64) -> i64 {
    millis * 1_000_000
}

/// What the studio pays and what its work is worth.
#[derive(Clone, Debug)]
pub struct Prices {
    /// Rate cards.
    pub cards: Vec<RateCard>,
    /// Business values.
    pub values: Vec<BusinessValue>,
}

/// The prices of a month of a scale that ends at `end`, in this currency.
#[must_use]
pub fn prices(end: Instant, days: i64, currency: &str) -> Prices {
    let midnight = |days_before: i64| Instant((end.0.div_euclid(DAY_US) - days_before) * DAY_US);
    let window = Window { start: Instant(end.0 - days * DAY_US), end };
    let before = Instant(window.start.0.div_euclid(DAY_US) * DAY_US - DAY_US);
    let card = |number: u128, effective_from, rates: &[Rate], places: bool| RateCard {
        id: Uuid::from_u128(IDS + number),
        currency: currency.to_owned(),
        effective_from,
        instance_rates: rates.iter().map(instance_entry).collect(),
        storage_rates: STORAGE.iter().filter(|_| places).map(place_entry).collect(),
        transfer_rates: TRANSFER.iter().filter(|_| places).map(place_entry).collect(),
        created_at: end,
        created_by: ENTERED_BY.to_owned(),
    };
    let value = |(number, (model, checkpoint, application, millis)): (u128, &Value)| BusinessValue {
        id: Uuid::from_u128(IDS + 0x100 + number),
        model: model.map(|model| MODELS[model].name.to_owned()),
        checkpoint: checkpoint.map(|checkpoint| CHECKPOINTS[checkpoint].name.to_owned()),
        application: application.map(|application| APPLICATIONS[application].to_owned()),
        per_success: nanos(*millis),
        currency: currency.to_owned(),
        effective_from: before,
        created_at: end,
        created_by: ENTERED_BY.to_owned(),
    };
    Prices {
        cards: vec![card(1, before, &RATES, true), card(2, midnight(NEW_PRICES_DAYS), &NEW_RATES, false)],
        values: (1..).zip(&VALUES).map(value).collect(),
    }
}

fn instance_entry(&(kind, region, purchase_option, millis): &Rate) -> InstanceEntry {
    let instance_type = INSTANCE_TYPES[kind].name.to_owned();
    InstanceEntry { instance_type, region: region.map(str::to_owned), purchase_option, hourly: nanos(millis) }
}

fn place_entry(&(storage_type, location, millis): &(StorageType, Option<&str>, i64)) -> PlaceEntry {
    PlaceEntry { storage_type, location: location.map(str::to_owned), per_gib: nanos(millis) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::card::{Settled, contradictions, value_contradictions};

    #[test]
    fn the_prices_contradict_nothing() {
        let Prices { cards, values } = prices(Instant(1_774_700_000_000_000), 30, "USD");
        for (place, card) in cards.iter().enumerate() {
            assert_eq!(contradictions(card, &cards[..place], Settled::default()), []);
        }
        for (place, value) in values.iter().enumerate() {
            assert_eq!(value_contradictions(value, &values[..place], Settled::default()), []);
        }
        assert!(cards[0].effective_from < cards[1].effective_from && cards[1].effective_from.0 % DAY_US == 0);
    }
}
