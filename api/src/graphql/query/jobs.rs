//! Breakdowns and lists of jobs.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::jobs::JobQuestion;
use plimsoll_domain::job::listing;
use plimsoll_domain::job::pending::Pending;
use plimsoll_domain::store::{self, NewestFirst, Page};
use plimsoll_entity::value::label::JobState;

use super::lists::{in_order, sizes};
use crate::graphql::ask::{ask, dimensions};
use crate::graphql::connection::{PageArguments, Pages, part};
use crate::graphql::error::{of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::{heavy, rows_limit};
use crate::graphql::types::enums::ExecutionDimension;
use crate::graphql::types::filter::{ExecutionFilter, JobFilter};
use crate::graphql::types::job::{Job, JobBreakdown, JobConnection, JobEdge, JobOrder, job_parts_asked};
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about jobs.
#[derive(Default)]
pub struct JobQuery;

struct Jobs<'a> {
    reading: &'a Reading,
    pending: Pending,
    filter: Filter,
    states: Option<Vec<JobState>>,
}

impl Pages for Jobs<'_> {
    type Key = NewestFirst;
    type Row = store::Job;
    const LIST: &'static str = "jobs";

    fn key(row: &store::Job) -> NewestFirst {
        listing::place(row)
    }

    async fn read(&self, page: &Page<NewestFirst>) -> Result<Vec<store::Job>> {
        let rows = listing::jobs(self.reading, &self.pending, &self.filter, self.states.as_deref(), page).await.map_err(of_breakdown)?;
        Ok(in_order(page, rows))
    }
}

#[Object]
impl JobQuery {
    /// Jobs whose last attempt finished in the window, by up to 4 dimensions of that attempt. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.jobBreakdown")))]
    #[allow(clippy::too_many_arguments)]
    async fn job_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Jobs whose last attempt finished in it count.")] window: TimeWindowInput,
        #[graphql(desc = "Dimensions of the last attempt, at most 4, none twice; none: one row with everything.")] by: Vec<
            ExecutionDimension,
        >,
        #[graphql(desc = "Which jobs count, by their last attempt; null: all.")] filter: Option<ExecutionFilter>,
        #[graphql(default_with = "JobOrder::Jobs", desc = "What the rows are ordered by.")] order_by: JobOrder,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<JobBreakdown>> {
        if !guard::allows(ctx, "Query.jobBreakdown") {
            return Ok(None);
        }
        let look = ctx.look_ahead();
        let parts = job_parts_asked(&[look.field("rows").field("stats"), look.field("other"), look.field("total")]);
        let asked = JobQuestion { window: window.into(), by: dimensions(by), parts, limit: rows_limit(limit)? };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| {
            reader.job_breakdown(reading, &asked, filter, order_by.into()).await
        };
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(breakdown.into()))
    }

    /// Jobs by their latest change, newest first, then by id; where facts are dropped by age, those that changed since. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.jobs")))]
    #[allow(clippy::too_many_arguments)]
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which jobs, by their latest change; null: all.")] filter: Option<JobFilter>,
        #[graphql(
            desc = "Nodes at most from the front, 0 to pageSizeMax of serviceConfig; pageSizeDefault when neither first nor last is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to pageSizeMax of serviceConfig; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<JobConnection>> {
        if !guard::allows(ctx, "Query.jobs") {
            return Ok(None);
        }
        let asked = PageArguments { first, after, last, before }.page::<Jobs<'_>>(sizes(ctx)?)?;
        let (reader, filter) = (ctx.data::<Reader>()?.clone(), filter.unwrap_or_default());
        let (edges, page_info) = heavy(move || async move {
            let reading = reader.begin().await.map_err(of_store)?;
            let (filter, states) = filter.resolve(&reading).await?;
            let pending = Pending::read(&reading.snapshot).await.map_err(|error| of_breakdown(error.into()))?;
            part(&Jobs { reading: &reading, pending, filter, states }, &asked).await
        })
        .await?;
        let edges: Vec<JobEdge> = edges.into_iter().map(|(cursor, row)| JobEdge { cursor, node: Job(row) }).collect();
        Ok(Some(JobConnection { nodes: edges.iter().map(|edge| edge.node.clone()).collect(), edges, page_info }))
    }
}
