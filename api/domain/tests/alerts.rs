//! Rules over real events at instants that the test sets, on both databases: one alert a rule and subject, by whoever evaluates.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;

use std::sync::Arc;

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::clock::{Clock as _, CountingIds, FixedClock, IdSource, TimeOrderedIds};
use plimsoll_domain::cost::card::{InstanceEntry, RateCard};
use plimsoll_domain::cost::entering::enter_card;
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::live::bus::{Bus as _, LocalBus};
use plimsoll_domain::live::ordered::Position;
use plimsoll_domain::store::{Alert, NewestFirst, Page, Store};
use plimsoll_domain::timeline::worker::TimelineWorker;
use plimsoll_domain::watch::evaluator::{Evaluated, Evaluator};
use plimsoll_domain::watch::rule::Rule;
use plimsoll_domain::watch::rules::{acknowledge, change, make};
use plimsoll_domain::watch::updates::updates;
use plimsoll_entity::value::label::{AlertState, Detection, Severity, Signal};
use plimsoll_entity::value::time::{Instant, SECOND_US};
use serde_json::{Value, json};
use uuid::Uuid;

use database::Database;

/// 2026-03-02T00:00:00Z.
const NOW: Instant = Instant(1_772_409_600_000_000);

/// A store with a clock that the test sets, a writer and an evaluator.
struct World {
    database: Database,
    clock: Arc<FixedClock>,
    store: Store,
    handle: WriterHandle,
    bus: Arc<LocalBus>,
    evaluator: Evaluator,
    ids: CountingIds,
}

impl World {
    async fn new(database: Database) -> Self {
        let clock = Arc::new(FixedClock::at(NOW));
        let store = database.open(Arc::clone(&clock) as _).await;
        let (writer, handle) = Writer::new(store.clone());
        tokio::spawn(writer.run());
        let bus = Arc::new(LocalBus::default());
        let evaluator = evaluator(&store, &bus);
        let world = Self { database, clock, store, handle, bus, evaluator, ids: CountingIds::default() };
        // The rules from the first start look at everything: here each test makes its own.
        for rule in world.store.snapshot().await.unwrap().alert_rule_list().await.unwrap() {
            change(&world.store, rule.id, NOW, |rule| Some(Rule { deleted_at: Some(NOW), ..rule })).await.unwrap();
        }
        world
    }

    async fn end(self) {
        drop(self.handle);
        drop(self.evaluator);
        self.store.close().await;
        self.database.remove().await;
    }

    async fn send(&self, mut event: Value) {
        let now = self.clock.now();
        if matches!(event["type"].as_str(), Some("execution" | "vmState")) {
            event["id"] = json!(self.ids.next_id());
        }
        let context = ReadContext { now, strict: true, oldest: None };
        let event = read_line(event.to_string().as_bytes(), &context).unwrap_or_else(|error| panic!("{error:?}")).event;
        assert_eq!(self.handle.write(vec![(1, event)], 0).await.unwrap().accepted, 1);
    }

    async fn sample(&self, vm: &str, cpu: f64) {
        let at = self.clock.now().to_rfc3339();
        self.send(json!({ "type": "vmSample", "vm": vm, "at": at, "intervalSeconds": 10, "cpuRatio": cpu })).await;
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance_us(seconds * SECOND_US);
    }

    async fn look(&mut self) -> (usize, usize) {
        let Evaluated { opened, resolved } = self.evaluator.run_once(self.clock.now()).await.unwrap();
        (opened, resolved)
    }

    async fn rule(&self, signal: Signal, threshold: Option<f64>, for_seconds: i32, by: &[Dimension]) -> Rule {
        let rule = Rule {
            id: TimeOrderedIds.next_id(),
            name: format!("{signal:?}"),
            signal,
            detection: Detection::Above,
            threshold,
            for_seconds,
            severity: Severity::Warning,
            by: by.to_vec(),
            enabled: true,
            webhook_url: None,
            created_at: self.clock.now(),
            deleted_at: None,
        };
        make(&self.store, &rule).await.unwrap();
        rule
    }

    async fn alerts(&self, states: Option<&[AlertState]>) -> Vec<Alert> {
        let page: Page<NewestFirst> = Page { limit: 100, ..Page::default() };
        self.store.snapshot().await.unwrap().alert_page(Signal::ALL, states, &page).await.unwrap()
    }

