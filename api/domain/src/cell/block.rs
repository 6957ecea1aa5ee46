//! Blocks: all cells of one family and bucket, keys and parts apart.
//!
//! Layout of the keys part: number of cells, then a column of UTC hours of the day in delta blocks, then each key column, every
//! value as the distance to the one before. Cells are sorted by hour, then key, and each pair stands once.
//! A delta block is its parts in a row, each with its code and length.
//! Must not know: where blocks are kept.

use plimsoll_entity::value::varint::{Reader, Truncated, put_i64, put_u64};

use super::part::{Family, KEY_WIDTH, Key, Part};

/// Cells of one block at most: guards against a damaged length.
const CELLS_MAX: usize = 64 << 20;

/// The keys of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// UTC hour of the day of each cell; empty where the whole block is one bucket.
    pub hours: Vec<u8>,
    /// Key of each cell.
    pub keys: Vec<Key>,
}

impl Keys {
    /// Encodes the keys; `hours` are written when they are there.
    #[must_use]
    pub fn encode(&self, family: Family) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.keys.len() * (family.columns().len() + 1) + 8);
        put_u64(&mut out, self.keys.len() as u64);
        put_u64(&mut out, u64::from(!self.hours.is_empty()));
        put_distances(&mut out, self.hours.iter().map(|hour| u32::from(*hour)));
        for column in family.columns() {
            put_distances(&mut out, self.keys.iter().map(|key| key[*column as usize]));
        }
        out
    }

    /// Decodes the keys of a block.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged.
    pub fn decode(family: Family, bytes: &[u8]) -> Result<Self, Truncated> {
        let mut reader = Reader::new(bytes);
        let cells = usize::try_from(reader.u64()?).map_err(|_| Truncated)?;
        if cells > CELLS_MAX || cells > bytes.len() {
            return Err(Truncated);
        }
        let mut hours = Vec::new();
        if reader.u64()? == 1 {
            hours.reserve_exact(cells);
            read_distances(&mut reader, cells, |_, hour| hours.push(hour as u8))?;
        }
        let mut keys = vec![[0; KEY_WIDTH]; cells];
        for column in family.columns() {
            read_distances(&mut reader, cells, |at, value| keys[at][*column as usize] = value)?;
        }
        Ok(Self { hours, keys })
    }
}

fn put_distances(out: &mut Vec<u8>, values: impl Iterator<Item = u32>) {
    let mut before = 0_i64;
    for value in values {
        put_i64(out, i64::from(value) - before);
        before = i64::from(value);
    }
}

fn read_distances(reader: &mut Reader<'_>, cells: usize, mut take: impl FnMut(usize, u32)) -> Result<(), Truncated> {
    let mut value = 0_i64;
    for at in 0..cells {
        value += reader.i64()?;
        take(at, u32::try_from(value).map_err(|_| Truncated)?);
    }
    Ok(())
}

/// Puts the parts of a delta block in a row.
#[must_use]
pub fn pack(parts: &[(Part, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|(_, bytes)| bytes.len() + 6).sum());
    for (part, bytes) in parts {
        put_u64(&mut out, part.code() as u64);
        put_u64(&mut out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
    out
}

/// The parts of a packed block; parts that this version does not know are passed over.
///
/// # Errors
/// [`Truncated`] when the bytes are damaged.
pub fn unpack(bytes: &[u8]) -> Result<Vec<(Part, &[u8])>, Truncated> {
    let mut reader = Reader::new(bytes);
    let mut parts = Vec::new();
    while !reader.is_empty() {
        let code = reader.u64()?;
        let length = usize::try_from(reader.u64()?).map_err(|_| Truncated)?;
        let body = reader.take(length)?;
        if let Some(part) = i16::try_from(code).ok().and_then(Part::from_code) {
            parts.push((part, body));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_in_order() {
        let keys = Keys {
            hours: vec![0, 0, 23],
            keys: vec![
                [1, 2, 3, 4, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                [1, 2, 9, 4, 5, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                [1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ],
        };
        let bytes = keys.encode(Family::Caller);
        assert_eq!(Keys::decode(Family::Caller, &bytes), Ok(keys.clone()));
        let bucket = Keys { hours: Vec::new(), keys: keys.keys.iter().map(|key| Family::Combination.project(key)).collect() };
        assert_eq!(Keys::decode(Family::Combination, &bucket.encode(Family::Combination)), Ok(bucket));
        assert_eq!(Keys::decode(Family::Caller, &bytes[..bytes.len() - 1]), Err(Truncated));
    }

    #[test]
    fn packed_parts_come_back() {
        let parts = vec![(Part::Keys, vec![1, 2, 3]), (Part::Usage, Vec::new()), (Part::Duration, vec![0; 300])];
        let bytes = pack(&parts);
        let back: Vec<(Part, Vec<u8>)> = unpack(&bytes).unwrap().into_iter().map(|(part, body)| (part, body.to_vec())).collect();
        assert_eq!(back, parts);
        assert_eq!(unpack(&bytes[..bytes.len() - 1]).unwrap_err(), Truncated);
    }
}
