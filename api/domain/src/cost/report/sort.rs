//! Adds up charges by key and puts them in order, whatever their number: what does not fit is put on disk in sorted runs and merged.
//!
//! Invariants: each key comes out once, in order; no more than [`CHARGES_HELD_MAX`] charges are held while adding, and one of each run
//! while merging. Files have no name and go with their owner. Must not know: what charges mean.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write as _};

use plimsoll_entity::value::varint::{Reader as Bytes, Truncated, put_i128, put_u64};

use super::charge::{CHARGE_COLUMNS, ChargeKey};
use crate::cost::figures::CostSums;

/// Charges that are held before they are put on disk.
pub const CHARGES_HELD_MAX: usize = 50_000;
/// Runs on disk before they are merged to one.
const RUNS_MAX: usize = 128;

/// Adds up charges.
#[derive(Debug)]
pub struct Sorter {
    held: BTreeMap<ChargeKey, CostSums>,
    held_max: usize,
    runs: Vec<File>,
}

impl Default for Sorter {
    fn default() -> Self {
        Self::new(CHARGES_HELD_MAX)
    }
}

impl Sorter {
    /// One that holds so many charges.
    #[must_use]
    pub const fn new(held_max: usize) -> Self {
        Self { held: BTreeMap::new(), held_max, runs: Vec::new() }
    }

    /// Adds to a charge.
    ///
    /// # Errors
    /// What the file system says.
    pub fn add(&mut self, key: ChargeKey, sums: &CostSums) -> io::Result<()> {
        self.held.entry(key).or_default().add(sums);
        if self.held.len() < self.held_max {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        self.runs.push(write_run(held.into_iter().map(Ok))?);
        if self.runs.len() >= RUNS_MAX {
            let merged = Merged::new(std::mem::take(&mut self.runs), BTreeMap::new())?;
            self.runs.push(write_run(merged)?);
        }
        Ok(())
    }

    /// Every charge once, in order.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(self) -> io::Result<Merged> {
        Merged::new(self.runs, self.held)
    }
}

fn write_run(charges: impl Iterator<Item = io::Result<(ChargeKey, CostSums)>>) -> io::Result<File> {
    let mut out = BufWriter::new(tempfile::tempfile()?);
    let mut record = Vec::new();
    for charge in charges {
        let (key, sums) = charge?;
        record.clear();
        encode(&key, &sums, &mut record);
        let length = u16::try_from(record.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&record)?;
    }
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

/// A run that is read back.
#[derive(Debug)]
struct Run {
    file: BufReader<File>,
    record: Vec<u8>,
}

impl Run {
    fn next(&mut self) -> io::Result<Option<(ChargeKey, CostSums)>> {
        let mut length = [0; 2];
        if self.file.read(&mut length[..1])? == 0 {
            return Ok(None);
        }
        self.file.read_exact(&mut length[1..])?;
        self.record.resize(u16::from_le_bytes(length).into(), 0);
        self.file.read_exact(&mut self.record)?;
        decode(&self.record).map(Some).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }
}

/// Charges in order, from several runs.
#[derive(Debug)]
pub struct Merged {
    runs: Vec<Run>,
    held: std::collections::btree_map::IntoIter<ChargeKey, CostSums>,
    /// The first key of each run (the last one: what was held) that has not come out yet.
    heads: BinaryHeap<Reverse<(ChargeKey, usize)>>,
    /// The sums of these keys.
    sums: Vec<CostSums>,
}

impl Merged {
    fn new(files: Vec<File>, held: BTreeMap<ChargeKey, CostSums>) -> io::Result<Self> {
        let runs: Vec<Run> = files.into_iter().map(|file| Run { file: BufReader::new(file), record: Vec::new() }).collect();
        let sums = vec![CostSums::default(); runs.len() + 1];
        let mut merged = Self { runs, held: held.into_iter(), heads: BinaryHeap::new(), sums };
        for place in 0..merged.sums.len() {
            merged.advance(place)?;
        }
        Ok(merged)
    }

    fn advance(&mut self, place: usize) -> io::Result<()> {
        let next = match self.runs.get_mut(place) {
            Some(run) => run.next()?,
            None => self.held.next(),
        };
        if let Some((key, sums)) = next {
            self.sums[place] = sums;
            self.heads.push(Reverse((key, place)));
        }
        Ok(())
    }

    fn take(&mut self) -> io::Result<Option<(ChargeKey, CostSums)>> {
        let Some(Reverse((key, place))) = self.heads.pop() else { return Ok(None) };
        let mut sum = self.sums[place];
        self.advance(place)?;
        while let Some(Reverse((next, place))) = self.heads.peek().copied()
            && next == key
        {
            self.heads.pop();
            sum.add(&self.sums[place]);
            self.advance(place)?;
        }
        Ok(Some((key, sum)))
    }
}

impl Iterator for Merged {
    type Item = io::Result<(ChargeKey, CostSums)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take().transpose()
    }
}

