//! Where machine samples leave gaps: found by the database, so that the samples themselves need not be read.
//!
//! Invariant: the caller asks for short windows, since the database sorts all samples of one. Must not know: states, what a gap means.

use plimsoll_entity::value::time::{Instant, SECOND_US, Window};
use sea_orm::QueryResult;

use super::{Snapshot, StoreError};
use crate::machine::availability::{Gap, SILENT_INTERVALS};

/// Machines that one statement names; more are not told apart by the database.
const VMS_PER_STATEMENT: usize = 500;

/// A sample that is the first or the last of its machine in a window, or is followed by a long gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleEdge {
    /// Machine.
    pub vm_id: u32,
    /// The sample and the next one in the window; none for the last.
    pub gap: Gap,
    /// Whether it is the first in the window.
    pub is_first: bool,
}

impl Snapshot {
    /// The edges of the samples in a window, by machine and time; `vms`: only of these machines (others may be among them).
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn sample_edge_list(&self, window: Window, vms: Option<&[u32]>) -> Result<Vec<SampleEdge>, StoreError> {
        self.samples_from(window.start)?;
        let named = vms.filter(|vms| vms.len() <= VMS_PER_STATEMENT);
        let of_vms = named.map_or_else(String::new, |vms| match vms.len() {
            // An empty list is no SQL.
            0 => " AND vm_id IS NULL".to_owned(),
            count => format!(" AND vm_id IN ({})", vec!["?"; count].join(", ")),
        });
        // A microsecond less than a long gap is let through: the database reckons in floats, and `Gap` decides.
        let sql = format!(
            "SELECT vm_id, at, interval_seconds, next_at, before_at FROM (\
             SELECT vm_id, at, interval_seconds, LEAD(at) OVER by_vm AS next_at, LAG(at) OVER by_vm AS before_at \
             FROM vm_sample WHERE at >= ? AND at < ?{of_vms} WINDOW by_vm AS (PARTITION BY vm_id ORDER BY at)) AS sample \
             WHERE next_at IS NULL OR before_at IS NULL OR next_at - at + 1 > interval_seconds * {} ORDER BY vm_id, at",
            SILENT_INTERVALS * SECOND_US as f64
        );
        let mut values: Vec<sea_orm::Value> = vec![window.start.0.into(), window.end.0.into()];
        values.extend(named.into_iter().flatten().map(|vm| sea_orm::Value::from(*vm as i32)));
        let rows = self.rows(&sql, values).await?;
        rows.iter().map(sample_edge).collect::<Result<_, _>>().map_err(StoreError::read)
    }
}

fn sample_edge(row: &QueryResult) -> Result<SampleEdge, sea_orm::DbErr> {
    let vm_id: i32 = row.try_get_by_index(0)?;
    let (at, interval_seconds) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
    let (next_at, before_at): (Option<i64>, Option<i64>) = (row.try_get_by_index(3)?, row.try_get_by_index(4)?);
    let gap = Gap::after(Instant(at), interval_seconds, next_at.map(Instant));
    Ok(SampleEdge { vm_id: vm_id as u32, gap, is_first: before_at.is_none() })
}
