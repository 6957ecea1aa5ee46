//! Prices against a naive reading of the rules: every card and value is looked at for each question.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::cost::card::InstanceEntry;

/// A name that no event has borne.
const UNKNOWN: &str = "9";
const INSTANTS: std::ops::Range<i64> = 0..8;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => (1..4_u32).prop_map(|id| id.to_string()), 1 => Just(UNKNOWN.to_owned())]
}

/// Ids of the names that events have borne: a name is the number of its id; two checkpoints bear the name `1`.
fn names() -> PriceNames {
    let ids: FxHashMap<String, u32> = (1..4).map(|id: u32| (id.to_string(), id)).collect();
    let mut checkpoints: FxHashMap<String, Vec<u32>> = ids.iter().map(|(name, id)| (name.clone(), vec![*id])).collect();
    checkpoints.insert("1".to_owned(), vec![1, 7]);
    PriceNames {
        instance_types: ids.clone(),
        regions: ids.clone(),
        locations: ids.clone(),
        models: ids.clone(),
        checkpoints,
        applications: ids,
    }
}

/// Whether a condition on a name matches an id.
fn fits(given: Option<&String>, id: u32) -> bool {
    given.is_none_or(|name| *name == id.to_string())
}

fn purchase_option() -> impl Strategy<Value = Option<PurchaseOption>> {
    option::of(prop::sample::select(PurchaseOption::ALL))
}

fn storage_type() -> impl Strategy<Value = StorageType> {
    prop::sample::select(&StorageType::ALL[..2])
}

fn places() -> impl Strategy<Value = Vec<PlaceEntry>> {
    let place = (storage_type(), option::of(name()), 0..1_000_i64);
    let place = place.prop_map(|(storage_type, location, per_gib)| PlaceEntry { storage_type, location, per_gib });
    vec(place, 0..6).prop_map(|mut rates| {
        rates.sort_by(|one, other| (one.storage_type, &one.location).cmp(&(other.storage_type, &other.location)));
        rates.dedup_by(|one, other| (one.storage_type, &one.location) == (other.storage_type, &other.location));
        rates
    })
}

fn instances() -> impl Strategy<Value = Vec<InstanceEntry>> {
    let rate = (name(), option::of(name()), purchase_option(), 0..1_000_i64);
    let rate =
        rate.prop_map(|(instance_type, region, purchase_option, hourly)| InstanceEntry { instance_type, region, purchase_option, hourly });
    vec(rate, 0..12).prop_map(|mut rates| {
        let key = |rate: &InstanceEntry| (rate.instance_type.clone(), rate.region.clone(), rate.purchase_option);
        rates.sort_by_key(key);
        rates.dedup_by_key(|rate| key(rate));
        rates
    })
}

/// Cards in no order; even two that hold from the same instant have one answer.
fn cards() -> impl Strategy<Value = Vec<RateCard>> {
    let card = (INSTANTS, instances(), places(), places());
    vec(card, 0..6).prop_map(|cards| {
        let card = |(number, (from, instance_rates, storage_rates, transfer_rates)): (usize, _)| RateCard {
            id: Uuid::from_u128(number as u128),
            currency: "USD".to_owned(),
            effective_from: Instant(from),
            instance_rates,
            storage_rates,
            transfer_rates,
            created_at: Instant(0),
            created_by: String::new(),
        };
        cards.into_iter().enumerate().map(card).collect()
    })
}

fn values() -> impl Strategy<Value = Vec<BusinessValue>> {
    let value = (INSTANTS, option::of(name()), option::of(name()), option::of(name()), 0..1_000_i64);
    vec(value, 0..10).prop_map(|values| {
        let value = |(number, (from, model, checkpoint, application, per_success)): (usize, _)| BusinessValue {
            id: Uuid::from_u128(number as u128),
            model,
            checkpoint,
            application,
            per_success,
            currency: "USD".to_owned(),
            effective_from: Instant(from),
            created_at: Instant(0),
            created_by: String::new(),
        };
        values.into_iter().enumerate().map(value).collect()
    })
}

fn newest(cards: &[RateCard], at: Instant, names_it: impl Fn(&RateCard) -> bool) -> Option<&RateCard> {
    let in_force = cards.iter().filter(|card| card.effective_from <= at && names_it(card));
    in_force.max_by_key(|card| (card.effective_from, card.id))
}

fn naive_hourly(cards: &[RateCard], at: Instant, ty: u32, region: u32, option: Option<PurchaseOption>) -> Option<i64> {
    let of_type = |rate: &&InstanceEntry| rate.instance_type == ty.to_string();
    let card = newest(cards, at, |card| card.instance_rates.iter().any(|rate| of_type(&rate)))?;
    let fitting = card
        .instance_rates
        .iter()
        .filter(of_type)
        .filter(|rate| fits(rate.region.as_ref(), region) && (rate.purchase_option.is_none() || rate.purchase_option == option));
    let fields =
        |rate: &&InstanceEntry| (u32::from(rate.region.is_some()) + u32::from(rate.purchase_option.is_some()), rate.region.is_some());
    fitting.max_by_key(fields).map(|rate| rate.hourly)
}

