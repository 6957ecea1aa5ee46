//! Changes of jobs are told once each and in order, from any place on, while writers commit beside each other; on both databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;
#[path = "any_plan/random.rs"]
#[expect(dead_code, reason = "shared with another test")]
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::job::updates::{KNOWN_US, is_forgetting_due, updates};
use plimsoll_domain::job::worker::JobWorker;
use plimsoll_domain::live::ordered::Position;
use plimsoll_domain::store::Job;
use plimsoll_entity::value::label::JobState;
use plimsoll_entity::value::time::{HOUR_US, Instant, MINUTE_US, SECOND_US};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use database::Database;
use random::Random;

/// 2026-03-02T00:00:00Z.
const NOW: Instant = Instant(1_772_409_600_000_000);
const JOBS: u128 = 60;

type Told = Vec<(Position, Job)>;

fn change(job: u128, number: u128, at: Instant, state: &str) -> Value {
    json!({"type": "job", "id": Uuid::from_u128(job * 100 + number), "job": format!("job {job}"), "at": at.to_rfc3339(), "state": state,
        "model": "sdxl", "modelVersion": "1", "user": format!("user {}", job % 3)})
}

fn execution(job: u128, number: u128, attempt: u32, at: Instant, outcome: &str) -> Value {
    json!({"type": "execution", "id": Uuid::from_u128(job * 100 + number), "job": format!("job {job}"), "attempt": attempt, "model": "sdxl",
        "modelVersion": "1", "startedAt": Instant(at.0 - SECOND_US).to_rfc3339(), "finishedAt": at.to_rfc3339(), "outcome": outcome,
        "user": format!("user {}", job % 3), "errorType": (outcome == "FAILED").then_some("TIMEOUT")})
}

/// What one job tells, in order, and the states that are to be seen of it.
fn story(random: &mut Random, job: u128) -> (Vec<Value>, Vec<JobState>) {
    let at = |minutes: i64| Instant(NOW.0 - HOUR_US + minutes * MINUTE_US);
    let mut lines = vec![change(job, 1, at(1), "QUEUED"), change(job, 2, at(2), "RUNNING")];
    let mut states = vec![JobState::Queued, JobState::Running];
    if random.chance(50) {
        lines.extend([execution(job, 3, 1, at(3), "FAILED"), change(job, 4, at(4), "RUNNING")]);
        states.extend([JobState::Failed, JobState::Running]);
    }
    lines.push(execution(job, 5, 2, at(5), "SUCCEEDED"));
    states.push(JobState::Succeeded);
    if random.chance(50) {
        // Says once more what is known, of a time after and before; and what is known to be over.
        lines.extend([
            change(job, 6, at(6), "SUCCEEDED"),
            change(job, 7, Instant(at(5).0 - 1), "SUCCEEDED"),
            change(job, 8, Instant(at(2).0 + 1), "RUNNING"),
        ]);
    }
    (lines, states)
}

async fn write(handle: &WriterHandle, lines: &[Value]) {
    let context = ReadContext { now: NOW, strict: true, oldest: None };
    let events = (1..).zip(lines.iter().map(|line| read_line(line.to_string().as_bytes(), &context).unwrap().event));
    assert_eq!(handle.write(events.collect(), 0).await.unwrap().accepted, lines.len() as u64);
}

/// Everything behind a position, step by step.
async fn follow(reader: &Reader, mut after: Position) -> (Told, Position) {
    let mut told = Vec::new();
    loop {
        let reading = reader.begin().await.unwrap();
        let step = updates(&reading, &Filter::default(), None, after).await.unwrap();
        assert!(step.updates.iter().all(|(position, _)| after < *position && *position <= step.reached));
        told.extend(step.updates);
        after = step.reached;
        if step.is_end {
            return (told, after);
        }
    }
}

fn by_job(told: &Told) -> BTreeMap<String, Vec<JobState>> {
    let mut jobs: BTreeMap<String, Vec<JobState>> = BTreeMap::new();
    told.iter().for_each(|(_, job)| jobs.entry(job.name.clone().unwrap()).or_default().push(job.state));
    jobs
}