    /// A price of machines of a type, from a day ago on.
    async fn price(&self, instance_type: &str, hourly: i64) {
        let rate = InstanceEntry { instance_type: instance_type.to_owned(), region: None, purchase_option: None, hourly };
        let card = RateCard {
            id: TimeOrderedIds.next_id(),
            currency: "USD".to_owned(),
            effective_from: Instant(NOW.0 - 86_400 * SECOND_US),
            instance_rates: vec![rate],
            storage_rates: Vec::new(),
            transfer_rates: Vec::new(),
            created_at: self.clock.now(),
            created_by: "lou".to_owned(),
        };
        assert_eq!(enter_card(&self.store, &card).await.unwrap(), []);
    }

    async fn state(&self, vm: &str, instance_type: &str, state: &str) {
        let at = self.clock.now().to_rfc3339();
        self.send(json!({ "type": "vmState", "vm": vm, "instanceType": instance_type, "at": at, "state": state })).await;
    }

    async fn told(&self, after: Position) -> Vec<(String, AlertState)> {
        let snapshot = self.store.snapshot().await.unwrap();
        let step = updates(&snapshot, Signal::ALL, None, after).await.unwrap();
        assert!(step.is_end);
        step.updates.into_iter().map(|(_, alert)| (alert.subject, alert.state)).collect()
    }

    async fn position(&self) -> Position {
        Position::behind(self.store.snapshot().await.unwrap().commit_number().await.unwrap())
    }
}

fn evaluator(store: &Store, bus: &Arc<LocalBus>) -> Evaluator {
    Evaluator::new(store.clone(), Arc::clone(bus) as _, Arc::new(TimeOrderedIds))
}

async fn an_alert_begins_once_is_taken_and_ends(database: Database) {
    let mut world = World::new(database).await;
    let rule = world.rule(Signal::CpuRatio, Some(0.9), 30, &[]).await;
    let from = world.position().await;
    for cpu in [0.95, 0.97, 0.99] {
        world.sample("a", cpu).await;
        world.sample("b", 0.2).await;
        assert_eq!(world.look().await, (0, 0));
        world.pass(10);
    }
    world.sample("a", 0.93).await;
    assert_eq!(world.look().await, (1, 0));
    assert_eq!(world.look().await, (0, 0), "once");
    let alert = world.alerts(None).await.remove(0);
    assert_eq!((alert.rule_id, alert.subject.as_str(), alert.started_at, alert.value), (rule.id, "a", NOW, 0.93));
    let number = *world.bus.heard().borrow();
    assert_eq!(Position::behind(number), world.position().await, "the bus was told");

    let (taken, number) = acknowledge(&world.store, alert.id, "kim", world.clock.now()).await.unwrap();
    assert_eq!((taken.unwrap().acknowledged_by.as_deref(), number.is_some()), (Some("kim"), true));
    let (taken, number) = acknowledge(&world.store, alert.id, "lee", world.clock.now()).await.unwrap();
    assert_eq!((taken.unwrap().acknowledged_by.as_deref(), number), (Some("kim"), None), "it stays with who took it first");
    assert_eq!(world.look().await, (0, 0), "taken, and open");
    world.pass(10);
    world.sample("a", 0.5).await;
    assert_eq!(world.look().await, (0, 1));
    let ended = world.alerts(Some(&[AlertState::Resolved])).await.remove(0);
    assert_eq!((ended.id, ended.resolved_at, ended.acknowledged_by.as_deref()), (alert.id, Some(world.clock.now()), Some("kim")));
    let states = [AlertState::Firing, AlertState::Acknowledged, AlertState::Resolved];
    assert_eq!(world.told(from).await, states.map(|state| ("a".to_owned(), state)));
    world.end().await;
}

