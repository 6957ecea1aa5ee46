//! Workers of one store: one works at a time, and one that lost the lease writes nothing.

use futures_util::future::join_all;
use plimsoll_domain::ingest::event::Event;
use plimsoll_domain::store::StoreError;
use plimsoll_domain::timeline::worker::{LEASE_US, TimelineWorker};
use plimsoll_entity::value::time::Instant;

use super::COMPARED_AT;
use super::database::Database;
use super::events::{events, names, naming};
use super::random::Random;
use super::world::World;

/// Workers at the same time.
const RIVALS: usize = 4;
/// Machine-hours of a write: more than any machine has.
const MACHINE_HOURS_MAX: usize = 10_000;
/// When the rival takes the lease over: it has run out.
const LATER: Instant = Instant(COMPARED_AT.0 + LEASE_US);

async fn filled(database: &Database, naming: &[Event], events: &[Event]) -> World {
    let world = World::open(database, COMPARED_AT).await;
    world.send(naming).await;
    world.send(events).await;
    world
}

/// Whenever a worker loses the lease: its write fails, nothing of it stays, and the next one comes to the same end.
pub async fn one_at_a_time(one: &Database, other: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let (naming, events) = (naming(&mut random), events(&mut random));
    let mut plain = filled(other, &naming, &events).await;
    plain.run_to_end().await;
    let mut world = filled(one, &naming, &events).await;

    // The worker looks at the clock once for what is due, twice for each machine and for what has none, once for the days and once for
    // each day; each second look at a machine is within its write, when nobody else can take the lease.
    let machines = names().vms.len();
    for look in [1, 2, 4, 2 * machines, 2 * machines + 2, 2 * machines + 5] {
        let before = world.kept().await;
        let rival = world.worker().with_stops(1, 0);
        world.clock.steal(look, rival, LATER);
        // One machine after the other, so that it is known what each look is for.
        let mut worker = world.worker().with_stops(MACHINE_HOURS_MAX, usize::MAX);
        let ended = worker.run_once(COMPARED_AT).await;
        assert!(matches!(ended, Err(StoreError::Contended)), "look {look}: {ended:?}");
        let after = world.kept().await;
        if look <= 2 {
            before.same(&after);
        }
        // The rival makes the days when there is nothing else to do.
        assert!(after.days.is_empty() || look > 2 * machines + 2, "look {look}: days before their hours");
        assert!(worker.run_once(COMPARED_AT).await.unwrap().is_elsewhere, "look {look}");
        world.clock.rival().release(LATER).await.unwrap();
    }
    let workers: Vec<TimelineWorker> = (0..RIVALS).map(|_| world.worker()).collect();
    let runs = join_all(workers.into_iter().map(|mut worker| async move { worker.run_once(COMPARED_AT).await.unwrap() })).await;
    assert_eq!(runs.iter().filter(|run| !run.is_elsewhere).count(), 1, "{runs:?}");
    world.clock.advance_us(LEASE_US);
    world.run_to_end().await;
    plain.kept().await.same(&world.kept().await);
    world.close().await;
    plain.close().await;
}
