//! Jobs: one by one, and their figures.

use std::collections::BTreeSet;

use async_graphql::{Enum, ID, Lookahead, Object, SimpleObject};
use plimsoll_domain::breakdown::executions::{Breakdown, RowKey};
use plimsoll_domain::breakdown::job_figures::JobFigures;
use plimsoll_domain::breakdown::jobs;
use plimsoll_domain::cell::part::Part;
use plimsoll_domain::store;

use super::enums::JobState;
use super::execution_stats::Distribution;
use super::id::NodeKind;
use super::key::BreakdownKey;
use super::name::{Application, Combination, Department, Project, User};
use super::vm::Vm;
use super::window::TimeWindow;
use crate::graphql::connection::PageInfo;
use crate::graphql::scalar::{DateTime, UInt53};

/// A piece of work with one or more attempts.
#[derive(Clone, Debug)]
pub struct Job(pub store::Job);

impl Job {
    fn of(&self, slot: usize) -> Option<u32> {
        Some(self.0.ids[slot]).filter(|id| *id != 0)
    }
}

/// A piece of work with one or more attempts.
#[Object]
impl Job {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Job.uuid_id(self.0.key)
    }

    /// Its name; the id of its execution where it has none.
    async fn key(&self) -> String {
        self.0.name.clone().unwrap_or_else(|| self.0.key.to_string())
    }

    /// State of the latest change.
    async fn state(&self) -> JobState {
        self.0.state.into()
    }

    /// Executions so far; at least the highest attempt that was told.
    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// Base model version and checkpoints of the latest change.
    async fn combination(&self) -> Combination {
        Combination(self.0.combination_id)
    }

    /// Application of the latest change; null when none was told.
    async fn application(&self) -> Option<Application> {
        self.of(0).map(Application)
    }

    /// User of the latest change; null when none was told.
    async fn user(&self) -> Option<User> {
        self.of(1).map(User)
    }

    /// Department of the latest change; null when none was told.
    async fn department(&self) -> Option<Department> {
        self.of(2).map(Department)
    }

    /// Project of the latest change; null when none was told.
    async fn project(&self) -> Option<Project> {
        self.of(3).map(Project)
    }

    /// Machine of the latest change; null when none was told.
    async fn vm(&self) -> Option<Vm> {
        self.of(4).map(Vm)
    }

    /// When the first attempt was queued; null when not told.
    async fn queued_at(&self) -> Option<DateTime> {
        self.0.queued_at.map(DateTime)
    }

    /// When the first attempt started; null before that.
    async fn started_at(&self) -> Option<DateTime> {
        self.0.started_at.map(DateTime)
    }

    /// When the last attempt finished; null while the job goes on.
    async fn finished_at(&self) -> Option<DateTime> {
        self.0.finished_at.map(DateTime)
    }
}

/// Jobs, latest change first.
#[derive(SimpleObject, Clone, Debug)]
pub struct JobConnection {
    /// The nodes with their cursors.
    pub edges: Vec<JobEdge>,
    /// The nodes.
    pub nodes: Vec<Job>,
    /// Where the page lies.
    pub page_info: PageInfo,
}

/// A job and its cursor.
#[derive(SimpleObject, Clone, Debug)]
pub struct JobEdge {
    /// Opaque place in the list.
    pub cursor: String,
    /// The job.
    pub node: Job,
}

/// What the rows of a breakdown of jobs are ordered by, largest first, null last; equal: by the names of the key.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "jobs::JobOrder")]
pub enum JobOrder {
    /// Number of jobs.
    Jobs,
    /// Attempts but the first of each job.
    Retries,
    /// Jobs whose last attempt failed.
    Failures,
    /// 95th percentile of the queue time.
    QueueP95,
    /// 95th percentile of the processing time.
    ProcessingP95,
}

/// Figures of jobs.
#[derive(Clone, Debug)]
pub struct JobStats(JobFigures);

/// Jobs whose last attempt finished in the window. A job has one or more attempts (executions).
#[Object]
impl JobStats {
    /// Number of jobs.
    async fn jobs(&self) -> UInt53 {
        self.0.jobs().into()
    }

    /// Executions of the jobs, all that have arrived so far.
    async fn attempts(&self) -> UInt53 {
        self.0.attempts.into()
    }

    /// Attempts but the first of each job.
    async fn retries(&self) -> UInt53 {
        self.0.retries().into()
    }

    /// Jobs with more than one attempt.
    async fn retried_jobs(&self) -> UInt53 {
        self.0.retried_jobs.into()
    }

    /// Jobs whose last attempt failed.
    async fn failed_jobs(&self) -> UInt53 {
        self.0.outcomes[1].into()
    }

    /// Failed jobs over those that failed or succeeded; null when there are none.
    async fn failure_ratio(&self) -> Option<f64> {
        self.0.failure_ratio()
    }

    /// Retries / attempts; null without attempts.
    async fn retry_ratio(&self) -> Option<f64> {
        self.0.retry_ratio()
    }

    /// Time in the queue of the first attempts, startedAt - queuedAt; null when none told queuedAt.
    async fn queue(&self) -> Option<Distribution> {
        self.0.queue.as_ref().map(Distribution::from)
    }

    /// Time of processing, the sum of the durations of a job's attempts; null without jobs.
    async fn processing(&self) -> Option<Distribution> {
        self.0.processing.as_ref().map(Distribution::from)
    }
}

/// The parts that the fields asked of `stats` objects need.
pub fn job_parts_asked(stats: &[Lookahead<'_>]) -> BTreeSet<Part> {
    const PARTS: &[(&str, Part)] = &[
        ("attempts", Part::Attempts),
        ("retries", Part::Attempts),
        ("retryRatio", Part::Attempts),
        ("retriedJobs", Part::RetriedJobs),
        ("queue", Part::JobQueue),
        ("processing", Part::JobProcessing),
    ];
    let asked = |field: &str| stats.iter().any(|stats| stats.field(field).exists());
    PARTS.iter().filter(|(field, _)| asked(field)).map(|(_, part)| *part).collect()
}

/// Jobs by some dimensions of their last attempts.
#[derive(SimpleObject, Clone, Debug)]
pub struct JobBreakdown {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<JobBreakdownRow>,
    /// What `limit` cut off, each job once; null when nothing was.
    pub other: Option<JobStats>,
    /// Everything, each job once.
    pub total: JobStats,
}

/// A row of jobs.
#[derive(SimpleObject, Clone, Debug)]
pub struct JobBreakdownRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// Its figures.
    pub stats: JobStats,
}

impl From<Breakdown<JobFigures>> for JobBreakdown {
    fn from(of: Breakdown<JobFigures>) -> Self {
        let row = |(key, figures): (RowKey, JobFigures)| JobBreakdownRow { key: BreakdownKey(key), stats: JobStats(figures) };
        Self {
            window: of.window.into(),
            as_of: DateTime(of.as_of),
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            other: of.other.map(JobStats),
            total: JobStats(of.total),
        }
    }
}
