//! Background tasks by name.
//!
//! Invariant: a task that ends before it was told to brings the process down in order; nothing dies in silence.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::access::panic_text;

/// The background tasks of one server.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    /// Ends the tasks.
    pub stop: CancellationToken,
    /// Cancelled when a task has ended that should not have.
    pub broken: CancellationToken,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), broken: CancellationToken::new() }
    }
}

impl Tasks {
    /// Runs a task among those that serve requests. It must end soon after `stop`.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, broken) = (self.stop.clone(), self.broken.clone());
        self.tracker.spawn(async move { watch(name, task, &stop, &broken).await });
    }

    /// Runs a task that computes on a thread of its own. It must end soon after `stop`.
    pub fn spawn_heavy<F: Future<Output = ()>>(&self, name: &'static str, task: impl FnOnce() -> F + Send + 'static) {
        let (stop, broken) = (self.stop.clone(), self.broken.clone());
        let runtime = tokio::runtime::Handle::current();
        self.tracker.spawn_blocking(move || runtime.block_on(watch(name, task(), &stop, &broken)));
    }

    /// Tells every task to end and waits for them, no longer than `within`.
    pub async fn finish(&self, within: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(within, self.tracker.wait()).await.is_err() {
            tracing::warn!(tasks = self.tracker.len(), "some background tasks did not end in time");
        }
    }
}

async fn watch(name: &'static str, task: impl Future<Output = ()>, stop: &CancellationToken, broken: &CancellationToken) {
    let ended = AssertUnwindSafe(task).catch_unwind().await;
    match ended {
        Ok(()) if stop.is_cancelled() => return,
        Ok(()) => tracing::error!(task = name, "a background task ended before its time"),
        Err(panic) => tracing::error!(task = name, panic = panic_text(&*panic), "a background task panicked"),
    }
    broken.cancel();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_breaks_the_server() {
        let tasks = Tasks::default();
        let stop = tasks.stop.clone();
        tasks.spawn("good", async move { stop.cancelled().await });
        tasks.finish(Duration::from_secs(5)).await;
        assert!(!tasks.broken.is_cancelled());
        let tasks = Tasks::default();
        tasks.spawn("bad", async {});
        tasks.broken.cancelled().await;
        let tasks = Tasks::default();
        tasks.spawn("worse", async { panic!("on purpose") });
        tasks.broken.cancelled().await;
    }
}
