//! What machines and their GPUs did when they were last sampled, and what holds the GPUs now.
//!
//! An execution is told when it is over, so what holds a GPU now are the jobs that run.
//! Invariant: an answer is of one reading. Must not know: GraphQL, how newest samples are kept.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::Instant;

use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::breakdown::filter::Filter;
use crate::cell::part::KeyColumn;
use crate::concurrency::open_job::BELIEVED_US;
use crate::job::running::running;
use crate::listing::allows_machine;
use crate::store::{LatestGpuSample, Store, StoreError, VmSampleFact};
use crate::timeline::sweep::Holder;

/// Races with other processes over one hour of samples that are borne.
const ROUNDS_MAX: usize = 100;

/// What is asked of GPUs, each of which costs a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OfGpus {
    /// Nothing.
    Nothing,
    /// What they were sampled doing.
    Samples,
    /// That, and what holds them now.
    Combinations,
}

/// A machine as it was sampled last. Amounts are bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Utilization {
    /// Machine.
    pub vm_id: u32,
    /// Instant of the sample; of a machine of which only GPUs have sent samples, of the newest of those.
    pub at: Instant,
    /// 0 to 1.
    pub cpu_ratio: Option<f64>,
    /// Memory in use.
    pub memory_used_bytes: Option<i64>,
    /// Memory.
    pub memory_total_bytes: Option<i64>,
    /// Disks in use.
    pub disk_used_bytes: Option<i64>,
    /// Disks.
    pub disk_total_bytes: Option<i64>,
    /// Over the sample's interval.
    pub network_received_bytes_per_second: Option<f64>,
    /// Over the sample's interval.
    pub network_sent_bytes_per_second: Option<f64>,
    /// Over the sample's interval.
    pub disk_read_bytes_per_second: Option<f64>,
    /// Over the sample's interval.
    pub disk_written_bytes_per_second: Option<f64>,
    /// Its GPUs, by index, each by its own newest sample; none where nothing was asked of them.
    pub gpus: Vec<GpuUtilization>,
    /// When the first of the jobs that hold its GPUs is believed no longer; none where none holds any, or it was not asked.
    pub believed_until: Option<Instant>,
}

/// A GPU as it was sampled last, and what holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuUtilization {
    /// The sample.
    pub latest: LatestGpuSample,
    /// The combination of all jobs that hold it now; none where none does, where they have several, or where it was not asked.
    pub combination_id: Option<u32>,
}

