//! How instance types were used.

use async_graphql::{ComplexObject, Result, SimpleObject};
use plimsoll_domain::breakdown::instance_types::{self, InstanceTypeFigures};

use super::execution_stats::Distribution;
use super::machine_stats::Gauge;
use super::name::Combination;
use super::vm::InstanceType;
use crate::graphql::error::bad_input;
use crate::graphql::scalar::UInt53;

/// Workloads of one list at most.
const WORKLOADS_MAX: i32 = 10_000;

/// How an instance type was used in the window.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(complex)]
pub struct InstanceTypeUsage {
    /// The type.
    instance_type: InstanceType,
    /// Its machines that were RUNNING or sent samples.
    vms: UInt53,
    /// RUNNING time of its machines, hours.
    running_hours: f64,
    /// Slot time on which at least one execution ran over slot time of its RUNNING machines, 0 to 1; null without RUNNING time.
    busy_ratio: Option<f64>,
    /// GPU utilization, 0 to 1; null without samples of it.
    gpu_ratio: Option<Gauge>,
    #[graphql(skip)]
    all: Vec<instance_types::Workload>,
}

#[ComplexObject]
impl InstanceTypeUsage {
    /// What ran on it, most GPU-hours first, then by label.
    async fn workloads(
        &self,
        #[graphql(default = 10, desc = "Workloads at most, 0 to 10,000; null: 10.")] limit: Option<i32>,
    ) -> Result<Vec<InstanceTypeWorkload>> {
        let limit = limit.unwrap_or(10);
        if !(0..=WORKLOADS_MAX).contains(&limit) {
            return Err(bad_input("limit", format!("limit is 0 to {WORKLOADS_MAX}")));
        }
        Ok(self.all.iter().take(limit as usize).map(InstanceTypeWorkload::from).collect())
    }
}

impl From<InstanceTypeFigures> for InstanceTypeUsage {
    fn from(of: InstanceTypeFigures) -> Self {
        Self {
            instance_type: InstanceType(of.instance_type_id),
            vms: of.vms.into(),
            running_hours: of.running_hours,
            busy_ratio: of.busy_ratio,
            gpu_ratio: of.gpu_ratio.map(Gauge::from),
            all: of.workloads,
        }
    }
}

/// What one combination did on an instance type.
#[derive(SimpleObject, Clone, Debug)]
pub struct InstanceTypeWorkload {
    /// The combination.
    combination: Combination,
    /// Executions that finished in the window.
    executions: UInt53,
    /// Duration x slots held, hours.
    gpu_hours: f64,
    /// Of the GPU-hours held on this instance type, 0 to 1.
    ratio: f64,
    /// Durations.
    duration: Option<Distribution>,
}

impl From<&instance_types::Workload> for InstanceTypeWorkload {
    fn from(of: &instance_types::Workload) -> Self {
        Self {
            combination: Combination(of.combination_id),
            executions: of.executions.into(),
            gpu_hours: of.gpu_hours,
            ratio: of.ratio,
            duration: of.duration.as_ref().map(Distribution::from),
        }
    }
}
