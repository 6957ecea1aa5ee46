//! The report of a month, closing it, and its files.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object, Result, SimpleObject};
use plimsoll_domain::cost::correction::Correction;
use plimsoll_domain::cost::report::export::ExportFormat;
use plimsoll_domain::cost::report::{self, ReportQuestion, State, month};

use super::alert::UserError;
use super::cost::CostStats;
use super::money::{Currency, Money};
use super::name::{Combination, Department, Project, User};
use crate::graphql::query::reports::report as report_of;
use crate::graphql::scalar::DateTime;

/// Whether a month may still change.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodState {
    /// What comes late changes its figures.
    Open,
    /// Its figures are frozen; what comes late becomes a correction of the first open month.
    Closed,
}

/// A file that a report can be had as.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names)]
pub enum ReportFormat {
    /// Every charge of the month in one table, exact decimals, control totals at the end.
    Csv,
    /// A workbook: summary with charts, a sheet for each department, totals as formulas.
    Xlsx,
    /// FOCUS 1.2, a row for each day, charge and kind of charge.
    FocusCsv,
}

impl From<ExportFormat> for ReportFormat {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Xlsx => Self::Xlsx,
            ExportFormat::FocusCsv => Self::FocusCsv,
        }
    }
}

/// A report, with the currency of its amounts.
#[derive(Clone, Debug)]
pub struct CostReport {
    report: report::CostReport,
    currency: Currency,
}

impl CostReport {
    /// A report in a currency.
    #[must_use]
    pub const fn of(report: report::CostReport, currency: Currency) -> Self {
        Self { report, currency }
    }

    const fn closing(&self) -> Option<&report::Closing> {
        match &self.report.state {
            State::Closed(Some(closing)) => Some(closing),
            _ => None,
        }
    }
}

/// What a month costs, by who caused it; idle time is with what caused it. departments + unattributed = total.
#[Object]
impl CostReport {
    /// The month, such as 2026-10, in UTC.
    async fn month(&self) -> String {
        month::text(self.report.asked.month)
    }

    /// Whether it may still change.
    async fn state(&self) -> PeriodState {
        if self.report.state == State::Open { PeriodState::Open } else { PeriodState::Closed }
    }

    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    async fn generated_at(&self) -> DateTime {
        DateTime(self.report.as_of)
    }

    /// Currency of every amount, as an ISO 4217 code.
    async fn currency(&self) -> Arc<str> {
        Arc::clone(&self.currency.0)
    }

    /// Everything that was asked for, once; without corrections of other months.
    async fn total(&self) -> CostStats {
        self.report.total.into()
    }

    /// Departments, largest total first, then by name.
    async fn departments(&self) -> Vec<DepartmentReport> {
        self.report.departments.iter().cloned().map(DepartmentReport).collect()
    }

    /// What has no department: storage, transfer, overhead and what executions without one caused. Zero where departments were asked for; with projects alone, what executions of theirs without a department caused.
    async fn unattributed(&self) -> CostStats {
        self.report.unattributed.into()
    }

    /// When it was closed; null while it is open, and for a month that lies before the first that was closed.
    async fn closed_at(&self) -> Option<DateTime> {
        self.closing().map(|closing| DateTime(closing.at))
    }

    /// Subject of the token that closed it; null as `closedAt` is.
    async fn closed_by(&self) -> Option<&str> {
        self.closing().map(|closing| closing.by.as_str())
    }

    /// What closed months turned out to cost differently: those that are due, in the first open month; those that were booked, in a closed one. By month, then names.
    async fn corrections(&self) -> Vec<CostCorrection> {
        self.report.corrections.iter().copied().map(CostCorrection).collect()
    }

    /// The same figures as files; the links need the caller's token.
    async fn exports(&self) -> Vec<ReportExport> {
        ExportFormat::ALL.into_iter().map(|format| ReportExport { format: format.into(), path: format.path(&self.report.asked) }).collect()
    }
}

/// A difference of a closed month.
#[derive(Clone, Copy, Debug)]
pub struct CostCorrection(Correction);

/// What a closed month turned out to cost differently, after all corrections before.
#[Object]
impl CostCorrection {
    /// The closed month, such as 2026-09.
    async fn month(&self) -> String {
        month::text(self.0.key.month)
    }

