//! A fleet that costs something over three months, and what a report tells of it, by names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_domain::cost::card::{InstanceEntry, PlaceEntry, RateCard};
use plimsoll_domain::cost::close::{CloseFault, close_month};
use plimsoll_domain::cost::entering::enter_card;
use plimsoll_domain::cost::figures::CostSums;
use plimsoll_domain::cost::report::{CostReport, ReportQuestion};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::store::Store;
use plimsoll_domain::timeline::worker::TimelineWorker;
use plimsoll_entity::value::label::StorageType;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, Window};
use serde_json::{Value, json};
use uuid::Uuid;

use super::database::Database;
use super::random::Random;

/// The first event.
pub const START: &str = "2026-07-29T05:20:00Z";
/// The months that have ended by then are 2026-07, 2026-08 and 2026-09.
pub const NOW: &str = "2026-10-03T10:30:00Z";

pub fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

fn text(us: i64) -> String {
    Instant(us).to_rfc3339()
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(0x7e00_0000_0000_4000_8000_0000_0000_0000 | u128::from(number))
}

/// Events of a seed: machines that come and go, executions, loads, bytes that lie.
pub fn events(random: &mut Random) -> Vec<Value> {
    let (start, end) = (at(START).0, at(NOW).0);
    let mut numbers = 1..;
    let mut next_id = move || id(numbers.next().unwrap());
    let mut events = Vec::new();
    for vm in ["m1", "m2"] {
        // Held around the ends of months, so that a test does not build hours for their own sake.
        for month_end in ["2026-08-01T00:00:00Z", "2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z"] {
            let began = at(month_end).0 - random.between(DAY_US / 2, 2 * DAY_US);
            let gone = (at(month_end).0 + random.between(DAY_US / 2, 2 * DAY_US)).min(end - HOUR_US);
            for (at, state) in [(began, "RUNNING"), (gone, "TERMINATED")] {
                events.push(json!({"type": "vmState", "id": next_id(), "vm": vm, "at": text(at), "state": state, "instanceType": "big",
                    "region": "r", "provider": "p", "gpuCount": 2, "vCpus": 8, "memoryBytes": 64_i64 << 30}));
            }
            for _ in 0..random.between(3, 12) {
                let began = random.between(began - HOUR_US, gone);
                let ended = began + random.between(0, 5 * HOUR_US);
                let mut event = json!({"type": "execution", "id": next_id(), "model": random.pick(&["sdxl", "=flux"]), "modelVersion": "1",
                    "vm": vm, "gpus": [random.below(2)], "startedAt": text(began), "finishedAt": text(ended.min(end)), "outcome": "SUCCEEDED",
                    "checkpointLoadMs": 60_000});
                let chosen = event.as_object_mut().unwrap();
                if random.chance(70) {
                    chosen.insert("department".to_owned(), json!(random.pick(&["Film", "Ads \"A\"", "+Shop"])));
                }
                if random.chance(60) {
                    chosen.insert("project".to_owned(), json!(random.pick(&["x", "y, z"])));
                }
                if random.chance(60) {
                    chosen.insert("user".to_owned(), json!(random.pick(&["ann", "böb", "@eve"])));
                }
                if random.chance(50) {
                    chosen.insert(
                        "checkpoints".to_owned(),
                        json!([{"kind": "LORA", "name": "a", "version": "1"}, {"kind": "LORA", "name": "b", "version": "2"}]),
                    );
                }
                events.push(event);
            }
            for _ in 0..random.between(1, 6) {
                let loaded = random.between(began, gone - MINUTE_US);
                events.push(json!({"type": "checkpointLoad", "id": next_id(), "model": "sdxl", "modelVersion": "1", "vm": vm,
                    "cacheHit": false, "storageType": "OBJECT_STORE", "bytes": random.between(1, 1 << 36), "startedAt": text(loaded),
                    "finishedAt": text(loaded + MINUTE_US)}));
            }
        }
    }
    for _ in 0..6 {
        events.push(json!({"type": "storageSnapshot", "id": next_id(), "at": text(random.between(start, end)), "storageType": "OBJECT_STORE",
            "storageLocation": random.pick(&["here", "there"]), "sizeBytes": random.between(0, 1 << 42), "model": "sdxl", "modelVersion": "1"}));
    }
    events
}

pub struct World {
    pub store: Store,
    clock: Arc<FixedClock>,
    writer: WriterHandle,
    worker: TimelineWorker,
    executions: Mutex<Vec<(Uuid, Window)>>,
}

