//! `/healthz`: the process answers. `/readyz`: it can serve, component by component.
//!
//! Invariant: `/healthz` never waits for anything; `/readyz` looks at its components at most once in [`FRESH_FOR`], whoever asks.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer is given again without looking.
pub const FRESH_FOR: Duration = Duration::from_secs(1);
/// Longest look at all components together.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// One thing that serving needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Such as `database`, `migrations`, `bus`.
    pub name: &'static str,
    /// Whether it does its work.
    pub ok: bool,
    /// A sentence for operators. Anybody may read it: no addresses, no error texts.
    pub detail: Option<String>,
}

/// Looks at what serving needs.
pub trait Readiness: Send + Sync + 'static {
    /// Each component as it is now. Should answer within a second; two are granted.
    fn check(&self) -> BoxFuture<'_, Vec<Component>>;
}

/// The last look at the components.
#[derive(Clone)]
pub struct ReadinessPage {
    readiness: Arc<dyn Readiness>,
    last: Arc<Mutex<Option<Look>>>,
}

/// When the components were looked at, and how they were.
type Look = (Instant, Vec<Component>);

impl ReadinessPage {
    /// A page about these components.
    #[must_use]
    pub fn new(readiness: Arc<dyn Readiness>) -> Self {
        Self { readiness, last: Arc::default() }
    }

    async fn components(&self) -> Vec<Component> {
        let mut last = self.last.lock().await;
        if let Some((at, components)) = &*last
            && at.elapsed() < FRESH_FOR
        {
            return components.clone();
        }
        let late = || vec![Component { name: "check", ok: false, detail: Some("the components did not answer in time".to_owned()) }];
        let components = tokio::time::timeout(CHECK_TIMEOUT, self.readiness.check()).await.unwrap_or_else(|_| late());
        for component in components.iter().filter(|component| !component.ok) {
            tracing::warn!(component = component.name, detail = component.detail, "not ready");
        }
        *last = Some((Instant::now(), components.clone()));
        components
    }
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
    components: Vec<Component>,
}

/// `GET /healthz`.
pub async fn healthz() -> Response {
    Json(Answer { status: "ok", components: Vec::new() }).into_response()
}

/// `GET /readyz`: 200, or 503 while a component fails.
pub async fn readyz(State(page): State<ReadinessPage>) -> Response {
    let components = page.components().await;
    let ready = components.iter().all(|component| component.ok);
    let (status, text) = if ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    (status, Json(Answer { status: text, components })).into_response()
}
