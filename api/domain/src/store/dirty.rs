//! Dirty marks: what has to be derived again.
//!
//! Invariant: marks are only appended, in the transaction of what they are about; whoever works them off deletes those that its
//! snapshot held. Must not know: what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_entity::value::hours::Hours;
use plimsoll_entity::value::time::Instant;
use plimsoll_entity::value::varint::{Reader, put_i64, put_u64};
use uuid::Uuid;

use super::job_marks::encode_days;
use super::{ColumnData, Rows, Snapshot, StoreError, WriteTx};

/// Marks that one statement deletes.
const MARKS_PER_DELETE: usize = 500;

/// What a dirty mark is about. Codes stand in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum DirtyKind {
    /// Machine (0: none), number of stretches, for each its first hour and how many follow: varints.
    MachineHours = 1,
    /// Job keys, 16 bytes each.
    Jobs = 2,
    /// Days on which executions have arrived that are jobs of their own.
    JobDays = 3,
    /// What of the prices has changed: kind, length and bytes of a name, first hour, how many follow.
    Prices = 4,
}

/// What of the prices has changed. Names, since a price may be told before anything that bears the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repriced {
    /// The hours of machines of an instance type.
    InstanceType(String),
    /// Transfers: loads from whatever storage.
    Transfers,
    /// What successful executions are worth.
    Values,
}

/// Machines (with the hours that something touched) and jobs that have to be derived again.
#[derive(Debug, Default)]
pub struct DirtyMarks {
    machine_hours: BTreeMap<u32, Hours>,
    jobs: Vec<Uuid>,
    job_days: BTreeSet<i32>,
    prices: BTreeMap<Repriced, Hours>,
}

impl DirtyMarks {
    /// Marks the hour of a machine in which an instant lies.
    pub fn machine(&mut self, vm: u32, at: Instant) {
        self.machine_hours(vm, at.hour(), at.hour());
    }

    /// Marks the hours of a machine from `first` to `last`.
    pub fn machine_hours(&mut self, vm: u32, first: i32, last: i32) {
        if vm != 0 {
            self.machine_hours.entry(vm).or_default().insert(first, last);
        }
    }

    /// Marks the hour in which an execution finished without a machine.
    pub fn machineless(&mut self, finished_at: Instant) {
        self.machine_hours.entry(0).or_default().insert(finished_at.hour(), finished_at.hour());
    }

    /// Marks a job.
    pub fn job(&mut self, key: Uuid) {
        self.jobs.push(key);
    }

    /// Marks a day on which an execution has arrived that is a job of its own.
    pub fn job_day(&mut self, day: i32) {
        self.job_days.insert(day);
    }

    /// Marks that a price has changed from the hour `first` to the hour `last`; both may lie in the future.
    pub fn prices(&mut self, what: Repriced, first: i32, last: i32) {
        self.prices.entry(what).or_default().insert(first, last);
    }

    /// The marks as the database keeps them: kind and packed subjects.
    #[must_use]
    pub fn encode(mut self) -> Vec<(DirtyKind, Vec<u8>)> {
        let mut encoded = Vec::new();
        if !self.machine_hours.is_empty() {
            let mut out = Vec::new();
            for (vm, hours) in &self.machine_hours {
                put_u64(&mut out, u64::from(*vm));
                put_u64(&mut out, hours.stretches().len() as u64);
                for (first, last) in hours.stretches() {
                    put_i64(&mut out, i64::from(first));
                    put_u64(&mut out, u64::from(last.abs_diff(first)));
                }
            }
            encoded.push((DirtyKind::MachineHours, out));
        }
        if !self.jobs.is_empty() {
            self.jobs.sort_unstable();
            self.jobs.dedup();
            encoded.push((DirtyKind::Jobs, self.jobs.iter().flat_map(|key| *key.as_bytes()).collect()));
        }
        if !self.job_days.is_empty() {
            encoded.push((DirtyKind::JobDays, encode_days(&self.job_days)));
        }
        if !self.prices.is_empty() {
            encoded.push((DirtyKind::Prices, encode_prices(&self.prices)));
        }
        encoded
    }
}

