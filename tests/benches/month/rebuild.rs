//! How long timelines take to be built: the whole month, and one hour of one machine.

use std::sync::Arc;
use std::time::Instant as Stopwatch;

use plimsoll_domain::catalog::Catalog;
use plimsoll_domain::clock::SystemClock;
use plimsoll_domain::concurrency::packer::Packer;
use plimsoll_domain::cost::card::{InstanceEntry, RateCard};
use plimsoll_domain::cost::entering::enter_card;
use plimsoll_domain::cost::prices::PricesCache;
use plimsoll_domain::machine::fleet::FleetCache;
use plimsoll_domain::store::{DirtyMarks, Repriced, Store};
use plimsoll_domain::timeline::rebuild::{Pending, Pricer, Rebuild, rebuild};
use plimsoll_domain::timeline::worker::TimelineWorker;
use plimsoll_entity::value::hours::Hours;
use plimsoll_entity::value::time::{DAY_US, Instant};
use plimsoll_tests::Server;
use plimsoll_tests::load::{DAYS, MACHINES};
use serde_json::json;
use uuid::Uuid;

use crate::START;

/// Seconds that the whole month may take.
const MONTH_WANTED_S: f64 = 300.0;
/// Milliseconds that a machine-hour may take, priced.
const HOUR_WANTED_MS: f64 = 100.0;
/// Machine-hours that are measured one by one.
const HOURS: usize = 41;

/// Whether nothing is left to be folded and built: a question that needs everything is answered, and no faster a second time.
pub async fn is_settled(server: &Server) -> bool {
    let query = "query($w: TimeWindowInput!) { usageBreakdown(window: $w, by: [DEPARTMENT]) { rowCount } }";
    let variables = json!({ "w": { "start": START.to_string(), "end": crate::questions::end().to_string() } });
    let started = Stopwatch::now();
    let (_, answer) = server.ask(&["ADMIN"], query, variables).await;
    answer["errors"].is_null() && started.elapsed().as_secs_f64() < 1.0
}

fn hours() -> (i32, i32) {
    (START.hour(), START.hour() + 24 * DAYS as i32 - 1)
}

/// Prices of every type of machine, which change in the middle of the month.
fn cards() -> [RateCard; 2] {
    let card = |id: u128, effective_from, hourly: i64| RateCard {
        id: Uuid::from_u128(id),
        currency: "USD".to_owned(),
        effective_from,
        instance_rates: [1, 2, 4, 8]
            .into_iter()
            .map(|gpus| InstanceEntry { instance_type: format!("gpu-{gpus}"), region: None, purchase_option: None, hourly: hourly * gpus })
            .collect(),
        storage_rates: Vec::new(),
        transfer_rates: Vec::new(),
        created_at: START,
        created_by: "benchmark".to_owned(),
    };
    [card(1, START, 1_006_000_000), card(2, Instant(START.0 + 15 * DAY_US + 1_234_567), 951_300_007)]
}

/// Prices the month: two cards, and one pass of the worker over everything that they touch.
async fn price(name: &str, store: &Store, worker: &mut TimelineWorker) {
    for card in cards() {
        // A database that was measured before has them.
        enter_card(store, &card).await.unwrap();
    }
    let mut marks = DirtyMarks::default();
    let (first, last) = hours();
    marks.prices(Repriced::Values, first, last);
    let (took, priced) = pass(store, worker, marks).await;
    println!(
        "  {name}: the month priced in {took:.0} s: {priced} machine-hours, {:.2} ms each; {:.2} of the limit (wanted below 1)",
        took * 1_000.0 / priced as f64,
        took / MONTH_WANTED_S
    );
}

/// One pass of a worker over these marks; seconds and hours built.
async fn pass(store: &Store, worker: &mut TimelineWorker, marks: DirtyMarks) -> (f64, usize) {
    let mut tx = store.begin_write().await.unwrap();
    tx.dirty_append(marks).await.unwrap();
    tx.commit().await.unwrap();
    let (started, mut built) = (Stopwatch::now(), 0);
    loop {
        let progress = worker.run_once(store.clock().now()).await.unwrap();
        assert!(!progress.is_elsewhere);
        built += progress.hours;
        if !progress.is_cut {
            return (started.elapsed().as_secs_f64(), built);
        }
    }
}

