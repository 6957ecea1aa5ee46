//! Executions, one by one.

use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, ID, Object, Result, SimpleObject};
use plimsoll_domain::store::StoreError;
use plimsoll_entity::execution::Model as Row;
use plimsoll_entity::value::label;
use plimsoll_entity::value::time::Instant;

use super::enums::Outcome;
use super::id::NodeKind;
use super::job::Job;
use super::money::Money;
use super::name::{Application, Combination, Department, Project, User};
use super::vm::Vm;
use crate::graphql::connection::PageInfo;
use crate::graphql::error::internal;
use crate::graphql::guard;
use crate::graphql::loader::{self, CatalogLoader, JobKey};
use crate::graphql::scalar::{DateTime, UInt53};

/// Microseconds of a millisecond.
const MILLISECOND_US: f64 = 1_000.0;

fn id(id: Option<i32>) -> Option<u32> {
    id.map(|id| id as u32)
}

fn bytes(bytes: Option<i64>) -> Option<UInt53> {
    bytes.map(|bytes| UInt53(bytes as u64))
}

/// One finished attempt of a job.
#[derive(Clone, Debug)]
pub struct Execution(pub(crate) Row);

/// One finished attempt of a job.
#[Object]
impl Execution {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Execution.uuid_id(self.0.id)
    }

    /// The job that it was an attempt of.
    async fn job(&self, ctx: &Context<'_>) -> Result<Job> {
        let job = ctx.data::<DataLoader<CatalogLoader>>()?.load_one(JobKey(self.0.job_key)).await.map_err(internal)?;
        job.map(Job).ok_or_else(|| internal(StoreError::Inconsistent("job")))
    }

    /// Attempt, from 1.
    async fn attempt(&self) -> i32 {
        self.0.attempt
    }

    /// Base model version and checkpoints applied.
    async fn combination(&self) -> Combination {
        Combination(self.0.combination_id as u32)
    }

    /// Machine; null when none was told.
    async fn vm(&self) -> Option<Vm> {
        id(self.0.vm_id).map(Vm)
    }

    /// Application; null when none was told.
    async fn application(&self) -> Option<Application> {
        id(self.0.application_id).map(Application)
    }

    /// User; null when none was told.
    async fn user(&self) -> Option<User> {
        id(self.0.user_id).map(User)
    }

    /// Department; null when none was told.
    async fn department(&self) -> Option<Department> {
        id(self.0.department_id).map(Department)
    }

    /// Project; null when none was told.
    async fn project(&self) -> Option<Project> {
        id(self.0.project_id).map(Project)
    }

    /// When it was queued; null when not told.
    async fn queued_at(&self) -> Option<DateTime> {
        self.0.queued_at.map(|at| DateTime(Instant(at)))
    }

    /// When it started.
    async fn started_at(&self) -> DateTime {
        DateTime(Instant(self.0.started_at))
    }

    /// When it finished.
    async fn finished_at(&self) -> DateTime {
        DateTime(Instant(self.0.finished_at))
    }

    /// How it ended.
    async fn outcome(&self) -> Result<Outcome> {
        label::Outcome::from_code(self.0.outcome).map(Outcome::from).ok_or_else(|| internal(StoreError::Inconsistent("execution")))
    }

    /// Error type; null when none was told.
    async fn error_type(&self, ctx: &Context<'_>) -> Result<Option<std::sync::Arc<str>>> {
        match id(self.0.error_type_id) {
            Some(error_type) => loader::name(ctx, error_type).await.map(Some),
            None => Ok(None),
        }
    }

    /// Error message, at most 2,000 characters; null when none was told.
    async fn error_message(&self) -> Option<&str> {
        self.0.error_message.as_deref()
    }

    /// Time from start to end in ms.
    async fn duration_ms(&self) -> f64 {
        (self.0.finished_at - self.0.started_at) as f64 / MILLISECOND_US
    }

    /// Time to load checkpoints in ms; null when not told.
    async fn checkpoint_load_ms(&self) -> Option<f64> {
        self.0.checkpoint_load_ms
    }

    /// Time to initialise the model in ms; null when not told.
    async fn model_init_ms(&self) -> Option<f64> {
        self.0.model_init_ms
    }

    /// Time of inference in ms; null when not told.
    async fn inference_ms(&self) -> Option<f64> {
        self.0.inference_ms
    }

    /// Input size in bytes; null when not told.
    async fn input_bytes(&self) -> Option<UInt53> {
        bytes(self.0.input_bytes)
    }

    /// Output size in bytes; null when not told.
    async fn output_bytes(&self) -> Option<UInt53> {
        bytes(self.0.output_bytes)
    }

    /// Peak GPU memory in bytes; null when not told.
    async fn gpu_memory_peak_bytes(&self) -> Option<UInt53> {
        bytes(self.0.gpu_memory_peak_bytes)
    }

    /// Its share of the machine's bill: what its load, init and inference cost, without idle time. Null when no held machine with a rate carried it, when it came after its months were closed, and without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Execution.cost")))]
    async fn cost(&self, ctx: &Context<'_>) -> Result<Option<Money>> {
        if !guard::allows(ctx, "Execution.cost") {
            return Ok(None);
        }
        Ok(loader::execution_cost(ctx, self.0.id).await?.map(Money))
    }
}

/// Executions, newest first.
#[derive(SimpleObject, Clone, Debug)]
pub struct ExecutionConnection {
    /// The nodes with their cursors.
    pub edges: Vec<ExecutionEdge>,
    /// The nodes.
    pub nodes: Vec<Execution>,
    /// Where the page lies.
    pub page_info: PageInfo,
}

/// An execution and its cursor.
#[derive(SimpleObject, Clone, Debug)]
pub struct ExecutionEdge {
    /// Opaque place in the list.
    pub cursor: String,
    /// The execution.
    pub node: Execution,
}
