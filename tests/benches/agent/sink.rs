//! A server that takes whatever an agent sends, and counts its lines.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// It listens until the benchmark ends.
pub struct Sink {
    url: String,
    lines: Arc<AtomicU64>,
}

impl Sink {
    pub async fn start() -> Self {
        let lines = Arc::new(AtomicU64::new(0));
        let router = Router::new().route("/ingest", post(ingest)).with_state(Arc::clone(&lines));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, lines }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Lines that have come in.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::SeqCst)
    }
}

async fn ingest(State(counted): State<Arc<AtomicU64>>, body: Bytes) -> Json<Value> {
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    let lines = text.lines().count() as u64;
    counted.fetch_add(lines, Ordering::SeqCst);
    Json(json!({ "accepted": lines, "duplicate": 0, "rejected": [], "rejectedCount": 0, "warnings": [] }))
}
