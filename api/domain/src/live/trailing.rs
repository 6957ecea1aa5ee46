//! When figures of a trailing window are worked out: pure, over instants that the caller brings.
//!
//! A window is half-open and ends at the instant of the snapshot that answers it. Invariants: between two answers lies at least the
//! interval; there is a next answer when a commit was heard of that the last one did not hold, or when something leaves or enters
//! the window by itself; else there is none. Must not know: the database, what waits.

use plimsoll_entity::value::time::{Instant, MINUTE_US, SECOND_US, Window};

use crate::store::Edges;

/// A trailing window and how often it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailing {
    /// Length of the window.
    pub length_us: i64,
    /// Least time between two answers.
    pub interval_us: i64,
}

/// What the last answer held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The instant of its snapshot.
    pub as_of: Instant,
    /// The number of the newest commit in it.
    pub commit_number: u64,
    /// The number that had been heard of when its snapshot began: a hint that was wrong is worth no second look.
    pub heard: u64,
    /// When the window shows something else even if nothing is committed.
    pub changes_at: Option<Instant>,
}

impl Trailing {
    /// The window that ends at an instant, as far back as instants go.
    #[must_use]
    pub fn window(self, as_of: Instant) -> Window {
        Window { start: Instant((as_of.0 - self.length_us).max(0)), end: as_of }
    }

    /// When the window changes by itself: something leaves it, something that was told ahead of its time enters it, or a whole minute
    /// does either while there is something in it (`by_minute`: a figure of whole minutes is asked for).
    #[must_use]
    pub fn changes_at(self, as_of: Instant, edges: &[Edges], by_minute: bool) -> Option<Instant> {
        let leaves = |edges: &Edges| edges.inside.map(|at| Instant(at.0 + self.length_us + 1));
        let enters = |edges: &Edges| edges.after.map(|at| Instant(at.0 + 1));
        let minutes = (by_minute && edges.iter().any(|edges| edges.inside.is_some())).then(|| {
            let start = as_of.0 - self.length_us;
            let enters = (as_of.0.div_euclid(MINUTE_US) + 1) * MINUTE_US;
            let leaves = start.div_euclid(MINUTE_US) * MINUTE_US + 1 + self.length_us;
            Instant(if leaves > as_of.0 { enters.min(leaves) } else { enters.min(leaves + MINUTE_US) })
        });
        edges.iter().flat_map(|edges| [leaves(edges), enters(edges)]).chain([minutes]).flatten().min()
    }

    /// How long to wait for the next answer, in microseconds, when this was the last one and this number has been heard of; none
    /// while there is nothing to wait for but news.
    #[must_use]
    pub fn wait_us(self, answered: Answered, heard: u64, now: Instant) -> Option<i64> {
        let due_at = if heard != answered.heard && heard > answered.commit_number { Some(answered.as_of) } else { answered.changes_at };
        let at = due_at?.0.max(answered.as_of.0 + self.interval_us);
        Some((at - now.0).max(0))
    }
}

/// A length of time given in whole seconds.
#[must_use]
pub const fn seconds_us(seconds: i64) -> i64 {
    seconds * SECOND_US
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = SECOND_US;
    const TRAILING: Trailing = Trailing { length_us: 60 * S, interval_us: S };

    fn edges(inside: Option<i64>, after: Option<i64>) -> [Edges; 1] {
        [Edges { inside: inside.map(Instant), after: after.map(Instant) }]
    }

    #[test]
    fn what_is_inside_leaves_and_what_is_ahead_enters() {
        let at = Instant(1_000 * S);
        assert_eq!(TRAILING.changes_at(at, &edges(None, None), true), None);
        let leaves = TRAILING.changes_at(at, &edges(Some(950 * S), None), false);
        assert_eq!(leaves, Some(Instant(1_010 * S + 1)));
        assert!(TRAILING.window(Instant(1_010 * S)).contains(Instant(950 * S)));
        assert!(!TRAILING.window(leaves.unwrap()).contains(Instant(950 * S)));
        let enters = TRAILING.changes_at(at, &edges(Some(999 * S), Some(1_005 * S)), false);
        assert_eq!(enters, Some(Instant(1_005 * S + 1)));
        assert!(TRAILING.window(enters.unwrap()).contains(Instant(1_005 * S)));
        assert!(!TRAILING.window(Instant(1_005 * S)).contains(Instant(1_005 * S)));
    }

    #[test]
    fn whole_minutes_enter_and_leave() {
        let long = Trailing { length_us: 90 * S, interval_us: S };
        // 1,000 s: the window is [910 s, 1,000 s); the minute that ends at 1,020 s enters then, that which begins at 900 s has left.
        assert_eq!(long.changes_at(Instant(1_000 * S), &edges(Some(999 * S), None), true), Some(Instant(1_020 * S)));
        // [960 s, 1,050 s): that which begins at 960 s leaves at once.
        assert_eq!(long.changes_at(Instant(1_050 * S), &edges(Some(1_049 * S), None), true), Some(Instant(1_050 * S + 1)));
        assert_eq!(long.changes_at(Instant(1_050 * S), &edges(Some(1_049 * S), None), false), Some(Instant(1_139 * S + 1)));
    }

    #[test]
    fn answers_keep_their_distance_and_news_do_not_wait_longer() {
        let answered = Answered { as_of: Instant(100 * S), commit_number: 5, heard: 5, changes_at: None };
        assert_eq!(TRAILING.wait_us(answered, 5, Instant(100 * S)), None);
        assert_eq!(TRAILING.wait_us(answered, 4, Instant(200 * S)), None);
        assert_eq!(TRAILING.wait_us(answered, 6, Instant(100 * S + 300_000)), Some(700_000));
        assert_eq!(TRAILING.wait_us(answered, 6, Instant(200 * S)), Some(0));
        // A hint of a commit that there is not: no look follows from it, and none is missed because of it.
        let fooled = Answered { heard: 9, ..answered };
        assert_eq!(TRAILING.wait_us(fooled, 9, Instant(200 * S)), None);
        assert_eq!(TRAILING.wait_us(fooled, 6, Instant(200 * S)), Some(0));
        let leaving = Answered { changes_at: Some(Instant(150 * S)), ..answered };
        assert_eq!(TRAILING.wait_us(leaving, 5, Instant(101 * S)), Some(49 * S));
        assert_eq!(TRAILING.wait_us(leaving, 6, Instant(101 * S)), Some(0));
    }

    #[test]
    fn a_window_does_not_reach_before_1970() {
        assert_eq!(Trailing { length_us: 10 * S, interval_us: S }.window(Instant(4 * S)), Window::of(0, 4 * S));
    }
}
