//! News of commits come whatever the bus says: nothing, too little, too much, or no more.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_domain::clock::FixedClock;
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::live::bus::Bus;
use plimsoll_domain::live::commits::Commits;
use plimsoll_entity::value::time::Instant;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use database::Database;

/// 2026-03-02T00:00:00Z.
const NOW: Instant = Instant(1_772_409_600_000_000);
/// How long news may take.
const NEWS_MAX: Duration = Duration::from_secs(20);

/// A bus that says what it is told to, whatever is committed.
#[derive(Debug)]
struct Liar(watch::Sender<u64>);

impl Bus for Liar {
    fn wake(&self, _: u64) {}

    fn heard(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

async fn write(handle: &WriterHandle, id: u128) {
    let line = json!({"type": "job", "id": Uuid::from_u128(id), "job": "a", "at": NOW.to_rfc3339(), "state": "QUEUED", "model": "sdxl"});
    let event = read_line(line.to_string().as_bytes(), &ReadContext { now: NOW, strict: true, oldest: None }).unwrap().event;
    assert_eq!(handle.write(vec![(1, event)], 0).await.unwrap().accepted, 1);
}

async fn heard(numbers: &mut watch::Receiver<u64>, wanted: u64) {
    tokio::time::timeout(NEWS_MAX, numbers.wait_for(|number| *number == wanted)).await.unwrap().unwrap();
}

async fn no_commit_is_kept_back(database: Database) {
    let store = database.open(Arc::new(FixedClock::at(NOW))).await;
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.run());
    let told = watch::Sender::new(0);
    let (commits, follower) = Commits::new(store.clone(), Arc::new(Liar(told.clone())));
    let mut numbers = commits.heard();
    let stop = CancellationToken::new();
    let following = tokio::spawn(follower.run(stop.clone()));
    write(&handle, 1).await;
    // The bus is silent: a look finds it.
    heard(&mut numbers, 1).await;
    // It tells of what there is not: the next look knows better, and the next commit is news.
    told.send_replace(100);
    for id in 2..=3 {
        write(&handle, id).await;
        heard(&mut numbers, id as u64).await;
    }
    stop.cancel();
    following.await.unwrap();
    store.close().await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bus_keeps_no_commit_back_on_sqlite() {
    no_commit_is_kept_back(Database::sqlite("live", 0).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bus_keeps_no_commit_back_on_postgres() {
    let Some(database) = Database::postgres("a_wrong_bus_keeps_no_commit_back_on_postgres", 98).await else { return };
    no_commit_is_kept_back(database).await;
}
