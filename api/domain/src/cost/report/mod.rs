//! The report of a month: who is charged what, by department, project, combination and user.
//!
//! Two breakdowns of one snapshot by department and project, one with the combinations and one with the users, of which every row is
//! taken. Invariants: combinations add up to their project, and so do users; projects to their department; departments and
//! `unattributed` to `total`, to the nano; idle time stays with what caused it. A closed month shows what was booked in it. Must not
//! know: GraphQL, files.

pub mod charge;
pub mod csv;
pub mod export;
pub mod focus;
pub mod ledger;
pub mod month;
pub mod sort;
pub mod xlsx;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use plimsoll_entity::value::time::{Instant, Window};

use super::correction::{Correction, allowed, corrections_booked, corrections_due};
use super::figures::CostSums;
use super::gather::CostGathering;
use super::question::{CostFilter, IdleView, told};
use super::rate::Prices;
use crate::breakdown::BreakdownError;
use crate::breakdown::dimension::Dimension;
use crate::breakdown::executions::{Reader, Reading};
use crate::breakdown::timelines::Timelines;
use crate::cell::part::KeyColumn;
use crate::cell::plan::Coarseness;
use crate::ingest::limit::NAME_CHARS_MAX;
use crate::store::{NameDimension, StoreError};

/// Rows of all levels that one report may have: each is some 25 amounts of an answer. Files have them all.
pub const REPORT_ROWS_MAX: usize = 20_000;
/// Names that one filter may list.
pub const FILTER_NAMES_MAX: usize = 1_000;

/// What a report is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportQuestion {
    /// The month, as [`Instant::month`] counts.
    pub month: i32,
    /// Departments by name; none: all, and what has no department.
    pub departments: Option<Vec<String>>,
    /// Projects by name; none: all, and what has no project.
    pub projects: Option<Vec<String>>,
}

impl ReportQuestion {
    /// The question of a month as it is written.
    ///
    /// # Errors
    /// [`BreakdownError::Question`] for what is no month, or lists too many names.
    pub fn new(month: &str, departments: Option<Vec<String>>, projects: Option<Vec<String>>) -> Result<Self, BreakdownError> {
        let Some(month) = month::parse(month) else {
            return Err(BreakdownError::Question { field: "month", message: month::EXPECTED.to_owned() });
        };
        for (field, names) in [("departments", &departments), ("projects", &projects)] {
            if names.as_ref().is_some_and(|names| names.len() > FILTER_NAMES_MAX) {
                return Err(BreakdownError::Question { field, message: format!("must not list more than {FILTER_NAMES_MAX} names") });
            }
        }
        Ok(Self { month, departments, projects })
    }

    /// The filter in ids of a reading; names that nobody bears match nothing.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn filter(&self, reading: &Reading) -> Result<CostFilter, StoreError> {
        let mut filter = CostFilter::default();
        for (column, dimension, names) in [
            (KeyColumn::Department, NameDimension::Department, &self.departments),
            (KeyColumn::Project, NameDimension::Project, &self.projects),
        ] {
            let Some(names) = names else { continue };
            // No event can have borne the others.
            let is_possible = |name: &&String| !name.contains('\0') && name.chars().count() <= NAME_CHARS_MAX;
            let possible: Vec<String> = names.iter().filter(is_possible).cloned().collect();
            let ids: HashSet<u32> = reading.snapshot.name_ids(dimension, &possible).await?.into_iter().collect();
            filter.filter.columns.insert(column as usize, ids);
        }
        Ok(filter)
    }
}

/// The closing of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// When.
    pub at: Instant,
    /// By whom: the subject of a token.
    pub by: String,
}

/// Whether a month may still change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// What comes late changes its figures.
    Open,
    /// What comes late becomes a correction of the first open month. None: it was closed along with the first that was.
    Closed(Option<Closing>),
}

/// A report.
#[derive(Clone, Debug)]
pub struct CostReport {
    /// What was asked for.
    pub asked: ReportQuestion,
    /// The instant of the snapshot.
    pub as_of: Instant,
    /// Whether it may still change.
    pub state: State,
    /// Everything, once.
    pub total: CostSums,
    /// Departments by total, then name.
    pub departments: Vec<DepartmentReport>,
    /// What has no department: storage, transfer, overhead, executions that named none.
    pub unattributed: CostSums,
    /// What closed months turned out to cost differently; beside the total, not in it. By month, then names.
    pub corrections: Vec<Correction>,
}

