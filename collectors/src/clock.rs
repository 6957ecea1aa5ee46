//! Where the time comes from. The only file of this crate that may ask the system for it.
//!
//! Invariant: a test that holds a [`FixedClock`] sees no other time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// One instant on two clocks: the one that people read and the one that never jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, to the millisecond.
    pub at: DateTime<Utc>,
    /// Time since an arbitrary start; lengths of intervals are taken from here, so that a corrected wall clock bends no rate.
    pub monotonic: Duration,
}

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Moment;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// The system's clocks; the monotonic one starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    fn now(&self) -> Moment {
        Moment { at: Utc::now().trunc_subsecs(3), monotonic: self.started.elapsed() }
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct FixedClock(Mutex<Moment>);

impl FixedClock {
    /// A clock that stands at `at`, its monotonic side at 0.
    #[must_use]
    pub fn at(at: DateTime<Utc>) -> Self {
        Self(Mutex::new(Moment { at, monotonic: Duration::ZERO }))
    }

    /// Moves both sides on.
    pub fn advance(&self, by: Duration) {
        let mut moment = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moment.at += TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        moment.monotonic += by;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
