//! Any plan, order of arrival, split into batches and point of compaction gives the same answer as the raw events, on both
//! databases, also while the compactor runs.
//!
//! Cases are random and named by a seed, which a failure prints; `PLIMSOLL_TEST_SEED` asks for one seed alone.
#![allow(clippy::type_complexity, clippy::double_ended_iterator_last, reason = "a brute force is written plainly")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/ask.rs"]
mod ask;
#[path = "any_plan/database.rs"]
mod database;
#[path = "any_plan/directory.rs"]
mod directory;
#[path = "any_plan/events.rs"]
mod events;
#[path = "any_plan/fleet.rs"]
mod fleet;
#[path = "any_plan/loads.rs"]
mod loads;
#[path = "any_plan/random.rs"]
mod random;
#[path = "any_plan/raw.rs"]
mod raw;
#[path = "any_plan/storage.rs"]
mod storage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use plimsoll_domain::cell::compactor::Compactor;
use plimsoll_domain::cell::rebuild::rebuild_days;
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_domain::ingest::event::Event;
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::ingest::{IngestSink as _, Written};
use plimsoll_domain::storage::worker::StorageWorker;
use plimsoll_domain::store::{Store, StoreError};
use plimsoll_entity::value::time::{Instant, SECOND_US};

use ask::{Readers, ask};
use database::Database;
use events::NOW_US;
use random::Random;
use raw::Raw;
use sea_orm::ConnectionTrait as _;

/// Cases of the test in which nothing happens at the same time.
const CASES: u64 = 6;
/// Cases of the test in which everything does.
const CONCURRENT_CASES: u64 = 4;
/// Questions of each kind at the end of a case.
const QUESTIONS: usize = 20;
/// Writers and compactors at the same time.
const RIVALS: u64 = 2;

fn seeds(first: u64, cases: u64) -> Vec<u64> {
    match std::env::var("PLIMSOLL_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (first..first + cases).collect(),
    }
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::at(Instant(NOW_US)))
}

fn writer(store: &Store) -> WriterHandle {
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.run());
    handle
}

/// The events with some of them again, shuffled and split.
fn batches(random: &mut Random, events: &[Event]) -> Vec<Vec<Event>> {
    let mut sent: Vec<Event> = events.to_vec();
    sent.extend(events.iter().filter(|_| random.chance(8)).cloned());
    random.shuffle(&mut sent);
    let mut batches = Vec::new();
    let longest = random.pick(&[3, 25, 80, 500]);
    while !sent.is_empty() {
        let rest = sent.split_off((random.between(1, longest) as usize).min(sent.len()));
        batches.push(std::mem::replace(&mut sent, rest));
    }
    batches
}

fn lines(batch: &[Event]) -> Vec<(u32, Event)> {
    (1..).zip(batch.iter().cloned()).collect()
}

async fn send(handle: &WriterHandle, batch: &[Event]) -> u64 {
    let written: Written = handle.write(lines(batch), 0).await.unwrap();
    assert_eq!(written.accepted + written.duplicate, batch.len() as u64, "{written:?}");
    assert!(written.capped.is_empty(), "{written:?}");
    written.accepted
}

/// Distinct events among those that were sent.
fn distinct(sent: &[Event]) -> Vec<Event> {
    let mut distinct: Vec<Event> = Vec::new();
    for event in sent {
        if !distinct.contains(event) {
            distinct.push(event.clone());
        }
    }
    distinct
}

