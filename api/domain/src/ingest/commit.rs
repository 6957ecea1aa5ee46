//! One transaction of the writer: keys decide, names resolve, facts and delta cells go in.
//!
//! Invariant: keys, facts, delta cells, dirty marks and counters of a batch commit together or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::Written;
use super::event::{CheckpointLoad, Event, Execution, GpuSample, Job, StorageSnapshot, VmSample, VmStateChange};
use super::identity::{event_begin, event_id, event_instant};
use super::job_marks::NamedByUuid;
use super::job_updates;
use super::resolve::{Names, Resolved, resolve};
use super::rows::{self, Identified};
use super::writer::WriterState;
use crate::cell::delta::delta_blocks;
use crate::cell::fact::MeasuredExecution;
use crate::cell::part::Family;
use crate::store::{
    Attribute, ColumnData, DirtyMarks, ExecutionFact, Kept, Kind, NameDimension, OR_IGNORE, Rows, Store, StoreError, Value, WriteTx,
};

/// Races with other processes over the same keys that one transaction bears.
const KEY_ROUNDS_MAX: usize = 5;

/// An event, its line and the hash of its content.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Line in its request.
    pub line: u32,
    /// Hash of the content.
    pub hash: i64,
    /// The event.
    pub event: Event,
}

/// The requests of one transaction.
#[derive(Clone, Debug)]
pub struct Batch {
    requests: Vec<Vec<Identity>>,
}

impl Batch {
    /// A batch of requests.
    #[must_use]
    pub const fn new(requests: Vec<Vec<Identity>>) -> Self {
        Self { requests }
    }

    /// Each request as a batch of its own.
    #[must_use]
    pub fn split(self) -> Vec<Self> {
        self.requests.into_iter().map(|request| Self { requests: vec![request] }).collect()
    }
}

/// What becomes of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Duplicate,
    Conflict,
    /// What it is about is derived no more: the rows beside it are gone.
    TooOld,
    /// It needs a name that is over its daily cap.
    Refused(&'static str),
}

/// Events with a key each: which are new.
struct Contest<K> {
    /// First event of each key, and its hash.
    first: BTreeMap<K, (usize, i64)>,
}

impl<K: Ord + Copy> Contest<K> {
    /// Events whose key came before in this very batch get their verdict at once.
    fn new(keyed: impl Iterator<Item = (K, usize, i64)>, verdicts: &mut [Verdict]) -> Self {
        let mut first = BTreeMap::new();
        for (key, at, hash) in keyed {
            match first.entry(key) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert((at, hash));
                }
                std::collections::btree_map::Entry::Occupied(place) => verdicts[at] = against(place.get().1, hash),
            }
        }
        Self { first }
    }

    /// Strikes out the keys that stand in the database already.
    fn lose(&mut self, present: impl Iterator<Item = (K, i64)>, verdicts: &mut [Verdict]) {
        for (key, hash) in present {
            if let Some((at, own)) = self.first.remove(&key) {
                verdicts[at] = against(hash, own);
            }
        }
    }
}

fn against(first: i64, later: i64) -> Verdict {
    if first == later { Verdict::Duplicate } else { Verdict::Conflict }
}

/// Writes a batch; what became of each request, in order, and the number of the commit.
///
/// # Errors
/// [`StoreError`]; then nothing was kept.
pub async fn commit(store: &Store, state: &mut WriterState, batch: &Batch) -> Result<(Vec<Written>, u64), StoreError> {
    let events: Vec<&Identity> = batch.requests.iter().flatten().collect();
    let now = store.clock().now();
    ensure_partitions(store, state, &events).await?;
    let mut tx = store.begin_write().await?;
    let named_by_uuid = state.named_by_uuid.settle(&mut tx, &events).await?;
    let mut verdicts = vec![Verdict::Accepted; events.len()];
    insert_keys(&mut tx, &events, &mut verdicts).await?;
    let kept = tx.kept_hold().await?;
    let is_old = |(event, verdict): &(&&Identity, &mut Verdict)| {
        **verdict == Verdict::Accepted && event_begin(&event.event) < taken_since(&event.event, kept)
    };
    events.iter().zip(&mut verdicts).filter(is_old).for_each(|(_, verdict)| *verdict = Verdict::TooOld);
    let candidates: Vec<&Event> = accepted(&events, &verdicts).map(|(_, identity)| &identity.event).collect();
    let names = resolve(&mut tx, &state.names, &candidates, now.day()).await?;
    let sorted = Sorted::new(&events, &mut verdicts, &names);
    delete_refused_keys(&mut tx, &events, &verdicts).await?;
    let known = Known { gpu_index_max: &state.gpu_index_max, named_by_uuid };
    let gpu_index_max = insert_facts(&mut tx, &sorted, &mut verdicts, &names, known, now).await?;
    let capped = if names.is_capped { capped_names(&events, &verdicts, &names) } else { HashMap::new() };
    let new: Names = names.new;
    let number = tx.commit_number_take().await?;
    let entries = job_updates::entries(&mut tx, &sorted.executions, &sorted.jobs, named_by_uuid).await?;
    if !entries.is_empty() {
        tx.job_update_append(number, now, &entries).await?;
    }
    tx.commit().await?;
    state.names.absorb(new);
    state.gpu_index_max.extend(gpu_index_max);
    state.named_by_uuid = named_by_uuid;
    Ok((written(batch, &verdicts, &capped), number))
}

