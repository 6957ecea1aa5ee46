//! Old rows go and figures stay: what was derived answers as before, whatever comes late, and what needs the rows is told that they are
//! gone.
#![allow(clippy::type_complexity, reason = "a test is written plainly")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, ExecutionOrder, ExecutionQuestion, Reader};
use plimsoll_domain::breakdown::figures::{ExecutionFigures, MachineFigures};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::job_figures::JobFigures;
use plimsoll_domain::breakdown::jobs::{JobOrder, JobQuestion};
use plimsoll_domain::breakdown::loads::{LoadFigures, LoadOrder, LoadQuestion};
use plimsoll_domain::breakdown::machines::MachineQuestion;
use plimsoll_domain::breakdown::storage::{StorageFigures, StorageOrder, StorageQuestion};
use plimsoll_domain::breakdown::usage::{UsageFigures, UsageQuestion};
use plimsoll_domain::cell::compactor::Compactor;
use plimsoll_domain::cell::part::Part;
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_domain::concurrency::ConcurrencyQuestion;
use plimsoll_domain::concurrency::packer::Packer;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::ingest::{IngestSink as _, Written};
use plimsoll_domain::job::worker::JobWorker;
use plimsoll_domain::retention::{Ages, RetentionWorker};
use plimsoll_domain::storage::worker::StorageWorker;
use plimsoll_domain::store::{ExecutionColumns, Kind, NewestFirst, Page, Store, StoreError, Value as StoreValue};
use plimsoll_domain::timeline::worker::TimelineWorker;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, SECOND_US, Step, Window};
use serde_json::{Value, json};
use uuid::Uuid;

use database::Database;

/// Days of events, the last of which is the day before now.
const DAYS: i64 = 160;
/// Days from one on which something happened to the next.
const STEP_DAYS: usize = 3;
const NOW: &str = "2026-06-15T10:30:00Z";
/// What is left of executions, changes of jobs and loads with an age of 62 days: whole months, but for the day that one looks back.
const KEPT_SINCE: &str = "2026-04-02T00:00:00Z";
/// What is left of samples.
const SAMPLES_SINCE: &str = "2026-04-01T00:00:00Z";
/// A window of whole days that is dropped.
const OLD: (&str, &str) = ("2026-01-06T00:00:00Z", "2026-04-01T00:00:00Z");

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn text(us: i64) -> String {
    Instant(us).to_rfc3339()
}

fn id(number: i64) -> Uuid {
    Uuid::from_u128(0x7e00_0000_0000_4000_8000_0000_0000_0000 | number as u128)
}

fn old() -> Window {
    Window { start: at(OLD.0), end: at(OLD.1) }
}

