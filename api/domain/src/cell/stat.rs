//! What one cell keeps in one part: statistics that merge by addition and their encodings.
//!
//! Invariant: `merge` is commutative and associative bit for bit (sums are whole numbers), and reading an encoding gives back
//! what was written. Must not know: keys, blocks, what the values mean.

use plimsoll_entity::value::histogram::{Histogram, bucket_of, skip_encoded};
use plimsoll_entity::value::varint::{Reader, Truncated, put_f64, put_i64, put_i128, put_u64};
use roaring::RoaringBitmap;

/// Count, exact sum, least and largest value, and a sketch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Number of values.
    pub count: u64,
    /// Sum in units of 1 / scale.
    pub sum_scaled: i128,
    /// Least value; meaningless when `count` is 0.
    pub min: f64,
    /// Largest value; meaningless when `count` is 0.
    pub max: f64,
    /// The sketch.
    pub sketch: Histogram,
}

impl Summary {
    /// Adds one value.
    pub fn add(&mut self, value: f64, scale: f64) {
        self.add_bucketed(value, bucket_of(value), scale);
    }

    /// Adds one value whose bucket is known.
    pub fn add_bucketed(&mut self, value: f64, bucket: i32, scale: f64) {
        self.extend(1, (value * scale).round() as i128, value, value);
        self.sketch.add(bucket, 1);
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        if other.count > 0 {
            self.extend(other.count, other.sum_scaled, other.min, other.max);
            self.sketch.merge(&other.sketch);
        }
    }

    fn extend(&mut self, count: u64, sum_scaled: i128, min: f64, max: f64) {
        self.min = if self.count == 0 { min } else { self.min.min(min) };
        self.max = if self.count == 0 { max } else { self.max.max(max) };
        self.count += count;
        self.sum_scaled = self.sum_scaled.saturating_add(sum_scaled);
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        (self.count, self.sum_scaled) = (0, 0);
        self.sketch.clear();
    }

    /// The value of a quantile, clamped to the exact extremes; none without values.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        self.sketch.quantile(quantile).map(|value| value.clamp(self.min, self.max))
    }

    /// Appends the encoding. A single value is written once, with its bucket.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.count);
        match self.count {
            0 => {}
            1 => {
                put_f64(out, self.min);
                put_i64(out, self.sketch.buckets().next().map_or(0, |(bucket, _)| i64::from(bucket)));
            }
            _ => {
                put_i128(out, self.sum_scaled);
                put_f64(out, self.min);
                put_f64(out, self.max);
                self.sketch.encode(out);
            }
        }
    }

    /// Adds an encoded one.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged.
    pub fn merge_encoded(&mut self, reader: &mut Reader<'_>, scale: f64) -> Result<(), Truncated> {
        match reader.u64()? {
            0 => Ok(()),
            1 => {
                let value = reader.f64()?;
                let bucket = i32::try_from(reader.i64()?).map_err(|_| Truncated)?;
                self.add_bucketed(value, bucket, scale);
                Ok(())
            }
            count => {
                let sum_scaled = reader.i128()?;
                let (min, max) = (reader.f64()?, reader.f64()?);
                self.extend(count, sum_scaled, min, max);
                self.sketch.merge_encoded(reader)
            }
        }
    }

    /// Passes over an encoded one.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged.
    pub fn skip(reader: &mut Reader<'_>) -> Result<(), Truncated> {
        match reader.u64()? {
            0 => Ok(()),
            1 => reader.f64().and_then(|_| reader.i64()).map(|_| ()),
            _ => {
                reader.i128()?;
                reader.take(16)?;
                skip_encoded(reader)
            }
        }
    }
}

/// Counts by UTC minute, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minutes(Vec<(u32, u32)>);

impl Minutes {
    /// Adds `count` to one minute (since 1970).
    pub fn add(&mut self, minute: u32, count: u32) {
        match self.0.last_mut() {
            Some(last) if last.0 == minute => last.1 += count,
            Some(last) if last.0 > minute => match self.0.binary_search_by_key(&minute, |entry| entry.0) {
                Ok(at) => self.0[at].1 += count,
                Err(at) => self.0.insert(at, (minute, count)),
            },
            _ => self.0.push((minute, count)),
        }
    }

