//! What the hours of a machine depend on besides its facts, and since when: shapes of lives, memory of GPUs. Pure.
//!
//! Invariant: hours that were built with one set of lives hold under another one where the two do not differ.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_entity::value::label::PurchaseOption;
use plimsoll_entity::value::time::{Instant, Window};
use plimsoll_entity::value::varint::{Reader, put_i64, put_u64};

use crate::machine::fleet::{Fleet, Shape};
use crate::store::{StoreError, Touches};
use crate::timeline::life::Place;

/// The beginning of the life of a machine that never told a state.
pub const STATELESS: i64 = i64::MIN;

/// The first event of each life (microseconds), with its shape and the memory of one GPU in bytes (-1 where unknown).
pub type Lives = BTreeMap<i64, (Shape, i64)>;

/// What the bill of a machine depends on besides prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Billing {
    /// Instance type, provider and region.
    pub place: Place,
    /// How it was bought.
    pub purchase_option: Option<PurchaseOption>,
    /// Memory of the machine in bytes; -1 where unknown.
    pub memory_bytes: i64,
}

/// What a machine's bill depends on, from each instant on at which it changes (microseconds).
pub type Billings = BTreeMap<i64, Billing>;

/// What a machine's bill depends on besides its facts and prices.
#[must_use]
pub fn billings_of(fleet: &Fleet, vm_id: u32) -> Billings {
    let Some(timeline) = fleet.machine(vm_id).map(|machine| &machine.timeline).filter(|timeline| !timeline.is_empty()) else {
        return Billings::new();
    };
    let whole = Window { start: Instant(i64::MIN), end: Instant(i64::MAX) };
    let first = timeline.lives().first().map(|life| life.start);
    let changes: BTreeSet<Instant> = timeline.place_changes().into_iter().chain(timeline.purchase_changes(whole)).chain(first).collect();
    let mut billings = Billings::new();
    for at in changes {
        let place = timeline.place_at(at);
        let memory_bytes = fleet.instance_type(place.instance_type_id).and_then(|kind| kind.memory_bytes).unwrap_or(-1);
        let billing = Billing { place, purchase_option: timeline.purchase_option_at(at), memory_bytes };
        if billings.last_key_value().is_none_or(|(_, last)| *last != billing) {
            billings.insert(at.0, billing);
        }
    }
    billings
}

/// The bytes of what a bill depends on.
#[must_use]
pub fn encode_billings(billings: &Billings) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, billing) in billings {
        put_i64(&mut out, *at);
        [billing.place.instance_type_id, billing.place.provider_id, billing.place.region_id]
            .iter()
            .for_each(|id| put_u64(&mut out, u64::from(*id)));
        put_i64(&mut out, billing.purchase_option.map_or(-1, |option| i64::from(option.code())));
        put_i64(&mut out, billing.memory_bytes);
    }
    out
}

/// What these bytes say that a bill depends on.
///
/// # Errors
/// [`StoreError`] when they are damaged.
pub fn decode_billings(bytes: &[u8]) -> Result<Billings, StoreError> {
    let mut reader = Reader::new(bytes);
    let mut billings = Billings::new();
    while !reader.is_empty() {
        let at = reader.i64()?;
        let place = Place { instance_type_id: reader.u32()?, provider_id: reader.u32()?, region_id: reader.u32()? };
        let purchase_option = i16::try_from(reader.i64()?).ok().and_then(PurchaseOption::from_code);
        billings.insert(at, Billing { place, purchase_option, memory_bytes: reader.i64()? });
    }
    Ok(billings)
}

/// What a machine's hours depend on besides its facts: the shape of each life, from its first event on, and the GPU memory.
#[must_use]
pub fn lives_of(fleet: &Fleet, vm_id: u32, touches: &Touches) -> Lives {
    let memory = touches.gpu_memory_bytes.unwrap_or(-1);
    match fleet.machine(vm_id).map(|machine| &machine.timeline).filter(|timeline| !timeline.is_empty()) {
        Some(timeline) => timeline.lives().iter().map(|life| (life.start.0, (fleet.shape_at(vm_id, life.start), memory))).collect(),
        None => [(STATELESS, (fleet.shape_at(vm_id, Instant(0)), memory))].into(),
    }
}

