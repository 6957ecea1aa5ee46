//! The executions of an hour in few bytes: when they waited and ran, and what they count under. Pure.
//!
//! For each, the latest end first: how long before the end of the one before it ended (the first: before the end of the hour), how
//! long it ran, how long it waited and one (0: unknown), the columns of its key; all varints.
//! Invariant: decoding gives what was encoded, in that order. Must not know: who keeps the bytes.

use plimsoll_entity::value::time::{Instant, Window};
use plimsoll_entity::value::varint::{Reader, Truncated, put_u64};

use crate::cell::part::{EXECUTION_KEY_WIDTH, KEY_WIDTH};
use crate::store::ExecutionSpan;

/// Packs executions that finished in an hour.
#[must_use]
pub fn encode(hour: i32, mut spans: Vec<ExecutionSpan>) -> Vec<u8> {
    spans.sort_by_key(|span| std::cmp::Reverse(span.finished_at));
    let (mut out, mut before) = (Vec::new(), Window::of_hour(hour).end);
    put_u64(&mut out, spans.len() as u64);
    for span in spans {
        put_u64(&mut out, (before.0 - span.finished_at.0) as u64);
        put_u64(&mut out, (span.finished_at.0 - span.started_at.0) as u64);
        put_u64(&mut out, span.queued_at.map_or(0, |queued_at| (span.started_at.0 - queued_at.0) as u64 + 1));
        span.key[..EXECUTION_KEY_WIDTH].iter().for_each(|id| put_u64(&mut out, u64::from(*id)));
        before = span.finished_at;
    }
    out.shrink_to_fit();
    out
}

/// The executions of a pack, the latest end first.
///
/// # Errors
/// [`Truncated`] when the bytes are damaged.
pub fn decode(hour: i32, block: &[u8]) -> Result<Vec<ExecutionSpan>, Truncated> {
    let mut reader = Reader::new(block);
    let count = reader.u64()?;
    // Each takes a byte at least for each of its numbers: a damaged count asks for no more room than the block has bytes.
    let mut spans = Vec::with_capacity((count as usize).min(block.len()));
    let mut before = Window::of_hour(hour).end;
    for _ in 0..count {
        let finished_at = back(before, reader.u64()?)?;
        let started_at = back(finished_at, reader.u64()?)?;
        let queued_at = reader.u64()?.checked_sub(1).map(|waited| back(started_at, waited)).transpose()?;
        let mut key = [0; KEY_WIDTH];
        for id in &mut key[..EXECUTION_KEY_WIDTH] {
            *id = reader.u32()?;
        }
        spans.push(ExecutionSpan { finished_at, started_at, queued_at, key });
        before = finished_at;
    }
    Ok(spans)
}

fn back(at: Instant, by_us: u64) -> Result<Instant, Truncated> {
    at.0.checked_sub_unsigned(by_us).map(Instant).ok_or(Truncated)
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::time::HOUR_US;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packs_come_back(
            spans in proptest::collection::vec((0..HOUR_US, 0_i64..1 << 50, proptest::option::of(0_i64..1 << 40), any::<[u32; EXECUTION_KEY_WIDTH]>()), 0..50),
            cut in 0_usize..40,
        ) {
            let hour = 500_000;
            let mut spans: Vec<ExecutionSpan> = spans
                .into_iter()
                .map(|(at, ran, waited, columns)| {
                    let mut key = [0; KEY_WIDTH];
                    key[..EXECUTION_KEY_WIDTH].copy_from_slice(&columns);
                    let finished_at = Instant(i64::from(hour) * HOUR_US + at);
                    let started_at = Instant(finished_at.0 - ran);
                    ExecutionSpan { finished_at, started_at, queued_at: waited.map(|waited| Instant(started_at.0 - waited)), key }
                })
                .collect();
            let block = encode(hour, spans.clone());
            spans.sort_by_key(|span| std::cmp::Reverse(span.finished_at));
            prop_assert_eq!(decode(hour, &block), Ok(spans));
            // A damaged block is told, or gives something else: it never panics.
            let _ = decode(hour, &block[..block.len().saturating_sub(cut + 1)]);
        }
    }
}
