//! The newest sample of each machine and of each GPU.
//!
//! Facts are keyed by instant: whoever looked there for the newest sample of a machine would read everything that came since it fell
//! silent. Invariants: a row is the newest fact of its machine or GPU, written in the transaction of that fact, and only moves forward;
//! rows are written in the order of their keys, so that two writers never wait for each other in a circle.
//! Must not know: rates, shares, who holds a GPU.

use plimsoll_entity::value::time::{HOUR_US, Instant};
use sea_orm::QueryResult;

use super::facts::{gpu_sample_columns, gpu_sample_fact, vm_sample_columns, vm_sample_fact};
use super::{GpuSampleFact, Kind, Rows, Snapshot, StoreError, Value, VmSampleFact, WriteTx};

/// Machines that one statement names.
const VMS_PER_STATEMENT: usize = 1_000;
/// The counter that holds the instant (microseconds) from before which samples have not been told of, newest first; less than
/// [`HOUR_US`]: nobody has begun; absent when all have.
const UNTIL: &str = "latest_samples_until";

/// The newest sample of a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestGpuSample {
    /// Index on its machine.
    pub gpu: u16,
    /// UUID; none where the sample told none.
    pub uuid: Option<String>,
    /// Name; none where the sample told none.
    pub name: Option<String>,
    /// Machine, instant and measures.
    pub sample: GpuSampleFact,
}

/// A table of newest samples.
struct Latest {
    table: &'static str,
    facts: &'static str,
    /// The key, as a list.
    key: &'static str,
    /// All columns, as a list.
    columns: &'static str,
}

const OF_MACHINES: Latest = Latest { table: "vm_latest", facts: "vm_sample", key: "vm_id", columns: vm_sample_columns() };
const OF_GPUS: Latest = Latest {
    table: "gpu_latest",
    facts: "gpu_sample",
    key: "vm_id, gpu",
    columns: "at, vm_id, gpu, utilization_ratio, memory_used_bytes, memory_total_bytes, temperature_celsius, power_watts, uuid, name",
};

impl Latest {
    /// The clause that lets a row only move forward.
    fn forward<'a>(&self, columns: impl Iterator<Item = &'a str>) -> String {
        let set: Vec<String> = columns
            .filter(|column| !self.key.split(", ").any(|key| key == *column))
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        format!("ON CONFLICT ({}) DO UPDATE SET {} WHERE {}.at < excluded.at", self.key, set.join(", "), self.table)
    }

    /// Tells the newest facts of a stretch (start, end, start, end in microseconds).
    fn fill(&self) -> String {
        let Self { table, facts, key, columns } = self;
        let list = |alias: &str, names: &str| names.split(", ").map(|name| format!("{alias}.{name}")).collect::<Vec<_>>();
        let same: Vec<String> = list("f", key).iter().zip(list("n", key)).map(|(fact, newest)| format!("{fact} = {newest}")).collect();
        format!(
            "INSERT INTO {table} ({columns}) SELECT {} FROM {facts} f JOIN (SELECT {key}, MAX(at) AS at FROM {facts} WHERE at >= ? AND at < ? \
             GROUP BY {key}) n ON f.at = n.at AND {} WHERE f.at >= ? AND f.at < ? ORDER BY {} {}",
            list("f", columns).join(", "),
            same.join(" AND "),
            list("f", key).join(", "),
            self.forward(columns.split(", "))
        )
    }
}

