//! Random questions, asked of every plan on one snapshot, and compared with each other and with the raw events.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, ExecutionOrder, ExecutionQuestion, Reader, Reading, RowKey, Series};
use plimsoll_domain::breakdown::figures::{ExecutionFigures, MachineFigures};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::machines::MachineQuestion;
use plimsoll_domain::cell::part::{Family, Part};
use plimsoll_domain::cell::plan::Coarseness;
use plimsoll_domain::ingest::event::Execution;
use plimsoll_domain::store::Store;
use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, Step, Window};

use super::directory::{Condition, Directory, Key, checkpoint_texts, combination_text, version_text};
use super::events::{START_US, instant};
use super::loads;
use super::random::Random;
use super::raw::{MachineRow, Raw, check_executions, check_machines};
use super::storage;

const DIMENSIONS: [Dimension; 15] = [
    Dimension::ModelType,
    Dimension::Model,
    Dimension::ModelVersion,
    Dimension::Checkpoint,
    Dimension::CheckpointVersion,
    Dimension::Combination,
    Dimension::Application,
    Dimension::User,
    Dimension::Department,
    Dimension::Project,
    Dimension::Vm,
    Dimension::InstanceType,
    Dimension::Region,
    Dimension::Provider,
    Dimension::ErrorType,
];
const OF_MACHINES: [Dimension; 4] = [Dimension::Vm, Dimension::InstanceType, Dimension::Region, Dimension::Provider];
const ORDERS: [ExecutionOrder; 7] = [
    ExecutionOrder::Executions,
    ExecutionOrder::Failures,
    ExecutionOrder::SuccessRatio,
    ExecutionOrder::DurationP95,
    ExecutionOrder::QueueP95,
    ExecutionOrder::GpuHours,
    ExecutionOrder::Users,
];
pub const PLANS: [Coarseness; 3] = [Coarseness::Days, Coarseness::Hours, Coarseness::Facts];

/// A reader for each plan.
pub struct Readers(pub [Reader; 3]);

impl Readers {
    pub fn new(store: &Store) -> Self {
        Self(PLANS.map(|coarseness| Reader { coarseness, ..Reader::new(store.clone()) }))
    }
}

/// One question.
#[derive(Clone, Debug)]
pub struct Question {
    window: Window,
    by: Vec<Dimension>,
    conditions: Vec<Condition>,
    limit: usize,
    order: ExecutionOrder,
    step: Step,
    /// Everything, or only some parts; then only the plans are compared.
    every_part: bool,
    parts: BTreeSet<Part>,
}

pub fn window(random: &mut Random, raw: &Raw) -> Window {
    let whole_days = START_US + random.between(-1, 3) * DAY_US;
    match random.below(5) {
        0 => Window::of(whole_days, whole_days + random.between(1, 5) * DAY_US),
        1 => {
            let start = START_US + random.between(-2, 90) * HOUR_US;
            Window::of(start, start + random.between(1, 60) * HOUR_US)
        }
        2 => {
            // Often about a single event, where there is nothing else.
            let at = raw.some_instant(random).unwrap_or_else(|| instant(random));
            Window::of(at.0, at.0 + random.pick(&[1, 1, MINUTE_US - 1, MINUTE_US, 3 * MINUTE_US + 7, HOUR_US]))
        }
        _ => {
            let (a, b) = (instant(random), instant(random));
            let (start, end) = (a.min(b), a.max(b));
            Window { start, end: Instant(end.0.max(start.0 + 1)) }
        }
    }
}

fn value(random: &mut Random, raw: &Raw, dimension: Dimension) -> String {
    let numbered = |random: &mut Random, name: &str, count: u64| format!("{name}-{}", random.below(count));
    if raw.executions.is_empty() || random.chance(5) {
        return "nobody".to_owned();
    }
    let execution = &raw.executions[random.below(raw.executions.len() as u64) as usize];
    let caller = &execution.caller;
    let checkpoint = execution.checkpoints.first().map(checkpoint_texts);
    let told = match dimension {
        Dimension::ModelType => Some(numbered(random, "MODEL_TYPE", 3)),
        Dimension::Model => Some(execution.model.model.clone()),
        Dimension::ModelVersion => Some(version_text(&execution.model)),
        Dimension::Checkpoint => checkpoint.map(|texts| texts.0),
        Dimension::CheckpointVersion => checkpoint.map(|texts| texts.1),
        Dimension::Combination => Some(combination_text(execution)),
        Dimension::Application => caller.application.clone(),
        Dimension::User => caller.user.clone(),
        Dimension::Department => caller.department.clone(),
        Dimension::Project => caller.project.clone(),
        Dimension::Vm => execution.vm.clone(),
        Dimension::InstanceType => Some(numbered(random, "type", 3)),
        Dimension::Region => Some(numbered(random, "region", 3)),
        Dimension::Provider => Some(numbered(random, "provider", 2)),
        Dimension::ErrorType => execution.error_type.clone(),
        Dimension::Previous | Dimension::StorageType | Dimension::StorageLocation | Dimension::ServiceType => None,
    };
    told.unwrap_or_else(|| "nobody".to_owned())
}

