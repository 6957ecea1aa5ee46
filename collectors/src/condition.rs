//! What may go wrong for long, or often, and is said only when there is something new.
//!
//! Invariant: the same fault in a row is reported once, a count whenever it has doubled. Must not know: what it is about.

/// Remembers the last known fault of one thing.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    fault: Option<String>,
}

impl Condition {
    /// Notes a fault; true when it is new or another one than before.
    pub(crate) fn fails(&mut self, fault: &str) -> bool {
        if self.fault.as_deref() == Some(fault) {
            return false;
        }
        self.fault = Some(fault.to_owned());
        true
    }

    /// Notes that all is well; true when it was not before.
    pub(crate) fn recovers(&mut self) -> bool {
        self.fault.take().is_some()
    }
}

/// Counts losses.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: u64,
    said: u64,
}

impl Tally {
    /// Counts more; true when the count is worth saying: the first, and whenever it has doubled since.
    pub(crate) fn add(&mut self, more: u64) -> bool {
        self.count += more;
        let is_news = self.count > 0 && self.count >= self.said.saturating_mul(2) && more > 0;
        if is_news {
            self.said = self.count;
        }
        is_news
    }

    /// All of them.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_speaks_once_per_change() {
        let mut condition = Condition::default();
        assert!(!condition.recovers());
        assert!(condition.fails("gone"));
        assert!(!condition.fails("gone"));
        assert!(condition.fails("burning"));
        assert!(condition.recovers());
        assert!(!condition.recovers());
    }

    #[test]
    fn a_tally_speaks_first_and_whenever_it_has_doubled() {
        let mut tally = Tally::default();
        let news: Vec<bool> = [0, 1, 0, 1, 1, 1, 2, 2].into_iter().map(|more| tally.add(more)).collect();
        assert_eq!(news, [false, true, false, true, false, true, false, true]);
        assert_eq!(tally.count(), 8);
    }
}
