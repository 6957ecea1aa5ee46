//! Which cells cover a window: whole days from day blocks, whole hours from hour blocks, the rest from facts.
//!
//! Invariant: the pieces of a cover are disjoint and together are the window, so that every cover gives the same sums.
//! Pure: must not know the database, nor which blocks exist (a day without a block is read as its hours).

use std::collections::BTreeSet;

use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, Window};

/// Hours of a day.
pub const DAY_HOURS: i32 = 24;

/// The pieces of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Whole UTC days since 1970.
    pub days: Vec<i32>,
    /// Whole UTC hours since 1970 outside of `days`.
    pub hours: Vec<i32>,
    /// What is left, ascending.
    pub facts: Vec<Window>,
}

/// Where something that is joined to cells changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaks {
    hours: BTreeSet<i32>,
    days: BTreeSet<i32>,
}

impl Breaks {
    /// Something changes at this instant: no cell may hold what lies before and after it.
    pub fn insert(&mut self, at: Instant) {
        if at.0 % HOUR_US != 0 {
            self.hours.insert(at.hour());
        }
        if at.0 % DAY_US != 0 {
            self.days.insert(at.day());
        }
    }
}

/// How coarse the pieces may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coarseness {
    /// Days, hours and facts.
    Days,
    /// Hours and facts.
    Hours,
    /// Facts only.
    Facts,
}

/// The smallest cover of a window: an hour with a break inside is read from facts, a day with one as hours.
#[must_use]
pub fn cover(window: Window, coarseness: Coarseness, breaks: &Breaks) -> Cover {
    let mut cover = Cover::default();
    let mut at = window.start;
    while at < window.end {
        let whole_hour = at.0 % HOUR_US == 0 && window.end.0 - at.0 >= HOUR_US && !breaks.hours.contains(&at.hour());
        let whole_day = at.0 % DAY_US == 0 && window.end.0 - at.0 >= DAY_US && !breaks.days.contains(&at.day());
        let length_us = match coarseness {
            Coarseness::Days if whole_day => {
                cover.days.push(at.day());
                DAY_US
            }
            Coarseness::Days | Coarseness::Hours if whole_hour => {
                cover.hours.push(at.hour());
                HOUR_US
            }
            _ => {
                let next = at.next(plimsoll_entity::value::time::Step::Hour).min(window.end);
                push_fact(&mut cover.facts, Window { start: at, end: next });
                next.0 - at.0
            }
        };
        at = Instant(at.0 + length_us);
    }
    cover
}

fn push_fact(facts: &mut Vec<Window>, piece: Window) {
    match facts.last_mut() {
        Some(last) if last.end == piece.start => last.end = piece.end,
        _ => facts.push(piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    fn length_us(cover: &Cover) -> i64 {
        cover.days.len() as i64 * DAY_US
            + cover.hours.len() as i64 * HOUR_US
            + cover.facts.iter().map(|piece| piece.length_us()).sum::<i64>()
    }

    #[test]
    fn an_unaligned_window_has_edges_of_hours_and_facts() {
        let window = Window { start: at("2026-09-27T03:17:23.456789Z"), end: at("2026-10-02T19:41:05.000001Z") };
        let cover = cover(window, Coarseness::Days, &Breaks::default());
        assert_eq!(cover.days.len(), 4);
        assert_eq!(cover.hours.len(), 20 + 19);
        assert_eq!(cover.facts.len(), 2);
        assert_eq!(length_us(&cover), window.length_us());
    }

    #[test]
    fn a_broken_hour_is_read_from_facts_and_its_day_as_hours() {
        let window = Window { start: at("2026-09-27T00:00:00Z"), end: at("2026-09-29T00:00:00Z") };
        let mut breaks = Breaks::default();
        breaks.insert(at("2026-09-28T05:30:00Z"));
        let cover = cover(window, Coarseness::Days, &breaks);
        assert_eq!((cover.days.len(), cover.hours.len(), cover.facts.len()), (1, 23, 1));
        assert_eq!(length_us(&cover), window.length_us());
    }

    #[test]
    fn a_break_between_hours_leaves_them_whole() {
        let window = Window { start: at("2026-09-27T00:00:00Z"), end: at("2026-09-29T00:00:00Z") };
        let mut breaks = Breaks::default();
        breaks.insert(at("2026-09-28T05:00:00Z"));
        breaks.insert(at("2026-09-28T00:00:00Z"));
        let cover = cover(window, Coarseness::Days, &breaks);
        assert_eq!((cover.days.len(), cover.hours.len(), cover.facts.len()), (1, 24, 0));
    }

    #[test]
    fn coarseness_never_changes_what_is_covered() {
        for (start, end) in [(0, 5), (HOUR_US - 1, HOUR_US + 1), (DAY_US, 3 * DAY_US), (7, 7), (DAY_US - 1, 2 * DAY_US + HOUR_US)] {
            for coarseness in [Coarseness::Days, Coarseness::Hours, Coarseness::Facts] {
                let window = Window::of(start, end);
                assert_eq!(length_us(&cover(window, coarseness, &Breaks::default())), window.length_us());
            }
        }
    }
}