fn encode(key: &ChargeKey, sums: &CostSums, out: &mut Vec<u8>) {
    key.columns().into_iter().for_each(|id| put_u64(out, id.into()));
    let CostSums { inference, load, init, idle, overhead, gpu, of_succeeded, of_failed, of_cancelled, attributed, .. } = *sums;
    let CostSums { storage, transfer, unpriced_ps, gpu_ps, cpu_ps, value, executions, costed, valued, .. } = *sums;
    [inference, load, init, idle, overhead, gpu, of_succeeded, of_failed, of_cancelled, attributed, storage, transfer, unpriced_ps]
        .into_iter()
        .chain([gpu_ps, cpu_ps, value])
        .for_each(|amount| put_i128(out, amount));
    executions.into_iter().chain(costed).chain([valued]).for_each(|count| put_u64(out, count));
}

fn decode(bytes: &[u8]) -> Result<(ChargeKey, CostSums), Truncated> {
    let mut reader = Bytes::new(bytes);
    let mut columns = [0; CHARGE_COLUMNS];
    for column in &mut columns {
        *column = u32::try_from(reader.u64()?).map_err(|_| Truncated)?;
    }
    let sums = CostSums {
        inference: reader.i128()?,
        load: reader.i128()?,
        init: reader.i128()?,
        idle: reader.i128()?,
        overhead: reader.i128()?,
        gpu: reader.i128()?,
        of_succeeded: reader.i128()?,
        of_failed: reader.i128()?,
        of_cancelled: reader.i128()?,
        attributed: reader.i128()?,
        storage: reader.i128()?,
        transfer: reader.i128()?,
        unpriced_ps: reader.i128()?,
        gpu_ps: reader.i128()?,
        cpu_ps: reader.i128()?,
        value: reader.i128()?,
        executions: [reader.u64()?, reader.u64()?, reader.u64()?],
        costed: [reader.u64()?, reader.u64()?, reader.u64()?],
        valued: reader.u64()?,
    };
    Ok((ChargeKey::from_columns(columns), sums))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(amount: i64, count: u64) -> CostSums {
        let amount = i128::from(amount) << 20;
        CostSums { inference: amount, cpu_ps: -amount, value: 3, executions: [count, 0, 1], valued: count, ..CostSums::default() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_sorted_on_disk_is_what_a_map_holds(
            charges in prop::collection::vec((0_u32..9, 0_u32..9, any::<i64>(), 0_u64..1 << 40), 0..400),
            held_max in 1_usize..50,
        ) {
            let mut sorter = Sorter::new(held_max);
            let mut wanted: BTreeMap<ChargeKey, CostSums> = BTreeMap::new();
            for (department_id, vm_id, amount, count) in charges {
                let key = ChargeKey { department_id, vm_id, ..ChargeKey::default() };
                sorter.add(key, &sums(amount, count)).unwrap();
                wanted.entry(key).or_default().add(&sums(amount, count));
            }
            let sorted: Vec<(ChargeKey, CostSums)> = sorter.finish().unwrap().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(sorted, Vec::from_iter(wanted));
        }
    }
}