async fn a_silent_machine_alerts_and_a_late_sample_does_not(database: Database) {
    let mut world = World::new(database).await;
    world.rule(Signal::VmUnreachable, None, 0, &[]).await;
    world.rule(Signal::CpuRatio, Some(0.9), 0, &[]).await;
    world.send(json!({ "type": "vmState", "vm": "a", "at": NOW.to_rfc3339(), "state": "RUNNING" })).await;
    world.pass(10);
    world.sample("a", 0.1).await;
    world.pass(29);
    assert_eq!(world.look().await, (0, 0));
    world.pass(2);
    assert_eq!(world.look().await, (1, 0), "30 s of silence are over");
    assert_eq!(world.alerts(None).await[0].value, 1.0, "seconds down");
    // What a spool brings late is older than what is fresh.
    let late = Instant(world.clock.now().0 - 3_600 * SECOND_US).to_rfc3339();
    world.send(json!({ "type": "vmSample", "vm": "b", "at": late, "intervalSeconds": 10, "cpuRatio": 1.0 })).await;
    world.look().await;
    assert!(world.alerts(None).await.iter().all(|alert| alert.signal != Signal::CpuRatio));
    world.sample("a", 0.1).await;
    let (_, resolved) = world.look().await;
    assert_eq!(resolved, 1);
    world.pass(60);
    world.send(json!({ "type": "vmState", "vm": "a", "at": world.clock.now().to_rfc3339(), "state": "TERMINATED" })).await;
    world.look().await;
    assert!(world.alerts(Some(&[AlertState::Firing])).await.iter().all(|alert| alert.subject != "a"), "it is gone on purpose");
    world.end().await;
}

async fn failures_alert_by_key_and_a_change_of_the_rule_ends_them(database: Database) {
    let mut world = World::new(database).await;
    let rule = world.rule(Signal::FailureRatio, Some(0.5), 0, &[Dimension::Model, Dimension::User]).await;
    for (model, user, outcome) in [("sdxl", json!("kim"), "FAILED"), ("sdxl", json!("lee"), "SUCCEEDED"), ("flux", Value::Null, "FAILED")] {
        let at = world.clock.now().to_rfc3339();
        let mut event = json!({ "type": "execution", "model": model, "user": user, "startedAt": at, "finishedAt": at, "outcome": outcome });
        if outcome == "FAILED" {
            event["errorType"] = json!("OOM");
        }
        world.send(event).await;
    }
    world.pass(1);
    assert_eq!(world.look().await, (2, 0));
    let mut subjects: Vec<String> = world.alerts(None).await.into_iter().map(|alert| alert.subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["model=flux, user=", "model=sdxl, user=kim"]);

    let (_, number) = change(&world.store, rule.id, world.clock.now(), |rule| Some(Rule { enabled: false, ..rule })).await.unwrap();
    assert!(number.is_some());
    assert!(world.alerts(Some(&[AlertState::Firing])).await.is_empty());
    assert_eq!(world.look().await, (0, 0));
    change(&world.store, rule.id, world.clock.now(), |rule| Some(Rule { enabled: true, ..rule })).await.unwrap();
    assert_eq!(world.look().await, (2, 0), "anew");
    let deleted = world.clock.now();
    change(&world.store, rule.id, deleted, |rule| Some(Rule { deleted_at: Some(deleted), ..rule })).await.unwrap();
    let snapshot = world.store.snapshot().await.unwrap();
    assert!(snapshot.alert_rule_list().await.unwrap().is_empty());
    assert_eq!(snapshot.alert_rule_fetch(&[rule.id]).await.unwrap()[0].name, rule.name, "kept for its alerts");
    drop(snapshot);
    assert_eq!(world.alerts(Some(&[AlertState::Resolved])).await.len(), 4);
    // Long after, the window is empty.
    world.pass(400);
    assert_eq!(world.look().await, (0, 0));
    world.end().await;
}

