//! What is wrong now: alert rules, the alerts that they find, and the health of the fleet.
//!
//! [`rule`] says what a rule may be, [`signals`] reads what rules look at, [`evaluation`] decides (pure), [`evaluator`] does so once in
//! the fleet, [`series`] keeps what is expected of a signal, [`notification`] writes what webhooks
//! are told, [`webhook_url`] says where those may be, [`updates`] tells each change in order, [`health`] sums the fleet up.
//! Invariants: while a rule's condition holds for a subject there is exactly one open alert of it; nothing here changes a figure.
//! Must not know: GraphQL, HTTP, who may read which alert.

mod baseline;
pub mod detector;
pub mod evaluation;
pub mod evaluator;
mod extremes;
pub mod health;
pub mod notification;
mod robust;
pub mod rule;
pub mod rules;
mod runs;
pub mod series;
pub mod signals;
mod sizes;
pub mod updates;
pub mod webhook_url;

/// Describes what this module counts.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!("plimsoll_alerts_refused_total", "Alerts that did not begin because too many are open.");
    metrics::describe_counter!(
        "plimsoll_alert_series_refused_total",
        "Observations that no detector follows because too many series are followed."
    );
}
