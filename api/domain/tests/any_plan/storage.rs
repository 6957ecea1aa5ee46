//! Storage: random snapshots, questions about them and the loads from there, and the answers from the raw events.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::Reading;
use plimsoll_domain::breakdown::storage::{StorageFigures, StorageOrder, StorageQuestion};
use plimsoll_domain::ingest::event::{CheckpointVersion, Event, ModelVersion, StorageSnapshot};
use plimsoll_entity::value::label::StorageType;
use plimsoll_entity::value::time::{DAY_US, Instant, Window};

use super::ask::{PLANS, Readers, Truth, same_breakdowns, window};
use super::directory::{Condition, Directory, Key, checkpoint_texts, version_text};
use super::events::{checkpoints, instant, numbered, size, uuid};
use super::random::Random;
use super::raw::Raw;

const DIMENSIONS: [Dimension; 6] = [
    Dimension::Model,
    Dimension::ModelVersion,
    Dimension::Checkpoint,
    Dimension::CheckpointVersion,
    Dimension::StorageType,
    Dimension::StorageLocation,
];
const ORDERS: [StorageOrder; 3] = [StorageOrder::Size, StorageOrder::Loads, StorageOrder::LastLoaded];

/// A snapshot of one of few places, often a deletion, often at the instant of another one.
pub fn snapshot(random: &mut Random) -> Event {
    let model = random.maybe(60, |random| ModelVersion { model: numbered(random, "model", 4), version: numbered(random, "v", 2) });
    let checkpoint = checkpoints(random).into_iter().next().filter(|_| random.chance(60));
    let fallback = || ModelVersion { model: "model-9".to_owned(), version: "v-0".to_owned() };
    Event::StorageSnapshot(Box::new(StorageSnapshot {
        id: uuid(random),
        at: instant(random),
        storage_type: random.pick(&StorageType::ALL[2..4]),
        size_bytes: if random.chance(25) { 0 } else { size(random) },
        model: model.or_else(|| checkpoint.is_none().then(fallback)),
        checkpoint,
        storage_location: random.maybe(60, |random| numbered(random, "store", 2)),
    }))
}

/// What lies there or was brought, and whence.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whence {
    model: Option<(String, String)>,
    checkpoint: Option<(String, String)>,
    storage_type: StorageType,
    location: Option<String>,
}

impl Whence {
    fn new(model: Option<&ModelVersion>, checkpoint: Option<&CheckpointVersion>, kind: StorageType, location: Option<&String>) -> Self {
        Self {
            model: model.map(|model| (model.model.clone(), version_text(model))),
            checkpoint: checkpoint.map(checkpoint_texts),
            storage_type: kind,
            location: location.cloned(),
        }
    }

    fn value(&self, dimension: Dimension) -> Option<String> {
        match dimension {
            Dimension::Model => self.model.as_ref().map(|model| model.0.clone()),
            Dimension::ModelVersion => self.model.as_ref().map(|model| model.1.clone()),
            Dimension::Checkpoint => self.checkpoint.as_ref().map(|checkpoint| checkpoint.0.clone()),
            Dimension::CheckpointVersion => self.checkpoint.as_ref().map(|checkpoint| checkpoint.1.clone()),
            Dimension::StorageType => Some(self.storage_type.wire().to_owned()),
            _ => self.location.clone(),
        }
    }

    fn fits(&self, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| match condition {
            Condition::Any(dimension, names) => self.value(*dimension).is_some_and(|value| names.contains(&value)),
            _ => false,
        })
    }
}

/// The snapshots of each place in their order, and the ends of loads.
#[derive(Clone, Default)]
struct Items {
    snapshots: BTreeMap<Whence, Vec<(Instant, u128, i64)>>,
    loads: Vec<Instant>,
}

