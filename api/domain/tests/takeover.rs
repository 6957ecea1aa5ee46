//! Background work of several replicas: while its owner lives nobody else does it; when the owner has been silent for the length of a
//! lease somebody else goes on; and whoever has lost a lease without knowing it writes nothing.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;

use std::sync::Arc;

use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::clock::{Clock as _, FixedClock, TimeOrderedIds};
use plimsoll_domain::concurrency::packer::Packer;
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::job::worker::JobWorker;
use plimsoll_domain::live::bus::LocalBus;
use plimsoll_domain::retention::{Ages, RetentionWorker};
use plimsoll_domain::storage::worker::StorageWorker;
use plimsoll_domain::store::{LEASE_US, Store, StoreError};
use plimsoll_domain::timeline::worker::TimelineWorker;
use plimsoll_domain::watch::evaluator::Evaluator;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, SECOND_US};
use serde_json::{Value, json};
use uuid::Uuid;

use database::Database;

/// 2026-06-15T10:30:00Z.
const NOW: Instant = Instant(1_781_519_400_000_000);
/// All work that is done under a lease and here.
const WORK: [&str; 6] = ["timelines", "jobs", "storage", "packer", "alerts", "retention"];

/// What came of one look of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Worked,
    Idle,
    /// It had lost the lease.
    Robbed,
}

/// The workers of one process.
struct Replica {
    store: Store,
    timelines: TimelineWorker,
    jobs: JobWorker,
    storage: StorageWorker,
    packer: Packer,
    alerts: Evaluator,
    retention: RetentionWorker,
}

impl Replica {
    fn new(store: &Store, number: u128) -> Self {
        let holder = |work: u128| Uuid::from_u128(number << 8 | work);
        let ages = Ages { facts_days: Some(90), samples_days: None };
        Self {
            store: store.clone(),
            timelines: TimelineWorker::new(store.clone(), holder(1)),
            jobs: JobWorker::new(store.clone(), holder(2)),
            storage: StorageWorker::new(store.clone(), holder(3)),
            packer: Packer::new(store.clone(), holder(4)).with_least(1),
            alerts: Evaluator::new(store.clone(), Arc::new(LocalBus::default()), Arc::new(TimeOrderedIds)),
            retention: RetentionWorker::new(store.clone(), holder(5), ages),
        }
    }