/// What happened on one day: two executions of a job on one slot, a load, samples, bytes that lie somewhere.
fn day(number: i64) -> Vec<Value> {
    let start = (at(NOW).0 / DAY_US - DAYS + number) * DAY_US;
    let (began, ended) = (start + 7 * HOUR_US + number * SECOND_US, start + 8 * HOUR_US + 20 * MINUTE_US);
    let model = json!({"model": "sdxl", "modelVersion": "1", "vm": "m", "gpus": [0]});
    let with = |more: Value| {
        let mut event = model.clone();
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let mut events = vec![
        with(
            json!({"type": "execution", "id": id(number * 10), "job": format!("j{number}"), "attempt": 1, "user": format!("u{}", number % 3),
            "startedAt": text(began), "finishedAt": text(ended), "outcome": "FAILED", "errorType": "E"}),
        ),
        with(json!({"type": "execution", "id": id(number * 10 + 1), "job": format!("j{number}"), "attempt": 2, "queuedAt": text(began),
            "checkpoints": [{"kind": "LORA", "name": "a", "version": (number % 2).to_string()}],
            "startedAt": text(ended), "finishedAt": text(ended + HOUR_US), "outcome": "SUCCEEDED"})),
        json!({"type": "checkpointLoad", "id": id(number * 10 + 2), "model": "sdxl", "modelVersion": "1", "vm": "m", "storageType": "OBJECT_STORE",
            "cacheHit": false, "bytes": 1000 + number, "startedAt": text(began), "finishedAt": text(began + SECOND_US)}),
        json!({"type": "storageSnapshot", "id": id(number * 10 + 3), "at": text(began), "storageType": "OBJECT_STORE", "sizeBytes": number,
            "model": "sdxl", "modelVersion": "1"}),
        with(json!({"type": "job", "id": id(number * 10 + 4), "job": format!("j{number}"), "at": text(began), "state": "RUNNING"})),
    ];
    for minute in 0..3 {
        let at = text(ended + minute * MINUTE_US);
        events.push(json!({"type": "vmSample", "vm": "m", "at": at, "intervalSeconds": 60, "cpuRatio": 0.25}));
        events.push(json!({"type": "gpuSample", "vm": "m", "gpu": 0, "at": at, "utilizationRatio": 0.5, "memoryUsedBytes": 7, "memoryTotalBytes": 9}));
    }
    events
}

fn state(number: i64, us: i64, gpus: i32) -> Value {
    json!({"type": "vmState", "id": id(1_000_000 + number), "vm": "m", "at": text(us), "state": "RUNNING", "instanceType": "big", "region": "r",
        "gpuCount": gpus, "vCpus": 8})
}

struct World {
    store: Store,
    clock: Arc<FixedClock>,
    writer: WriterHandle,
    compactor: Compactor,
    timelines: TimelineWorker,
    jobs: JobWorker,
    snapshots: StorageWorker,
    packer: Packer,
}

impl World {
    async fn new(database: &Database) -> Self {
        let clock = Arc::new(FixedClock::at(at(NOW)));
        let store = database.open(Arc::clone(&clock) as _).await;
        let (writer, handle) = Writer::new(store.clone());
        tokio::spawn(writer.run());
        Self {
            clock,
            writer: handle,
            compactor: Compactor::new(store.clone()),
            timelines: TimelineWorker::new(store.clone(), id(-1)),
            jobs: JobWorker::new(store.clone(), id(-2)),
            snapshots: StorageWorker::new(store.clone(), id(-3)),
            packer: Packer::new(store.clone(), id(-4)).with_least(1),
            store,
        }
    }

    async fn send(&self, events: &[Value]) -> Written {
        let context = ReadContext { now: self.clock.now(), strict: true, oldest: None };
        let read = |(line, event): (u32, &Value)| (line, read_line(event.to_string().as_bytes(), &context).unwrap().event);
        self.writer.write((1..).zip(events).map(read).collect(), 0).await.unwrap()
    }

    /// Everything that works in the background, until nothing is left to do.
    async fn work(&mut self) {
        self.compactor.run_to_end(self.clock.now()).await.unwrap();
        loop {
            let done = self.timelines.run_once(self.clock.now()).await.unwrap();
            if !done.is_cut && done.days == 0 {
                break;
            }
        }
        self.clock.advance_us(2 * MINUTE_US);
        self.jobs.run_to_end(self.clock.now()).await.unwrap();
        self.snapshots.run_to_end(self.clock.now()).await.unwrap();
        while self.packer.run_once(self.clock.now()).await.unwrap() > 0 {}
    }

    async fn figures(&self, window: Window) -> Figures {
        let reader = Reader::new(self.store.clone());
        let reading = reader.begin().await.unwrap();
        let filter = Filter::default();
        let parts = [Part::Duration, Part::Users, Part::GpuSamples, Part::GpuRatio, Part::GpuMemoryUsed].into();
        let executions = ExecutionQuestion { window, by: vec![Dimension::CheckpointVersion], parts, limit: 100 };
        let jobs = JobQuestion { window, by: vec![Dimension::User], parts: [Part::Attempts, Part::JobProcessing].into(), limit: 100 };
        let loads = LoadQuestion { window, by: vec![Dimension::Vm], parts: Part::OF_LOADS.into(), with_cost: false, limit: 100 };
        let machines = MachineQuestion { window, by: vec![Dimension::Vm], parts: [Part::Samples, Part::CpuRatio].into(), limit: 100 };
        let usage = UsageQuestion { window, by: vec![Dimension::User, Dimension::Combination], limit: 100 };
        let storage = StorageQuestion { window, by: vec![Dimension::Model], limit: 100 };
        Figures {
            executions: rows(reader.execution_breakdown(&reading, &executions, &filter, ExecutionOrder::Executions).await.unwrap()),
            jobs: rows(reader.job_breakdown(&reading, &jobs, &filter, JobOrder::Jobs).await.unwrap()),
            loads: rows(reader.load_breakdown(&reading, &loads, &filter, LoadOrder::Loads).await.unwrap()),
            machines: rows(reader.machine_breakdown(&reading, &machines, &filter).await.unwrap()),
            usage: rows(reader.usage_breakdown(&reading, &usage, &filter).await.unwrap()),
            storage: rows(reader.storage_breakdown(&reading, &storage, &filter, StorageOrder::Size).await.unwrap()),
        }
    }

    /// What needs rows of a window: none when it answers.
    async fn refusals(&self, window: Window) -> Vec<Option<Instant>> {
        let reader = Reader::new(self.store.clone());
        let reading = reader.begin().await.unwrap();
        let filter = Filter::default();
        let asked = ExecutionQuestion { window, by: vec![Dimension::User, Dimension::Vm], parts: [].into(), limit: 9 };
        let counted = ConcurrencyQuestion { window, by: Vec::new(), limit: 9 };
        let machines = MachineQuestion {
            window: Window { start: Instant(window.start.0 + 1), end: window.end },
            by: vec![Dimension::Vm],
            parts: [Part::Samples].into(),
            limit: 9,
        };
        let page: Page<NewestFirst> = Page { limit: 3, ..Page::default() };
        vec![
            since(reader.execution_breakdown(&reading, &asked, &filter, ExecutionOrder::Executions).await.map(drop)),
            since(reader.concurrency_series(&reading, &counted, &filter, Step::Day).await.map(drop)),
            since(reader.machine_breakdown(&reading, &machines, &filter).await.map(drop)),
            since(reading.snapshot.execution_page(window, &Default::default(), &page).await.map(drop).map_err(BreakdownError::from)),
            since(reading.snapshot.sample_edge_list(window, None).await.map(drop).map_err(BreakdownError::from)),
        ]
    }
}

fn since(answer: Result<(), BreakdownError>) -> Option<Instant> {
    match answer {
        Ok(()) => None,
        Err(BreakdownError::Store(StoreError::Dropped { since, .. })) => Some(since),
        Err(error) => panic!("{error:?}"),
    }
}

/// Rows and total; what `total` has is shown with the empty key.
type Rows<F> = Vec<(Vec<u32>, F)>;

fn rows<F>(of: Breakdown<F>) -> Rows<F> {
    of.rows.into_iter().map(|(key, figures)| (key.ids.to_vec(), figures)).chain([(Vec::new(), of.total)]).collect()
}

#[derive(Debug, PartialEq)]
struct Figures {
    executions: Rows<ExecutionFigures>,
    jobs: Rows<JobFigures>,
    loads: Rows<LoadFigures>,
    machines: Rows<MachineFigures>,
    usage: Rows<UsageFigures>,
    storage: Rows<StorageFigures>,
}

async fn executions_kept(store: &Store) -> usize {
    let snapshot = store.snapshot().await.unwrap();
    let window = Window { start: snapshot.kept().facts_since, end: at(NOW) };
    let rows: Vec<_> = snapshot.execution_stream(window, ExecutionColumns::default()).await.unwrap().try_collect().await.unwrap();
    rows.len()
}

/// Drops what is to be dropped; how many rows or months.
async fn drop_all(worker: &mut RetentionWorker, now: Instant) -> u64 {
    let mut dropped = 0;
    loop {
        match worker.run_once(now).await.unwrap() {
            0 => return dropped,
            some => dropped += some,
        }
    }
}

/// What comes late from before the horizon is refused, unless it has come before; what comes from then on is not.
async fn late_events_are_refused(world: &World, first: i64) {
    let mut late = day(30);
    assert_eq!(world.send(&late[..5]).await.duplicate, 5);
    late.iter_mut()
        .filter(|event| event["id"].is_string())
        .for_each(|event| event["id"] = json!(Uuid::from_u128(0xfe ^ id(5).as_u128() << 1)));
    late[1]["id"] = json!(Uuid::from_u128(77));
    let written = world.send(&[late[0].clone(), late[1].clone(), late[5].clone(), late[6].clone(), state(9, first - 1, 3)]).await;
    assert_eq!((written.accepted, written.too_old.len()), (0, 5), "{written:?}");
    let mut stored = late[3].clone();
    stored["id"] = json!(Uuid::from_u128(79));
    stored["sizeBytes"] = json!(30);
    assert_eq!(world.send(&[stored]).await.accepted, 1, "snapshots of storage stay for ever");
    let mut across = day(84);
    across[0]["id"] = json!(Uuid::from_u128(78));
    across[0]["startedAt"] = json!(text(at(KEPT_SINCE).0 - 1));
    across[0]["finishedAt"] = json!(text(at(KEPT_SINCE).0 + HOUR_US));
    assert_eq!(world.send(&across[..1]).await.too_old.len(), 1);
}

async fn old_rows_go_and_figures_stay(database: &Database) {
    let mut world = World::new(database).await;
    let first = at(NOW).0 - (DAYS + 1) * DAY_US;
    let mut events = vec![state(0, first, 2)];
    events.extend((0..DAYS).step_by(STEP_DAYS).flat_map(day));
    assert_eq!(world.send(&events).await.accepted, events.len() as u64);

    // Nothing is dropped before everything is derived.
    let ages = Ages { facts_days: Some(62), samples_days: Some(62) };
    let mut worker = RetentionWorker::new(world.store.clone(), id(-9), ages);
    assert_eq!(worker.run_once(world.clock.now()).await.unwrap(), 0);
    assert_eq!(world.store.snapshot().await.unwrap().kept().facts_since, Instant(0));
    world.work().await;
    let before = world.figures(old()).await;
    assert!(before.executions.last().is_some_and(|(_, total)| total.executions() == 2 * 29), "{:?}", before.executions.last());
    assert_eq!(world.refusals(old()).await, [None; 5]);

    // The horizon moves first, the rows go when no snapshot can need them.
    world.clock.advance_us(2 * HOUR_US);
    world.work().await;
    assert_eq!(worker.run_once(world.clock.now()).await.unwrap(), 0);
    assert_eq!(world.store.snapshot().await.unwrap().kept().facts_since, at(KEPT_SINCE));
    world.clock.advance_us(11 * MINUTE_US);
    let dropped = drop_all(&mut worker, world.clock.now()).await;
    // The months from January to March of five tables, or their rows: 29 days of 4 facts and 6 samples.
    assert!(dropped == if world.store.is_partitioned() { 15 } else { 29 * 10 }, "{dropped}");
    assert_eq!(executions_kept(&world.store).await, 2 * 25);
    assert_eq!(world.figures(old()).await, before);
    let (facts, samples) = (Some(at(KEPT_SINCE)), Some(at(SAMPLES_SINCE)));
    assert_eq!(world.refusals(old()).await, [facts, facts, samples, facts, samples]);
    let kept = Window { start: at(KEPT_SINCE), end: at(NOW) };
    assert_eq!(world.refusals(kept).await, [None; 5]);

    late_events_are_refused(&world, first).await;

    // Another shape of the machine, another attempt of an old job, more executions: none of them touches what is gone.
    let mut news = day(DAYS - 2);
    news.iter_mut().zip(500..).for_each(|(event, number)| event["id"] = json!(Uuid::from_u128(number)));
    news[0]["job"] = json!("j30");
    news[0]["attempt"] = json!(3);
    news.truncate(5);
    news.push(state(10, at(NOW).0 - HOUR_US, 1));
    let written = world.send(&news).await;
    assert_eq!(written.accepted, 6, "{written:?}");
    world.work().await;
    // Of that job the first two attempts are gone, and counted.
    let mut tx = world.store.begin_write().await.unwrap();
    let counted = tx.fetch("SELECT attempts, executions FROM job WHERE job = 'j30'", &[], &[Kind::Int, Kind::Int]).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(matches!(counted[0][..], [StoreValue::Int(3), StoreValue::Int(3)]), "{counted:?}");
    world.clock.advance_us(2 * HOUR_US);
    world.work().await;
    assert_eq!(worker.run_once(world.clock.now()).await.unwrap(), 0);
    assert_eq!(world.figures(old()).await, before);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_go_and_figures_stay_on_sqlite() {
    let database = Database::sqlite("retention", 0).await.unwrap();
    old_rows_go_and_figures_stay(&database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_go_and_figures_stay_on_postgres() {
    let Some(database) = Database::postgres("retention", 110).await else { return };
    let database = Arc::new(database);
    let case = Arc::clone(&database);
    let outcome = tokio::spawn(async move { old_rows_go_and_figures_stay(&case).await }).await;
    database.remove().await;
    outcome.unwrap();
}

/// Writers that meet the same new months at the same time.
async fn partitions_are_made_once(database: &Database) {
    let store = database.open(Arc::new(FixedClock::at(at(NOW)))).await;
    for month in 2030 * 12..2031 * 12 {
        let mut making = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = store.clone();
            making.spawn(async move {
                let mut tx = store.begin_write().await?;
                let (start, end) = (Instant::of_month(month), Instant::of_month(month + 1));
                tx.ensure_partition("gpu_sample", &format!("test_{month}"), start.0, end.0).await?;
                tx.commit().await
            });
        }
        for made in making.join_all().await {
            made.unwrap();
        }
    }
    store.close().await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_writers_meet_a_new_month_together() {
    partitions_are_made_once(&Database::sqlite("partitions", 900).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_writers_meet_a_new_month_together() {
    let Some(database) = Database::postgres("partitions", 901).await else { return };
    partitions_are_made_once(&database).await;
}
