//! Every charge of a month, day by day, as finely as it is kept.
//!
//! Read from the hours of costs, since cells of days leave out who used which machine. Invariants: the charges of all days add up to the
//! report of the same reading, to the nano; only one day's charges are held. Must not know: files, names.

use std::collections::BTreeMap;

use plimsoll_entity::value::label::ServiceType;
use plimsoll_entity::value::time::{Step, Window};
use plimsoll_entity::value::varint::Reader as Bytes;

use super::charge::ChargeKey;
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::breakdown::timelines::Timelines;
use crate::cell::block::{Keys, unpack};
use crate::cell::part::{Family, Key, Part};
use crate::cost::figures::CostSums;
use crate::cost::gather::add;
use crate::cost::question::{CostFilter, IdleView};
use crate::cost::rate::Prices;
use crate::cost::storage::storage_costs;
use crate::store::{HOURS_PER_READ, StoreError};
use crate::timeline::carry::block_of;

/// Charges of one day that are held.
const DAY_CHARGES_MAX: usize = 500_000;

/// The charges of one day, in order.
pub type Charges = BTreeMap<ChargeKey, CostSums>;

/// The charges of a month.
pub struct Ledger<'a> {
    timelines: Timelines<'a>,
    filter: &'a CostFilter,
    /// The days of the month.
    pub days: Vec<Window>,
    /// What each place costs, by day.
    stored: Vec<(Key, Vec<(u32, i128)>)>,
}

impl<'a> Ledger<'a> {
    /// The charges of a window of whole days that a filter of departments and projects allows.
    ///
    /// # Errors
    /// [`BreakdownError`] when there is too much to reckon or to be built first, or the store fails.
    pub async fn open(reading: &'a Reading, prices: &Prices, window: Window, filter: &'a CostFilter) -> Result<Self, BreakdownError> {
        let timelines = Timelines::with_costs(reading, prices, window, IdleView::Caused).await?;
        let days = window.tiles(Step::Day);
        let mut stored = storage_costs(&reading.snapshot, prices, &days).await?;
        stored.retain(|(key, _)| filter.filter.allows_key(key));
        Ok(Self { timelines, filter, days, stored })
    }

    /// The charges of one of the days, by its place.
    ///
    /// # Errors
    /// [`BreakdownError::Limit`] when there are too many; what the store says.
    pub async fn day(&self, place: usize) -> Result<Charges, BreakdownError> {
        let mut charges = Charges::new();
        let Some(day) = self.days.get(place) else { return Ok(charges) };
        let (first, behind) = (day.start.hour(), day.end.hour());
        for from in (first..behind).step_by(HOURS_PER_READ as usize) {
            for (_, block) in self.timelines.cost_hours(from, (from + HOURS_PER_READ).min(behind)).await? {
                for family in Family::OF_COST_HOURS {
                    self.add_block(&mut charges, family, &block)?;
                }
                if charges.len() > DAY_CHARGES_MAX {
                    return Err(BreakdownError::Limit(format!(
                        "a day has more than {DAY_CHARGES_MAX} charges: export some departments or projects"
                    )));
                }
            }
        }
        for (key, amounts) in &self.stored {
            for (_, amount) in amounts.iter().filter(|(tile, _)| *tile as usize == place) {
                charges.entry(ChargeKey::of(ServiceType::Storage, key)).or_default().storage += amount;
            }
        }
        charges.retain(|_, sums| !sums.is_empty());
        Ok(charges)
    }

    fn add_block(&self, charges: &mut Charges, family: Family, block: &[u8]) -> Result<(), StoreError> {
        let Some(block) = block_of(family, block)? else { return Ok(()) };
        let parts = unpack(block)?;
        let body = |wanted: Part| {
            parts.iter().find(|(part, _)| *part == wanted).map(|(_, body)| *body).ok_or(StoreError::Inconsistent("cost block"))
        };
        let keys = Keys::decode(family, body(Part::Keys)?)?.keys;
        let mut sums = vec![CostSums::default(); keys.len()];
        for part in family.parts() {
            let mut bytes = Bytes::new(body(*part)?);
            for (sums, key) in sums.iter_mut().zip(&keys) {
                add(sums, *part, bytes.i128()?, key, IdleView::Caused);
            }
        }
        let service_type = if family == Family::LoadCost { ServiceType::Transfer } else { ServiceType::Compute };
        for (key, sums) in keys.iter().zip(sums) {
            if !sums.is_empty() && self.filter.filter.allows_key(key) {
                charges.entry(ChargeKey::of(service_type, key)).or_default().add(&sums);
            }
        }
        Ok(())
    }
}
