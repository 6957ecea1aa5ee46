//! Whether what runs is worth what it costs. Pure.
//!
//! Invariants: money is compared in whole nano-units; a ratio is a float only to be shown. Must not know: where the figures come
//! from, GraphQL.

use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::time::{DAY_US, Window};

use super::figures::CostSums;

/// What pays back this many times its cost on top of it is worth more money: a ratio of 1.
const INVEST_RATIO: Fraction = Fraction(1, 1);
/// What pays back this part of its cost on top of it stays: a ratio of 0.2.
const KEEP_RATIO: Fraction = Fraction(1, 5);
/// What costs more than it is worth goes when its part of all executions is smaller: a ratio of 0.05.
const DEPRECATE_USAGE_RATIO: Fraction = Fraction(1, 20);

/// A threshold, exactly: numerator and denominator.
#[derive(Clone, Copy, Debug)]
struct Fraction(i128, i128);

impl Fraction {
    /// Whether `part / whole` is at least this much; the whole is positive.
    const fn is_reached(self, part: i128, whole: i128) -> bool {
        part * self.1 >= whole * self.0
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoiVerdict {
    /// It is worth at least twice its cost, or costs nothing.
    Invest,
    /// It is worth at least 1.2 times its cost.
    Keep,
    /// It is hardly worth its cost, or less and much used.
    Optimize,
    /// It costs more than it is worth, and is hardly used.
    Deprecate,
    /// Nobody has said what it is worth.
    NoValueSet,
}

/// Cost and value of some executions. Amounts in nano-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoiFigures {
    /// Executions that finished.
    pub executions: u64,
    /// Those of them that succeeded.
    pub succeeded: u64,
    /// Executions that finished in the window, whatever the filter.
    pub all_executions: u64,
    /// Length of the window in microseconds.
    pub window_us: i64,
    /// Everything that they cost, with the idle time that they caused.
    pub cost: i128,
    /// What the successful ones were worth; none where no execution had a value in force.
    pub value: Option<i128>,
}

impl RoiFigures {
    /// From the sums of a cost over a window in which so many executions finished.
    #[must_use]
    pub fn of(sums: &CostSums, all_executions: u64, window: Window) -> Self {
        Self {
            executions: sums.executions(),
            succeeded: sums.executions[Outcome::Succeeded as usize],
            all_executions,
            window_us: window.length_us(),
            cost: sums.total(),
            value: sums.value(),
        }
    }

    /// Executions in each 24 hours of the window.
    #[must_use]
    pub fn executions_per_day(&self) -> f64 {
        self.executions as f64 * DAY_US as f64 / self.window_us.max(1) as f64
    }

    /// Part of all executions of the window, 0 to 1; 0 where there were none.
    #[must_use]
    pub fn usage_ratio(&self) -> f64 {
        self.executions as f64 / self.all_executions.max(1) as f64
    }

    /// Value - cost; none without a value.
    #[must_use]
    pub fn net(&self) -> Option<i128> {
        self.value.map(|value| value - self.cost)
    }

    /// Value / cost - 1; none without a value or a cost.
    #[must_use]
    pub fn roi_ratio(&self) -> Option<f64> {
        let net = self.net()?;
        (self.cost != 0).then(|| net as f64 / self.cost as f64)
    }

    /// What is to be done.
    #[must_use]
    pub fn verdict(&self) -> RoiVerdict {
        let Some(net) = self.net() else { return RoiVerdict::NoValueSet };
        // A cost is never negative.
        if self.cost <= 0 || INVEST_RATIO.is_reached(net, self.cost) {
            RoiVerdict::Invest
        } else if KEEP_RATIO.is_reached(net, self.cost) {
            RoiVerdict::Keep
        } else if net < 0 && self.is_rare() {
            RoiVerdict::Deprecate
        } else {
            RoiVerdict::Optimize
        }
    }