/// Builds and prices one hour of one machine from its facts and replaces it; seconds.
async fn one_hour(store: &Store, vm: u32, hour: i32) -> f64 {
    let mut dirty = Hours::default();
    dirty.insert(hour, hour);
    let now = store.clock().now();
    let snapshot = store.snapshot().await.unwrap();
    let fleet = FleetCache::default().fleet(&snapshot).await.unwrap();
    let pending = Pending::of(&snapshot, &fleet, now).await.unwrap();
    drop(snapshot);
    let (cache, catalog, nothing) = (PricesCache::default(), Catalog::default(), Hours::default());
    let started = Stopwatch::now();
    let snapshot = store.snapshot().await.unwrap();
    let prices = cache.prices(&snapshot).await.unwrap();
    let (machine, pricer) = (pending.view(&fleet, vm), Some(Pricer { prices: &prices, catalog: &catalog, spreads: true }));
    let (dirty, priced, until) = (&dirty, &nothing, now.hour());
    let asked = Rebuild { snapshot: &snapshot, machine, jobs: &[], dirty, priced, pricer, until, now, hours_max: 1 };
    let rebuilt = rebuild(asked).await.unwrap();
    assert_eq!((rebuilt.hours.len(), rebuilt.costs.len()), (1, 1));
    drop(snapshot);
    let mut tx = store.begin_write().await.unwrap();
    tx.machine_hour_replace(vm, rebuilt.hours).await.unwrap();
    tx.cost_hour_replace(vm, rebuilt.costs, 0).await.unwrap();
    tx.commit().await.unwrap();
    started.elapsed().as_secs_f64()
}

/// Measures on a database that has been loaded.
pub async fn run(name: &str, url: &str) {
    let store = Store::open(url, Arc::new(SystemClock)).await.unwrap();
    let mut worker = TimelineWorker::new(store.clone(), Uuid::from_u128(7));
    // Whatever is left of before is not measured.
    pass(&store, &mut worker, DirtyMarks::default()).await;
    price(name, &store, &mut worker).await;
    let (mut hours_s, mut runs_s) = (Vec::with_capacity(HOURS), Vec::with_capacity(HOURS));
    for number in 0..HOURS {
        let (vm, hour) = ((number * 37 % MACHINES) as u32 + 1, hours().0 + number as i32 * 17 + 5);
        hours_s.push(one_hour(&store, vm, hour).await);
        let mut marks = DirtyMarks::default();
        marks.machine_hours(vm, hour, hour);
        runs_s.push(pass(&store, &mut worker, marks).await.0);
    }
    let median_ms = |seconds: &mut Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        seconds[HOURS / 2] * 1_000.0
    };
    let (hour_ms, run_ms) = (median_ms(&mut hours_s), median_ms(&mut runs_s));
    println!(
        "  {name}: one machine-hour built and priced from facts in {hour_ms:.1} ms at the median; {:.2} of the limit (wanted below 1); a whole run of the worker over it, with the cells of its day, {run_ms:.0} ms",
        hour_ms / HOUR_WANTED_MS
    );
    let (mut marks, (first, last)) = (DirtyMarks::default(), hours());
    (1..=MACHINES as u32).for_each(|vm| marks.machine_hours(vm, first, last));
    let (took, built) = pass(&store, &mut worker, marks).await;
    println!(
        "  {name}: the month rebuilt and priced in {took:.0} s: {built} machine-hours, {:.2} ms each; {:.2} of the limit (wanted below 1)",
        took * 1_000.0 / built as f64,
        took / MONTH_WANTED_S
    );
    worker.release(store.clock().now()).await.unwrap();
    let (started, mut packer) = (Stopwatch::now(), Packer::new(store.clone(), Uuid::from_u128(8)));
    // The first look only remembers what there is.
    let mut counted = packer.run_once(store.clock().now()).await.unwrap();
    loop {
        match packer.run_once(store.clock().now()).await.unwrap() {
            0 => break,
            hours => counted += hours,
        }
    }
    println!("  {name}: {counted} hours packed and counted in {:.0} s", started.elapsed().as_secs_f64());
    store.close().await;
}