/// What a department is charged.
#[derive(Clone, Debug)]
pub struct DepartmentReport {
    /// Id of its name.
    pub department_id: u32,
    /// Everything.
    pub cost: CostSums,
    /// Total / that of the month before - 1; none where that was 0 or absent: what is known begins in the middle of that month.
    pub change: Option<f64>,
    /// Projects by total, then name; none last.
    pub projects: Vec<ProjectReport>,
}

/// What a project of a department is charged.
#[derive(Clone, Debug)]
pub struct ProjectReport {
    /// Id of its name; 0: none.
    pub project_id: u32,
    /// Everything.
    pub cost: CostSums,
    /// Combinations by total, then label: id (0: none) and cost.
    pub combinations: Vec<(u32, CostSums)>,
    /// Users by total, then name: id (0: none) and cost.
    pub users: Vec<(u32, CostSums)>,
}

impl Reader {
    /// The report of a month.
    ///
    /// # Errors
    /// [`BreakdownError`] when it would be too large, too much has to be built first, or the store fails.
    pub async fn cost_report(&self, reading: &Reading, asked: &ReportQuestion) -> Result<CostReport, BreakdownError> {
        self.cost_report_to(reading, asked, true).await
    }

    /// The report of a month without what stands below departments.
    ///
    /// # Errors
    /// As [`Reader::cost_report`].
    pub async fn cost_report_summary(&self, reading: &Reading, asked: &ReportQuestion) -> Result<CostReport, BreakdownError> {
        self.cost_report_to(reading, asked, false).await
    }

    async fn cost_report_to(&self, reading: &Reading, asked: &ReportQuestion, is_whole: bool) -> Result<CostReport, BreakdownError> {
        let filter = asked.filter(reading).await?;
        let prices = self.prices.prices(&reading.snapshot).await?;
        let window = month::window(asked.month);
        let with_before = Window { start: month::window(asked.month - 1).start, end: window.end };
        let timelines = Timelines::with_costs(reading, &prices, with_before, IdleView::Caused).await?;
        let read = Read { reading, prices: &prices, timelines: &timelines, filter: &filter, coarseness: self.coarseness };
        let third = |third: Dimension| [Dimension::Department, Dimension::Project, third];
        let by_department = [Dimension::Department];
        let by_combination = third(Dimension::Combination);
        let (by_combination, total) = read.rows(window, if is_whole { &by_combination[..] } else { &by_department[..] }).await?;
        let by_user = if is_whole { read.rows(window, &third(Dimension::User)).await?.0 } else { Rows::new() };
        if by_combination.len() + by_user.len() > REPORT_ROWS_MAX {
            return Err(BreakdownError::Limit(format!(
                "the report has more than {REPORT_ROWS_MAX} rows: ask for some departments or projects, or take the export"
            )));
        }
        let before = read.before(month::window(asked.month - 1), &by_department).await?;
        let texts = Texts::read(reading, &by_combination, &by_user).await?;
        let mut departments = departments(&by_combination, &by_user, &texts);
        departments
            .iter_mut()
            .for_each(|department| department.change = change(&department.cost, before.get(&[department.department_id, 0, 0])));
        if !is_whole {
            departments.iter_mut().for_each(|department| department.projects.clear());
        }
        let (state, corrections) = closing(reading, &prices, asked.month, window).await?;
        let mut unattributed = CostSums::default();
        by_combination.iter().filter(|(ids, _)| ids[0] == 0).for_each(|(_, sums)| unattributed.add(sums));
        Ok(CostReport {
            asked: asked.clone(),
            as_of: reading.snapshot.as_of,
            state,
            total,
            departments,
            unattributed,
            corrections: ordered(reading, allowed(corrections, &filter)).await?,
        })
    }
}

/// Costs by up to three ids, 0 where there is none.
type Rows = BTreeMap<[u32; 3], CostSums>;

/// What the breakdowns of a report are read with.
struct Read<'a> {
    reading: &'a Reading,
    prices: &'a Prices,
    timelines: &'a Timelines<'a>,
    filter: &'a CostFilter,
    coarseness: Coarseness,
}

