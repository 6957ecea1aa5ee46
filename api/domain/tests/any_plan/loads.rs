//! Loads: random ones, questions about them, and the answers from the raw events.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::Reading;
use plimsoll_domain::breakdown::loads::{LoadFigures, LoadOrder, LoadQuestion};
use plimsoll_domain::cell::part::Part;
use plimsoll_domain::ingest::event::{CheckpointLoad, Event, ModelVersion};
use plimsoll_entity::value::label::{LoadOutcome, StorageType};
use plimsoll_entity::value::time::{HOUR_US, Instant, MINUTE_US, Window};

use super::ask::{PLANS, Readers, Truth, same_breakdowns, window};
use super::directory::{Condition, Directory, Key, checkpoint_texts, version_text};
use super::events::{checkpoints, instant, numbered, size, uuid, vm};
use super::random::Random;
use super::raw::{Raw, check_durations, milliseconds, place_of, sorted};

const DIMENSIONS: [Dimension; 12] = [
    Dimension::ModelType,
    Dimension::Model,
    Dimension::ModelVersion,
    Dimension::Checkpoint,
    Dimension::CheckpointVersion,
    Dimension::Vm,
    Dimension::InstanceType,
    Dimension::Region,
    Dimension::Provider,
    Dimension::StorageType,
    Dimension::StorageLocation,
    Dimension::ErrorType,
];
const ORDERS: [LoadOrder; 4] = [LoadOrder::Loads, LoadOrder::Misses, LoadOrder::Bytes, LoadOrder::DurationP95];

/// A load, often one that is odd: of a model that nobody executed, without bytes, without length, failed.
pub fn load(random: &mut Random) -> Event {
    let finished_at = instant(random);
    let duration_us = if random.chance(10) { 0 } else { random.between(1, 20 * MINUTE_US) };
    let outcome = if random.chance(15) { LoadOutcome::Failed } else { LoadOutcome::Succeeded };
    let error = outcome == LoadOutcome::Failed && random.chance(80) || random.chance(3);
    Event::CheckpointLoad(Box::new(CheckpointLoad {
        id: uuid(random),
        started_at: Instant(finished_at.0 - duration_us),
        finished_at,
        vm: vm(random),
        storage_type: random.pick(StorageType::ALL),
        cache_hit: random.chance(60),
        model: ModelVersion { model: numbered(random, "model", 5), version: numbered(random, "v", 2) },
        checkpoint: checkpoints(random).into_iter().next(),
        gpu: random.maybe(50, |random| random.below(3) as u16),
        storage_location: random.maybe(60, |random| numbered(random, "store", 3)),
        size_bytes: random.maybe(75, size),
        execution: random.maybe(20, uuid),
        outcome,
        error_type: error.then(|| numbered(random, "Error", 4)),
    }))
}

fn value(raw: &Raw, load: &CheckpointLoad, dimension: Dimension) -> Option<String> {
    match dimension {
        Dimension::ModelType => raw.model_type(&load.model.model),
        Dimension::Model => Some(load.model.model.clone()),
        Dimension::ModelVersion => Some(version_text(&load.model)),
        Dimension::Checkpoint => load.checkpoint.as_ref().map(|checkpoint| checkpoint_texts(checkpoint).0),
        Dimension::CheckpointVersion => load.checkpoint.as_ref().map(|checkpoint| checkpoint_texts(checkpoint).1),
        Dimension::Vm => Some(load.vm.clone()),
        Dimension::StorageType => Some(load.storage_type.wire().to_owned()),
        Dimension::StorageLocation => load.storage_location.clone(),
        Dimension::ErrorType => load.error_type.clone(),
        place => place_of(&raw.fleet.place_at(&load.vm, load.finished_at), place),
    }
}

fn rows<'a>(raw: &'a Raw, window: Window, by: &[Dimension], conditions: &[Condition]) -> BTreeMap<Key, Vec<&'a CheckpointLoad>> {
    let mut rows: BTreeMap<Key, Vec<&CheckpointLoad>> = BTreeMap::new();
    for load in raw.loads.iter().filter(|load| window.contains(load.finished_at)) {
        let fits = conditions.iter().all(|condition| match condition {
            Condition::CacheHit(hit) => load.cache_hit == *hit,
            Condition::Outcome(_) => false,
            Condition::Any(dimension, names) => value(raw, load, *dimension).is_some_and(|value| names.contains(&value)),
        });
        if fits {
            rows.entry(by.iter().map(|dimension| value(raw, load, *dimension)).collect()).or_default().push(load);
        }
    }
    rows
}

