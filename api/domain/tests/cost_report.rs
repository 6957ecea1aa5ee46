//! Reports of months, and what closing one freezes: late data in any order changes nothing of it, and shows as corrections of the first
//! open month until that is closed.
#![allow(clippy::type_complexity, reason = "a test is written plainly")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "any_plan/database.rs"]
mod database;
#[path = "any_plan/random.rs"]
#[expect(dead_code, reason = "not every case needs all of it")]
mod random;
#[path = "cost_report/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _};

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::loads::{LoadOrder, LoadQuestion};
use plimsoll_domain::cost::close::CloseFault;
use plimsoll_domain::cost::figures::CostSums;
use plimsoll_domain::cost::load::LoadCostSums;
use plimsoll_domain::cost::question::{CostFilter, CostOrder, CostQuestion, IdleView};
use plimsoll_domain::cost::report::export::{ExportFormat, export};
use plimsoll_domain::cost::report::{ReportQuestion, State, month};
use plimsoll_entity::value::time::{HOUR_US, Instant, MINUTE_US, Window};
use uuid::Uuid;

use database::Database;
use random::Random;
use world::{Told, World, events};

const JULY: &str = "2026-07";
const AUGUST: &str = "2026-08";
const SEPTEMBER: &str = "2026-09";
const OCTOBER: &str = "2026-10";
const MONTHS: [&str; 4] = [JULY, AUGUST, SEPTEMBER, OCTOBER];

/// What everything costs when all has come in time, by month.
struct Truth(BTreeMap<&'static str, Told>);

impl Truth {
    async fn of(test: &str, seed: u64, events: &[serde_json::Value]) -> Self {
        let database = Database::sqlite(test, seed).await.unwrap();
        let mut world = World::new(&database).await;
        world.send(events).await;
        world.work().await;
        let mut told = BTreeMap::new();
        for month in MONTHS {
            told.insert(month, world.report(month).await);
        }
        Self(told)
    }
}

fn sum<'a>(amounts: impl Iterator<Item = &'a i128>) -> i128 {
    amounts.sum()
}

fn cost_question(month: &str, by: Vec<Dimension>) -> CostQuestion {
    CostQuestion { window: month::window(month::parse(month).unwrap()), by, limit: 10_000, idle: IdleView::Caused }
}

/// Every level adds up to the one above, and the total is that of the breakdown.
async fn adds_up(world: &World, month: &str) {
    let told = world.report(month).await;
    let report = &told.report;
    let mut total = report.unattributed;
    for department in &report.departments {
        let mut of_department = CostSums::default();
        for project in &department.projects {
            for rows in [&project.combinations, &project.users] {
                let mut of_project = CostSums::default();
                rows.iter().for_each(|(_, cost)| of_project.add(cost));
                assert_eq!(of_project, project.cost);
            }
            of_department.add(&project.cost);
        }
        assert_eq!(of_department, department.cost);
        total.add(&department.cost);
    }
    assert_eq!(total, report.total);
    assert!(report.departments.is_sorted_by(|a, b| a.cost.total() >= b.cost.total()));
    let reader = world.reader();
    let reading = reader.begin().await.unwrap();
    let asked = cost_question(month, vec![Dimension::Department]);
    let breakdown = reader.cost_breakdown(&reading, &asked, &CostFilter::default(), CostOrder::Total).await.unwrap();
    assert_eq!(breakdown.total, report.total);
    let rows: BTreeMap<u32, CostSums> = breakdown.rows.iter().map(|(key, cost)| (key.ids[0], *cost)).collect();
    for department in &report.departments {
        assert_eq!(rows[&department.department_id], department.cost);
    }
}

/// Every file of a month says what the report says, to the nano, whatever is asked for.
async fn files_agree(world: &World, month: &str) {
    let reader = world.reader();
    for departments in [None, Some(vec!["Film".to_owned(), "+Shop".to_owned()]), Some(vec!["nobody".to_owned()])] {
        let asked = ReportQuestion::new(month, departments, None).unwrap();
        let reading = reader.begin().await.unwrap();
        let report = reader.cost_report(&reading, &asked).await.unwrap();
        let corrected: i128 = report.corrections.iter().map(|one| one.amount).sum();
        let text = async |format: ExportFormat| {
            let mut file = tempfile::tempfile().unwrap();
            export(&reader, &asked, "USD", format, &file).await.unwrap();
            file.rewind().unwrap();
            file
        };
        let (charges, totals) = csv_amounts(text(ExportFormat::Csv).await, "total", |row| row[0].to_owned());
        assert_eq!((totals["TOTAL"], totals["CORRECTION_TOTAL"]), (report.total.total(), corrected));
        assert_eq!(charges - totals["TOTAL"] - totals["CORRECTION_TOTAL"], report.total.total() + corrected);
        let (_, by_class) = csv_amounts(text(ExportFormat::FocusCsv).await, "BilledCost", |row| row[7].to_owned());
        let of = |class: &str| by_class.get(class).copied().unwrap_or(0);
        assert_eq!((of(""), of("Correction")), (report.total.total(), corrected));
        // The sums of a workbook are compared before it is kept; it must be one.
        let mut start = [0; 4];
        text(ExportFormat::Xlsx).await.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"PK\x03\x04");
    }
}

