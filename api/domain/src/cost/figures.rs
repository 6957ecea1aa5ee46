//! The figures of a cost: sums that add up, and what follows from them. Pure.
//!
//! Invariants: amounts are whole nano-units; total = compute + storage + transfer; compute = productive + idle + overhead;
//! productive = inference + load + init = GPU part + CPU part = of succeeded + of failed + of cancelled, but for jobs that run still
//! and have no outcome (contract, "Money").

use plimsoll_entity::value::label::Outcome;
use plimsoll_entity::value::money::divide;

/// Picoseconds of an hour.
const HOUR_PS: f64 = 3.6e15;

/// What adds up. Amounts in nano-units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostSums {
    /// Inference.
    pub inference: i128,
    /// Loading checkpoints.
    pub load: i128,
    /// Initialising models.
    pub init: i128,
    /// Paid for and not used: caused or, in the other view, spread.
    pub idle: i128,
    /// Held machine time that nobody is to blame for.
    pub overhead: i128,
    /// The part of productive that pays for GPUs.
    pub gpu: i128,
    /// Productive of executions that succeeded.
    pub of_succeeded: i128,
    /// Productive of executions that failed.
    pub of_failed: i128,
    /// Productive of executions that were cancelled.
    pub of_cancelled: i128,
    /// Compute whose department is known.
    pub attributed: i128,
    /// Bytes that lie.
    pub storage: i128,
    /// Bytes that move.
    pub transfer: i128,
    /// Held machine time without a rate, picoseconds of whole machines.
    pub unpriced_ps: i128,
    /// Productive time of slots that are GPUs, picoseconds.
    pub gpu_ps: i128,
    /// Productive slot time x vCPUs / slots, picoseconds.
    pub cpu_ps: i128,
    /// Executions that finished, by outcome.
    pub executions: [u64; 3],
    /// Those of them that a held, priced machine carried at some instant.
    pub costed: [u64; 3],
    /// What successful executions were worth.
    pub value: i128,
    /// Executions with a business value in force when they finished.
    pub valued: u64,
}

impl CostSums {
    /// Adds another one.
    pub fn add(&mut self, more: &Self) {
        self.each(more, |one, other| one + other);
        for (to, more) in self.executions.iter_mut().zip(more.executions) {
            *to += more;
        }
        for (to, more) in self.costed.iter_mut().zip(more.costed) {
            *to += more;
        }
        self.valued += more.valued;
    }

    /// Takes another one away, of amounts and times; counts are not its business.
    pub fn subtract_amounts(&mut self, less: &Self) {
        self.each(less, |one, other| one - other);
    }