/// From when on an event may begin to be taken.
fn taken_since(event: &Event, kept: Kept) -> Instant {
    match event {
        Event::Execution(_) | Event::Job(_) | Event::CheckpointLoad(_) => kept.facts_since,
        Event::VmSample(_) | Event::GpuSample(_) => kept.samples_since,
        // It gives the hours of a machine another shape, which would have to be built again.
        Event::VmState(_) => kept.derivable_since(),
        // Snapshots stay for ever.
        Event::StorageSnapshot(_) => Instant(i64::MIN),
    }
}

fn accepted<'e>(events: &'e [&'e Identity], verdicts: &'e [Verdict]) -> impl Iterator<Item = (usize, &'e Identity)> {
    events.iter().zip(verdicts).enumerate().filter(|(_, (_, verdict))| **verdict == Verdict::Accepted).map(|(at, (event, _))| (at, *event))
}

async fn ensure_partitions(store: &Store, state: &mut WriterState, events: &[&Identity]) -> Result<(), StoreError> {
    let table = |event: &Event| match event {
        Event::Execution(_) => Some("execution"),
        Event::Job(_) => Some("job_event"),
        Event::CheckpointLoad(_) => Some("checkpoint_load"),
        Event::VmSample(_) => Some("vm_sample"),
        Event::GpuSample(_) => Some("gpu_sample"),
        Event::VmState(_) | Event::StorageSnapshot(_) => None,
    };
    if !store.is_partitioned() {
        return Ok(());
    }
    for name in ["execution", "job_event", "checkpoint_load", "vm_sample", "gpu_sample"] {
        let instants = events.iter().filter(|identity| table(&identity.event) == Some(name)).map(|identity| event_instant(&identity.event));
        for month in rows::months(instants) {
            if state.partitions.contains(&(name, month)) {
                continue;
            }
            // In a transaction of its own: making a partition locks the table for a moment.
            let mut tx = store.begin_write().await?;
            let suffix = format!("{:04}_{:02}", month.div_euclid(12), month.rem_euclid(12) + 1);
            tx.ensure_partition(name, &suffix, Instant::of_month(month).0, Instant::of_month(month + 1).0).await?;
            tx.commit().await?;
            state.partitions.insert((name, month));
        }
    }
    Ok(())
}

const fn kind_code(event: &Event) -> i64 {
    match event {
        Event::Execution(_) => 1,
        Event::Job(_) => 2,
        Event::CheckpointLoad(_) => 3,
        Event::VmState(_) => 4,
        Event::StorageSnapshot(_) => 5,
        Event::VmSample(_) | Event::GpuSample(_) => 0,
    }
}