/// Two keys may be written alike; somebody may take an alert while it ends; who looks again after a while lets machines come back first.
async fn what_looks_alike_and_comes_between_is_told_apart(database: Database) {
    let mut world = World::new(database).await;
    world.rule(Signal::FailureRatio, Some(0.5), 0, &[Dimension::Combination]).await;
    let at = world.clock.now().to_rfc3339();
    for kind in ["LORA", "CONTROLNET"] {
        let checkpoints = json!([{ "kind": kind, "name": "anime", "version": "3" }]);
        let event = json!({ "type": "execution", "model": "sdxl", "checkpoints": checkpoints, "startedAt": at, "finishedAt": at, "outcome": "FAILED", "errorType": "OOM" });
        world.send(event).await;
    }
    world.pass(1);
    assert_eq!(world.look().await, (2, 0));
    let alerts = world.alerts(None).await;
    assert_eq!(alerts[0].subject, alerts[1].subject);
    let from = world.position().await;
    acknowledge(&world.store, alerts[0].id, "kim", world.clock.now()).await.unwrap();
    world.pass(400);
    assert_eq!(world.look().await, (0, 2));
    let snapshot = world.store.snapshot().await.unwrap();
    let told = updates(&snapshot, Signal::ALL, Some(&[AlertState::Resolved]), from).await.unwrap().updates;
    let mut taken: Vec<Option<String>> = told.into_iter().map(|(_, alert)| alert.acknowledged_by).collect();
    taken.sort();
    assert_eq!(taken, [None, Some("kim".to_owned())]);
    drop(snapshot);

    world.rule(Signal::VmUnreachable, None, 0, &[]).await;
    world.send(json!({ "type": "vmState", "vm": "a", "at": world.clock.now().to_rfc3339(), "state": "RUNNING" })).await;
    world.sample("a", 0.1).await;
    world.look().await;
    // Nobody looks for ten minutes: the service was down, and what the machine sent is still on its way.
    world.pass(600);
    assert_eq!(world.look().await, (0, 0));
    world.pass(59);
    assert_eq!(world.look().await, (0, 0));
    world.pass(2);
    assert_eq!(world.look().await, (1, 0), "it has had its minute");
    world.end().await;
}

async fn a_gpu_alone_is_looked_at(database: Database) {
    let mut world = World::new(database).await;
    world.rule(Signal::GpuTemperatureCelsius, Some(80.0), 0, &[]).await;
    let at = world.clock.now().to_rfc3339();
    world.send(json!({ "type": "gpuSample", "vm": "pod", "gpu": 1, "at": at, "temperatureCelsius": 91.5 })).await;
    world.pass(120);
    assert_eq!(world.look().await, (1, 0));
    assert_eq!(world.alerts(None).await[0].subject, "pod GPU 1");
    world.end().await;
}

async fn two_processes_evaluate_once(database: Database) {
    let mut world = World::new(database).await;
    let mut other = evaluator(&world.store, &world.bus);
    world.rule(Signal::CpuRatio, Some(0.5), 0, &[]).await;
    world.sample("a", 0.9).await;
    assert_eq!(world.look().await, (1, 0));
    assert_eq!(other.run_once(world.clock.now()).await.unwrap(), Evaluated::default(), "the other one holds the right");
    // The first one dies: its right ends, and the other one knows what was open.
    world.pass(25);
    world.sample("a", 0.9).await;
    assert_eq!(other.run_once(world.clock.now()).await.unwrap(), Evaluated::default());
    assert_eq!(world.alerts(Some(&[AlertState::Firing])).await.len(), 1);
    world.sample_low_and_both_look(&mut other).await;
    world.end().await;
}

impl World {
    async fn sample_low_and_both_look(&mut self, other: &mut Evaluator) {
        self.pass(1);
        self.sample("a", 0.1).await;
        // It thinks that it still holds the right: its writes say otherwise.
        let first = self.evaluator.run_once(self.clock.now()).await;
        assert!(first.is_err() || first.unwrap() == Evaluated::default());
        assert_eq!(other.run_once(self.clock.now()).await.unwrap(), Evaluated { opened: 0, resolved: 1 });
        assert_eq!(self.alerts(None).await.len(), 1);
    }
}