    /// Adds all counts of another: a merge of two sorted runs.
    pub fn merge(&mut self, other: &Self) {
        if self.0.last().is_none_or(|last| other.0.first().is_none_or(|first| last.0 < first.0)) {
            self.0.extend_from_slice(&other.0);
            return;
        }
        let mut merged = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut left, mut right) = (self.0.iter().copied().peekable(), other.0.iter().copied().peekable());
        loop {
            let entry = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.0 == b.0 => {
                    let entry = (a.0, a.1 + b.1);
                    left.next();
                    right.next();
                    entry
                }
                (Some(a), Some(b)) => {
                    let entry = if a.0 < b.0 { left.next() } else { right.next() };
                    let Some(entry) = entry else { break };
                    entry
                }
                (Some(_), None) => {
                    merged.extend(left);
                    break;
                }
                (None, _) => {
                    merged.extend(right);
                    break;
                }
            };
            merged.push(entry);
        }
        self.0 = merged;
    }

    /// The counts, ascending by minute.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.0.len() as u64);
        let mut before = 0;
        for (minute, count) in &self.0 {
            put_u64(out, u64::from(minute - before));
            put_u64(out, u64::from(*count));
            before = *minute;
        }
    }

    /// Reads an encoded one.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        let mut minute = 0_u32;
        let mut counts = Vec::new();
        for _ in 0..reader.u32()? {
            minute = minute.checked_add(reader.u32()?).ok_or(Truncated)?;
            counts.push((minute, reader.u32()?));
        }
        Ok(Self(counts))
    }
}

/// Appends a set of ids.
pub fn encode_ids(ids: &RoaringBitmap, out: &mut Vec<u8>) {
    put_u64(out, ids.len());
    let mut before = 0;
    for id in ids {
        put_u64(out, u64::from(id - before));
        before = id;
    }
}

/// Adds an encoded set of ids.
///
/// # Errors
/// [`Truncated`] when the bytes are damaged.
pub fn merge_encoded_ids(ids: &mut RoaringBitmap, reader: &mut Reader<'_>) -> Result<(), Truncated> {
    let mut id = 0_u32;
    for _ in 0..reader.u32()? {
        id = id.checked_add(reader.u32()?).ok_or(Truncated)?;
        ids.insert(id);
    }
    Ok(())
}

/// Slot time of executions on one machine, in GPU-microseconds and microseconds, and their CPU seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of duration x GPUs named.
    pub named_gpu_us: i128,
    /// Sum of the durations of executions that named no GPU.
    pub whole_us: i128,
    /// Sum of reported CPU seconds, in picoseconds.
    pub cpu_ps: i128,
    /// `named_gpu_us` of executions without reported CPU seconds.
    pub named_gpu_us_without_cpu: i128,
    /// `whole_us` of executions without reported CPU seconds.
    pub whole_us_without_cpu: i128,
}

/// Picoseconds of a second.
pub const SECOND_PS: f64 = 1e12;

