//! Any order of arrival, split into batches and point of the worker gives the same jobs as the raw events, on both databases, also
//! while several writers and workers run.
//!
//! Cases are random and named by a seed, which a failure prints; `PLIMSOLL_TEST_SEED` asks for one seed alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]
#![allow(dead_code, reason = "some of what is shared with the other property test is not needed here")]

#[path = "any_plan/database.rs"]
mod database;
#[path = "any_plan/directory.rs"]
mod directory;
#[path = "any_plan/random.rs"]
mod random;
#[path = "jobs/raw.rs"]
mod raw;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::job_figures::JobFigures;
use plimsoll_domain::breakdown::jobs::{JobOrder, JobQuestion};
use plimsoll_domain::cell::part::{KeyColumn, Part};
use plimsoll_domain::cell::plan::Coarseness;
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::event::{Event, Execution};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::job::listing;
use plimsoll_domain::job::pending::Pending;
use plimsoll_domain::job::worker::JobWorker;
use plimsoll_domain::store::{DerivedKind, Job, Page, Store, StoreError};
use plimsoll_entity::value::label::JobState;
use plimsoll_entity::value::time::{DAY_US, Instant, SECOND_US, Window};
use uuid::Uuid;

use database::Database;
use directory::{Condition, Directory, Key, checkpoint_texts};
use random::Random;
use raw::{NOW_US, RawJob, START_US, instant};

/// Cases of the test in which nothing happens at the same time.
const CASES: u64 = 8;
/// Cases of the test in which everything does.
const CONCURRENT_CASES: u64 = 4;
/// Writers and workers at the same time.
const RIVALS: u64 = 2;
const DIMENSIONS: [Dimension; 11] = [
    Dimension::Model,
    Dimension::ModelVersion,
    Dimension::Checkpoint,
    Dimension::CheckpointVersion,
    Dimension::Combination,
    Dimension::Application,
    Dimension::User,
    Dimension::Department,
    Dimension::Project,
    Dimension::Vm,
    Dimension::ErrorType,
];
const PARTS: [Part; 4] = [Part::Attempts, Part::RetriedJobs, Part::JobQueue, Part::JobProcessing];

type RawJobs = BTreeMap<Uuid, RawJob>;

fn window(random: &mut Random) -> Window {
    let whole_days = START_US + random.between(-1, 3) * DAY_US;
    if random.chance(50) {
        return Window::of(whole_days, whole_days + random.between(1, 5) * DAY_US);
    }
    let (a, b) = (instant(random), instant(random));
    Window { start: a.min(b), end: Instant(a.max(b).0.max(a.min(b).0 + 1)) }
}

/// Fails unless the figures are those of these jobs.
fn check(jobs: &[&RawJob], got: &JobFigures, what: &str) {
    let lasts: Vec<&Execution> = jobs.iter().filter_map(|job| job.last()).collect();
    let ended = |code: i16| lasts.iter().filter(|last| last.outcome.code() == code).count() as u64;
    assert_eq!(got.outcomes, [ended(0), ended(1), ended(2)], "{what}: outcomes");
    let attempts: usize = jobs.iter().map(|job| job.attempts.len()).sum();
    assert_eq!((got.attempts, got.retries()), (attempts as u64, (attempts - jobs.len()) as u64), "{what}: attempts");
    assert_eq!(got.retried_jobs, jobs.iter().filter(|job| job.attempts.len() > 1).count() as u64, "{what}: retried jobs");
    let queue = jobs.iter().filter_map(|job| job.first()).filter_map(|first| Some(first.started_at.0 - first.queued_at?.0));
    let processing = jobs.iter().map(|job| job.attempts.iter().map(|of| of.finished_at.0 - of.started_at.0).sum::<i64>());
    for (name, values, got) in [("queue", queue.collect::<Vec<_>>(), &got.queue), ("processing", processing.collect(), &got.processing)] {
        let count = got.map_or(0, |got| got.count);
        assert_eq!(count, values.len() as u64, "{what}: {name}");
        let Some(got) = got else { continue };
        let ms = |us: i64| us as f64 / 1_000.0;
        let (least, largest, sum) = (values.iter().min(), values.iter().max(), values.iter().sum::<i64>());
        assert_eq!((Some(got.min_ms), Some(got.max_ms)), (least.map(|us| ms(*us)), largest.map(|us| ms(*us))), "{what}: {name}");
        assert!((got.sum_ms - ms(sum)).abs() <= 1e-9 * ms(sum), "{what}: sum of {name}");
    }
}

