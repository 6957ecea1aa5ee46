//! The caller and the service itself.

use async_graphql::{Context, Object, Result, SimpleObject};
use plimsoll_domain::breakdown;

use crate::auth::Caller;
use crate::graphql::guard::Role;

/// The named limits of the service, for a client that wants to stay inside of them.
#[derive(SimpleObject, Clone, Debug)]
pub struct ServiceConfig {
    /// Version of the service.
    pub version: String,
    /// Currency of every amount of money, as an ISO 4217 code.
    pub currency: String,
    /// Tokens of a document at most.
    pub document_tokens_max: i32,
    /// Bytes of a document at most.
    pub document_size_bytes_max: i32,
    /// Nesting of fields at most.
    pub depth_max: i32,
    /// Cost of an operation at most: its fields, lists multiplied by their `limit`.
    pub cost_max: i32,
    /// Aliases of an operation at most.
    pub aliases_max: i32,
    /// Root fields of an operation at most.
    pub root_fields_max: i32,
    /// Errors in one answer at most.
    pub errors_max: i32,
    /// Seconds that an operation may take.
    pub query_time_seconds_max: i32,
    /// Bytes of a request to /graphql at most.
    pub request_size_bytes_max: i32,
    /// Bytes of a request to /ingest at most, after decompression.
    pub ingest_size_bytes_max: i32,
    /// Dimensions of one breakdown at most.
    pub dimensions_max: i32,
    /// Rows of one breakdown at most.
    pub rows_max: i32,
    /// Points of one series at most.
    pub points_max: i32,
    /// Days of a window at most.
    pub window_days_max: i32,
    /// Bytes of one message of a WebSocket at most.
    pub socket_message_size_bytes_max: i32,
    /// Operations that one WebSocket carries at once at most.
    pub socket_operations_max: i32,
    /// Nodes of one page of a connection at most.
    pub page_size_max: i32,
    /// Nodes of one page of a connection without `first` and `last`.
    pub page_size_default: i32,
}

impl ServiceConfig {
    /// The limits in force.
    #[must_use]
    pub fn new(limits: &plimsoll_gate::Limits, currency: String, ingest_size_bytes_max: usize, page: (usize, usize)) -> Self {
        let whole = |limit: usize| i32::try_from(limit).unwrap_or(i32::MAX);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            currency,
            document_tokens_max: whole(limits.tokens),
            document_size_bytes_max: whole(limits.document_size_bytes),
            depth_max: whole(limits.depth),
            cost_max: i32::try_from(limits.cost).unwrap_or(i32::MAX),
            aliases_max: whole(limits.aliases),
            root_fields_max: whole(limits.root_fields),
            errors_max: whole(limits.errors_per_answer),
            query_time_seconds_max: i32::try_from(limits.query_time.as_secs()).unwrap_or(i32::MAX),
            request_size_bytes_max: whole(limits.request_body_size_bytes),
            ingest_size_bytes_max: whole(ingest_size_bytes_max),
            dimensions_max: whole(breakdown::DIMENSIONS_MAX),
            rows_max: whole(breakdown::ROWS_MAX),
            points_max: whole(breakdown::POINTS_MAX),
            window_days_max: breakdown::WINDOW_DAYS_MAX as i32,
            socket_message_size_bytes_max: whole(limits.socket_message_size_bytes),
            socket_operations_max: whole(limits.socket_operations),
            page_size_default: whole(page.0),
            page_size_max: whole(page.1),
        }
    }
}

/// Who asks.
#[derive(SimpleObject, Clone, Debug)]
pub struct Viewer {
    /// Subject of the token.
    subject: String,
    /// Roles that the token gives.
    roles: Vec<Role>,
}

/// Root fields about the caller and the service.
#[derive(Default)]
pub struct ServiceQuery;

#[Object]
impl ServiceQuery {
    /// Who asks. Open to every valid token.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Viewer> {
        let caller = ctx.data::<Caller>()?;
        Ok(Viewer { subject: caller.subject.to_string(), roles: caller.roles.iter().map(Role::from).collect() })
    }

    /// The limits in force. Open to every valid token.
    async fn service_config(&self, ctx: &Context<'_>) -> Result<ServiceConfig> {
        ctx.data::<ServiceConfig>().cloned()
    }
}