fn question(random: &mut Random, raw: &Raw, dimensions: &[Dimension], parts: &[Part]) -> Question {
    let mut by = dimensions.to_vec();
    random.shuffle(&mut by);
    by.truncate(random.pick(&[0, 1, 1, 1, 2, 2, 3, 4]));
    let mut conditions = Vec::new();
    let mut asked = dimensions.to_vec();
    random.shuffle(&mut asked);
    for dimension in asked.into_iter().take(random.pick(&[0, 0, 0, 1, 1, 2])) {
        let names = (0..random.between(1, 4)).map(|_| value(random, raw, dimension)).collect();
        conditions.push(Condition::Any(dimension, names));
    }
    if dimensions.len() == DIMENSIONS.len() && random.chance(15) {
        conditions.push(Condition::Outcome(vec![random.pick(Outcome::ALL), random.pick(Outcome::ALL)]));
    }
    let window = window(random, raw);
    let short = window.length_us() <= 20 * MINUTE_US;
    let every_part = random.chance(80);
    Question {
        window,
        by,
        conditions,
        limit: random.pick(&[0, 1, 2, 3, 5, 10_000, 10_000]),
        order: random.pick(&ORDERS),
        step: if short { Step::Minute } else { random.pick(&[Step::Hour, Step::Day, Step::Day, Step::Month]) },
        every_part,
        parts: parts.iter().copied().filter(|_| every_part || random.chance(20)).collect(),
    }
}

/// Fails unless two answers are one, bit for bit but for CPU-hours, which are summed as floats.
fn same_executions(a: &ExecutionFigures, b: &ExecutionFigures, what: &dyn Fn() -> String) {
    assert!((a.cpu_hours - b.cpu_hours).abs() <= 1e-9 * a.cpu_hours.abs(), "{}: CPU-hours {} and {}", what(), a.cpu_hours, b.cpu_hours);
    let b = ExecutionFigures { cpu_hours: a.cpu_hours, ..b.clone() };
    assert_eq!(*a, b, "{}", what());
}

fn same_machines(a: &MachineFigures, b: &MachineFigures, what: &dyn Fn() -> String) {
    assert_eq!(a, b, "{}", what());
}

pub type Same<F> = fn(&F, &F, &dyn Fn() -> String);

pub fn same_breakdowns<F>(answers: &[Breakdown<F>], same: Same<F>, what: &str) {
    let [days, others @ ..] = answers else { return };
    for (other, plan) in others.iter().zip(&PLANS[1..]) {
        let keys = |answer: &Breakdown<F>| -> Vec<RowKey> { answer.rows.iter().map(|(key, _)| key.clone()).collect() };
        assert_eq!((days.row_count, keys(days)), (other.row_count, keys(other)), "{what}: days and {plan:?}");
        for ((key, a), (_, b)) in days.rows.iter().zip(&other.rows) {
            same(a, b, &|| format!("{what}: days and {plan:?}, row {key:?}"));
        }
        assert_eq!(days.other.is_some(), other.other.is_some(), "{what}: days and {plan:?}");
        if let (Some(a), Some(b)) = (&days.other, &other.other) {
            same(a, b, &|| format!("{what}: days and {plan:?}, other"));
        }
        same(&days.total, &other.total, &|| format!("{what}: days and {plan:?}, total"));
    }
}

fn same_series<F>(answers: &[Series<F>], same: Same<F>, what: &str) {
    let [days, others @ ..] = answers else { return };
    for (other, plan) in others.iter().zip(&PLANS[1..]) {
        let keys = |answer: &Series<F>| -> Vec<RowKey> { answer.rows.iter().map(|(key, _)| key.clone()).collect() };
        assert_eq!((days.row_count, keys(days), &days.tiles), (other.row_count, keys(other), &other.tiles), "{what}: days and {plan:?}");
        for ((key, a), (_, b)) in days.rows.iter().zip(&other.rows) {
            for ((a, b), tile) in a.iter().zip(b).zip(&days.tiles) {
                same(a, b, &|| format!("{what}: days and {plan:?}, row {key:?}, {tile:?}"));
            }
        }
        for ((a, b), tile) in days.total.iter().zip(&other.total).zip(&days.tiles) {
            same(a, b, &|| format!("{what}: days and {plan:?}, total, {tile:?}"));
        }
    }
}

/// What the answers are compared with; none while events arrive.
pub type Truth<'a> = Option<&'a Raw>;