    fn is_rare(&self) -> bool {
        self.executions == 0 || !DEPRECATE_USAGE_RATIO.is_reached(self.executions.into(), self.all_executions.into())
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::time::HOUR_US;

    use super::*;

    fn roi(cost: i128, value: Option<i128>, executions: u64) -> RoiFigures {
        RoiFigures { executions, succeeded: executions, all_executions: 1_000, window_us: DAY_US, cost, value }
    }

    fn verdict(cost: i128, value: i128, executions: u64) -> RoiVerdict {
        roi(cost, Some(value), executions).verdict()
    }

    #[test]
    fn every_verdict_begins_exactly_at_its_threshold() {
        assert_eq!(verdict(1_000_000_000, 2_000_000_000, 500), RoiVerdict::Invest);
        assert_eq!(verdict(1_000_000_000, 1_999_999_999, 500), RoiVerdict::Keep);
        assert_eq!(verdict(1_000_000_000, 1_200_000_000, 500), RoiVerdict::Keep);
        assert_eq!(verdict(1_000_000_000, 1_199_999_999, 500), RoiVerdict::Optimize);
        assert_eq!(verdict(1_000_000_000, 1_000_000_000, 1), RoiVerdict::Optimize);
        assert_eq!(verdict(1_000_000_000, 999_999_999, 50), RoiVerdict::Optimize);
        assert_eq!(verdict(1_000_000_000, 999_999_999, 49), RoiVerdict::Deprecate);
        // A fifth of 3 is no whole number: 3.6 is not reached by 3, and is by 4.
        assert_eq!((verdict(3, 3, 500), verdict(3, 4, 500)), (RoiVerdict::Optimize, RoiVerdict::Keep));
    }

    #[test]
    fn no_value_is_told_and_judges_nothing() {
        for cost in [0, 7] {
            let roi = roi(cost, None, 10);
            assert_eq!((roi.verdict(), roi.net(), roi.roi_ratio()), (RoiVerdict::NoValueSet, None, None));
        }
        // Worth nothing is another thing than not known to be worth anything.
        assert_eq!(verdict(7, 0, 10), RoiVerdict::Deprecate);
    }

    #[test]
    fn what_costs_nothing_has_no_ratio_and_pays() {
        for value in [0, 5] {
            let free = roi(0, Some(value), 1);
            assert_eq!((free.verdict(), free.net(), free.roi_ratio()), (RoiVerdict::Invest, Some(value), None));
        }
    }

    #[test]
    fn a_loss_is_negative_and_ends_at_minus_one() {
        let loss = roi(4_000_000_000, Some(1_000_000_000), 10);
        assert_eq!((loss.net(), loss.roi_ratio()), (Some(-3_000_000_000), Some(-0.75)));
        assert_eq!(roi(4, Some(0), 10).roi_ratio(), Some(-1.0));
        // Storage that nobody ran, in a window in which nothing ran.
        let nothing_ran = RoiFigures { all_executions: 0, ..roi(4, Some(0), 0) };
        assert_eq!((nothing_ran.verdict(), nothing_ran.usage_ratio()), (RoiVerdict::Deprecate, 0.0));
    }

    #[test]
    fn amounts_beyond_64_bits_are_compared_exactly() {
        let cost = i128::from(i64::MAX) * 1_000;
        assert_eq!(verdict(cost, 2 * cost - 1, 500), RoiVerdict::Keep);
        assert_eq!(verdict(cost, 2 * cost, 500), RoiVerdict::Invest);
    }

    #[test]
    fn days_are_24_hours_of_the_window_and_usage_is_of_all() {
        let sums = CostSums { inference: 6, idle: 4, executions: [2, 1, 0], value: 9, valued: 3, ..CostSums::default() };
        let roi = RoiFigures::of(&sums, 12, Window::of(0, 6 * HOUR_US));
        assert_eq!((roi.executions, roi.succeeded, roi.cost, roi.value), (3, 2, 10, Some(9)));
        assert_eq!((roi.executions_per_day(), roi.usage_ratio()), (12.0, 0.25));
    }
}
