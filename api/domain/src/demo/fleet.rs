//! The lives of the machines: when each was asked for, ran, failed, was taken out and given back.
//!
//! Invariants: the stretches in which a machine runs are in order and do not overlap; its state changes say the same.
//! Must not know: what runs on the machines.

use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US, SECOND_US, Window};
use uuid::Uuid;

use crate::demo::random::Random;
use crate::demo::studio::{MACHINES, Machine, Rhythm};

/// A change of a machine's state.
pub struct StateChange {
    /// Index into [`MACHINES`].
    pub vm: usize,
    /// When.
    pub at: Instant,
    /// To what.
    pub state: VmState,
    /// Identity.
    pub id: Uuid,
}

/// What comes after a stretch of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Announced: no work is begun that would not be done by then.
    Planned,
    /// A surprise: what runs then fails with this error type.
    Lost(&'static str),
}

/// A stretch in which a machine runs.
pub struct Up {
    /// First microsecond.
    pub start_us: i64,
    /// First microsecond after; may lie after the end of the demo.
    pub end_us: i64,
    /// What then comes.
    pub ending: Ending,
    /// Counts the lives of the machine; what it has cached lives as long.
    pub life: u32,
}

/// What became of the machines.
pub struct Fleet {
    /// By machine, then time.
    pub states: Vec<StateChange>,
    /// Stretches of running by machine, in order.
    pub ups: Vec<Vec<Up>>,
}

impl Fleet {
    /// Makes up the lives of the first `machines` machines.
    pub fn made_up(seed: u64, window: Window, machines: usize) -> Self {
        let mut fleet = Self { states: Vec::new(), ups: Vec::new() };
        for (vm, machine) in MACHINES.iter().enumerate().take(machines) {
            let mut script =
                Script { vm, window, random: Random::topic(seed, 100 + vm as u64), states: Vec::new(), ups: Vec::new(), life: 0 };
            script.live(machine);
            fleet.states.extend(script.states.into_iter().filter(|change| change.at <= window.end));
            fleet.ups.push(script.ups);
        }
        fleet
    }
}

/// 0 for Monday to 6 for Sunday.
pub fn weekday(at_us: i64) -> i64 {
    (at_us.div_euclid(DAY_US) + 3).rem_euclid(7)
}

/// Writes the life of one machine.
struct Script {
    vm: usize,
    window: Window,
    random: Random,
    states: Vec<StateChange>,
    ups: Vec<Up>,
    life: u32,
}

impl Script {
    fn live(&mut self, machine: &Machine) {
        match machine.rhythm {
            Rhythm::Always => self.live_always(),
            Rhythm::Workdays => self.live_workdays(),
            Rhythm::Spot => self.live_on_spot(),
            Rhythm::WeekendStop => self.live_on_weekdays(),
            Rhythm::Failing => self.live_failing(),
        }
    }

    fn enter(&mut self, at_us: i64, state: VmState) {
        let id = self.random.id(Instant(at_us));
        self.states.push(StateChange { vm: self.vm, at: Instant(at_us), state, id });
    }

    /// A number of milliseconds from a range of seconds, in microseconds.
    fn some(&mut self, low_s: f64, high_s: f64) -> i64 {
        (self.random.between(low_s, high_s) * 1000.0) as i64 * 1000
    }

    /// Asks for the machine; says when it runs.
    fn boot(&mut self, at_us: i64) -> i64 {
        self.life += 1;
        let provisioning_us = at_us + self.some(2.0, 9.0);
        let running_us = provisioning_us + self.some(55.0, 260.0);
        self.enter(at_us, VmState::Requested);
        self.enter(provisioning_us, VmState::Provisioning);
        self.enter(running_us, VmState::Running);
        running_us
    }

    fn give_back(&mut self, at_us: i64) -> i64 {
        let terminated_us = at_us + self.some(25.0, 110.0);
        self.enter(at_us, VmState::Deprovisioning);
        self.enter(terminated_us, VmState::Terminated);
        terminated_us
    }

    fn up(&mut self, start_us: i64, end_us: i64, ending: Ending) {
        self.ups.push(Up { start_us, end_us, ending, life: self.life });
    }

