//! Concurrency from the store: any events in any order of arrival, windows, steps, dimensions and filters, counted by hand
//! instant by instant, on both databases.
//!
//! Cases are random and named by a seed, which a failure prints; `PLIMSOLL_TEST_SEED` asks for one seed alone.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;
#[path = "any_plan/random.rs"]
#[expect(dead_code, reason = "another test needs more of it")]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Reader, Reading, RowKey, Series};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::cell::part::KeyColumn;
use plimsoll_domain::clock::FixedClock;
use plimsoll_domain::concurrency::packer::Packer;
use plimsoll_domain::concurrency::{ConcurrencyFigures, ConcurrencyQuestion};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::store::Store;
use plimsoll_entity::value::label::{JobState, Outcome};
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, SECOND_US, Step, Window};
use serde_json::{Value, json};
use uuid::Uuid;

use database::Database;
use random::Random;

/// Random cases on each database.
const CASES: u64 = 12;
/// Questions of one case.
const QUESTIONS: usize = 12;
/// 2026-02-27T00:00:00Z: the events lie on both sides of the end of a month.
const START_US: i64 = 1_772_150_400_000_000;
const NOW_US: i64 = START_US + 5 * DAY_US;
const COMBINATIONS: [&[&str]; 4] = [&[], &["anime"], &["anime", "depth"], &["depth", "ink"]];

/// An execution or a change of a job, as it was told.
#[derive(Clone, Debug)]
struct Told {
    id: u128,
    job: Option<u64>,
    attempt: Option<i32>,
    vm: Option<u64>,
    user: Option<u64>,
    combination: usize,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Execution { queued_at: Option<i64>, started_at: i64, finished_at: i64, is_failed: bool },
    Job { at: i64, state: JobState },
}

/// What counts: from when to when it waits and runs.
#[derive(Clone, Debug)]
struct Counted<'t> {
    told: &'t Told,
    waits: (i64, i64),
    runs: (i64, i64),
}

/// Whole seconds, often equal ones, so that bounds meet and counting by hand can go second by second.
fn instant(random: &mut Random) -> i64 {
    let hour = START_US + random.between(0, 4 * 24) * HOUR_US;
    match random.below(4) {
        0 => hour,
        1 => hour + random.between(0, 3) * MINUTE_US,
        _ => hour + random.between(0, 3_600) * SECOND_US,
    }
}

fn told(random: &mut Random) -> Told {
    let at = instant(random);
    let job = random.maybe(60, |random| random.below(12));
    let what = if job.is_some() && random.chance(50) {
        use JobState::{Cancelled, Failed, Queued, Running, Succeeded};
        What::Job { at, state: random.pick(&[Queued, Queued, Running, Running, Succeeded, Failed, Cancelled]) }
    } else {
        let ran = random.pick(&[0, 1, 60, 1_800, 3_600, 90_000, 200_000]) * random.between(0, 3) * SECOND_US;
        let finished_at = (at + ran).min(NOW_US);
        let waited = |random: &mut Random| at - random.pick(&[0, 1, 60, 7_200, 100_000]) * SECOND_US;
        What::Execution { queued_at: random.maybe(60, waited), started_at: at, finished_at, is_failed: random.chance(30) }
    };
    Told {
        id: u128::from(random.next()) << 64 | u128::from(random.next()),
        job,
        attempt: random.maybe(60, |random| random.between(1, 3) as i32),
        vm: random.maybe(80, |random| random.below(3)),
        user: random.maybe(60, |random| random.below(3)),
        combination: random.below(4) as usize,
        what,
    }
}

fn line(told: &Told) -> Value {
    let at = |us: i64| Value::from(Instant(us).to_rfc3339());
    let checkpoints: Vec<Value> =
        COMBINATIONS[told.combination].iter().map(|name| json!({"kind": "LORA", "name": name, "version": "1"})).collect();
    let mut line = json!({"id": Uuid::from_u128(told.id), "model": "flux", "checkpoints": checkpoints});
    let optional = [
        ("job", told.job.map(|job| json!(format!("job-{job}")))),
        ("attempt", told.attempt.map(Value::from)),
        ("vm", told.vm.map(|vm| json!(format!("vm-{vm}")))),
        ("user", told.user.map(|user| json!(format!("user-{user}")))),
    ];
    let own = match told.what {
        What::Execution { queued_at, started_at, finished_at, is_failed } => vec![
            ("type", Some(json!("execution"))),
            ("queuedAt", queued_at.map(at)),
            ("startedAt", Some(at(started_at))),
            ("finishedAt", Some(at(finished_at))),
            ("outcome", Some(json!(if is_failed { "FAILED" } else { "SUCCEEDED" }))),
            ("errorType", is_failed.then(|| json!("OOM"))),
        ],
        What::Job { at: change, state } => {
            vec![("type", Some(json!("job"))), ("at", Some(at(change))), ("state", Some(json!(state.wire())))]
        }
    };
    for (key, value) in optional.into_iter().chain(own) {
        if let Some(value) = value {
            line[key] = value;
        }
    }
    line
}