/// Inserts the keys of events that have an id. In the usual case all are new and one statement does.
async fn insert_keys(tx: &mut WriteTx, events: &[&Identity], verdicts: &mut [Verdict]) -> Result<(), StoreError> {
    let keyed = events.iter().enumerate().filter_map(|(at, identity)| event_id(&identity.event).map(|id| (id, at, identity.hash)));
    let mut contest = Contest::new(keyed, verdicts);
    for _ in 0..KEY_ROUNDS_MAX {
        if contest.first.is_empty() {
            return Ok(());
        }
        let of =
            |value: &dyn Fn(&Identity) -> i64| ColumnData::Ints(contest.first.values().map(|(at, _)| Some(value(events[*at]))).collect());
        let rows = Rows {
            table: "event_key",
            count: contest.first.len(),
            columns: vec![
                // In the order of the ids, so that two writers never wait for each other in a circle.
                ("id", ColumnData::Uuids(contest.first.keys().map(|id| Some(*id)).collect())),
                ("hash", of(&|identity| identity.hash)),
                ("kind", of(&|identity| kind_code(&identity.event))),
                ("at", of(&|identity| event_instant(&identity.event).0)),
            ],
        };
        tx.savepoint().await?;
        if tx.insert(&rows, OR_IGNORE).await? == rows.count as u64 {
            return Ok(());
        }
        tx.restore().await?;
        let ids: Vec<Value> = contest.first.keys().map(|id| Value::Uuid(*id)).collect();
        let present = tx.fetch_in("SELECT id, hash FROM event_key WHERE id {in}", &[], &ids, &[Kind::Uuid, Kind::Int]).await?;
        let present = present.iter().filter_map(|row| match row[..] {
            [Value::Uuid(id), Value::Int(hash)] => Some((id, hash)),
            _ => None,
        });
        contest.lose(present, verdicts);
    }
    Err(StoreError::Contended)
}

