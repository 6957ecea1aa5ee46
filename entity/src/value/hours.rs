//! A set of hours as stretches, so that a stretch of a thousand years costs as much as an hour. Pure.
//!
//! Invariant: stretches neither overlap nor touch.

use std::collections::BTreeMap;

/// Hours since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(BTreeMap<i32, i32>);

impl Hours {
    /// Adds the hours from `first` to `last`, both included; none when `last` lies before.
    pub fn insert(&mut self, mut first: i32, mut last: i32) {
        if last < first {
            return;
        }
        // Stretches that overlap or touch become one.
        while let Some((start, end)) = self.0.range(..=last.saturating_add(1)).next_back().map(|(start, end)| (*start, *end)) {
            if end < first.saturating_sub(1) {
                break;
            }
            self.0.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        self.0.insert(first, last);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first hour.
    #[must_use]
    pub fn first(&self) -> Option<i32> {
        self.0.first_key_value().map(|(first, _)| *first)
    }

    /// Whether an hour is among them.
    #[must_use]
    pub fn contains(&self, hour: i32) -> bool {
        self.0.range(..=hour).next_back().is_some_and(|(_, last)| hour <= *last)
    }

    /// The first of them from `hour` on.
    #[must_use]
    pub fn next(&self, hour: i32) -> Option<i32> {
        if self.contains(hour) { Some(hour) } else { self.0.range(hour..).next().map(|(first, _)| *first) }
    }

    /// Those from `hour` on.
    #[must_use]
    pub fn from(&self, hour: i32) -> Self {
        let cut = |(first, last): (&i32, &i32)| (*last >= hour).then_some(((*first).max(hour), *last));
        Self(self.0.iter().filter_map(cut).collect())
    }

    /// How many lie before `hour`.
    #[must_use]
    pub fn count_before(&self, hour: i32) -> u64 {
        let length = |(first, last): (&i32, &i32)| u64::try_from(i64::from((*last).min(hour - 1)) - i64::from(*first) + 1).unwrap_or(0);
        self.0.range(..hour).map(length).sum()
    }

    /// The stretches as (first, last), ascending.
    pub fn stretches(&self) -> impl ExactSizeIterator<Item = (i32, i32)> + '_ {
        self.0.iter().map(|(first, last)| (*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_a_set_of_hours(added in prop::collection::vec((-40_i32..40, -1_i32..6), 0..20), at in -50_i32..50) {
            let (mut hours, mut set) = (Hours::default(), BTreeSet::new());
            for (first, more) in added {
                hours.insert(first, first + more);
                set.extend(first..=first + more);
            }
            prop_assert_eq!(hours.first(), set.first().copied());
            prop_assert_eq!(hours.is_empty(), set.is_empty());
            prop_assert_eq!(hours.contains(at), set.contains(&at));
            prop_assert_eq!(hours.next(at), set.range(at..).next().copied());
            prop_assert_eq!(hours.count_before(at), set.range(..at).count() as u64);
            let spelt = |hours: &Hours| hours.stretches().flat_map(|(first, last)| first..=last).collect::<Vec<_>>();
            prop_assert_eq!(spelt(&hours), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(spelt(&hours.from(at)), set.range(at..).copied().collect::<Vec<_>>());
            let stretches: Vec<(i32, i32)> = hours.stretches().collect();
            prop_assert!(stretches.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }

    #[test]
    fn a_long_stretch_is_one() {
        let mut hours = Hours::default();
        hours.insert(i32::MIN, i32::MAX);
        hours.insert(5, 4);
        assert_eq!((hours.stretches().len(), hours.next(7), hours.count_before(i32::MIN + 3)), (1, Some(7), 3));
    }
}
