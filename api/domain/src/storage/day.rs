//! All snapshots of one UTC day, put together: a block a day. Pure.
//!
//! For each place with a snapshot in the day: from its first one on, what it held until the day ended. A question takes such a day for
//! the snapshots themselves, so that hourly snapshots of a year cost as much as daily ones.
//! Invariant: a window reckoned with days gives what it gives with their snapshots. Must not know: where blocks lie.

use std::collections::BTreeMap;

use plimsoll_entity::value::time::{DAY_US, Instant, Window};
use plimsoll_entity::value::varint::{Reader, Truncated, put_i128, put_u64};

use super::holding::{Held, Holding};
use super::place::Place;

/// What one place held from its first snapshot of a day until the day's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceDay {
    /// Where.
    pub place: Place,
    /// From the first snapshot to the end of the day.
    pub window: Window,
    /// What it held.
    pub held: Held,
}

/// A day under way: snapshots come in their order.
#[derive(Debug)]
pub struct DayBuilder {
    end: Instant,
    places: BTreeMap<Place, (Instant, Holding)>,
}

impl DayBuilder {
    /// A day, counted from 1970.
    #[must_use]
    pub const fn new(day: i32) -> Self {
        Self { end: Instant((day as i64 + 1) * DAY_US), places: BTreeMap::new() }
    }

    /// A place holds so many bytes from an instant of the day on.
    pub fn tell(&mut self, place: Place, at: Instant, size_bytes: u64) {
        let end = self.end;
        let (_, holding) = self.places.entry(place).or_insert_with(|| (at, Holding::new(Window { start: at, end }, 0)));
        holding.tell(at, size_bytes);
    }

    /// The block of the day.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, self.places.len() as u64);
        let day = self.end.0 - DAY_US;
        for (place, (first_at, holding)) in self.places {
            let held = holding.end();
            put_u64(&mut out, place.model_version_id.into());
            put_u64(&mut out, place.checkpoint_version_id.into());
            put_u64(&mut out, place.storage_type as u64);
            put_u64(&mut out, place.storage_location_id.into());
            put_u64(&mut out, (first_at.0 - day) as u64);
            put_u64(&mut out, held.size_bytes);
            // At most 2^53 bytes over a day: far from the sign.
            put_i128(&mut out, held.byte_us as i128);
            put_u64(&mut out, held.stretches.len() as u64);
            for stretch in held.stretches {
                put_u64(&mut out, (stretch.start.0 - day) as u64);
                put_u64(&mut out, stretch.length_us() as u64);
            }
        }
        out
    }
}

/// Reads the block of a day, place by place.
///
/// # Errors
/// [`Truncated`] when the bytes are damaged.
pub fn read_day<E: From<Truncated>>(day: i32, block: &[u8], mut take: impl FnMut(PlaceDay) -> Result<(), E>) -> Result<(), E> {
    let mut reader = Reader::new(block);
    let start = i64::from(day) * DAY_US;
    let end = Instant(start + DAY_US);
    let instant = |offset: u64| i64::try_from(offset).ok().filter(|offset| *offset <= DAY_US).map(|offset| Instant(start + offset));
    for _ in 0..reader.u64()? {
        let place = Place {
            model_version_id: reader.u32()?,
            checkpoint_version_id: reader.u32()?,
            storage_type: i16::try_from(reader.u64()?).map_err(|_| Truncated)?,
            storage_location_id: reader.u32()?,
        };
        let first_at = instant(reader.u64()?).ok_or(Truncated)?;
        let size_bytes = reader.u64()?;
        let byte_us = u128::try_from(reader.i128()?).map_err(|_| Truncated)?;
        let mut stretches = Vec::new();
        for _ in 0..reader.u64()? {
            let from = reader.u64()?;
            let to = from.checked_add(reader.u64()?).ok_or(Truncated)?;
            stretches.push(Window { start: instant(from).ok_or(Truncated)?, end: instant(to).ok_or(Truncated)? });
        }
        take(PlaceDay { place, window: Window { start: first_at, end }, held: Held { size_bytes, byte_us, stretches } })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHERE: Place = Place { model_version_id: 3, checkpoint_version_id: 0, storage_type: 4, storage_location_id: 9 };

    fn days(block: &[u8]) -> Vec<PlaceDay> {
        let mut days = Vec::new();
        read_day::<Truncated>(20, block, |day| {
            days.push(day);
            Ok(())
        })
        .unwrap();
        days
    }

    #[test]
    fn a_day_is_read_as_it_was_told() {
        let other = Place { storage_type: 0, ..WHERE };
        let mut builder = DayBuilder::new(20);
        let start = 20 * DAY_US;
        builder.tell(WHERE, Instant(start + 5), 10);
        builder.tell(other, Instant(start + DAY_US - 1), 0);
        builder.tell(WHERE, Instant(start + 15), 0);
        builder.tell(WHERE, Instant(start + DAY_US - 10), (1 << 53) - 1);
        let block = builder.finish();
        let read = days(&block);
        assert_eq!(read.len(), 2);
        let told = read.iter().find(|day| day.place == WHERE).unwrap();
        let stretches = vec![Window::of(start + 5, start + 15), Window::of(start + DAY_US - 10, start + DAY_US)];
        assert_eq!(told.window, Window::of(start + 5, start + DAY_US));
        assert_eq!(told.held, Held { size_bytes: (1 << 53) - 1, byte_us: 100 + 10 * ((1 << 53) - 1), stretches });
        assert!(read_day::<Truncated>(20, &block[..block.len() - 1], |_| Ok(())).is_err());
        assert!(days(&DayBuilder::new(20).finish()).is_empty());
    }

    #[test]
    fn days_give_what_their_snapshots_give() {
        let start = 20 * DAY_US;
        let told = [(5, 10), (5, 0), (9, 7), (20, 0), (20, 3), (DAY_US - 1, 0)];
        for count in 0..=told.len() {
            for before in [0, 11] {
                let window = Window::of(start - 100, start + 2 * DAY_US);
                let (mut plain, mut by_day) = (Holding::new(window, before), Holding::new(window, before));
                let mut builder = DayBuilder::new(20);
                for (at, size) in &told[..count] {
                    plain.tell(Instant(start + at), *size);
                    builder.tell(WHERE, Instant(start + at), *size);
                }
                days(&builder.finish()).iter().for_each(|day| by_day.tell_day(day.window, &day.held));
                assert_eq!(by_day.end(), plain.end(), "{count} snapshots after {before} bytes");
            }
        }
    }
}