fn decode_machine_hours(subjects: &[u8], hours: &mut BTreeMap<u32, Hours>) -> Result<(), StoreError> {
    let mut reader = Reader::new(subjects);
    let hour = |value: Option<i32>| value.ok_or(StoreError::Inconsistent("dirty mark"));
    while !reader.is_empty() {
        let of_machine = hours.entry(reader.u32()?).or_default();
        for _ in 0..reader.u64()? {
            let first = hour(i32::try_from(reader.i64()?).ok())?;
            let more = reader.u64()?;
            of_machine.insert(first, hour(i64::try_from(more).ok().and_then(|more| i32::try_from(i64::from(first) + more).ok()))?);
        }
    }
    Ok(())
}

fn encode_prices(prices: &BTreeMap<Repriced, Hours>) -> Vec<u8> {
    let mut out = Vec::new();
    for (what, hours) in prices {
        for (first, last) in hours.stretches() {
            let (kind, name) = match what {
                Repriced::InstanceType(name) => (0, name.as_str()),
                Repriced::Transfers => (1, ""),
                Repriced::Values => (2, ""),
            };
            put_u64(&mut out, kind);
            put_u64(&mut out, name.len() as u64);
            out.extend_from_slice(name.as_bytes());
            put_i64(&mut out, i64::from(first));
            put_u64(&mut out, u64::from(last.abs_diff(first)));
        }
    }
    out
}

fn decode_prices(subjects: &[u8], prices: &mut BTreeMap<Repriced, Hours>) -> Result<(), StoreError> {
    const DAMAGED: StoreError = StoreError::Inconsistent("dirty mark");
    let mut reader = Reader::new(subjects);
    while !reader.is_empty() {
        let kind = reader.u64()?;
        let length = usize::try_from(reader.u64()?).map_err(|_| DAMAGED)?;
        let name = std::str::from_utf8(reader.take(length)?).map_err(|_| DAMAGED)?.to_owned();
        let first = i32::try_from(reader.i64()?).map_err(|_| DAMAGED)?;
        let last = i64::try_from(reader.u64()?).ok().and_then(|more| i32::try_from(i64::from(first) + more).ok()).ok_or(DAMAGED)?;
        let what = match kind {
            0 => Repriced::InstanceType(name),
            1 => Repriced::Transfers,
            2 => Repriced::Values,
            _ => return Err(DAMAGED),
        };
        prices.entry(what).or_default().insert(first, last);
    }
    Ok(())
}

/// Marks of prices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceMarks {
    /// Places of the marks, for their deletion.
    pub seqs: Vec<i64>,
    /// The hours, by what has changed.
    pub hours: BTreeMap<Repriced, Hours>,
    /// Whether there may be more marks than were read.
    pub has_more: bool,
}

/// Marks of machine-hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineMarks {
    /// Places of the marks, for their deletion.
    pub seqs: Vec<i64>,
    /// The hours, by machine.
    pub hours: BTreeMap<u32, Hours>,
    /// Whether there may be more marks than were read.
    pub has_more: bool,
}