async fn told_once_each(database: Database) {
    let clock = Arc::new(FixedClock::at(NOW));
    let store = database.open(Arc::clone(&clock) as _).await;
    // PostgreSQL has several processes that write.
    let writers = match &database {
        Database::Sqlite(_) => vec![store.clone()],
        Database::Postgres { .. } => {
            vec![store.clone(), database.open(Arc::clone(&clock) as _).await, database.open(Arc::clone(&clock) as _).await]
        }
    };
    let handles: Vec<WriterHandle> = writers
        .iter()
        .map(|store| {
            let (writer, handle) = Writer::new(store.clone());
            tokio::spawn(writer.run());
            handle
        })
        .collect();
    let mut random = Random::new(11);
    let mut expected = BTreeMap::new();
    let mut sending = JoinSet::new();
    for job in 1..=JOBS {
        let (lines, states) = story(&mut random, job);
        expected.insert(format!("job {job}"), states);
        let (handles, size) = (handles.clone(), random.between(1, 4) as usize);
        sending.spawn(async move {
            let handle = |number: usize| &handles[(job as usize + number) % handles.len()];
            for batch in lines.chunks(size) {
                write(handle(0), batch).await;
            }
            // Two processes at the same moment.
            let at = |minutes: i64| Instant(NOW.0 - HOUR_US + minutes * MINUTE_US);
            let (started, ended) = ([change(job, 9, at(7), "RUNNING")], [execution(job, 10, 3, at(8), "SUCCEEDED")]);
            tokio::join!(write(handle(1), &started), write(handle(2), &ended));
        });
    }
    let reader = Reader::new(store.clone());
    let (mut live, mut reached) = (Vec::new(), Position::behind(0));
    while sending.try_join_next().is_some_and(|done| done.is_ok()) || !sending.is_empty() {
        let (more, behind) = follow(&reader, reached).await;
        live.extend(more);
        reached = behind;
    }
    let (more, _) = follow(&reader, reached).await;
    live.extend(more);
    for (job, mut states) in by_job(&live) {
        // The end of the third attempt is told, and its start unless the end was known by then.
        assert_eq!(states.pop(), Some(JobState::Succeeded));
        let known = &expected[&job];
        assert!(states == *known || states == [&known[..], &[JobState::Running]].concat(), "{job}: {states:?}, {known:?}");
    }
    assert_eq!(by_job(&live).len(), expected.len());
    assert!(live.is_sorted_by_key(|(position, _)| *position));
    // From any place on, the rest is the same.
    for (place, (position, _)) in live.iter().enumerate().step_by(17) {
        let (rest, _) = follow(&reader, *position).await;
        assert_eq!(rest.len(), live.len() - place - 1);
        assert_eq!(
            rest.iter().map(|(position, _)| *position).collect::<Vec<_>>(),
            live[place + 1..].iter().map(|(position, _)| *position).collect::<Vec<_>>()
        );
    }
    filters_and_old_cursors(&reader, &clock, &live).await;
    for store in writers {
        store.close().await;
    }
    database.remove().await;
}

async fn filters_and_old_cursors(reader: &Reader, clock: &FixedClock, live: &Told) {
    let reading = reader.begin().await.unwrap();
    let only = updates(&reading, &Filter::default(), Some(&[JobState::Queued]), Position::behind(0)).await.unwrap();
    assert!(!only.updates.is_empty() && only.updates.iter().all(|(_, job)| job.state == JobState::Queued));
    let field = |result: Result<_, BreakdownError>| match result {
        Err(BreakdownError::Question { field, .. }) => field,
        _ => "",
    };
    assert_eq!(field(updates(&reading, &Filter::default(), None, Position::behind(1 << 40)).await.map(|_| ())), "after");
    drop(reading);
    assert!(!is_forgetting_due(&reader.store.snapshot().await.unwrap(), clock.now()).await.unwrap());
    clock.advance_us(KNOWN_US + 2 * HOUR_US);
    assert!(is_forgetting_due(&reader.store.snapshot().await.unwrap(), clock.now()).await.unwrap());
    JobWorker::new(reader.store.clone(), Uuid::from_u128(1)).run_once(clock.now()).await.unwrap();
    let reading = reader.begin().await.unwrap();
    assert_eq!(field(updates(&reading, &Filter::default(), None, live[0].0).await.map(|_| ())), "after");
    let newest = Position::behind(reading.snapshot.commit_number().await.unwrap());
    assert!(updates(&reading, &Filter::default(), None, newest).await.unwrap().updates.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_once_each_on_sqlite() {
    told_once_each(Database::sqlite("job_updates", 0).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_once_each_on_postgres() {
    let Some(database) = Database::postgres("changes_are_told_once_each_on_postgres", 97).await else { return };
    told_once_each(database).await;
}
