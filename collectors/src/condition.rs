//! Something that may be wrong for long and is said only when that changes.
//!
//! Invariant: the same fault in a row is reported once. Must not know: what the fault is about.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_once_per_change() {
        let mut condition = Condition::default();
        assert!(!condition.recovers());
        assert!(condition.fails("gone"));
        assert!(!condition.fails("gone"));
        assert!(condition.fails("burning"));
        assert!(condition.recovers());
        assert!(!condition.recovers());
    }
}
