//! From accepted events to the rows of their tables.
//!
//! Invariant: every accepted event gives exactly one row. Must not know: keys, transactions, cells.

use std::collections::BTreeMap;

use plimsoll_entity::value::label::LoadOutcome;
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::event::{Caller, CheckpointLoad, Execution, GpuSample, Job, StorageSnapshot, VmSample, VmStateChange};
use super::resolve::Resolved;
use crate::storage::place::Place;
use crate::store::{ColumnData, ExecutionFact, GpuSampleFact, LoadFact, NameDimension, Rows, VmSampleFact, encode_gpus};

/// An event that is worth a row, and the ids that it cannot do without.
#[derive(Debug)]
pub struct Identified<'e, E> {
    /// The event.
    pub event: &'e E,
    /// Combination, machine or base model version: what the table asks for; 0 where it asks for none.
    pub id: u32,
    /// Hash of the content.
    pub hash: i64,
}

// Derived, these would ask the event to be copied, too.
impl<E> Clone for Identified<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Identified<'_, E> {}

fn ints<T>(items: &[T], value: impl Fn(&T) -> Option<i64>) -> ColumnData {
    ColumnData::Ints(items.iter().map(value).collect())
}

fn floats<T>(items: &[T], value: impl Fn(&T) -> Option<f64>) -> ColumnData {
    ColumnData::Floats(items.iter().map(value).collect())
}

fn texts<T>(items: &[T], value: impl Fn(&T) -> Option<&String>) -> ColumnData {
    ColumnData::Texts(items.iter().map(|item| value(item).cloned()).collect())
}

fn uuids<T>(items: &[T], value: impl Fn(&T) -> Option<Uuid>) -> ColumnData {
    ColumnData::Uuids(items.iter().map(value).collect())
}

/// The id of an optional name.
fn named(names: &Resolved<'_>, dimension: NameDimension, name: Option<&String>) -> Option<i64> {
    name.and_then(|name| names.simple(dimension, name)).map(i64::from)
}

/// The key of a job: its name, hashed, or the id of the only execution that it will ever have.
#[must_use]
pub fn job_key(job: Option<&str>, id: Uuid) -> Uuid {
    // A job that is named like a UUID is that UUID, so that `job` may as well be left out.
    job.map_or(id, |job| Uuid::parse_str(job).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, job.as_bytes())))
}

type ExecutionRow<'e> = Identified<'e, Execution>;

fn caller_columns<T>(items: &[T], names: &Resolved<'_>, caller: impl Fn(&T) -> &Caller) -> [(&'static str, ColumnData); 4] {
    [
        ("application_id", ints(items, |item| named(names, NameDimension::Application, caller(item).application.as_ref()))),
        ("user_id", ints(items, |item| named(names, NameDimension::User, caller(item).user.as_ref()))),
        ("department_id", ints(items, |item| named(names, NameDimension::Department, caller(item).department.as_ref()))),
        ("project_id", ints(items, |item| named(names, NameDimension::Project, caller(item).project.as_ref()))),
    ]
}