async fn pages_go_both_ways_and_what_is_old_is_forgotten(database: Database) {
    let mut world = World::new(database).await;
    world.rule(Signal::CpuRatio, Some(0.5), 0, &[]).await;
    let from = world.position().await;
    for vm in ["a", "b", "c"] {
        world.sample(vm, 0.9).await;
        world.look().await;
        world.pass(1);
    }
    let snapshot = world.store.snapshot().await.unwrap();
    let all = snapshot.alert_page(Signal::ALL, None, &Page { limit: 9, ..Page::default() }).await.unwrap();
    let key = |alert: &Alert| (alert.started_at, alert.id);
    let names = |alerts: Vec<Alert>| alerts.into_iter().map(|alert| alert.subject).collect::<Vec<_>>();
    assert_eq!(names(all.clone()), ["c", "b", "a"]);
    let page = |after: Option<&Alert>, before: Option<&Alert>, backwards| Page {
        after: after.map(key),
        before: before.map(key),
        backwards,
        limit: 2,
    };
    let read = async |page| names(snapshot.alert_page(Signal::ALL, None, &page).await.unwrap());
    assert_eq!(read(page(Some(&all[0]), None, false)).await, ["b", "a"]);
    assert_eq!(read(page(None, None, true)).await, ["a", "b"]);
    assert_eq!(read(page(None, Some(&all[2]), true)).await, ["b", "c"]);
    assert!(snapshot.alert_page(&[Signal::CostPerHour], None, &Page { limit: 9, ..Page::default() }).await.unwrap().is_empty());
    assert!(snapshot.alert_page(Signal::ALL, Some(&[]), &Page { limit: 9, ..Page::default() }).await.unwrap().is_empty());
    drop(snapshot);
    // Nothing comes for 6 days: the alerts end, and a week later nobody remembers their changes.
    world.pass(6 * 86_400);
    assert_eq!(world.look().await, (0, 0), "what sends samples may only have been cut off");
    for _ in 0..5 {
        world.pass(50);
        assert_eq!(world.look().await, (0, 0));
    }
    world.pass(50);
    assert_eq!(world.look().await, (0, 3), "5 minutes in which somebody looked");
    assert_eq!(world.told(from).await.len(), 6);
    world.pass(8 * 86_400);
    world.look().await;
    let snapshot = world.store.snapshot().await.unwrap();
    assert!(updates(&snapshot, Signal::ALL, None, from).await.is_err(), "too old");
    drop(snapshot);
    assert_eq!(world.alerts(None).await.len(), 3);
    world.pass(400 * 86_400);
    world.look().await;
    assert!(world.alerts(None).await.is_empty());
    world.end().await;
}

async fn an_anomaly_tells_what_was_expected(database: Database) {
    let mut world = World::new(database).await;
    let rule = world.rule(Signal::CpuRatio, None, 0, &[]).await;
    change(&world.store, rule.id, NOW, |rule| Some(Rule { detection: Detection::Anomaly, ..rule })).await.unwrap();
    for step in 0..4 * 288 {
        // The machine wavers around 0.3.
        world.sample("a", 0.3 + 0.01 * f64::from((step * 7) % 5)).await;
        assert_eq!(world.look().await, (0, 0), "step {step}");
        world.pass(300);
        if step == 500 {
            // Another process goes on with what was written.
            world.evaluator.release().await.unwrap();
            world.evaluator = evaluator(&world.store, &world.bus);
        }
    }
    for _ in 0..2 {
        world.sample("a", 0.95).await;
        world.look().await;
        world.pass(300);
    }
    let alert = world.alerts(Some(&[AlertState::Firing])).await.remove(0);
    let (low, high) = alert.band.unwrap();
    assert!(alert.value > 0.9 && (0.25..0.4).contains(&alert.expected.unwrap()) && low < high && high < 0.9, "{alert:?}");
    world.end().await;
}

async fn the_bill_of_the_last_whole_hour_alerts(database: Database) {
    let mut world = World::new(database).await;
    world.price("h100", 2_500_000_000).await;
    let fleet = world.rule(Signal::CostPerHour, Some(2.0), 0, &[]).await;
    let machine = world.rule(Signal::CostPerHour, Some(1.0), 0, &[Dimension::Vm]).await;
    let unpriced = world.rule(Signal::CostPerHour, Some(1.0), 0, &[Dimension::InstanceType]).await;
    change(&world.store, unpriced.id, NOW, |rule| Some(Rule { detection: Detection::Below, ..rule })).await.unwrap();
    world.state("a", "h100", "RUNNING").await;
    world.state("b", "bare", "RUNNING").await;
    world.pass(3_599);
    assert_eq!(world.look().await, (0, 0), "the hour is not over");
    world.pass(1);
    assert_eq!(world.look().await, (2, 0));
    let alerts = world.alerts(None).await;
    let told = |rule: &Rule| {
        let alert = alerts.iter().find(|alert| alert.rule_id == rule.id).unwrap();
        (alert.subject.as_str(), alert.value, alert.summary.as_str())
    };
    assert_eq!(told(&fleet), ("everything", 2.5, "everything: cost per hour is 2.50, above 2.00"));
    assert_eq!(told(&machine), ("vm=a", 2.5, "vm=a: cost per hour is 2.50, above 1.00"));
    world.pass(600);
    world.state("a", "h100", "TERMINATED").await;
    world.pass(2_999);
    assert_eq!(world.look().await, (0, 0), "what goes on counts when it is over");
    world.pass(1);
    // Ten minutes of the hour cost 0.42.
    assert_eq!(world.look().await, (1, 2));
    let alert = world.alerts(Some(&[AlertState::Firing])).await.remove(0);
    assert_eq!((alert.rule_id, alert.subject.as_str(), alert.value), (unpriced.id, "instance_type=h100", 0.416_666_667));
    world.end().await;
}