async fn write(handle: &WriterHandle, batch: &[Told]) {
    let context = ReadContext { now: Instant(NOW_US), strict: true, oldest: None };
    let events = batch.iter().map(|told| read_line(line(told).to_string().as_bytes(), &context).unwrap().event);
    let written = handle.write((1..).zip(events).collect(), 0).await.unwrap();
    assert_eq!(written.accepted, batch.len() as u64, "{written:?}");
}

/// The rules, plainly.
fn counted(all: &[Told]) -> Vec<Counted<'_>> {
    let mut counted = Vec::new();
    for told in all {
        match told.what {
            What::Execution { queued_at, started_at, finished_at, .. } => {
                let waits = queued_at.map_or((0, 0), |queued_at| (queued_at, started_at));
                counted.push(Counted { told, waits, runs: (started_at, finished_at) });
            }
            What::Job { at, state } => {
                let until = at + DAY_US;
                match state {
                    JobState::Queued if is_open(all, told, at, state) => counted.push(Counted { told, waits: (at, until), runs: (0, 0) }),
                    JobState::Running if is_open(all, told, at, state) => counted.push(Counted { told, waits: (0, 0), runs: (at, until) }),
                    _ => {}
                }
            }
        }
    }
    counted
}

/// Whether this is the latest change of its job, and its attempt has no execution.
fn is_open(all: &[Told], told: &Told, at: i64, state: JobState) -> bool {
    let order = |told: &Told, at: i64, state: JobState| (at, state.code().min(2), told.attempt.unwrap_or(0), told.id);
    all.iter().filter(|other| other.job == told.job).all(|other| match other.what {
        What::Job { at: later, state: then } => order(other, later, then) <= order(told, at, state),
        What::Execution { finished_at, .. } => finished_at < at && other.attempt.unwrap_or(1) < told.attempt.unwrap_or(1),
    })
}

/// A question: by dimensions, of some machines, of some outcome.
#[derive(Clone, Debug)]
struct Asked {
    window: Window,
    step: Step,
    by: Vec<Dimension>,
    vm: Option<u64>,
    is_failed: Option<bool>,
    limit: usize,
}

fn question(random: &mut Random) -> Asked {
    let start = instant(random) + random.pick(&[0, 0, 500_000]);
    let (length, step) = random.pick(&[
        (HOUR_US, Step::Hour),
        (10 * MINUTE_US, Step::Minute),
        (5 * HOUR_US + 7 * SECOND_US, Step::Hour),
        (26 * HOUR_US, Step::Day),
        (40 * HOUR_US, Step::Month),
    ]);
    let by = random.pick(&[
        &[][..],
        &[Dimension::Vm],
        &[Dimension::Checkpoint],
        &[Dimension::CheckpointVersion, Dimension::Vm],
        &[Dimension::Combination, Dimension::User],
        &[Dimension::ErrorType],
        &[Dimension::Vm, Dimension::Combination],
    ]);
    Asked {
        window: Window::of(start, start + length),
        step,
        by: by.to_vec(),
        vm: random.maybe(25, |random| random.below(3)),
        is_failed: random.maybe(20, |random| random.chance(50)),
        limit: random.pick(&[0, 1, 3, 10_000]),
    }
}

/// A key as texts.
type Key = Vec<Option<String>>;

/// The keys of the rows in which one counts.
fn keys(asked: &Asked, told: &Told) -> BTreeSet<Key> {
    let checkpoints = COMBINATIONS[told.combination];
    let split = asked.by.iter().any(|dimension| dimension.is_checkpoint()) && !checkpoints.is_empty();
    let of = |checkpoint: Option<&str>| -> Key {
        asked
            .by
            .iter()
            .map(|dimension| match dimension {
                Dimension::Vm => told.vm.map(|vm| format!("vm-{vm}")),
                Dimension::User => told.user.map(|user| format!("user-{user}")),
                Dimension::Checkpoint => checkpoint.map(str::to_owned),
                Dimension::CheckpointVersion => checkpoint.map(|name| format!("{name} 1")),
                Dimension::Combination => {
                    Some(checkpoints.iter().fold("flux unversioned".to_owned(), |label, name| format!("{label} + {name} 1")))
                }
                _ => matches!(told.what, What::Execution { is_failed: true, .. }).then(|| "OOM".to_owned()),
            })
            .collect()
    };
    if split { checkpoints.iter().map(|name| of(Some(name))).collect() } else { [of(None)].into() }
}

