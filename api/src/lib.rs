//! The server: GraphQL, HTTP and the command line around the domain.
//!
//! [`serve`] is the wiring, all of it on one page. Invariant: nothing is reachable before the tables are up to date, and a stop loses no
//! accepted event.

pub mod audit;
pub mod auth;
mod background;
pub mod collect;
pub mod command;
pub mod config;
pub mod graphql;
pub mod http;
mod open_files;
pub mod tasks;
pub mod telemetry;
pub mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::clock::{Clock, IdSource, SystemClock, TimeOrderedIds};
use plimsoll_domain::ingest::writer::{Writer, WriterHandle};
use plimsoll_domain::live::bus::{Bus, BusState, LocalBus};
use plimsoll_domain::live::commits::Commits;
use plimsoll_domain::live::redis::{BusError, RedisBus};
use plimsoll_domain::store::{Store, StoreError};
use plimsoll_gate::{CostTable, Gate, Service};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use auth::Authenticator;
use auth::first_start::{self, FirstStartError};
use auth::jwks::JwksError;
use auth::jwt::ClaimPolicy;
use config::Config;
use graphql::mutation::Writing;
use graphql::query::service::ServiceConfig;
use graphql::subscription::live::Live;
use http::export::Exports;
use http::graphql::{EventSenders, GraphqlEndpoint};
use http::health::{Component, Readiness};
use http::ingest::{Ingest, IngestLimits};
use http::metrics::{MetricsError, MetricsPage};
use tasks::Tasks;

/// How long background tasks may take to end.
const TASKS_END_MAX: Duration = Duration::from_secs(10);
/// How long sockets may take to end once the requests have been answered.
const SOCKETS_END_MAX: Duration = Duration::from_secs(5);
/// Nodes of a page when nobody says how many.
pub const PAGE_SIZE_DEFAULT: usize = 50;

/// Why the server cannot serve. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database.
    #[error("the database cannot be used (database.url, PLIMSOLL_DATABASE_URL)")]
    Store(#[source] StoreError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address} (http.listen, PLIMSOLL_LISTEN)")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Without a key only loopback is served.
    #[error(
        "no key is configured, so only a loopback address may be listened on, not {0}: set PLIMSOLL_JWT_SECRET or PLIMSOLL_JWKS, or PLIMSOLL_LISTEN=127.0.0.1:8000"
    )]
    Open(SocketAddr),
    /// The first start's secret.
    #[error("cannot make a secret of its own")]
    FirstStart(#[source] FirstStartError),
    /// The key set.
    #[error("the key set cannot be used (auth.jwks, PLIMSOLL_JWKS)")]
    Jwks(#[source] JwksError),
    /// The bus.
    #[error("Redis cannot be used (live.redis_url, PLIMSOLL_REDIS_URL)")]
    Bus(#[source] BusError),
    /// Prices of another currency.
    #[error(transparent)]
    Currency(OtherCurrency),
    /// Counting.
    #[error("the metrics cannot be started")]
    Metrics(#[source] MetricsError),
    /// The schema does not fit the gate: a fault of the build.
    #[error("the schema cannot be served")]
    Schema(#[source] plimsoll_gate::SdlError),
    /// A background task ended before its time; the log says which.
    #[error("a background task has failed; the log says which")]
    Broken,
}

/// Prices were entered in a currency that is not the one of the settings.
#[derive(Debug, thiserror::Error)]
#[error(
    "prices in the database are in {stored}, not in {configured} (cost.currency, PLIMSOLL_CURRENCY): a service has one currency for good"
)]
pub struct OtherCurrency {
    /// ISO 4217 code of the prices.
    pub stored: String,
    /// That of the settings.
    pub configured: String,
}

/// What is entered in another currency than that of the settings, if anything is.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn other_currency(store: &Store, config: &Config) -> Result<Option<OtherCurrency>, StoreError> {
    let configured = config.cost.currency.as_str();
    let stored = store.snapshot().await?.other_currency(configured).await?;
    Ok(stored.map(|stored| OtherCurrency { stored, configured: configured.to_owned() }))
}

/// Opens the database and brings its tables up to date.
///
/// # Errors
/// [`ServeError::Store`] when that cannot be done.
pub async fn open_store(config: &Config) -> Result<Store, ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Store::open(config.database.url.reveal(), clock).await.map_err(ServeError::Store)?;
    store.migrate().await.map_err(ServeError::Store)?;
    let days = plimsoll_domain::cell::rebuild::rebuild_days(&store).await.map_err(ServeError::Store)?;
    if days > 0 {
        tracing::info!(days, "made cells of rows that came before there were any");
    }
    Ok(store)
}

/// Binds the address of the settings.
///
/// # Errors
/// [`ServeError::Listen`] when it is taken or not ours.
pub async fn listen(config: &Config) -> Result<TcpListener, ServeError> {
    let address = config.http.listen.as_str();
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address: address.to_owned(), source })
}

