//! What single executions and loads cost in an hour, as it is kept beside the cells, so that a closed month keeps these figures too. Pure.
//!
//! Invariants: an execution that is costed stands in some hour that it touches, if only with nothing; reading gives back what was written.
//! Must not know: where the bytes are kept.

use std::collections::BTreeMap;

use plimsoll_entity::value::time::{HOUR_US, Instant};
use plimsoll_entity::value::varint::{Reader, Truncated, put_i128, put_u64};
use uuid::Uuid;

use super::facts::LoadCostFact;
use crate::cell::part::{KEY_WIDTH, Part};

/// Productive parts of each costed execution in nano-units, by id.
pub type ExecutionCosts = BTreeMap<Uuid, i128>;

/// The bytes of what executions cost.
#[must_use]
pub fn encode_executions(costs: &ExecutionCosts) -> Vec<u8> {
    let mut out = Vec::with_capacity(costs.len() * 22);
    for (id, amount) in costs {
        out.extend_from_slice(id.as_bytes());
        put_i128(&mut out, *amount);
    }
    out
}

/// What these bytes say executions cost.
///
/// # Errors
/// [`Truncated`] when they are damaged.
pub fn decode_executions(bytes: &[u8]) -> Result<ExecutionCosts, Truncated> {
    let mut reader = Reader::new(bytes);
    let mut costs = ExecutionCosts::new();
    while !reader.is_empty() {
        let id = Uuid::from_slice(reader.take(16)?).map_err(|_| Truncated)?;
        costs.insert(id, reader.i128()?);
    }
    Ok(costs)
}

/// The bytes of what each load of an hour cost.
#[must_use]
pub fn encode_loads(loads: &[LoadCostFact]) -> Vec<u8> {
    let mut out = Vec::with_capacity(loads.len() * 40);
    for load in loads {
        put_u64(&mut out, load.at.0.rem_euclid(HOUR_US) as u64);
        load.key.iter().for_each(|id| put_u64(&mut out, u64::from(*id)));
        load.amounts.iter().for_each(|amount| put_i128(&mut out, *amount));
    }
    out
}

/// What these bytes say each load of an hour cost.
///
/// # Errors
/// [`Truncated`] when they are damaged.
pub fn decode_loads(bytes: &[u8], hour: Instant) -> Result<Vec<LoadCostFact>, Truncated> {
    let mut reader = Reader::new(bytes);
    let mut loads = Vec::new();
    while !reader.is_empty() {
        let at = Instant(hour.0 + i64::try_from(reader.u64()?).map_err(|_| Truncated)?);
        let mut key = [0; KEY_WIDTH];
        for id in &mut key {
            *id = reader.u32()?;
        }
        let mut amounts = [0; Part::OF_LOAD_COSTS.len()];
        for amount in &mut amounts {
            *amount = reader.i128()?;
        }
        loads.push(LoadCostFact { at, key, amounts });
    }
    Ok(loads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_come_back() {
        let costs: ExecutionCosts = [(Uuid::from_u128(7), 0), (Uuid::from_u128(u128::MAX), 1 << 70)].into();
        let bytes = encode_executions(&costs);
        assert_eq!(decode_executions(&bytes), Ok(costs));
        assert!(decode_executions(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(decode_executions(&[]), Ok(ExecutionCosts::new()));
    }

    #[test]
    fn loads_come_back() {
        let hour = Instant(5 * HOUR_US);
        let load = |at: i64, first: u32, amount: i128| {
            let mut key = [0; KEY_WIDTH];
            (key[0], key[KEY_WIDTH - 1]) = (first, u32::MAX);
            LoadCostFact { at: Instant(hour.0 + at), key, amounts: [amount, 1, 0, 0, 1] }
        };
        let loads = vec![load(0, 300, 1 << 70), load(HOUR_US - 1, 0, 0)];
        let bytes = encode_loads(&loads);
        assert_eq!(decode_loads(&bytes, hour), Ok(loads));
        assert!(decode_loads(&bytes[..bytes.len() - 1], hour).is_err());
    }
}
