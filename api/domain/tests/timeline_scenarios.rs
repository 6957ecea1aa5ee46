//! Timelines of cases that random fleets do not have, on both databases: jobs that run without an execution, instants long past.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::usage::{UsageFigures, UsageQuestion};
use plimsoll_domain::cell::plan::Coarseness;
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::job::worker::JobWorker;
use plimsoll_domain::store::Store;
use plimsoll_domain::timeline::worker::{Progress, TimelineWorker};
use plimsoll_entity::value::time::{HOUR_US, Instant, MINUTE_US, Window};
use serde_json::{Value, json};
use uuid::Uuid;

use database::Database;

/// 2026-03-02T10:30:00Z.
const NOW: Instant = Instant(1_772_447_400_000_000);

struct World {
    store: Store,
    writer: WriterHandle,
    clock: Arc<FixedClock>,
}

fn hours_ago(hours: f64) -> String {
    Instant(NOW.0 - (hours * HOUR_US as f64) as i64).to_rfc3339()
}

fn job(id: u128, name: &str, state: &str, hours: f64, gpus: &Value) -> Value {
    json!({"type": "job", "id": Uuid::from_u128(id), "job": name, "at": hours_ago(hours), "state": state, "vm": "vm-1", "gpus": gpus,
        "model": "sdxl", "modelVersion": "1", "user": name})
}

impl World {
    async fn open(database: &Database) -> Self {
        let clock = Arc::new(FixedClock::at(NOW));
        let store = database.open(Arc::clone(&clock) as _).await;
        let (writer, handle) = Writer::new(store.clone());
        tokio::spawn(writer.run());
        Self { store, writer: handle, clock }
    }

    async fn send(&self, lines: &[Value]) {
        let read = |line: &Value| read_line(line.to_string().as_bytes(), &ReadContext { now: NOW, strict: true, oldest: None }).unwrap();
        let events = (1..).zip(lines.iter().map(|line| read(line).event)).collect();
        let written = self.writer.write(events, 0).await.unwrap();
        assert_eq!(written.accepted, lines.len() as u64, "{written:?}");
    }

    async fn work(&self) -> Progress {
        let progress = TimelineWorker::new(self.store.clone(), Uuid::from_u128(1)).run_once(self.clock.now()).await.unwrap();
        JobWorker::new(self.store.clone(), Uuid::from_u128(2)).run_once(self.clock.now()).await.unwrap();
        progress
    }

