//! What can be changed.
//!
//! Invariants: what a person can put right is a `userErrors` entry with its field, never an error of the answer; an answer means
//! committed. Must not know: how a change is kept.

pub mod alerts;
pub mod prices;
pub mod reports;

use std::sync::Arc;

use async_graphql::MergedObject;
use plimsoll_domain::clock::IdSource;
use plimsoll_domain::live::bus::Bus;
use plimsoll_domain::watch::webhook_url::AllowList;

/// What can be changed.
#[derive(MergedObject, Default)]
#[graphql(name = "Mutation")]
pub struct Mutation(alerts::AlertMutation, prices::PriceMutation, reports::ReportMutation);

/// What changes need beside the store.
#[derive(Clone)]
pub struct Writing {
    /// Is told of commits.
    pub bus: Arc<dyn Bus>,
    /// Makes ids.
    pub ids: Arc<dyn IdSource>,
    /// Private addresses that webhooks may go to.
    pub webhook_allow: Arc<AllowList>,
}
