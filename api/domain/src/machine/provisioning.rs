//! Machines asked for, made, failed and given back, and how long it took. Pure.
//!
//! Each is counted where it ended: a provisioning at the first RUNNING of its life, a deprovisioning at TERMINATED, a failure at a
//! FAILED before any RUNNING (contract, "Provisioning"). Provisionings and terminations count whether or not their beginning was
//! told; the time is known only where it was. Whoever asks twice for one machine is answered from the later request on.
//! Invariant: windows that split a window add up to it. Must not know: names, the database.

use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{Instant, Window};

use crate::cell::stat::Summary;
use crate::timeline::life::{StateChange, Timeline};

/// Microseconds of a millisecond: sums of milliseconds are kept exactly.
pub const MS_US: f64 = 1_000.0;

/// Figures of provisioning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProvisioningFigures {
    /// REQUESTED.
    pub requested: u64,
    /// First RUNNING of a life.
    pub provisioned: u64,
    /// FAILED before any RUNNING.
    pub failed: u64,
    /// TERMINATED.
    pub terminated: u64,
    /// RUNNING - REQUESTED in milliseconds, sums in microseconds.
    pub provisioning: Summary,
    /// TERMINATED - DEPROVISIONING in milliseconds, sums in microseconds.
    pub deprovisioning: Summary,
}

impl ProvisioningFigures {
    /// Adds everything of another.
    pub fn merge(&mut self, other: &Self) {
        self.requested += other.requested;
        self.provisioned += other.provisioned;
        self.failed += other.failed;
        self.terminated += other.terminated;
        self.provisioning.merge(&other.provisioning);
        self.deprovisioning.merge(&other.deprovisioning);
    }

    /// Adds one step.
    pub fn add(&mut self, step: Step) {
        let took = |since: Option<Instant>, times: &mut Summary| {
            if let Some(since) = since {
                times.add((step.at.0 - since.0) as f64 / MS_US, MS_US);
            }
        };
        match step.kind {
            StepKind::Requested => self.requested += 1,
            StepKind::Failed => self.failed += 1,
            StepKind::Provisioned { since } => {
                self.provisioned += 1;
                took(since, &mut self.provisioning);
            }
            StepKind::Terminated { since } => {
                self.terminated += 1;
                took(since, &mut self.deprovisioning);
            }
        }
    }
}

/// What is counted at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it counts.
    pub at: Instant,
    /// What.
    pub kind: StepKind,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// A machine was asked for.
    Requested,
    /// It serves for the first time in its life.
    Provisioned {
        /// When it was asked for; none when that was never told.
        since: Option<Instant>,
    },
    /// It broke before it ever served.
    Failed,
    /// It is gone.
    Terminated {
        /// When giving it back began; none when that was never told.
        since: Option<Instant>,
    },
}

/// How far a life has come.
#[derive(Debug, Default)]
struct Progress {
    requested_at: Option<Instant>,
    // The attempt has failed, and nobody has asked again.
    has_failed: bool,
    has_run: bool,
    deprovisioning_at: Option<Instant>,
    is_over: bool,
}

impl Progress {
    /// What a change to another state counts as.
    fn step(&mut self, change: &StateChange) -> Option<StepKind> {
        if self.is_over {
            return None;
        }
        match change.state {
            VmState::Requested => {
                self.requested_at = Some(change.at);
                self.has_failed = false;
                Some(StepKind::Requested)
            }
            VmState::Provisioning => {
                self.has_failed = false;
                None
            }
            VmState::Running => {
                // Whoever serves again was not given back.
                self.deprovisioning_at = None;
                let is_first = !std::mem::replace(&mut self.has_run, true);
                is_first.then_some(StepKind::Provisioned { since: self.requested_at })
            }
            VmState::Failed => {
                let is_first = !std::mem::replace(&mut self.has_failed, true);
                (is_first && !self.has_run).then_some(StepKind::Failed)
            }
            VmState::Deprovisioning => {
                self.deprovisioning_at = self.deprovisioning_at.or(Some(change.at));
                None
            }
            VmState::Terminated => {
                self.is_over = true;
                Some(StepKind::Terminated { since: self.deprovisioning_at })
            }
            VmState::Unreachable | VmState::Maintenance | VmState::Stopped => None,
        }
    }
}

