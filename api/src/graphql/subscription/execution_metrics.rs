//! Figures of executions over a trailing window, while they change.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, Result, Subscription};
use futures_util::stream::{self, Stream};
use plimsoll_domain::breakdown::WINDOW_DAYS_MAX;
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, ExecutionOrder, ExecutionQuestion, Reader, Reading, check};
use plimsoll_domain::breakdown::figures::ExecutionFigures;
use plimsoll_domain::cell::part::Part;
use plimsoll_domain::live::commits::Commits;
use plimsoll_domain::live::trailing::{Answered, Trailing, seconds_us};
use plimsoll_domain::store::Passing;
use plimsoll_entity::value::time::{Instant, Window};
use tokio::sync::{Semaphore, watch};

use crate::graphql::ask::{AskedFilter as _, dimensions};
use crate::graphql::error::{bad_input, internal, of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::{heavy, rows_limit};
use crate::graphql::subscription::interval_us;
use crate::graphql::types::enums::ExecutionDimension;
use crate::graphql::types::execution_stats::{ExecutionBreakdown, parts_asked};
use crate::graphql::types::filter::ExecutionFilter;

/// Subscriptions that read the database at once: half of its connections stay free for queries.
const READS_MAX: usize = 4;
/// Longest trailing window, in seconds: that of a breakdown.
const TRAILING_SECONDS_MAX: i64 = WINDOW_DAYS_MAX * 86_400;
/// How long a wait may be before the clock is looked at again: it need not agree with that of the timer.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What live subscriptions share.
#[derive(Clone, Debug)]
pub struct Live {
    /// Tells of commits.
    pub commits: Commits,
    reads: Arc<Semaphore>,
}

impl Live {
    /// Over what tells of commits.
    #[must_use]
    pub fn new(commits: Commits) -> Self {
        Self { commits, reads: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Looks at a new reading, when it is this look's turn.
    ///
    /// # Errors
    /// What the look says.
    pub async fn read<T: Send + 'static>(
        &self,
        reader: &Reader,
        look: impl AsyncFnOnce(&Reading) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(internal)?;
        let reader = reader.clone();
        heavy(move || async move {
            // Given back when the work is done, also when nobody waits for it any more.
            let _permit = permit;
            let reading = reader.begin().await.map_err(of_store)?;
            look(&reading).await
        })
        .await
    }
}

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
        Ok(metrics(ctx.data::<Reader>()?.clone(), live, question))
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

type Figures = Breakdown<ExecutionFigures>;

/// Where a subscription stands.
struct Watching {
    reader: Reader,
    live: Live,
    heard: watch::Receiver<u64>,
    question: Question,
    last: Option<(Answered, Figures)>,
}

fn metrics(reader: Reader, live: Live, question: Question) -> impl Stream<Item = Result<ExecutionBreakdown>> {
    let heard = live.commits.heard();
    let watching = Watching { reader, live, heard, question, last: None };
    stream::unfold(Some(watching), async |watching| {
        let mut watching = watching?;
        match watching.next().await {
            Ok(figures) => Some((Ok(figures.into()), Some(watching))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl Watching {
    /// The figures, once they are other than the last ones.
    async fn next(&mut self) -> Result<Figures> {
        loop {
            self.until_due().await;
            let heard = *self.heard.borrow_and_update();
            let (mut answered, figures) = self.look().await?;
            // A hint that the database knows nothing of must not make us look again and again.
            answered.commit_number = answered.commit_number.max(heard);
            let is_news = self.last.as_ref().is_none_or(|(_, last)| !is_same(last, &figures));
            self.last = Some((answered, figures.clone()));
            if is_news {
                return Ok(figures);
            }
        }
    }

    /// Waits until the window may show something else, and the interval is over.
    async fn until_due(&mut self) {
        let Some((answered, _)) = &self.last else { return };
        loop {
            let heard = *self.heard.borrow_and_update();
            let wait_us = self.question.trailing.wait_us(*answered, heard, self.reader.store.clock().now());
            let wait = match wait_us {
                Some(us) if us <= 0 => return,
                Some(us) => Duration::from_micros(us.unsigned_abs()).min(WAIT_MAX),
                None => WAIT_MAX,
            };
            // What tells of commits lives as long as the schema; were it gone, time would go on.
            let _ = tokio::time::timeout(wait, self.heard.changed()).await;
        }
    }

    async fn look(&self) -> Result<(Answered, Figures)> {
        metrics::counter!("plimsoll_live_looks_total", "field" => "executionMetrics").increment(1);
        let (reader, question) = (self.reader.clone(), self.question.clone());
        let look = async move |reading: &Reading| {
            let as_of = reading.snapshot.as_of;
            let window = question.trailing.window(as_of);
            let filter = question.filter.clone().ids(reading).await?;
            let asked = ExecutionQuestion { window, by: question.by.clone(), parts: question.parts.clone(), limit: question.limit };
            let figures = reader.execution_breakdown(reading, &asked, &filter, ExecutionOrder::Executions).await.map_err(of_breakdown)?;
            Ok((answered(&reading.snapshot, &question, as_of, window).await?, figures))
        };
        self.live.read(&self.reader, look).await
    }
}

async fn answered(snapshot: &plimsoll_domain::store::Snapshot, question: &Question, as_of: Instant, window: Window) -> Result<Answered> {
    let mut edges = Vec::new();
    for passing in question.passing() {
        edges.push(snapshot.window_edges(*passing, window).await.map_err(of_store)?);
    }
    let commit_number = snapshot.commit_number().await.map_err(of_store)?;
    Ok(Answered { as_of, commit_number, changes_at: question.trailing.changes_at(as_of, &edges, question.is_by_minute()) })
}

/// Whether two answers show the same figures, whatever their windows.
fn is_same(one: &Figures, other: &Figures) -> bool {
    one.row_count == other.row_count && one.rows == other.rows && one.other == other.other && one.total == other.total
}