/// A case step by step: write, compact, ask, in any order.
async fn in_turn(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let clock = clock();
    let store = database.open(Arc::clone(&clock) as _).await;
    let (handle, old_readers) = (writer(&store), Readers::new(&store));
    let mut compactor = Compactor::new(store.clone());
    let mut keeper = StorageWorker::new(store.clone(), events::uuid(&mut random));
    let events = events::events(&mut random);
    let (mut sent, mut accepted) = (Vec::new(), 0);
    for batch in batches(&mut random, &events) {
        // Requests that arrive together are one transaction.
        let halves = batch.split_at(random.below(batch.len() as u64 + 1) as usize);
        accepted += join_all([halves.0, halves.1].map(|half| send(&handle, half))).await.iter().sum::<u64>();
        sent.extend(batch);
        clock.advance_us(random.between(0, 15 * SECOND_US));
        match random.below(12) {
            0 => drop(compactor.run_to_end(clock.now()).await.unwrap()),
            1..6 => drop(compactor.run_once(clock.now()).await.unwrap()),
            _ => {}
        }
        if random.chance(15) {
            keeper.run_to_end(clock.now()).await.unwrap();
        }
        if random.chance(4) {
            let raw = Raw::new(&distinct(&sent));
            ask(&old_readers, &mut random, &raw, Some(&raw)).await;
        }
    }
    assert_eq!(accepted, events.len() as u64);
    let raw = Raw::new(&events);
    for round in 0..QUESTIONS {
        match round % 4 {
            0 => ask(&old_readers, &mut random, &raw, Some(&raw)).await,
            _ => ask(&Readers::new(&store), &mut random, &raw, Some(&raw)).await,
        }
        if round == QUESTIONS / 2 {
            compactor.run_to_end(clock.now()).await.unwrap();
            keeper.run_to_end(clock.now()).await.unwrap();
        }
    }
    store.close().await;
}

