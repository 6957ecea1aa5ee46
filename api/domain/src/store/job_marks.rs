//! Marks of jobs and of days whose single executions are not what they were.
//!
//! Invariant: marks are only appended, in the transaction of what they are about, and deleted by whoever has worked them off; an
//! answer that heeds the marks that its snapshot holds is right at any time. Must not know: what becomes of them.

use std::collections::BTreeSet;

use plimsoll_entity::value::varint::{Reader, put_i64};
use uuid::Uuid;

use super::{DirtyKind, Snapshot, StoreError};

/// Bytes of a key.
const KEY_BYTES: usize = 16;
/// Marks that one statement reads.
const MARKS_PER_READ: usize = 256;

/// Marks of jobs and days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobMarks {
    /// Places of the marks, for their deletion.
    pub seqs: Vec<i64>,
    /// Jobs that have to be worked out again, ascending.
    pub keys: Vec<Uuid>,
    /// Days (since 1970) on which single executions have arrived.
    pub days: BTreeSet<i32>,
    /// Whether there are more marks than were read.
    pub has_more: bool,
}

/// Days as a mark keeps them: distances, each a varint.
#[must_use]
pub(super) fn encode_days(days: &BTreeSet<i32>) -> Vec<u8> {
    let mut out = Vec::with_capacity(days.len() * 2 + 2);
    let mut before = 0;
    for day in days {
        put_i64(&mut out, i64::from(*day) - before);
        before = i64::from(*day);
    }
    out
}

fn decode_days(bytes: &[u8], days: &mut BTreeSet<i32>) -> Result<(), StoreError> {
    let mut reader = Reader::new(bytes);
    let mut day = 0;
    while !reader.is_empty() {
        day += reader.i64()?;
        days.insert(i32::try_from(day).map_err(|_| StoreError::Inconsistent("mark of days"))?);
    }
    Ok(())
}

impl Snapshot {
    /// The first marks of jobs and days: at most `marks_max` of each kind, and no more of jobs once they hold `keys_max`.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn job_mark_list(&self, marks_max: usize, keys_max: usize) -> Result<JobMarks, StoreError> {
        let mut marks = JobMarks::default();
        let is_full = |marks: &JobMarks| marks.seqs.len() >= marks_max || marks.keys.len() >= keys_max;
        self.read_marks(DirtyKind::Jobs, &mut marks, is_full, |marks, subjects| {
            let keys = subjects.chunks_exact(KEY_BYTES).map(|key| Uuid::from_slice(key).unwrap_or_default());
            marks.keys.extend(keys);
            Ok(())
        })
        .await?;
        let of_jobs = marks.seqs.len();
        let is_full = |marks: &JobMarks| marks.seqs.len() - of_jobs >= marks_max;
        self.read_marks(DirtyKind::JobDays, &mut marks, is_full, |marks, subjects| decode_days(subjects, &mut marks.days)).await?;
        marks.keys.sort_unstable();
        marks.keys.dedup();
        Ok(marks)
    }

    async fn read_marks(
        &self,
        kind: DirtyKind,
        marks: &mut JobMarks,
        is_full: impl Fn(&JobMarks) -> bool,
        take: impl Fn(&mut JobMarks, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT seq, subjects FROM dirty_mark WHERE kind = ? AND seq > ? ORDER BY seq LIMIT {MARKS_PER_READ}");
        let mut behind = i64::MIN;
        loop {
            let rows = self.rows(&sql, vec![(kind as i16).into(), behind.into()]).await?;
            for row in &rows {
                if is_full(marks) {
                    marks.has_more = true;
                    return Ok(());
                }
                behind = row.try_get_by_index(0).map_err(StoreError::read)?;
                let subjects: Vec<u8> = row.try_get_by_index(1).map_err(StoreError::read)?;
                take(marks, &subjects)?;
                marks.seqs.push(behind);
            }
            if rows.len() < MARKS_PER_READ {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_come_back() {
        for days in [vec![], vec![0], vec![20_000, 20_001, 20_400], vec![-3, 7]] {
            let (days, mut back) = (days.into_iter().collect::<BTreeSet<i32>>(), BTreeSet::new());
            decode_days(&encode_days(&days), &mut back).unwrap();
            assert_eq!(back, days);
        }
    }
}
