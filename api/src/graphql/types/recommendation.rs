//! What would save money.

use async_graphql::{Enum, SimpleObject};
use plimsoll_domain::cost::recommendation;

use super::key::BreakdownKey;
use super::money::Money;

/// What is to be done.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "recommendation::RecommendationKind")]
pub enum RecommendationKind {
    /// Stop or share machines: of a machine, or of a combination after which GPUs idle, a quarter or more of the compute cost is idle.
    CutIdle,
    /// Keep a checkpoint version in the caches of the machines that load it: it missed them 5 times or more.
    CacheCheckpoint,
    /// Delete bytes that lay at a place for the whole window, a week or more, and were not loaded.
    DeleteColdStorage,
    /// Take a cheaper instance type that is large enough: GPUs or their memory are hardly used.
    RightsizeInstance,
    /// Make executions succeed: 5 % or more of the productive cost of a combination went into failed ones.
    FixFailures,
    /// Give up a combination: it costs more than it is worth, and is less than 5 % of all executions.
    DeprecateCombination,
}

/// Something that would save money.
#[derive(SimpleObject, Clone, Debug)]
pub struct CostRecommendation {
    /// What is to be done.
    pub kind: RecommendationKind,
    /// With what: a machine, combination, checkpoint version, instance type, or artifact and place, by name.
    pub subject: String,
    /// The arithmetic of the saving in words, and the operation with its arguments that shows the figures.
    pub reason: String,
    /// Per 30 days, from the window's figures; at least 1 unit of the currency. What two recommendations would save twice is counted in one of them, where that is known.
    pub saving: Money,
    /// What it is about.
    pub key: BreakdownKey,
}

impl From<recommendation::Recommendation> for CostRecommendation {
    fn from(found: recommendation::Recommendation) -> Self {
        Self {
            kind: found.kind.into(),
            subject: found.about.text,
            reason: found.reason,
            saving: Money(found.saving),
            key: BreakdownKey(found.about.key),
        }
    }
}
