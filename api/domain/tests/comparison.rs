//! Two slices compared by their sketches and as they were told say the same, but for what sketches leave open; on both databases.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;
#[path = "any_plan/random.rs"]
#[expect(dead_code, reason = "shared with another test")]
mod random;

use std::sync::Arc;

use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::cell::compactor::Compactor;
use plimsoll_domain::cell::part::{KeyColumn, Part};
use plimsoll_domain::clock::FixedClock;
use plimsoll_domain::comparison::{Comparison, EXACT_MAX, Slice, Verdict};
use plimsoll_domain::ingest::IngestSink as _;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_domain::ingest::writer::Writer;
use plimsoll_domain::store::NameDimension;
use plimsoll_entity::value::time::{DAY_US, Instant, SECOND_US, Window};
use serde_json::{Value, json};
use uuid::Uuid;

use database::Database;
use random::Random;

/// 2026-03-02T00:00:00Z.
const START: Instant = Instant(1_772_409_600_000_000);
const USERS: [&str; 3] = ["steady", "slow", "steady too"];

/// Three users: the second takes a fifth longer, the third no longer than the first.
fn lines(random: &mut Random) -> Vec<Value> {
    let line = |number: i64| {
        let user = (number % 3) as usize;
        let inference_ms = (500.0 + 400.0 * random.fraction()) * if user == 1 { 1.2 } else { 1.0 };
        let started_at = Instant(START.0 + random.between(0, 3 * DAY_US));
        let outcome = random.pick(&["SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "FAILED"]);
        json!({"type": "execution", "id": Uuid::from_u128(number as u128 + 1), "model": "sdxl", "modelVersion": "1", "user": USERS[user],
            "startedAt": started_at.to_rfc3339(), "finishedAt": Instant(started_at.0 + 2 * SECOND_US).to_rfc3339(), "outcome": outcome,
            "inferenceMs": inference_ms, "errorType": (outcome == "FAILED").then_some("TIMEOUT")})
    };
    (0..1_500).map(line).collect()
}

async fn compared(reader: &Reader, users: [&str; 2], exact_max: u64) -> Comparison {
    let reading = reader.begin().await.unwrap();
    let ids = reading.snapshot.name_ids(NameDimension::User, &users.map(str::to_owned)).await.unwrap();
    let slice = |id: u32| {
        let mut filter = Filter::default();
        filter.columns.insert(KeyColumn::User as usize, [id].into());
        let window = Window::of(START.0 + 3 * SECOND_US, START.0 + 3 * DAY_US - SECOND_US);
        Slice { window, filter, parts: [Part::Inference].into() }
    };
    let mut names = Vec::new();
    for id in &ids {
        names.push((reading.snapshot.name_list(&[*id]).await.unwrap()[0].name.clone(), *id));
    }
    let id = |user: &str| names.iter().find(|(name, _)| name == user).unwrap().1;
    reader.comparison(&reading, &slice(id(users[0])), &slice(id(users[1])), exact_max).await.unwrap()
}

async fn both_ways_say_the_same(database: Database) {
    let now = Instant(START.0 + 4 * DAY_US);
    let store = database.open(Arc::new(FixedClock::at(now))).await;
    let (writer, handle) = Writer::new(store.clone());
    tokio::spawn(writer.run());
    let context = ReadContext { now, strict: true, oldest: None };
    let lines = lines(&mut Random::new(7));
    let events = (1..).zip(lines.iter().map(|line| read_line(line.to_string().as_bytes(), &context).unwrap().event)).collect();
    assert_eq!(handle.write(events, 0).await.unwrap().accepted, lines.len() as u64);
    Compactor::new(store.clone()).run_once(now).await.unwrap();
    let reader = Reader::new(store.clone());
    for (users, verdict) in [
        ([USERS[0], USERS[1]], Verdict::Slower),
        ([USERS[1], USERS[2]], Verdict::Faster),
        ([USERS[0], USERS[2]], Verdict::NoClearDifference),
    ] {
        let (told, sketched) = (compared(&reader, users, EXACT_MAX).await, compared(&reader, users, 0).await);
        assert_eq!((told.verdict, sketched.verdict), (verdict, verdict), "{users:?}");
        assert_eq!((&told.baseline, &told.candidate), (&sketched.baseline, &sketched.candidate));
        assert_eq!(told.success_ratio_change, sketched.success_ratio_change);
        let close = |a: Option<f64>, b: Option<f64>, least: f64| (a.unwrap() - b.unwrap()).abs() < least;
        for (a, b) in told.inference_changes.into_iter().zip(sketched.inference_changes) {
            assert!(close(a, b, 0.025), "{a:?} {b:?}");
        }
        assert!(close(told.inference_p_value, sketched.inference_p_value, 0.02), "{told:?} {sketched:?}");
    }
    store.close().await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_say_the_same_on_sqlite() {
    both_ways_say_the_same(Database::sqlite("comparison", 0).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_say_the_same_on_postgres() {
    let Some(database) = Database::postgres("both_ways_say_the_same_on_postgres", 95).await else { return };
    both_ways_say_the_same(database).await;
}
