//! Rate cards and business values as a person enters them, and what is wrong with one. Pure.
//!
//! Invariants: what [`check_card`] and [`check_value`] let through has prices that are kept exactly and names that events may bear;
//! what [`contradictions`] and [`value_contradictions`] let through leaves no two prices for the same thing and instant.
//! Must not know: who may enter a price, how it is kept.

use std::collections::HashSet;
use std::hash::Hash;

use plimsoll_entity::value::label::{PurchaseOption, StorageType};
use plimsoll_entity::value::money::parse_price;
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

/// Rates of one card at most.
pub const RATES_MAX: usize = 10_000;
/// Rate cards at most.
pub const RATE_CARDS_MAX: usize = 10_000;
/// Rates of all cards together at most.
pub const RATES_TOGETHER_MAX: usize = 200_000;
/// Business values at most.
pub const BUSINESS_VALUES_MAX: usize = 10_000;
/// Characters of a name, as in events.
const NAME_CHARS_MAX: usize = 200;
/// Faults that are told of one card at most.
pub const FAULTS_MAX: usize = 100;

/// What machines of a type cost. `P` is the price: nano-units, or the text that a person entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceEntry<P = i64> {
    /// Name of the instance type.
    pub instance_type: String,
    /// Only in the region of this name; none: everywhere.
    pub region: Option<String>,
    /// Only bought this way; none: however bought.
    pub purchase_option: Option<PurchaseOption>,
    /// Of an hour.
    pub hourly: P,
}

/// What bytes cost that lie at a place, or come from there. `P` as in [`InstanceEntry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceEntry<P = i64> {
    /// Kind of storage.
    pub storage_type: StorageType,
    /// Only at the location of this name; none: everywhere.
    pub location: Option<String>,
    /// Of a GiB: a month of 730 hours where it lies, each time where it moves.
    pub per_gib: P,
}

/// A rate card. `P` as in [`InstanceEntry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCard<P = i64> {
    /// Identity.
    pub id: Uuid,
    /// ISO 4217 code.
    pub currency: String,
    /// Since when it holds.
    pub effective_from: Instant,
    /// What machines cost.
    pub instance_rates: Vec<InstanceEntry<P>>,
    /// What bytes cost that lie.
    pub storage_rates: Vec<PlaceEntry<P>>,
    /// What bytes cost that move, by where they come from.
    pub transfer_rates: Vec<PlaceEntry<P>>,
    /// When it was entered.
    pub created_at: Instant,
    /// Subject of the token of who entered it.
    pub created_by: String,
}

/// What a successful execution is worth. `P` as in [`InstanceEntry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusinessValue<P = i64> {
    /// Identity.
    pub id: Uuid,
    /// Only of the base model of this name; none: of any.
    pub model: Option<String>,
    /// Only with a checkpoint of this name, whatever its kind; none: with any or none.
    pub checkpoint: Option<String>,
    /// Only of the application of this name; none: of any.
    pub application: Option<String>,
    /// Of one execution that succeeds.
    pub per_success: P,
    /// ISO 4217 code.
    pub currency: String,
    /// Since when it holds.
    pub effective_from: Instant,
    /// When it was entered.
    pub created_at: Instant,
    /// Subject of the token of who entered it.
    pub created_by: String,
}

impl<P> RateCard<P> {
    /// Number of rates of all kinds.
    #[must_use]
    pub const fn rates(&self) -> usize {
        self.instance_rates.len() + self.storage_rates.len() + self.transfer_rates.len()
    }

    /// The instance types that it names, each once, in their order.
    #[must_use]
    pub fn instance_types(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.instance_rates.iter().map(|rate| rate.instance_type.as_str()).filter(|name| seen.insert(*name)).collect()
    }
}

impl<P> BusinessValue<P> {
    /// What it is the value of.
    #[must_use]
    pub fn scope(&self) -> [Option<&str>; 3] {
        [self.model.as_deref(), self.checkpoint.as_deref(), self.application.as_deref()]
    }
}

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It makes no sense by itself.
    Invalid,
    /// It contradicts what is there.
    Conflict,
    /// There is too much of it.
    TooMany,
}

/// What is wrong with a price that a person enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceFault {
    /// The kind.
    pub kind: FaultKind,
    /// Where, by names in the schema and places in lists from 0, such as `instanceRates`, `2`, `hourly`; empty: the whole.
    pub field: Vec<String>,
    /// Why, in one sentence.
    pub message: String,
}