fn keys(last: &Execution, by: &[Dimension]) -> BTreeSet<Key> {
    let key = |place: usize| {
        let value = |dimension: &Dimension| {
            let mut values = raw::values(last, *dimension).into_iter();
            if dimension.is_checkpoint() { values.nth(place) } else { values.next() }
        };
        by.iter().map(value).collect()
    };
    (0..last.checkpoints.len().max(1)).map(key).collect()
}

/// One random breakdown by every plan, and against the raw jobs where nothing arrives meanwhile.
async fn ask(reader: &Reader, reading: &Reading, random: &mut Random, truth: Option<&RawJobs>) {
    let mut by = DIMENSIONS.to_vec();
    random.shuffle(&mut by);
    by.truncate(random.pick(&[0, 1, 1, 1, 2, 2, 3, 4]));
    let mut conditions = Vec::new();
    if random.chance(30) {
        conditions.push(Condition::Any(Dimension::User, vec!["user-0".to_owned(), "user-1".to_owned(), "nobody".to_owned()]));
    }
    if random.chance(20) {
        conditions.push(Condition::Any(Dimension::Vm, vec!["vm-0".to_owned()]));
    }
    let limit = random.pick(&[0, 1, 2, 3, 10_000, 10_000]);
    let asked = JobQuestion { window: window(random), by, parts: PARTS.into_iter().collect(), limit };
    let order = random.pick(&[JobOrder::Jobs, JobOrder::Retries, JobOrder::Failures, JobOrder::QueueP95, JobOrder::ProcessingP95]);
    let what = format!("{asked:?} {conditions:?} {order:?}");
    let directory = Directory::read(&reading.snapshot).await;
    let filter = directory.filter(&conditions);
    let answer = reader.job_breakdown(reading, &asked, &filter, order).await.unwrap();
    let rows_only = Reader { coarseness: Coarseness::Facts, ..reader.clone() };
    let other = rows_only.job_breakdown(reading, &asked, &filter, order).await.unwrap();
    let parts = |answer: &Breakdown<JobFigures>| (answer.row_count, answer.rows.clone(), answer.other.clone(), answer.total.clone());
    assert_eq!(parts(&answer), parts(&other), "{what}: cells and rows");
    let Some(truth) = truth else { return };
    let fits = |last: &Execution| {
        conditions.iter().all(|condition| match condition {
            Condition::Any(dimension, names) => raw::values(last, *dimension).iter().any(|value| names.contains(value)),
            Condition::Outcome(_) | Condition::CacheHit(_) => true,
        })
    };
    let counted = |job: &&RawJob| job.last().is_some_and(|last| asked.window.contains(last.finished_at) && fits(last));
    let jobs: Vec<&RawJob> = truth.values().filter(counted).collect();
    let keyed: Vec<(BTreeSet<Key>, &RawJob)> = jobs.iter().map(|job| (keys(job.last().unwrap(), &asked.by), *job)).collect();
    let all: BTreeSet<&Key> = keyed.iter().flat_map(|(keys, _)| keys).collect();
    assert_eq!((answer.row_count, answer.rows.len()), (all.len(), all.len().min(limit)), "{what}: rows");
    let mut kept: BTreeSet<Key> = BTreeSet::new();
    for (key, figures) in &answer.rows {
        let key = directory.key(key);
        let of_row: Vec<&RawJob> = keyed.iter().filter(|(keys, _)| keys.contains(&key)).map(|(_, job)| *job).collect();
        check(&of_row, figures, &format!("{what}: row {key:?}"));
        assert!(kept.insert(key), "{what}: a row stands twice");
    }
    check(&jobs, &answer.total, &format!("{what}: total"));
    if let Some(other) = &answer.other {
        let cut: Vec<&RawJob> = keyed.iter().filter(|(keys, _)| !keys.is_subset(&kept)).map(|(_, job)| *job).collect();
        check(&cut, other, &format!("{what}: other"));
    }
}

/// The whole list in its order, read a page at a time.
async fn walk(reading: &Reading, filter: &Filter, states: Option<&[JobState]>, limit: u64, backwards: bool) -> Vec<Job> {
    let pending = Pending::read(&reading.snapshot).await.unwrap();
    let mut page = Page { backwards, limit, ..Page::default() };
    let mut found: Vec<Job> = Vec::new();
    loop {
        let jobs = listing::jobs(reading, &pending, filter, states, &page).await.unwrap();
        assert!(jobs.len() as u64 <= limit);
        let Some(last) = jobs.last().map(listing::place) else { break };
        *(if backwards { &mut page.before } else { &mut page.after }) = Some(last);
        found.extend(jobs);
    }
    if backwards {
        found.reverse();
    }
    found
}

