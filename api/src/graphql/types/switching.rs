//! Switches of the combination on a GPU.

use async_graphql::{ComplexObject, Result, SimpleObject};
use plimsoll_domain::breakdown::switching::{self, SwitchFigures};

use super::execution_stats::Distribution;
use super::key::BreakdownKey;
use super::name::Combination;
use super::window::TimeWindow;
use crate::graphql::error::bad_input;
use crate::graphql::scalar::{DateTime, UInt53};

/// Transitions of one list at most.
pub const TRANSITIONS_MAX: i32 = 10_000;

/// A switch: an execution on a GPU whose combination differs from that of the execution that started before it on the same GPU.
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct SwitchStats {
    /// Executions on machines.
    executions: UInt53,
    /// Those that found another combination.
    switches: UInt53,
    /// Those that were the first on their GPU in a life of the machine: neither switched nor unswitched.
    cold_starts: UInt53,
    /// Switches / (executions - coldStarts), 0 to 1; null when there are none.
    switch_ratio: Option<f64>,
    /// Switches over the hours of the window.
    switches_per_hour: f64,
    /// Durations of the switched; null when there are none.
    switched: Option<Distribution>,
    /// Durations of the unswitched; null when there are none.
    unswitched: Option<Distribution>,
    /// Mean over the switched executions of duration less the mean duration of the unswitched ones of the same combination, ms; combinations without an unswitched one are left out; null when none is left.
    added_mean_ms: Option<f64>,
}

impl From<SwitchFigures> for SwitchStats {
    fn from(of: SwitchFigures) -> Self {
        Self {
            executions: of.executions.into(),
            switches: of.switches.into(),
            cold_starts: of.cold_starts.into(),
            switch_ratio: of.switch_ratio,
            switches_per_hour: of.switches_per_hour,
            switched: of.switched.as_ref().map(Distribution::from),
            unswitched: of.unswitched.as_ref().map(Distribution::from),
            added_mean_ms: of.added_mean_ms,
        }
    }
}

/// Switches from one combination to another.
#[derive(SimpleObject, Clone, Debug)]
pub struct SwitchTransition {
    /// Combination before.
    from: Combination,
    /// Combination after.
    to: Combination,
    /// Number of switches.
    switches: UInt53,
    /// Mean of `checkpointLoadMs` over the switches that told it, ms; null when none did.
    mean_load_ms: Option<f64>,
}

impl From<&switching::Transition> for SwitchTransition {
    fn from(of: &switching::Transition) -> Self {
        Self { from: Combination(of.from), to: Combination(of.to), switches: of.switches.into(), mean_load_ms: of.mean_load_ms }
    }
}

/// Switches by some dimensions, ordered by executions, then by key.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(complex)]
pub struct CheckpointSwitching {
    /// The window that was answered.
    pub window: TimeWindow,
    /// The instant of the snapshot: everything committed before it is in, and nothing later.
    pub as_of: DateTime,
    /// Everything.
    pub total: SwitchStats,
    /// Rows before `limit`.
    pub row_count: UInt53,
    /// The rows, as many as `limit` allows.
    pub rows: Vec<SwitchRow>,
    /// What `limit` cut off, each execution once; null when nothing was.
    pub other: Option<SwitchStats>,
    /// Every transition that was read.
    #[graphql(skip)]
    pub most: Vec<switching::Transition>,
}

#[ComplexObject]
impl CheckpointSwitching {
    /// From what to what, most switches first, then by label.
    async fn transitions(
        &self,
        #[graphql(default = 20, desc = "Transitions at most, 0 to 10,000; null: 20.")] limit: Option<i32>,
    ) -> Result<Vec<SwitchTransition>> {
        let limit = limit.unwrap_or(20);
        if !(0..=TRANSITIONS_MAX).contains(&limit) {
            return Err(bad_input("limit", format!("limit is 0 to {TRANSITIONS_MAX}")));
        }
        Ok(self.most.iter().take(limit as usize).map(Into::into).collect())
    }
}

/// A row of switches.
#[derive(SimpleObject, Clone, Debug)]
pub struct SwitchRow {
    /// What the row stands for.
    pub key: BreakdownKey,
    /// Its figures.
    pub stats: SwitchStats,
}