async fn delete_refused_keys(tx: &mut WriteTx, events: &[&Identity], verdicts: &[Verdict]) -> Result<(), StoreError> {
    let refused = events.iter().zip(verdicts).filter(|(_, verdict)| matches!(verdict, Verdict::Refused(_) | Verdict::TooOld));
    let mut ids: Vec<_> = refused.filter_map(|(identity, _)| event_id(&identity.event)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    ids.sort_unstable();
    let ids: Vec<Value> = ids.into_iter().map(Value::Uuid).collect();
    tx.fetch_in("DELETE FROM event_key WHERE id {in} RETURNING id", &[], &ids, &[Kind::Uuid]).await.map(|_| ())
}

/// The accepted events by type, each with the id that its table cannot do without.
#[derive(Default)]
struct Sorted<'e> {
    executions: Vec<Identified<'e, Execution>>,
    jobs: Vec<Identified<'e, Job>>,
    loads: Vec<Identified<'e, CheckpointLoad>>,
    vm_states: Vec<Identified<'e, VmStateChange>>,
    storage: Vec<Identified<'e, StorageSnapshot>>,
    vm_samples: Vec<(usize, Identified<'e, VmSample>)>,
    gpu_samples: Vec<(usize, Identified<'e, GpuSample>)>,
}

impl<'e> Sorted<'e> {
    fn new(events: &[&'e Identity], verdicts: &mut [Verdict], names: &Resolved<'_>) -> Self {
        let mut sorted = Self::default();
        let places: Vec<usize> = accepted(events, verdicts).map(|(at, _)| at).collect();
        for at in places {
            let identity = events[at];
            let hash = identity.hash;
            let vm = |name: &str| names.simple(NameDimension::Vm, name).ok_or("vm");
            let placed = match &identity.event {
                Event::Execution(event) => names
                    .combination(&event.model, &event.checkpoints)
                    .ok_or(if event.checkpoints.is_empty() { "model" } else { "checkpoints" })
                    .map(|id| sorted.executions.push(Identified { event, id, hash })),
                Event::Job(event) => names
                    .combination(&event.model, &event.checkpoints)
                    .ok_or("model")
                    .map(|id| sorted.jobs.push(Identified { event, id, hash })),
                Event::CheckpointLoad(event) => vm(&event.vm)
                    .and_then(|id| names.model_version(&event.model).ok_or("model").map(|_| id))
                    .and_then(|id| match &event.checkpoint {
                        Some(checkpoint) => names.checkpoint_version(checkpoint).ok_or("checkpoint").map(|_| id),
                        None => Ok(id),
                    })
                    .map(|id| sorted.loads.push(Identified { event, id, hash })),
                Event::VmState(event) => vm(&event.vm).map(|id| sorted.vm_states.push(Identified { event, id, hash })),
                Event::StorageSnapshot(event) => {
                    let known = event.model.as_ref().is_none_or(|model| names.model_version(model).is_some());
                    let known = known && event.checkpoint.as_ref().is_none_or(|checkpoint| names.checkpoint_version(checkpoint).is_some());
                    known.then_some(()).ok_or("checkpoint").map(|()| sorted.storage.push(Identified { event, id: 0, hash }))
                }
                Event::VmSample(event) => vm(&event.vm).map(|id| sorted.vm_samples.push((at, Identified { event, id, hash }))),
                Event::GpuSample(event) => vm(&event.vm).map(|id| sorted.gpu_samples.push((at, Identified { event, id, hash }))),
            };
            if let Err(field) = placed {
                verdicts[at] = Verdict::Refused(field);
            }
        }
        sorted
    }
}

/// What earlier transactions have told.
#[derive(Clone, Copy)]
struct Known<'a> {
    gpu_index_max: &'a HashMap<u32, u16>,
    named_by_uuid: NamedByUuid,
}

/// Inserts facts, delta cells, marks and counters; the GPU indices that are news.
async fn insert_facts(
    tx: &mut WriteTx,
    sorted: &Sorted<'_>,
    verdicts: &mut [Verdict],
    names: &Resolved<'_>,
    known: Known<'_>,
    now: Instant,
) -> Result<HashMap<u32, u16>, StoreError> {
    let facts = rows::execution_facts(&sorted.executions, names);
    let execution_rows = rows::execution_rows(&sorted.executions, &facts);
    let load_facts = rows::load_facts(&sorted.loads, names);
    let load_rows = rows::load_rows(&sorted.loads, &load_facts);
    let load_reach = rows::load_reach(&load_facts);
    let told: Vec<Told> = facts.iter().map(Told::from).collect();
    let measured: Vec<MeasuredExecution> = facts.into_iter().map(MeasuredExecution::from).collect();
    // The cells are worked out while the database takes the rows.
    let cells = tokio::task::spawn_blocking(move || {
        let mut deltas = delta_blocks(&Family::OF_EXECUTIONS, &measured);
        deltas.extend(delta_blocks(&Family::OF_LOADS, &load_facts));
        deltas
    });
    tx.insert(&execution_rows, "").await?;
    drop(execution_rows);
    tx.insert(&rows::job_rows(&sorted.jobs, names), "").await?;
    tx.insert(&load_rows, "").await?;
    drop(load_rows);
    tx.insert(&rows::vm_state_rows(&sorted.vm_states, names), "").await?;
    insert_storage(tx, &sorted.storage, names).await?;
    tx.load_reach_widen(&load_reach).await?;
    let vm_samples = insert_vm_samples(tx, &sorted.vm_samples, verdicts).await?;
    let gpu_samples = insert_gpu_samples(tx, &sorted.gpu_samples, verdicts).await?;
    let mut deltas = delta_blocks(&[Family::VmSample], &rows::vm_sample_facts(&vm_samples));
    deltas.extend(delta_blocks(&[Family::GpuSample], &rows::gpu_sample_facts(&gpu_samples)));
    deltas.extend(cells.await.map_err(|source| StoreError::Encode(Box::new(source)))?);
    tx.delta_append(deltas, now).await?;
    let mut marks = dirty_marks(sorted, &told, &gpu_samples);
    mark_jobs(&mut marks, sorted, known.named_by_uuid);
    tx.dirty_append(marks).await?;
    tell_attributes(tx, sorted, &told, names).await?;
    tx.vm_touch(&touched(sorted, &told, &vm_samples, &gpu_samples)).await?;
    tx.gpu_memory_tell(&gpu_memory(&gpu_samples)).await?;
    tx.vm_latest_tell(&rows::vm_latest_rows(&vm_samples)).await?;
    tx.gpu_latest_tell(&rows::gpu_latest_rows(&gpu_samples)).await?;
    tx.execution_reach_widen(&reach(&sorted.executions)).await?;
    let news = gpu_indices(sorted, &told, &gpu_samples, names, known.gpu_index_max);
    let changed = tx.gpu_index_raise(&news).await?;
    if changed || !sorted.vm_states.is_empty() {
        tx.execute("UPDATE counter SET value = value + 1 WHERE name = 'fleet_version'", &[]).await?;
    }
    Ok(news)
}

/// Ids of an execution's names that are needed more than once; 0 where unknown.
#[derive(Clone, Copy)]
struct Told {
    vm: u32,
    department: u32,
    project: u32,
}

impl From<&ExecutionFact> for Told {
    fn from(fact: &ExecutionFact) -> Self {
        Self { vm: fact.vm_id, department: fact.department_id, project: fact.project_id }
    }
}

async fn insert_storage(tx: &mut WriteTx, snapshots: &[Identified<'_, StorageSnapshot>], names: &Resolved<'_>) -> Result<(), StoreError> {
    if snapshots.is_empty() {
        return Ok(());
    }
    let places = rows::storage_places(snapshots, names);
    tx.storage_days_change(&snapshots.iter().map(|row| row.event.at.day()).collect()).await?;
    tx.storage_place_keep(&places.iter().copied().collect()).await?;
    tx.insert(&rows::storage_rows(snapshots, &places), "").await.map(|_| ())
}

async fn insert_vm_samples<'e>(
    tx: &mut WriteTx,
    samples: &[(usize, Identified<'e, VmSample>)],
    verdicts: &mut [Verdict],
) -> Result<Vec<Identified<'e, VmSample>>, StoreError> {
    let key = |sample: &Identified<'_, VmSample>| (sample.event.at.0, sample.id, 0);
    let sql = "SELECT at, vm_id, 0, hash FROM vm_sample WHERE at {in}";
    insert_samples(tx, samples, verdicts, key, rows::vm_sample_rows, sql).await
}

async fn insert_gpu_samples<'e>(
    tx: &mut WriteTx,
    samples: &[(usize, Identified<'e, GpuSample>)],
    verdicts: &mut [Verdict],
) -> Result<Vec<Identified<'e, GpuSample>>, StoreError> {
    let key = |sample: &Identified<'_, GpuSample>| (sample.event.at.0, sample.id, i64::from(sample.event.gpu));
    let sql = "SELECT at, vm_id, gpu, hash FROM gpu_sample WHERE at {in}";
    insert_samples(tx, samples, verdicts, key, rows::gpu_sample_rows, sql).await
}

type SampleKey = (i64, u32, i64);

/// Inserts the samples whose key is new; those that are.
async fn insert_samples<'e, E>(
    tx: &mut WriteTx,
    samples: &[(usize, Identified<'e, E>)],
    verdicts: &mut [Verdict],
    key: impl Fn(&Identified<'e, E>) -> SampleKey,
    to_rows: impl Fn(&[Identified<'e, E>]) -> Rows,
    select: &str,
) -> Result<Vec<Identified<'e, E>>, StoreError> {
    let by_place: HashMap<usize, Identified<'e, E>> = samples.iter().copied().collect();
    let mut contest = Contest::new(samples.iter().map(|(at, sample)| (key(sample), *at, sample.hash)), verdicts);
    for _ in 0..KEY_ROUNDS_MAX {
        let new: Vec<Identified<'e, E>> = contest.first.values().filter_map(|(at, _)| by_place.get(at).copied()).collect();
        if new.is_empty() {
            return Ok(new);
        }
        tx.savepoint().await?;
        if tx.insert(&to_rows(&new), OR_IGNORE).await? == new.len() as u64 {
            return Ok(new);
        }
        tx.restore().await?;
        let instants: BTreeSet<i64> = contest.first.keys().map(|(at, ..)| *at).collect();
        let instants: Vec<Value> = instants.into_iter().map(Value::Int).collect();
        let present = tx.fetch_in(select, &[], &instants, &[Kind::Int, Kind::Int, Kind::Int, Kind::Int]).await?;
        let present = present.iter().filter_map(|row| match row[..] {
            [Value::Int(at), Value::Int(vm), Value::Int(gpu), Value::Int(hash)] => Some(((at, vm as u32, gpu), hash)),
            _ => None,
        });
        contest.lose(present, verdicts);
    }
    Err(StoreError::Contended)
}

fn dirty_marks(sorted: &Sorted<'_>, told: &[Told], gpu_samples: &[Identified<'_, GpuSample>]) -> DirtyMarks {
    let mut marks = DirtyMarks::default();
    for (row, told) in sorted.executions.iter().zip(told) {
        // What lies between follows from what the first hour hands on.
        marks.machine(told.vm, row.event.started_at);
        marks.machine(told.vm, row.event.finished_at);
        if told.vm == 0 {
            marks.machineless(row.event.finished_at);
        }
    }
    // What they cost stands with the hour in which they ended.
    sorted.loads.iter().for_each(|row| marks.machine(row.id, row.event.finished_at));
    sorted.vm_states.iter().for_each(|row| marks.machine(row.id, row.event.at));
    gpu_samples.iter().for_each(|row| marks.machine(row.id, row.event.at));
    marks
}

fn mark_jobs(marks: &mut DirtyMarks, sorted: &Sorted<'_>, named_by_uuid: NamedByUuid) {
    for row in &sorted.executions {
        named_by_uuid.mark(marks, row.event.job.as_deref(), row.event.id, row.event.finished_at);
    }
    sorted.jobs.iter().for_each(|row| marks.job(rows::job_key(Some(&row.event.job), row.event.id)));
}

/// From when to when samples, loads and executions touched each machine.
fn touched(
    sorted: &Sorted<'_>,
    told: &[Told],
    vm_samples: &[Identified<'_, VmSample>],
    gpu_samples: &[Identified<'_, GpuSample>],
) -> BTreeMap<u32, (i64, i64)> {
    let mut touched: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
    let mut touch = |vm: u32, from: Instant, to: Instant| {
        let stretch = touched.entry(vm).or_insert((from.0, to.0));
        *stretch = (stretch.0.min(from.0), stretch.1.max(to.0));
    };
    for (row, told) in sorted.executions.iter().zip(told).filter(|(_, told)| told.vm != 0) {
        touch(told.vm, row.event.started_at, row.event.finished_at);
    }
    sorted.loads.iter().for_each(|row| touch(row.id, row.event.started_at, row.event.finished_at));
    vm_samples.iter().for_each(|row| touch(row.id, row.event.at, row.event.at));
    gpu_samples.iter().for_each(|row| touch(row.id, row.event.at, row.event.at));
    touched
}

/// For each hour in which executions finished, the earliest instant at which one of them waited or ran (microseconds), and how
/// many they are.
fn reach(executions: &[Identified<'_, Execution>]) -> BTreeMap<i32, (i64, i64)> {
    let mut hours: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for Identified { event, .. } in executions {
        let from = event.queued_at.unwrap_or(event.started_at).min(event.started_at);
        let (earliest, count) = hours.entry(event.finished_at.hour()).or_insert((from.0, 0));
        (*earliest, *count) = ((*earliest).min(from.0), *count + 1);
    }
    hours
}

async fn tell_attributes(tx: &mut WriteTx, sorted: &Sorted<'_>, told: &[Told], names: &Resolved<'_>) -> Result<(), StoreError> {
    let (mut types, mut departments) = (BTreeMap::new(), BTreeMap::new());
    let newest = |newest: &mut BTreeMap<u32, (i64, Uuid, u32)>, subject: u32, news: (i64, Uuid, u32)| {
        let known = newest.entry(subject).or_insert(news);
        *known = (*known).max(news);
    };
    for (row, told) in sorted.executions.iter().zip(told) {
        let event = row.event;
        if let Some(kind) = event.model_type.as_ref().and_then(|kind| names.simple(NameDimension::ModelType, kind))
            && let Some(model) = names.simple(NameDimension::Model, &event.model.model)
        {
            newest(&mut types, model, (event.finished_at.0, event.id, kind));
        }
        if told.department != 0 && told.project != 0 {
            newest(&mut departments, told.project, (event.finished_at.0, event.id, told.department));
        }
    }
    tx.attribute_tell(Attribute::ModelType, &types).await?;
    tx.attribute_tell(Attribute::ProjectDepartment, &departments).await
}

/// The memory of one GPU of each machine, by its latest sample with a total (equal instants: the largest).
fn gpu_memory(gpu_samples: &[Identified<'_, GpuSample>]) -> BTreeMap<u32, (Instant, i64)> {
    let mut newest: BTreeMap<u32, (Instant, i64)> = BTreeMap::new();
    for row in gpu_samples {
        if let Some(total) = row.event.memory_total_bytes {
            let told = (row.event.at, total);
            let known = newest.entry(row.id).or_insert(told);
            *known = (*known).max(told);
        }
    }
    newest
}

/// The highest GPU index of each machine that is higher than what is known.
fn gpu_indices(
    sorted: &Sorted<'_>,
    told: &[Told],
    gpu_samples: &[Identified<'_, GpuSample>],
    names: &Resolved<'_>,
    known: &HashMap<u32, u16>,
) -> HashMap<u32, u16> {
    let mut news: HashMap<u32, u16> = HashMap::new();
    let mut tell = |vm: Option<u32>, gpu: Option<u16>| {
        if let (Some(vm), Some(gpu)) = (vm, gpu)
            && known.get(&vm).is_none_or(|known| *known < gpu)
        {
            let highest = news.entry(vm).or_insert(gpu);
            *highest = (*highest).max(gpu);
        }
    };
    let vm = |name: Option<&String>| name.and_then(|name| names.simple(NameDimension::Vm, name));
    for (row, told) in sorted.executions.iter().zip(told).filter(|(_, told)| told.vm != 0) {
        tell(Some(told.vm), row.event.gpus.last().copied());
    }
    sorted.jobs.iter().for_each(|row| tell(vm(row.event.vm.as_ref()), row.event.gpus.last().copied()));
    sorted.loads.iter().for_each(|row| tell(Some(row.id), row.event.gpu));
    gpu_samples.iter().for_each(|row| tell(Some(row.id), Some(row.event.gpu)));
    news
}

/// Optional names of accepted events that could not be kept, by their key and request.
fn capped_names(events: &[&Identity], verdicts: &[Verdict], names: &Resolved<'_>) -> HashMap<usize, Vec<&'static str>> {
    use NameDimension::{
        Application, Department, ErrorType, InstanceType, ModelType, Project, Provider, Region, StorageLocation, User, Vm,
    };
    let mut capped: HashMap<usize, Vec<&'static str>> = HashMap::new();
    let mut check = |at: usize, key: &'static str, dimension: NameDimension, name: Option<&String>| {
        if name.is_some_and(|name| names.simple(dimension, name).is_none()) {
            capped.entry(at).or_default().push(key);
        }
    };
    for (at, identity) in accepted(events, verdicts) {
        match &identity.event {
            Event::Execution(event) => {
                check(at, "execution.application", Application, event.caller.application.as_ref());
                check(at, "execution.user", User, event.caller.user.as_ref());
                check(at, "execution.department", Department, event.caller.department.as_ref());
                check(at, "execution.project", Project, event.caller.project.as_ref());
                check(at, "execution.vm", Vm, event.vm.as_ref());
                check(at, "execution.errorType", ErrorType, event.error_type.as_ref());
                check(at, "execution.modelType", ModelType, event.model_type.as_ref());
            }
            Event::Job(event) => {
                check(at, "job.application", Application, event.caller.application.as_ref());
                check(at, "job.user", User, event.caller.user.as_ref());
                check(at, "job.department", Department, event.caller.department.as_ref());
                check(at, "job.project", Project, event.caller.project.as_ref());
                check(at, "job.vm", Vm, event.vm.as_ref());
            }
            Event::CheckpointLoad(event) => {
                check(at, "checkpointLoad.storageLocation", StorageLocation, event.storage_location.as_ref());
                check(at, "checkpointLoad.errorType", ErrorType, event.error_type.as_ref());
            }
            Event::VmState(event) => {
                check(at, "vmState.instanceType", InstanceType, event.instance_type.as_ref());
                check(at, "vmState.provider", Provider, event.provider.as_ref());
                check(at, "vmState.region", Region, event.region.as_ref());
            }
            Event::StorageSnapshot(event) => check(at, "storageSnapshot.storageLocation", StorageLocation, event.storage_location.as_ref()),
            Event::VmSample(_) | Event::GpuSample(_) => {}
        }
    }
    capped
}

fn written(batch: &Batch, verdicts: &[Verdict], capped: &HashMap<usize, Vec<&'static str>>) -> Vec<Written> {
    let mut verdicts = verdicts.iter().enumerate();
    let of_request = |request: &Vec<Identity>| {
        let mut written = Written::default();
        let mut warnings: BTreeMap<&str, u64> = BTreeMap::new();
        for (identity, (at, verdict)) in request.iter().zip(verdicts.by_ref()) {
            match verdict {
                Verdict::Accepted => written.accepted += 1,
                Verdict::Duplicate => written.duplicate += 1,
                Verdict::Conflict => written.conflicts.push((identity.line, event_id(&identity.event))),
                Verdict::TooOld => written.too_old.push((identity.line, event_id(&identity.event))),
                Verdict::Refused(field) => written.refused.push((identity.line, event_id(&identity.event), field)),
            }
            for key in capped.get(&at).into_iter().flatten() {
                *warnings.entry(key).or_default() += 1;
            }
        }
        written.capped = warnings.into_iter().map(|(key, lines)| (key.to_owned(), lines)).collect();
        written
    };
    batch.requests.iter().map(of_request).collect()
}
