//! Costs: what they are broken down by, and their figures.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::{Enum, InputObject, Object, Result, SimpleObject};
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, Reading, RowKey, Series};
use plimsoll_domain::cost::figures::CostSums;
use plimsoll_domain::cost::question;
use plimsoll_entity::value::label;

use super::enums::{Outcome, ServiceType, Step};
use super::filter::{CheckpointInput, CheckpointVersionInput, CombinationInput, ExecutionFilter, ModelVersionInput, check};
use super::key::BreakdownKey;
use super::money::{Currency, Money};
use super::window::TimeWindow;
use crate::graphql::ask::AskedFilter;
use crate::graphql::scalar::{DateTime, UInt53};

/// What costs can be broken down by. In every `by`: at most 4 dimensions, none twice. What a cost does not have is null: storage and transfer have no combination and no user, overhead has the machine's dimensions alone.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostDimension {
    /// Type of the base model, the newest that an event told.
    ModelType,
    /// Base model.
    Model,
    /// Base model version.
    ModelVersion,
    /// Checkpoint: a cost is split evenly among the checkpoint versions that were applied together.
    Checkpoint,
    /// Checkpoint version: a cost is split evenly among those that were applied together.
    CheckpointVersion,
    /// Base model version and the set of checkpoint versions applied together.
    Combination,
    /// Calling application.
    Application,
    /// Person or service that asked.
    User,
    /// Department that asked.
    Department,
    /// Project for which it ran.
    Project,
    /// Machine.
    Vm,
    /// Instance type of the machine.
    InstanceType,
    /// Region of the machine.
    Region,
    /// Provider of the machine.
    Provider,
    /// Type of the storage where bytes lie or come from.
    StorageType,
    /// Location of that storage; null where none was told.
    StorageLocation,
    /// Error type; null for executions without one.
    ErrorType,
    /// Machines, bytes that lie or bytes that move.
    ServiceType,
}

impl From<CostDimension> for Dimension {
    fn from(dimension: CostDimension) -> Self {
        match dimension {
            CostDimension::ModelType => Self::ModelType,
            CostDimension::Model => Self::Model,
            CostDimension::ModelVersion => Self::ModelVersion,
            CostDimension::Checkpoint => Self::Checkpoint,
            CostDimension::CheckpointVersion => Self::CheckpointVersion,
            CostDimension::Combination => Self::Combination,
            CostDimension::Application => Self::Application,
            CostDimension::User => Self::User,
            CostDimension::Department => Self::Department,
            CostDimension::Project => Self::Project,
            CostDimension::Vm => Self::Vm,
            CostDimension::InstanceType => Self::InstanceType,
            CostDimension::Region => Self::Region,
            CostDimension::Provider => Self::Provider,
            CostDimension::StorageType => Self::StorageType,
            CostDimension::StorageLocation => Self::StorageLocation,
            CostDimension::ErrorType => Self::ErrorType,
            CostDimension::ServiceType => Self::ServiceType,
        }
    }
}

/// Which costs count. All conditions hold together; within a list any one matches. A cost that does not have what is asked about is left out: storage has no user, overhead no department.
#[derive(InputObject, Clone, Debug, Default)]
pub struct CostFilter {
    /// Types of base models.
    pub model_types: Option<Vec<String>>,
    /// Base models.
    pub models: Option<Vec<String>>,
    /// Base model versions.
    pub model_versions: Option<Vec<ModelVersionInput>>,
    /// Checkpoints, in any version: the parts of a cost that are theirs.
    pub checkpoints: Option<Vec<CheckpointInput>>,
    /// Checkpoint versions: the parts of a cost that are theirs.
    pub checkpoint_versions: Option<Vec<CheckpointVersionInput>>,
    /// Combinations.
    pub combinations: Option<Vec<CombinationInput>>,
    /// Applications.
    pub applications: Option<Vec<String>>,
    /// Users.
    pub users: Option<Vec<String>>,
    /// Departments.
    pub departments: Option<Vec<String>>,
    /// Projects.
    pub projects: Option<Vec<String>>,
    /// Machines.
    pub vms: Option<Vec<String>>,
    /// Instance types of the machines.
    pub instance_types: Option<Vec<String>>,
    /// Regions of the machines.
    pub regions: Option<Vec<String>>,
    /// How the executions ended; idle time has the outcome of the execution that caused it.
    pub outcomes: Option<Vec<Outcome>>,
    /// Error types.
    pub error_types: Option<Vec<String>>,
    /// Machines, bytes that lie, bytes that move.
    pub service_types: Option<Vec<ServiceType>>,
}

impl AskedFilter for CostFilter {
    type Ids = question::CostFilter;

