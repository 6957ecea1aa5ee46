//! Delays between attempts at something that keeps failing.
//!
//! Invariant: never shorter than the first, never longer than the last. Must not know: clocks, or what is attempted.

use std::time::Duration;

/// Delays that double from one failure to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn between(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The shortest delay.
    pub(crate) fn min(&self) -> Duration {
        self.min
    }

    /// How long to wait now; the next time twice as long.
    pub(crate) fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.max);
        delay
    }

    /// All is well: the next delay is the first again.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound_and_start_again() {
        let mut backoff = Backoff::between(Duration::from_secs(1), Duration::from_secs(60));
        let seconds: Vec<u64> = (0..8).map(|_| backoff.delay().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.reset();
        assert_eq!((backoff.delay(), backoff.min()), (Duration::from_secs(1), Duration::from_secs(1)));
    }
}