fn allows(asked: &Asked, told: &Told) -> bool {
    asked.vm.is_none_or(|vm| told.vm == Some(vm))
        && asked.is_failed.is_none_or(|wanted| match told.what {
            What::Execution { is_failed, .. } => is_failed == wanted,
            What::Job { .. } => false,
        })
}

/// Sum and maximum of intervals in a window, bound by bound.
fn level(window: Window, intervals: &[(i64, i64)]) -> (i64, u32) {
    let mut bounds: BTreeSet<i64> = intervals.iter().flat_map(|(from, to)| [*from, *to]).collect();
    bounds.retain(|at| window.start.0 < *at && *at < window.end.0);
    bounds.extend([window.start.0, window.end.0]);
    let bounds: Vec<i64> = bounds.into_iter().collect();
    bounds.windows(2).fold((0, 0), |(sum, max), pair| {
        let count = intervals.iter().filter(|(from, to)| *from <= pair[0] && pair[0] < *to).count() as u32;
        (sum + i64::from(count) * (pair[1] - pair[0]), max.max(count))
    })
}

fn figures(tile: Window, counted: &[&Counted<'_>]) -> ConcurrencyFigures {
    let of = |interval: fn(&Counted<'_>) -> (i64, i64)| level(tile, &counted.iter().map(|counted| interval(counted)).collect::<Vec<_>>());
    let ((running, max), (waiting, queued_max)) = (of(|counted| counted.runs), of(|counted| counted.waits));
    let mean = |sum: i64| sum as f64 / tile.length_us() as f64;
    ConcurrencyFigures { mean: mean(running), max, queued_mean: mean(waiting), queued_max }
}

/// Rows in order with their points, and the points of everything.
type Answer = (Vec<(Key, Vec<ConcurrencyFigures>)>, Vec<ConcurrencyFigures>);

fn expected(asked: &Asked, all: &[Counted<'_>]) -> Answer {
    let overlaps = |(from, to): (i64, i64)| from.max(asked.window.start.0) < to.min(asked.window.end.0);
    let all: Vec<&Counted<'_>> = all.iter().filter(|one| allows(asked, one.told) && (overlaps(one.waits) || overlaps(one.runs))).collect();
    let mut rows: BTreeMap<Key, Vec<&Counted<'_>>> = BTreeMap::new();
    for one in &all {
        keys(asked, one.told).into_iter().for_each(|key| rows.entry(key).or_default().push(one));
    }
    let tiles = asked.window.tiles(asked.step);
    let points = |of: &[&Counted<'_>]| tiles.iter().map(|tile| figures(*tile, of)).collect::<Vec<_>>();
    let mut rows: Vec<(Key, Vec<&Counted<'_>>)> = rows.into_iter().collect();
    rows.sort_by(|(key_a, a), (key_b, b)| {
        let mean = |of: &[&Counted<'_>]| figures(asked.window, of).mean;
        let text = |key: &Key| key.iter().map(|text| (text.is_none(), text.clone())).collect::<Vec<_>>();
        mean(b).total_cmp(&mean(a)).then_with(|| text(key_a).cmp(&text(key_b)))
    });
    (rows.iter().map(|(key, of)| (key.clone(), points(of))).collect(), points(&all))
}

async fn text(reading: &Reading, dimension: Dimension, id: u32) -> Option<String> {
    let (catalog, snapshot) = (reading.sources().catalog, &reading.snapshot);
    if id == 0 {
        return None;
    }
    Some(match dimension {
        Dimension::Combination => catalog.combinations(snapshot, &[id]).await.unwrap()[&id].label.to_string(),
        Dimension::Checkpoint => catalog.checkpoints(snapshot, &[id]).await.unwrap()[&id].name.to_string(),
        Dimension::CheckpointVersion => {
            let version = Arc::clone(&catalog.checkpoint_versions(snapshot, &[id]).await.unwrap()[&id]);
            let checkpoint = &catalog.checkpoints(snapshot, &[version.checkpoint_id]).await.unwrap()[&version.checkpoint_id];
            format!("{} {}", checkpoint.name, version.version)
        }
        _ => catalog.names(snapshot, &[id]).await.unwrap()[&id].to_string(),
    })
}

async fn texts(reading: &Reading, key: &RowKey) -> Key {
    let mut texts = Vec::new();
    for (dimension, id) in key.by.iter().zip(key.ids) {
        texts.push(text(reading, *dimension, id).await);
    }
    texts
}

async fn ask(reader: &Reader, asked: &Asked) -> (usize, Answer) {
    use plimsoll_domain::store::NameDimension;
    let reading = reader.begin().await.unwrap();
    let mut filter = Filter::default();
    if let Some(vm) = asked.vm {
        let ids = reading.snapshot.name_ids(NameDimension::Vm, &[format!("vm-{vm}")]).await.unwrap();
        filter.columns.insert(KeyColumn::Vm as usize, ids.into_iter().collect());
    }
    if let Some(is_failed) = asked.is_failed {
        let outcome = if is_failed { Outcome::Failed } else { Outcome::Succeeded };
        filter.columns.insert(KeyColumn::Outcome as usize, [outcome.code() as u32 + 1].into());
    }
    let question = ConcurrencyQuestion { window: asked.window, by: asked.by.clone(), limit: asked.limit };
    let series: Series<ConcurrencyFigures> = reader.concurrency_series(&reading, &question, &filter, asked.step).await.unwrap();
    assert_eq!(series.tiles, asked.window.tiles(asked.step));
    let mut rows = Vec::new();
    for (key, points) in &series.rows {
        rows.push((texts(&reading, key).await, points.clone()));
    }
    (series.row_count, (rows, series.total))
}

/// As if the events had come before there was a table of how far executions reach.
async fn forget_reach(store: &Store) {
    let mut tx = store.begin_write().await.unwrap();
    tx.execute("DROP TABLE execution_pack", &[]).await.unwrap();
    tx.execute("DROP TABLE execution_reach", &[]).await.unwrap();
    tx.execute("DELETE FROM seaql_migrations WHERE version = 'm20261124_000004_reach'", &[]).await.unwrap();
    tx.commit().await.unwrap();
    store.migrate().await.unwrap();
}

async fn case(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let store: Store = database.open(Arc::new(FixedClock::at(Instant(NOW_US)))).await;
    let (writer, handle) = Writer::new(store.clone());
    let running = tokio::spawn(writer.run());
    let all: Vec<Told> = (0..random.between(1, 90)).map(|_| told(&mut random)).collect();
    let batch = random.between(1, 30) as usize;
    let mut packer = Packer::new(store.clone(), Uuid::from_u128(1)).with_least(1);
    for batch in all.chunks(batch) {
        write(&handle, batch).await;
        // Now and then: some hours are packed, some become stale, some are read from rows.
        if random.chance(40) {
            packer.run_once(Instant(NOW_US)).await.unwrap();
        }
    }
    if random.chance(30) {
        forget_reach(&store).await;
    }
    if random.chance(50) {
        // The first looks only.
        packer.run_once(Instant(NOW_US)).await.unwrap();
        while packer.run_once(Instant(NOW_US)).await.unwrap() > 0 {}
    }
    let (counted, reader) = (counted(&all), Reader::new(store.clone()));
    for _ in 0..QUESTIONS {
        let asked = question(&mut random);
        let (mut rows, total) = expected(&asked, &counted);
        let (row_count, answer) = ask(&reader, &asked).await;
        assert_eq!(row_count, rows.len(), "seed {seed}: {asked:?}");
        rows.truncate(asked.limit);
        assert_eq!(answer, (rows, total), "seed {seed}: {asked:?}");
    }
    drop(handle);
    running.await.unwrap();
    store.close().await;
}

fn seeds(first: u64) -> Vec<u64> {
    match std::env::var("PLIMSOLL_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (first..first + CASES).collect(),
    }
}

#[tokio::test]
async fn any_question_is_answered_as_one_counts_by_hand_on_sqlite() {
    for seed in seeds(31_000) {
        let database = Database::sqlite("concurrency", seed).await.unwrap();
        case(&database, seed).await;
    }
}

#[tokio::test]
async fn any_question_is_answered_as_one_counts_by_hand_on_postgres() {
    for seed in seeds(32_000) {
        let Some(database) = Database::postgres("concurrency", seed).await else { return };
        case(&database, seed).await;
        database.remove().await;
    }
}

#[tokio::test]
async fn questions_that_cannot_be_asked_are_refused() {
    let database = Database::sqlite("concurrency", 0).await.unwrap();
    let reader = Reader::new(database.open(Arc::new(FixedClock::at(Instant(NOW_US)))).await);
    let reading = reader.begin().await.unwrap();
    let refused = async |end_us: i64, step: Step, limit: usize| {
        let asked = ConcurrencyQuestion { window: Window::of(START_US, end_us), by: Vec::new(), limit };
        reader.concurrency_series(&reading, &asked, &Filter::default(), step).await.err()
    };
    assert!(matches!(refused(START_US, Step::Hour, 1).await, Some(BreakdownError::Question { field: "window", .. })));
    assert!(matches!(refused(START_US + HOUR_US, Step::Hour, 10_001).await, Some(BreakdownError::Question { field: "limit", .. })));
    assert!(matches!(refused(START_US + 2 * DAY_US, Step::Minute, 1).await, Some(BreakdownError::Limit(_))));
    assert!(refused(START_US + HOUR_US, Step::Hour, 1).await.is_none());
}
