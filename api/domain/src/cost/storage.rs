//! What bytes cost that lie somewhere: per place and UTC hour, half up (contract, "Money", 8).
//!
//! Hours that cost the same stand together as a run, so that a month of bytes that nobody touched costs one division.
//! Invariant: a month that was closed is read as it was closed. Must not know: dimensions.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use num_bigint::BigInt;
use plimsoll_entity::value::label::StorageType;
use plimsoll_entity::value::money::divide;
use plimsoll_entity::value::time::{HOUR_US, Instant, Window};
use plimsoll_entity::value::varint::{Reader as Bytes, Truncated, put_i64, put_i128, put_u64};
use uuid::Uuid;

use super::rate::Prices;
use super::split::GIB;
use crate::breakdown::BreakdownError;
use crate::cell::part::Key;
use crate::storage::place::Place;
use crate::store::{Snapshot, StoreError};

/// Hours of a month, as storage prices count them.
const MONTH_HOURS: i128 = 730;
/// Places that one question reckons with.
const PLACES_MAX: usize = 200_000;
/// Changes of size that one question reckons with.
const SNAPSHOTS_MAX: usize = 5_000_000;

/// Hours of one place that cost the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourRun {
    /// The first, since 1970.
    pub first: i32,
    /// How many.
    pub hours: i32,
    /// Nano-units each.
    pub nanos: i128,
}

/// What the bytes of one place cost in a window that starts with an hour: `changes` are the sizes told, the first at its start.
#[must_use]
pub fn hour_runs(window: Window, place: Place, changes: &[(Instant, u64)], prices: &Prices) -> Vec<HourRun> {
    let Some(kind) = StorageType::from_code(place.storage_type) else { return Vec::new() };
    let rate_at = |at: Instant| prices.storage_at(at, kind, place.storage_location_id).unwrap_or(0);
    let mut cuts: Vec<Instant> = changes.iter().map(|(at, _)| *at).chain(prices.storage_changes(kind, window)).collect();
    cuts.retain(|at| window.contains(*at));
    cuts.sort_unstable();
    cuts.dedup();
    let size_at = |at: Instant| changes[..changes.partition_point(|(told, _)| *told <= at)].last().map_or(0, |(_, size)| *size);
    let mut runs: Vec<HourRun> = Vec::new();
    let mut hour = window.start.hour();
    while Window::of_hour(hour).start < window.end {
        let next_cut =
            cuts.get(cuts.partition_point(|at| *at <= Window::of_hour(hour).start)).copied().unwrap_or(window.end).min(window.end);
        let whole = next_cut.hour() - hour;
        let run = if whole > 0 {
            let start = Window::of_hour(hour).start;
            HourRun { first: hour, hours: whole, nanos: divide_big(price(size_at(start), rate_at(start), HOUR_US)) }
        } else {
            let of_hour = Window::of_hour(hour);
            let end = of_hour.end.min(window.end);
            let inside = cuts.iter().copied().filter(|at| of_hour.start < *at && *at < end);
            let starts: Vec<Instant> = std::iter::once(of_hour.start).chain(inside).collect();
            let ends = starts.iter().skip(1).copied().chain([end]);
            let units = starts.iter().zip(ends).map(|(start, end)| price(size_at(*start), rate_at(*start), end.0 - start.0)).sum();
            HourRun { first: hour, hours: 1, nanos: divide_big(units) }
        };
        hour += run.hours;
        match runs.last_mut() {
            Some(last) if last.nanos == run.nanos => last.hours += run.hours,
            _ => runs.push(run),
        }
    }
    runs.retain(|run| run.nanos != 0);
    runs
}

/// Bytes x price x time: more than 128 bits hold.
fn price(size_bytes: u64, per_gib_month: i64, us: i64) -> BigInt {
    BigInt::from(size_bytes) * per_gib_month * us
}

fn divide_big(units: BigInt) -> i128 {
    let divisor = GIB * MONTH_HOURS * i128::from(HOUR_US);
    match i128::try_from(&units) {
        Ok(units) => divide(units, divisor),
        // So many bytes at such a price fill no hour of anybody's life; the quotient fits all the same.
        Err(_) => i128::try_from((units * 2 + divisor) / (BigInt::from(divisor) * 2)).unwrap_or(i128::MAX),
    }
}

/// What every place costs by the hour in a window that starts with an hour; nothing after the snapshot's instant.
///
/// # Errors
/// [`BreakdownError::Limit`] when there is too much to reckon; what the store says.
pub async fn storage_runs(snapshot: &Snapshot, prices: &Prices, window: Window) -> Result<Vec<(Place, Vec<HourRun>)>, BreakdownError> {
    let window = Window { start: window.start, end: window.end.min(snapshot.as_of) };
    if window.start >= window.end {
        return Ok(Vec::new());
    }
    let sizes = snapshot.storage_size_at_list(window.start, PLACES_MAX + 1).await?;
    if sizes.len() > PLACES_MAX {
        return Err(BreakdownError::Limit(format!("there are more than {PLACES_MAX} places")));
    }
    let mut changes: BTreeMap<Place, Vec<(Instant, u64)>> =
        sizes.into_iter().map(|size| (size.place, vec![(window.start, size.size_bytes)])).collect();
    let mut kept = 0;
    // What was told at the start is in the sizes already.
    let told = Window { start: Instant(window.start.0 + 1), end: window.end };
    let mut stream = std::pin::pin!(snapshot.storage_size_stream(told).await?);
    while let Some(size) = stream.try_next().await? {
        if kept > SNAPSHOTS_MAX {
            return Err(BreakdownError::Limit(format!(
                "sizes changed more than {SNAPSHOTS_MAX} times in the window: ask for a shorter one"
            )));
        }
        let of_place = changes.entry(size.place).or_default();
        // Most snapshots say that nothing has changed.
        if of_place.last().is_none_or(|(_, last)| *last != size.size_bytes) {
            kept += 1;
            of_place.push((size.at, size.size_bytes));
        }
    }
    let runs = changes.into_iter().map(|(place, changes)| (place, hour_runs(window, place, &changes, prices)));
    Ok(runs.filter(|(_, runs)| !runs.is_empty()).collect())
}

