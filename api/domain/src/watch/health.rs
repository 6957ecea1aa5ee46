//! The health of the fleet and of the service itself, at one glance.
//!
//! Invariant: the verdict follows from what is shown beside it. Must not know: GraphQL, who reads it.

use plimsoll_entity::value::label::{AlertState, Severity};
use plimsoll_entity::value::time::{Instant, SECOND_US};

use super::rule::{SignalKind, kind_of};
use super::signals::Machines;
use crate::breakdown::BreakdownError;
use crate::breakdown::executions::Reading;
use crate::live::bus::BusState;
use crate::machine::presence::Presence;
use crate::store::{Alert, Backlog, WebhookQueue};

/// What has waited for longer than this waits for too long.
const WAIT_US_MAX: i64 = 120 * SECOND_US;
/// Rules are evaluated at least this often.
const EVALUATED_US_MAX: i64 = 60 * SECOND_US;
/// Notices for webhooks are sent no later than this after they are due.
const NOTICE_LATE_US_MAX: i64 = 600 * SECOND_US;
/// Marks that wait for the workers at most while they keep up.
const MARKS_MAX: u64 = 50_000;

/// How the fleet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nothing is wrong.
    Healthy,
    /// Something is wrong.
    Degraded,
    /// Something is wrong that somebody must act on.
    Critical,
}

/// A part of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Name.
    pub name: &'static str,
    /// Whether it does what it should.
    pub is_healthy: bool,
    /// What it does just now, for people.
    pub detail: String,
}

/// The fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetHealth {
    /// Instant of the snapshot.
    pub as_of: Instant,
    /// The verdict.
    pub status: Status,
    /// Machines that are there.
    pub vms: u64,
    /// Machines that are RUNNING and heard of.
    pub running: u64,
    /// Machines that are down.
    pub unreachable: u64,
    /// Alerts that are firing and nobody has taken.
    pub firing_alerts: u64,
    /// Parts of the service.
    pub components: Vec<Component>,
}

/// The health as a reading sees it, with the bus as it is now; alerts about money are left out.
///
/// # Errors
/// [`BreakdownError`] when the store fails.
pub async fn fleet_health(reading: &Reading, bus: BusState) -> Result<FleetHealth, BreakdownError> {
    let machines = Machines::read(reading).await?;
    let (snapshot, as_of) = (&reading.snapshot, reading.snapshot.as_of);
    let open = snapshot.alert_open_list().await?;
    let open: Vec<Alert> = open.into_iter().filter(|alert| kind_of(alert.signal) != SignalKind::Cost).collect();
    let mut components = components(&snapshot.backlog().await?, snapshot.alerts_evaluated_at().await?, as_of);
    components.push(webhooks(&snapshot.webhook_queue().await?, as_of));
    components.extend(self::bus(bus));
    let count = |wanted: fn(&Presence) -> bool| machines.present.values().filter(|presence| wanted(presence)).count() as u64;
    let unreachable = count(|presence| matches!(presence, Presence::Down(_)));
    Ok(FleetHealth {
        as_of,
        status: status(&open, unreachable, &components),
        vms: machines.present.len() as u64,
        running: count(|presence| *presence == Presence::Running),
        unreachable,
        firing_alerts: open.iter().filter(|alert| alert.state == AlertState::Firing).count() as u64,
        components,
    })
}

/// CRITICAL while a critical alert is open, DEGRADED while anything else is wrong. What a person has taken is still wrong.
fn status(open: &[Alert], unreachable: u64, components: &[Component]) -> Status {
    if open.iter().any(|alert| alert.severity == Severity::Critical) {
        return Status::Critical;
    }
    let is_warned = open.iter().any(|alert| alert.severity != Severity::Info);
    let is_well = unreachable == 0 && components.iter().all(|component| component.is_healthy);
    if is_warned || !is_well { Status::Degraded } else { Status::Healthy }
}

fn components(backlog: &Backlog, evaluated_at: Option<Instant>, as_of: Instant) -> Vec<Component> {
    let waited_us = backlog.oldest_delta_at.map_or(0, |at| as_of.0 - at.0);
    let evaluated_us = evaluated_at.map(|at| as_of.0 - at.0);
    let seconds = |us: i64| us.max(0) / SECOND_US;
    let component = |name, is_healthy, detail| Component { name, is_healthy, detail };
    let marks = |name, count: u64| component(name, count <= MARKS_MAX, format!("{count} marks wait to be worked off"));
    vec![
        component("database", true, "answers, tables are up to date".to_owned()),
        component("cells", waited_us <= WAIT_US_MAX, format!("the oldest cells have waited {} s to be folded", seconds(waited_us))),
        marks("timelines", backlog.machine_marks),
        marks("jobs", backlog.job_marks),
        component(
            "alerts",
            evaluated_us.is_some_and(|us| us <= EVALUATED_US_MAX),
            evaluated_us.map_or_else(|| "rules have never been evaluated".to_owned(), |us| format!("evaluated {} s ago", seconds(us))),
        ),
    ]
}

fn webhooks(queue: &WebhookQueue, as_of: Instant) -> Component {
    let late_us = queue.oldest_due_at.map_or(0, |due_at| (as_of.0 - due_at.0).max(0));
    let detail = format!("{} notices wait, the oldest that is due for {} s", queue.length, late_us / SECOND_US);
    Component { name: "webhooks", is_healthy: late_us <= NOTICE_LATE_US_MAX, detail }
}

/// The bus of replicas; one within the process cannot fail.
fn bus(state: BusState) -> Option<Component> {
    let detail = match state {
        BusState::InProcess => return None,
        BusState::Up => "up",
        BusState::Down => "down: commits of other replicas are looked for every second",
    };
    Some(Component { name: "bus", is_healthy: state == BusState::Up, detail: detail.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_follows_from_what_is_shown() {
        let fine = components(&Backlog::default(), Some(Instant(0)), Instant(0));
        assert!(fine.iter().all(|component| component.is_healthy), "{fine:?}");
        assert_eq!(status(&[], 0, &fine), Status::Healthy);
        assert_eq!(status(&[], 1, &fine), Status::Degraded);
        let late = Backlog { oldest_delta_at: Some(Instant(0)), ..Backlog::default() };
        let late = components(&late, Some(Instant(0)), Instant(300 * SECOND_US));
        let ill: Vec<_> = late.iter().filter(|component| !component.is_healthy).map(|component| component.name).collect();
        assert_eq!(ill, ["cells", "alerts"]);
        assert_eq!(status(&[], 0, &late), Status::Degraded);
    }

    #[test]
    fn a_bus_of_replicas_can_be_ill() {
        let healthy = |state| bus(state).map(|component| component.is_healthy);
        assert_eq!([BusState::InProcess, BusState::Up, BusState::Down].map(healthy), [None, Some(true), Some(false)]);
    }

    #[test]
    fn webhooks_are_ill_when_what_is_due_is_not_sent() {
        let queue = |oldest_due_at| WebhookQueue { length: 3, oldest_due_at };
        let now = Instant(1_000 * SECOND_US);
        let healthy = |due_at: Option<i64>| webhooks(&queue(due_at.map(|seconds| Instant(seconds * SECOND_US))), now).is_healthy;
        assert!(healthy(None) && healthy(Some(4_000)) && healthy(Some(400)) && !healthy(Some(399)));
    }
}