impl World {
    pub async fn new(database: &Database) -> Self {
        let clock = Arc::new(FixedClock::at(at(NOW)));
        let store = database.open(Arc::clone(&clock) as _).await;
        let (writer, handle) = Writer::new(store.clone());
        tokio::spawn(writer.run());
        let world =
            Self { worker: TimelineWorker::new(store.clone(), id(u64::MAX)), store, clock, writer: handle, executions: Mutex::default() };
        let place = |location: Option<&str>, per_gib| PlaceEntry {
            storage_type: StorageType::ObjectStore,
            location: location.map(str::to_owned),
            per_gib,
        };
        let card = RateCard {
            id: id(9_999_999),
            currency: "USD".to_owned(),
            effective_from: at("2026-01-01T00:00:00Z"),
            instance_rates: vec![InstanceEntry {
                instance_type: "big".to_owned(),
                region: None,
                purchase_option: None,
                hourly: 3_333_333_337,
            }],
            storage_rates: vec![place(None, 23_000_001), place(Some("there"), 17_000_003)],
            transfer_rates: vec![place(None, 90_000_007)],
            created_at: at(NOW),
            created_by: "test".to_owned(),
        };
        assert!(enter_card(&world.store, &card).await.unwrap().is_empty());
        world
    }

    pub async fn send(&self, events: &[Value]) {
        let context = ReadContext { now: self.clock.now(), strict: true, oldest: None };
        let read = |(line, event): (u32, &Value)| (line, read_line(event.to_string().as_bytes(), &context).unwrap().event);
        let written = self.writer.write((1..).zip(events).map(read).collect(), 0).await.unwrap();
        assert_eq!(written.accepted, events.len() as u64, "{written:?}");
        let of = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let executions = events.iter().filter(|event| event["type"] == "execution");
        let windows = executions.map(|event| {
            (of(event, "id").parse().unwrap(), Window { start: at(&of(event, "startedAt")), end: at(&of(event, "finishedAt")) })
        });
        self.executions.lock().unwrap().extend(windows);
    }

    /// Every execution that has been sent.
    pub fn executions(&self) -> Vec<(Uuid, Window)> {
        self.executions.lock().unwrap().clone()
    }

    /// The worker, until nothing is left to do.
    pub async fn work(&mut self) {
        loop {
            let done = self.worker.run_once(self.clock.now()).await.unwrap();
            if !done.is_cut && done.days == 0 {
                break;
            }
        }
    }

    pub fn reader(&self) -> Reader {
        Reader::new(self.store.clone())
    }

    pub async fn close(&self, month: &str) -> Option<CloseFault> {
        let asked = ReportQuestion::new(month, None, None).unwrap();
        close_month(&self.reader(), asked.month, "somebody").await.unwrap()
    }

    pub async fn report(&self, month: &str) -> Told {
        let reader = self.reader();
        let reading = reader.begin().await.unwrap();
        let report = reader.cost_report(&reading, &ReportQuestion::new(month, None, None).unwrap()).await.unwrap();
        Told::of(&reading, report).await
    }
}

/// A report by names.
#[derive(Debug)]
pub struct Told {
    pub report: CostReport,
    /// Every department, project, combination and user with its cost, in order.
    pub lines: Vec<(String, CostSums)>,
    /// By month, department, project and combination.
    pub corrections: BTreeMap<(String, String, String, String), i128>,
}

impl Told {
    async fn of(reading: &Reading, report: CostReport) -> Self {
        let sources = reading.sources();
        let name = async |id: u32| {
            let names = sources.catalog.names(sources.snapshot, &[id]).await.unwrap();
            names.get(&id).map_or("-".to_owned(), |name| name.to_string())
        };
        let label = async |id: u32| {
            let found = sources.catalog.combinations(sources.snapshot, &[id]).await.unwrap();
            found.get(&id).map_or("-".to_owned(), |combination| combination.label.to_string())
        };
        let mut lines = Vec::new();
        for department in &report.departments {
            let of_department = name(department.department_id).await;
            lines.push((of_department.clone(), department.cost));
            for project in &department.projects {
                let of_project = format!("{of_department}/{}", name(project.project_id).await);
                lines.push((of_project.clone(), project.cost));
                for (id, cost) in &project.combinations {
                    lines.push((format!("{of_project}/combination {}", label(*id).await), *cost));
                }
                for (id, cost) in &project.users {
                    lines.push((format!("{of_project}/user {}", name(*id).await), *cost));
                }
            }
        }
        let mut corrections = BTreeMap::new();
        for one in &report.corrections {
            let key = one.key;
            let month = plimsoll_domain::cost::report::month::text(key.month);
            let of = (month, name(key.department_id).await, name(key.project_id).await, label(key.combination_id).await);
            corrections.insert(of, one.amount);
        }
        Self { report, lines, corrections }
    }

    /// What a department, project or combination of the report is charged, by names as corrections have them; what has no department
    /// together with it.
    pub fn amounts(&self, month: &str) -> BTreeMap<(String, String, String, String), i128> {
        let mut amounts = BTreeMap::new();
        let mut attributed = 0;
        for (line, cost) in &self.lines {
            if let Some((owner, label)) = line.split_once("/combination ") {
                let (department, project) = owner.split_once('/').unwrap();
                amounts.insert((month.to_owned(), department.to_owned(), project.to_owned(), label.to_owned()), cost.total());
                attributed += cost.total();
            }
        }
        assert_eq!(attributed + self.report.unattributed.total(), self.report.total.total());
        amounts
    }
}