/// Everything that counts in a window, in order.
#[must_use]
pub fn steps(timeline: &Timeline, window: Window) -> Vec<Step> {
    let mut steps = Vec::new();
    for life in timeline.changes_by_life() {
        let mut progress = Progress::default();
        for change in life {
            if let (Some(kind), true) = (progress.step(change), window.contains(change.at)) {
                steps.push(Step { at: change.at, kind });
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn timeline(changes: &[(i64, VmState)]) -> Timeline {
        let change = |(number, (at, state)): (usize, &(i64, VmState))| StateChange {
            at: Instant(*at),
            state: *state,
            id: Uuid::from_u128(number as u128),
            instance_type_id: 0,
            provider_id: 0,
            region_id: 0,
            purchase_option: None,
        };
        Timeline::new(changes.iter().enumerate().map(change).collect())
    }

    fn figures(changes: &[(i64, VmState)], window: Window) -> ProvisioningFigures {
        let mut figures = ProvisioningFigures::default();
        steps(&timeline(changes), window).into_iter().for_each(|step| figures.add(step));
        figures
    }

    fn counts(changes: &[(i64, VmState)]) -> [u64; 4] {
        let figures = figures(changes, Window::of(0, i64::MAX));
        [figures.requested, figures.provisioned, figures.failed, figures.terminated]
    }

    use VmState::{Deprovisioning, Failed, Maintenance, Provisioning, Requested, Running, Stopped, Terminated, Unreachable};

    #[test]
    fn a_provisioning_counts_at_the_first_running_of_its_life() {
        let changes = [(10, Requested), (20, Provisioning), (35_010, Running), (40_000, Stopped), (50_000, Running)];
        let before = figures(&changes, Window::of(0, 35_010));
        assert_eq!((before.requested, before.provisioned, before.provisioning.count), (1, 0, 0));
        let after = figures(&changes, Window::of(35_010, 60_000));
        assert_eq!((after.requested, after.provisioned, after.provisioning.count), (0, 1, 1));
        assert_eq!((after.provisioning.sum_scaled, after.provisioning.max), (35_000, 35.0));
    }

    #[test]
    fn a_deprovisioning_counts_at_terminated() {
        let changes = [(10, Running), (1_000, Deprovisioning), (1_500, Unreachable), (3_000, Terminated), (3_500, Terminated)];
        assert_eq!(figures(&changes, Window::of(0, 3_000)).terminated, 0);
        let figures = figures(&changes, Window::of(3_000, 4_000));
        assert_eq!((figures.terminated, figures.deprovisioning.sum_scaled), (1, 2_000));
    }

    #[test]
    fn giving_back_that_was_called_off_begins_anew() {
        let changes = [(10, Running), (20, Deprovisioning), (30, Running), (40, Deprovisioning), (45, Terminated)];
        assert_eq!(figures(&changes, Window::of(0, 100)).deprovisioning.sum_scaled, 5);
    }

    #[test]
    fn what_was_never_told_has_no_time() {
        let figures = figures(&[(10, Provisioning), (20, Running), (30, Terminated)], Window::of(0, 100));
        assert_eq!((figures.requested, figures.provisioned, figures.terminated), (0, 1, 1));
        assert_eq!((figures.provisioning.count, figures.deprovisioning.count), (0, 0));
    }

    #[test]
    fn failed_before_any_running_is_a_failed_provisioning() {
        assert_eq!(counts(&[(1, Requested), (2, Provisioning), (3, Failed), (4, Failed), (5, Terminated)]), [1, 0, 1, 1]);
        assert_eq!(counts(&[(1, Requested), (2, Running), (3, Failed), (4, Running)]), [1, 1, 0, 0], "later it is an incident");
        assert_eq!(counts(&[(1, Running), (2, Terminated), (3, Failed)]), [0, 1, 0, 1], "nobody was making it");
    }

    #[test]
    fn another_attempt_after_a_failure_is_timed_by_itself() {
        let changes =
            [(10, Requested), (20, Failed), (100, Requested), (110, Provisioning), (120, Failed), (200, Requested), (230, Running)];
        assert_eq!(counts(&changes), [3, 1, 2, 0]);
        assert_eq!(figures(&changes, Window::of(0, 1_000)).provisioning.sum_scaled, 30);
        let recovered = [(10, Requested), (20, Failed), (50, Running)];
        assert_eq!(figures(&recovered, Window::of(0, 1_000)).provisioning.sum_scaled, 40, "nobody asked again");
    }

    #[test]
    fn a_life_after_terminated_is_another_one() {
        let changes =
            [(10, Requested), (20, Running), (30, Terminated), (40, Running), (50, Terminated), (55, Maintenance), (60, Requested)];
        assert_eq!(counts(&changes), [2, 2, 0, 2]);
        let figures = figures(&changes, Window::of(0, 100));
        assert_eq!(
            (figures.provisioning.count, figures.provisioning.sum_scaled),
            (1, 10),
            "the request of the first life is not that of the second"
        );
    }

    #[test]
    fn the_later_of_two_requests_is_answered() {
        let changes = [(10, Requested), (20, Requested), (50, Running), (60, Running)];
        assert_eq!(counts(&changes), [2, 1, 0, 0]);
        assert_eq!(figures(&changes, Window::of(0, 100)).provisioning.sum_scaled, 30);
    }

    fn any_changes() -> impl Strategy<Value = Vec<(i64, VmState)>> {
        prop::collection::vec((0_i64..60, prop::sample::select(VmState::ALL.to_vec())), 0..24)
    }

    proptest! {
        #[test]
        fn the_windows_of_a_split_add_up(changes in any_changes(), cut in 0_i64..60) {
            let whole = figures(&changes, Window::of(0, 60));
            let mut sum = figures(&changes, Window::of(0, cut));
            sum.merge(&figures(&changes, Window::of(cut, 60)));
            prop_assert_eq!(&sum, &whole);
            prop_assert!(whole.provisioning.count <= whole.provisioned.min(whole.requested));
            prop_assert!(whole.deprovisioning.count <= whole.terminated);
            prop_assert!(whole.provisioning.count == 0 || whole.provisioning.min >= 0.0);
        }

        #[test]
        fn the_order_of_arrival_never_matters(changes in any_changes()) {
            let mut reversed = changes.clone();
            reversed.reverse();
            prop_assert_eq!(counts(&changes), counts(&reversed));
        }
    }
}