    fn live_always(&mut self) {
        let asked_us = self.window.start.0 + self.some(1.0, 600.0);
        let mut running_us = self.boot(asked_us);
        let mut planned = self.vm.is_multiple_of(2);
        while running_us < self.window.end.0 {
            let until_us = running_us + self.some(3.2 * 86_400.0, 11.0 * 86_400.0);
            let (ending, state, back_us) = if planned {
                (Ending::Planned, VmState::Maintenance, self.some(5_400.0, 12_600.0))
            } else {
                (Ending::Lost("VM_UNREACHABLE"), VmState::Unreachable, self.some(900.0, 6_300.0))
            };
            self.up(running_us, until_us, ending);
            self.enter(until_us, state);
            running_us = until_us + back_us;
            self.enter(running_us, VmState::Running);
            planned = !planned;
        }
    }

    fn live_workdays(&mut self) {
        let mut day_us = self.window.start.0.div_euclid(DAY_US) * DAY_US;
        while day_us < self.window.end.0 {
            let asked_us = day_us + 6 * HOUR_US + self.some(0.0, 2_400.0);
            if weekday(day_us) < 5 && asked_us >= self.window.start.0 {
                let running_us = self.boot(asked_us);
                let evening_us = day_us + 19 * HOUR_US + self.some(0.0, 5_400.0);
                self.up(running_us, evening_us, Ending::Planned);
                self.give_back(evening_us);
            }
            day_us += DAY_US;
        }
    }

    fn live_on_spot(&mut self) {
        let mut asked_us = self.window.start.0 + self.some(600.0, 14_400.0);
        while asked_us < self.window.end.0 {
            let running_us = self.boot(asked_us);
            let taken_us = running_us + (self.random.log_normal(29.0, 0.7).clamp(0.6, 120.0) * HOUR_US as f64) as i64 / 1000 * 1000;
            self.up(running_us, taken_us, Ending::Lost("VM_PREEMPTED"));
            asked_us = self.give_back(taken_us) + self.some(900.0, 21_600.0);
        }
    }

    fn live_on_weekdays(&mut self) {
        let asked_us = self.window.start.0 + self.some(60.0, 900.0);
        let mut running_us = self.boot(asked_us);
        while running_us < self.window.end.0 {
            let mut friday_us = running_us.div_euclid(DAY_US) * DAY_US + 20 * HOUR_US;
            while weekday(friday_us) != 4 || friday_us <= running_us {
                friday_us += DAY_US;
            }
            self.up(running_us, friday_us, Ending::Planned);
            self.enter(friday_us, VmState::Stopped);
            running_us = friday_us + 58 * HOUR_US + self.some(0.0, 900.0);
            self.enter(running_us, VmState::Running);
        }
    }

    /// Three attempts that fail, spread over the first half, and one life after them.
    fn live_failing(&mut self) {
        let length_us = self.window.length_us();
        for attempt in 1..=3 {
            let asked_us = self.window.start.0 + length_us / 8 * attempt + self.some(0.0, 7_200.0);
            let provisioning_us = asked_us + self.some(2.0, 9.0);
            let failed_us = provisioning_us + self.some(240.0, 900.0);
            self.enter(asked_us, VmState::Requested);
            self.enter(provisioning_us, VmState::Provisioning);
            self.enter(failed_us, VmState::Failed);
            self.enter(failed_us + MINUTE_US + SECOND_US, VmState::Terminated);
        }
        let asked_us = self.window.start.0 + length_us / 2 + self.some(0.0, 36_000.0);
        let running_us = self.boot(asked_us);
        let until_us = running_us + length_us / 4;
        self.up(running_us, until_us, Ending::Planned);
        self.give_back(until_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_follow_each_other() {
        let window = Window::of(1_772_000_000 * SECOND_US, 1_774_592_000 * SECOND_US);
        let fleet = Fleet::made_up(7, window, MACHINES.len());
        assert_eq!(fleet.ups.len(), MACHINES.len());
        for ups in &fleet.ups {
            assert!(!ups.is_empty());
            assert!(ups.iter().all(|up| up.start_us < up.end_us));
            assert!(ups.windows(2).all(|pair| pair[0].end_us < pair[1].start_us));
        }
        assert!(fleet.states.iter().all(|change| window.start <= change.at && change.at <= window.end));
        assert_eq!(weekday(0), 3);
    }
}
