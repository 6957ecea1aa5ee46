//! The queue of notices on both databases: who puts something in, what is due, what goes when there is too much.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;

use std::sync::Arc;

use plimsoll_domain::clock::{Clock as _, FixedClock, IdSource as _, TimeOrderedIds};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::Writer;
use plimsoll_domain::live::bus::LocalBus;
use plimsoll_domain::store::{Delivery, Store, WEBHOOKS_QUEUED_MAX, WebhookQueue};
use plimsoll_domain::watch::evaluator::Evaluator;
use plimsoll_domain::watch::rule::Rule;
use plimsoll_domain::watch::rules::{change, make};
use plimsoll_entity::value::label::{Detection, Severity, Signal};
use plimsoll_entity::value::time::{Instant, SECOND_US};
use serde_json::{Value, json};
use uuid::Uuid;

use database::Database;

/// 2026-03-02T00:00:00Z.
const NOW: Instant = Instant(1_772_409_600_000_000);

fn delivery(number: u128, seconds: i64, host: &str) -> Delivery {
    let at = Instant(NOW.0 + seconds * SECOND_US);
    Delivery {
        id: Uuid::from_u128(number),
        alert_id: Uuid::from_u128(number),
        is_end: false,
        created_at: at,
        due_at: at,
        attempts: 0,
        host: host.to_owned(),
        url: format!("https://{host}/"),
        body: format!("[{number}]"),
    }
}

async fn enqueue(store: &Store, deliveries: &[Delivery]) {
    let mut tx = store.begin_write().await.unwrap();
    tx.webhook_enqueue(deliveries).await.unwrap();
    tx.commit().await.unwrap();
}

async fn due(store: &Store, seconds: i64, limit: u32) -> Vec<u128> {
    let snapshot = store.snapshot().await.unwrap();
    let due = snapshot.webhook_due_list(Instant(NOW.0 + seconds * SECOND_US), limit).await.unwrap();
    due.into_iter().map(|delivery| delivery.id.as_u128()).collect()
}

async fn queue(store: &Store) -> WebhookQueue {
    store.snapshot().await.unwrap().webhook_queue().await.unwrap()
}

