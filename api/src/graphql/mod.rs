//! The GraphQL schema: objects of our own around the figures of the domain.
//!
//! Resolvers load, convert and return; arithmetic is the domain's. Invariants: every guarded field asks the one table
//! (`auth::access`); no row type is an object. Must not know: HTTP, how the database is reached.

pub mod ask;
pub mod connection;
pub mod error;
pub mod guard;
pub mod heavy;
pub mod loader;
pub mod mutation;
pub mod query;
pub mod scalar;
pub mod subscription;
pub mod types;

use async_graphql::dataloader::DataLoader;
use async_graphql::{MergedObject, SDLExportOptions, Schema, ValidationMode};
use plimsoll_domain::breakdown::executions::Reader;

use loader::CatalogLoader;
use mutation::{Mutation, Writing};
use query::alerts::AlertQuery;
use query::comparisons::ComparisonQuery;
use query::concurrency::ConcurrencyQuery;
use query::costs::CostQuery;
use query::executions::ExecutionQuery;
use query::jobs::JobQuery;
use query::lists::ListQuery;
use query::loads::LoadQuery;
use query::machine_lives::MachineLifeQuery;
use query::machines::MachineQuery;
use query::prices::PriceQuery;
use query::reports::ReportQuery;
use query::service::{ServiceConfig, ServiceQuery};
use query::storage::StorageQuery;
use query::timelines::TimelineQuery;
use subscription::Subscription;
use subscription::live::Live;
use types::money::Currency;

/// Deeper than the gate's depth, so that the gate's limit is the one that is met.
const RECURSION_MAX: usize = 64;

/// What can be asked.
#[derive(MergedObject, Default)]
#[graphql(name = "Query")]
pub struct Query(
    ServiceQuery,
    ExecutionQuery,
    ComparisonQuery,
    JobQuery,
    TimelineQuery,
    ConcurrencyQuery,
    LoadQuery,
    StorageQuery,
    MachineQuery,
    MachineLifeQuery,
    ListQuery,
    AlertQuery,
    PriceQuery,
    CostQuery,
    ReportQuery,
);

/// The schema.
pub type PlimsollSchema = Schema<Query, Mutation, Subscription>;

fn builder() -> async_graphql::SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        // The gate has validated, and measured, every document by then.
        .validation_mode(ValidationMode::Fast)
        .limit_recursive_depth(RECURSION_MAX)
        .disable_suggestions()
}

/// The schema over a reader of figures, what live subscriptions share and what changes need.
#[must_use]
pub fn schema(reader: Reader, live: Live, writing: Writing, config: ServiceConfig) -> PlimsollSchema {
    let loader = DataLoader::new(CatalogLoader(reader.clone()), tokio::spawn);
    let currency = Currency(config.currency.as_str().into());
    builder().data(loader).data(reader).data(live).data(writing).data(currency).data(config).finish()
}

/// The schema as text, sorted: what `schema.graphql` holds.
#[must_use]
pub fn sdl() -> String {
    builder()
        .finish()
        .sdl_with_options(SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items().include_specified_by())
}