impl Usage {
    /// The usage of one execution.
    #[must_use]
    pub fn of(duration_us: i64, gpus_named: usize, cpu_seconds: Option<f64>) -> Self {
        let duration = i128::from(duration_us);
        let named = duration * gpus_named as i128;
        let whole = if gpus_named == 0 { duration } else { 0 };
        let reported = cpu_seconds.is_some();
        Self {
            named_gpu_us: named,
            whole_us: whole,
            cpu_ps: cpu_seconds.map_or(0, |seconds| (seconds * SECOND_PS).round() as i128),
            named_gpu_us_without_cpu: if reported { 0 } else { named },
            whole_us_without_cpu: if reported { 0 } else { whole },
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.named_gpu_us += other.named_gpu_us;
        self.whole_us += other.whole_us;
        self.cpu_ps = self.cpu_ps.saturating_add(other.cpu_ps);
        self.named_gpu_us_without_cpu += other.named_gpu_us_without_cpu;
        self.whole_us_without_cpu += other.whole_us_without_cpu;
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for sum in [self.named_gpu_us, self.whole_us, self.cpu_ps, self.named_gpu_us_without_cpu, self.whole_us_without_cpu] {
            put_i128(out, sum);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Truncated> {
        Ok(Self {
            named_gpu_us: reader.i128()?,
            whole_us: reader.i128()?,
            cpu_ps: reader.i128()?,
            named_gpu_us_without_cpu: reader.i128()?,
            whole_us_without_cpu: reader.i128()?,
        })
    }
}

/// Usage by machine (0: no machine), ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageByVm(Vec<(u32, Usage)>);

impl UsageByVm {
    /// Adds the usage of one machine.
    pub fn add(&mut self, vm: u32, usage: &Usage) {
        match self.0.binary_search_by_key(&vm, |entry| entry.0) {
            Ok(at) => self.0[at].1.merge(usage),
            Err(at) => self.0.insert(at, (vm, *usage)),
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (vm, usage) in &other.0 {
            self.add(*vm, usage);
        }
    }

    /// The usages, ascending by machine.
    pub fn iter(&self) -> impl Iterator<Item = &(u32, Usage)> + '_ {
        self.0.iter()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.0.len() as u64);
        let mut before = 0;
        for (vm, usage) in &self.0 {
            put_u64(out, u64::from(vm - before));
            usage.encode(out);
            before = *vm;
        }
    }

    /// Adds an encoded one.
    ///
    /// # Errors
    /// [`Truncated`] when the bytes are damaged.
    pub fn merge_encoded(&mut self, reader: &mut Reader<'_>) -> Result<(), Truncated> {
        let mut vm = 0_u32;
        for _ in 0..reader.u32()? {
            vm = vm.checked_add(reader.u32()?).ok_or(Truncated)?;
            let usage = Usage::decode(reader)?;
            self.add(vm, &usage);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_merge_exactly() {
        let values = [0.1, 0.2, 0.3, 5000.123];
        let mut whole = Summary::default();
        values.iter().for_each(|value| whole.add(*value, 1e12));
        assert_eq!(whole.sum_scaled, 5_000_723_000_000_000);
        let mut out = Vec::new();
        for value in values.iter().rev() {
            let mut single = Summary::default();
            single.add(*value, 1e12);
            single.encode(&mut out);
        }
        Summary::default().encode(&mut out);
        let mut merged = Summary::default();
        let mut reader = Reader::new(&out);
        (0..5).for_each(|_| merged.merge_encoded(&mut reader, 1e12).unwrap());
        assert_eq!(merged, whole);
        let mut skipped = Reader::new(&out);
        (0..5).for_each(|_| Summary::skip(&mut skipped).unwrap());
        assert!(skipped.is_empty());
        assert!((merged.quantile(1.0).unwrap() - 5000.123).abs() < 51.0);
    }

    #[test]
    fn minutes_merge_in_any_order() {
        let mut left = Minutes::default();
        [5, 1, 5, 9].iter().for_each(|minute| left.add(*minute, 1));
        let mut right = Minutes::default();
        [2, 9, 12].iter().for_each(|minute| right.add(*minute, 2));
        let mut other_way = right.clone();
        other_way.merge(&left);
        left.merge(&right);
        assert_eq!(left, other_way);
        assert_eq!(left.iter().collect::<Vec<_>>(), [(1, 1), (2, 2), (5, 2), (9, 3), (12, 2)]);
        let mut out = Vec::new();
        left.encode(&mut out);
        assert_eq!(Minutes::decode(&mut Reader::new(&out)), Ok(left));
    }

    #[test]
    fn usage_keeps_what_was_reported_apart() {
        let mut usage = UsageByVm::default();
        usage.add(7, &Usage::of(1_000, 2, None));
        usage.add(0, &Usage::of(500, 0, Some(0.25)));
        usage.add(7, &Usage::of(10, 0, None));
        let mut out = Vec::new();
        usage.encode(&mut out);
        let mut back = UsageByVm::default();
        back.merge_encoded(&mut Reader::new(&out)).unwrap();
        assert_eq!(back, usage);
        let (_, on_seven) = *usage.iter().last().unwrap();
        assert_eq!((on_seven.named_gpu_us, on_seven.whole_us, on_seven.named_gpu_us_without_cpu), (2_000, 10, 2_000));
    }

    #[test]
    fn ids_are_a_set() {
        let ids: RoaringBitmap = [9, 1, 9, 70_000].into_iter().collect();
        let mut out = Vec::new();
        encode_ids(&ids, &mut out);
        let mut back = RoaringBitmap::new();
        merge_encoded_ids(&mut back, &mut Reader::new(&out)).unwrap();
        assert_eq!(back, ids);
    }
}
