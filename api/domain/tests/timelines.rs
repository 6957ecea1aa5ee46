//! Timelines say one thing: whatever the order of arrival, however far the worker has come, whoever it was, by every plan; and what
//! they say is what a brute force over the raw events says, on both databases.
//!
//! Cases are random and named by a seed, which a failure prints; `PLIMSOLL_TEST_SEED` asks for one seed alone.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

#[path = "timelines/answers.rs"]
mod answers;
#[path = "timelines/checks.rs"]
mod checks;
#[path = "timelines/costs.rs"]
mod costs;
#[path = "any_plan/database.rs"]
mod database;
#[path = "any_plan/directory.rs"]
#[allow(dead_code, reason = "shared with another test")]
mod directory;
#[path = "timelines/events.rs"]
mod events;
#[path = "any_plan/fleet.rs"]
#[allow(dead_code, clippy::double_ended_iterator_last, reason = "shared with another test")]
mod fleet;
#[path = "timelines/leases.rs"]
mod leases;
#[path = "any_plan/random.rs"]
mod random;
#[path = "timelines/truth.rs"]
mod truth;
#[path = "timelines/world.rs"]
mod world;

use std::sync::Arc;

use plimsoll_domain::ingest::event::Event;
use plimsoll_entity::value::time::{DAY_US, Instant, MINUTE_US, SECOND_US};

use answers::{Question, ask, question, same};
use checks::Checked;
use database::Database;
use directory::Directory;
use events::{NOW_US, end};
use leases::one_at_a_time;
use random::Random;
use truth::Truth;
use world::World;

/// Cases on SQLite; on PostgreSQL there is one less.
const CASES: u64 = 2;
/// Questions at the end of a case.
const QUESTIONS: usize = 12;
/// When everything is compared.
const COMPARED_AT: Instant = Instant(NOW_US + 40 * MINUTE_US);

fn seeds(first: u64, cases: u64) -> Vec<u64> {
    match std::env::var("PLIMSOLL_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (first..first + cases).collect(),
    }
}

/// The events as they arrive, each batch with what the clock then says at least: everything late, or most of it in time.
fn arrivals(random: &mut Random, events: &[Event]) -> Vec<(Instant, Vec<Event>)> {
    let in_time = random.chance(60);
    let mut arriving: Vec<(Instant, Event)> = Vec::new();
    for event in events {
        let late_us = match random.below(10) {
            // Clocks differ.
            0 => -4 * MINUTE_US,
            1 => random.between(0, 2 * DAY_US),
            _ => random.between(0, 20 * SECOND_US),
        };
        let at = if in_time { Instant((end(event).0 + late_us).min(NOW_US)) } else { Instant(NOW_US) };
        arriving.push((at, event.clone()));
    }
    random.shuffle(&mut arriving);
    arriving.sort_by_key(|(at, _)| *at);
    let mut batches = Vec::new();
    while !arriving.is_empty() {
        let rest = arriving.split_off((random.between(1, 40) as usize).min(arriving.len()));
        let batch = std::mem::replace(&mut arriving, rest);
        let at = batch.iter().map(|(at, _)| *at).max().unwrap();
        batches.push((at, batch.into_iter().map(|(_, event)| event).collect()));
    }
    batches
}

/// Fails unless a run of some worker leaves the answer as it is.
async fn ask_around_a_run(world: &mut World, asked: &Question) {
    let (before, as_of) = ask(&world.readers, asked).await;
    world.run().await;
    let (after, later) = ask(&world.readers, asked).await;
    assert_eq!(as_of, later);
    same(&before, &after, &("before and after a run", asked));
}

/// Fails unless what is said is true.
async fn check(world: &World, random: &mut Random, events: &[Event]) {
    let reader = &world.readers[0];
    let reading = &reader.begin().await.unwrap();
    let (directory, truth) = (&Directory::read(&reading.snapshot).await, &Truth::new(events, world.now()));
    Checked { reader, reading, directory, truth }.all(random).await;
}

/// The events in any order and split, workers that come, stop and are taken over from: as one worker that gets them in order.
async fn any_order(one: &Database, other: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let naming = events::naming(&mut random);
    let events = events::events(&mut random);
    let arrivals = arrivals(&mut random, &events);

    let mut world = World::open(one, Instant(events::START_US)).await;
    world.send(&naming).await;
    let priced_at = random.below(arrivals.len() as u64) as usize;
    for (number, (at, batch)) in arrivals.iter().enumerate() {
        world.at_least(*at);
        if number == priced_at {
            world.enter_prices().await;
        }
        world.send(batch).await;
        match random.below(6) {
            0 => drop(world.run().await),
            1 => world.run_and_die().await,
            2 => ask_around_a_run(&mut world, &question(&mut random)).await,
            _ => {}
        }
    }
    world.at_least(COMPARED_AT);
    world.run_and_die().await;
    let questions: Vec<Question> = (0..QUESTIONS).map(|_| question(&mut random)).collect();
    let mut answers = Vec::new();
    for asked in &questions {
        answers.push(ask(&world.readers, asked).await.0);
    }
    world.run_to_end().await;

    let mut plain = World::open(other, COMPARED_AT).await;
    plain.send(&naming).await;
    if random.chance(50) {
        plain.enter_prices().await;
        plain.send(&events).await;
    } else {
        plain.send(&events).await;
        plain.run_to_end().await;
        plain.enter_prices().await;
    }
    plain.run_to_end().await;
    plain.kept().await.same(&world.kept().await);
    plain.at_least(world.now());
    for (asked, answer) in questions.iter().zip(&answers) {
        same(answer, &ask(&world.readers, asked).await.0, &("before and after the last run", asked));
        same(answer, &ask(&plain.readers, asked).await.0, &("in any order and in order", asked));
    }
    check(&plain, &mut random, &events).await;
    costs::adds_up(&plain.readers[0], &plain.readers[0].begin().await.unwrap(), &mut random).await;
    world.close().await;
    plain.close().await;
}

macro_rules! on {
    ($test:ident, $open:expr, $case:ident, $first:expr, $cases:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            for seed in seeds($first, $cases) {
                let Some(one) = $open(stringify!($test), seed).await else { return };
                let Some(other) = $open(stringify!($test), seed + 10_000).await else { return };
                let databases = Arc::new((one, other));
                let case = {
                    let databases = Arc::clone(&databases);
                    async move { $case(&databases.0, &databases.1, seed).await }
                };
                // In a task of its own, so that the databases are dropped when the case fails.
                let ended = tokio::spawn(case).await;
                databases.0.remove().await;
                databases.1.remove().await;
                if let Err(error) = ended {
                    panic!("PLIMSOLL_TEST_SEED={seed} fails: {error}");
                }
            }
        }
    };
}

on!(sqlite_keeps_one_truth, Database::sqlite, any_order, 1, CASES);
on!(postgres_keeps_one_truth, Database::postgres, any_order, 101, CASES - 1);
on!(sqlite_has_one_worker, Database::sqlite, one_at_a_time, 201, 1);
on!(postgres_has_one_worker, Database::postgres, one_at_a_time, 301, 1);