/// Takes the database back to the version before loads had cells and storage had places. Nobody else may have it open.
async fn forget_cells_of_loads(database: &Database) {
    let connection = sea_orm::Database::connect(database.url()).await.unwrap();
    for sql in [
        "DELETE FROM cell WHERE family IN (6, 7)",
        "DELETE FROM cell_delta WHERE family IN (6, 7)",
        "DROP TABLE cell_rebuild",
        "DELETE FROM seaql_migrations WHERE version = 'm20261124_000006_cell_rebuild'",
        "DROP INDEX audit_entry_by_subject",
        "DROP TABLE load_reach",
        "DROP TABLE storage_day",
        "DELETE FROM derived_day WHERE kind = 3",
        "DROP TABLE storage_place",
        "DROP INDEX storage_snapshot_by_at",
        "DROP INDEX storage_snapshot_by_place",
        "ALTER TABLE storage_snapshot DROP COLUMN place",
        "CREATE INDEX storage_snapshot_by_at ON storage_snapshot (at)",
        "DELETE FROM seaql_migrations WHERE version = 'm20261124_000011_storage_retention'",
    ] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// A case in which a database comes from a version that had no cells of loads: they are made while more arrives, twice at once.
async fn upgraded(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let clock = clock();
    let store = database.open(Arc::clone(&clock) as _).await;
    let events = events::events(&mut random);
    let (early, late) = events.split_at(random.below(events.len() as u64 + 1) as usize);
    let mut compactor = Compactor::new(store.clone());
    for batch in batches(&mut random, early) {
        send(&writer(&store), &batch).await;
        if random.chance(20) {
            compactor.run_to_end(clock.now()).await.unwrap();
        }
    }
    store.close().await;
    drop((store, compactor));
    forget_cells_of_loads(database).await;
    let store = database.open(Arc::clone(&clock) as _).await;
    let (handle, late) = (writer(&store), batches(&mut random, late));
    let write = async {
        for batch in &late {
            send(&handle, batch).await;
        }
    };
    let fold = async { Compactor::new(store.clone()).run_to_end(clock.now()).await };
    let (first, second, (), folded) = tokio::join!(rebuild_days(&store), rebuild_days(&store), write, fold);
    let days = early.iter().filter_map(|event| match event {
        Event::CheckpointLoad(load) => Some(load.finished_at.day()),
        _ => None,
    });
    let days = days.collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(first.unwrap() + second.unwrap(), 2 * days, "seed {seed}: each day of both families once");
    assert!(matches!(folded, Ok(_) | Err(StoreError::Contended)), "seed {seed}: {folded:?}");
    assert_eq!(rebuild_days(&store).await.unwrap(), 0);
    let raw = Raw::new(&events);
    for round in 0..QUESTIONS {
        ask(&Readers::new(&store), &mut random, &raw, Some(&raw)).await;
        if round == QUESTIONS / 2 {
            Compactor::new(store.clone()).run_to_end(clock.now()).await.unwrap();
        }
    }
    store.close().await;
}

async fn compact(store: Store, clock: Arc<FixedClock>, done: Arc<AtomicBool>, seed: u64) {
    let mut random = Random::new(seed);
    let mut keeper = StorageWorker::new(store.clone(), events::uuid(&mut random));
    let mut compactor = Compactor::new(store);
    while !done.load(Ordering::SeqCst) {
        clock.advance_us(random.between(0, 12 * SECOND_US));
        let run = if random.chance(40) { compactor.run_to_end(clock.now()).await } else { compactor.run_once(clock.now()).await };
        match run {
            Ok(_) | Err(StoreError::Contended) => tokio::task::yield_now().await,
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
        match keeper.run_to_end(clock.now()).await {
            Ok(_) | Err(StoreError::Contended) => {}
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
    }
}

/// A case in which writers, compactors and readers work at the same time.
async fn at_once(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let clock = clock();
    let store = database.open(Arc::clone(&clock) as _).await;
    let events = events::events(&mut random);
    let raw = Raw::new(&events);
    let done = Arc::new(AtomicBool::new(false));
    let (mut compactors, mut writers) = (Vec::new(), Vec::new());
    for rival in 0..RIVALS {
        compactors.push(tokio::spawn(compact(store.clone(), Arc::clone(&clock), Arc::clone(&done), seed + rival)));
        // Every writer brings everything, in its own order: whoever is later brings duplicates.
        let (handle, batches) = (writer(&store), batches(&mut random, &events));
        writers.push(tokio::spawn(async move {
            let mut accepted = 0;
            for batch in batches {
                accepted += send(&handle, &batch).await;
            }
            accepted
        }));
    }
    let old_readers = Readers::new(&store);
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        ask(&old_readers, &mut random, &raw, None).await;
        ask(&Readers::new(&store), &mut random, &raw, None).await;
    }
    let mut accepted = 0;
    for writer in writers {
        accepted += writer.await.unwrap();
    }
    assert_eq!(accepted, events.len() as u64, "seed {seed}: accepted by all writers together");
    for _ in 0..QUESTIONS / 4 {
        ask(&old_readers, &mut random, &raw, Some(&raw)).await;
    }
    done.store(true, Ordering::SeqCst);
    for compactor in compactors {
        compactor.await.unwrap();
    }
    for _ in 0..QUESTIONS / 4 {
        ask(&Readers::new(&store), &mut random, &raw, Some(&raw)).await;
    }
    store.close().await;
}

macro_rules! on {
    ($test:ident, $open:expr, $case:ident, $first:expr, $cases:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            for seed in seeds($first, $cases) {
                let Some(database) = $open(stringify!($test), seed).await else { return };
                let database = Arc::new(database);
                let case = {
                    let database = Arc::clone(&database);
                    async move { $case(&database, seed).await }
                };
                // In a task of its own, so that the database is dropped when the case fails.
                let ended = tokio::spawn(case).await;
                database.remove().await;
                if let Err(error) = ended {
                    panic!("PLIMSOLL_TEST_SEED={seed} fails: {error}");
                }
            }
        }
    };
}

on!(sqlite_answers_as_the_raw_events_do, Database::sqlite, in_turn, 1, CASES);
on!(postgres_answers_as_the_raw_events_do, Database::postgres, in_turn, 101, CASES / 3);
on!(sqlite_answers_so_while_everything_runs, Database::sqlite, at_once, 201, CONCURRENT_CASES);
on!(postgres_answers_so_while_everything_runs, Database::postgres, at_once, 301, CONCURRENT_CASES / 2);
on!(sqlite_answers_so_after_an_upgrade, Database::sqlite, upgraded, 401, CONCURRENT_CASES);
on!(postgres_answers_so_after_an_upgrade, Database::postgres, upgraded, 501, CONCURRENT_CASES / 2);
