//! An operation as a stream of serialized payloads, for every transport that goes on.
//!
//! This is the one place where an operation becomes payloads: the hub shares them between subscribers, the transports only frame what
//! comes. Invariants: [`Payload::Failed`] is the last; a panic costs its own operation; what is run for a subscription sees the scope
//! of its callers and none of them. Must not know: ids of operations, sockets.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::types::ExecutableDocument as OutDocument;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use crate::admit::{Completion, OperationKind, Prepared};
use crate::code::Code;
use crate::complete::Answer;
use crate::hub::{Course, Run, Running};
use crate::refused::Refused;
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
    /// Opens an operation of any kind. A query or mutation does not run before it is polled; a subscription takes its seat in the hub.
    #[must_use]
    pub fn open(&self, caller: E::Caller, mut prepared: Prepared) -> Payloads {
        let service = self.clone();
        if prepared.facts.kind != OperationKind::Subscription {
            return stream::once(async move { payload(&service.run(caller, prepared).await, false) }).boxed();
        }
        let document = match prepared.request.parsed_query() {
            Ok(document) => document.clone(),
            Err(error) => return failed(&Refused::new(Code::Internal, error.message, None).into()),
        };
        self.endpoint().subscribed(&caller, &prepared.facts);
        let scope = self.endpoint().scope(&caller);
        let delivery = self.endpoint().delivery(&prepared.facts);
        let operation = Subscribed { service, scope: scope.clone(), completion: prepared.completion };
        let payloads = self.hub().seat(delivery, scope, document, Arc::new(operation));
        let open = Open::new();
        payloads
            .map(move |payload| {
                let _open = &open;
                payload
            })
            .boxed()
    }
}

/// A subscription under a scope, to be run once or more often.
struct Subscribed<E: Endpoint> {
    service: Service<E>,
    scope: E::Scope,
    completion: Completion,
}

impl<E: Endpoint> Run for Subscribed<E> {
    fn run(&self, document: OutDocument, course: Option<Course>) -> Payloads {
        let mut request = async_graphql::Request::new("");
        request.set_parsed_query(document);
        if let Some(course) = course {
            request = request.data(course);
        }
        let (service, completion, running) = (self.service.clone(), self.completion.clone(), Running::new());
        let answers = service.endpoint().subscribe(self.scope.clone(), request);
        let payloads = AssertUnwindSafe(answers).catch_unwind().map(move |response| {
            let _running = &running;
            match response {
                Ok(response) => payload(&completed(&service, &completion, response), true),
                Err(panic) => payload(&service.panicked(panic_text(&*panic)), true),
            }
        });
        payloads.boxed()
    }
}

/// Completes an answer that may be shared by documents in which its fields stand elsewhere.
fn completed<E: Endpoint>(service: &Service<E>, completion: &Completion, response: async_graphql::Response) -> Answer {
    let mut answer = completion.finish(response, &|| service.endpoint().next_error_id());
    answer.errors.iter_mut().for_each(|error| error.locations.clear());
    answer
}

fn failed(answer: &Answer) -> Payloads {
    stream::once(std::future::ready(Payload::Failed(answer.errors_to_json()))).boxed()
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