/// Faults in the order of the fields, at most [`FAULTS_MAX`].
#[derive(Debug, Default)]
struct Faults(Vec<PriceFault>);

impl Faults {
    fn add(&mut self, kind: FaultKind, field: &[&str], message: impl Into<String>) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(PriceFault { kind, field: field.iter().map(|part| (*part).to_owned()).collect(), message: message.into() });
        }
    }

    fn invalid(&mut self, field: &[&str], message: impl Into<String>) {
        self.add(FaultKind::Invalid, field, message);
    }

    fn currency(&mut self, own: &str, given: &str) {
        if given != own {
            self.invalid(&["currency"], format!("the currency of this service is {own}: prices are entered in it"));
        }
    }

    /// The nano-units of a price.
    fn price(&mut self, field: &[&str], text: &str) -> i64 {
        parse_price(text).unwrap_or_else(|error| {
            self.invalid(field, format!("{} {error}", field.last().copied().unwrap_or("price")));
            0
        })
    }

    fn name(&mut self, field: &[&str], name: Option<&str>) {
        let Some(name) = name else { return };
        let chars = name.chars().count();
        if chars == 0 || chars > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            let field_name = field.last().copied().unwrap_or("name");
            self.invalid(field, format!("{field_name} has 1 to {NAME_CHARS_MAX} characters and no control characters"));
        }
    }
}

/// Tells an entry that stands in a list twice.
fn repeated<K: Eq + Hash>(faults: &mut Faults, list: &str, keys: impl Iterator<Item = K>) {
    let mut seen = HashSet::new();
    for (at, key) in keys.enumerate() {
        if !seen.insert(key) {
            faults.invalid(&[list, &at.to_string()], "another entry of this card is for the same");
        }
    }
}

/// The card with its prices in nano-units.
///
/// # Errors
/// Everything that is wrong with it by itself.
pub fn check_card(card: RateCard<String>, currency: &str) -> Result<RateCard, Vec<PriceFault>> {
    let mut faults = Faults::default();
    faults.currency(currency, &card.currency);
    if card.rates() == 0 {
        faults.invalid(&[], "a rate card has at least one rate");
    }
    if card.rates() > RATES_MAX {
        faults.add(FaultKind::TooMany, &[], format!("a rate card has at most {RATES_MAX} rates"));
        return Err(faults.0);
    }
    repeated(
        &mut faults,
        "instanceRates",
        card.instance_rates.iter().map(|rate| (&rate.instance_type, &rate.region, rate.purchase_option)),
    );
    let instance = |(at, rate): (usize, InstanceEntry<String>)| {
        let at = at.to_string();
        let field = |name| ["instanceRates", at.as_str(), name];
        faults.name(&field("instanceType"), Some(&rate.instance_type));
        faults.name(&field("region"), rate.region.as_deref());
        let hourly = faults.price(&field("hourly"), &rate.hourly);
        InstanceEntry { instance_type: rate.instance_type, region: rate.region, purchase_option: rate.purchase_option, hourly }
    };
    let instance_rates = card.instance_rates.into_iter().enumerate().map(instance).collect();
    let storage_rates = check_places(&mut faults, "storageRates", "perGibMonth", card.storage_rates);
    let transfer_rates = check_places(&mut faults, "transferRates", "perGib", card.transfer_rates);
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let RateCard { id, currency, effective_from, created_at, created_by, .. } = card;
    Ok(RateCard { id, currency, effective_from, instance_rates, storage_rates, transfer_rates, created_at, created_by })
}

fn check_places(faults: &mut Faults, list: &str, price: &str, rates: Vec<PlaceEntry<String>>) -> Vec<PlaceEntry> {
    repeated(faults, list, rates.iter().map(|rate| (rate.storage_type, &rate.location)));
    let place = |(at, rate): (usize, PlaceEntry<String>)| {
        let at = at.to_string();
        faults.name(&[list, &at, "location"], rate.location.as_deref());
        let per_gib = faults.price(&[list, &at, price], &rate.per_gib);
        PlaceEntry { storage_type: rate.storage_type, location: rate.location, per_gib }
    };
    rates.into_iter().enumerate().map(place).collect()
}