/// Serves a store that is open. `feed` gets the ingest path and runs beside the server.
///
/// # Errors
/// [`ServeError`] when the server cannot start, or a background task has failed.
pub async fn serve_store(
    config: Config,
    store: Store,
    listener: TcpListener,
    stop: CancellationToken,
    feed: impl FnOnce(WriterHandle) -> BoxFuture<'static, ()>,
) -> Result<(), ServeError> {
    if let Some(other) = other_currency(&store, &config).await.map_err(ServeError::Store)? {
        return Err(ServeError::Currency(other));
    }
    let clock: Arc<dyn Clock> = Arc::clone(store.clock());
    let ids: Arc<dyn IdSource> = Arc::new(TimeOrderedIds);
    open_files::raise_limit(config.limits.connections);
    let metrics = http::metrics::start().map_err(ServeError::Metrics)?;
    plimsoll_domain::describe_metrics();
    let authenticator = authenticator(&config, &listener, &clock)?;
    let tasks = Tasks::default();
    let bus = bus(&config, &store, &ids, &tasks).await?;
    let (writer, ingest) = Writer::new(store.clone());
    let writer = writer.waking(Arc::clone(&bus));
    let (commits, follower) = Commits::new(store.clone(), Arc::clone(&bus));
    let written = tokio::task::spawn_blocking({
        let runtime = tokio::runtime::Handle::current();
        move || runtime.block_on(writer.run())
    });
    let (audit, audit_writer) = audit::channel(store.clone(), Arc::clone(&ids), config.limits.audit_queue, config.retention.audit_days);
    tasks.spawn("audit", audit_writer.run(tasks.stop.clone()));
    tasks.spawn("keys", Arc::clone(&authenticator).keep_keys_fresh(tasks.stop.clone()));
    tasks.spawn("metrics", http::metrics::keep_up(metrics.clone(), tasks.stop.clone()));
    tasks.spawn("commits", follower.run(tasks.stop.clone()));
    background::spawn(&tasks, &store, &bus, &ids, config.retention.ages());
    background::spawn_webhooks(&tasks, &store, &ids, &config.webhook);
    if config.collect.enabled {
        tasks.spawn("collector", collect::run(ingest.clone(), Arc::clone(&clock), tasks.stop.clone()));
    }
    tokio::spawn(feed(ingest.clone()));

    let readiness = Arc::new(ServiceReadiness { store: store.clone(), bus: Arc::clone(&bus) });
    let writing = Writing { bus, ids: Arc::clone(&ids), webhook_allow: Arc::new(config.webhook.allow.clone()) };
    let schema = graphql::schema(Reader::new(store.clone()), Live::new(commits), writing, service_config(&config));
    let exports = Exports {
        authenticator: Arc::clone(&authenticator),
        auditor: Arc::new(audit.clone()),
        reader: Reader::new(Store::open_beside(config.database.url.reveal(), Arc::clone(&clock)).await.map_err(ServeError::Store)?),
        currency: config.cost.currency.as_str().to_owned(),
        ids: Arc::clone(&ids),
    };
    let export_store = exports.reader.store.clone();
    let service = service(&config, Arc::clone(&authenticator), schema, Arc::clone(&ids), audit)?;
    let sockets = service.sockets().clone();
    let routes = Router::new()
        .route("/graphql", plimsoll_gate::http::route(service))
        .merge(exports.routes())
        .merge(Ingest::new(EventSenders(authenticator), ingest, clock, ingest_limits(&config)).routes());
    let shell = http::Shell {
        ids,
        limits: config.limits.clone(),
        origins: config.http.cors_origins.clone(),
        metrics: MetricsPage::new(metrics, config.http.metrics_token.clone()),
        readiness,
    };
    let end = CancellationToken::new();
    end_with(stop, tasks.broken.clone(), sockets.clone(), end.clone());
    http::server::run(listener, http::router(&shell, routes), &config.limits, end).await;
    let left_open = sockets.ended(SOCKETS_END_MAX).await;
    if left_open > 0 {
        tracing::warn!(sockets = left_open, "some sockets did not end in time");
    }
    // The requests are answered; their handles of the writer are gone with them, and the collector's goes with the tasks.
    drop(shell);
    tasks.finish(TASKS_END_MAX).await;
    if tokio::time::timeout(TASKS_END_MAX, written).await.is_err() {
        tracing::warn!("the writer did not end in time");
    }
    export_store.close().await;
    store.close().await;
    if tasks.broken.is_cancelled() { Err(ServeError::Broken) } else { Ok(()) }
}

/// What tells of commits: within this process, or among those that share a Redis. It need not be there yet.
async fn bus(config: &Config, store: &Store, ids: &Arc<dyn IdSource>, tasks: &Tasks) -> Result<Arc<dyn Bus>, ServeError> {
    let Some(url) = &config.live.redis_url else { return Ok(Arc::new(LocalBus::default())) };
    let candidate = ids.next_id().as_u64_pair();
    let database = store.database_number(candidate.0 ^ candidate.1).await.map_err(ServeError::Store)?;
    let (bus, courier) = RedisBus::new(url.reveal(), database).map_err(ServeError::Bus)?;
    tasks.spawn("bus", courier.run(tasks.stop.clone()));
    Ok(Arc::new(bus))
}

