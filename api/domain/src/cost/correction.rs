//! What closed months would cost differently by what has come since.
//!
//! A difference is what the hours and bytes of a closed month would cost now, less what was frozen when it was closed, less what was
//! booked as corrections of it when later months were closed. Invariants: the frozen amounts, all corrections booked and those that are
//! due add up to what the month would cost now; a difference is due in the first open month alone. Must not know: GraphQL, names.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_entity::value::time::{Instant, Window};
use plimsoll_entity::value::varint::{Reader as Bytes, Truncated, put_i64, put_i128, put_u64};

use super::figures::CostSums;
use super::gather::add;
use super::question::{CostFilter, IdleView};
use super::rate::Prices;
use super::report::month;
use super::storage::{decode_month, storage_runs};
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::breakdown::gather::runs;
use crate::breakdown::timelines::Timelines;
use crate::cell::block::{Keys, unpack};
use crate::cell::part::{Family, KEY_WIDTH, Key, KeyColumn, Part};
use crate::store::{HOURS_PER_READ, StoreError};
use crate::timeline::carry::block_of;

/// Corrections that one report may have.
pub const CORRECTIONS_MAX: usize = 100_000;

/// What of a closed month's difference is counted by: ids, 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorrectionKey {
    /// The closed month, as [`Instant::month`] counts.
    pub month: i32,
    /// Department.
    pub department_id: u32,
    /// Project.
    pub project_id: u32,
    /// Combination.
    pub combination_id: u32,
}

/// A difference of a closed month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// What it is counted by.
    pub key: CorrectionKey,
    /// Nano-units, not 0; negative where less would have been charged.
    pub amount: i128,
}

/// Differences by key.
#[derive(Debug, Default)]
struct Differences(BTreeMap<CorrectionKey, i128>);

impl Differences {
    fn add(&mut self, key: CorrectionKey, amount: i128) -> Result<(), BreakdownError> {
        if amount == 0 {
            return Ok(());
        }
        let sum = self.0.entry(key).or_default();
        *sum += amount;
        if *sum == 0 {
            self.0.remove(&key);
        }
        if self.0.len() > CORRECTIONS_MAX {
            return Err(BreakdownError::Limit(format!("more than {CORRECTIONS_MAX} corrections of closed months are due")));
        }
        Ok(())
    }

    /// Adds what an hour costs (`sign` 1) or takes it away (-1).
    fn add_hour(&mut self, hour: i32, block: &[u8], sign: i128) -> Result<(), BreakdownError> {
        let month = Window::of_hour(hour).start.month();
        for (key, amount) in hour_amounts(block).map_err(StoreError::from)? {
            let id = |column: KeyColumn| key[column as usize];
            let key = CorrectionKey {
                month,
                department_id: id(KeyColumn::Department),
                project_id: id(KeyColumn::Project),
                combination_id: id(KeyColumn::Combination),
            };
            self.add(key, sign * amount)?;
        }
        Ok(())
    }
}

/// What an hour of a machine costs, by key: its bill, and the bytes that it was sent.
fn hour_amounts(block: &[u8]) -> Result<Vec<(Key, i128)>, Truncated> {
    let mut amounts = Vec::new();
    for family in [Family::Cost, Family::LoadCost] {
        let Some(block) = block_of(family, block)? else { continue };
        let parts = unpack(block)?;
        let body = |wanted: Part| parts.iter().find(|(part, _)| *part == wanted).map(|(_, body)| *body).ok_or(Truncated);
        let keys = Keys::decode(family, body(Part::Keys)?)?.keys;
        let mut sums = vec![CostSums::default(); keys.len()];
        for part in family.parts() {
            let mut bytes = Bytes::new(body(*part)?);
            for (sums, key) in sums.iter_mut().zip(&keys) {
                add(sums, *part, bytes.i128()?, key, IdleView::Caused);
            }
        }
        // Who loads is nobody in particular; what is loaded is no combination.
        let kept = |key: &Key| if family == Family::LoadCost { [0; KEY_WIDTH] } else { *key };
        amounts.extend(keys.iter().zip(sums).map(|(key, sums)| (kept(key), sums.total())));
    }
    Ok(amounts)
}

/// The corrections that are due in the first open month, by month and ids.
///
/// # Errors
/// [`BreakdownError`] when there are too many, too much has to be built first, or the store fails.
pub async fn corrections_due(reading: &Reading, prices: &Prices) -> Result<Vec<Correction>, BreakdownError> {
    let closed_until = reading.snapshot.closed_until().await?;
    if closed_until == Instant(0) {
        return Ok(Vec::new());
    }
    let mut differences = Differences::default();
    add_hours(reading, prices, closed_until, &mut differences).await?;
    add_storage(reading, prices, closed_until, &mut differences).await?;
    for (_, block) in reading.snapshot.cost_correction_list().await? {
        for booked in decode(&block).map_err(StoreError::from)? {
            differences.add(booked.key, -booked.amount)?;
        }
    }
    Ok(differences.0.into_iter().map(|(key, amount)| Correction { key, amount }).collect())
}

