//! What stands in front of a GraphQL executor: limits, validation, coercion, and GraphQL over HTTP.
//!
//! async-graphql 7.2 executes well and checks badly. A request passes here first, in this order: [`http`] (who, how, how big),
//! then `source` and `walk` (how much), `validate` and `rules` (does it fit the schema), `coerce` (do the variables), `plan` (what
//! exactly is to be run), then the executor, then `complete` (the answer as the specification wants it). What goes on
//! passes through `stream` and `hub`, where it is shared, to `socket` or `event_stream`.
//!
//! Invariants: nothing that is not linear in its input runs before the limits have been checked; every error has a [`Code`]; what
//! is cached is bounded. It knows nothing of the domain: any [`async_graphql`] schema and its SDL will do.

mod admit;
mod cache;
mod code;
mod coerce;
mod complete;
mod cost;
mod event_stream;
mod gate;
pub mod http;
mod hub;
mod limits;
mod plan;
mod refused;
mod rules;
mod schema;
mod service;
mod socket;
mod source;
mod stream;
mod validate;
mod walk;

pub use admit::{Admitted, Completion, OperationFacts, OperationKind, Prepared};
pub use code::Code;
pub use complete::Answer;
pub use cost::CostTable;
pub use event_stream::Stalled;
pub use gate::Gate;
pub use hub::{Course, Delivery, Place};
pub use limits::Limits;
pub use refused::Refused;
pub use schema::SdlError;
pub use service::{Endpoint, Params, Refusal, Service};
pub use socket::Sockets;
pub use stream::{Payload, Payloads};