    async fn ids(self, reading: &Reading) -> Result<question::CostFilter> {
        check("filter.serviceTypes", self.service_types.as_ref())?;
        let service_types =
            self.service_types.map(|types| types.into_iter().map(label::ServiceType::from).collect::<HashSet<label::ServiceType>>());
        let same = ExecutionFilter {
            model_types: self.model_types,
            models: self.models,
            model_versions: self.model_versions,
            checkpoints: self.checkpoints,
            checkpoint_versions: self.checkpoint_versions,
            combinations: self.combinations,
            applications: self.applications,
            users: self.users,
            departments: self.departments,
            projects: self.projects,
            vms: self.vms,
            instance_types: self.instance_types,
            regions: self.regions,
            outcomes: self.outcomes,
            error_types: self.error_types,
        };
        Ok(question::CostFilter { filter: same.resolve(reading).await?, service_types })
    }
}

/// Where idle time is shown. Both views have one total.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "question::IdleView")]
pub enum IdleView {
    /// Idle stays with the combination that caused it.
    Caused,
    /// Idle is spread over the productive cost of the same machine and hour.
    Spread,
}

/// What the rows of a breakdown of costs are ordered by, largest first, null last; equal: by the names of the key.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "question::CostOrder")]
pub enum CostOrder {
    /// Everything.
    Total,
    /// The bill of machines.
    Compute,
    /// Idle time.
    Idle,
    /// Bytes that lie.
    Storage,
    /// Bytes that move.
    Transfer,
    /// Productive of each costed execution.
    CostPerExecution,
    /// Number of executions.
    Executions,
}

/// Parts of one total, in nano-units.
#[derive(Clone, Copy, Debug)]
pub struct CostStats(CostSums);

impl From<CostSums> for CostStats {
    fn from(sums: CostSums) -> Self {
        Self(sums)
    }
}

/// Parts of one total, exact to the last digit: total = compute + storage + transfer.
#[Object]
impl CostStats {
    /// Everything: compute + storage + transfer.
    async fn total(&self) -> Money {
        Money(self.0.total())
    }

    /// The bill of machines.
    async fn compute(&self) -> ComputeCost {
        ComputeCost(self.0)
    }

    /// Bytes that lie: size in GiB x hours x price of a GiB and month / 730.
    async fn storage(&self) -> Money {
        Money(self.0.storage)
    }

    /// Bytes that move: those of cache misses in GiB x price of a GiB.
    async fn transfer(&self) -> Money {
        Money(self.0.transfer)
    }

    /// Productive time of slots that are GPUs, hours, priced or not, as in UsageStats.
    async fn gpu_hours(&self) -> f64 {
        self.0.gpu_hours()
    }

    /// The part of `compute.productive` that pays for GPUs.
    async fn gpu_cost(&self) -> Money {
        Money(self.0.gpu)
    }

    /// Productive slot time x vCPUs / slots, hours, priced or not, as in UsageStats; 0 where the vCPUs are unknown.
    async fn cpu_hours(&self) -> f64 {
        self.0.cpu_hours()
    }

    /// The rest of `compute.productive`: gpuCost + cpuCost = compute.productive.
    async fn cpu_cost(&self) -> Money {
        Money(self.0.cpu())
    }

    /// Executions that finished in the window, priced or not.
    async fn executions(&self) -> UInt53 {
        self.0.executions().into()
    }

    /// Of them those that succeeded.
    async fn succeeded(&self) -> UInt53 {
        self.0.executions[label::Outcome::Succeeded as usize].into()
    }

    /// Of them those that failed.
    async fn failed(&self) -> UInt53 {
        self.0.executions[label::Outcome::Failed as usize].into()
    }

    /// Of them those that were cancelled.
    async fn cancelled(&self) -> UInt53 {
        self.0.executions[label::Outcome::Cancelled as usize].into()
    }

    /// Of the executions those that no priced machine carried: no machine, or no rate for it. They are in no amount and in no average.
    async fn uncosted_executions(&self) -> UInt53 {
        self.0.uncosted().into()
    }

    /// Productive / costed executions, half up; null when there are none.
    async fn cost_per_execution(&self) -> Option<Money> {
        self.0.per_execution().map(Money)
    }

    /// Total / costed executions, half up: with the idle time, storage and transfer of the row; null when there are none.
    async fn full_cost_per_execution(&self) -> Option<Money> {
        self.0.full_per_execution().map(Money)
    }

    /// Productive / costed executions that succeeded, half up: what one good result costs; null when there are none.
    async fn cost_per_success(&self) -> Option<Money> {
        self.0.per_success().map(Money)
    }

    /// costOfFailed / costed executions that failed, half up; null when there are none.
    async fn cost_per_failed(&self) -> Option<Money> {
        self.0.per_failed().map(Money)
    }

    /// Productive of executions that succeeded.
    async fn cost_of_succeeded(&self) -> Money {
        Money(self.0.of_succeeded)
    }

