//! The lives of one machine and what held when, from its state changes in any order of arrival.
//!
//! A life begins with the first event, or with a REQUESTED, PROVISIONING or RUNNING after a TERMINATED; events before its first
//! RUNNING belong to it. Its instance type is the newest that one of its events names; region, provider and purchase option hold
//! from the event that names them until the next that does, and before the first: the first (contract, "Machines").
//! Invariant: the answer depends on the set of changes alone. Must not know: names, money.

use plimsoll_entity::value::label::{PurchaseOption, VmState};
use plimsoll_entity::value::time::{Instant, Window};
use uuid::Uuid;

/// A change of a machine's state. Ids of names are 0 where not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// When.
    pub at: Instant,
    /// To what.
    pub state: VmState,
    /// Identity of the event.
    pub id: Uuid,
    /// Instance type.
    pub instance_type_id: u32,
    /// Provider.
    pub provider_id: u32,
    /// Region.
    pub region_id: u32,
    /// How it was bought.
    pub purchase_option: Option<PurchaseOption>,
}

/// What is known of a machine at an instant. Ids of names are 0 where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Instance type of the life.
    pub instance_type_id: u32,
    /// Provider.
    pub provider_id: u32,
    /// Region.
    pub region_id: u32,
}

/// A stretch in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The stretch, cut to what was asked for.
    pub window: Window,
    /// The state.
    pub state: VmState,
    /// When the life began (its first RUNNING): what tells lives apart. None outside of every life.
    pub life_began_at: Option<Instant>,
}

impl Span {
    /// Whether the machine is held: in a life and not STOPPED.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.life_began_at.is_some() && self.state != VmState::Stopped
    }
}

/// A life of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its first event.
    pub start: Instant,
    /// The newest type that one of its events names; 0 where unknown.
    pub instance_type_id: u32,
    /// Its first RUNNING, from which on the machine is held; none when it never ran.
    pub began_at: Option<Instant>,
    /// TERMINATED; none while it lasts.
    pub ended_at: Option<Instant>,
}

/// The states of one machine in order.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    changes: Vec<StateChange>,
    lives: Vec<Life>,
}

impl Timeline {
    /// The timeline of a set of changes.
    #[must_use]
    pub fn new(mut changes: Vec<StateChange>) -> Self {
        changes.sort_unstable_by_key(|change| (change.at, change.state, change.id));
        let mut lives: Vec<Life> = Vec::new();
        let mut ended = true;
        for change in &changes {
            let begins = matches!(change.state, VmState::Requested | VmState::Provisioning | VmState::Running);
            let first = lives.is_empty();
            if first || (ended && begins) {
                lives.push(Life { start: change.at, instance_type_id: 0, began_at: None, ended_at: None });
            }
            if let Some(life) = lives.last_mut() {
                if change.state == VmState::Running && life.ended_at.is_none() {
                    life.began_at = life.began_at.or(Some(change.at));
                } else if change.state == VmState::Terminated {
                    life.ended_at = life.ended_at.or(Some(change.at));
                }
            }
            ended = !begins && ((ended && !first) || change.state == VmState::Terminated);
            if let (Some(life), true) = (lives.last_mut(), change.instance_type_id != 0) {
                life.instance_type_id = change.instance_type_id;
            }
        }
        Self { changes, lives }
    }

    /// Whether no change is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes of each life in order, with what was told of it before its first RUNNING and after it ended.
    pub fn changes_by_life(&self) -> impl Iterator<Item = &[StateChange]> {
        // A life never begins at the instant at which another ended: TERMINATED is ordered behind all that begins one.
        let place = |life: &Life| self.changes.partition_point(|change| change.at < life.start);
        let ends = self.lives.iter().skip(1).map(place).chain([self.changes.len()]).collect::<Vec<_>>();
        self.lives.iter().zip(ends).map(move |(life, end)| &self.changes[place(life)..end])
    }

    /// The newest state; none when no change is known.
    #[must_use]
    pub fn state(&self) -> Option<VmState> {
        self.changes.last().map(|change| change.state)
    }

    /// The newest purchase option that was told.
    #[must_use]
    pub fn purchase_option(&self) -> Option<PurchaseOption> {
        self.changes.iter().rev().find_map(|change| change.purchase_option)
    }

