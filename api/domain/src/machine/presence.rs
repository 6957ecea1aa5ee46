//! Whether a machine is there now, and whether it answers. Pure.
//!
//! As in availability a machine is down in UNREACHABLE and FAILED, and when it is RUNNING and silent: 3 of its last sample's intervals
//! have passed without another sample or state. A machine that no event told a state of is there while its last sample is not older
//! than a week, and down once it is silent. Invariant: nothing is said of an instant by what came after it.
//! Must not know: names, the database, alerts.

use plimsoll_entity::value::label::VmState;
use plimsoll_entity::value::time::{DAY_US, Instant, Window};

use super::availability::Gap;
use crate::timeline::life::Timeline;

/// For so long a machine without any state is looked for after its last sample.
const STATELESS_US: i64 = 7 * DAY_US;

/// A machine at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is not there: not yet, no more, or nobody knows.
    Absent,
    /// It is there and neither up nor down: being made, given back, stopped, in maintenance.
    Apart,
    /// It is RUNNING and heard of.
    Running,
    /// It is down since then.
    Down(Instant),
}

/// A machine's last sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastSample {
    /// When.
    pub at: Instant,
    /// Its interval.
    pub interval_seconds: f64,
}

/// A machine at an instant, from its states, none when none was told, and its last sample.
#[must_use]
pub fn presence(timeline: Option<&Timeline>, last: Option<LastSample>, at: Instant) -> Presence {
    let silent_at = last.map(|last| Gap::after(last.at, last.interval_seconds, None).silent_at);
    let Some(timeline) = timeline.filter(|timeline| !timeline.is_empty()) else {
        return match (last, silent_at) {
            (Some(last), Some(silent_at)) if at.0.saturating_sub(last.at.0) <= STATELESS_US => {
                if silent_at <= at {
                    Presence::Down(silent_at)
                } else {
                    Presence::Running
                }
            }
            _ => Presence::Absent,
        };
    };
    let spans = timeline.spans(Window { start: Instant(0), end: Instant(at.0.saturating_add(1)) });
    let Some(span) = spans.last() else { return Presence::Absent };
    match span.state {
        VmState::Terminated => Presence::Absent,
        VmState::Running if span.life_began_at.is_some() => match (last, silent_at) {
            // A state after the sample breaks the silence.
            (Some(last), Some(silent_at)) if last.at >= span.window.start && silent_at <= at => Presence::Down(silent_at),
            _ => Presence::Running,
        },
        VmState::Unreachable | VmState::Failed if span.life_began_at.is_some() => {
            let is_down = |state| matches!(state, VmState::Unreachable | VmState::Failed);
            let since = spans.iter().rev().take_while(|span| is_down(span.state)).last().unwrap_or(span);
            Presence::Down(since.window.start)
        }
        _ => Presence::Apart,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::time::SECOND_US;
    use uuid::Uuid;

    use super::*;
    use crate::timeline::life::StateChange;

    fn timeline(changes: &[(i64, VmState)]) -> Timeline {
        let change = |(at, state): &(i64, VmState)| StateChange {
            at: Instant(*at * SECOND_US),
            state: *state,
            id: Uuid::from_u128(*at as u128),
            instance_type_id: 0,
            provider_id: 0,
            region_id: 0,
            purchase_option: None,
        };
        Timeline::new(changes.iter().map(change).collect())
    }

    fn at(changes: &[(i64, VmState)], sampled_s: Option<i64>, at_s: i64) -> Presence {
        let last = sampled_s.map(|at| LastSample { at: Instant(at * SECOND_US), interval_seconds: 10.0 });
        presence(Some(&timeline(changes)), last, Instant(at_s * SECOND_US))
    }

    fn down_since(at_s: i64) -> Presence {
        Presence::Down(Instant(at_s * SECOND_US))
    }

    #[test]
    fn silence_is_down_until_a_state_breaks_it() {
        let running = [(100, VmState::Running)];
        assert_eq!(at(&running, Some(200), 229), Presence::Running);
        assert_eq!(at(&running, Some(200), 230), down_since(230));
        assert_eq!(at(&running, Some(200), 9_000), down_since(230));
        assert_eq!(at(&running, None, 9_000), Presence::Running);
        assert_eq!(at(&running, Some(50), 9_000), Presence::Running, "the sample is of before");
        let again = [(100, VmState::Running), (300, VmState::Running)];
        assert_eq!(at(&again, Some(200), 9_000), Presence::Running);
    }

    #[test]
    fn states_say_who_is_there() {
        let life = [(10, VmState::Requested), (20, VmState::Running), (30, VmState::Unreachable), (40, VmState::Failed)];
        assert_eq!(at(&life, None, 5), Presence::Absent);
        assert_eq!(at(&life, None, 15), Presence::Apart);
        assert_eq!(at(&life, None, 35), down_since(30));
        assert_eq!(at(&life, None, 45), down_since(30));
        assert_eq!(at(&[(10, VmState::Requested), (20, VmState::Failed)], None, 30), Presence::Apart, "it never ran");
        assert_eq!(at(&[(10, VmState::Running), (20, VmState::Terminated)], Some(15), 90), Presence::Absent);
        assert_eq!(at(&[(10, VmState::Running), (20, VmState::Stopped)], Some(15), 90), Presence::Apart);
        assert_eq!(at(&[(10, VmState::Running), (20, VmState::Maintenance)], Some(15), 90), Presence::Apart);
    }

    #[test]
    fn a_machine_without_states_is_looked_for_for_a_week() {
        let last = Some(LastSample { at: Instant(0), interval_seconds: 10.0 });
        assert_eq!(presence(None, last, Instant(29 * SECOND_US)), Presence::Running);
        assert_eq!(presence(None, last, Instant(31 * SECOND_US)), down_since(30));
        assert_eq!(presence(None, last, Instant(7 * DAY_US + 1)), Presence::Absent);
        assert_eq!(presence(None, None, Instant(0)), Presence::Absent);
    }
}