    /// Productive of executions that failed.
    async fn cost_of_failed(&self) -> Money {
        Money(self.0.of_failed)
    }

    /// Productive of executions that were cancelled.
    async fn cost_of_cancelled(&self) -> Money {
        Money(self.0.of_cancelled)
    }

    /// Part of the compute cost whose department is known, 0 to 1; null where there is no compute cost.
    async fn attributed_ratio(&self) -> Option<f64> {
        self.0.attributed_ratio()
    }
}

/// The bill of machines, in nano-units.
#[derive(Clone, Copy, Debug)]
pub struct ComputeCost(CostSums);

/// The bill of machines: total = productive + idle + overhead; productive = inference + checkpointLoad + modelInit.
#[Object]
impl ComputeCost {
    /// productive + idle + overhead.
    async fn total(&self) -> Money {
        Money(self.0.compute())
    }

    /// What executions spent: inference + checkpointLoad + modelInit.
    async fn productive(&self) -> Money {
        Money(self.0.productive())
    }

    /// Inference.
    async fn inference(&self) -> Money {
        Money(self.0.inference)
    }

    /// Loading checkpoints.
    async fn checkpoint_load(&self) -> Money {
        Money(self.0.load)
    }

    /// Initialising models.
    async fn model_init(&self) -> Money {
        Money(self.0.init)
    }

    /// Paid for and not used. By combination it is the idle time that the combination caused: it ran last on the GPU that then idled; in the view SPREAD its part of the idle time of its machines and hours.
    async fn idle(&self) -> Money {
        Money(self.0.idle)
    }

    /// Maintenance, unreachable and never-used machine time.
    async fn overhead(&self) -> Money {
        Money(self.0.overhead)
    }

    /// Hours of whole machines for which no rate was in force; they are in no amount.
    async fn unpriced_vm_hours(&self) -> f64 {
        self.0.unpriced_vm_hours()
    }
}

/// Costs by some dimensions. Hours that are not over yet are billed up to `asOf`.
#[derive(SimpleObject, Clone, Debug)]
pub struct CostBreakdown {
    /// The window that was answered: the one asked for, widened to whole UTC hours.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Currency of every amount, as an ISO 4217 code.
    pub currency: Arc<str>,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<CostBreakdownRow>,
    /// What `limit` cut off; null when nothing was.
    pub other: Option<CostStats>,
    /// Everything: rows + other.
    pub total: CostStats,
}

/// A row of costs.
#[derive(SimpleObject, Clone, Debug)]
pub struct CostBreakdownRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// What it costs.
    pub cost: CostStats,
}

impl CostBreakdown {
    /// The breakdown in this currency.
    #[must_use]
    pub fn of(of: Breakdown<CostSums>, currency: Currency) -> Self {
        let row = |(key, sums): (RowKey, CostSums)| CostBreakdownRow { key: BreakdownKey(key), cost: sums.into() };
        Self {
            window: of.window.into(),
            as_of: DateTime(of.as_of),
            currency: currency.0,
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            other: of.other.map(Into::into),
            total: of.total.into(),
        }
    }
}

/// Costs over time. Points tile the widened window in UTC calendar units; empty points are there.
#[derive(SimpleObject, Clone, Debug)]
pub struct CostSeries {
    /// The window that was answered: the one asked for, widened to whole UTC hours.
    pub window: TimeWindow,
    /// The calendar unit of the points.
    pub step: Step,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Currency of every amount, as an ISO 4217 code.
    pub currency: Arc<str>,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The largest rows by `total` over the window.
    pub rows: Vec<CostSeriesRow>,
    /// Everything.
    pub total: Vec<CostPoint>,
}

/// A row of a series of costs.
#[derive(SimpleObject, Clone, Debug)]
pub struct CostSeriesRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// One point for each tile of the window.
    pub points: Vec<CostPoint>,
}

/// A point of a series of costs.
#[derive(SimpleObject, Clone, Debug)]
pub struct CostPoint {
    /// The tile.
    pub window: TimeWindow,
    /// What it costs in it.
    pub cost: CostStats,
}

impl CostSeries {
    /// The series in this currency.
    #[must_use]
    pub fn of(of: Series<CostSums>, step: Step, currency: Currency) -> Self {
        let tiles = of.tiles;
        let points = |sums: Vec<CostSums>| -> Vec<CostPoint> {
            sums.into_iter().zip(&tiles).map(|(sums, tile)| CostPoint { window: (*tile).into(), cost: sums.into() }).collect()
        };
        let row = |(key, sums): (RowKey, Vec<CostSums>)| CostSeriesRow { key: BreakdownKey(key), points: points(sums) };
        Self {
            window: of.window.into(),
            step,
            as_of: DateTime(of.as_of),
            currency: currency.0,
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            total: points(of.total),
        }
    }
}
