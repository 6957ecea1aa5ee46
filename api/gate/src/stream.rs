//! An operation as a stream of serialized payloads, for every transport that goes on.
//!
//! This is the one place where an operation becomes payloads: what is shared between subscribers is to be shared here, the transports
//! only frame what comes. Invariants: a stream computes when it is asked for the next payload and not before, so that a reader that
//! is slow gets the newest and holds nothing back; [`Payload::Failed`] is the last; a panic costs its own operation.
//! Must not know: ids of operations, sockets.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use crate::admit::{Completion, OperationKind, Prepared};
use crate::complete::Answer;
use crate::service::{Endpoint, Service};

/// What an operation says, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// An answer: `{"data": …, "errors": …}`.
    Next(Bytes),
    /// A list of errors: nothing was run, or nothing more can be said.
    Failed(Bytes),
}

/// What an operation says, one after the other.
pub type Payloads = BoxStream<'static, Payload>;

/// Counts a subscription for as long as it lives.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("plimsoll_subscriptions").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("plimsoll_subscriptions").decrement(1);
    }
}

impl<E: Endpoint> Service<E> {
    /// Opens an operation of any kind; nothing runs before it is polled.
    #[must_use]
    pub fn open(&self, caller: E::Caller, prepared: Prepared) -> Payloads {
        let service = self.clone();
        if prepared.facts.kind != OperationKind::Subscription {
            return stream::once(async move { payload(&service.run(caller, prepared).await, false) }).boxed();
        }
        let Prepared { request, facts, completion, .. } = prepared;
        let open = Open::new();
        let answers = self.endpoint().subscribe(caller, request, &facts);
        let payloads = AssertUnwindSafe(answers).catch_unwind().map(move |response| {
            let _open = &open;
            match response {
                Ok(response) => payload(&completed(&service, &completion, response), true),
                Err(panic) => payload(&service.panicked(panic_text(&*panic)), true),
            }
        });
        payloads.boxed()
    }
}

fn completed<E: Endpoint>(service: &Service<E>, completion: &Completion, response: async_graphql::Response) -> Answer {
    completion.finish(response, &|| service.endpoint().next_error_id())
}

/// A subscription that has no data has failed; a query may well answer null.
fn payload(answer: &Answer, goes_on: bool) -> Payload {
    let has_failed = match &answer.data {
        None => true,
        Some(data) => goes_on && *data == async_graphql::Value::Null,
    };
    if has_failed { Payload::Failed(answer.errors_to_json()) } else { Payload::Next(answer.to_json()) }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