/// Asks one random question of each kind on one snapshot.
pub async fn ask(readers: &Readers, random: &mut Random, hints: &Raw, truth: Truth<'_>) {
    let first = random.below(3) as usize;
    let reading = readers.0[first].begin().await.unwrap();
    let directory = Directory::read(&reading.snapshot).await;
    let asked = question(random, hints, &DIMENSIONS, &Part::OF_EXECUTIONS);
    execution_breakdowns(readers, &reading, &directory, &asked, truth).await;
    execution_series(readers, &reading, &directory, &asked, truth).await;
    let parts: Vec<Part> = Family::VmSample.parts().iter().chain(Family::GpuSample.parts()).copied().collect();
    let asked = question(random, hints, &OF_MACHINES, &parts);
    machine_breakdowns(readers, &reading, &directory, &asked, truth).await;
    machine_series(readers, &reading, &directory, &asked, truth).await;
    loads::ask(readers, &reading, &directory, random, hints, truth).await;
    storage::ask(readers, &reading, &directory, random, hints, truth).await;
}

fn execution_question(asked: &Question) -> ExecutionQuestion {
    ExecutionQuestion { window: asked.window, by: asked.by.clone(), parts: asked.parts.clone(), limit: asked.limit }
}

fn machine_question(asked: &Question) -> MachineQuestion {
    MachineQuestion { window: asked.window, by: asked.by.clone(), parts: asked.parts.clone(), limit: asked.limit }
}

async fn execution_breakdowns(readers: &Readers, reading: &Reading, directory: &Directory, asked: &Question, truth: Truth<'_>) {
    let what = format!("execution breakdown {asked:?}");
    let filter: Filter = directory.filter(&asked.conditions);
    let mut answers = Vec::new();
    for reader in &readers.0 {
        answers.push(reader.execution_breakdown(reading, &execution_question(asked), &filter, asked.order).await.unwrap());
    }
    same_breakdowns(&answers, same_executions, &what);
    let answer = &answers[0];
    add_up(answer, asked, &what);
    let Some(raw) = truth.filter(|_| asked.every_part) else { return };
    let rows = raw.execution_rows(asked.window, &asked.by, &asked.conditions);
    let keys: BTreeSet<&Key> = rows.iter().flat_map(|(_, keys)| keys).collect();
    assert_eq!((answer.row_count, answer.rows.len()), (keys.len(), keys.len().min(asked.limit)), "{what}: rows");
    let mut kept: BTreeSet<Key> = BTreeSet::new();
    for (key, figures) in &answer.rows {
        let key = directory.key(key);
        let of_row: Vec<&Execution> = rows.iter().filter(|(_, keys)| keys.contains(&key)).map(|(execution, _)| *execution).collect();
        assert!(!of_row.is_empty(), "{what}: row {key:?} is from nowhere");
        check_executions(raw, directory, &of_row, asked.window, figures, &format!("{what}: row {key:?}"));
        assert!(kept.insert(key), "{what}: a row stands twice");
    }
    let all: Vec<&Execution> = rows.iter().map(|(execution, _)| *execution).collect();
    check_executions(raw, directory, &all, asked.window, &answer.total, &format!("{what}: total"));
    if let Some(other) = &answer.other {
        let cut = rows.iter().filter(|(_, keys)| !keys.is_subset(&kept)).map(|(execution, _)| *execution);
        check_executions(raw, directory, &cut.collect::<Vec<_>>(), asked.window, other, &format!("{what}: other"));
    }
}

/// Rows + other = total where every execution has one row.
fn add_up(answer: &Breakdown<ExecutionFigures>, asked: &Question, what: &str) {
    if asked.by.iter().any(|dimension| dimension.is_checkpoint()) {
        return;
    }
    let parts = || answer.rows.iter().map(|(_, figures)| figures).chain(&answer.other);
    assert_eq!(parts().map(ExecutionFigures::executions).sum::<u64>(), answer.total.executions(), "{what}: rows + other");
    let gpu_hours: f64 = parts().map(|figures| figures.gpu_hours).sum();
    assert!((gpu_hours - answer.total.gpu_hours).abs() <= 1e-9 * answer.total.gpu_hours, "{what}: GPU-hours of rows + other");
}