/// The corrections that were booked in a closed month (as [`Instant::month`] counts).
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn corrections_booked(reading: &Reading, month: i32) -> Result<Vec<Correction>, StoreError> {
    let blocks = reading.snapshot.cost_correction_list().await?;
    let of_month = blocks.into_iter().find(|(booked_in, _)| *booked_in == month);
    of_month.map_or(Ok(Vec::new()), |(_, block)| Ok(decode(&block)?))
}

/// Those of some corrections that a filter of departments and projects allows.
#[must_use]
pub fn allowed(corrections: Vec<Correction>, filter: &CostFilter) -> Vec<Correction> {
    let allows = |correction: &Correction| {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::Department as usize] = correction.key.department_id;
        key[KeyColumn::Project as usize] = correction.key.project_id;
        filter.filter.allows_key(&key)
    };
    corrections.into_iter().filter(allows).collect()
}

/// Hours of machines: what came late, less what is frozen.
async fn add_hours(reading: &Reading, prices: &Prices, closed_until: Instant, differences: &mut Differences) -> Result<(), BreakdownError> {
    let snapshot = &reading.snapshot;
    let timelines = Timelines::of_closed(reading, prices, closed_until).await?;
    let made = timelines.costs_late();
    let mut hours: BTreeSet<i32> = snapshot.cost_late_hour_list().await?.into_iter().collect();
    hours.extend(made.keys().map(|(hour, _)| *hour));
    for (from, to) in runs(hours.into_iter(), HOURS_PER_READ) {
        let mut late: BTreeMap<(i32, u32), Vec<u8>> =
            snapshot.cost_late_list(from, to + 1).await?.into_iter().map(|(hour, vm, block)| ((hour, vm), block)).collect();
        // What was made for this question is newer than what is kept.
        late.extend(made.range((from, 0)..(to + 1, 0)).map(|(key, block)| (*key, block.clone())));
        for (hour, vm, block) in snapshot.cost_hour_list(from, to + 1).await? {
            if late.contains_key(&(hour, vm)) {
                differences.add_hour(hour, &block, -1)?;
            }
        }
        for ((hour, _), block) in &late {
            differences.add_hour(*hour, block, 1)?;
        }
    }
    Ok(())
}

/// Bytes that lay: what they would cost by what is known now, less what is frozen; a month at a time.
async fn add_storage(
    reading: &Reading,
    prices: &Prices,
    closed_until: Instant,
    differences: &mut Differences,
) -> Result<(), BreakdownError> {
    let snapshot = &reading.snapshot;
    let Some(first) = snapshot.cost_first_at().await? else { return Ok(()) };
    let mut frozen: BTreeMap<i32, Vec<u8>> = snapshot.cost_storage_list(0, i32::MAX).await?.into_iter().collect();
    for month in first.month()..closed_until.month() {
        let runs = storage_runs(snapshot, prices, month::window(month)).await?;
        let now: i128 = runs.iter().flat_map(|(_, runs)| runs).map(|run| run.nanos * i128::from(run.hours)).sum();
        let block = frozen.remove(&month).unwrap_or_default();
        let frozen = decode_month(&block).map_err(StoreError::from)?;
        let then: i128 = frozen.iter().flat_map(|(_, runs)| runs).map(|run| run.nanos * i128::from(run.hours)).sum();
        differences.add(CorrectionKey { month, ..CorrectionKey::default() }, now - then)?;
    }
    Ok(())
}

/// The bytes of corrections.
#[must_use]
pub fn encode(corrections: &[Correction]) -> Vec<u8> {
    let mut out = Vec::new();
    for Correction { key, amount } in corrections {
        put_i64(&mut out, key.month.into());
        for id in [key.department_id, key.project_id, key.combination_id] {
            put_u64(&mut out, id.into());
        }
        put_i128(&mut out, *amount);
    }
    out
}

/// The corrections of these bytes.
///
/// # Errors
/// [`Truncated`] when they are damaged.
pub fn decode(bytes: &[u8]) -> Result<Vec<Correction>, Truncated> {
    let mut reader = Bytes::new(bytes);
    let mut corrections = Vec::new();
    while !reader.is_empty() {
        let month = i32::try_from(reader.i64()?).map_err(|_| Truncated)?;
        let mut id = || u32::try_from(reader.u64()?).map_err(|_| Truncated);
        let key = CorrectionKey { month, department_id: id()?, project_id: id()?, combination_id: id()? };
        corrections.push(Correction { key, amount: reader.i128()? });
    }
    Ok(corrections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_come_back() {
        let key = CorrectionKey { month: 2026 * 12 + 9, department_id: 7, project_id: 0, combination_id: u32::MAX };
        let corrections = [Correction { key, amount: -5 }, Correction { key: CorrectionKey::default(), amount: 1 << 90 }];
        assert_eq!(decode(&encode(&corrections)), Ok(corrections.to_vec()));
        assert!(decode(&encode(&corrections)[..9]).is_err());
    }

    #[test]
    fn what_comes_to_nothing_is_no_difference() {
        let mut differences = Differences::default();
        let key = CorrectionKey { month: 1, ..CorrectionKey::default() };
        differences.add(key, 5).unwrap();
        differences.add(key, -5).unwrap();
        differences.add(key, 0).unwrap();
        assert!(differences.0.is_empty());
    }
}
