//! Figures of executions over a trailing window, while they change.

use async_graphql::{Context, Result, Subscription};
use futures_util::stream::{Stream, StreamExt as _};
use plimsoll_domain::breakdown::WINDOW_DAYS_MAX;
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, ExecutionOrder, ExecutionQuestion, Reader, Reading, check};
use plimsoll_domain::breakdown::figures::ExecutionFigures;
use plimsoll_domain::cell::part::Part;
use plimsoll_domain::live::trailing::{Answered, Trailing, seconds_us};
use plimsoll_domain::store::{Passing, Snapshot};
use plimsoll_entity::value::time::Window;

use crate::graphql::ask::{AskedFilter as _, dimensions};
use crate::graphql::error::{bad_input, of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::subscription::interval_us;
use crate::graphql::subscription::live::Live;
use crate::graphql::subscription::watching::{Looked, Watched, digest, watch};
use crate::graphql::types::enums::ExecutionDimension;
use crate::graphql::types::execution_stats::{ExecutionBreakdown, parts_asked};
use crate::graphql::types::filter::ExecutionFilter;

/// Longest trailing window, in seconds: that of a breakdown.
const TRAILING_SECONDS_MAX: i64 = WINDOW_DAYS_MAX * 86_400;

/// Subscriptions about executions.
#[derive(Default)]
pub struct ExecutionSubscription;

#[Subscription]
impl ExecutionSubscription {
    /// Figures of the trailing window, every intervalMs while they change, the last time when the window has run empty.
    #[graphql(directive = guard::requires::apply(guard::required("Subscription.executionMetrics")))]
    #[allow(clippy::too_many_arguments)]
    async fn execution_metrics(
        &self,
        ctx: &Context<'_>,
        #[graphql(default, desc = "Dimensions, at most 4, none twice; none: one row with everything.")] by: Vec<ExecutionDimension>,
        #[graphql(desc = "Which executions count; null: all.")] filter: Option<ExecutionFilter>,
        #[graphql(default = 60, desc = "Length of the window, which ends at `asOf`, in seconds: 1 to 34,560,000.")] trailing_seconds: i32,
        #[graphql(default = 1_000, desc = "Least time between two payloads, in milliseconds: 250 to 60,000.")] interval_ms: i32,
        #[graphql(default = 50, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<impl Stream<Item = Result<ExecutionBreakdown>> + use<>> {
        guard::demand(ctx, "Subscription.executionMetrics")?;
        let look = ctx.look_ahead();
        let parts = parts_asked(&[look.field("rows").field("stats"), look.field("other"), look.field("total")]);
        if !(1..=TRAILING_SECONDS_MAX).contains(&i64::from(trailing_seconds)) {
            return Err(bad_input("trailingSeconds", format!("trailingSeconds is 1 to {TRAILING_SECONDS_MAX}")));
        }
        let trailing = Trailing { length_us: seconds_us(trailing_seconds.into()), interval_us: interval_us(interval_ms)? };
        let (by, limit) = (dimensions(by), rows_limit(limit)?);
        // So that what cannot be asked is told before anything waits.
        check(Window::of(0, trailing.length_us), &by, limit).map_err(of_breakdown)?;
        let live = ctx.data::<Live>()?.clone();
        let question = Question { trailing, by, parts, limit, filter: filter.unwrap_or_default() };
        Ok(watch(ctx.data::<Reader>()?.clone(), live, question).map(|figures| figures.map(ExecutionBreakdown::from)))
    }
}

/// What is asked again and again.
#[derive(Clone)]
struct Question {
    trailing: Trailing,
    by: Vec<Dimension>,
    parts: std::collections::BTreeSet<Part>,
    limit: usize,
    filter: ExecutionFilter,
}

impl Question {
    /// Whether a figure of whole minutes is asked for, which changes as minutes leave the window.
    fn is_by_minute(&self) -> bool {
        self.parts.contains(&Part::Minutes)
    }

    /// What passes the window and makes its figures change.
    fn passing(&self) -> &'static [Passing] {
        if self.parts.contains(&Part::GpuSamples) { &[Passing::Executions, Passing::GpuSamples] } else { &[Passing::Executions] }
    }
}

impl Watched for Question {
    type Figures = Breakdown<ExecutionFigures>;
    const FIELD: &'static str = "executionMetrics";

    fn trailing(&self) -> Trailing {
        self.trailing
    }

    async fn look(self, reader: &Reader, reading: &Reading, heard: u64) -> Result<Looked<Self::Figures>> {
        let window = self.trailing.window(reading.snapshot.as_of);
        let filter = self.filter.clone().ids(reading).await?;
        let asked = ExecutionQuestion { window, by: self.by.clone(), parts: self.parts.clone(), limit: self.limit };
        let figures = reader.execution_breakdown(reading, &asked, &filter, ExecutionOrder::Executions).await.map_err(of_breakdown)?;
        let Breakdown { row_count, rows, other, total, .. } = &figures;
        let digest = digest(format_args!("{row_count:?}{rows:?}{other:?}{total:?}"));
        Ok(Looked { answered: answered(&reading.snapshot, &self, window, heard).await?, digest, figures })
    }
}

async fn answered(snapshot: &Snapshot, question: &Question, window: Window, heard: u64) -> Result<Answered> {
    let as_of = snapshot.as_of;
    let mut edges = Vec::new();
    for passing in question.passing() {
        edges.push(snapshot.window_edges(*passing, window).await.map_err(of_store)?);
    }
    let commit_number = snapshot.commit_number().await.map_err(of_store)?;
    Ok(Answered { as_of, commit_number, heard, changes_at: question.trailing.changes_at(as_of, &edges, question.is_by_minute()) })
}
