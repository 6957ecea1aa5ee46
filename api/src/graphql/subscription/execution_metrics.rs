//! Figures of executions over a trailing window, while they change.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use async_graphql::{Context, Result, Subscription};
use futures_util::stream::{self, Stream};
use plimsoll_domain::breakdown::WINDOW_DAYS_MAX;
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, ExecutionOrder, ExecutionQuestion, Reader, Reading, check};
use plimsoll_domain::breakdown::figures::ExecutionFigures;
use plimsoll_domain::cell::part::Part;
use plimsoll_domain::live::trailing::{Answered, Trailing, seconds_us};
use plimsoll_domain::store::{Passing, Snapshot};
use plimsoll_entity::value::time::Window;
use tokio::sync::watch;

use crate::graphql::ask::{AskedFilter as _, dimensions};
use crate::graphql::error::{bad_input, of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::subscription::interval_us;
use crate::graphql::subscription::live::{Live, Patience};
use crate::graphql::types::enums::ExecutionDimension;
use crate::graphql::types::execution_stats::{ExecutionBreakdown, parts_asked};
use crate::graphql::types::filter::ExecutionFilter;

/// Longest trailing window, in seconds: that of a breakdown.
const TRAILING_SECONDS_MAX: i64 = WINDOW_DAYS_MAX * 86_400;
/// How long a wait may be before the clock is looked at again: it need not agree with that of the timer.
const WAIT_MAX: Duration = Duration::from_secs(1);

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
    /// What the last answer held, and the digest of its figures.
    last: Option<(Answered, u64)>,
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
            let mut patience = Patience::default();
            let (answered, figures) = loop {
                match self.look(heard).await {
                    Ok(looked) => break looked,
                    Err(error) => patience.bear(error).await?,
                }
            };
            let digest = digest(&figures);
            let is_news = self.last.is_none_or(|(_, last)| last != digest);
            self.last = Some((answered, digest));
            if is_news {
                return Ok(figures);
            }
        }
    }

    /// Waits until the window may show something else, and the interval is over.
    async fn until_due(&mut self) {
        let Some((answered, _)) = self.last else { return };
        loop {
            let heard = *self.heard.borrow_and_update();
            let wait_us = self.question.trailing.wait_us(answered, heard, self.reader.store.clock().now());
            let wait = match wait_us {
                Some(us) if us <= 0 => return,
                Some(us) => Duration::from_micros(us.unsigned_abs()).min(WAIT_MAX),
                None => WAIT_MAX,
            };
            // What tells of commits lives as long as the schema; were it gone, time would go on.
            let _ = tokio::time::timeout(wait, self.heard.changed()).await;
        }
    }

    async fn look(&self, heard: u64) -> Result<(Answered, Figures)> {
        let (reader, question) = (self.reader.clone(), self.question.clone());
        let look = async move |reading: &Reading| {
            let as_of = reading.snapshot.as_of;
            let window = question.trailing.window(as_of);
            let filter = question.filter.clone().ids(reading).await?;
            let asked = ExecutionQuestion { window, by: question.by.clone(), parts: question.parts.clone(), limit: question.limit };
            let figures = reader.execution_breakdown(reading, &asked, &filter, ExecutionOrder::Executions).await.map_err(of_breakdown)?;
            Ok((answered(&reading.snapshot, &question, window, heard).await?, figures))
        };
        self.live.read(&self.reader, "executionMetrics", look).await
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

/// A digest of the figures, whatever their window: a subscription remembers no more of its last answer, however many rows it has.
fn digest(figures: &Figures) -> u64 {
    struct Digest(DefaultHasher);
    impl fmt::Write for Digest {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let Figures { row_count, rows, other, total, .. } = figures;
    let mut digest = Digest(DefaultHasher::new());
    // Writing into a digest cannot fail.
    let _ = write!(digest, "{row_count:?}{rows:?}{other:?}{total:?}");
    digest.0.finish()
}