impl Read<'_> {
    /// Every row of a window, and everything once.
    async fn rows(&self, window: Window, by: &[Dimension]) -> Result<(Rows, CostSums), BreakdownError> {
        let asked = CostGathering { tiles: &[window], by, filter: self.filter, idle: IdleView::Caused, coarseness: self.coarseness };
        let told = told(self.reading, self.prices, self.timelines, &asked).await?;
        let rows = told.rows.iter().map(|row| ([row.ids[0], row.ids[1], row.ids[2]], row.sums[0])).collect();
        Ok((rows, told.total.first().copied().unwrap_or_default()))
    }

    /// Every row of the month before; none when what is known begins in the middle of it, so that nothing can be compared with it.
    async fn before(&self, window: Window, by: &[Dimension]) -> Result<Rows, BreakdownError> {
        let made = self.timelines.cost_days_made().first().copied();
        let kept = self.reading.snapshot.cost_first_at().await?.map(Instant::day);
        if made.into_iter().chain(kept).min().is_none_or(|first| first > window.start.day()) {
            return Ok(Rows::new());
        }
        Ok(self.rows(window, by).await?.0)
    }
}

/// Names of departments, projects and users, labels of combinations.
#[derive(Debug, Default)]
struct Texts {
    names: BTreeMap<u32, Arc<str>>,
    labels: BTreeMap<u32, Arc<str>>,
}

impl Texts {
    async fn read(reading: &Reading, by_combination: &Rows, by_user: &Rows) -> Result<Self, StoreError> {
        let sources = reading.sources();
        let named = by_combination.keys().flat_map(|ids| [ids[0], ids[1]]).chain(by_user.keys().map(|ids| ids[2]));
        let ids = |ids: &mut dyn Iterator<Item = u32>| Vec::from_iter(ids.collect::<HashSet<u32>>());
        let names = sources.catalog.names(sources.snapshot, &ids(&mut named.into_iter())).await?;
        let combinations = ids(&mut by_combination.keys().map(|ids| ids[2]));
        let labels = sources.catalog.combinations(sources.snapshot, &combinations).await?;
        Ok(Self {
            names: names.into_iter().collect(),
            labels: labels.into_iter().map(|(id, combination)| (id, Arc::clone(&combination.label))).collect(),
        })
    }
}