/// `/graphql`: the gate before the schema.
fn service(
    config: &Config,
    authenticator: Arc<Authenticator>,
    schema: graphql::PlimsollSchema,
    ids: Arc<dyn IdSource>,
    audit: audit::AuditQueue,
) -> Result<Service<GraphqlEndpoint>, ServeError> {
    let endpoint = GraphqlEndpoint {
        authenticator,
        schema,
        introspection: config.graphql.introspection,
        has_key: config.auth.has_key(),
        origins: config.http.cors_origins.clone(),
        ids,
        auditor: Arc::new(audit),
    };
    let gate = Gate::new(&graphql::sdl(), gate_limits(config), CostTable::default()).map_err(ServeError::Schema)?;
    Ok(Service::new(gate, endpoint))
}

/// What `serviceConfig` tells.
fn service_config(config: &Config) -> ServiceConfig {
    let page = (PAGE_SIZE_DEFAULT.min(config.limits.page_size), config.limits.page_size);
    ServiceConfig::new(&gate_limits(config), config.cost.currency.as_str().to_owned(), config.limits.ingest_body_bytes, page)
}

/// Ends sockets and requests once the server is to stop, or a background task has failed.
fn end_with(stop: CancellationToken, broken: CancellationToken, sockets: plimsoll_gate::Sockets, end: CancellationToken) {
    tokio::spawn(async move {
        tokio::select! { () = stop.cancelled() => {}, () = broken.cancelled() => {} }
        sockets.stop();
        end.cancel();
    });
}

fn authenticator(config: &Config, listener: &TcpListener, clock: &Arc<dyn Clock>) -> Result<Arc<Authenticator>, ServeError> {
    let address = listener.local_addr().map_err(|source| ServeError::Listen { address: config.http.listen.as_str().to_owned(), source })?;
    let mut secret = config.auth.jwt_secret.clone();
    if !config.auth.has_key() {
        if !address.ip().is_loopback() {
            return Err(ServeError::Open(address));
        }
        let path = first_start::secret_path(config);
        let own = first_start::secret(&path).map_err(ServeError::FirstStart)?;
        let greeting = first_start::greeting(&path, &own, &ClaimPolicy::new(&config.auth), address, clock.now());
        // For a person at a terminal, so not into the log.
        eprintln!("\n{}", greeting.map_err(ServeError::FirstStart)?);
        secret = Some(own);
    }
    tracing::info!(%address, database = ?config.database.url.kind(), "listening");
    let authenticator = Authenticator::new(&config.auth, secret.as_ref(), config.limits.token_bytes, Arc::clone(clock));
    authenticator.map(Arc::new).map_err(ServeError::Jwks)
}

fn gate_limits(config: &Config) -> plimsoll_gate::Limits {
    let own = &config.limits;
    plimsoll_gate::Limits {
        document_size_bytes: own.document_bytes,
        tokens: own.document_tokens,
        depth: own.depth,
        root_fields: own.root_fields,
        aliases: own.aliases,
        cost: own.complexity,
        directives: own.directives,
        errors_per_answer: own.errors_per_answer,
        request_body_size_bytes: own.request_body_bytes,
        body_read_time: Duration::from_millis(own.body_read_ms),
        query_time: Duration::from_millis(own.query_ms),
        sockets: own.sockets,
        socket_operations: own.socket_operations,
        socket_message_size_bytes: own.socket_message_bytes,
        socket_init_time: Duration::from_millis(own.socket_init_ms),
        socket_write_time: Duration::from_millis(own.socket_write_ms),
        socket_keep_alive: Duration::from_millis(own.socket_keep_alive_ms),
        ..plimsoll_gate::Limits::default()
    }
}

fn ingest_limits(config: &Config) -> IngestLimits {
    IngestLimits {
        body_size_bytes: config.limits.ingest_body_bytes,
        in_flight_size_bytes: config.limits.ingest_in_flight_bytes,
        idle: Duration::from_millis(config.limits.body_read_ms),
        ..IngestLimits::default()
    }
}

/// Ready while the database answers and has its tables. Without the bus all is served, if up to a second later.
struct ServiceReadiness {
    store: Store,
    bus: Arc<dyn Bus>,
}

impl Readiness for ServiceReadiness {
    fn check(&self) -> BoxFuture<'_, Vec<Component>> {
        async {
            let answer = self.store.ping().await;
            if let Err(error) = &answer {
                tracing::warn!(error = telemetry::chain(error), "the database does not answer");
            }
            let detail = if answer.is_ok() { "answers, tables are up to date" } else { "does not answer" };
            let database = Component { name: "database", ok: answer.is_ok(), detail: Some(detail.to_owned()), is_needed: true };
            let (ok, detail) = match self.bus.state() {
                BusState::InProcess => (true, "in process"),
                BusState::Up => (true, "up"),
                BusState::Down => (false, "down: commits of other replicas are looked for every second"),
            };
            vec![database, Component { name: "bus", ok, detail: Some(detail.to_owned()), is_needed: false }]
        }
        .boxed()
    }
}
