//! Random questions of every kind that timelines answer, and their answers as text, to be compared to the last digit.

use std::collections::BTreeSet;

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, ExecutionOrder, ExecutionQuestion, Reader, Reading, Series};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::machines::MachineQuestion;
use plimsoll_domain::breakdown::switching::SwitchQuestion;
use plimsoll_domain::breakdown::usage::UsageQuestion;
use plimsoll_domain::cell::part::Part;
use plimsoll_domain::cost::question::{CostFilter, CostOrder, CostQuestion, IdleView};
use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, Step, Window};

use super::directory::{Condition, Directory};
use super::events::{NOW_US, START_US};
use super::random::Random;
use super::world::PLANS;

pub const DIMENSIONS: [Dimension; 12] = [
    Dimension::Model,
    Dimension::ModelVersion,
    Dimension::Checkpoint,
    Dimension::CheckpointVersion,
    Dimension::Combination,
    Dimension::Application,
    Dimension::User,
    Dimension::Vm,
    Dimension::InstanceType,
    Dimension::Region,
    Dimension::Provider,
    Dimension::ErrorType,
];
const OF_MACHINES: [Dimension; 4] = [Dimension::Vm, Dimension::InstanceType, Dimension::Region, Dimension::Provider];
const DERIVED: [Part; 5] = [Part::GpuMemory, Part::MemoryRatioMax, Part::GpuSamples, Part::GpuRatio, Part::GpuMemoryUsed];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Usage,
    UsageSeries(Step),
    Switching,
    Activity,
    ActivitySeries(Step),
    Executions,
    ExecutionSeries(Step),
    InstanceTypes,
    Costs(IdleView),
    CostSeries(Step),
}

/// One question.
#[derive(Clone, Debug)]
pub struct Question {
    pub kind: Kind,
    pub window: Window,
    pub by: Vec<Dimension>,
    pub conditions: Vec<Condition>,
    pub limit: usize,
}

pub fn window(random: &mut Random) -> Window {
    let days = START_US + random.between(-1, 3) * DAY_US;
    let hour = |random: &mut Random| START_US + random.between(-2, (NOW_US - START_US) / HOUR_US + 3) * HOUR_US;
    match random.below(4) {
        0 => Window::of(days, days + random.between(1, 4) * DAY_US),
        1 => {
            let start = hour(random);
            Window::of(start, start + random.between(1, 30) * HOUR_US)
        }
        _ => {
            let (a, b) = (hour(random) + random.between(0, HOUR_US), hour(random) + random.between(0, 12) * 5 * MINUTE_US);
            Window::of(a.min(b), a.max(b) + 1)
        }
    }
}

fn names_of(random: &mut Random, dimension: Dimension) -> Vec<String> {
    let numbered = |name: &str| (0..4).map(|number| format!("{name}-{number}")).collect::<Vec<_>>();
    let mut names = match dimension {
        Dimension::Model => numbered("model"),
        Dimension::ModelVersion => vec!["model-0 1".to_owned(), "model-1 1".to_owned()],
        Dimension::Checkpoint => vec!["LORA anime".to_owned(), "CONTROLNET depth".to_owned()],
        Dimension::CheckpointVersion => vec!["LORA anime 1".to_owned(), "LORA anime 2".to_owned(), "CONTROLNET depth 1".to_owned()],
        Dimension::Application => numbered("application"),
        Dimension::User => numbered("user"),
        Dimension::Department => numbered("department"),
        Dimension::Vm => super::events::names().vms,
        Dimension::InstanceType => numbered("type"),
        Dimension::Region => numbered("region"),
        Dimension::ErrorType => numbered("Error"),
        _ => vec!["nobody".to_owned()],
    };
    random.shuffle(&mut names);
    names.truncate(random.between(1, 3) as usize);
    names
}

pub fn question(random: &mut Random) -> Question {
    let step = random.pick(&[Step::Hour, Step::Day, Step::Day]);
    let kind = random.pick(&[
        Kind::Usage,
        Kind::Usage,
        Kind::UsageSeries(step),
        Kind::Switching,
        Kind::Switching,
        Kind::Activity,
        Kind::ActivitySeries(step),
        Kind::Executions,
        Kind::Executions,
        Kind::ExecutionSeries(step),
        Kind::InstanceTypes,
        Kind::Costs(IdleView::Caused),
        Kind::Costs(IdleView::Caused),
        Kind::Costs(IdleView::Spread),
        Kind::CostSeries(step),
    ]);
    let of_machines = matches!(kind, Kind::Activity | Kind::ActivitySeries(_) | Kind::InstanceTypes);
    let mut by: Vec<Dimension> = if of_machines { OF_MACHINES.to_vec() } else { DIMENSIONS.to_vec() };
    if matches!(kind, Kind::Costs(_) | Kind::CostSeries(_)) {
        by.extend([Dimension::Department, Dimension::ServiceType]);
    }
    random.shuffle(&mut by);
    let mut conditions: Vec<Condition> = by
        .iter()
        .filter(|dimension| **dimension != Dimension::ServiceType)
        .take(random.pick(&[0, 0, 1, 1, 2]))
        .map(|dimension| Condition::Any(*dimension, names_of(random, *dimension)))
        .collect();
    if !of_machines && random.chance(15) {
        conditions.push(Condition::Outcome(vec![random.pick(Outcome::ALL), Outcome::Succeeded]));
    }
    random.shuffle(&mut by);
    by.truncate(random.pick(&[0, 1, 1, 1, 2, 3]));
    Question { kind, window: window(random), by, conditions, limit: random.pick(&[1, 3, 10_000, 10_000]) }
}