async fn list(reading: &Reading, random: &mut Random, truth: Option<&RawJobs>) {
    let directory = Directory::read(&reading.snapshot).await;
    let states = random.maybe(50, |random| vec![random.pick(JobState::ALL), random.pick(JobState::ALL)]);
    let mut conditions = Vec::new();
    if random.chance(30) {
        conditions.push(Condition::Any(Dimension::User, vec!["user-0".to_owned()]));
    }
    let anime = random.chance(30).then(|| "LORA anime".to_owned());
    conditions.extend(anime.clone().map(|anime| Condition::Any(Dimension::Checkpoint, vec![anime])));
    let mut filter = directory.filter(&conditions);
    let limit = random.pick(&[1, 2, 5, 50, 500]);
    let (states, what) = (states.as_deref(), format!("{states:?} {conditions:?}, {limit} a page"));
    let jobs = walk(reading, &filter, states, limit, false).await;
    assert_eq!(jobs, walk(reading, &filter, states, 7, true).await, "{what}: backwards");
    if let Some(truth) = truth {
        let mut expected: Vec<(std::cmp::Reverse<Instant>, Uuid, JobState)> = Vec::new();
        for (key, job) in truth {
            let latest = job.latest();
            let user = conditions
                .iter()
                .all(|condition| !matches!(condition, Condition::Any(Dimension::User, _)) || latest.user.as_deref() == Some("user-0"));
            let applies = anime.is_none() || latest.checkpoints.iter().any(|of| Some(checkpoint_texts(of).0) == anime);
            if user && applies && states.is_none_or(|states| states.contains(&latest.state)) {
                expected.push((std::cmp::Reverse(latest.at), *key, latest.state));
            }
        }
        expected.sort_unstable();
        let got: Vec<_> = jobs.iter().map(|job| (std::cmp::Reverse(job.changed_at), job.key, job.state)).collect();
        assert_eq!(got, expected, "{what}");
        for job in &jobs {
            let of = &truth[&job.key];
            let told = of.attempts.iter().map(|of| of.attempt).chain(of.changes.iter().filter_map(|of| of.attempt)).max();
            assert_eq!(job.attempts, told.unwrap_or(0).max(of.attempts.len() as i32), "{what}: attempts");
        }
    }
    filter.columns.insert(KeyColumn::Vm as usize, HashSet::new());
    assert!(walk(reading, &filter, states, 5, false).await.is_empty(), "{what}: no machine");
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
    let longest = random.pick(&[2, 9, 40, 300]);
    let mut batches = Vec::new();
    while !sent.is_empty() {
        let rest = sent.split_off((random.between(1, longest) as usize).min(sent.len()));
        batches.push(std::mem::replace(&mut sent, rest));
    }
    batches
}

async fn send(handle: &WriterHandle, batch: Vec<Event>) -> u64 {
    handle.write((1..).zip(batch).collect(), 0).await.unwrap().accepted
}

/// Distinct events among those that were sent.
fn distinct(sent: &[Event]) -> Vec<Event> {
    let mut distinct: Vec<Event> = Vec::new();
    sent.iter().for_each(|event| {
        if !distinct.contains(event) {
            distinct.push(event.clone());
        }
    });
    distinct
}

/// A case step by step: write, work, ask, in any order.
async fn in_turn(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let clock = Arc::new(FixedClock::at(Instant(NOW_US)));
    let store = database.open(Arc::clone(&clock) as _).await;
    let (handle, reader) = (writer(&store), Reader::new(store.clone()));
    let mut workers = [1, 2].map(|holder| JobWorker::new(store.clone(), Uuid::from_u128(holder)));
    let events = raw::events(&mut random);
    let mut sent = Vec::new();
    for batch in batches(&mut random, &events) {
        send(&handle, batch.clone()).await;
        sent.extend(batch);
        clock.advance_us(random.between(0, 40 * SECOND_US));
        let worker = &mut workers[random.below(2) as usize];
        let worked = match random.below(8) {
            0 | 1 => worker.run_to_end(clock.now()).await,
            2..5 => worker.run_once(clock.now()).await,
            _ => Ok(Default::default()),
        };
        assert!(matches!(worked, Ok(_) | Err(StoreError::Contended)), "{worked:?}");
        if random.chance(25) {
            let truth = raw::jobs(&distinct(&sent));
            let reading = reader.begin().await.unwrap();
            ask(&reader, &reading, &mut random, Some(&truth)).await;
            list(&reading, &mut random, Some(&truth)).await;
        }
    }
    let truth = raw::jobs(&events);
    for round in 0..16 {
        let reading = reader.begin().await.unwrap();
        ask(&reader, &reading, &mut random, Some(&truth)).await;
        list(&reading, &mut random, Some(&truth)).await;
        drop(reading);
        if round == 6 {
            clock.advance_us(31 * SECOND_US);
            workers[0].run_to_end(clock.now()).await.unwrap();
            assert_eq!(workers[0].run_to_end(clock.now()).await.unwrap(), Default::default(), "nothing is left to do");
            assert_held(&reader, &truth).await;
        }
    }
    store.close().await;
}