    /// How the machine was bought at an instant: what was told last; before that, what was told first. None: never told.
    #[must_use]
    pub fn purchase_option_at(&self, at: Instant) -> Option<PurchaseOption> {
        let mut told = self.changes.iter().filter_map(|change| change.purchase_option.map(|option| (change.at, option)));
        let (_, first) = told.next()?;
        Some(told.take_while(|(since, _)| *since <= at).last().map_or(first, |(_, option)| option))
    }

    /// Instants inside of a window (not its start) at which an event tells how the machine was bought, ascending.
    pub fn purchase_changes(&self, window: Window) -> impl Iterator<Item = Instant> + '_ {
        let told = self.changes.iter().filter(|change| change.purchase_option.is_some()).map(|change| change.at);
        told.filter(move |at| window.start < *at && *at < window.end)
    }

    /// Every life, in order.
    #[must_use]
    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// What held in a window, in order; nothing for what lies before the first change.
    #[must_use]
    pub fn spans(&self, window: Window) -> Vec<Span> {
        let first = self.changes.partition_point(|change| change.at <= window.start).saturating_sub(1);
        let mut spans: Vec<Span> = Vec::new();
        for (at, change) in self.changes.iter().enumerate().skip(first) {
            if change.at >= window.end {
                break;
            }
            let end = self.changes.get(at + 1).map_or(window.end, |next| next.at.min(window.end));
            let window = Window { start: change.at.max(window.start), end };
            if window.length_us() > 0 {
                spans.push(Span { window, state: change.state, life_began_at: self.life_at(change.at) });
            }
        }
        spans
    }

    /// When the life began in which the machine is at an instant; none outside of every life.
    fn life_at(&self, at: Instant) -> Option<Instant> {
        let life = self.lives.iter().rev().find(|life| life.began_at.is_some_and(|began| began <= at))?;
        if life.ended_at.is_none_or(|ended| at < ended) { life.began_at } else { None }
    }

    /// What is known at an instant. Before the first life: the first life's type.
    #[must_use]
    pub fn place_at(&self, at: Instant) -> Place {
        let life = self.lives.iter().rev().find(|life| life.start <= at).or(self.lives.first());
        let told = |value: fn(&StateChange) -> u32| {
            let before = self.changes.iter().rev().filter(|change| change.at <= at).map(value).find(|id| *id != 0);
            before.or_else(|| self.changes.iter().map(value).find(|id| *id != 0)).unwrap_or(0)
        };
        Place {
            instance_type_id: life.map_or(0, |life| life.instance_type_id),
            provider_id: told(|change| change.provider_id),
            region_id: told(|change| change.region_id),
        }
    }

    /// Instants at which [`Timeline::place_at`] changes its answer, ascending.
    #[must_use]
    pub fn place_changes(&self) -> Vec<Instant> {
        let mut instants: Vec<Instant> = self.changes.iter().map(|change| change.at).collect();
        instants.dedup();
        let mut known = self.place_at(Instant(0));
        instants.retain(|at| {
            let place = self.place_at(*at);
            std::mem::replace(&mut known, place) != place
        });
        instants
    }

    /// Stretches in state RUNNING within a window.
    #[must_use]
    pub fn running(&self, window: Window) -> Vec<Window> {
        let ends = self.changes.iter().skip(1).map(|change| change.at).chain([window.end]);
        let stretches = self.changes.iter().zip(ends).filter(|(change, _)| change.state == VmState::Running);
        let mut running: Vec<Window> = Vec::new();
        for (change, end) in stretches {
            let stretch = Window { start: change.at.max(window.start), end: end.min(window.end) };
            match running.last_mut() {
                _ if stretch.length_us() == 0 => {}
                Some(last) if last.end == stretch.start => last.end = stretch.end,
                _ => running.push(stretch),
            }
        }
        running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: i64, state: VmState, instance_type_id: u32, region_id: u32) -> StateChange {
        StateChange {
            at: Instant(at),
            state,
            id: Uuid::from_u128(at as u128),
            instance_type_id,
            provider_id: 0,
            region_id,
            purchase_option: None,
        }
    }

    fn machine() -> Timeline {
        Timeline::new(vec![
            change(40, VmState::Running, 0, 0),
            change(10, VmState::Requested, 1, 0),
            change(20, VmState::Running, 2, 7),
            change(30, VmState::Failed, 0, 0),
            change(50, VmState::Terminated, 0, 0),
            change(55, VmState::Deprovisioning, 0, 0),
            change(60, VmState::Provisioning, 3, 8),
            change(70, VmState::Running, 0, 0),
        ])
    }

    #[test]
    fn a_type_holds_for_the_whole_life_and_until_the_next_begins() {
        let machine = machine();
        let types: Vec<u32> = [5, 10, 25, 45, 52, 59, 60, 99].iter().map(|at| machine.place_at(Instant(*at)).instance_type_id).collect();
        assert_eq!(types, [2, 2, 2, 2, 2, 2, 3, 3]);
    }

    #[test]
    fn a_region_holds_from_its_event_on_and_before_the_first() {
        let machine = machine();
        assert_eq!(machine.place_at(Instant(1)).region_id, 7);
        assert_eq!(machine.place_at(Instant(59)).region_id, 7);
        assert_eq!(machine.place_at(Instant(60)).region_id, 8);
        assert_eq!(machine.place_changes(), [Instant(60)]);
    }

    #[test]
    fn how_a_machine_was_bought_holds_until_told_otherwise_and_before_the_first() {
        let told = |at: i64, option| StateChange { purchase_option: option, ..change(at, VmState::Running, 0, 0) };
        let timeline = Timeline::new(vec![
            told(5, None),
            told(10, Some(PurchaseOption::Spot)),
            told(15, None),
            told(20, Some(PurchaseOption::Reserved)),
        ]);
        let held: Vec<_> = [1, 10, 19, 20, 99].map(|at| timeline.purchase_option_at(Instant(at))).into();
        let (spot, reserved) = (Some(PurchaseOption::Spot), Some(PurchaseOption::Reserved));
        assert_eq!(held, [spot, spot, spot, reserved, reserved]);
        assert_eq!(timeline.purchase_changes(Window::of(10, 20)).count(), 0);
        assert_eq!(timeline.purchase_changes(Window::of(9, 21)).collect::<Vec<_>>(), [Instant(10), Instant(20)]);
        assert_eq!(Timeline::default().purchase_option_at(Instant(0)), None);
    }

    #[test]
    fn spans_know_their_life() {
        let spans = machine().spans(Window::of(15, 75));
        let told: Vec<_> = spans.iter().map(|span| (span.window.start.0, span.state, span.life_began_at.map(|at| at.0))).collect();
        assert_eq!(
            told,
            [
                (15, VmState::Requested, None),
                (20, VmState::Running, Some(20)),
                (30, VmState::Failed, Some(20)),
                (40, VmState::Running, Some(20)),
                (50, VmState::Terminated, None),
                (55, VmState::Deprovisioning, None),
                (60, VmState::Provisioning, None),
                (70, VmState::Running, Some(70)),
            ]
        );
        assert!(machine().spans(Window::of(0, 10)).is_empty());
        assert_eq!(machine().spans(Window::of(72, 75)).len(), 1);
    }

    #[test]
    fn running_is_cut_to_the_window() {
        let running = machine().running(Window::of(22, 75));
        assert_eq!(running, [Window::of(22, 30), Window::of(40, 50), Window::of(70, 75)]);
        assert!(Timeline::default().running(Window::of(0, 10)).is_empty());
    }

    #[test]
    fn a_first_state_that_begins_no_life_is_part_of_the_first() {
        let timeline = Timeline::new(vec![change(10, VmState::Unreachable, 0, 0), change(20, VmState::Running, 4, 0)]);
        assert_eq!(timeline.place_at(Instant(12)).instance_type_id, 4);
        assert!(timeline.place_changes().is_empty());
    }

    #[test]
    fn equal_instants_are_ordered_by_state() {
        let timeline = Timeline::new(vec![change(5, VmState::Terminated, 0, 0), change(5, VmState::Running, 0, 0)]);
        assert_eq!(timeline.state(), Some(VmState::Terminated));
    }
}
