//! What happens now: who waits for news hears of commits here, and learns when a window that moves on changes by itself.
//!
//! A bus is a hint, never the truth: [`commits::Commits`] joins it with what the database says once a second.
//! Must not know: GraphQL, sockets, what the figures mean.

pub mod bus;
pub mod commits;
pub mod ordered;
pub mod redis;
pub mod trailing;

/// Describes what this module counts.
pub(crate) fn describe_metrics() {
    redis::describe_metrics();
    metrics::describe_counter!("plimsoll_live_wakes_total", "News of commits, by who brought them: the bus or a look at the database.");
}
