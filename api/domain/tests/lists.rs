//! Lists by the page: every row once, in order, in both directions, whatever the size of the page and the filter.
//!
//! Events go in through the writer; what comes out is compared with the same events sorted and filtered here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::HashSet;
use std::sync::Arc;

use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::cell::part::KeyColumn;
use plimsoll_domain::clock::FixedClock;
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::Writer;
use plimsoll_domain::listing;
use plimsoll_domain::store::{AuditRow, NameDimension, NamePage, NewestFirst, Page, Store};
use plimsoll_entity::value::label::{CheckpointKind, JobState, Outcome, VmState};
use plimsoll_entity::value::time::{Instant, SECOND_US, Window};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

/// Executions: more than two steps of a look under a filter, of which the last is not full.
const EXECUTIONS: u64 = 2_500;
/// Executions that finish at one instant.
const EQUAL: u64 = 3;
/// Only every so many-th applies the rare checkpoint: further apart than a step.
const RARE: u64 = 1_200;
/// End of the first executions.
const START: &str = "2026-03-01T08:00:00Z";

fn start() -> Instant {
    Instant::parse(START).unwrap()
}

fn now() -> Instant {
    Instant::parse("2026-03-02T00:00:00Z").unwrap()
}

/// Ids whose order is not the order of arrival.
fn id_of(number: u64) -> Uuid {
    Uuid::from_u64_pair(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
}

fn finished_at(number: u64) -> Instant {
    Instant(start().0 + (number / EQUAL) as i64 * SECOND_US)
}

fn everything() -> Window {
    Window { start: start(), end: Instant(finished_at(EXECUTIONS - 1).0 + 1) }
}

fn execution(number: u64) -> Value {
    let at = finished_at(number);
    let mut line = json!({"type": "execution", "id": id_of(number), "model": if number.is_multiple_of(2) { "flux" } else { "sdxl" },
        "startedAt": Instant(at.0 - SECOND_US).to_rfc3339(), "finishedAt": at.to_rfc3339(), "outcome": "SUCCEEDED",
        "vm": format!("m{}", number % 3), "user": format!("u{}", number % 7)});
    if number.is_multiple_of(RARE) {
        line["checkpoints"] = json!([{"kind": "LORA", "name": "rare", "version": "1"}]);
    }
    if number.is_multiple_of(5) {
        line["outcome"] = json!("FAILED");
        line["errorType"] = json!("OOM");
    }
    line
}

fn machine(name: &str, state: &str, instance_type: &str) -> Value {
    json!({"type": "vmState", "id": Uuid::from_u128(0xabc0 + u128::from(name.as_bytes()[1])), "vm": name, "state": state,
        "at": "2026-03-01T00:00:00Z", "instanceType": instance_type, "region": "eu"})
}

async fn write(store: &Store, lines: &[Value]) {
    let context = ReadContext { now: now(), strict: true, oldest: None };
    let events = lines.iter().map(|line| read_line(line.to_string().as_bytes(), &context).unwrap().event);
    let (writer, handle) = Writer::new(store.clone());
    let running = tokio::spawn(writer.run());
    let written = handle.write((1..).zip(events).collect(), 0).await.unwrap();
    assert_eq!(written.accepted, lines.len() as u64, "{written:?}");
    drop(handle);
    running.await.unwrap();
}

async fn ids(reading: &Reading, dimension: NameDimension, name: &str) -> HashSet<u32> {
    reading.snapshot.name_ids(dimension, &[name.to_owned()]).await.unwrap().into_iter().collect()
}

/// Numbers of the executions that match, newest first, then by id.
fn expected(window: Window, matches: impl Fn(u64) -> bool) -> Vec<NewestFirst> {
    let mut keys: Vec<NewestFirst> = (0..EXECUTIONS)
        .filter(|number| matches(*number))
        .map(|number| (finished_at(number), id_of(number)))
        .filter(|(at, _)| window.contains(*at))
        .collect();
    keys.sort_by_key(|(at, id)| (std::cmp::Reverse(*at), *id));
    keys
}

/// The whole list in its order, read a page at a time.
async fn walk(reading: &Reading, window: Window, filter: &Filter, limit: u64, backwards: bool) -> Vec<NewestFirst> {
    let mut page = Page { backwards, limit, ..Page::default() };
    let mut found = Vec::new();
    loop {
        let rows = listing::executions(reading, window, filter, &page).await.unwrap();
        assert!(rows.len() as u64 <= limit);
        let keys: Vec<NewestFirst> = rows.iter().map(|row| (Instant(row.finished_at), row.id)).collect();
        let Some(last) = keys.last().copied() else { break };
        *(if backwards { &mut page.before } else { &mut page.after }) = Some(last);
        found.extend(keys);
    }
    if backwards {
        found.reverse();
    }
    found
}

async fn assert_walks(reading: &Reading, window: Window, filter: &Filter, sizes: &[u64], expected: &[NewestFirst]) {
    for size in sizes {
        for backwards in [false, true] {
            assert_eq!(
                walk(reading, window, filter, *size, backwards).await,
                expected,
                "{size} a page, backwards: {backwards}, {filter:?}"
            );
        }
    }
}

async fn pages_of_executions(store: &Store) {
    let mut lines: Vec<Value> = (0..EXECUTIONS).map(execution).collect();
    lines.extend([machine("m0", "RUNNING", "large"), machine("m1", "RUNNING", "small"), machine("m2", "STOPPED", "small")]);
    write(store, &lines).await;
    let reading = Reader::new(store.clone()).begin().await.unwrap();
    let all = Filter::default();

    // Both ends of the window stand on an instant that several share.
    let few = Window { start: finished_at(30), end: finished_at(66) };
    assert_walks(&reading, few, &all, &[1, 2, 7, 36, 51], &expected(few, |_| true)).await;
    assert_walks(&reading, everything(), &all, &[201], &expected(everything(), |_| true)).await;
    assert_walks(&reading, Window { start: now(), end: Instant(now().0 + 1) }, &all, &[5], &[]).await;

    // Behind one key and before another.
    let between = expected(few, |_| true);
    let mut page = Page { after: Some(between[4]), before: Some(between[9]), backwards: false, limit: 50 };
    for (backwards, limit, rows) in [(false, 50, 5..9), (false, 2, 5..7), (true, 2, 7..9)] {
        (page.backwards, page.limit) = (backwards, limit);
        let rows_found = listing::executions(&reading, few, &all, &page).await.unwrap();
        let mut keys: Vec<NewestFirst> = rows_found.iter().map(|row| (Instant(row.finished_at), row.id)).collect();
        keys.sort_by_key(|(at, id)| (std::cmp::Reverse(*at), *id));
        assert_eq!(keys, between[rows]);
    }
    filters_of_executions(&reading).await;
}

async fn filters_of_executions(reading: &Reading) {
    let window = everything();
    let column = |filter: &mut Filter, column: KeyColumn, ids: HashSet<u32>| drop(filter.columns.insert(column as usize, ids));

    let mut user = Filter::default();
    column(&mut user, KeyColumn::User, ids(reading, NameDimension::User, "u3").await);
    assert_walks(reading, window, &user, &[101], &expected(window, |number| number % 7 == 3)).await;
    column(&mut user, KeyColumn::Outcome, HashSet::from([Outcome::Failed.code() as u32 + 1]));
    assert_walks(reading, window, &user, &[11], &expected(window, |number| number % 35 == 10)).await;

    let model = Filter { models: Some(ids(reading, NameDimension::Model, "sdxl").await), ..Filter::default() };
    assert_walks(reading, window, &model, &[201], &expected(window, |number| number % 2 == 1)).await;

    let small = Some(ids(reading, NameDimension::InstanceType, "small").await);
    let place = Filter { instance_types: small.clone(), models: model.models.clone(), ..Filter::default() };
    assert_walks(reading, window, &place, &[201], &expected(window, |number| number % 2 == 1 && number % 3 != 0)).await;

    // Several steps pass without a match, and the page ends between two of them.
    let rare = reading.snapshot.checkpoint_id(CheckpointKind::Lora, "rare").await.unwrap();
    let rare = Filter { checkpoints: Some(rare.into_iter().collect()), ..Filter::default() };
    assert_walks(reading, window, &rare, &[1, 2, 51], &expected(window, |number| number % RARE == 0)).await;

    for nothing in [
        Filter { models: Some(HashSet::new()), ..Filter::default() },
        Filter { checkpoints: rare.checkpoints, instance_types: Some(HashSet::from([u32::MAX >> 1])), ..Filter::default() },
        Filter { columns: [(KeyColumn::User as usize, HashSet::new())].into(), ..Filter::default() },
    ] {
        assert_walks(reading, window, &nothing, &[51], &[]).await;
    }
    for number in [0, 1, EXECUTIONS - 1] {
        let row = reading.snapshot.execution_fetch(id_of(number)).await.unwrap().unwrap();
        assert_eq!((Instant(row.finished_at), row.id), (finished_at(number), id_of(number)));
    }
    assert!(reading.snapshot.execution_fetch(Uuid::from_u128(0xabc0 + u128::from(b'0'))).await.unwrap().is_none(), "a machine's state");
    assert!(reading.snapshot.execution_fetch(Uuid::from_u128(1)).await.unwrap().is_none());
}

/// A filter, the states that are asked for, and the machines that it leaves.
type MachineCase<'a> = (&'a Filter, Option<&'a [VmState]>, &'a [&'a str]);

async fn pages_of_machines(store: &Store) {
    let reading = Reader::new(store.clone()).begin().await.unwrap();
    let small = Filter { instance_types: Some(ids(&reading, NameDimension::InstanceType, "small").await), ..Filter::default() };
    let named = ids(&reading, NameDimension::Vm, "m1").await;
    let named = Filter { columns: [(KeyColumn::Vm as usize, named)].into(), ..Filter::default() };
    let (running, failed) = ([VmState::Running], [VmState::Failed]);
    let cases: [MachineCase<'_>; 6] = [
        (&Filter::default(), None, &["m0", "m1", "m2"]),
        (&Filter::default(), Some(&running), &["m0", "m1"]),
        (&Filter::default(), Some(&failed), &[]),
        (&small, None, &["m1", "m2"]),
        (&small, Some(&running), &["m1"]),
        (&named, None, &["m1"]),
    ];
    for (filter, states, names) in cases {
        for backwards in [false, true] {
            for limit in [1, 2, 51] {
                let mut page = NamePage { backwards, limit, ..NamePage::default() };
                let mut found: Vec<String> = Vec::new();
                loop {
                    let mut rows = listing::machines(&reading, filter, states, &page).await.unwrap();
                    if backwards {
                        rows.reverse();
                    }
                    let Some(last) = rows.last() else { break };
                    *(if backwards { &mut page.before } else { &mut page.after }) = Some((last.name.clone(), last.id));
                    found.extend(rows.into_iter().map(|row| row.name));
                }
                if backwards {
                    found.reverse();
                }
                assert_eq!(found, names, "{limit} a page, backwards: {backwards}");
            }
        }
    }
}

/// A job's lines, each with its own id.
fn job_lines() -> Vec<Value> {
    let at = |second: u32| format!("2026-03-01T20:00:{second:02}Z");
    let id = |number: u128| Uuid::from_u128(0x0b00 + number);
    let change = |number: u128, job: &str, second: u32, state: &str| json!({"type": "job", "id": id(number), "job": job, "at": at(second), "state": state, "model": "flux", "user": "asked"});
    let attempt = |number: u128, job: Option<&str>, attempt: u32, second: u32, outcome: &str| {
        let mut line = json!({"type": "execution", "id": id(number), "attempt": attempt, "model": "sdxl", "user": format!("by{attempt}"),
            "startedAt": at(second - 2), "finishedAt": at(second), "queuedAt": at(second - 3), "outcome": outcome});
        if let Some(job) = job {
            line["job"] = json!(job);
        }
        if outcome == "FAILED" {
            line["errorType"] = json!("OOM");
        }
        line
    };
    let mut again = change(33, "again", 30, "RUNNING");
    again["attempt"] = json!(3);
    vec![
        // Both attempts end at one instant: the second is the later one, though a failure has the higher code.
        change(10, "twice", 1, "QUEUED"),
        attempt(11, Some("twice"), 1, 20, "FAILED"),
        attempt(12, Some("twice"), 2, 20, "SUCCEEDED"),
        // The change to RUNNING and the end share an instant.
        change(20, "short", 20, "RUNNING"),
        attempt(21, Some("short"), 1, 20, "CANCELLED"),
        // It runs again, for the third time, and the second attempt has not arrived.
        attempt(31, Some("again"), 1, 20, "FAILED"),
        again,
        attempt(41, None, 1, 20, "SUCCEEDED"),
    ]
}

async fn jobs(store: &Store) {
    write(store, &job_lines()).await;
    let reading = Reader::new(store.clone()).begin().await.unwrap();
    let mut keys = Vec::new();
    for number in [11, 21, 31, 41] {
        keys.push(reading.snapshot.execution_fetch(Uuid::from_u128(0x0b00 + number)).await.unwrap().unwrap().job_key);
    }
    let jobs = plimsoll_domain::job::pending::jobs(&reading.snapshot, &[keys.clone(), vec![Uuid::from_u128(1)]].concat()).await.unwrap();
    assert_eq!(jobs.len(), 4);
    let second = |second: i64| Instant(Instant::parse("2026-03-01T20:00:00Z").unwrap().0 + second * SECOND_US);
    for (key, name, state, attempts, user, finished_at) in [
        (keys[0], Some("twice"), JobState::Succeeded, 2, "by2", Some(20)),
        (keys[1], Some("short"), JobState::Cancelled, 1, "by1", Some(20)),
        (keys[2], Some("again"), JobState::Running, 3, "asked", None),
        (keys[3], None, JobState::Succeeded, 1, "by1", Some(20)),
    ] {
        let job = &jobs[&key];
        assert_eq!((job.name.as_deref(), job.state, job.attempts), (name, state, attempts));
        assert_eq!(job.finished_at, finished_at.map(second), "{name:?}");
        assert!(ids(&reading, NameDimension::User, user).await.contains(&job.ids[1]), "{name:?}");
        assert_eq!((job.queued_at, job.started_at), (Some(second(17)), Some(second(18))), "{name:?}");
    }
}

async fn audit(store: &Store) {
    let entry = |number: u64| AuditRow {
        at: finished_at(number),
        id: id_of(number),
        subject: format!("s{}", number % 2),
        roles: vec!["ADMIN".to_owned(), "PIPELINE_TD".to_owned()],
        operation: String::new(),
        fields: if number == 0 { Vec::new() } else { vec!["vms".to_owned(), "executions".to_owned()] },
        allowed: !number.is_multiple_of(4),
        address: (number > 3).then(|| "127.0.0.1".to_owned()),
    };
    store.audit_append(Vec::new()).await.unwrap();
    store.audit_append((0..10).map(entry).collect()).await.unwrap();
    let mut sorted: Vec<AuditRow> = (0..10).map(entry).collect();
    sorted.sort_by_key(|row| (std::cmp::Reverse(row.at), row.id));
    for subjects in [None, Some(vec!["s1".to_owned()]), Some(Vec::new())] {
        let of = |row: &&AuditRow| subjects.as_ref().is_none_or(|subjects| subjects.contains(&row.subject));
        let expected: Vec<AuditRow> = sorted.iter().filter(of).cloned().collect();
        for backwards in [false, true] {
            let snapshot = store.snapshot().await.unwrap();
            let mut page = Page { backwards, limit: 3, ..Page::default() };
            let mut found = Vec::new();
            loop {
                let rows = snapshot.audit_page(everything(), subjects.as_deref(), &page).await.unwrap();
                let Some(last) = rows.last().map(|row| (row.at, row.id)) else { break };
                *(if backwards { &mut page.before } else { &mut page.after }) = Some(last);
                found.extend(rows);
            }
            if backwards {
                found.reverse();
            }
            assert_eq!(found, expected, "backwards: {backwards}, {subjects:?}");
        }
    }
    store.audit_prune(finished_at(EQUAL)).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.audit_fetch(finished_at(0), id_of(0)).await.unwrap(), None);
    assert_eq!(snapshot.audit_fetch(finished_at(EQUAL), id_of(EQUAL)).await.unwrap(), Some(entry(EQUAL)));
}

async fn lists(url: &str) {
    let store = Store::open(url, Arc::new(FixedClock::at(now()))).await.unwrap();
    store.migrate().await.unwrap();
    pages_of_executions(&store).await;
    pages_of_machines(&store).await;
    jobs(&store).await;
    audit(&store).await;
    store.close().await;
}

#[tokio::test]
async fn lists_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    lists(&format!("sqlite://{}?mode=rwc", folder.path().join("plimsoll.db").display())).await;
}

#[tokio::test]
async fn lists_on_postgres() {
    let Ok(server) = std::env::var("PLIMSOLL_TEST_POSTGRES_URL") else {
        println!("skipped: lists on PostgreSQL (PLIMSOLL_TEST_POSTGRES_URL is not set)");
        return;
    };
    let name = format!("plimsoll_lists_{}", std::process::id());
    execute(&server, format!("CREATE DATABASE {name}")).await;
    let options: sqlx::postgres::PgConnectOptions = server.parse().unwrap();
    let url = options.database(&name).to_url_lossy().to_string();
    // A failure must not leave the database behind.
    let outcome = tokio::spawn(async move { lists(&url).await }).await;
    execute(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    outcome.unwrap();
}

async fn execute(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}
