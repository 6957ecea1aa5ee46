//! Each change of a job's state, in order.

use std::collections::VecDeque;
use std::time::Duration;

use async_graphql::{Context, Result, Subscription};
use futures_util::stream::{self, Stream};
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::job::updates::{Position, Step, updates};
use plimsoll_domain::store;
use tokio::sync::watch;

use super::live::{Live, Patience};
use crate::graphql::connection::{read_cursor, write_cursor};
use crate::graphql::error::{internal, of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::types::filter::JobFilter;
use crate::graphql::types::job::{Job, JobEdge};

/// What its cursors begin with.
const LIST: &str = "jobUpdates";
/// Between two looks, so that a burst of commits is read at once.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
        let (reader, live) = (ctx.data::<Reader>()?.clone(), ctx.data::<Live>()?.clone());
        let heard = live.commits.heard();
        let after = match after {
            Some(cursor) => read_cursor(LIST, "after", &cursor)?,
            None => Position::behind(reader.store.snapshot().await.map_err(of_store)?.commit_number().await.map_err(of_store)?),
        };
        let following = Following { reader, live, heard, filter: filter.unwrap_or_default(), after, is_end: false, ready: VecDeque::new() };
        Ok(stream::unfold(Some(following), async |following| {
            let mut following = following?;
            match following.next().await {
                Ok(edge) => Some((Ok(edge), Some(following))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}

/// Where a subscription stands.
struct Following {
    reader: Reader,
    live: Live,
    heard: watch::Receiver<u64>,
    filter: JobFilter,
    after: Position,
    /// Whether nothing more had been committed at the last look.
    is_end: bool,
    /// What has been read and not sent: at most what one step reads.
    ready: VecDeque<(Position, store::Job)>,
}

impl Following {
    async fn next(&mut self) -> Result<JobEdge> {
        loop {
            if let Some((position, job)) = self.ready.pop_front() {
                return Ok(JobEdge { cursor: write_cursor(LIST, &position), node: Job(job) });
            }
            if self.is_end {
                // Whatever was heard of before the last look began was in it. What tells of commits looks for them itself.
                self.heard.changed().await.map_err(internal)?;
                tokio::time::sleep(LOOK_EVERY).await;
            }
            self.heard.borrow_and_update();
            let mut patience = Patience::default();
            let Step { updates, reached, is_end } = loop {
                match self.look().await {
                    Ok(step) => break step,
                    Err(error) => patience.bear(error).await?,
                }
            };
            (self.after, self.is_end) = (reached, is_end);
            self.ready = updates.into();
        }
    }

    async fn look(&self) -> Result<Step> {
        let (filter, after) = (self.filter.clone(), self.after);
        self.live
            .read(&self.reader, LIST, async move |reading| {
                // Anew each time: a name that nobody had may have come.
                let (filter, states) = filter.resolve(reading).await?;
                updates(reading, &filter, states.as_deref(), after).await.map_err(of_breakdown)
            })
            .await
    }
}
