//! Streams of which the newest payload says it all.
//!
//! Invariants: a seat gets the newest payload at once, then each that is newer when it is asked for the next; what came between is left
//! out. A failure is told to every seat, and is the last.

use std::hash::Hash;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::watch;

use super::registry::Shared;
use crate::stream::{Payload, Payloads};

/// What the seats see.
pub(crate) struct Newest(watch::Receiver<State>);

#[derive(Clone, Debug, Default)]
struct State {
    /// Payloads so far.
    number: u64,
    payload: Option<Payload>,
    has_ended: bool,
}

impl Newest {
    /// What the seats see, and the work behind it.
    pub fn start(mut payloads: Payloads) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (states, seen) = watch::channel(State::default());
        let work = async move {
            while let Some(payload) = payloads.next().await {
                let is_last = matches!(payload, Payload::Failed(_));
                states.send_modify(|state| (state.number, state.payload) = (state.number + 1, Some(payload)));
                if is_last {
                    break;
                }
            }
            states.send_modify(|state| state.has_ended = true);
        };
        (Self(seen), work)
    }
}

/// A seat.
pub(crate) fn seat<K: Eq + Hash + Send + Sync + 'static>(shared: Arc<Shared<K, Newest>>) -> Payloads {
    let mut states = shared.0.clone();
    states.mark_changed();
    stream::unfold((shared, states, 0_u64), async |(shared, mut states, last)| {
        loop {
            // What sends lives as long as what is shared; were it gone, there would be nothing more.
            states.changed().await.ok()?;
            let (number, payload, has_ended) = {
                let state = states.borrow_and_update();
                (state.number, state.payload.clone(), state.has_ended)
            };
            match payload {
                Some(payload) if number != last => {
                    // That it has ended has been seen by now, and is to be seen again.
                    states.mark_changed();
                    return Some((payload, (shared, states, number)));
                }
                _ if has_ended => return None,
                _ => {}
            }
        }
    })
    .boxed()
}