/// Executions as the cells see them.
#[must_use]
pub fn execution_facts(executions: &[ExecutionRow<'_>], names: &Resolved<'_>) -> Vec<ExecutionFact> {
    let id = |dimension, name: Option<&String>| name.and_then(|name| names.simple(dimension, name)).unwrap_or(0);
    executions
        .iter()
        .map(|row| {
            let event = row.event;
            ExecutionFact {
                finished_at: event.finished_at,
                started_at: event.started_at,
                queued_at: event.queued_at,
                combination_id: row.id,
                application_id: id(NameDimension::Application, event.caller.application.as_ref()),
                user_id: id(NameDimension::User, event.caller.user.as_ref()),
                department_id: id(NameDimension::Department, event.caller.department.as_ref()),
                project_id: id(NameDimension::Project, event.caller.project.as_ref()),
                vm_id: id(NameDimension::Vm, event.vm.as_ref()),
                gpus_named: event.gpus.len(),
                outcome: event.outcome.code(),
                error_type_id: id(NameDimension::ErrorType, event.error_type.as_ref()),
                checkpoint_load_ms: event.checkpoint_load_ms,
                model_init_ms: event.model_init_ms,
                inference_ms: event.inference_ms,
                input_bytes: event.input_bytes,
                output_bytes: event.output_bytes,
                gpu_memory_peak_bytes: event.gpu_memory_peak_bytes,
                cpu_seconds: event.cpu_seconds,
            }
        })
        .collect()
}

/// Rows of `execution`; `facts` are those of [`execution_facts`].
#[must_use]
pub fn execution_rows(executions: &[ExecutionRow<'_>], facts: &[ExecutionFact]) -> Rows {
    let nonzero = |id: u32| (id != 0).then_some(i64::from(id));
    let fact_ints = |value: fn(&ExecutionFact) -> u32| ColumnData::Ints(facts.iter().map(|fact| nonzero(value(fact))).collect());
    let columns = vec![
        ("finished_at", ints(executions, |row| Some(row.event.finished_at.0))),
        ("id", uuids(executions, |row| Some(row.event.id))),
        ("started_at", ints(executions, |row| Some(row.event.started_at.0))),
        ("queued_at", ints(executions, |row| row.event.queued_at.map(|at| at.0))),
        ("job_key", uuids(executions, |row| Some(job_key(row.event.job.as_deref(), row.event.id)))),
        ("job", texts(executions, |row| row.event.job.as_ref())),
        ("attempt", ints(executions, |row| Some(i64::from(row.event.attempt)))),
        ("combination_id", fact_ints(|fact| fact.combination_id)),
        ("application_id", fact_ints(|fact| fact.application_id)),
        ("user_id", fact_ints(|fact| fact.user_id)),
        ("department_id", fact_ints(|fact| fact.department_id)),
        ("project_id", fact_ints(|fact| fact.project_id)),
        ("vm_id", fact_ints(|fact| fact.vm_id)),
        ("gpus", ColumnData::Bytes(executions.iter().map(|row| encode_gpus(&row.event.gpus)).collect())),
        ("outcome", ints(executions, |row| Some(i64::from(row.event.outcome.code())))),
        ("error_type_id", fact_ints(|fact| fact.error_type_id)),
        ("error_message", texts(executions, |row| row.event.error_message.as_ref())),
        ("checkpoint_load_ms", floats(executions, |row| row.event.checkpoint_load_ms)),
        ("model_init_ms", floats(executions, |row| row.event.model_init_ms)),
        ("inference_ms", floats(executions, |row| row.event.inference_ms)),
        ("input_bytes", ints(executions, |row| row.event.input_bytes)),
        ("output_bytes", ints(executions, |row| row.event.output_bytes)),
        ("gpu_memory_peak_bytes", ints(executions, |row| row.event.gpu_memory_peak_bytes)),
        ("cpu_seconds", floats(executions, |row| row.event.cpu_seconds)),
    ];
    Rows { table: "execution", count: executions.len(), columns }
}

/// Rows of `job_event`.
#[must_use]
pub fn job_rows(jobs: &[Identified<'_, Job>], names: &Resolved<'_>) -> Rows {
    let mut columns = vec![
        ("at", ints(jobs, |row| Some(row.event.at.0))),
        ("id", uuids(jobs, |row| Some(row.event.id))),
        ("job_key", uuids(jobs, |row| Some(job_key(Some(&row.event.job), row.event.id)))),
        ("job", texts(jobs, |row| Some(&row.event.job))),
        ("state", ints(jobs, |row| Some(i64::from(row.event.state.code())))),
        ("attempt", ints(jobs, |row| row.event.attempt.map(i64::from))),
        ("combination_id", ints(jobs, |row| Some(i64::from(row.id)))),
        ("vm_id", ints(jobs, |row| named(names, NameDimension::Vm, row.event.vm.as_ref()))),
        ("gpus", ColumnData::Bytes(jobs.iter().map(|row| encode_gpus(&row.event.gpus)).collect())),
    ];
    columns.extend(caller_columns(jobs, names, |row| &row.event.caller));
    Rows { table: "job_event", count: jobs.len(), columns }
}

/// Loads as the cells see them; the id is the machine's.
#[must_use]
pub fn load_facts(loads: &[Identified<'_, CheckpointLoad>], names: &Resolved<'_>) -> Vec<LoadFact> {
    let id = |dimension, name: Option<&String>| name.and_then(|name| names.simple(dimension, name)).unwrap_or(0);
    let fact = |row: &Identified<'_, CheckpointLoad>| {
        let event = row.event;
        LoadFact {
            finished_at: event.finished_at,
            started_at: event.started_at,
            vm_id: row.id,
            storage_type: event.storage_type.code(),
            storage_location_id: id(NameDimension::StorageLocation, event.storage_location.as_ref()),
            cache_hit: event.cache_hit,
            model_version_id: names.model_version(&event.model).unwrap_or(0),
            checkpoint_version_id: event.checkpoint.as_ref().and_then(|checkpoint| names.checkpoint_version(checkpoint)).unwrap_or(0),
            size_bytes: event.size_bytes,
            failed: event.outcome == LoadOutcome::Failed,
            error_type_id: id(NameDimension::ErrorType, event.error_type.as_ref()),
        }
    };
    loads.iter().map(fact).collect()
}

/// Rows of `checkpoint_load`; `facts` are those of [`load_facts`].
#[must_use]
pub fn load_rows(loads: &[Identified<'_, CheckpointLoad>], facts: &[LoadFact]) -> Rows {
    let known = |id: fn(&LoadFact) -> u32| ints(facts, move |fact| Some(i64::from(id(fact))).filter(|id| *id != 0));
    let columns = vec![
        ("finished_at", ints(loads, |row| Some(row.event.finished_at.0))),
        ("id", uuids(loads, |row| Some(row.event.id))),
        ("started_at", ints(loads, |row| Some(row.event.started_at.0))),
        ("vm_id", ints(loads, |row| Some(i64::from(row.id)))),
        ("storage_type", ints(loads, |row| Some(i64::from(row.event.storage_type.code())))),
        ("storage_location_id", known(|fact| fact.storage_location_id)),
        ("cache_hit", ColumnData::Bools(loads.iter().map(|row| row.event.cache_hit).collect())),
        ("model_version_id", known(|fact| fact.model_version_id)),
        ("checkpoint_version_id", known(|fact| fact.checkpoint_version_id)),
        ("gpu", ints(loads, |row| row.event.gpu.map(i64::from))),
        ("size_bytes", ints(loads, |row| row.event.size_bytes)),
        ("execution_id", uuids(loads, |row| row.event.execution)),
        ("outcome", ints(loads, |row| Some(i64::from(row.event.outcome.code())))),
        ("error_type_id", known(|fact| fact.error_type_id)),
    ];
    Rows { table: "checkpoint_load", count: loads.len(), columns }
}

/// Rows of `vm_state`; the id is the machine's.
#[must_use]
pub fn vm_state_rows(states: &[Identified<'_, VmStateChange>], names: &Resolved<'_>) -> Rows {
    let columns = vec![
        ("id", uuids(states, |row| Some(row.event.id))),
        ("vm_id", ints(states, |row| Some(i64::from(row.id)))),
        ("at", ints(states, |row| Some(row.event.at.0))),
        ("state", ints(states, |row| Some(i64::from(row.event.state.code())))),
        ("instance_type_id", ints(states, |row| named(names, NameDimension::InstanceType, row.event.instance_type.as_ref()))),
        ("provider_id", ints(states, |row| named(names, NameDimension::Provider, row.event.provider.as_ref()))),
        ("region_id", ints(states, |row| named(names, NameDimension::Region, row.event.region.as_ref()))),
        ("purchase_option", ints(states, |row| row.event.purchase_option.map(|option| i64::from(option.code())))),
        ("v_cpus", ints(states, |row| row.event.v_cpus.map(i64::from))),
        ("memory_bytes", ints(states, |row| row.event.memory_bytes)),
        ("gpu_model", texts(states, |row| row.event.gpu_model.as_ref())),
        ("gpu_count", ints(states, |row| row.event.gpu_count.map(i64::from))),
    ];
    Rows { table: "vm_state", count: states.len(), columns }
}

/// Machine samples as the cells see them; the id is the machine's.
#[must_use]
pub fn vm_sample_facts(samples: &[Identified<'_, VmSample>]) -> Vec<VmSampleFact> {
    samples
        .iter()
        .map(|row| {
            let event = row.event;
            VmSampleFact {
                at: event.at,
                vm_id: row.id,
                interval_seconds: event.interval_seconds,
                cpu_ratio: event.cpu_ratio,
                disk_busy_ratio: event.disk_busy_ratio,
                levels: [event.memory_used_bytes, event.memory_total_bytes, event.disk_used_bytes, event.disk_total_bytes],
                amounts: [
                    event.network_received_bytes,
                    event.network_sent_bytes,
                    event.network_errors,
                    event.disk_read_bytes,
                    event.disk_written_bytes,
                    event.disk_read_ops,
                    event.disk_write_ops,
                ],
            }
        })
        .collect()
}

/// Rows of `vm_sample`.
#[must_use]
pub fn vm_sample_rows(samples: &[Identified<'_, VmSample>]) -> Rows {
    let columns = vec![
        ("at", ints(samples, |row| Some(row.event.at.0))),
        ("vm_id", ints(samples, |row| Some(i64::from(row.id)))),
        ("hash", ints(samples, |row| Some(row.hash))),
        ("interval_seconds", floats(samples, |row| Some(row.event.interval_seconds))),
        ("cpu_ratio", floats(samples, |row| row.event.cpu_ratio)),
        ("memory_used_bytes", ints(samples, |row| row.event.memory_used_bytes)),
        ("memory_total_bytes", ints(samples, |row| row.event.memory_total_bytes)),
        ("disk_used_bytes", ints(samples, |row| row.event.disk_used_bytes)),
        ("disk_total_bytes", ints(samples, |row| row.event.disk_total_bytes)),
        ("disk_busy_ratio", floats(samples, |row| row.event.disk_busy_ratio)),
        ("network_received_bytes", ints(samples, |row| row.event.network_received_bytes)),
        ("network_sent_bytes", ints(samples, |row| row.event.network_sent_bytes)),
        ("network_errors", ints(samples, |row| row.event.network_errors)),
        ("disk_read_bytes", ints(samples, |row| row.event.disk_read_bytes)),
        ("disk_written_bytes", ints(samples, |row| row.event.disk_written_bytes)),
        ("disk_read_ops", ints(samples, |row| row.event.disk_read_ops)),
        ("disk_write_ops", ints(samples, |row| row.event.disk_write_ops)),
    ];
    Rows { table: "vm_sample", count: samples.len(), columns }
}

/// GPU samples as the cells see them; the id is the machine's.
#[must_use]
pub fn gpu_sample_facts(samples: &[Identified<'_, GpuSample>]) -> Vec<GpuSampleFact> {
    samples
        .iter()
        .map(|row| GpuSampleFact {
            at: row.event.at,
            vm_id: row.id,
            utilization_ratio: row.event.utilization_ratio,
            memory_used_bytes: row.event.memory_used_bytes,
            memory_total_bytes: row.event.memory_total_bytes,
            temperature_celsius: row.event.temperature_celsius,
            power_watts: row.event.power_watts,
        })
        .collect()
}

/// Rows of `gpu_sample`.
#[must_use]
pub fn gpu_sample_rows(samples: &[Identified<'_, GpuSample>]) -> Rows {
    let columns = vec![
        ("at", ints(samples, |row| Some(row.event.at.0))),
        ("vm_id", ints(samples, |row| Some(i64::from(row.id)))),
        ("gpu", ints(samples, |row| Some(i64::from(row.event.gpu)))),
        ("hash", ints(samples, |row| Some(row.hash))),
        ("utilization_ratio", floats(samples, |row| row.event.utilization_ratio)),
        ("memory_used_bytes", ints(samples, |row| row.event.memory_used_bytes)),
        ("memory_total_bytes", ints(samples, |row| row.event.memory_total_bytes)),
        ("temperature_celsius", floats(samples, |row| row.event.temperature_celsius)),
        ("power_watts", floats(samples, |row| row.event.power_watts)),
        ("uuid", texts(samples, |row| row.event.uuid.as_ref())),
        ("name", texts(samples, |row| row.event.name.as_ref())),
    ];
    Rows { table: "gpu_sample", count: samples.len(), columns }
}

/// Rows of `vm_latest`: the newest sample of each machine, in the order of the machines.
#[must_use]
pub fn vm_latest_rows(samples: &[Identified<'_, VmSample>]) -> Rows {
    let newest = newest(samples, |sample| (sample.id, 0), |sample| sample.event.at);
    of_latest("vm_latest", vm_sample_rows(&newest))
}

/// Rows of `gpu_latest`: the newest sample of each GPU, in the order of machines and indices.
#[must_use]
pub fn gpu_latest_rows(samples: &[Identified<'_, GpuSample>]) -> Rows {
    let newest = newest(samples, |sample| (sample.id, sample.event.gpu), |sample| sample.event.at);
    of_latest("gpu_latest", gpu_sample_rows(&newest))
}

/// The newest of each key, in the order of the keys.
fn newest<'e, E>(
    samples: &[Identified<'e, E>],
    key: impl Fn(&Identified<'e, E>) -> (u32, u16),
    at: impl Fn(&Identified<'e, E>) -> Instant,
) -> Vec<Identified<'e, E>> {
    let mut newest: BTreeMap<(u32, u16), Identified<'e, E>> = BTreeMap::new();
    for sample in samples {
        let known = newest.entry(key(sample)).or_insert(*sample);
        if at(known) < at(sample) {
            *known = *sample;
        }
    }
    newest.into_values().collect()
}

/// Rows of a fact as rows of its newest, which need not tell duplicates from conflicts.
fn of_latest(table: &'static str, facts: Rows) -> Rows {
    Rows { table, columns: facts.columns.into_iter().filter(|(name, _)| *name != "hash").collect(), ..facts }
}

/// The places of snapshots, in their order.
#[must_use]
pub fn storage_places(snapshots: &[Identified<'_, StorageSnapshot>], names: &Resolved<'_>) -> Vec<Place> {
    let location = |name: Option<&String>| name.and_then(|name| names.simple(NameDimension::StorageLocation, name)).unwrap_or(0);
    let place = |row: &Identified<'_, StorageSnapshot>| Place {
        model_version_id: row.event.model.as_ref().and_then(|model| names.model_version(model)).unwrap_or(0),
        checkpoint_version_id: row.event.checkpoint.as_ref().and_then(|checkpoint| names.checkpoint_version(checkpoint)).unwrap_or(0),
        storage_type: row.event.storage_type.code(),
        storage_location_id: location(row.event.storage_location.as_ref()),
    };
    snapshots.iter().map(place).collect()
}

/// Rows of `storage_snapshot`; `places` are those of [`storage_places`].
#[must_use]
pub fn storage_rows(snapshots: &[Identified<'_, StorageSnapshot>], places: &[Place]) -> Rows {
    let known = |id: fn(&Place) -> u32| ints(places, move |place| Some(i64::from(id(place))).filter(|id| *id != 0));
    let columns = vec![
        ("id", uuids(snapshots, |row| Some(row.event.id))),
        ("at", ints(snapshots, |row| Some(row.event.at.0))),
        ("storage_type", ints(places, |place| Some(i64::from(place.storage_type)))),
        ("storage_location_id", known(|place| place.storage_location_id)),
        ("model_version_id", known(|place| place.model_version_id)),
        ("checkpoint_version_id", known(|place| place.checkpoint_version_id)),
        ("size_bytes", ints(snapshots, |row| Some(row.event.size_bytes))),
        ("place", uuids(places, |place| Some(place.id()))),
    ];
    Rows { table: "storage_snapshot", count: snapshots.len(), columns }
}

/// From when to when loads came from each place (microseconds).
#[must_use]
pub fn load_reach(facts: &[LoadFact]) -> BTreeMap<Place, (i64, i64)> {
    let mut reach: BTreeMap<Place, (i64, i64)> = BTreeMap::new();
    for fact in facts {
        let place = Place {
            model_version_id: fact.model_version_id,
            checkpoint_version_id: fact.checkpoint_version_id,
            storage_type: fact.storage_type,
            storage_location_id: fact.storage_location_id,
        };
        let at = fact.finished_at.0;
        let (first, last) = reach.entry(place).or_insert((at, at));
        (*first, *last) = ((*first).min(at), (*last).max(at));
    }
    reach
}

/// Months (as by [`Instant::month`]) of instants, ascending, each once.
#[must_use]
pub fn months(instants: impl Iterator<Item = Instant>) -> Vec<i32> {
    let mut months = Vec::new();
    // Neighbouring instants mostly lie in one month: ask the calendar only when one does not.
    let mut known: Option<(i64, i64)> = None;
    for at in instants {
        if known.is_some_and(|(start, end)| (start..end).contains(&at.0)) {
            continue;
        }
        let month = at.month();
        known = Some((Instant::of_month(month).0, Instant::of_month(month + 1).0));
        months.push(month);
    }
    months.sort_unstable();
    months.dedup();
    months
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_a_name_is_its_execution() {
        let id = Uuid::from_u128(7);
        assert_eq!(job_key(None, id), id);
        assert_eq!(job_key(Some(&id.to_string()), Uuid::from_u128(8)), id);
        assert_ne!(job_key(Some("a"), id), job_key(Some("b"), id));
    }

    #[test]
    fn months_are_told_once() {
        let at = |text: &str| Instant::parse(text).unwrap();
        let instants = [at("2026-10-01T00:00:00Z"), at("2026-09-30T23:59:59.999999Z"), at("2026-10-31T12:00:00Z")];
        assert_eq!(months(instants.into_iter()), [2026 * 12 + 8, 2026 * 12 + 9]);
    }
}
