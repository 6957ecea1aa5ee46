//! What goes on, by area.
//!
//! Invariant: a stream reads one snapshot for each payload, computes when it is asked for the next one and not before, and sees of its
//! caller only the roles. Must not know: what carries it.

pub mod execution_metrics;
pub mod job_updates;

use std::time::Duration;

use async_graphql::{Error, MergedSubscription, Result, Value};
use plimsoll_gate::Code;

use super::error::bad_input;
use execution_metrics::ExecutionSubscription;
use job_updates::JobSubscription;

/// Least time between two payloads, in milliseconds.
pub const INTERVAL_MS_MIN: i32 = 250;
/// Largest time that may be asked for between two payloads, in milliseconds.
pub const INTERVAL_MS_MAX: i32 = 60_000;

/// Before the first look after one that failed; each next one waits twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The last wait: after half a minute a subscription ends.
const RETRY_LAST: Duration = Duration::from_secs(16);

/// What can be subscribed to.
#[derive(MergedSubscription, Default)]
#[graphql(name = "Subscription")]
pub struct Subscription(ExecutionSubscription, JobSubscription);

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

/// An `intervalMs`, in microseconds.
///
/// # Errors
/// BAD_USER_INPUT outside 250 to 60,000.
pub fn interval_us(interval_ms: i32) -> Result<i64> {
    if (INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&interval_ms) {
        return Ok(i64::from(interval_ms) * 1_000);
    }
    Err(bad_input("intervalMs", format!("intervalMs is {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}")))
}