/// Largest total first, then by text, none last; ids decide at the very end.
fn compare(a: (u32, &CostSums), b: (u32, &CostSums), texts: &BTreeMap<u32, Arc<str>>) -> Ordering {
    let by_text = || match (texts.get(&a.0), texts.get(&b.0)) {
        (Some(a), Some(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    b.1.total().cmp(&a.1.total()).then_with(by_text).then_with(|| a.0.cmp(&b.0))
}

/// Total / that of the month before - 1.
fn change(cost: &CostSums, before: Option<&CostSums>) -> Option<f64> {
    let before = before.map(CostSums::total).filter(|before| *before != 0)?;
    Some(cost.total() as f64 / before as f64 - 1.0)
}

/// The departments with everything below them, in order.
fn departments(by_combination: &Rows, by_user: &Rows, texts: &Texts) -> Vec<DepartmentReport> {
    let mut projects: BTreeMap<(u32, u32), ProjectReport> = BTreeMap::new();
    for (ids, sums) in by_combination.iter().filter(|(ids, _)| ids[0] != 0) {
        let project = projects.entry((ids[0], ids[1])).or_insert_with(|| ProjectReport {
            project_id: ids[1],
            cost: CostSums::default(),
            combinations: Vec::new(),
            users: Vec::new(),
        });
        project.cost.add(sums);
        project.combinations.push((ids[2], *sums));
    }
    for (ids, sums) in by_user.iter() {
        if let Some(project) = projects.get_mut(&(ids[0], ids[1])) {
            project.users.push((ids[2], *sums));
        }
    }
    let mut departments: Vec<DepartmentReport> = Vec::new();
    for ((department_id, _), mut project) in projects {
        project.combinations.sort_by(|a, b| compare((a.0, &a.1), (b.0, &b.1), &texts.labels));
        project.users.sort_by(|a, b| compare((a.0, &a.1), (b.0, &b.1), &texts.names));
        if departments.last().is_none_or(|last| last.department_id != department_id) {
            departments.push(DepartmentReport { department_id, cost: CostSums::default(), change: None, projects: Vec::new() });
        }
        if let Some(department) = departments.last_mut() {
            department.cost.add(&project.cost);
            department.projects.push(project);
        }
    }
    let by = |a: (u32, &CostSums), b: (u32, &CostSums)| compare(a, b, &texts.names);
    departments.sort_by(|a, b| by((a.department_id, &a.cost), (b.department_id, &b.cost)));
    for department in &mut departments {
        department.projects.sort_by(|a, b| by((a.project_id, &a.cost), (b.project_id, &b.cost)));
    }
    departments
}

/// Whether a month may still change, and the corrections that stand in it.
async fn closing(reading: &Reading, prices: &Prices, month: i32, window: Window) -> Result<(State, Vec<Correction>), BreakdownError> {
    let closed_until = reading.snapshot.closed_until().await?;
    if window.end <= closed_until {
        let closing = reading.snapshot.cost_month(month).await?.map(|(at, by)| Closing { at, by });
        return Ok((State::Closed(closing), corrections_booked(reading, month).await?));
    }
    let is_first = window.start == closed_until;
    Ok((State::Open, if is_first { corrections_due(reading, prices).await? } else { Vec::new() }))
}

/// Corrections by month, then department, project and combination by text, none last.
async fn ordered(reading: &Reading, mut corrections: Vec<Correction>) -> Result<Vec<Correction>, StoreError> {
    let sources = reading.sources();
    let ids = |of: fn(&Correction) -> [u32; 2]| Vec::from_iter(corrections.iter().flat_map(of).collect::<HashSet<u32>>());
    let names = sources.catalog.names(sources.snapshot, &ids(|one| [one.key.department_id, one.key.project_id])).await?;
    let combinations = sources.catalog.combinations(sources.snapshot, &ids(|one| [one.key.combination_id; 2])).await?;
    // None stands behind every text.
    let text = |text: Option<&Arc<str>>| (text.is_none(), text.cloned());
    corrections.sort_by_cached_key(|one| {
        let key = one.key;
        let label = combinations.get(&key.combination_id).map(|combination| &combination.label);
        (key.month, text(names.get(&key.department_id)), text(names.get(&key.project_id)), text(label), key)
    });
    Ok(corrections)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(total: i128) -> CostSums {
        CostSums { inference: total, ..CostSums::default() }
    }

    #[test]
    fn everything_is_in_order_and_adds_up() {
        let names = [(1, "b"), (2, "a"), (3, "p"), (8, "x"), (9, "y")].into_iter().map(|(id, name)| (id, Arc::from(name))).collect();
        let texts = Texts { names, labels: [(5, Arc::from("m 1")), (6, Arc::from("m 0"))].into_iter().collect() };
        let by_combination: Rows =
            [([0, 0, 0], cost(9)), ([1, 0, 5], cost(2)), ([1, 3, 5], cost(1)), ([1, 3, 6], cost(1)), ([2, 3, 5], cost(4))]
                .into_iter()
                .collect();
        let by_user: Rows = [([0, 0, 0], cost(9)), ([1, 0, 0], cost(2)), ([1, 3, 8], cost(0)), ([1, 3, 9], cost(2)), ([2, 3, 8], cost(4))]
            .into_iter()
            .collect();
        let departments = departments(&by_combination, &by_user, &texts);
        let told: Vec<(u32, i128)> = departments.iter().map(|department| (department.department_id, department.cost.total())).collect();
        assert_eq!(told, [(2, 4), (1, 4)]);
        let projects: Vec<u32> = departments[1].projects.iter().map(|project| project.project_id).collect();
        assert_eq!(projects, [3, 0], "equal totals: no name is last");
        let of_project = &departments[1].projects[0];
        assert_eq!(of_project.combinations.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [6, 5]);
        assert_eq!(of_project.users.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [9, 8]);
    }

    #[test]
    fn a_change_needs_something_to_compare_with() {
        assert_eq!(change(&cost(3), Some(&cost(2))), Some(0.5));
        assert_eq!((change(&cost(3), Some(&cost(0))), change(&cost(3), None)), (None, None));
    }
}