/// The business value with its price in nano-units.
///
/// # Errors
/// Everything that is wrong with it by itself.
pub fn check_value(value: BusinessValue<String>, currency: &str) -> Result<BusinessValue, Vec<PriceFault>> {
    let mut faults = Faults::default();
    for (field, name) in [("model", &value.model), ("checkpoint", &value.checkpoint), ("application", &value.application)] {
        faults.name(&[field], name.as_deref());
    }
    let per_success = faults.price(&["perSuccess"], &value.per_success);
    faults.currency(currency, &value.currency);
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    let BusinessValue { id, model, checkpoint, application, currency, effective_from, created_at, created_by, .. } = value;
    Ok(BusinessValue { id, model, checkpoint, application, per_success, currency, effective_from, created_at, created_by })
}

/// What can no longer be priced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Every month before this instant is closed.
    pub closed_until: Instant,
    /// Facts from before this instant are gone.
    pub derivable_since: Instant,
}

impl Settled {
    fn refuse(self, faults: &mut Faults, effective_from: Instant) {
        let message = if effective_from < self.closed_until {
            format!("the months before {} are closed: a price holds from then on at the earliest", self.closed_until)
        } else if effective_from < self.derivable_since {
            format!("events from before {} are gone: a price holds from then on at the earliest", self.derivable_since)
        } else {
            return;
        };
        faults.add(FaultKind::Conflict, &["effectiveFrom"], message);
    }
}

/// What a card contradicts, of the cards that are there and of what can no longer be priced.
#[must_use]
pub fn contradictions(card: &RateCard, cards: &[RateCard], settled: Settled) -> Vec<PriceFault> {
    let mut faults = Faults::default();
    settled.refuse(&mut faults, card.effective_from);
    let together = cards.iter().map(RateCard::rates).sum::<usize>() + card.rates();
    if cards.len() >= RATE_CARDS_MAX {
        faults.add(FaultKind::TooMany, &[], format!("there are {RATE_CARDS_MAX} rate cards already"));
    } else if together > RATES_TOGETHER_MAX {
        faults.add(FaultKind::TooMany, &[], format!("all rate cards together have at most {RATES_TOGETHER_MAX} rates"));
    }
    let same: Vec<&RateCard> = cards.iter().filter(|other| other.effective_from == card.effective_from).collect();
    let types: HashSet<&str> = same.iter().flat_map(|other| other.instance_types()).collect();
    let storage: HashSet<StorageType> = same.iter().flat_map(|other| &other.storage_rates).map(|rate| rate.storage_type).collect();
    let transfer: HashSet<StorageType> = same.iter().flat_map(|other| &other.transfer_rates).map(|rate| rate.storage_type).collect();
    let mut taken = |list: &str, at: usize, field: &str, what: &str| {
        let message = format!("another rate card that holds from {} names {what}", card.effective_from);
        faults.add(FaultKind::Conflict, &[list, &at.to_string(), field], message);
    };
    for (at, rate) in card.instance_rates.iter().enumerate().filter(|(_, rate)| types.contains(rate.instance_type.as_str())) {
        taken("instanceRates", at, "instanceType", &rate.instance_type);
    }
    for (list, rates, named) in [("storageRates", &card.storage_rates, storage), ("transferRates", &card.transfer_rates, transfer)] {
        for (at, rate) in rates.iter().enumerate().filter(|(_, rate)| named.contains(&rate.storage_type)) {
            taken(list, at, "storageType", rate.storage_type.wire());
        }
    }
    faults.0
}

/// What a business value contradicts, of those that are there and of what can no longer be priced.
#[must_use]
pub fn value_contradictions(value: &BusinessValue, values: &[BusinessValue], settled: Settled) -> Vec<PriceFault> {
    let mut faults = Faults::default();
    settled.refuse(&mut faults, value.effective_from);
    if values.len() >= BUSINESS_VALUES_MAX {
        faults.add(FaultKind::TooMany, &[], format!("there are {BUSINESS_VALUES_MAX} business values already"));
    }
    if values.iter().any(|other| other.effective_from == value.effective_from && other.scope() == value.scope()) {
        let message = format!("another business value for the same holds from {}", value.effective_from);
        faults.add(FaultKind::Conflict, &["effectiveFrom"], message);
    }
    faults.0
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
