//! Entering rate cards and business values.
//!
//! Invariants: a price is checked against all others, added and its hours marked in one transaction that holds all prices; hours that
//! it does not price anew are not marked. Must not know: who may enter a price.

use std::collections::BTreeMap;

use plimsoll_entity::value::label::StorageType;
use plimsoll_entity::value::time::Instant;

use super::card::{BusinessValue, PlaceEntry, PriceFault, RateCard, Settled, contradictions, value_contradictions};
use crate::store::{DirtyMarks, Repriced, Snapshot, Store, StoreError};

/// The last hour of a price that nothing follows.
const LAST_HOUR: i32 = i32::MAX - 1;

/// Enters a rate card; what it contradicts. It is entered when there is no fault.
///
/// # Errors
/// [`StoreError`] from the database; then it was not entered.
pub async fn enter_card(store: &Store, card: &RateCard) -> Result<Vec<PriceFault>, StoreError> {
    let mut tx = store.begin_write().await?;
    tx.prices_change().await?;
    // Read while nobody else can add prices or close a month.
    let snapshot = store.snapshot().await?;
    let cards = snapshot.rate_card_list().await?;
    let faults = contradictions(card, &cards, settled(&snapshot).await?);
    drop(snapshot);
    if !faults.is_empty() {
        tx.rollback().await?;
        return Ok(faults);
    }
    tx.rate_card_insert(card).await?;
    tx.dirty_append(marks_of_card(card, &cards)).await?;
    tx.commit().await?;
    Ok(faults)
}

/// Enters a business value; what it contradicts. It is entered when there is no fault.
///
/// # Errors
/// [`StoreError`] from the database; then it was not entered.
pub async fn enter_value(store: &Store, value: &BusinessValue) -> Result<Vec<PriceFault>, StoreError> {
    let mut tx = store.begin_write().await?;
    tx.prices_change().await?;
    let snapshot = store.snapshot().await?;
    let values = snapshot.business_value_list().await?;
    let faults = value_contradictions(value, &values, settled(&snapshot).await?);
    drop(snapshot);
    if !faults.is_empty() {
        tx.rollback().await?;
        return Ok(faults);
    }
    tx.business_value_insert(value).await?;
    tx.dirty_append(marks_of_value(value, &values)).await?;
    tx.commit().await?;
    Ok(faults)
}

async fn settled(snapshot: &Snapshot) -> Result<Settled, StoreError> {
    Ok(Settled { closed_until: snapshot.closed_until().await?, derivable_since: snapshot.kept().derivable_since() })
}

/// The last hour of which anything lies before the next instant.
fn last_hour(next: Option<Instant>) -> i32 {
    next.map_or(LAST_HOUR, |next| Instant(next.0 - 1).hour())
}

/// The hours that a card prices anew, beside those that are there. Storage has no cells: it is priced when it is asked for.
fn marks_of_card(card: &RateCard, cards: &[RateCard]) -> DirtyMarks {
    let from = card.effective_from;
    let mut marks = DirtyMarks::default();
    let (mut next_of_type, mut next_of_transfer) = (BTreeMap::new(), BTreeMap::new());
    for later in cards.iter().filter(|later| later.effective_from > from) {
        let earliest = |next: &mut Instant| *next = later.effective_from.min(*next);
        for name in later.instance_types() {
            next_of_type.entry(name).and_modify(earliest).or_insert(later.effective_from);
        }
        for storage_type in storage_types(&later.transfer_rates) {
            next_of_transfer.entry(storage_type).and_modify(earliest).or_insert(later.effective_from);
        }
    }
    for name in card.instance_types() {
        let last = last_hour(next_of_type.get(name).copied());
        marks.prices(Repriced::InstanceType(name.to_owned()), from.hour(), last);
    }
    for storage_type in storage_types(&card.transfer_rates) {
        marks.prices(Repriced::Transfers, from.hour(), last_hour(next_of_transfer.get(&storage_type).copied()));
    }
    marks
}

fn storage_types(rates: &[PlaceEntry]) -> impl Iterator<Item = StorageType> {
    StorageType::ALL.iter().copied().filter(|storage_type| rates.iter().any(|rate| rate.storage_type == *storage_type))
}

/// The hours in which executions may be worth something else, beside the values that are there: until the next of the same scope.
fn marks_of_value(value: &BusinessValue, values: &[BusinessValue]) -> DirtyMarks {
    let later = values.iter().filter(|later| later.scope() == value.scope() && later.effective_from > value.effective_from);
    let mut marks = DirtyMarks::default();
    marks.prices(Repriced::Values, value.effective_from.hour(), last_hour(later.map(|later| later.effective_from).min()));
    marks
}
