//! Sends the benchmark load over HTTP, as several collectors at once would.
//!
//! Invariant: bodies are made before the clock runs. Must not know: what the executions are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::load::Load;
use crate::{Server, token};

/// Lines of a request.
pub const LINES: usize = 1_000;
/// Connections that send at once.
pub const CONNECTIONS: usize = 4;
/// Bodies that are made before they are sent.
const BODIES: usize = 200;

/// Sends a load; seconds that it took. Bodies are made beforehand, a window of the load at a time.
pub async fn send(server: &Server, mut load: Load) -> f64 {
    let client = reqwest::Client::new();
    let mut seconds = 0.0;
    loop {
        let mut bodies = Vec::new();
        while bodies.len() < BODIES {
            let mut body = String::new();
            if load.write_next(LINES, &mut body) == 0 {
                break;
            }
            bodies.push(body);
        }
        if bodies.is_empty() {
            return seconds;
        }
        let bodies = Arc::new(bodies);
        let next = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, url, bodies, next) = (client.clone(), format!("{}/ingest", server.url), Arc::clone(&bodies), Arc::clone(&next));
            senders.push(tokio::spawn(async move {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let request = client.post(&url).bearer_auth(token(&["INGEST"])).header("content-type", "application/x-ndjson");
                    let answer = request.body(body.clone()).send().await.unwrap();
                    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
                }
            }));
        }
        for sender in senders {
            sender.await.unwrap();
        }
        seconds += started.elapsed().as_secs_f64();
    }
}