    /// Department; null for what has none.
    async fn department(&self) -> Option<Department> {
        known(self.0.key.department_id).map(Department)
    }

    /// Project; null for what has none.
    async fn project(&self) -> Option<Project> {
        known(self.0.key.project_id).map(Project)
    }

    /// Combination; null for what has none, such as storage.
    async fn combination(&self) -> Option<Combination> {
        known(self.0.key.combination_id).map(Combination)
    }

    /// The difference, never 0; negative where the month costs less.
    async fn amount(&self) -> Money {
        Money(self.0.amount)
    }
}

fn known(id: u32) -> Option<u32> {
    Some(id).filter(|id| *id != 0)
}

/// What a department is charged.
#[derive(Clone, Debug)]
pub struct DepartmentReport(report::DepartmentReport);

/// What a department is charged. Its projects add up to it.
#[Object]
impl DepartmentReport {
    /// The department.
    async fn department(&self) -> Department {
        Department(self.0.department_id)
    }

    /// Everything that it caused.
    async fn cost(&self) -> CostStats {
        self.0.cost.into()
    }

    /// cost.total / that of the month before - 1; null when that was 0 or absent, as when the first event came after its first day.
    async fn change(&self) -> Option<f64> {
        self.0.change
    }

    /// Projects, largest total first, then by name.
    async fn projects(&self) -> Vec<ProjectReport> {
        self.0.projects.iter().cloned().map(ProjectReport).collect()
    }
}

/// What a project of a department is charged.
#[derive(Clone, Debug)]
pub struct ProjectReport(report::ProjectReport);

/// What a project of a department is charged. Its combinations add up to it, and so do its users.
#[Object]
impl ProjectReport {
    /// The project; null for what named none.
    async fn project(&self) -> Option<Project> {
        known(self.0.project_id).map(Project)
    }

    /// Everything that it caused.
    async fn cost(&self) -> CostStats {
        self.0.cost.into()
    }

    /// Combinations, largest total first, then by label.
    async fn combinations(&self) -> Vec<CombinationReport> {
        let of = |(id, cost): &(u32, _)| CombinationReport { combination: known(*id).map(Combination), cost: CostStats::from(*cost) };
        self.0.combinations.iter().map(of).collect()
    }

    /// Users, largest total first, then by name.
    async fn users(&self) -> Vec<UserReport> {
        self.0.users.iter().map(|(id, cost)| UserReport { user: known(*id).map(User), cost: CostStats::from(*cost) }).collect()
    }
}

/// What a combination cost in a project.
#[derive(SimpleObject, Clone, Debug)]
pub struct CombinationReport {
    /// The combination; null where none is known.
    combination: Option<Combination>,
    /// Everything that it caused there.
    cost: CostStats,
}

/// What a user cost in a project.
#[derive(SimpleObject, Clone, Debug)]
pub struct UserReport {
    /// The user; null for executions that named none.
    user: Option<User>,
    /// Everything that they caused there.
    cost: CostStats,
}

/// A file of a report.
#[derive(SimpleObject, Clone, Debug)]
pub struct ReportExport {
    /// What kind of file.
    format: ReportFormat,
    /// Path on this server, with the filter of the report; GET it with the caller's token.
    path: String,
}

/// What became of closing a month.
#[derive(Clone, Debug)]
pub struct CostReportPayload {
    /// The question of the month that was closed; none when none was.
    pub closed: Option<ReportQuestion>,
    /// What keeps it from being closed.
    pub user_errors: Vec<UserError>,
}

/// What became of closing a month.
#[Object]
impl CostReportPayload {
    /// The report of the closed month; null when it was not closed, and with an error when it was but its report cannot be shown.
    async fn cost_report(&self, ctx: &Context<'_>) -> Result<Option<CostReport>> {
        match &self.closed {
            Some(asked) => report_of(ctx, asked.clone()).await.map(Some),
            None => Ok(None),
        }
    }

    /// What keeps it from being closed; empty when it was.
    async fn user_errors(&self) -> &[UserError] {
        &self.user_errors
    }
}
