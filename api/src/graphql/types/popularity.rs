//! Which checkpoints are used most.

use async_graphql::SimpleObject;
use plimsoll_domain::popularity::{ModelPopularity, Popular};

use super::name::{CheckpointVersion, Model};
use crate::graphql::scalar::UInt53;

/// A base model and the checkpoints that are used most with it. Ordered by executions, then by name.
#[derive(SimpleObject, Clone, Debug)]
pub struct CheckpointPopularity {
    /// The base model.
    model: Model,
    /// Its executions in the window, with and without checkpoints.
    executions: UInt53,
    /// Its checkpoint versions by executions, then users, then name and version; as many as `limit` allows.
    ranking: Vec<PopularCheckpoint>,
}

/// A checkpoint version in a ranking.
#[derive(SimpleObject, Clone, Debug)]
pub struct PopularCheckpoint {
    /// Its place, from 1.
    rank: i32,
    /// The version.
    checkpoint_version: CheckpointVersion,
    /// Executions of the base model that applied it.
    executions: UInt53,
    /// Distinct known users of it.
    users: UInt53,
    /// Of the executions of the base model, 0 to 1.
    ratio: f64,
    /// Executions against the window of equal length before it, as a change; null when there were none.
    change: Option<f64>,
}

impl From<ModelPopularity> for CheckpointPopularity {
    fn from(of: ModelPopularity) -> Self {
        let popular = |(rank, of): (i32, Popular)| PopularCheckpoint {
            rank,
            checkpoint_version: CheckpointVersion(of.checkpoint_version_id),
            executions: of.executions.into(),
            users: of.users.into(),
            ratio: of.ratio,
            change: of.change,
        };
        Self { model: Model(of.model_id), executions: of.executions.into(), ranking: (1..).zip(of.ranking).map(popular).collect() }
    }
}
