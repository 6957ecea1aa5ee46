//! The hour that is running. Pure.

use plimsoll_entity::value::time::{HOUR_US, Instant, Window};

/// The whole UTC hour that an instant lies in: its bill grows until it is over.
#[must_use]
pub const fn hour_of(at: Instant) -> Window {
    let start = at.0.div_euclid(HOUR_US) * HOUR_US;
    Window { start: Instant(start), end: Instant(start + HOUR_US) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_begins_with_its_first_instant() {
        assert_eq!(hour_of(Instant(2 * HOUR_US)), Window::of(2 * HOUR_US, 3 * HOUR_US));
        assert_eq!(hour_of(Instant(3 * HOUR_US - 1)), Window::of(2 * HOUR_US, 3 * HOUR_US));
    }
}
