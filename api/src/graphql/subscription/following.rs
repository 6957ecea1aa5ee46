//! Changes that are told in the order of commits, each once, from a cursor on.
//!
//! Invariant: who goes on from the cursor of what was told last misses nothing and gets nothing twice. Must not know: what changes.

use std::collections::VecDeque;
use std::time::Duration;

use async_graphql::{Context, Result};
use futures_util::stream::{self, Stream};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::live::ordered::{Position, Step};
use plimsoll_gate::{Course, Place};
use tokio::sync::watch;

use super::live::{Live, Patience};
use crate::graphql::connection::{read_cursor, write_cursor};
use crate::graphql::error::{internal, of_store};

/// Between two looks, so that a burst of commits is read at once.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is followed.
pub trait Followed: Clone + Send + Sync + 'static {
    /// What changed.
    type Row: Send + 'static;
    /// What is told of it.
    type Edge;
    /// The field that tells it, with which its cursors begin.
    const FIELD: &'static str;

    /// The next changes behind a position.
    ///
    /// # Errors
    /// What a client is told; without a code where another look may go better.
    fn step(self, reading: &Reading, after: Position) -> impl Future<Output = Result<Step<Self::Row>>>;

    /// A change and its cursor, as it is told.
    fn edge(cursor: String, row: Self::Row) -> Self::Edge;
}

/// Everything that changes behind a cursor, none: from now on; ends with an error.
///
/// # Errors
/// BAD_USER_INPUT for what is no cursor of this field; what the store says.
pub async fn follow<F: Followed>(
    ctx: &Context<'_>,
    followed: F,
    after: Option<String>,
) -> Result<impl Stream<Item = Result<F::Edge>> + use<F>> {
    let (reader, live) = (ctx.data::<Reader>()?.clone(), ctx.data::<Live>()?.clone());
    let heard = live.commits.heard();
    let course = ctx.data_opt::<Course>().cloned().unwrap_or_else(|| Course::behind(None));
    let after = match (course.from(), after) {
        (Some(Place { number, index }), _) => Position { number, index },
        (None, Some(cursor)) => read_cursor(F::FIELD, "after", &cursor)?,
        (None, None) => Position::behind(reader.store.snapshot().await.map_err(of_store)?.commit_number().await.map_err(of_store)?),
    };
    course.begins(place(after));
    let following = Following { reader, live, heard, followed, course, after, is_end: false, ready: VecDeque::new() };
    Ok(stream::unfold(Some(following), async |following| {
        let mut following = following?;
        match following.next().await {
            Ok(edge) => Some((Ok(edge), Some(following))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

const fn place(position: Position) -> Place {
    Place { number: position.number, index: position.index }
}

/// Where a subscription stands.
struct Following<F: Followed> {
    reader: Reader,
    live: Live,
    heard: watch::Receiver<u64>,
    followed: F,
    /// Tells whoever passes the changes on where this stands.
    course: Course,
    after: Position,
    /// Whether nothing more had been committed at the last look.
    is_end: bool,
    /// What has been read and not sent: at most what one step reads.
    ready: VecDeque<(Position, F::Row)>,
}

impl<F: Followed> Following<F> {
    async fn next(&mut self) -> Result<F::Edge> {
        loop {
            if let Some((position, row)) = self.ready.pop_front() {
                self.course.tells(place(position));
                return Ok(F::edge(write_cursor(F::FIELD, &position), row));
            }
            if self.is_end {
                // Whoever asks for the next change has taken every one before.
                self.course.waits(place(self.after));
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

    async fn look(&self) -> Result<Step<F::Row>> {
        let (followed, after) = (self.followed.clone(), self.after);
        self.live.read(&self.reader, F::FIELD, async move |reading: &Reading| followed.step(reading, after).await).await
    }
}