    /// Every worker looks once, in the order of [`WORK`].
    async fn look(&mut self, now: Instant) -> [Look; WORK.len()] {
        let timelines = self.timelines.run_once(now).await.map(|done| done.hours > 0);
        let jobs = self.jobs.run_once(now).await.map(|done| done.jobs > 0);
        let storage = self.storage.run_once(now).await.map(|days| days > 0);
        let packer = self.packer.run_once(now).await.map(|hours| hours > 0);
        let before = self.evaluated_at().await;
        let alerts = match self.alerts.run_once(now).await {
            Ok(_) => Ok(self.evaluated_at().await != before),
            Err(BreakdownError::Store(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        };
        let horizon = self.horizon().await;
        let retention = match self.retention.run_once(now).await {
            Ok(_) => Ok(self.horizon().await != horizon),
            Err(error) => Err(error),
        };
        [timelines, jobs, storage, packer, alerts, retention].map(|done| match done {
            Ok(true) => Look::Worked,
            Ok(false) => Look::Idle,
            Err(StoreError::Contended) => Look::Robbed,
            Err(error) => panic!("{error:?}"),
        })
    }

    async fn evaluated_at(&self) -> Option<Instant> {
        self.store.snapshot().await.unwrap().alerts_evaluated_at().await.unwrap()
    }

    async fn horizon(&self) -> Instant {
        self.store.snapshot().await.unwrap().kept().facts_since
    }
}

/// What makes work for every worker but the one of old rows: something on the day this many days ago.
fn day(back: i64) -> Vec<Value> {
    let start = (NOW.0 / DAY_US - back) * DAY_US + 7 * HOUR_US;
    let text = |us: i64| Instant(start + us).to_rfc3339();
    let id = |number: i64| Uuid::from_u128(0x7e00_0000_0000_4000_8000_0000_0000_0000 | (back * 10 + number) as u128);
    let (job, model, version) = (format!("j{back}"), "sdxl", "1");
    vec![
        json!({"type": "vmState", "id": id(1), "vm": "m", "at": text(back * SECOND_US), "state": "RUNNING", "instanceType": "big", "region": "r",
            "gpuCount": 1, "vCpus": 8}),
        json!({"type": "execution", "id": id(2), "job": job, "attempt": 1, "model": model, "modelVersion": version, "vm": "m", "gpus": [0],
            "startedAt": text(HOUR_US), "finishedAt": text(HOUR_US + 60 * SECOND_US), "outcome": "SUCCEEDED"}),
        json!({"type": "storageSnapshot", "id": id(3), "at": text(0), "storageType": "OBJECT_STORE", "sizeBytes": back, "model": model,
            "modelVersion": version}),
    ]
}

async fn send(handle: &WriterHandle, events: &[Value]) {
    let context = ReadContext { now: NOW, strict: true, oldest: None };
    let read = |(line, event): (u32, &Value)| (line, read_line(event.to_string().as_bytes(), &context).unwrap().event);
    let written = handle.write((1..).zip(events).map(read).collect(), 0).await.unwrap();
    assert_eq!(written.accepted, events.len() as u64);
}

/// What is expected of each work.
fn each(look: Look) -> [Look; WORK.len()] {
    [look; WORK.len()]
}

async fn taken_over_when_the_owner_is_silent(database: Database) {
    let clock = Arc::new(FixedClock::at(NOW));
    let store = database.open(Arc::clone(&clock) as _).await;
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.run());
    let (mut owner, mut rival) = (Replica::new(&store, 1), Replica::new(&store, 2));
    send(&handle, &day(3)).await;
    // An hour is packed at the second look; rows are not old while not everything is derived of them.
    let first = owner.look(clock.now()).await;
    let second = owner.look(clock.now()).await;
    for (work, looks) in WORK.iter().zip(first.iter().zip(&second)) {
        assert!(*work == "retention" || [*looks.0, *looks.1].contains(&Look::Worked), "{work}: {looks:?}");
    }

    // The owner is dead from here on.
    send(&handle, &day(2)).await;
    let silent_since = clock.now();
    while clock.now().0 + 5 * SECOND_US < silent_since.0 + LEASE_US {
        assert_eq!(rival.look(clock.now()).await, each(Look::Idle), "{} s", (clock.now().0 - silent_since.0) / SECOND_US);
        clock.advance_us(5 * SECOND_US);
    }
    assert_eq!(rival.look(Instant(silent_since.0 + LEASE_US - 1)).await[0], Look::Idle);
    clock.advance_us(silent_since.0 + LEASE_US - clock.now().0);
    let looks = rival.look(clock.now()).await;
    for (work, look) in WORK.iter().zip(looks) {
        assert!(*work == "retention" || look == Look::Worked, "{work}: {look:?}");
    }

    // It comes back, with work to do: it is not the owner any more.
    send(&handle, &day(1)).await;
    for _ in 0..2 {
        assert_eq!(owner.look(clock.now()).await, each(Look::Idle));
    }
    drop(handle);
    store.close().await;
    database.remove().await;
}

async fn whoever_is_robbed_writes_nothing(database: Database) {
    let clock = Arc::new(FixedClock::at(NOW));
    let store = database.open(Arc::clone(&clock) as _).await;
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.run());
    let mut owner = Replica::new(&store, 1);
    send(&handle, &day(3)).await;
    owner.look(clock.now()).await;
    owner.look(clock.now()).await;
    send(&handle, &day(2)).await;
    // The packer sees the new hour; the next look is to pack it.
    owner.packer.run_once(clock.now()).await.unwrap();
    // Somebody whose clock is ahead takes leases over; the owner believes that it has them for some seconds more.
    let ahead = Instant(clock.now().0 + LEASE_US);
    for work in ["jobs", "packer"] {
        assert!(store.lease_take(work, Uuid::from_u128(99), ahead, LEASE_US).await.unwrap().is_some(), "{work}");
    }
    let before = store.snapshot().await.unwrap().job_mark_list(100, 100).await.unwrap().seqs;
    assert!(!before.is_empty());
    let [_, jobs, _, packer, ..] = owner.look(clock.now()).await;
    assert_eq!([jobs, packer], [Look::Robbed, Look::Robbed]);
    assert_eq!(store.snapshot().await.unwrap().job_mark_list(100, 100).await.unwrap().seqs, before, "its write did not stay");
    // Having been told, it asks before it works on.
    let [_, jobs, _, packer, ..] = owner.look(clock.now()).await;
    assert_eq!([jobs, packer], [Look::Idle, Look::Idle]);
    drop(handle);
    store.close().await;
    database.remove().await;
}

/// Replicas that start at the same time on an empty database: one makes the tables, the others wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_start_together_on_postgres() {
    let Some(database) = Database::postgres("replicas_start_together_on_postgres", 903).await else { return };
    let open = || database.open(Arc::new(FixedClock::at(NOW)));
    let stores = tokio::join!(open(), open(), open(), open());
    for store in [stores.0, stores.1, stores.2, stores.3] {
        store.ping().await.unwrap();
        store.close().await;
    }
    database.remove().await;
}

macro_rules! on_both {
    ($($seed:literal $case:ident $sqlite:ident $postgres:ident;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $sqlite() {
            $case(Database::sqlite("takeover", 0).await.unwrap()).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $postgres() {
            let Some(database) = Database::postgres(stringify!($postgres), $seed).await else { return };
            $case(database).await;
        }
    )+};
}

on_both! {
    901 taken_over_when_the_owner_is_silent taken_over_on_sqlite taken_over_on_postgres;
    902 whoever_is_robbed_writes_nothing robbed_on_sqlite robbed_on_postgres;
}
