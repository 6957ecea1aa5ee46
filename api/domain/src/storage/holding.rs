//! What a place held in a window, from its snapshots. Pure.
//!
//! Invariant: whole numbers throughout, so that the windows of a split add up to the byte-microsecond, in whatever order.

use plimsoll_entity::value::time::{Instant, Window};

/// What one place held in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    window: Window,
    /// Bytes from `since` on.
    size_bytes: u64,
    since: Instant,
    /// Bytes x microseconds until `since`.
    byte_us: u128,
    /// Stretches with bytes that have ended.
    held: Vec<Window>,
    /// Since when there are bytes without a break; none: there are none.
    held_since: Option<Instant>,
}

impl Holding {
    /// A place at the start of a window, with the bytes that it holds there.
    #[must_use]
    pub fn new(window: Window, size_bytes: u64) -> Self {
        Self { window, size_bytes, since: window.start, byte_us: 0, held: Vec::new(), held_since: (size_bytes > 0).then_some(window.start) }
    }

    /// It holds so many bytes from an instant of the window on. Snapshots come in their order.
    pub fn tell(&mut self, at: Instant, size_bytes: u64) {
        self.pass(at);
        self.size_bytes = size_bytes;
        match self.held_since {
            None if size_bytes > 0 => self.held_since = Some(at),
            Some(start) if size_bytes == 0 => {
                self.held_since = None;
                self.end_stretch(Window { start, end: at });
            }
            _ => {}
        }
    }

    /// What it held from its first snapshot of a day (the window's start) until the window's end, in place of those snapshots.
    pub fn tell_day(&mut self, window: Window, day: &Held) {
        self.pass(window.start);
        if let Some(start) = self.held_since.take() {
            self.end_stretch(Window { start, end: window.start });
        }
        day.stretches.iter().for_each(|stretch| self.end_stretch(*stretch));
        self.byte_us += day.byte_us;
        (self.size_bytes, self.since) = (day.size_bytes, window.end);
        if day.size_bytes > 0 {
            // The stretch that reached the end goes on.
            self.held_since = self.held.pop().map(|stretch| stretch.start);
        }
    }

    /// Nothing more is told: the window ends.
    #[must_use]
    pub fn end(mut self) -> Held {
        self.pass(self.window.end);
        if let Some(start) = self.held_since {
            self.end_stretch(Window { start, end: self.window.end });
        }
        Held { size_bytes: self.size_bytes, byte_us: self.byte_us, stretches: self.held }
    }

    /// Stretches that have ended so far.
    #[must_use]
    pub const fn stretches(&self) -> usize {
        self.held.len()
    }

    fn pass(&mut self, at: Instant) {
        let us = Window { start: self.since, end: at }.length_us();
        self.byte_us += u128::from(self.size_bytes) * us.unsigned_abs() as u128;
        self.since = at;
    }

    fn end_stretch(&mut self, stretch: Window) {
        match self.held.last_mut() {
            // Deleted and there again at one instant is no break.
            Some(last) if last.end == stretch.start => last.end = stretch.end,
            _ if stretch.length_us() > 0 => self.held.push(stretch),
            _ => {}
        }
    }
}

/// What a place held in a window, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Bytes at the window's end.
    pub size_bytes: u64,
    /// Bytes x microseconds over the window.
    pub byte_us: u128,
    /// When it had bytes, ascending.
    pub stretches: Vec<Window>,
}

/// Whether stretches, in any order, leave no instant of the window out.
#[must_use]
pub fn covers<'a>(window: Window, stretches: impl Iterator<Item = &'a Window>) -> bool {
    let mut pieces = Vec::new();
    for stretch in stretches {
        // Mostly one place does it alone.
        if stretch.start <= window.start && stretch.end >= window.end {
            return true;
        }
        pieces.push((stretch.start, stretch.end));
    }
    pieces.sort_unstable();
    let mut until = window.start;
    for (start, end) in pieces {
        if start > until {
            return false;
        }
        until = until.max(end);
    }
    until >= window.end
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window::of(100, 200);

    fn held(size_bytes: u64, told: &[(i64, u64)]) -> Held {
        let mut holding = Holding::new(WINDOW, size_bytes);
        told.iter().for_each(|(at, size)| holding.tell(Instant(*at), *size));
        holding.end()
    }

    #[test]
    fn a_snapshot_holds_until_the_next() {
        let held = held(7, &[(110, 10), (110, 20), (150, 0), (190, 1)]);
        assert_eq!((held.size_bytes, held.byte_us), (1, 7 * 10 + 20 * 40 + 10));
        assert_eq!(held.stretches, [Window::of(100, 150), Window::of(190, 200)]);
    }

    #[test]
    fn nothing_is_held_before_the_first_and_after_the_deletion() {
        assert_eq!(held(0, &[]), Held { size_bytes: 0, byte_us: 0, stretches: vec![] });
        assert_eq!(held(0, &[(199, 5)]), Held { size_bytes: 5, byte_us: 5, stretches: vec![Window::of(199, 200)] });
        assert_eq!(held(5, &[(100, 0)]), Held { size_bytes: 0, byte_us: 0, stretches: vec![] });
    }

    #[test]
    fn deleted_and_written_at_one_instant_is_no_break() {
        assert_eq!(held(5, &[(150, 0), (150, 6)]).stretches, [WINDOW]);
        assert_eq!(held(0, &[(150, 6), (150, 0)]).stretches, []);
    }

    #[test]
    fn bytes_may_be_many_and_stay_for_long() {
        let window = Window::of(0, 400 * 86_400_000_000);
        let size = (1 << 53) - 1;
        assert_eq!(Holding::new(window, size).end().byte_us, u128::from(size) * 34_560_000_000_000);
    }

    #[test]
    fn several_places_may_cover_what_none_covers_alone() {
        let stretches = [Window::of(140, 200), Window::of(100, 120), Window::of(110, 140)];
        assert!(covers(WINDOW, stretches.iter()));
        assert!(!covers(WINDOW, stretches[..2].iter()));
        assert!(!covers(WINDOW, stretches[1..].iter()));
        assert!(!covers(WINDOW, std::iter::empty()));
    }
}