/// Until when a machine has hours: the last fact or the end of its last life, or now.
#[must_use]
pub fn last_hour_at(fleet: &Fleet, vm_id: u32, touches: &Touches, now: Instant) -> Instant {
    let touched = touches.touched.map_or(Instant(i64::MIN), |(_, last)| last);
    let life = fleet.machine(vm_id).and_then(|machine| machine.timeline.lives().last());
    life.map_or(touched, |life| life.ended_at.map_or(now, |ended| ended.max(touched))).min(now)
}

/// Stretches in which two sets of lives (or bills) differ; what holds for the first holds before it as well.
#[must_use]
pub fn differences<V: Copy + PartialEq>(one: &BTreeMap<i64, V>, other: &BTreeMap<i64, V>) -> Vec<(i64, i64)> {
    let at =
        |lives: &BTreeMap<i64, V>, at: i64| lives.range(..=at).next_back().or_else(|| lives.first_key_value()).map(|(_, shape)| *shape);
    let starts: BTreeSet<i64> = one.keys().chain(other.keys()).copied().collect();
    let ends = starts.iter().skip(1).copied().chain([i64::MAX]);
    let mut differ: Vec<(i64, i64)> = starts.iter().copied().zip(ends).filter(|(start, _)| at(one, *start) != at(other, *start)).collect();
    if let (Some(first), Some(stretch)) = (starts.first(), differ.first_mut())
        && stretch.0 == *first
    {
        stretch.0 = i64::MIN;
    }
    differ
}

/// The bytes of lives.
#[must_use]
pub fn encode_lives(lives: &Lives) -> Vec<u8> {
    let mut out = Vec::new();
    for (start, (shape, memory)) in lives {
        put_i64(&mut out, *start);
        put_u64(&mut out, u64::from(shape.slots));
        put_u64(&mut out, u64::from(shape.gpus));
        put_i64(&mut out, shape.v_cpus.map_or(-1, i64::from));
        put_i64(&mut out, *memory);
    }
    out
}

/// The lives of these bytes.
///
/// # Errors
/// [`StoreError`] when they are damaged.
pub fn decode_lives(bytes: &[u8]) -> Result<Lives, StoreError> {
    let mut reader = Reader::new(bytes);
    let mut lives = BTreeMap::new();
    while !reader.is_empty() {
        let start = reader.i64()?;
        let (slots, gpus) = (reader.u32()?, reader.u32()?);
        let v_cpus = u32::try_from(reader.i64()?).ok();
        lives.insert(start, (Shape { slots, gpus, v_cpus }, reader.i64()?));
    }
    Ok(lives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(starts: &[(i64, u32)]) -> Lives {
        starts.iter().map(|(start, slots)| (*start, (Shape { slots: *slots, gpus: *slots, v_cpus: None }, -1))).collect()
    }

    #[test]
    fn lives_come_back() {
        let lives = lives(&[(STATELESS, 2), (7, 4)]);
        assert_eq!(decode_lives(&encode_lives(&lives)).unwrap(), lives);
        assert!(decode_lives(&encode_lives(&lives)[..9]).is_err());
    }

    #[test]
    fn what_bills_depend_on_comes_back() {
        let place = Place { instance_type_id: 3, provider_id: 0, region_id: 9 };
        let spot = Billing { place, purchase_option: Some(PurchaseOption::Spot), memory_bytes: -1 };
        let billings: Billings = [(-5, Billing::default()), (7, spot)].into();
        assert_eq!(decode_billings(&encode_billings(&billings)).unwrap(), billings);
        assert_eq!(differences(&billings, &[(-5, Billing::default())].into()), [(7, i64::MAX)]);
    }

    #[test]
    fn what_differs_of_the_first_life_differs_before_it() {
        assert_eq!(differences(&lives(&[(5, 1), (9, 2)]), &lives(&[(5, 3), (9, 2)])), [(i64::MIN, 9)]);
        assert_eq!(differences(&lives(&[(5, 1)]), &lives(&[(3, 1), (8, 2)])), [(8, i64::MAX)]);
        assert_eq!(differences(&lives(&[(STATELESS, 1)]), &lives(&[(5, 1), (8, 2), (9, 1)])), [(8, 9)]);
        assert!(differences(&lives(&[(5, 1)]), &lives(&[(2, 1), (5, 1)])).is_empty());
    }
}
