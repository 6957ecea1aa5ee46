//! A server that takes events as Plimsoll's does, and fails as told.

use std::collections::{HashSet, VecDeque};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::contract;

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This status, perhaps with `Retry-After`.
    Status(u16, Option<&'static str>),
    /// A status and a page that is not Plimsoll's.
    Page(u16, &'static str),
    /// Never.
    Silence,
    /// Takes the batch but for its first line.
    RejectFirst,
}

#[derive(Debug, Default)]
pub struct Log {
    script: VecDeque<Answer>,
    /// Every accepted line once, in order of arrival.
    pub lines: Vec<String>,
    keys: HashSet<String>,
    /// When a request came and how many lines it had.
    pub requests: Vec<(Instant, usize)>,
    max_lines: Option<usize>,
    token: Option<String>,
}

#[derive(Debug)]
pub struct Server {
    pub addr: SocketAddr,
    log: Arc<Mutex<Log>>,
    serving: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_at(free_addr().await).await
    }

    pub async fn start_at(addr: SocketAddr) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let router = Router::new().route("/ingest", post(ingest)).with_state(log.clone());
        let listener = TcpListener::bind(addr).await.unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, log, serving }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The next requests are answered like this; those after are taken.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.log.lock().unwrap().script.extend(answers);
    }

    /// Batches of more lines are too large.
    pub fn limit_lines(&self, max_lines: usize) {
        self.log.lock().unwrap().max_lines = Some(max_lines);
    }

    /// Another token is refused.
    pub fn require_token(&self, token: &str) {
        self.log.lock().unwrap().token = Some(token.to_owned());
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().lines.clone()
    }

    pub fn requests(&self) -> Vec<(Instant, usize)> {
        self.log.lock().unwrap().requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An address that nobody listens on.
pub async fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Waits until something is true, and panics when that takes too long.
pub async fn wait_for(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_true() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ingest(State(log): State<Arc<Mutex<Log>>>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-type"], "application/x-ndjson");
    assert_eq!(headers["content-encoding"], "gzip");
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert!(text.ends_with('\n'));
    let lines: Vec<&str> = text.lines().collect();
    let answer = {
        let mut log = log.lock().unwrap();
        log.requests.push((Instant::now(), lines.len()));
        log.script.pop_front()
    };
    match answer {
        None => take(&mut log.lock().unwrap(), &headers, &lines, 0),
        Some(Answer::RejectFirst) => take(&mut log.lock().unwrap(), &headers, &lines, 1),
        Some(Answer::Page(status, page)) => (StatusCode::from_u16(status).unwrap(), page).into_response(),
        Some(Answer::Status(status, None)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Answer::Status(status, Some(seconds))) => (StatusCode::from_u16(status).unwrap(), [("retry-after", seconds)]).into_response(),
        Some(Answer::Silence) => std::future::pending().await,
    }
}

fn take(log: &mut Log, headers: &HeaderMap, lines: &[&str], rejected: usize) -> Response {
    if let Some(token) = &log.token
        && headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&format!("Bearer {token}"))
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if log.max_lines.is_some_and(|max_lines| lines.len() > max_lines) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let mut accepted = 0;
    for line in &lines[rejected..] {
        if log.keys.insert(contract::key(&contract::check(line))) {
            log.lines.push((*line).to_owned());
            accepted += 1;
        }
    }
    let rejections: Vec<_> = (0..rejected)
        .map(|line| serde_json::json!({"line": line + 1, "code": "INVALID_VALUE", "field": "vm", "message": "not liked"}))
        .collect();
    axum::Json(serde_json::json!({
        "accepted": accepted,
        "duplicate": lines.len() - rejected - accepted,
        "rejected": rejections,
        "rejectedCount": rejected,
        "warnings": [],
    }))
    .into_response()
}
