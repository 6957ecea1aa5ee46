//! How long timelines take to be built: the whole month, and one hour of one machine.

use std::sync::Arc;
use std::time::Instant as Stopwatch;

use plimsoll_domain::clock::SystemClock;
use plimsoll_domain::store::{DirtyMarks, Store};
use plimsoll_domain::timeline::worker::TimelineWorker;
use plimsoll_entity::value::time::HOUR_US;
use plimsoll_tests::Server;
use plimsoll_tests::load::{DAYS, MACHINES};
use serde_json::json;
use uuid::Uuid;

use crate::START;

/// Seconds that the whole month may take.
const MONTH_WANTED_S: f64 = 300.0;
/// Milliseconds that a machine-hour may take.
const HOUR_WANTED_MS: f64 = 50.0;
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

/// Measures on a database that has been loaded.
pub async fn run(name: &str, url: &str) {
    let store = Store::open(url, Arc::new(SystemClock)).await.unwrap();
    let mut worker = TimelineWorker::new(store.clone(), Uuid::from_u128(7));
    // Whatever is left of before is not measured.
    pass(&store, &mut worker, DirtyMarks::default()).await;
    let mut seconds = Vec::with_capacity(HOURS);
    for number in 0..HOURS {
        let mut marks = DirtyMarks::default();
        let at = plimsoll_entity::value::time::Instant(START.0 + (number as i64 * 17 + 5) * HOUR_US);
        marks.machine((number * 37 % MACHINES) as u32 + 1, at);
        let (took, built) = pass(&store, &mut worker, marks).await;
        assert!(built > 0);
        seconds.push(took);
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "  {name}: a run of the worker over one machine-hour {:.0} ms at the median, with the cells of its day; (wanted {HOUR_WANTED_MS:.0})",
        seconds[HOURS / 2] * 1_000.0
    );
    let (mut marks, (first, last)) = (DirtyMarks::default(), hours());
    (1..=MACHINES as u32).for_each(|vm| marks.machine_hours(vm, first, last));
    let (took, built) = pass(&store, &mut worker, marks).await;
    println!(
        "  {name}: the month rebuilt in {took:.0} s: {built} machine-hours, {:.2} ms each; {:.2} of the limit (wanted below 1)",
        took * 1_000.0 / built as f64,
        took / MONTH_WANTED_S
    );
    worker.release(store.clock().now()).await.unwrap();
    store.close().await;
}
