//! `plimsoll demo`: a made-up month and its prices, written through the paths of everyone's, then served.

use plimsoll_domain::cost::card::PriceFault;
use plimsoll_domain::cost::entering::{enter_card, enter_value};
use plimsoll_domain::demo;
use plimsoll_domain::demo::prices::{Prices, prices};
use plimsoll_domain::ingest::batch::read_batch;
use plimsoll_domain::ingest::line::ReadContext;
use plimsoll_domain::ingest::{IngestError, IngestSink};
use plimsoll_domain::store::{Store, StoreError};
use plimsoll_entity::value::time::{HOUR_US, Instant};

/// The month is the same for everybody.
const SEED: u64 = 7;
/// Lines of one batch.
const LINES_PER_BATCH: usize = 5_000;

/// Writes the month that ends with the last whole hour, and before it the prices, in this currency. What is there already is a duplicate,
/// so that a second start is quick.
pub async fn feed<S: IngestSink>(sink: S, store: Store, currency: String) {
    let now = store.clock().now();
    let end = Instant(now.0 - now.0.rem_euclid(HOUR_US));
    // Prices first: then each hour is priced once.
    match enter_prices(&store, prices(end, demo::Scale::MONTH.days, &currency)).await {
        Ok(faults) => faults.iter().for_each(|fault| tracing::warn!(fault = fault.message, "a made-up price was not entered")),
        Err(error) => tracing::error!(error = crate::telemetry::chain(&error), "the made-up prices cannot be entered"),
    }
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

/// Enters the prices that are not there; what they contradict.
async fn enter_prices(store: &Store, prices: Prices) -> Result<Vec<PriceFault>, StoreError> {
    let snapshot = store.snapshot().await?;
    let (cards, values) = (snapshot.rate_card_list().await?, snapshot.business_value_list().await?);
    drop(snapshot);
    let mut faults = Vec::new();
    for card in prices.cards.iter().filter(|card| cards.iter().all(|known| known.id != card.id)) {
        faults.extend(enter_card(store, card).await?);
    }
    for value in prices.values.iter().filter(|value| values.iter().all(|known| known.id != value.id)) {
        faults.extend(enter_value(store, value).await?);
    }
    Ok(faults)
}

async fn write<S: IngestSink>(
    sink: &S,
    events: Vec<(u32, plimsoll_domain::ingest::event::Event)>,
    size_bytes: usize,
) -> Result<u64, IngestError> {
    sink.write(events, size_bytes).await.map(|written| written.accepted)
}
