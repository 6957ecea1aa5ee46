//! The cells of a closed day, merged from the blocks of its hours.
//!
//! Invariant: a day says what its hours say, whichever of them the worker made last. Must not know: what the figures mean, who keeps them.

use std::collections::BTreeMap;

use super::carry::block_of;
use crate::cell::block::{Keys, unpack};
use crate::cell::column::Column;
use crate::cell::compactor::{encode_column, merge_keys};
use crate::cell::part::{Family, Part};
use crate::cell::plan::DAY_HOURS;
use crate::store::{DerivedKind, HOURS_PER_READ, Snapshot, StoreError};

/// The blocks of one family of the machine-hours of a day, unpacked.
struct Unpacked<'a> {
    bodies: Vec<BTreeMap<Part, &'a [u8]>>,
    keys: Vec<Keys>,
}

impl<'a> Unpacked<'a> {
    fn of(hours: &'a [Vec<u8>], source: Family) -> Result<Self, StoreError> {
        let (mut bodies, mut keys) = (Vec::with_capacity(hours.len()), Vec::with_capacity(hours.len()));
        for hour in hours {
            let Some(block) = block_of(source, hour)? else { continue };
            let parts: BTreeMap<Part, &[u8]> = unpack(block)?.into_iter().collect();
            keys.push(Keys::decode(source, parts.get(&Part::Keys).ok_or(StoreError::Inconsistent("machine-hour"))?)?);
            bodies.push(parts);
        }
        Ok(Self { bodies, keys })
    }

    /// The cells of the day of a family that is merged from this one.
    fn merge(&self, family: Family) -> Result<CellParts, StoreError> {
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let project = |keys: &Keys| Keys { hours: Vec::new(), keys: keys.keys.iter().map(|key| family.project(key)).collect() };
        let (merged, rows) = merge_keys(&self.keys.iter().map(project).collect::<Vec<_>>());
        let mut parts = vec![(Part::Keys, merged.encode(family))];
        for part in family.parts() {
            let mut column = Column::of(*part);
            column.grow(merged.keys.len());
            for (bodies, rows) in self.bodies.iter().zip(&rows) {
                let body = |part: &Part| bodies.get(part).copied().ok_or(StoreError::Inconsistent("machine-hour"));
                match part.sum_of() {
                    None => column.merge_encoded(body(part)?, rows)?,
                    Some((of, summed)) => column.merge_summaries(of, summed, body(&of)?, rows)?,
                }
            }
            parts.push((*part, encode_column(&column, merged.keys.len())));
        }
        Ok(parts)
    }
}

/// Parts of the cells of one family, each with its bytes.
pub type CellParts = Vec<(Part, Vec<u8>)>;

/// The cells of a day, from the blocks of its hours.
///
/// # Errors
/// [`StoreError`] from the database, or when a block is damaged.
pub async fn day_cells(snapshot: &Snapshot, kind: DerivedKind, day: i32) -> Result<Vec<(Family, CellParts)>, StoreError> {
    let mut hours: Vec<Vec<u8>> = Vec::new();
    for from in (day * DAY_HOURS..(day + 1) * DAY_HOURS).step_by(HOURS_PER_READ as usize) {
        let read = match kind {
            DerivedKind::Cost => snapshot.cost_hour_list(from, from + HOURS_PER_READ).await?,
            _ => snapshot.machine_hour_list(from, from + HOURS_PER_READ).await?,
        };
        hours.extend(read.into_iter().map(|(_, _, block)| block).filter(|block| !block.is_empty()));
    }
    let (sources, families): (&[Family], &[(Family, Family)]) = match kind {
        DerivedKind::Cost => (&Family::OF_COST_HOURS, &Family::OF_COST_DAYS),
        _ => (&Family::OF_MACHINE_HOURS, &Family::OF_TIMELINE_DAYS),
    };
    let mut cells = Vec::new();
    for source in sources {
        let unpacked = Unpacked::of(&hours, *source)?;
        for (family, _) in families.iter().filter(|(_, of)| of == source) {
            cells.push((*family, unpacked.merge(*family)?));
        }
    }
    Ok(cells)
}