/// The sum of a column of amounts, and the sums by what a row is.
fn csv_amounts(file: File, column: &str, of: impl Fn(&csv::StringRecord) -> String) -> (i128, BTreeMap<String, i128>) {
    let mut reader = csv::Reader::from_reader(file);
    let place = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
    let (mut sum, mut sums) = (0, BTreeMap::new());
    for row in reader.records() {
        let row = row.unwrap();
        assert!(row.iter().all(|cell| !cell.starts_with(['=', '+', '@', '\t', '\r'])), "{row:?}");
        let nanos = nanos(&row[place]);
        sum += nanos;
        *sums.entry(of(&row)).or_default() += nanos;
    }
    (sum, sums)
}

/// Nano-units of a decimal.
fn nanos(text: &str) -> i128 {
    let (digits, sign) = text.strip_prefix('-').map_or((text, 1), |digits| (digits, -1));
    let (whole, fraction) = digits.split_once('.').unwrap();
    sign * (whole.parse::<i128>().unwrap() * 1_000_000_000 + format!("{fraction:0<9}").parse::<i128>().unwrap())
}

/// Fails unless nothing of two reports differs but when they were made and what stands beside the figures.
fn same(one: &Told, other: &Told) {
    assert_eq!(one.report.total, other.report.total);
    assert_eq!(one.report.unattributed, other.report.unattributed);
    assert_eq!(one.lines, other.lines);
}

/// One case: some events come in time, the others late, in three lots.
async fn case(database: &Database, seed: u64) {
    let mut random = Random::new(seed);
    let mut all = events(&mut random);
    random.shuffle(&mut all);
    let truth = Truth::of("late data", seed, &all).await;
    let mut lots: [Vec<serde_json::Value>; 4] = Default::default();
    for event in all {
        // A machine whose states come late is taken for another one; one lot may bring them all.
        lots[if random.chance(60) { 0 } else { random.below(4) as usize }].push(event);
    }
    let mut world = World::new(database).await;
    world.send(&lots[0]).await;
    assert_eq!(world.close(JULY).await, Some(CloseFault::Busy), "nothing has been built");
    world.work().await;
    for month in MONTHS {
        adds_up(&world, month).await;
    }
    assert_eq!(world.close("2026-06").await, Some(CloseFault::Nothing));
    assert_eq!(world.close(OCTOBER).await, Some(CloseFault::NotEnded));
    let next = month::parse(JULY).unwrap();
    assert_eq!(world.close(SEPTEMBER).await, Some(CloseFault::NotNext(next)));
    let july = world.report(JULY).await;
    let singles_before = singles(&world, JULY).await;
    assert_eq!(world.close(JULY).await, None);
    assert_eq!(world.close(JULY).await, Some(CloseFault::Closed));
    let singles_of_july = singles(&world, JULY).await;
    assert_eq!(singles_of_july, singles_before, "closing changed what single executions or loads cost");
    assert!(matches!(&world.report(JULY).await.report.state, State::Closed(Some(closing)) if closing.by == "somebody"));

    // Late for July: nothing of it changes, whether the worker has seen it or not.
    world.send(&lots[1]).await;
    let unseen = world.report(AUGUST).await;
    assert!(world.report(OCTOBER).await.corrections.is_empty(), "only the first open month has corrections");
    same(&world.report(JULY).await, &july);
    assert_eq!(singles(&world, JULY).await, singles_of_july, "late data changed what single executions or loads cost");
    world.work().await;
    assert_eq!(singles(&world, JULY).await, singles_of_july);
    let august = world.report(AUGUST).await;
    assert_eq!(unseen.corrections, august.corrections, "the answer depends on how far the worker has come");
    same(&unseen, &august);
    same(&world.report(JULY).await, &july);
    adds_up(&world, JULY).await;

    files_agree(&world, JULY).await;
    files_agree(&world, AUGUST).await;

    // Closing August books what is due.
    assert_eq!(world.close(AUGUST).await, None);
    let closed = world.report(AUGUST).await;
    same(&closed, &august);
    assert_eq!(closed.corrections, august.corrections);
    assert!(world.report(SEPTEMBER).await.corrections.is_empty(), "what is booked is not due again");

    // More of it: only the new differences are due, and add up to what everything would cost.
    world.send(&lots[2]).await;
    world.send(&lots[3]).await;
    world.work().await;
    same(&world.report(JULY).await, &july);
    same(&world.report(AUGUST).await, &august);
    assert_eq!(world.report(AUGUST).await.corrections, closed.corrections);
    every_execution_counts(&world, JULY).await;
    let september = world.report(SEPTEMBER).await;
    for (month, frozen) in [(JULY, &july), (AUGUST, &august)] {
        let of_month = |told: &Told| -> i128 { sum(told.corrections.iter().filter(|(key, _)| key.0 == month).map(|(_, amount)| amount)) };
        let charged = frozen.report.total.total() + of_month(&closed) + of_month(&september);
        assert_eq!(charged, truth.0[month].report.total.total(), "{month}");
        let mut by_key = frozen.amounts(month);
        for (key, amount) in closed.corrections.iter().chain(&september.corrections).filter(|(key, _)| key.0 == month && key.1 != "-") {
            *by_key.entry(key.clone()).or_default() += amount;
        }
        by_key.retain(|_, amount| *amount != 0);
        let mut wanted = truth.0[month].amounts(month);
        wanted.retain(|_, amount| *amount != 0);
        assert_eq!(by_key, wanted, "{month}");
    }
    same(&september, &truth.0[SEPTEMBER]);
    same(&world.report(OCTOBER).await, &truth.0[OCTOBER]);
    assert_eq!(world.close(SEPTEMBER).await, None);
    assert_eq!(world.report(SEPTEMBER).await.corrections, september.corrections);
    assert!(world.report(OCTOBER).await.corrections.is_empty());
    single_executions_add_up(&world).await;
    if let Some(folder) = std::env::var_os("PLIMSOLL_TEST_EXPORTS") {
        for format in ExportFormat::ALL {
            let file = File::create(std::path::Path::new(&folder).join(format!("{seed}-{}", format.file_name()))).unwrap();
            export(&world.reader(), &ReportQuestion::new(SEPTEMBER, None, None).unwrap(), "USD", format, &file).await.unwrap();
        }
    }
    world.store.close().await;
    database.remove().await;
}