async fn a_fleet_that_costs_more_than_it_did_is_an_anomaly(database: Database) {
    let mut world = World::new(database).await;
    world.price("h100", 2_500_000_000).await;
    let rule = world.rule(Signal::CostPerHour, None, 0, &[]).await;
    change(&world.store, rule.id, NOW, |rule| Some(Rule { detection: Detection::Anomaly, ..rule })).await.unwrap();
    world.state("a", "h100", "RUNNING").await;
    let mut worker = TimelineWorker::new(world.store.clone(), TimeOrderedIds.next_id());
    for hour in 0..4 * 24 {
        // The bill wavers around 2.60: a second machine comes for some minutes of each hour.
        let held_seconds = 60 * (1 + hour * 7 % 5);
        world.state("b", "h100", "RUNNING").await;
        world.pass(held_seconds);
        world.state("b", "h100", "STOPPED").await;
        world.pass(300 - held_seconds);
        for _ in 0..12 {
            assert_eq!(world.look().await, (0, 0), "hour {hour}");
            world.pass(300);
        }
        world.pass(-300);
        worker.run_once(world.clock.now()).await.unwrap();
    }
    for vm in ["c", "d", "e"] {
        world.state(vm, "h100", "RUNNING").await;
    }
    world.pass(3_600);
    for _ in 0..3 {
        world.look().await;
        world.pass(300);
    }
    let alert = world.alerts(Some(&[AlertState::Firing])).await.remove(0);
    assert!(alert.value == 10.0 && (2.4..2.8).contains(&alert.expected.unwrap()), "{alert:?}");
    world.end().await;
}

macro_rules! on_both {
    ($($seed:literal $case:ident $sqlite:ident $postgres:ident;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $sqlite() {
            $case(Database::sqlite("alerts", 0).await.unwrap()).await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $postgres() {
            let Some(database) = Database::postgres(stringify!($postgres), $seed).await else { return };
            $case(database).await;
        }
    )+};
}

on_both! {
    140 an_alert_begins_once_is_taken_and_ends begins_and_ends_on_sqlite begins_and_ends_on_postgres;
    141 a_silent_machine_alerts_and_a_late_sample_does_not silence_on_sqlite silence_on_postgres;
    142 failures_alert_by_key_and_a_change_of_the_rule_ends_them failures_on_sqlite failures_on_postgres;
    143 two_processes_evaluate_once once_on_sqlite once_on_postgres;
    144 pages_go_both_ways_and_what_is_old_is_forgotten pages_on_sqlite pages_on_postgres;
    146 what_looks_alike_and_comes_between_is_told_apart alike_on_sqlite alike_on_postgres;
    147 a_gpu_alone_is_looked_at gpu_alone_on_sqlite gpu_alone_on_postgres;
    148 the_bill_of_the_last_whole_hour_alerts bill_on_sqlite bill_on_postgres;
    149 a_fleet_that_costs_more_than_it_did_is_an_anomaly dear_on_sqlite dear_on_postgres;
    145 an_anomaly_tells_what_was_expected anomaly_on_sqlite anomaly_on_postgres;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_brings_rules() {
    let database = Database::sqlite("alerts", 0).await.unwrap();
    let store = database.open(Arc::new(FixedClock::at(NOW))).await;
    let rules = store.snapshot().await.unwrap().alert_rule_list().await.unwrap();
    assert_eq!(rules.len(), 7);
    for rule in &rules {
        assert!(plimsoll_domain::watch::rule::check(rule).is_empty() && rule.is_live() && rule.id != Uuid::nil(), "{rule:?}");
    }
    assert!(rules.iter().any(|rule| rule.signal == Signal::VmUnreachable && rule.severity == Severity::Critical));
    store.close().await;
}