impl Snapshot {
    /// The first marks of machine-hours, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn machine_mark_list(&self, limit: u64) -> Result<MachineMarks, StoreError> {
        let sql = format!("SELECT seq, subjects FROM dirty_mark WHERE kind = ? ORDER BY seq LIMIT {limit}");
        let mut marks = MachineMarks::default();
        for row in self.rows(&sql, vec![(DirtyKind::MachineHours as i16).into()]).await? {
            marks.seqs.push(row.try_get_by_index(0).map_err(StoreError::read)?);
            let subjects: Vec<u8> = row.try_get_by_index(1).map_err(StoreError::read)?;
            decode_machine_hours(&subjects, &mut marks.hours)?;
        }
        marks.has_more = marks.seqs.len() as u64 == limit;
        Ok(marks)
    }

    /// The first marks of prices, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn price_mark_list(&self, limit: u64) -> Result<PriceMarks, StoreError> {
        let sql = format!("SELECT seq, subjects FROM dirty_mark WHERE kind = ? ORDER BY seq LIMIT {limit}");
        let mut marks = PriceMarks::default();
        for row in self.rows(&sql, vec![(DirtyKind::Prices as i16).into()]).await? {
            marks.seqs.push(row.try_get_by_index(0).map_err(StoreError::read)?);
            let subjects: Vec<u8> = row.try_get_by_index(1).map_err(StoreError::read)?;
            decode_prices(&subjects, &mut marks.hours)?;
        }
        marks.has_more = marks.seqs.len() as u64 == limit;
        Ok(marks)
    }
}

impl WriteTx {
    /// Appends dirty marks.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn dirty_append(&mut self, marks: DirtyMarks) -> Result<(), StoreError> {
        let marks = marks.encode();
        let (kinds, subjects): (Vec<_>, Vec<_>) = marks.into_iter().map(|(kind, subjects)| (Some(kind as i64), Some(subjects))).unzip();
        let count = kinds.len();
        let columns = vec![("kind", ColumnData::Ints(kinds)), ("subjects", ColumnData::Bytes(subjects))];
        self.insert(&Rows { table: "dirty_mark", count, columns }, "").await.map(|_| ())
    }

    /// Deletes marks that have been worked off.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn dirty_delete(&mut self, seqs: &[i64]) -> Result<(), StoreError> {
        for chunk in seqs.chunks(MARKS_PER_DELETE) {
            let list = chunk.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            self.execute(&format!("DELETE FROM dirty_mark WHERE seq IN ({list})"), &[]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::time::HOUR_US;

    use super::*;

    #[test]
    fn marks_of_one_machine_are_few_stretches() {
        let mut marks = DirtyMarks::default();
        for hour in [5, 6, 2, 7, 6] {
            marks.machine(3, Instant(hour * HOUR_US));
        }
        marks.machine(0, Instant(0));
        marks.machine_hours(4, i32::MIN, -3);
        marks.job(Uuid::from_u128(9));
        marks.job(Uuid::from_u128(9));
        let encoded = marks.encode();
        assert_eq!(encoded.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [DirtyKind::MachineHours, DirtyKind::Jobs]);
        let mut hours = BTreeMap::new();
        decode_machine_hours(&encoded[0].1, &mut hours).unwrap();
        let told: Vec<(u32, Vec<(i32, i32)>)> = hours.iter().map(|(vm, hours)| (*vm, hours.stretches().collect())).collect();
        assert_eq!(told, [(3, vec![(2, 2), (5, 7)]), (4, vec![(i32::MIN, -3)])]);
        assert!(decode_machine_hours(&encoded[0].1[..3], &mut hours).is_err());
        assert_eq!(encoded[1].1.len(), 16);
    }

    #[test]
    fn marks_of_prices_come_back() {
        let mut marks = DirtyMarks::default();
        marks.prices(Repriced::InstanceType("g5.xlarge \"ü\"".to_owned()), 5, i32::MAX - 1);
        marks.prices(Repriced::Values, 7, 7);
        let encoded = marks.encode();
        let mut prices = BTreeMap::new();
        decode_prices(&encoded[0].1, &mut prices).unwrap();
        let told: Vec<_> = prices.into_iter().map(|(what, hours)| (what, hours.stretches().collect::<Vec<_>>())).collect();
        assert_eq!(
            told,
            [(Repriced::InstanceType("g5.xlarge \"ü\"".to_owned()), vec![(5, i32::MAX - 1)]), (Repriced::Values, vec![(7, 7)])]
        );
        assert!(decode_prices(&encoded[0].1[..9], &mut BTreeMap::new()).is_err());
    }
}