impl Items {
    fn of(raw: &Raw, conditions: &[Condition], key: impl Fn(&Whence) -> Key) -> BTreeMap<Key, Self> {
        let mut rows: BTreeMap<Key, Self> = BTreeMap::new();
        for told in &raw.snapshots {
            let whence = Whence::new(told.model.as_ref(), told.checkpoint.as_ref(), told.storage_type, told.storage_location.as_ref());
            if whence.fits(conditions) {
                let row = rows.entry(key(&whence)).or_default();
                row.snapshots.entry(whence).or_default().push((told.at, told.id.as_u128(), told.size_bytes));
            }
        }
        for load in &raw.loads {
            let whence = Whence::new(Some(&load.model), load.checkpoint.as_ref(), load.storage_type, load.storage_location.as_ref());
            if whence.fits(conditions) {
                rows.entry(key(&whence)).or_default().loads.push(load.finished_at);
            }
        }
        rows.values_mut().flat_map(|row| row.snapshots.values_mut()).for_each(|told| told.sort_unstable());
        rows
    }

    fn add(&mut self, other: &Self) {
        for (whence, told) in &other.snapshots {
            let own = self.snapshots.entry(whence.clone()).or_default();
            own.extend(told);
            own.sort_unstable();
        }
        self.loads.extend(&other.loads);
    }

    fn figures(&self, window: Window) -> StorageFigures {
        let mut figures = StorageFigures { window_us: window.length_us(), ..StorageFigures::default() };
        let mut stretches = Vec::new();
        for told in self.snapshots.values() {
            let ends = told.iter().skip(1).map(|next| next.0).chain([window.end]);
            for ((at, _, size), until) in told.iter().zip(ends) {
                let (from, to) = ((*at).max(window.start), until.min(window.end));
                if from < to && *size > 0 {
                    figures.byte_us += *size as u128 * (to.0 - from.0) as u128;
                    stretches.push((from, to));
                }
            }
            if let Some((_, _, size)) = told.iter().rfind(|told| told.0 < window.end) {
                figures.size_bytes += *size as u64;
                figures.replicas += u64::from(*size > 0);
            }
        }
        figures.loads = self.loads.iter().filter(|at| window.contains(**at)).count() as u64;
        figures.last_loaded_at = self.loads.iter().copied().filter(|at| *at < window.end).max();
        // Every instant at which something may end or begin is looked at.
        let edges: BTreeSet<Instant> = stretches.iter().flat_map(|(from, to)| [*from, *to]).chain([window.start]).collect();
        let held = |at: &Instant| stretches.iter().any(|(from, to)| from <= at && at < to);
        figures.is_held_throughout = edges.iter().filter(|at| window.contains(**at)).all(held);
        figures
    }
}

fn order_value(order: StorageOrder, figures: &StorageFigures) -> Option<f64> {
    match order {
        StorageOrder::Size => Some(figures.size_bytes as f64),
        StorageOrder::Loads => Some(figures.loads as f64),
        StorageOrder::LastLoaded => figures.last_loaded_at.map(|at| at.0 as f64),
    }
}

fn conditions(random: &mut Random, raw: &Raw) -> Vec<Condition> {
    let mut asked = DIMENSIONS.to_vec();
    random.shuffle(&mut asked);
    asked.truncate(random.pick(&[0, 0, 0, 1, 1, 2]));
    let some = |random: &mut Random, dimension| match raw.snapshots.len() as u64 {
        0 => None,
        snapshots => {
            let told = &raw.snapshots[random.below(snapshots) as usize];
            Whence::new(told.model.as_ref(), told.checkpoint.as_ref(), told.storage_type, told.storage_location.as_ref()).value(dimension)
        }
    };
    let names = |random: &mut Random, dimension| {
        (0..random.between(1, 4)).map(|_| some(random, dimension).unwrap_or_else(|| "nobody".to_owned())).collect()
    };
    asked.into_iter().map(|dimension| Condition::Any(dimension, names(random, dimension))).collect()
}

