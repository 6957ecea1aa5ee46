//! One part of many cells, in memory: what questions and the compactor merge blocks into.
//!
//! Invariant: a row that nothing was merged into reads as nothing. Must not know: which cells the rows stand for.

use plimsoll_entity::value::moments::Moments;
use plimsoll_entity::value::varint::{Reader, Truncated, put_i64, put_i128};
use roaring::RoaringBitmap;

use super::part::{Part, PartKind, Summed};
use super::stat::{Minutes, Summary, UsageByVm, encode_ids, merge_encoded_ids};

/// The row of a cell that is passed over.
pub const SKIP: u32 = u32::MAX;

/// A column of rows.
#[derive(Clone, Debug)]
pub enum Column {
    /// [`PartKind::Sum`].
    Sums(Vec<i128>),
    /// [`PartKind::Latest`]; 0 for none.
    Latest(Vec<i64>),
    /// [`PartKind::Summary`] and its scale.
    Summaries(Vec<Summary>, f64),
    /// [`PartKind::Moments`].
    Moments(Vec<Moments>),
    /// [`PartKind::Ids`].
    Ids(Vec<RoaringBitmap>),
    /// [`PartKind::Minutes`].
    Minutes(Vec<Minutes>),
    /// [`PartKind::Usage`].
    Usage(Vec<UsageByVm>),
}

impl Column {
    /// An empty column of a part.
    #[must_use]
    pub const fn of(part: Part) -> Self {
        match part.kind() {
            PartKind::Sum => Self::Sums(Vec::new()),
            PartKind::Latest => Self::Latest(Vec::new()),
            PartKind::Summary { scale } => Self::Summaries(Vec::new(), scale),
            PartKind::Moments => Self::Moments(Vec::new()),
            PartKind::Ids => Self::Ids(Vec::new()),
            PartKind::Minutes => Self::Minutes(Vec::new()),
            PartKind::Usage => Self::Usage(Vec::new()),
        }
    }

    /// Makes room for `rows` rows; new ones hold nothing.
    pub fn grow(&mut self, rows: usize) {
        match self {
            Self::Sums(column) => column.resize(rows.max(column.len()), 0),
            Self::Latest(column) => column.resize(rows.max(column.len()), 0),
            Self::Summaries(column, _) => column.resize_with(rows.max(column.len()), Summary::default),
            Self::Moments(column) => column.resize(rows.max(column.len()), Moments::default()),
            Self::Ids(column) => column.resize_with(rows.max(column.len()), RoaringBitmap::new),
            Self::Minutes(column) => column.resize_with(rows.max(column.len()), Minutes::default),
            Self::Usage(column) => column.resize_with(rows.max(column.len()), UsageByVm::default),
        }
    }

    /// Adds the cells of one encoded part, cell `i` to row `rows[i]`; [`SKIP`] passes over it. There must be room for every row.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged.
    pub fn merge_encoded(&mut self, bytes: &[u8], rows: &[u32]) -> Result<(), Truncated> {
        let mut reader = Reader::new(bytes);
        let taken = |row: &u32| (*row != SKIP).then_some(*row as usize);
        for row in rows {
            let row = taken(row);
            match self {
                Self::Sums(column) => {
                    let value = reader.i128()?;
                    if let Some(row) = row {
                        column[row] = column[row].saturating_add(value);
                    }
                }
                Self::Latest(column) => {
                    let at = reader.i64()?;
                    if let Some(row) = row {
                        column[row] = column[row].max(at);
                    }
                }
                Self::Summaries(column, scale) => match row {
                    Some(row) => column[row].merge_encoded(&mut reader, *scale)?,
                    None => Summary::skip(&mut reader)?,
                },
                Self::Moments(column) => {
                    let moments = Moments::decode(&mut reader)?;
                    if let Some(row) = row {
                        column[row].merge(&moments);
                    }
                }
                Self::Ids(column) => match row {
                    Some(row) => merge_encoded_ids(&mut column[row], &mut reader)?,
                    None => merge_encoded_ids(&mut RoaringBitmap::new(), &mut reader)?,
                },
                Self::Minutes(column) => {
                    let minutes = Minutes::decode(&mut reader)?;
                    if let Some(row) = row {
                        column[row].merge(&minutes);
                    }
                }
                Self::Usage(column) => match row {
                    Some(row) => column[row].merge_encoded(&mut reader)?,
                    None => UsageByVm::default().merge_encoded(&mut reader)?,
                },
            }
        }
        if reader.is_empty() { Ok(()) } else { Err(Truncated) }
    }

    /// Adds what sums keep of the encoded summaries of another part, summary `i` to row `rows[i]`. There must be room for every row.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged, or this is no column of sums.
    pub fn merge_summaries(&mut self, of: Part, summed: Summed, bytes: &[u8], rows: &[u32]) -> Result<(), Truncated> {
        let (Self::Sums(column), PartKind::Summary { scale }) = (self, of.kind()) else { return Err(Truncated) };
        let (mut reader, mut summary) = (Reader::new(bytes), Summary::default());
        for row in rows {
            summary.clear();
            summary.merge_encoded(&mut reader, scale)?;
            let sum = match summed {
                Summed::Count => i128::from(summary.count),
                Summed::Values => summary.sum_scaled,
            };
            column[*row as usize] = column[*row as usize].saturating_add(sum);
        }
        if reader.is_empty() { Ok(()) } else { Err(Truncated) }
    }

    /// Adds one row of another column of the same part to a row of this one.
    pub fn merge_row(&mut self, row: usize, other: &Self, other_row: usize) {
        match (self, other) {
            (Self::Sums(to), Self::Sums(from)) => to[row] = to[row].saturating_add(from[other_row]),
            (Self::Latest(to), Self::Latest(from)) => to[row] = to[row].max(from[other_row]),
            (Self::Summaries(to, _), Self::Summaries(from, _)) => to[row].merge(&from[other_row]),
            (Self::Moments(to), Self::Moments(from)) => to[row].merge(&from[other_row]),
            (Self::Ids(to), Self::Ids(from)) => to[row] |= &from[other_row],
            (Self::Minutes(to), Self::Minutes(from)) => to[row].merge(&from[other_row]),
            (Self::Usage(to), Self::Usage(from)) => to[row].merge(&from[other_row]),
            _ => debug_assert!(false, "columns of different parts"),
        }
    }

    /// Appends the encoding of one row.
    pub fn encode_row(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Sums(column) => put_i128(out, column[row]),
            Self::Latest(column) => put_i64(out, column[row]),
            Self::Summaries(column, _) => column[row].encode(out),
            Self::Moments(column) => column[row].encode(out),
            Self::Ids(column) => encode_ids(&column[row], out),
            Self::Minutes(column) => column[row].encode(out),
            Self::Usage(column) => column[row].encode(out),
        }
    }

    /// Empties every row and keeps the memory.
    pub fn clear(&mut self) {
        match self {
            Self::Sums(column) => column.fill(0),
            Self::Latest(column) => column.fill(0),
            Self::Summaries(column, _) => column.iter_mut().for_each(Summary::clear),
            Self::Moments(column) => column.fill(Moments::default()),
            Self::Ids(column) => column.iter_mut().for_each(RoaringBitmap::clear),
            Self::Minutes(column) => column.iter_mut().for_each(Minutes::clear),
            Self::Usage(column) => column.iter_mut().for_each(UsageByVm::clear),
        }
    }
}
