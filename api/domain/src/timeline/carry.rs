//! How a machine-hour is kept: its blocks, and what it hands on. Pure.
//!
//! Invariant: reading gives back what was written, so that equal carries have equal bytes.

use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::Instant;
use plimsoll_entity::value::varint::{Reader, Truncated, put_f64, put_i64, put_u64};
use uuid::Uuid;

use super::facts::Class;
use super::hour::{Carry, HourFacts, Run, Started};
use super::sweep::{Cause, Holder};
use crate::cell::delta::delta_blocks;
use crate::cell::part::{EXECUTION_KEY_WIDTH, Family, KEY_WIDTH, Key};
use crate::cost::facts::{CostHour, LoadCostFact};
use crate::cost::single::{ExecutionCosts, decode_executions, decode_loads, encode_executions, encode_loads};

/// Codes of what is kept of executions and loads one by one, beside those of families. They stand in the database.
const EXECUTIONS_CODE: u64 = 1_000;
const LOADS_CODE: u64 = 1_001;
/// Things of one kind in a carry at most: guards against a damaged length.
const ENTRIES_MAX: u64 = 1 << 24;

/// The blocks of an hour, one a family, in a row.
#[must_use]
pub fn pack_hour(facts: &HourFacts) -> Vec<u8> {
    let mut blocks = delta_blocks(&[Family::Timeline], &facts.timeline);
    blocks.extend(delta_blocks(&[Family::Transition], &facts.transitions));
    blocks.extend(delta_blocks(&[Family::OwnedSample], &facts.samples));
    blocks.extend(delta_blocks(&[Family::MachineTime], &facts.time));
    in_a_row(blocks.iter().map(of_family))
}

/// The blocks of what an hour costs, one a family, in a row, and what its executions and loads cost one by one.
#[must_use]
pub fn pack_costs(costs: &CostHour) -> Vec<u8> {
    let mut blocks = delta_blocks(&[Family::Cost], &costs.costs);
    blocks.extend(delta_blocks(&[Family::CostRun], &costs.runs));
    blocks.extend(delta_blocks(&[Family::LoadCost], &costs.loads));
    let (executions, loads) = (encode_executions(&costs.executions), encode_loads(&costs.loads));
    let singles = [(EXECUTIONS_CODE, &executions[..]), (LOADS_CODE, &loads[..])];
    in_a_row(blocks.iter().map(of_family).chain(singles.into_iter().filter(|(_, bytes)| !bytes.is_empty())))
}

fn of_family((family, _, block): &(Family, i32, Vec<u8>)) -> (u64, &[u8]) {
    (family.code() as u64, block)
}

fn in_a_row<'a>(sections: impl Iterator<Item = (u64, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (code, bytes) in sections {
        put_u64(&mut out, code);
        put_u64(&mut out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
    out
}

/// The block of one family in an hour; none when it has nothing of it.
///
/// # Errors
/// [`Truncated`] when the bytes are damaged.
pub fn block_of(family: Family, bytes: &[u8]) -> Result<Option<&[u8]>, Truncated> {
    section_of(family.code() as u64, bytes)
}

/// What executions cost one by one in an hour of costs.
///
/// # Errors
/// [`Truncated`] when the bytes are damaged.
pub fn executions_of(bytes: &[u8]) -> Result<ExecutionCosts, Truncated> {
    section_of(EXECUTIONS_CODE, bytes)?.map_or(Ok(ExecutionCosts::new()), decode_executions)
}

/// What loads cost one by one in an hour of costs that begins at `hour`.
///
/// # Errors
/// [`Truncated`] when the bytes are damaged.
pub fn loads_of(bytes: &[u8], hour: Instant) -> Result<Vec<LoadCostFact>, Truncated> {
    section_of(LOADS_CODE, bytes)?.map_or(Ok(Vec::new()), |bytes| decode_loads(bytes, hour))
}