fn windows(random: &mut Random, hints: &Raw) -> Window {
    let window = window(random, hints);
    match random.below(3) {
        // Days of snapshots are put together: often ask about some.
        0 => {
            let day = i64::from(window.start.day()) * DAY_US;
            Window::of(day + random.pick(&[0, 0, 1, -1]), day + random.between(1, 5) * DAY_US + random.pick(&[0, 0, 1, -1]))
        }
        1 if !hints.snapshots.is_empty() => {
            let start = hints.snapshots[random.below(hints.snapshots.len() as u64) as usize].at.0 + random.pick(&[0, 1, -1]);
            Window::of(start, start + random.pick(&[1, 2, DAY_US, 2 * DAY_US]))
        }
        _ => window,
    }
}

/// Asks one random question on a reading.
pub async fn ask(readers: &Readers, reading: &Reading, directory: &Directory, random: &mut Random, hints: &Raw, truth: Truth<'_>) {
    let mut by = DIMENSIONS.to_vec();
    random.shuffle(&mut by);
    by.truncate(random.pick(&[0, 1, 1, 1, 2, 2, 3, 4]));
    let asked = StorageQuestion { window: windows(random, hints), by, limit: random.pick(&[0, 1, 2, 3, 5, 10_000, 10_000]) };
    let (order, conditions) = (random.pick(&ORDERS), conditions(random, hints));
    let what = format!("storage {asked:?} {order:?} {conditions:?}");
    let filter = directory.filter(&conditions);
    let mut answers = Vec::with_capacity(PLANS.len());
    for reader in &readers.0 {
        answers.push(reader.storage_breakdown(reading, &asked, &filter, order).await.unwrap());
    }
    same_breakdowns(&answers, |a, b, what| assert_eq!(a, b, "{}", what()), &what);
    splits_add_up(readers, reading, random, &asked, &filter, answers[0].total.byte_us).await;
    let (answer, Some(raw)) = (&answers[0], truth) else { return };
    let mut rows = Items::of(raw, &conditions, |whence| asked.by.iter().map(|dimension| whence.value(*dimension)).collect());
    let everything = rows.values().fold(Items::default(), |mut all, row| {
        all.add(row);
        all
    });
    assert_eq!(answer.total, everything.figures(asked.window), "{what}: total");
    rows.retain(|_, row| row.figures(asked.window).byte_us > 0 || row.figures(asked.window).loads > 0);
    assert_eq!((answer.row_count, answer.rows.len()), (rows.len(), rows.len().min(asked.limit)), "{what}: rows");
    let mut before = None;
    for (key, figures) in &answer.rows {
        let key = directory.key(key);
        let of_row = rows.remove(&key).unwrap_or_else(|| panic!("{what}: row {key:?} is from nowhere"));
        assert_eq!(*figures, of_row.figures(asked.window), "{what}: row {key:?}");
        let value = order_value(order, figures);
        assert!(before.is_none_or(|before| value <= before), "{what}: row {key:?} is out of order");
        before = Some(value);
    }
    assert_eq!(answer.other.is_some(), !rows.is_empty(), "{what}: other");
    if let Some(other) = &answer.other {
        let cut = rows.values().fold(Items::default(), |mut all, row| {
            all.add(row);
            all
        });
        assert_eq!(*other, cut.figures(asked.window), "{what}: other");
        let shown: u128 = answer.rows.iter().map(|(_, figures)| figures.byte_us).sum();
        assert_eq!(shown + other.byte_us, answer.total.byte_us, "{what}: rows and other");
    }
}

/// The windows of a split add up to the byte-microsecond.
async fn splits_add_up(
    readers: &Readers,
    reading: &Reading,
    random: &mut Random,
    asked: &StorageQuestion,
    filter: &plimsoll_domain::breakdown::filter::Filter,
    whole: u128,
) {
    let window = asked.window;
    let cut = Instant(random.between(window.start.0, window.end.0));
    let mut parts = 0;
    for piece in [Window { start: window.start, end: cut }, Window { start: cut, end: window.end }] {
        if piece.length_us() > 0 {
            let asked = StorageQuestion { window: piece, ..asked.clone() };
            parts += readers.0[0].storage_breakdown(reading, &asked, filter, StorageOrder::Size).await.unwrap().total.byte_us;
        }
    }
    assert_eq!(parts, whole, "{asked:?} cut at {cut}");
}