async fn execution_series(readers: &Readers, reading: &Reading, directory: &Directory, asked: &Question, truth: Truth<'_>) {
    let what = format!("execution series {asked:?}");
    let filter = directory.filter(&asked.conditions);
    let mut answers = Vec::new();
    for reader in &readers.0 {
        answers.push(reader.execution_series(reading, &execution_question(asked), &filter, asked.step).await.unwrap());
    }
    same_series(&answers, same_executions, &what);
    let answer = &answers[0];
    let Some(raw) = truth.filter(|_| asked.every_part) else { return };
    let tiles: Vec<_> = answer.tiles.iter().map(|tile| raw.execution_rows(*tile, &asked.by, &asked.conditions)).collect();
    let mut counts: BTreeMap<&Key, u64> = BTreeMap::new();
    tiles.iter().flatten().flat_map(|(_, keys)| keys).for_each(|key| *counts.entry(key).or_default() += 1);
    assert_eq!((answer.row_count, answer.rows.len()), (counts.len(), counts.len().min(asked.limit)), "{what}: rows");
    let mut largest: Vec<u64> = counts.values().copied().collect();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    for ((key, points), largest) in answer.rows.iter().zip(largest) {
        let key = directory.key(key);
        assert_eq!(counts.get(&key), Some(&largest), "{what}: row {key:?} is out of order");
        for ((figures, tile), rows) in points.iter().zip(&answer.tiles).zip(&tiles) {
            let of_row: Vec<&Execution> = rows.iter().filter(|(_, keys)| keys.contains(&key)).map(|(execution, _)| *execution).collect();
            check_executions(raw, directory, &of_row, *tile, figures, &format!("{what}: row {key:?}, {tile:?}"));
        }
    }
    for ((figures, tile), rows) in answer.total.iter().zip(&answer.tiles).zip(&tiles) {
        let all: Vec<&Execution> = rows.iter().map(|(execution, _)| *execution).collect();
        check_executions(raw, directory, &all, *tile, figures, &format!("{what}: total, {tile:?}"));
    }
}

async fn machine_breakdowns(readers: &Readers, reading: &Reading, directory: &Directory, asked: &Question, truth: Truth<'_>) {
    let what = format!("machine breakdown {asked:?}");
    let filter = directory.filter(&asked.conditions);
    let mut answers = Vec::new();
    for reader in &readers.0 {
        answers.push(reader.machine_breakdown(reading, &machine_question(asked), &filter).await.unwrap());
    }
    same_breakdowns(&answers, same_machines, &what);
    let answer = &answers[0];
    let samples = |figures: &MachineFigures| figures.sums.get(&Part::Samples).copied().unwrap_or(0);
    let parts = answer.rows.iter().map(|(_, figures)| figures).chain(&answer.other);
    assert_eq!(parts.map(samples).sum::<u64>(), samples(&answer.total), "{what}: rows + other");
    let Some(raw) = truth.filter(|_| asked.every_part) else { return };
    let rows = raw.machine_rows(asked.window, &asked.by, &asked.conditions);
    assert_eq!((answer.row_count, answer.rows.len()), (rows.len(), rows.len().min(asked.limit)), "{what}: rows");
    let mut kept: BTreeSet<Key> = BTreeSet::new();
    for (key, figures) in &answer.rows {
        let key = directory.key(key);
        let row = rows.get(&key).unwrap_or_else(|| panic!("{what}: row {key:?} is from nowhere"));
        check_machines(row, figures, &format!("{what}: row {key:?}"));
        assert!(kept.insert(key), "{what}: a row stands twice");
    }
    if let Some(other) = &answer.other {
        let cut = rows.iter().filter(|(key, _)| !kept.contains(*key)).map(|(_, row)| row);
        check_machines(&Raw::machine_sum(cut), other, &format!("{what}: other"));
    }
    check_machines(&Raw::machine_sum(rows.values()), &answer.total, &format!("{what}: total"));
}

async fn machine_series(readers: &Readers, reading: &Reading, directory: &Directory, asked: &Question, truth: Truth<'_>) {
    let what = format!("machine series {asked:?}");
    let filter = directory.filter(&asked.conditions);
    let mut answers = Vec::new();
    for reader in &readers.0 {
        answers.push(reader.machine_series(reading, &machine_question(asked), &filter, asked.step).await.unwrap());
    }
    same_series(&answers, same_machines, &what);
    let answer = &answers[0];
    let Some(raw) = truth.filter(|_| asked.every_part) else { return };
    let whole = raw.machine_rows(asked.window, &asked.by, &asked.conditions);
    assert_eq!((answer.row_count, answer.rows.len()), (whole.len(), whole.len().min(asked.limit)), "{what}: rows");
    let nothing = MachineRow::default();
    for (place, tile) in answer.tiles.iter().enumerate() {
        let rows = raw.machine_rows(*tile, &asked.by, &asked.conditions);
        for (key, points) in &answer.rows {
            let key = directory.key(key);
            check_machines(rows.get(&key).unwrap_or(&nothing), &points[place], &format!("{what}: row {key:?}, {tile:?}"));
        }
        check_machines(&Raw::machine_sum(rows.values()), &answer.total[place], &format!("{what}: total, {tile:?}"));
    }
}
