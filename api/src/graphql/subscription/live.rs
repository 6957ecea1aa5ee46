//! What live subscriptions share: who tells of commits, whose turn it is to read, and what a failed look means.
//!
//! Must not know: what is looked at.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Error, Result, Value};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::live::commits::Commits;
use plimsoll_gate::Code;
use tokio::sync::Semaphore;

use crate::graphql::error::{internal, of_store};
use crate::graphql::heavy::heavy;

/// Subscriptions that read the database at once: half of its connections stay free for queries.
const READS_MAX: usize = 4;
/// Before the first look after one that failed; each next one waits twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The last wait: after half a minute a subscription ends.
const RETRY_LAST: Duration = Duration::from_secs(16);

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

    /// Looks at a new reading for a field, when it is this look's turn.
    ///
    /// # Errors
    /// What the look says.
    pub async fn read<T: Send + 'static>(
        &self,
        reader: &Reader,
        field: &'static str,
        look: impl AsyncFnOnce(&Reading) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        metrics::counter!("plimsoll_live_looks_total", "field" => field).increment(1);
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

/// Bears failed looks while the database is away or busy: whoever watches wants figures, not the end of them.
#[derive(Debug)]
pub struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(RETRY_FIRST)
    }
}

impl Patience {
    /// Waits, longer each time, until it is worth another look.
    ///
    /// # Errors
    /// The error, when another look would fail, too, or enough have.
    pub async fn bear(&mut self, error: Error) -> Result<()> {
        if self.0 > RETRY_LAST || !may_pass(&error) {
            return Err(error);
        }
        tracing::debug!(error = error.message, "cannot look, will try again");
        tokio::time::sleep(self.0).await;
        self.0 *= 2;
        Ok(())
    }
}

/// Whether another look may go better: a fault of the service (it has no code yet), or figures that are still being built.
fn may_pass(error: &Error) -> bool {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    code.is_none_or(|code| *code == Value::from(Code::LimitExceeded.as_str()))
}