impl WriteTx {
    /// Tells samples of machines, as rows of `vm_latest`: one a machine at most, in the order of the machines. What is newer stays.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn vm_latest_tell(&mut self, rows: &Rows) -> Result<(), StoreError> {
        self.insert(rows, &OF_MACHINES.forward(rows.columns.iter().map(|(name, _)| *name))).await.map(|_| ())
    }

    /// Tells samples of GPUs, as rows of `gpu_latest`: one a GPU at most, in the order of machines and indices. What is newer stays.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn gpu_latest_tell(&mut self, rows: &Rows) -> Result<(), StoreError> {
        self.insert(rows, &OF_GPUS.forward(rows.columns.iter().map(|(name, _)| *name))).await.map(|_| ())
    }

    /// Tells of one hour of samples that came before newest samples were kept, newest hours first; whether there was one.
    ///
    /// # Errors
    /// [`StoreError::Write`] from the database.
    pub async fn latest_samples_fill(&mut self) -> Result<bool, StoreError> {
        self.take_time().await?;
        // The counter is written to hold its row: one process at a time.
        let sql = format!("UPDATE counter SET value = value WHERE name = '{UNTIL}' RETURNING value");
        let until = match self.fetch(&sql, &[], &[Kind::Int]).await?.first().map(Vec::as_slice) {
            Some([Value::Int(until)]) if *until < HOUR_US => i64::MAX,
            Some([Value::Int(until)]) => *until,
            _ => return Ok(false),
        };
        let mut newest = None;
        for Latest { facts, .. } in [OF_MACHINES, OF_GPUS] {
            let found = self.fetch(&format!("SELECT MAX(at) FROM {facts} WHERE at < ?"), &[Value::Int(until)], &[Kind::Int]).await?;
            if let Some([Value::Int(at)]) = found.first().map(Vec::as_slice) {
                newest = newest.max(Some(*at));
            }
        }
        let hour = newest.map(|at: i64| at.div_euclid(HOUR_US) * HOUR_US);
        let Some(start) = hour.filter(|start| *start >= HOUR_US) else {
            self.execute(&format!("DELETE FROM counter WHERE name = '{UNTIL}'"), &[]).await?;
            return Ok(false);
        };
        let (from, to) = (Value::Int(start), Value::Int(start + HOUR_US));
        for latest in [OF_MACHINES, OF_GPUS] {
            self.execute(&latest.fill(), &[from.clone(), to.clone(), from.clone(), to.clone()]).await?;
        }
        self.execute(&format!("UPDATE counter SET value = ? WHERE name = '{UNTIL}'"), &[Value::Int(start)]).await?;
        Ok(true)
    }
}

impl Snapshot {
    /// The newest sample of each machine that has sent any, by machine; `vms`: only of these.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn latest_sample_list(&self, vms: Option<&[u32]>) -> Result<Vec<VmSampleFact>, StoreError> {
        let rows = self.latest(&format!("SELECT {} FROM vm_latest", OF_MACHINES.columns), vms, "vm_id").await?;
        rows.iter().map(|row| vm_sample_fact(row).map_err(StoreError::read)).collect()
    }

    /// The newest sample of each GPU that has sent any, by machine and index; `vms`: only of these machines.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn latest_gpu_sample_list(&self, vms: Option<&[u32]>) -> Result<Vec<LatestGpuSample>, StoreError> {
        let sql = format!("SELECT {}, gpu, uuid, name FROM gpu_latest", gpu_sample_columns());
        self.latest(&sql, vms, "vm_id, gpu").await?.iter().map(latest_gpu_sample).collect()
    }

    /// Machines of which only GPUs have sent samples, and the instant of the newest of those, by machine.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn latest_gpu_only_list(&self) -> Result<Vec<(u32, Instant)>, StoreError> {
        let sql = "SELECT g.vm_id, MAX(g.at) FROM gpu_latest g WHERE NOT EXISTS (SELECT 1 FROM vm_latest v WHERE v.vm_id = g.vm_id) \
             GROUP BY g.vm_id ORDER BY g.vm_id";
        let rows = self.rows(sql, Vec::new()).await?;
        let machine = |row: &QueryResult| Ok((row.try_get_by_index::<i32>(0)? as u32, Instant(row.try_get_by_index(1)?)));
        rows.iter().map(machine).collect::<Result<_, _>>().map_err(StoreError::read)
    }

    async fn latest(&self, select: &str, vms: Option<&[u32]>, order: &str) -> Result<Vec<QueryResult>, StoreError> {
        let Some(vms) = vms else { return self.rows(&format!("{select} ORDER BY {order}"), Vec::new()).await };
        let mut sorted = vms.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut found = Vec::new();
        for chunk in sorted.chunks(VMS_PER_STATEMENT) {
            let list = chunk.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            found.extend(self.rows(&format!("{select} WHERE vm_id IN ({list}) ORDER BY {order}"), Vec::new()).await?);
        }
        Ok(found)
    }
}

fn latest_gpu_sample(row: &QueryResult) -> Result<LatestGpuSample, StoreError> {
    let sample = gpu_sample_fact(row).map_err(StoreError::read)?;
    let rest = || Ok((row.try_get_by_index::<i32>(7)?, row.try_get_by_index(8)?, row.try_get_by_index(9)?));
    let (gpu, uuid, name) = rest().map_err(StoreError::read)?;
    Ok(LatestGpuSample { gpu: u16::try_from(gpu).map_err(|_| StoreError::Inconsistent("GPU index"))?, uuid, name, sample })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_moves_forward_in_all_but_its_key() {
        assert_eq!(
            OF_GPUS.forward(["at", "vm_id", "gpu", "name"].into_iter()),
            "ON CONFLICT (vm_id, gpu) DO UPDATE SET at = excluded.at, name = excluded.name WHERE gpu_latest.at < excluded.at"
        );
    }
}
