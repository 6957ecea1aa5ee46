//! How long a series stands still: a stuck sensor and a service that is down repeat one value.
//!
//! Invariant: stillness that was there several times is ordinary. Must not know: what is expected.

/// So many times a run must have been there to be ordinary.
const ORDINARY_TIMES: usize = 3;
/// A run is odd when it is longer than an ordinary one so many times.
const ODD_TIMES: usize = 2;

/// The longest runs of one value.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    last: f64,
    length: usize,
    /// Of those that are over, longest first.
    longest: [usize; ORDINARY_TIMES],
}

impl Runs {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { last: f64::NAN, length: 0, longest: [1; ORDINARY_TIMES] }
    }

    /// Adds the next value, and says whether it stands still for longer than is ordinary. A gap (not finite) is left out.
    pub fn add(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        if value == self.last {
            self.length += 1;
        } else {
            let at = self.longest.partition_point(|longest| *longest >= self.length);
            if let Some(rest) = self.longest.get_mut(at..).filter(|rest| !rest.is_empty()) {
                rest.rotate_right(1);
                rest[0] = self.length;
            }
            (self.last, self.length) = (value, 1);
        }
        self.length > ODD_TIMES * self.longest[ORDINARY_TIMES - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_that_stands_still_for_once_is_odd() {
        let mut runs = Runs::new();
        assert!(!(0..100).any(|at| runs.add(f64::from(at))));
        assert_eq!([7.0; 4].map(|value| runs.add(value)), [false, false, true, true]);
    }

    #[test]
    fn what_stands_still_every_night_is_ordinary_and_a_gap_ends_no_run() {
        let mut runs = Runs::new();
        let mut night = |length: usize| {
            runs.add(1.0);
            (0..length).filter(|_| runs.add(f64::NAN) | runs.add(0.0)).count()
        };
        assert_eq!([night(8), night(9), night(7), night(10)], [6, 7, 5, 0]);
    }
}