fn breakdown<F: std::fmt::Debug>(answer: &Breakdown<F>) -> String {
    let rows: Vec<_> = answer.rows.iter().map(|(key, figures)| (key.ids, figures)).collect();
    format!("{:#?}", (answer.window, answer.row_count, rows, &answer.other, &answer.total))
}

fn series<F: std::fmt::Debug>(answer: &Series<F>) -> String {
    let rows: Vec<_> = answer.rows.iter().map(|(key, figures)| (key.ids, figures)).collect();
    format!("{:#?}", (answer.window, answer.row_count, rows, &answer.total, &answer.tiles))
}

async fn answer(reader: &Reader, reading: &Reading, asked: &Question, filter: &Filter) -> String {
    let Question { window, limit, .. } = *asked;
    let by = asked.by.clone();
    let parts: BTreeSet<Part> = DERIVED.into();
    let active: BTreeSet<Part> = [Part::ActiveTime].into();
    match asked.kind {
        Kind::Usage => breakdown(&reader.usage_breakdown(reading, &UsageQuestion { window, by, limit }, filter).await.unwrap()),
        Kind::UsageSeries(step) => series(&reader.usage_series(reading, &UsageQuestion { window, by, limit }, filter, step).await.unwrap()),
        Kind::Switching => {
            let asked = SwitchQuestion { window, by, limit, transitions: Some(limit) };
            let answer = reader.switching(reading, &asked, filter).await.unwrap();
            format!("{}{:#?}", breakdown(&answer.breakdown), answer.transitions)
        }
        Kind::Activity => {
            let asked = MachineQuestion { window, by, parts: active, limit };
            breakdown(&reader.machine_breakdown(reading, &asked, filter).await.unwrap())
        }
        Kind::ActivitySeries(step) => {
            let asked = MachineQuestion { window, by, parts: active, limit };
            series(&reader.machine_series(reading, &asked, filter, step).await.unwrap())
        }
        Kind::Executions => {
            let asked = ExecutionQuestion { window, by, parts, limit };
            breakdown(&reader.execution_breakdown(reading, &asked, filter, ExecutionOrder::Executions).await.unwrap())
        }
        Kind::ExecutionSeries(step) => {
            let asked = ExecutionQuestion { window, by, parts, limit };
            series(&reader.execution_series(reading, &asked, filter, step).await.unwrap())
        }
        Kind::Costs(idle) => {
            let filter = CostFilter { filter: filter.clone(), service_types: None };
            let asked = CostQuestion { window, by, limit, idle };
            breakdown(&reader.cost_breakdown(reading, &asked, &filter, CostOrder::Total).await.unwrap())
        }
        Kind::CostSeries(step) => {
            let filter = CostFilter { filter: filter.clone(), service_types: None };
            let asked = CostQuestion { window, by, limit, idle: IdleView::Caused };
            series(&reader.cost_series(reading, &asked, &filter, step).await.unwrap())
        }
        Kind::InstanceTypes => format!("{:#?}", reader.instance_types(reading, window, filter).await.unwrap()),
    }
}

/// Fails unless two answers are one.
pub fn same(one: &str, other: &str, what: &dyn std::fmt::Debug) {
    if one != other {
        let differ = one.lines().zip(other.lines()).position(|(one, other)| one != other).unwrap_or(0);
        let part = |text: &str| text.lines().skip(differ.saturating_sub(12)).take(20).collect::<Vec<_>>().join("\n");
        panic!("{what:?}\n--- one answer\n{}\n--- the other\n{}", part(one), part(other));
    }
}

/// The answer, which is that of every plan.
pub async fn ask(readers: &[Reader; 3], asked: &Question) -> (String, Instant) {
    let reading = readers[0].begin().await.unwrap();
    let directory = Directory::read(&reading.snapshot).await;
    let filter = directory.filter(&asked.conditions);
    let first = answer(&readers[0], &reading, asked, &filter).await;
    for (reader, plan) in readers.iter().zip(PLANS).skip(1) {
        same(&first, &answer(reader, &reading, asked, &filter).await, &(plan, asked));
    }
    (first, reading.snapshot.as_of)
}
