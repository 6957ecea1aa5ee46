//! `/healthz`: the process answers. `/readyz`: it can serve, component by component.
//!
//! What is down but not needed makes the answer `degraded`, not a refusal: a load balancer must not drop every replica with it.
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

/// One thing that serving uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Such as `database`, `migrations`, `bus`.
    pub name: &'static str,
    /// Whether it does its work.
    pub ok: bool,
    /// A sentence for operators. Anybody may read it: no addresses, no error texts.
    pub detail: Option<String>,
    /// Whether nothing can be served without it.
    #[serde(skip)]
    pub is_needed: bool,
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
        let late = || {
            vec![Component { name: "check", ok: false, detail: Some("the components did not answer in time".to_owned()), is_needed: true }]
        };
        let components = tokio::time::timeout(CHECK_TIMEOUT, self.readiness.check()).await.unwrap_or_else(|_| late());
        for component in components.iter().filter(|component| !component.ok && component.is_needed) {
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

/// `GET /readyz`: 200, or 503 while a component fails that is needed.
pub async fn readyz(State(page): State<ReadinessPage>) -> Response {
    let components = page.components().await;
    let is_ready = components.iter().all(|component| component.ok || !component.is_needed);
    let (status, text) = match components.iter().all(|component| component.ok) {
        true => (StatusCode::OK, "ok"),
        false if is_ready => (StatusCode::OK, "degraded"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    (status, Json(Answer { status: text, components })).into_response()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    struct Fixed(bool, bool);

    impl Readiness for Fixed {
        fn check(&self) -> BoxFuture<'_, Vec<Component>> {
            let component = |name, ok, is_needed| Component { name, ok, detail: None, is_needed };
            async move { vec![component("database", self.0, true), component("bus", self.1, false)] }.boxed()
        }
    }

    #[tokio::test]
    async fn only_what_is_needed_makes_unready() {
        for (database, bus, expected, text) in
            [(true, true, 200, "ok"), (true, false, 200, "degraded"), (false, true, 503, "unavailable"), (false, false, 503, "unavailable")]
        {
            let response = readyz(State(ReadinessPage::new(Arc::new(Fixed(database, bus))))).await;
            assert_eq!(response.status(), expected);
            let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((answer["status"].as_str(), answer["components"][1]["ok"].as_bool()), (Some(text), Some(bus)));
        }
    }
}
