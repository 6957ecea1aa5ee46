//! Subscriptions that ask the same share one execution and one serialized payload.
//!
//! Two subscriptions ask the same when their operations do, written out ([`view`]: fragments, conditions and variables filled in, so
//! that names and white space do not matter), and their callers have the same [`crate::Endpoint::Scope`]. What is shared is run for
//! the scope and knows no caller. The last seat that leaves stops the work ([`registry`]).
//!
//! [`newest`]: a seat holds at most the newest payload, and who comes late gets it at once. [`ordered`]: every seat gets everything
//! behind its own cursor, each once; it reads what it has missed by itself, and shares what comes from then on. Payloads that are
//! shared name no place in a document, since documents that ask the same may differ.
//!
//! Invariants: a seat that does not read holds back nobody and nothing but a bounded number of references to payloads.
//! Must not know: transports, who sits on a seat.

mod course;
mod newest;
mod ordered;
mod registry;
mod view;

pub use course::{Course, Place};

use std::hash::Hash;
use std::sync::Arc;

use async_graphql::parser::types::ExecutableDocument as OutDocument;

use self::newest::Newest;
use self::ordered::Ordered;
use self::registry::Registry;
use self::view::View;
use crate::stream::Payloads;

/// The argument of an ordered stream that says behind which cursor it begins.
const CURSOR_ARGUMENT: &str = "after";

/// How payloads of a subscription reach those who ask the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Each runs by itself and computes when it is asked for the next payload.
    Alone,
    /// The newest payload says it all: shared, older ones are left out.
    Newest,
    /// Every payload counts, in order, from the cursor `after` on: shared from where a seat has caught up. Who makes the stream tells a
    /// [`Course`] in the data of the request where it stands.
    Ordered,
}

/// What is run for a scope.
type Key<S> = (View, S);

/// Makes the payloads of an operation.
pub(crate) trait Run: Send + Sync + 'static {
    /// Runs it once more, behind a place or, where there is none, as the document says; `course` tells how far it is.
    fn run(&self, document: OutDocument, course: Option<Course>) -> Payloads;
}

/// What is shared at present.
pub(crate) struct Hub<S: Eq + Hash> {
    newest: Registry<Key<S>, Newest>,
    ordered: Registry<Key<S>, Ordered>,
}

impl<S: Eq + Hash> Clone for Hub<S> {
    fn clone(&self) -> Self {
        Self { newest: self.newest.clone(), ordered: self.ordered.clone() }
    }
}

impl<S: Eq + Hash> Default for Hub<S> {
    fn default() -> Self {
        Self { newest: Registry::default(), ordered: Registry::default() }
    }
}

impl<S: Clone + Eq + Hash + Send + Sync + 'static> Hub<S> {
    /// A seat for a document under a scope.
    pub fn seat(&self, delivery: Delivery, scope: S, document: OutDocument, operation: Arc<dyn Run>) -> Payloads {
        match delivery {
            Delivery::Alone => operation.run(document, None),
            Delivery::Newest => {
                let view = View::of(&document);
                let shared = self.newest.join((view, scope), || Newest::start(operation.run(document, None)));
                newest::seat(shared)
            }
            Delivery::Ordered => {
                let (live, has_cursor) = view::without_argument(document.clone(), CURSOR_ARGUMENT);
                let (key, live) = ((View::of(&live), scope), Arc::new(live));
                ordered::seat(ordered::Table { registry: self.ordered.clone(), key, live, operation }, has_cursor.then_some(document))
            }
        }
    }
}

/// Counts an execution for as long as it lives.
pub(crate) struct Running;

impl Running {
    pub fn new() -> Self {
        metrics::gauge!("plimsoll_subscription_executions").increment(1);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!("plimsoll_subscription_executions").decrement(1);
    }
}

/// Says in the recorder what the metrics of the hub mean.
pub(crate) fn describe_metrics() {
    metrics::describe_gauge!(
        "plimsoll_subscription_executions",
        "Executions behind the subscriptions that are open: those that ask the same share one."
    );
    metrics::describe_counter!(
        "plimsoll_subscription_catch_ups_total",
        "Times that a subscription of an ordered stream began to read what it had missed, by why: from a cursor, or since it was slow."
    );
}

#[cfg(test)]
mod tests;
