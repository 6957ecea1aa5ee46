//! `plimsoll demo`: a made-up month, written through the ingest path, then served.

use std::sync::Arc;

use plimsoll_domain::clock::Clock;
use plimsoll_domain::demo;
use plimsoll_domain::ingest::batch::read_batch;
use plimsoll_domain::ingest::line::ReadContext;
use plimsoll_domain::ingest::{IngestError, IngestSink};
use plimsoll_entity::value::time::{HOUR_US, Instant};

/// The month is the same for everybody.
const SEED: u64 = 7;
/// Lines of one batch.
const LINES_PER_BATCH: usize = 5_000;

/// Writes the month that ends with the last whole hour. What is there already is a duplicate, so that a second start is quick.
pub async fn feed<S: IngestSink>(sink: S, clock: Arc<dyn Clock>) {
    let now = clock.now();
    let end = Instant(now.0 - now.0.rem_euclid(HOUR_US));
    let mut lines = demo::month(SEED, end);
    let (mut accepted, mut rejected) = (0, 0);
    loop {
        let body: String = lines.by_ref().take(LINES_PER_BATCH).flat_map(|line| [line, "\n".to_owned()]).collect();
        if body.is_empty() {
            break;
        }
        let batch = read_batch(body.as_bytes(), ReadContext { now, strict: true, oldest: None });
        rejected += batch.rejected_count;
        match write(&sink, batch.events, body.len()).await {
            Ok(new) => accepted += new,
            Err(error) => {
                tracing::error!(error = crate::telemetry::chain(&error), "the made-up month cannot be written");
                return;
            }
        }
    }
    tracing::info!(accepted, rejected, "the made-up month is there");
}

async fn write<S: IngestSink>(
    sink: &S,
    events: Vec<(u32, plimsoll_domain::ingest::event::Event)>,
    size_bytes: usize,
) -> Result<u64, IngestError> {
    sink.write(events, size_bytes).await.map(|written| written.accepted)
}
