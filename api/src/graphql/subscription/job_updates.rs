//! Each change of a job's state, in order.

use async_graphql::{Context, Result, Subscription};
use futures_util::stream::Stream;
use plimsoll_domain::breakdown::executions::Reading;
use plimsoll_domain::job::updates::updates;
use plimsoll_domain::live::ordered::{Position, Step};
use plimsoll_domain::store;

use super::following::{Followed, follow};
use crate::graphql::error::of_breakdown;
use crate::graphql::guard;
use crate::graphql::types::filter::JobFilter;
use crate::graphql::types::job::{Job, JobEdge};

/// The field, with which its cursors begin.
pub const FIELD: &str = "jobUpdates";

/// Subscriptions about jobs.
#[derive(Default)]
pub struct JobSubscription;

#[Subscription]
impl JobSubscription {
    /// Each change of a job's state, in the order in which it became known; what arrives too late to change the state that a job is in is left out. `after` resumes from a cursor without gap or duplicate.
    #[graphql(directive = guard::requires::apply(guard::required("Subscription.jobUpdates")))]
    async fn job_updates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which jobs, as the change left them; null: all.")] filter: Option<JobFilter>,
        #[graphql(desc = "Only behind this cursor, at most 7 days old; null: from now on.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<JobEdge>> + use<>> {
        guard::demand(ctx, "Subscription.jobUpdates")?;
        follow(ctx, Jobs(filter.unwrap_or_default()), after).await
    }
}

#[derive(Clone)]
struct Jobs(JobFilter);

impl Followed for Jobs {
    type Row = store::Job;
    type Edge = JobEdge;
    const FIELD: &'static str = FIELD;

    async fn step(self, reading: &Reading, after: Position) -> Result<Step<store::Job>> {
        // Anew each time: a name that nobody had may have come.
        let (filter, states) = self.0.resolve(reading).await?;
        updates(reading, &filter, states.as_deref(), after).await.map_err(of_breakdown)
    }

    fn edge(cursor: String, row: store::Job) -> JobEdge {
        JobEdge { cursor, node: Job(row) }
    }
}