/// Every closed day with an execution is held.
async fn assert_held(reader: &Reader, truth: &RawJobs) {
    let today = Instant(NOW_US).day();
    let snapshot = reader.store.snapshot().await.unwrap();
    let held = snapshot.derived_day_list(DerivedKind::Jobs, 0, today + 1).await.unwrap();
    let attempts = truth.values().flat_map(|job| &job.attempts);
    let days: BTreeSet<i32> = attempts.map(|of| of.finished_at.day()).filter(|day| *day < today).collect();
    assert_eq!(held, days);
}

async fn work(store: Store, clock: Arc<FixedClock>, done: Arc<AtomicBool>, seed: u64) {
    let mut random = Random::new(seed);
    let mut worker = JobWorker::new(store, Uuid::from_u128(seed.into()));
    while !done.load(Ordering::SeqCst) {
        clock.advance_us(random.between(0, 20 * SECOND_US));
        let run = if random.chance(50) { worker.run_to_end(clock.now()).await } else { worker.run_once(clock.now()).await };
        match run {
            Ok(_) | Err(StoreError::Contended) => tokio::task::yield_now().await,
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
    }
}

/// A case in which writers, workers and readers work at the same time.
async fn at_once(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let clock = Arc::new(FixedClock::at(Instant(NOW_US)));
    let store = database.open(Arc::clone(&clock) as _).await;
    let events = raw::events(&mut random);
    let done = Arc::new(AtomicBool::new(false));
    let (mut workers, mut writers) = (Vec::new(), Vec::new());
    for rival in 0..RIVALS {
        workers.push(tokio::spawn(work(store.clone(), Arc::clone(&clock), Arc::clone(&done), seed + rival)));
        // Each brings a part, so that what belongs to one job comes from both at the same time.
        let own: Vec<Event> =
            events.iter().enumerate().filter(|(at, _)| *at as u64 % RIVALS == rival).map(|(_, event)| event.clone()).collect();
        let (handle, batches) = (writer(&store), batches(&mut random, &own));
        writers.push(tokio::spawn(async move {
            for batch in batches {
                send(&handle, batch).await;
            }
        }));
    }
    let reader = Reader::new(store.clone());
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let reading = reader.begin().await.unwrap();
        ask(&reader, &reading, &mut random, None).await;
        list(&reading, &mut random, None).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let truth = raw::jobs(&events);
    for _ in 0..6 {
        let reading = reader.begin().await.unwrap();
        ask(&reader, &reading, &mut random, Some(&truth)).await;
        list(&reading, &mut random, Some(&truth)).await;
    }
    done.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    clock.advance_us(61 * SECOND_US);
    JobWorker::new(store.clone(), Uuid::from_u128(99)).run_to_end(clock.now()).await.unwrap();
    assert_held(&reader, &truth).await;
    for _ in 0..6 {
        let reading = reader.begin().await.unwrap();
        ask(&reader, &reading, &mut random, Some(&truth)).await;
        list(&reading, &mut random, Some(&truth)).await;
    }
    store.close().await;
}

macro_rules! on {
    ($test:ident, $open:expr, $case:ident, $first:expr, $cases:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let seeds = match std::env::var("PLIMSOLL_TEST_SEED") {
                Ok(seed) => vec![seed.parse().unwrap()],
                Err(_) => ($first..$first + $cases).collect::<Vec<u64>>(),
            };
            for seed in seeds {
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

on!(jobs_are_as_the_raw_events_say_on_sqlite, Database::sqlite, in_turn, 1_001, CASES);
on!(jobs_are_as_the_raw_events_say_on_postgres, Database::postgres, in_turn, 1_101, CASES / 2);
on!(jobs_are_so_while_everything_runs_on_sqlite, Database::sqlite, at_once, 1_201, CONCURRENT_CASES);
on!(jobs_are_so_while_everything_runs_on_postgres, Database::postgres, at_once, 1_301, CONCURRENT_CASES / 2);