/// What each execution costs that lies within a month, and the loads of windows at its end that cut hours.
async fn singles(world: &World, of: &str) -> (BTreeMap<Uuid, i128>, Vec<Option<LoadCostSums>>) {
    let reader = world.reader();
    let reading = reader.begin().await.unwrap();
    let Window { start, end } = month::window(month::parse(of).unwrap());
    let mut costs = BTreeMap::new();
    for (id, window) in world.executions() {
        if start <= window.start && window.end <= end {
            costs.extend(reader.execution_cost_list(&reading, &[id]).await.unwrap());
        }
    }
    let mut loads = Vec::new();
    for hour in 1..=40 {
        let hour = end.0 - hour * HOUR_US;
        let window = Window { start: Instant(hour + 7_777), end: Instant(hour + 57 * MINUTE_US) };
        let asked = LoadQuestion { window, by: Vec::new(), limit: 1, parts: BTreeSet::new(), with_cost: true };
        let answer = reader.load_breakdown(&reading, &asked, &Filter::default(), LoadOrder::Loads).await.unwrap();
        loads.push(answer.total.cost);
    }
    (costs, loads)
}

/// The costs of all executions are the productive part of all months, closed or not.
async fn single_executions_add_up(world: &World) {
    let reader = world.reader();
    let reading = reader.begin().await.unwrap();
    let ids: Vec<Uuid> = world.executions().into_iter().map(|(id, _)| id).collect();
    let costs = reader.execution_cost_list(&reading, &ids).await.unwrap();
    let mut productive = 0;
    for month in MONTHS {
        productive += world.report(month).await.report.total.productive();
    }
    assert_eq!(costs.values().sum::<i128>(), productive);
}

/// Everything is used by everything, whatever came after the month was closed.
async fn every_execution_counts(world: &World, of: &str) {
    let reader = world.reader();
    let reading = reader.begin().await.unwrap();
    let window = month::window(month::parse(of).unwrap());
    let asked = CostQuestion { window, by: Vec::new(), limit: 1, idle: IdleView::Caused };
    let total = reader.roi_breakdown(&reading, &asked, &CostFilter::default()).await.unwrap().total;
    assert_eq!(total.executions, total.all_executions);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_data_changes_no_closed_month_on_sqlite() {
    for seed in 0..3 {
        case(&Database::sqlite("late data", seed).await.unwrap(), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_data_changes_no_closed_month_on_postgres() {
    for seed in 100..101 {
        let Some(database) = Database::postgres("late data", seed).await else { return };
        case(&database, seed).await;
    }
}
