//! The HTTP shell: what surrounds the routes, and the routes that need nothing of the domain.
//!
//! Order around a request, outermost first: id, log, metrics, pace (`access`), fixed headers, CORS, compression. Must not know: GraphQL,
//! the store; whoever builds [`Shell`] brings their routes along.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use plimsoll_domain::clock::IdSource;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

pub mod access;
mod connection;
pub mod explorer;
pub mod export;
pub mod graphql;
pub mod health;
pub mod ingest;
pub mod metrics;
pub mod pace;
pub mod refusal;
pub mod server;

use crate::config::{Limits, Origins};
use access::{REQUEST_ID, Surroundings};
use health::{Readiness, ReadinessPage};
use metrics::MetricsPage;
use refusal::Refusal;

/// How long browsers may remember that an origin is allowed.
const CORS_MAX_AGE: Duration = Duration::from_secs(600);

/// What the shell is made of.
#[derive(Clone)]
pub struct Shell {
    /// Makes ids of requests.
    pub ids: Arc<dyn IdSource>,
    /// Sizes and times.
    pub limits: Limits,
    /// Front ends in browsers.
    pub origins: Origins,
    /// The page of `/metrics`.
    pub metrics: MetricsPage,
    /// What `/readyz` looks at.
    pub readiness: Arc<dyn Readiness>,
}

/// All routes with everything around them. `routes` brings what serves the domain: `/graphql`, `/ingest`, `/exports/…`.
pub fn router(shell: &Shell, routes: Router) -> Router {
    let surroundings = Surroundings {
        ids: Arc::clone(&shell.ids),
        uri_max_bytes: shell.limits.uri_bytes,
        body_read: Duration::from_millis(shell.limits.body_read_ms),
    };
    let own = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz).with_state(ReadinessPage::new(Arc::clone(&shell.readiness))))
        .route("/metrics", get(metrics::page).with_state(shell.metrics.clone()))
        .merge(explorer::routes());
    let router = Router::new()
        .merge(own)
        .merge(routes)
        .method_not_allowed_fallback(async || Refusal::METHOD)
        .fallback(async || Refusal::NOT_FOUND)
        .layer(CompressionLayer::new());
    let router = match cors(&shell.origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(from_fn(fixed_headers)).layer(from_fn_with_state(surroundings, access::surround))
}

/// CORS for the origins that are allowed; none by default. No credentials: tokens are not sent by browsers on their own.
fn cors(origins: &Origins) -> Option<CorsLayer> {
    let allowed = match origins {
        Origins::Any => AllowOrigin::any(),
        Origins::Listed(list) if list.is_empty() => return None,
        Origins::Listed(list) => AllowOrigin::list(list.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            REQUEST_ID.clone(),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([REQUEST_ID.clone(), header::RETRY_AFTER, header::CONTENT_DISPOSITION])
        .max_age(CORS_MAX_AGE);
    Some(layer)
}

/// Headers of every answer. A handler's own win, so that the explorer may bring its policy.
async fn fixed_headers(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await.into_response();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