fn naive_place(
    cards: &[RateCard],
    at: Instant,
    rates: impl Fn(&RateCard) -> &[PlaceEntry],
    storage_type: StorageType,
    location: u32,
) -> Option<i64> {
    let of_type = |rate: &&PlaceEntry| rate.storage_type == storage_type;
    let card = newest(cards, at, |card| rates(card).iter().any(|rate| of_type(&rate)))?;
    let fitting = rates(card).iter().filter(of_type).filter(|rate| fits(rate.location.as_ref(), location));
    fitting.max_by_key(|rate| rate.location.is_some()).map(|rate| rate.per_gib)
}

fn naive_value(values: &[BusinessValue], at: Instant, model: u32, checkpoints: &[u32], application: u32) -> Option<i64> {
    // The checkpoint 7 bears the name `1` as well.
    let bears = |name: &String, id: u32| *name == if id == 7 { "1".to_owned() } else { id.to_string() };
    let in_force = values.iter().filter(|value| {
        value.effective_from <= at
            && fits(value.model.as_ref(), model)
            && fits(value.application.as_ref(), application)
            && value.checkpoint.as_ref().is_none_or(|name| checkpoints.iter().any(|id| bears(name, *id)))
    });
    let best = in_force.max_by_key(|value| (value.scope().iter().flatten().count(), value.effective_from, value.id));
    best.map(|value| value.per_success)
}

/// Changes by the rule: inside of the window, each once.
fn naive_changes(cards: &[RateCard], window: Window, names_it: impl Fn(&RateCard) -> bool) -> Vec<Instant> {
    let mut changes: Vec<Instant> = cards.iter().filter(|card| names_it(card)).map(|card| card.effective_from).collect();
    changes.retain(|at| window.start < *at && *at < window.end);
    changes.sort_unstable();
    changes.dedup();
    changes
}

proptest! {
    #[test]
    fn machines_cost_what_the_rule_says(cards in cards(), at in INSTANTS, ty in 1..4_u32, region in 0..4_u32, option in purchase_option()) {
        let (prices, at) = (Prices::new(&cards, &[], &names()), Instant(at));
        prop_assert_eq!(prices.hourly_at(at, ty, region, option), naive_hourly(&cards, at, ty, region, option));
    }

    #[test]
    fn bytes_cost_what_the_rule_says(cards in cards(), at in INSTANTS, storage_type in storage_type(), location in 0..4_u32) {
        let (prices, at) = (Prices::new(&cards, &[], &names()), Instant(at));
        let storage = naive_place(&cards, at, |card| &card.storage_rates, storage_type, location);
        prop_assert_eq!(prices.storage_at(at, storage_type, location), storage);
        let transfer = naive_place(&cards, at, |card| &card.transfer_rates, storage_type, location);
        prop_assert_eq!(prices.transfer_at(at, storage_type, location), transfer);
    }

    #[test]
    fn executions_are_worth_what_the_rule_says(
        values in values(),
        at in INSTANTS,
        model in 1..4_u32,
        checkpoints in prop::sample::subsequence(vec![1, 2, 3, 7], 0..=4),
        application in 0..4_u32,
    ) {
        let (prices, at) = (Prices::new(&[], &values, &names()), Instant(at));
        prop_assert_eq!(prices.value_at(at, model, &checkpoints, application), naive_value(&values, at, model, &checkpoints, application));
    }

    #[test]
    fn changes_are_told_and_the_order_of_cards_is_nothing(cards in cards(), start in INSTANTS, length in INSTANTS, ty in 1..4_u32, kind in storage_type()) {
        let (prices, window) = (Prices::new(&cards, &[], &names()), Window::of(start, start + length));
        let names_type = |card: &RateCard| card.instance_rates.iter().any(|rate| rate.instance_type == ty.to_string());
        prop_assert_eq!(prices.hourly_changes(ty, window), naive_changes(&cards, window, names_type));
        let names_storage = |card: &RateCard| card.storage_rates.iter().any(|rate| rate.storage_type == kind);
        prop_assert_eq!(prices.storage_changes(kind, window), naive_changes(&cards, window, names_storage));
        let backwards: Vec<RateCard> = cards.iter().rev().cloned().collect();
        prop_assert_eq!(prices, Prices::new(&backwards, &[], &names()));
    }
}

#[test]
fn what_has_no_price_costs_nothing_known() {
    let prices = Prices::default();
    assert_eq!(prices.hourly_at(Instant(0), 1, 1, None), None);
    assert_eq!(prices.value_at(Instant(0), 1, &[1], 1), None);
    assert!(prices.hourly_changes(1, Window::of(0, i64::MAX)).is_empty());
}