    /// Replaces the counts by those of others.
    pub fn keep_counts<'a>(&mut self, others: impl Iterator<Item = &'a Self>) {
        (self.executions, self.costed, self.valued) = ([0; 3], [0; 3], 0);
        for other in others {
            let counts = Self { executions: other.executions, costed: other.costed, valued: other.valued, ..Self::default() };
            self.add(&counts);
        }
    }

    fn each(&mut self, other: &Self, with: impl Fn(i128, i128) -> i128) {
        let own = [
            &mut self.inference,
            &mut self.load,
            &mut self.init,
            &mut self.idle,
            &mut self.overhead,
            &mut self.gpu,
            &mut self.of_succeeded,
            &mut self.of_failed,
            &mut self.of_cancelled,
            &mut self.attributed,
            &mut self.storage,
            &mut self.transfer,
            &mut self.unpriced_ps,
            &mut self.gpu_ps,
            &mut self.cpu_ps,
            &mut self.value,
        ];
        let others = [
            other.inference,
            other.load,
            other.init,
            other.idle,
            other.overhead,
            other.gpu,
            other.of_succeeded,
            other.of_failed,
            other.of_cancelled,
            other.attributed,
            other.storage,
            other.transfer,
            other.unpriced_ps,
            other.gpu_ps,
            other.cpu_ps,
            other.value,
        ];
        own.into_iter().zip(others).for_each(|(own, other)| *own = with(*own, other));
    }

    /// What executions spent.
    #[must_use]
    pub const fn productive(&self) -> i128 {
        self.inference + self.load + self.init
    }

    /// The bill of machines.
    #[must_use]
    pub const fn compute(&self) -> i128 {
        self.productive() + self.idle + self.overhead
    }

    /// Everything.
    #[must_use]
    pub const fn total(&self) -> i128 {
        self.compute() + self.storage + self.transfer
    }

    /// The part of productive that does not pay for GPUs.
    #[must_use]
    pub const fn cpu(&self) -> i128 {
        self.productive() - self.gpu
    }

    /// Executions that finished, whatever their outcome.
    #[must_use]
    pub fn executions(&self) -> u64 {
        self.executions.iter().sum()
    }

    /// Executions that no priced machine carried.
    #[must_use]
    pub fn uncosted(&self) -> u64 {
        self.executions().saturating_sub(self.costed())
    }

    fn costed(&self) -> u64 {
        self.costed.iter().sum()
    }

    /// Productive of each costed execution, half up; none without any.
    #[must_use]
    pub fn per_execution(&self) -> Option<i128> {
        each(self.productive(), self.costed())
    }

    /// Total of each costed execution, half up; none without any.
    #[must_use]
    pub fn full_per_execution(&self) -> Option<i128> {
        each(self.total(), self.costed())
    }

    /// Productive for each costed execution that succeeded, half up; none without any.
    #[must_use]
    pub fn per_success(&self) -> Option<i128> {
        each(self.productive(), self.costed[Outcome::Succeeded as usize])
    }

    /// Cost of failed for each costed execution that failed, half up; none without any.
    #[must_use]
    pub fn per_failed(&self) -> Option<i128> {
        each(self.of_failed, self.costed[Outcome::Failed as usize])
    }

    /// Part of the compute cost whose department is known; none where there is no compute cost.
    #[must_use]
    pub fn attributed_ratio(&self) -> Option<f64> {
        (self.compute() != 0).then(|| self.attributed as f64 / self.compute() as f64)
    }

    /// Machine hours without a rate.
    #[must_use]
    pub fn unpriced_vm_hours(&self) -> f64 {
        self.unpriced_ps as f64 / HOUR_PS
    }

    /// Productive GPU-hours.
    #[must_use]
    pub fn gpu_hours(&self) -> f64 {
        self.gpu_ps as f64 / HOUR_PS
    }

    /// Productive CPU-hours.
    #[must_use]
    pub fn cpu_hours(&self) -> f64 {
        self.cpu_ps as f64 / HOUR_PS
    }

    /// What successful executions were worth; none where no execution had a value in force.
    #[must_use]
    pub const fn value(&self) -> Option<i128> {
        if self.valued > 0 { Some(self.value) } else { None }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn each(amount: i128, count: u64) -> Option<i128> {
    (count > 0).then(|| divide(amount, i128::from(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_leave_out_what_has_no_cost_and_are_rounded_half_up() {
        let sums = CostSums {
            inference: 7,
            load: 3,
            idle: 5,
            overhead: 1,
            storage: 2,
            of_succeeded: 6,
            of_failed: 3,
            executions: [4, 2, 1],
            costed: [3, 1, 0],
            ..CostSums::default()
        };
        assert_eq!((sums.productive(), sums.compute(), sums.total(), sums.of_succeeded), (10, 16, 18, 6));
        assert_eq!((sums.executions(), sums.uncosted()), (7, 3));
        assert_eq!(sums.per_execution(), Some(3));
        assert_eq!(sums.full_per_execution(), Some(5));
        assert_eq!((sums.per_success(), sums.per_failed()), (Some(3), Some(3)));
    }

    #[test]
    fn nothing_has_no_average() {
        let nothing = CostSums::default();
        assert_eq!((nothing.per_execution(), nothing.attributed_ratio(), nothing.value()), (None, None, None));
        assert!(nothing.is_empty());
    }

    #[test]
    fn what_is_added_can_be_taken_away() {
        let sums = CostSums { inference: 7, unpriced_ps: 3, value: 2, gpu_ps: 9, ..CostSums::default() };
        let mut twice = sums;
        twice.add(&sums);
        twice.subtract_amounts(&sums);
        assert_eq!(twice, sums);
    }
}