/// What every place costs in the tiles of a question: closed months as they were closed, the rest by what is known.
///
/// # Errors
/// As [`storage_runs`].
pub async fn storage_costs(snapshot: &Snapshot, prices: &Prices, tiles: &[Window]) -> Result<Vec<(Key, Vec<(u32, i128)>)>, BreakdownError> {
    let (Some(first), Some(last)) = (tiles.first(), tiles.last()) else { return Ok(Vec::new()) };
    let closed_until = snapshot.closed_until().await?;
    let mut runs: BTreeMap<Place, Vec<HourRun>> = BTreeMap::new();
    if first.start < closed_until {
        let months = (first.start.month(), Instant(closed_until.0.min(last.end.0) - 1).month());
        for (_, block) in snapshot.cost_storage_list(months.0, months.1).await? {
            for (place, of_month) in decode_month(&block).map_err(StoreError::from)? {
                runs.entry(place).or_default().extend(of_month);
            }
        }
    }
    let open = Window { start: first.start.max(closed_until), end: last.end };
    for (place, of_place) in storage_runs(snapshot, prices, open).await? {
        runs.entry(place).or_default().extend(of_place);
    }
    Ok(runs.into_iter().map(|(place, runs)| (place.key(), by_tile(tiles, &runs))).filter(|(_, amounts)| !amounts.is_empty()).collect())
}

/// The amounts of runs in each tile of whole hours.
fn by_tile(tiles: &[Window], runs: &[HourRun]) -> Vec<(u32, i128)> {
    let mut amounts: Vec<(u32, i128)> = Vec::new();
    for run in runs {
        let behind = run.first + run.hours;
        let from = tiles.partition_point(|tile| tile.end.hour() <= run.first);
        for (tile, window) in (from as u32..).zip(&tiles[from..]) {
            let hours = behind.min(window.end.hour()) - run.first.max(window.start.hour());
            if hours <= 0 {
                break;
            }
            match amounts.last_mut() {
                Some(last) if last.0 == tile => last.1 += run.nanos * i128::from(hours),
                _ => amounts.push((tile, run.nanos * i128::from(hours))),
            }
        }
    }
    amounts
}

/// The bytes of what every place costs in a month.
#[must_use]
pub fn encode_month(places: &[(Place, Vec<HourRun>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (place, runs) in places {
        out.extend_from_slice(place.id().as_bytes());
        put_u64(&mut out, runs.len() as u64);
        for run in runs {
            put_i64(&mut out, run.first.into());
            put_i64(&mut out, run.hours.into());
            put_i128(&mut out, run.nanos);
        }
    }
    out
}

/// What every place costs in the month of these bytes.
///
/// # Errors
/// [`Truncated`] when they are damaged.
pub fn decode_month(bytes: &[u8]) -> Result<Vec<(Place, Vec<HourRun>)>, Truncated> {
    let mut reader = Bytes::new(bytes);
    let mut places = Vec::new();
    let number = |value: i64| i32::try_from(value).map_err(|_| Truncated);
    while !reader.is_empty() {
        let place = Place::of(Uuid::from_slice(reader.take(16)?).map_err(|_| Truncated)?);
        let mut runs = Vec::new();
        for _ in 0..reader.u64()? {
            runs.push(HourRun { first: number(reader.i64()?)?, hours: number(reader.i64()?)?, nanos: reader.i128()? });
        }
        places.push((place, runs));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_that_cost_the_same_stand_together_and_fall_to_their_tiles() {
        let runs = [HourRun { first: 2, hours: 5, nanos: 3 }, HourRun { first: 8, hours: 1, nanos: 7 }];
        let tiles = [Window::of_hours(0, 4), Window::of_hours(4, 8), Window::of_hours(8, 9)];
        assert_eq!(by_tile(&tiles, &runs), [(0, 6), (1, 9), (2, 7)]);
        assert_eq!(by_tile(&[Window::of_hours(3, 5)], &runs), [(0, 6)]);
    }

    #[test]
    fn months_come_back() {
        let place = Place { model_version_id: 1, checkpoint_version_id: 2, storage_type: 4, storage_location_id: 3 };
        let month = vec![(place, vec![HourRun { first: 497_000, hours: 744, nanos: 1 << 80 }])];
        assert_eq!(decode_month(&encode_month(&month)), Ok(month.clone()));
        assert!(decode_month(&encode_month(&month)[..20]).is_err());
    }
}
