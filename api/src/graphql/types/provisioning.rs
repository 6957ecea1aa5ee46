//! Figures of how machines came and went.

use std::sync::Arc;

use async_graphql::{Object, SimpleObject};
use plimsoll_domain::machine::provisioning::ProvisioningFigures;

use super::execution_stats::Distribution;
use super::key::BreakdownKey;
use super::window::TimeWindow;
use crate::graphql::scalar::{DateTime, UInt53};

/// Machines asked for, made, failed and given back; each counts where it ended.
#[derive(Clone, Debug)]
pub struct ProvisioningStats(Arc<ProvisioningFigures>);

impl From<ProvisioningFigures> for ProvisioningStats {
    fn from(figures: ProvisioningFigures) -> Self {
        Self(Arc::new(figures))
    }
}

/// Machines asked for, made, failed and given back; each counts where it ended.
#[Object]
impl ProvisioningStats {
    /// Requests: REQUESTED in the window.
    async fn requested(&self) -> UInt53 {
        self.0.requested.into()
    }

    /// Machines that served for the first time in their life: its first RUNNING in the window.
    async fn provisioned(&self) -> UInt53 {
        self.0.provisioned.into()
    }

    /// Provisionings that failed: FAILED before any RUNNING, in the window.
    async fn failed(&self) -> UInt53 {
        self.0.failed.into()
    }

    /// Machines that are gone: TERMINATED in the window.
    async fn terminated(&self) -> UInt53 {
        self.0.terminated.into()
    }

    /// RUNNING - REQUESTED in ms, counted where it ended; null when no provisioned machine told its REQUESTED.
    async fn provisioning(&self) -> Option<Distribution> {
        self.0.provisioning_times().as_ref().map(Distribution::from)
    }

    /// TERMINATED - DEPROVISIONING in ms, counted where it ended; null when no terminated machine told its DEPROVISIONING.
    async fn deprovisioning(&self) -> Option<Distribution> {
        self.0.deprovisioning_times().as_ref().map(Distribution::from)
    }
}

/// Provisioning by some dimensions, ordered by key.
#[derive(SimpleObject, Clone, Debug)]
pub struct ProvisioningBreakdown {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// The rows; those of nothing but zeros are left out.
    pub rows: Vec<ProvisioningRow>,
    /// Everything.
    pub total: ProvisioningStats,
}

/// A row of provisioning.
#[derive(SimpleObject, Clone, Debug)]
pub struct ProvisioningRow {
    /// What the row stands for: type, region and provider of the machines when the step was taken.
    pub key: BreakdownKey,
    /// Its figures.
    pub stats: ProvisioningStats,
}