fn section_of(wanted: u64, bytes: &[u8]) -> Result<Option<&[u8]>, Truncated> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let code = reader.u64()?;
        let length = usize::try_from(reader.u64()?).map_err(|_| Truncated)?;
        let block = reader.take(length)?;
        if code == wanted {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// The bytes of a carry.
#[must_use]
pub fn encode(carry: &Carry) -> Vec<u8> {
    let mut out = Vec::new();
    match carry.state {
        None => put_u64(&mut out, 0),
        Some((state, life)) => {
            put_u64(&mut out, state.code() as u64 + 1);
            put_i64(&mut out, life.map_or(i64::MIN, |life| life.0));
        }
    }
    put_u64(&mut out, carry.causes.len() as u64);
    for cause in &carry.causes {
        put_u64(&mut out, u64::from(cause.is_some()));
        if let Some(cause) = cause {
            put_i64(&mut out, cause.finished_at.0);
            put_i64(&mut out, cause.started_at.0);
            out.extend_from_slice(cause.id.as_bytes());
            put_key(&mut out, &cause.key);
        }
    }
    put_u64(&mut out, carry.started.len() as u64);
    for (slot, started) in &carry.started {
        put_u64(&mut out, u64::from(*slot));
        put_i64(&mut out, started.started_at.0);
        out.extend_from_slice(started.id.as_bytes());
        put_u64(&mut out, u64::from(started.combination_id));
    }
    put_u64(&mut out, carry.in_flight.len() as u64);
    carry.in_flight.iter().for_each(|run| put_run(&mut out, run));
    out
}

fn put_key(out: &mut Vec<u8>, key: &Key) {
    key[..EXECUTION_KEY_WIDTH].iter().for_each(|id| put_u64(out, u64::from(*id)));
}

fn put_run(out: &mut Vec<u8>, run: &Run) {
    let holder = &run.holder;
    out.extend_from_slice(holder.id.as_bytes());
    [holder.started_at.0, holder.finished_at.0, holder.phases_us[0], holder.phases_us[1]].iter().for_each(|us| put_i64(out, *us));
    put_u64(out, holder.gpus.len() as u64);
    holder.gpus.iter().for_each(|gpu| put_u64(out, u64::from(*gpu)));
    put_key(out, &holder.key);
    put_i64(out, run.gpu_memory_peak_bytes.unwrap_or(-1));
    put_u64(out, u64::from(run.checkpoint_load_ms.is_some()));
    run.checkpoint_load_ms.into_iter().for_each(|load_ms| put_f64(out, load_ms));
    match run.class {
        Class::ColdStart => put_u64(out, 0),
        Class::Unswitched => put_u64(out, 1),
        Class::Switched { from } => {
            put_u64(out, 2);
            put_u64(out, u64::from(from));
        }
    }
}

/// The carry of these bytes.
///
/// # Errors
/// [`Truncated`] when they are damaged.
pub fn decode(bytes: &[u8]) -> Result<Carry, Truncated> {
    let mut reader = Reader::new(bytes);
    let mut carry = Carry::default();
    let state = reader.u64()?;
    if state > 0 {
        let code = i16::try_from(state - 1).map_err(|_| Truncated)?;
        let life = reader.i64()?;
        carry.state = Some((VmState::from_code(code).ok_or(Truncated)?, (life != i64::MIN).then_some(Instant(life))));
    }
    for _ in 0..count(&mut reader)? {
        carry.causes.push(match reader.u64()? {
            0 => None,
            _ => Some(Cause {
                finished_at: Instant(reader.i64()?),
                started_at: Instant(reader.i64()?),
                id: take_uuid(&mut reader)?,
                key: take_key(&mut reader)?,
            }),
        });
    }
    for _ in 0..count(&mut reader)? {
        let slot = reader.u32()?;
        let started = Started { started_at: Instant(reader.i64()?), id: take_uuid(&mut reader)?, combination_id: reader.u32()? };
        carry.started.insert(slot, started);
    }
    for _ in 0..count(&mut reader)? {
        carry.in_flight.push(take_run(&mut reader)?);
    }
    Ok(carry)
}

fn count(reader: &mut Reader<'_>) -> Result<u64, Truncated> {
    reader.u64().and_then(|count| if count > ENTRIES_MAX { Err(Truncated) } else { Ok(count) })
}

fn take_uuid(reader: &mut Reader<'_>) -> Result<Uuid, Truncated> {
    Uuid::from_slice(reader.take(16)?).map_err(|_| Truncated)
}

fn take_key(reader: &mut Reader<'_>) -> Result<Key, Truncated> {
    let mut key = [0; KEY_WIDTH];
    for id in &mut key[..EXECUTION_KEY_WIDTH] {
        *id = reader.u32()?;
    }
    Ok(key)
}

fn take_run(reader: &mut Reader<'_>) -> Result<Run, Truncated> {
    let id = take_uuid(reader)?;
    let (started_at, finished_at) = (Instant(reader.i64()?), Instant(reader.i64()?));
    let phases_us = [reader.i64()?, reader.i64()?];
    let mut gpus = Vec::new();
    for _ in 0..count(reader)? {
        gpus.push(u16::try_from(reader.u32()?).map_err(|_| Truncated)?);
    }
    let key = take_key(reader)?;
    let gpu_memory_peak_bytes = Some(reader.i64()?).filter(|bytes| *bytes >= 0);
    let checkpoint_load_ms = if reader.u64()? == 1 { Some(reader.f64()?) } else { None };
    let class = match reader.u64()? {
        0 => Class::ColdStart,
        1 => Class::Unswitched,
        _ => Class::Switched { from: reader.u32()? },
    };
    let holder = Holder { id, started_at, finished_at, gpus, key, phases_us };
    Ok(Run { holder, gpu_memory_peak_bytes, checkpoint_load_ms, class })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carry_comes_back() {
        let key = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let cause = Cause { finished_at: Instant(9), id: Uuid::from_u128(1), started_at: Instant(-3), key };
        let holder =
            Holder { id: Uuid::from_u128(2), started_at: Instant(1), finished_at: Instant(8), gpus: vec![0, 3], key, phases_us: [5, 0] };
        let run = |class| Run { holder: holder.clone(), gpu_memory_peak_bytes: Some(0), checkpoint_load_ms: Some(1.5), class };
        let carry = Carry {
            causes: vec![None, Some(cause)],
            started: [(1, Started { started_at: Instant(4), id: Uuid::from_u128(3), combination_id: 7 })].into(),
            in_flight: vec![
                run(Class::ColdStart),
                run(Class::Switched { from: 9 }),
                Run { gpu_memory_peak_bytes: None, ..run(Class::Unswitched) },
            ],
            state: Some((VmState::Running, None)),
        };
        let bytes = encode(&carry);
        assert_eq!(decode(&bytes), Ok(carry));
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        assert_eq!(decode(&encode(&Carry::default())), Ok(Carry::default()));
    }
}
