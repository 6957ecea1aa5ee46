//! What goes on, by area.
//!
//! Invariant: a stream reads one snapshot for each payload, computes when it is asked for the next one and not before, and sees of its
//! callers only their scope, since all with the same scope share it. Must not know: what carries it.

pub mod alert_updates;
pub mod cost_meter;
pub mod execution_metrics;
pub mod following;
pub mod job_updates;
pub mod live;
pub mod vm_utilization;
pub mod watching;

use async_graphql::{MergedSubscription, Result};

use super::error::bad_input;
use alert_updates::AlertSubscription;
use cost_meter::CostSubscription;
use execution_metrics::ExecutionSubscription;
use job_updates::JobSubscription;
use vm_utilization::MachineSubscription;

/// The fields that tell each change, in order: nothing may be left out of them. Of every other the newest payload says it all.
pub const ORDERED: [&str; 2] = [alert_updates::FIELD, job_updates::FIELD];
/// Least time between two payloads, in milliseconds.
pub const INTERVAL_MS_MIN: i32 = 250;
/// Largest time that may be asked for between two payloads, in milliseconds.
pub const INTERVAL_MS_MAX: i32 = 60_000;

/// What can be subscribed to.
#[derive(MergedSubscription, Default)]
#[graphql(name = "Subscription")]
pub struct Subscription(ExecutionSubscription, JobSubscription, MachineSubscription, AlertSubscription, CostSubscription);

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
