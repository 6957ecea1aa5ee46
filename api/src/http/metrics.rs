//! `/metrics`: what the process counts, as Prometheus text.
//!
//! Invariants: every family of ours starts with `plimsoll_`, has a description and counts in base units; every histogram is a true one
//! (buckets, so that replicas can be added up). Whoever counts something new describes it beside its code, or here.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::auth::AuthError;
use crate::config::Secret;

/// Upper bounds of durations, in seconds.
const SECONDS: [f64; 15] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of sizes, in bytes.
const BYTES: [f64; 9] = [1e2, 1e3, 1e4, 1e5, 1e6, 4e6, 1.6e7, 6.4e7, 2.56e8];
/// How often what histograms have collected is folded into their buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// The text format of Prometheus.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The recorder of this process cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the metrics")]
pub struct MetricsError(#[source] BuildError);

/// The recorder of the process: there is one, however many servers a test starts.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
/// Held while the recorder is installed.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Starts counting, once for the process.
///
/// # Errors
/// [`MetricsError`] when another recorder was there before.
pub fn start() -> Result<PrometheusHandle, MetricsError> {
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let build = || {
        PrometheusBuilder::new()
            .set_buckets(&SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
            .with_recommended_naming(true)
            .install_recorder()
    };
    let handle = build().map_err(MetricsError)?;
    describe();
    metrics::gauge!("plimsoll_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    Ok(RECORDER.get_or_init(|| handle).clone())
}

fn describe() {
    describe_gauge!("plimsoll_build_info", "Always 1; its label is the version that runs.");
    describe_counter!("plimsoll_http_requests_total", "Requests that were answered, by route, method and class of status.");
    describe_histogram!("plimsoll_http_request_duration_seconds", "Time from a request's head to the head of its answer.");
    describe_gauge!("plimsoll_http_requests_in_flight", "Requests that are being answered.");
    describe_gauge!("plimsoll_http_connections", "Open connections, upgraded ones left out.");
    describe_counter!("plimsoll_http_connections_refused_total", "Connections that were turned away because too many were open.");
    plimsoll_gate::http::describe_metrics();
    describe_counter!("plimsoll_live_looks_total", "Times that subscriptions have worked their figures out, by field.");
    describe_counter!("plimsoll_auth_refusals_total", "Requests that were refused for want of a valid token, by reason.");
    describe_counter!("plimsoll_jwks_loads_total", "Attempts to load the key set, by outcome.");
    describe_counter!("plimsoll_audit_entries_total", "Audit entries, by what became of them.");
    crate::webhook::describe_metrics();
    describe_gauge!("plimsoll_process_resident_bytes", "Memory of the process that is in RAM.");
    describe_gauge!("plimsoll_process_open_files", "File descriptors that the process holds.");
}

/// Folds what histograms collect, so that their memory stays bounded when nobody scrapes.
pub async fn keep_up(handle: PrometheusHandle, stop: CancellationToken) {
    let mut every = tokio::time::interval(UPKEEP_EVERY);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        handle.run_upkeep();
    }
}

/// The page and who may read it.
#[derive(Clone)]
pub struct MetricsPage {
    handle: PrometheusHandle,
    token: Option<Secret>,
}

impl MetricsPage {
    /// A page that asks for the token where there is one.
    #[must_use]
    pub const fn new(handle: PrometheusHandle, token: Option<Secret>) -> Self {
        Self { handle, token }
    }

    fn admits(&self, headers: &HeaderMap) -> Result<(), AuthError> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).ok_or(AuthError::Missing)?.as_bytes();
        let (scheme, given) = given.split_at_checked("Bearer ".len()).ok_or(AuthError::Malformed)?;
        if !scheme.eq_ignore_ascii_case(b"Bearer ") || !same(given, token.reveal().as_bytes()) {
            return Err(AuthError::Malformed);
        }
        Ok(())
    }
}

/// Compares in a time that does not tell where two texts differ.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |differences, (left, right)| differences | (left ^ right)) == 0
}

/// `GET /metrics`.
pub async fn page(State(page): State<MetricsPage>, headers: HeaderMap) -> Response {
    if let Err(error) = page.admits(&headers) {
        return error.into_response();
    }
    note_process().await;
    (StatusCode::OK, [(header::CONTENT_TYPE, CONTENT_TYPE)], page.handle.render()).into_response()
}

/// What the kernel says of this process; left out where there is no `/proc`.
async fn note_process() {
    if let Ok(status) = tokio::fs::read_to_string("/proc/self/status").await {
        let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        if let Some(kibibytes) = kibibytes {
            metrics::gauge!("plimsoll_process_resident_bytes").set(kibibytes * 1_024.0);
        }
    }
    if let Ok(files) = tokio::task::spawn_blocking(|| std::fs::read_dir("/proc/self/fd").map(Iterator::count)).await
        && let Ok(files) = files
    {
        metrics::gauge!("plimsoll_process_open_files").set(files as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_described_and_histograms_have_buckets() {
        let handle = start().unwrap();
        metrics::histogram!("plimsoll_http_request_duration_seconds", "route" => "/x", "method" => "GET").record(0.02);
        let text = handle.render();
        assert!(text.contains("# HELP plimsoll_build_info ") && text.contains("# TYPE plimsoll_build_info gauge"));
        assert!(text.contains("# TYPE plimsoll_http_request_duration_seconds histogram"), "{text}");
        assert!(text.contains("plimsoll_http_request_duration_seconds_bucket{route=\"/x\",method=\"GET\",le=\"0.025\"} 1"), "{text}");
    }
}