fn check(loads: &[&CheckpointLoad], got: &LoadFigures, what: &str) {
    let count = |fits: fn(&CheckpointLoad) -> bool| loads.iter().filter(|load| fits(load)).count() as u64;
    let counts = (loads.len() as u64, count(|load| load.cache_hit), count(|load| load.outcome == LoadOutcome::Failed));
    assert_eq!((got.loads, got.cache_hits, got.failed), counts, "{what}: counts");
    let bytes: i128 = loads.iter().filter_map(|load| load.size_bytes).map(i128::from).sum();
    assert_eq!(i128::from(got.size_bytes), bytes, "{what}: bytes");
    let times = |fits: fn(&CheckpointLoad) -> bool| {
        sorted(loads.iter().filter(|load| fits(load)).map(|load| milliseconds(load.started_at, load.finished_at)))
    };
    check_durations(&times(|_| true), got.duration.as_ref(), &format!("{what}: duration"));
    check_durations(&times(|load| load.cache_hit), got.hit_duration.as_ref(), &format!("{what}: hits"));
    check_durations(&times(|load| !load.cache_hit), got.miss_duration.as_ref(), &format!("{what}: misses"));
    let sized =
        loads.iter().filter(|load| !load.cache_hit).filter_map(|load| Some((load.size_bytes?, load.finished_at.0 - load.started_at.0)));
    let (bytes, us) = sized.fold((0_i128, 0_i128), |sum, (bytes, us)| (sum.0 + i128::from(bytes), sum.1 + i128::from(us)));
    let throughput = (us > 0).then(|| bytes as f64 / (us as f64 / 1e6));
    assert_eq!(got.throughput_bytes_per_second, throughput, "{what}: throughput");
}

fn order_value(order: LoadOrder, figures: &LoadFigures) -> Option<f64> {
    match order {
        LoadOrder::Loads => Some(figures.loads as f64),
        LoadOrder::Misses => Some(figures.cache_misses() as f64),
        LoadOrder::Bytes => Some(figures.size_bytes as f64),
        LoadOrder::DurationP95 => figures.duration.map(|duration| duration.percentiles_ms[2]),
    }
}

fn conditions(random: &mut Random, raw: &Raw) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let mut asked = DIMENSIONS.to_vec();
    random.shuffle(&mut asked);
    for dimension in asked.into_iter().take(random.pick(&[0, 0, 0, 1, 1, 2])) {
        let some = |random: &mut Random| match raw.loads.len() as u64 {
            0 => None,
            loads => value(raw, &raw.loads[random.below(loads) as usize], dimension),
        };
        let names = (0..random.between(1, 4)).map(|_| some(random).unwrap_or_else(|| "nobody".to_owned())).collect();
        conditions.push(Condition::Any(dimension, names));
    }
    if random.chance(20) {
        conditions.push(Condition::CacheHit(random.chance(50)));
    }
    conditions
}

/// Asks one random question on a reading.
pub async fn ask(readers: &Readers, reading: &Reading, directory: &Directory, random: &mut Random, hints: &Raw, truth: Truth<'_>) {
    let mut by = DIMENSIONS.to_vec();
    random.shuffle(&mut by);
    by.truncate(random.pick(&[0, 1, 1, 1, 2, 2, 3, 4]));
    let every_part = random.chance(80);
    let parts: BTreeSet<Part> = Part::OF_LOADS.into_iter().filter(|_| every_part || random.chance(30)).collect();
    let window = match hints.loads.is_empty() || random.chance(85) {
        true => window(random, hints),
        false => {
            let at = hints.loads[random.below(hints.loads.len() as u64) as usize].finished_at;
            Window::of(at.0, at.0 + random.pick(&[1, MINUTE_US, HOUR_US]))
        }
    };
    let asked = LoadQuestion { window, by, parts, with_cost: false, limit: random.pick(&[0, 1, 2, 3, 5, 10_000, 10_000]) };
    let (order, conditions) = (random.pick(&ORDERS), conditions(random, hints));
    let what = format!("loads {asked:?} {order:?} {conditions:?}");
    let filter = directory.filter(&conditions);
    let mut answers = Vec::with_capacity(PLANS.len());
    for reader in &readers.0 {
        answers.push(reader.load_breakdown(reading, &asked, &filter, order).await.unwrap());
    }
    same_breakdowns(&answers, |a, b, what| assert_eq!(a, b, "{}", what()), &what);
    let answer = &answers[0];
    let Some(raw) = truth.filter(|_| every_part) else { return };
    let mut rows = rows(raw, asked.window, &asked.by, &conditions);
    let all: Vec<&CheckpointLoad> = rows.values().flatten().copied().collect();
    check(&all, &answer.total, &format!("{what}: total"));
    assert_eq!((answer.row_count, answer.rows.len()), (rows.len(), rows.len().min(asked.limit)), "{what}: rows");
    let mut before = None;
    for (key, figures) in &answer.rows {
        let key = directory.key(key);
        let of_row = rows.remove(&key).unwrap_or_else(|| panic!("{what}: row {key:?} is from nowhere"));
        check(&of_row, figures, &format!("{what}: row {key:?}"));
        let value = order_value(order, figures);
        assert!(before.is_none_or(|before| value <= before), "{what}: row {key:?} is out of order");
        before = Some(value);
    }
    assert_eq!(answer.other.is_some(), !rows.is_empty(), "{what}: other");
    if let Some(other) = &answer.other {
        let cut: Vec<&CheckpointLoad> = rows.values().flatten().copied().collect();
        check(&cut, other, &format!("{what}: other"));
    }
}