/// Tells newest samples of samples that came before those were kept, an hour at a time, newest first; how many hours,
/// at most `hours_max`.
///
/// # Errors
/// [`StoreError`] from the database; what was told stays told.
pub async fn fill_latest_samples(store: &Store, hours_max: usize) -> Result<usize, StoreError> {
    let (mut hours, mut lost) = (0, 0);
    while hours < hours_max {
        match fill_hour(store).await {
            Ok(true) => (hours, lost) = (hours + 1, 0),
            Ok(false) => break,
            Err(error) if error.is_retryable() && lost < ROUNDS_MAX => lost += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(hours)
}

async fn fill_hour(store: &Store) -> Result<bool, StoreError> {
    let mut tx = store.begin_write().await?;
    let is_filled = tx.latest_samples_fill().await?;
    tx.commit().await?;
    Ok(is_filled)
}

/// The utilization of these machines, by machine; those that have sent no sample are absent.
///
/// # Errors
/// [`BreakdownError::Limit`] when too many jobs run to tell what holds GPUs; what the store says.
pub async fn utilization(reading: &Reading, vms: &[u32], of_gpus: OfGpus) -> Result<HashMap<u32, Utilization>, BreakdownError> {
    let snapshot = &reading.snapshot;
    let samples = snapshot.latest_sample_list(Some(vms)).await?;
    let mut samples: BTreeMap<u32, VmSampleFact> = samples.into_iter().map(|sample| (sample.vm_id, sample)).collect();
    // A machine may have sent samples of its GPUs alone.
    let with_gpus: Vec<u32> = vms.iter().copied().filter(|vm| of_gpus != OfGpus::Nothing || !samples.contains_key(vm)).collect();
    let mut gpus: BTreeMap<u32, Vec<LatestGpuSample>> = BTreeMap::new();
    for latest in snapshot.latest_gpu_sample_list(Some(&with_gpus)).await? {
        gpus.entry(latest.sample.vm_id).or_default().push(latest);
    }
    let holders =
        if of_gpus == OfGpus::Combinations && !gpus.is_empty() { running(snapshot, snapshot.as_of).await? } else { BTreeMap::new() };
    // A client that is gone tells no end of its job.
    let believed_after = Instant(snapshot.as_of.0 - BELIEVED_US);
    let mut found = HashMap::with_capacity(vms.len());
    for vm in vms.iter().copied().collect::<HashSet<_>>() {
        let gpus = gpus.remove(&vm).unwrap_or_default();
        let Some(sample) = samples.remove(&vm).or_else(|| nothing_but_gpus(vm, &gpus)) else { continue };
        let slots = reading.fleet.shape_at(vm, snapshot.as_of).slots;
        let holders: Vec<&Holder> = holders.get(&vm).into_iter().flatten().filter(|holder| believed_after < holder.started_at).collect();
        let gpus = if of_gpus == OfGpus::Nothing { Vec::new() } else { gpus };
        let gpus =
            gpus.into_iter().map(|latest| GpuUtilization { combination_id: combination(&holders, latest.gpu, slots), latest }).collect();
        let believed_until = holders.iter().map(|holder| Instant(holder.started_at.0 + BELIEVED_US)).min();
        found.insert(vm, Utilization { believed_until, ..of_sample(&sample, gpus) });
    }
    Ok(found)
}

/// The utilization of the machines that match and have sent a sample, by name. Of more than `limit` those stay that are not TERMINATED,
/// and of these the ones that were sampled last.
///
/// # Errors
/// As [`utilization`].
pub async fn utilization_list(
    reading: &Reading,
    filter: &Filter,
    states: Option<&[VmState]>,
    limit: usize,
    of_gpus: OfGpus,
) -> Result<Vec<Utilization>, BreakdownError> {
    let named: Option<Vec<u32>> = filter.columns.get(&(KeyColumn::Vm as usize)).map(|ids| ids.iter().copied().collect());
    let samples = reading.snapshot.latest_sample_list(named.as_deref()).await?;
    let mut sampled: Vec<(u32, Instant)> = samples.iter().map(|sample| (sample.vm_id, sample.at)).collect();
    sampled.extend(reading.snapshot.latest_gpu_only_list().await?);
    sampled.retain(|(vm, _)| allows_machine(reading, filter, states, *vm));
    let is_gone = |vm: u32| reading.fleet.machine(vm).and_then(|machine| machine.timeline.state()) == Some(VmState::Terminated);
    sampled.sort_by_cached_key(|(vm, at)| (is_gone(*vm), Reverse(*at), *vm));
    sampled.truncate(limit);
    let vms: Vec<u32> = sampled.into_iter().map(|(vm, _)| vm).collect();
    let names = reading.sources().catalog.names(&reading.snapshot, &vms).await?;
    let mut list: Vec<Utilization> = utilization(reading, &vms, of_gpus).await?.into_values().collect();
    list.sort_by_cached_key(|machine| (names.get(&machine.vm_id).cloned(), machine.vm_id));
    Ok(list)
}

/// A sample that says no more than when the newest of a machine's GPUs was sampled; none without GPUs.
fn nothing_but_gpus(vm_id: u32, gpus: &[LatestGpuSample]) -> Option<VmSampleFact> {
    let at = gpus.iter().map(|latest| latest.sample.at).max()?;
    Some(VmSampleFact { at, vm_id, ..VmSampleFact::default() })
}

fn of_sample(sample: &VmSampleFact, gpus: Vec<GpuUtilization>) -> Utilization {
    let [memory_used_bytes, memory_total_bytes, disk_used_bytes, disk_total_bytes] = sample.levels;
    let [received, sent, _, read, written, ..] = sample.amounts;
    let a_second = |bytes: Option<i64>| bytes.map(|bytes| bytes as f64 / sample.interval_seconds);
    Utilization {
        vm_id: sample.vm_id,
        at: sample.at,
        cpu_ratio: sample.cpu_ratio,
        memory_used_bytes,
        memory_total_bytes,
        disk_used_bytes,
        disk_total_bytes,
        network_received_bytes_per_second: a_second(received),
        network_sent_bytes_per_second: a_second(sent),
        disk_read_bytes_per_second: a_second(read),
        disk_written_bytes_per_second: a_second(written),
        gpus,
        believed_until: None,
    }
}

/// The one combination of all that hold a GPU; none where nobody does, or they have several.
fn combination(holders: &[&Holder], gpu: u16, slots: u32) -> Option<u32> {
    let mut held =
        holders.iter().filter(|holder| holder.holds(gpu.into(), slots)).map(|holder| holder.key[KeyColumn::Combination as usize]);
    let first = held.next()?;
    held.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::part::KEY_WIDTH;
    use crate::store::GpuSampleFact;

    fn holder(combination: u32, gpus: &[u16]) -> Holder {
        let mut key = [0; KEY_WIDTH];
        key[KeyColumn::Combination as usize] = combination;
        let (started_at, finished_at) = (Instant(0), Instant(i64::MAX));
        Holder { id: uuid::Uuid::nil(), started_at, finished_at, gpus: gpus.to_vec(), key, phases_us: [0; 2] }
    }

    #[test]
    fn rates_are_amounts_over_the_interval_and_unknown_stays_unknown() {
        let amounts = [Some(3_000), None, Some(7), Some(0), Some(10), None, None];
        let sample = VmSampleFact {
            at: Instant(5),
            vm_id: 2,
            interval_seconds: 2.5,
            amounts,
            levels: [Some(1), None, None, Some(4)],
            ..VmSampleFact::default()
        };
        let told = of_sample(&sample, Vec::new());
        assert_eq!((told.network_received_bytes_per_second, told.network_sent_bytes_per_second), (Some(1_200.0), None));
        assert_eq!((told.disk_read_bytes_per_second, told.disk_written_bytes_per_second), (Some(0.0), Some(4.0)));
        assert_eq!((told.memory_used_bytes, told.disk_used_bytes, told.disk_total_bytes), (Some(1), None, Some(4)));
    }

    #[test]
    fn a_gpu_shows_a_combination_that_holds_it_alone() {
        let held = |holders: &[Holder], gpu: u16| combination(&holders.iter().collect::<Vec<_>>(), gpu, 4);
        let holders = [holder(7, &[0, 1]), holder(8, &[1]), holder(7, &[0])];
        assert_eq!((0..3).map(|gpu| held(&holders, gpu)).collect::<Vec<_>>(), [Some(7), None, None]);
        // Whoever names no GPU holds them all.
        assert_eq!(held(&[holder(7, &[])], 3), Some(7));
        assert_eq!(held(&[holder(7, &[]), holder(8, &[3])], 3), None);
    }

    #[test]
    fn a_machine_may_be_known_by_its_gpus_alone() {
        let gpu = |gpu: u16, at: i64| LatestGpuSample {
            gpu,
            uuid: None,
            name: None,
            sample: GpuSampleFact { at: Instant(at), vm_id: 3, ..GpuSampleFact::default() },
        };
        assert_eq!(nothing_but_gpus(3, &[]), None);
        let told = of_sample(&nothing_but_gpus(3, &[gpu(0, 4), gpu(1, 9), gpu(2, 5)]).unwrap(), Vec::new());
        assert_eq!((told.vm_id, told.at, told.cpu_ratio, told.disk_read_bytes_per_second), (3, Instant(9), None, None));
    }
}
