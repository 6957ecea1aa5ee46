//! News of commits come whatever the bus says: nothing, too little, too much, or no more; and both buses say it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_domain::clock::{FixedClock, IdSource as _, TimeOrderedIds};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::live::bus::{Bus, BusState, LocalBus};
use plimsoll_domain::live::commits::Commits;
use plimsoll_domain::live::redis::RedisBus;
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

/// Where the Redis is that is used for tests.
const REDIS_VARIABLE: &str = "PLIMSOLL_TEST_REDIS_URL";

/// The buses of two replicas of a database: one and the same within a process, or two that share a Redis.
struct Pair {
    here: Arc<dyn Bus>,
    there: Arc<dyn Bus>,
    stop: CancellationToken,
}

impl Pair {
    fn local() -> Self {
        let bus = Arc::new(LocalBus::default());
        Self { here: Arc::clone(&bus) as _, there: bus, stop: CancellationToken::new() }
    }

    /// None, and a line that says so, where no Redis is known.
    async fn redis(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var(REDIS_VARIABLE) else {
            println!("skipped: {test} on Redis ({REDIS_VARIABLE} is not set)");
            return None;
        };
        let stop = CancellationToken::new();
        let database = database_number();
        let [here, there] = [(); 2].map(|()| connect(&url, database, &stop));
        for bus in [&here, &there] {
            up(bus).await;
        }
        Some(Self { here, there, stop })
    }
}

fn database_number() -> u64 {
    let (high, low) = TimeOrderedIds.next_id().as_u64_pair();
    high ^ low
}

fn connect(url: &str, database: u64, stop: &CancellationToken) -> Arc<dyn Bus> {
    let (bus, courier) = RedisBus::new(url, database).unwrap();
    tokio::spawn(courier.run(stop.clone()));
    Arc::new(bus)
}

async fn up(bus: &Arc<dyn Bus>) {
    let connected = async {
        // Each connection makes a gap.
        let mut gaps = bus.gaps().unwrap();
        gaps.wait_for(|gaps| *gaps > 0).await.unwrap();
    };
    tokio::time::timeout(NEWS_MAX, connected).await.unwrap();
    assert_eq!(bus.state(), BusState::Up);
}

async fn what_is_told_here_is_heard_there(pair: Pair) {
    let (mut here, mut there) = (pair.here.heard(), pair.there.heard());
    for number in [1, 2, 7, 1_000_000_007] {
        pair.here.wake(number);
        assert_eq!(*here.borrow(), number, "at once where it was told");
        heard(&mut there, number).await;
    }
    // An older one is no news, and what is told there comes here.
    pair.here.wake(8);
    pair.there.wake(2_000_000_000);
    heard(&mut here, 2_000_000_000).await;
    pair.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_here_is_heard_there_in_process() {
    what_is_told_here_is_heard_there(Pair::local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_here_is_heard_there_on_redis() {
    let Some(pair) = Pair::redis("what_is_told_here_is_heard_there_on_redis").await else { return };
    what_is_told_here_is_heard_there(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_share_a_redis_do_not_hear_each_other() {
    let Some(pair) = Pair::redis("databases_that_share_a_redis_do_not_hear_each_other").await else { return };
    let url = std::env::var(REDIS_VARIABLE).unwrap();
    let other = connect(&url, database_number(), &pair.stop);
    up(&other).await;
    let mut there = pair.there.heard();
    other.wake(100);
    pair.here.wake(1);
    heard(&mut there, 1).await;
    assert_eq!((*pair.here.heard().borrow(), *other.heard().borrow()), (1, 100));
    pair.stop.cancel();
}

/// Readers of both replicas hear of every commit of one.
async fn commits_are_heard_of(database: Database, pair: Pair) {
    let store = database.open(Arc::new(FixedClock::at(NOW))).await;
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.waking(Arc::clone(&pair.here)).run());
    let mut readers = Vec::new();
    for bus in [&pair.here, &pair.there] {
        let (commits, follower) = Commits::new(store.clone(), Arc::clone(bus));
        tokio::spawn(follower.run(pair.stop.clone()));
        readers.push(commits.heard());
    }
    for id in 1..=5 {
        write(&handle, id).await;
        for reader in &mut readers {
            heard(reader, id as u64).await;
        }
    }
    pair.stop.cancel();
    store.close().await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_heard_of_in_process() {
    commits_are_heard_of(Database::sqlite("live", 0).await.unwrap(), Pair::local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_heard_of_on_redis() {
    const NAME: &str = "commits_are_heard_of_on_redis";
    let (Some(pair), Some(database)) = (Pair::redis(NAME).await, Database::postgres(NAME, 97).await) else { return };
    commits_are_heard_of(database, pair).await;
}

/// Whoever commits is not held up by a Redis that is not there, and its own readers hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_commits_go_on() {
    let stop = CancellationToken::new();
    // Nobody listens there.
    let bus = connect("redis://127.0.0.1:1", 7, &stop);
    let database = Database::sqlite("live", 0).await.unwrap();
    commits_are_heard_of(database, Pair { here: Arc::clone(&bus), there: Arc::new(Liar(watch::Sender::new(0))), stop }).await;
    assert_eq!(bus.state(), BusState::Down);
}