    /// GPU hours and idle GPU hours of each user, by every plan.
    async fn usage(&self, window: Window) -> BTreeMap<String, (f64, f64)> {
        let mut answers = Vec::new();
        for coarseness in [Coarseness::Days, Coarseness::Hours, Coarseness::Facts] {
            let reader = Reader { coarseness, ..Reader::new(self.store.clone()) };
            let reading = reader.begin().await.unwrap();
            let asked = UsageQuestion { window, by: vec![Dimension::User], limit: 10 };
            let answer = reader.usage_breakdown(&reading, &asked, &Filter::default()).await.unwrap();
            let mut users = BTreeMap::new();
            for (key, UsageFigures { gpu_hours, idle_gpu_hours, .. }) in &answer.rows {
                let names = reading.snapshot.name_list(&[key.ids[0]]).await.unwrap();
                users.insert(names[0].name.clone(), (*gpu_hours, *idle_gpu_hours));
            }
            answers.push(users);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        answers.remove(0)
    }
}

fn users(of: &[(&str, f64, f64)]) -> BTreeMap<String, (f64, f64)> {
    of.iter().map(|(name, gpu, idle)| ((*name).to_owned(), (*gpu, *idle))).collect()
}

/// A job that runs on a machine holds its slots before its execution arrives: in hours of the last day, by every plan, whether or
/// not the workers have run; nothing of it is kept.
async fn holds(database: Database, works: bool) {
    let world = World::open(&database).await;
    let since = NOW.0 - 30 * MINUTE_US - 24 * HOUR_US;
    let (all, before) = (Window::of(NOW.0 - 40 * HOUR_US, NOW.0 + 1), Window::of(NOW.0 - 40 * HOUR_US, since));
    world
        .send(&[
            json!({"type": "vmState", "id": Uuid::from_u128(1), "vm": "vm-1", "at": hours_ago(30.0), "state": "RUNNING",
                "instanceType": "gpu-2", "gpuCount": 2, "vCpus": 8}),
            job(2, "ada", "QUEUED", 29.0, &json!([0])),
            job(3, "ada", "RUNNING", 28.0, &json!([0])),
            job(4, "bob", "RUNNING", 2.0, &json!(null)),
            // Over without an execution: it is not known what it held.
            job(5, "eve", "RUNNING", 3.0, &json!([1])),
            job(6, "eve", "SUCCEEDED", 2.5, &json!([1])),
        ])
        .await;
    if works {
        world.work().await;
    }
    // Ada has slot 0 since the last day began (24.5 hours), two of them shared with Bob, who has slot 1 alone.
    assert_eq!(world.usage(all).await, users(&[("ada", 23.5, 0.0), ("bob", 3.0, 0.0)]));
    assert!(world.usage(before).await.is_empty());
    let execution = json!({"type": "execution", "id": Uuid::from_u128(7), "job": "bob", "attempt": 1, "vm": "vm-1", "user": "bob",
        "model": "sdxl", "modelVersion": "1", "startedAt": hours_ago(2.0), "finishedAt": hours_ago(1.0), "outcome": "SUCCEEDED"});
    world.send(&[execution]).await;
    if works {
        world.work().await;
    }
    // Bob's execution ended an hour ago and left slot 1 idle since; Ada's job still holds slot 0.
    assert_eq!(world.usage(all).await, users(&[("ada", 24.0, 0.0), ("bob", 1.5, 1.0)]));
    world.clock.advance_us(48 * HOUR_US);
    if works {
        world.work().await;
    }
    // Two days later the hours in question are old: only the execution has held slots in them, and left both idle.
    assert_eq!(world.usage(all).await, users(&[("bob", 2.0, 3.0)]));
    world.store.close().await;
    database.remove().await;
}

/// A clock that was never set: the hours in between cost nothing where the machine was not held.
async fn a_long_execution(database: Database) {
    let world = World::open(&database).await;
    world
        .send(&[
            json!({"type": "vmState", "id": Uuid::from_u128(1), "vm": "vm-1", "at": hours_ago(3.5), "state": "RUNNING",
                "instanceType": "gpu-1", "gpuCount": 1}),
            json!({"type": "execution", "id": Uuid::from_u128(2), "attempt": 1, "vm": "vm-1", "user": "ada", "model": "sdxl",
                "modelVersion": "1", "startedAt": "1970-01-01T00:00:00Z", "finishedAt": hours_ago(1.5), "outcome": "SUCCEEDED"}),
        ])
        .await;
    let window = Window::of(NOW.0 - 6 * HOUR_US, NOW.0 + 1);
    let expected = users(&[("ada", 2.0, 1.5)]);
    assert_eq!(world.usage(window).await, expected);
    let progress = world.work().await;
    assert!(progress.hours < 10, "{progress:?}");
    assert_eq!(world.usage(window).await, expected);
    world.store.close().await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_execution_is_built_fast_on_sqlite() {
    a_long_execution(Database::sqlite("a_long_execution", 0).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_execution_is_built_fast_on_postgres() {
    let Some(database) = Database::postgres("a_long_execution_is_built_fast_on_postgres", 92).await else { return };
    a_long_execution(database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_jobs_hold_slots_on_sqlite() {
    for works in [false, true] {
        holds(Database::sqlite("running_jobs", 0).await.unwrap(), works).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn running_jobs_hold_slots_on_postgres() {
    for (seed, works) in [(90, false), (91, true)] {
        let Some(database) = Database::postgres("running_jobs_hold_slots_on_postgres", seed).await else { return };
        holds(database, works).await;
    }
}