async fn notices_wait_are_put_off_and_go(database: Database) {
    let store = database.open(Arc::new(FixedClock::at(NOW))).await;
    assert_eq!(queue(&store).await, WebhookQueue::default());
    let [a1, a2, b, later] = [delivery(1, 0, "a"), delivery(2, 1, "a"), delivery(3, 1, "b"), delivery(4, 9, "c")];
    enqueue(&store, &[a1.clone(), a2, b, later]).await;
    // What stands there already is left alone.
    enqueue(&store, &[Delivery { body: "other".to_owned(), ..a1.clone() }]).await;
    assert_eq!((due(&store, -1, 9).await, due(&store, 1, 9).await, due(&store, 9, 2).await), (vec![], vec![1, 3], vec![1, 3]));
    let first = store.snapshot().await.unwrap().webhook_due_list(NOW, 9).await.unwrap().remove(0);
    assert_eq!(first, a1);
    let mut tx = store.begin_write().await.unwrap();
    tx.webhook_put_off(&a1, Instant(NOW.0 + 5 * SECOND_US), Instant(NOW.0 + 2 * SECOND_US)).await.unwrap();
    tx.webhook_remove(Uuid::from_u128(3)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((due(&store, 1, 9).await, due(&store, 5, 9).await), (vec![], vec![2]), "the host is left alone for a while");
    assert_eq!(queue(&store).await, WebhookQueue { length: 3, oldest_due_at: Some(Instant(NOW.0 + 2 * SECOND_US)) });
    // The end of the first one's alert waits for its beginning, but not for one that goes elsewhere.
    enqueue(&store, &[Delivery { alert_id: a1.alert_id, is_end: true, ..delivery(5, -2, "a") }]).await;
    let elsewhere = Delivery { url: "https://a/elsewhere".to_owned(), alert_id: a1.alert_id, is_end: true, ..delivery(6, 3, "d") };
    enqueue(&store, &[elsewhere]).await;
    let mut tx = store.begin_write().await.unwrap();
    tx.webhook_remove(Uuid::from_u128(2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((due(&store, 4, 9).await, due(&store, 5, 9).await), (vec![6], vec![6, 1]));
    assert_eq!(queue(&store).await.oldest_due_at, Some(Instant(NOW.0 + 3 * SECOND_US)));
    store.close().await;
    database.remove().await;
}

async fn the_oldest_go_when_there_are_too_many(database: Database) {
    let store = database.open(Arc::new(FixedClock::at(NOW))).await;
    let many: Vec<Delivery> = (0..u128::from(WEBHOOKS_QUEUED_MAX)).map(|number| delivery(number, number as i64, "a")).collect();
    enqueue(&store, &many).await;
    assert_eq!((queue(&store).await.length, due(&store, 100_000, 9).await), (u64::from(WEBHOOKS_QUEUED_MAX), vec![0]));
    enqueue(&store, &[delivery(70_000, 70_000, "a"), delivery(70_001, 70_000, "a")]).await;
    assert_eq!((queue(&store).await.length, due(&store, 100_000, 9).await), (u64::from(WEBHOOKS_QUEUED_MAX), vec![2]));
    store.close().await;
    database.remove().await;
}

fn rule(signal: Signal, url: Option<&str>) -> Rule {
    Rule {
        id: TimeOrderedIds.next_id(),
        name: format!("{signal:?}"),
        signal,
        detection: Detection::Above,
        threshold: Some(0.5),
        for_seconds: 0,
        severity: Severity::Warning,
        by: Vec::new(),
        enabled: true,
        webhook_url: url.map(str::to_owned),
        created_at: NOW,
        deleted_at: None,
    }
}

/// Where each notice goes, of which rule, and whether the alert has ended, oldest first; they are taken out.
async fn take(store: &Store) -> Vec<(String, String, bool)> {
    let mut taken = Vec::new();
    loop {
        let due = store.snapshot().await.unwrap().webhook_due_list(Instant(i64::MAX), 100).await.unwrap();
        if due.is_empty() {
            return taken;
        }
        let mut tx = store.begin_write().await.unwrap();
        for delivery in due {
            let body: Value = serde_json::from_str(&delivery.body).unwrap();
            let name = body[0]["labels"]["alertname"].as_str().unwrap().to_owned();
            taken.push((delivery.url, name, body[0]["endsAt"].is_string()));
            tx.webhook_remove(delivery.id).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

async fn whoever_changes_an_alert_leaves_a_notice(database: Database) {
    let clock = Arc::new(FixedClock::at(NOW));
    let store = database.open(Arc::clone(&clock) as _).await;
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.run());
    let mut evaluator = Evaluator::new(store.clone(), Arc::new(LocalBus::default()), Arc::new(TimeOrderedIds));
    for rule in store.snapshot().await.unwrap().alert_rule_list().await.unwrap() {
        change(&store, rule.id, NOW, |rule| Some(Rule { deleted_at: Some(NOW), ..rule })).await.unwrap();
    }
    let (cpu, silent) = (rule(Signal::CpuRatio, Some("https://one/x")), rule(Signal::MemoryRatio, None));
    make(&store, &cpu).await.unwrap();
    make(&store, &silent).await.unwrap();
    let sample = async |cpu: f64| {
        clock.advance_us(SECOND_US);
        let now = clock.now();
        let event = json!({ "type": "vmSample", "vm": "a", "at": now.to_rfc3339(), "intervalSeconds": 1, "cpuRatio": cpu,
            "memoryUsedBytes": 9, "memoryTotalBytes": 10 });
        let event = read_line(event.to_string().as_bytes(), &ReadContext { now, strict: true, oldest: None }).unwrap().event;
        assert_eq!(handle.write(vec![(1, event)], 0).await.unwrap().accepted, 1);
    };
    let told = |url: &str, ended: bool| (url.to_owned(), "CpuRatio".to_owned(), ended);
    sample(0.9).await;
    assert_eq!(evaluator.run_once(clock.now()).await.unwrap().opened, 2);
    // An alert keeps the name and the address that its rule had when it began: who heard of the one hears of the other.
    let patched = |rule| Some(Rule { name: "renamed".to_owned(), webhook_url: Some("https://two/x".to_owned()), ..rule });
    change(&store, cpu.id, clock.now(), patched).await.unwrap();
    assert_eq!(take(&store).await, [told("https://one/x", false)]);
    sample(0.1).await;
    assert_eq!(evaluator.run_once(clock.now()).await.unwrap().resolved, 1);
    sample(0.9).await;
    assert_eq!(evaluator.run_once(clock.now()).await.unwrap().opened, 1);
    let renamed = |ended: bool| ("https://two/x".to_owned(), "renamed".to_owned(), ended);
    assert_eq!(take(&store).await, [told("https://one/x", true), renamed(false)]);
    // An alert whose rule goes ends with it.
    clock.advance_us(SECOND_US);
    change(&store, cpu.id, clock.now(), |rule| Some(Rule { deleted_at: Some(clock.now()), ..rule })).await.unwrap();
    assert_eq!(take(&store).await, [renamed(true)]);
    drop((handle, evaluator));
    store.close().await;
    database.remove().await;
}

macro_rules! on_both_databases {
    ($($number:literal $case:ident)+) => {$(
        mod $case {
            use super::Database;

            #[tokio::test]
            async fn sqlite() {
                super::$case(Database::sqlite(stringify!($case), $number).await.unwrap()).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(database) = Database::postgres(stringify!($case), $number).await {
                    super::$case(database).await;
                }
            }
        }
    )+};
}
on_both_databases! {
    120 notices_wait_are_put_off_and_go
    121 the_oldest_go_when_there_are_too_many
    122 whoever_changes_an_alert_leaves_a_notice
}
