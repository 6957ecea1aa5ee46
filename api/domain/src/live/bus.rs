//! The bus: "something was committed, at least up to this number".
//!
//! Invariants: a hint may be late, doubled, lost or wrong, and never blocks who gives it; numbers only rise. [`LocalBus`] is the one of a
//! single process, [`super::redis::RedisBus`] that of replicas. Must not know: what was committed.

use tokio::sync::watch;

/// Carries the number of the newest commit that anybody has told of.
pub trait Bus: std::fmt::Debug + Send + Sync + 'static {
    /// Tells that everything up to this number is committed. Returns at once.
    fn wake(&self, number: u64);

    /// The highest number that was told, and each rise of it.
    fn heard(&self) -> watch::Receiver<u64>;

    /// Changes when hints of others may have been lost: who waits for news looks at the database at once. None where none can be lost.
    fn gaps(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// How it does just now.
    fn state(&self) -> BusState {
        BusState::InProcess
    }
}

/// How a bus does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusState {
    /// There is nobody else to hear.
    InProcess,
    /// Replicas hear each other.
    Up,
    /// They do not: their commits are found by looking at the database.
    Down,
}

/// The bus of one process.
#[derive(Debug)]
pub struct LocalBus(watch::Sender<u64>);

impl Default for LocalBus {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Bus for LocalBus {
    fn wake(&self, number: u64) {
        raise(&self.0, number);
    }

    fn heard(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Raises a number; whether it was lower.
pub(super) fn raise(numbers: &watch::Sender<u64>, number: u64) -> bool {
    numbers.send_if_modified(|known| {
        let is_news = *known < number;
        *known = (*known).max(number);
        is_news
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_only_rise_and_only_a_rise_is_news() {
        let bus = LocalBus::default();
        let mut heard = bus.heard();
        bus.wake(7);
        assert_eq!(*heard.borrow_and_update(), 7);
        bus.wake(5);
        bus.wake(7);
        assert!(!heard.has_changed().unwrap());
        bus.wake(8);
        assert_eq!(*heard.borrow_and_update(), 8);
    }
}
