//! What a look at a rule's subjects changes: who waits, who alerts, whose alert ends. Pure.
//!
//! Invariants: a subject has one open alert at most; an alert begins once its condition has held at every look for the rule's
//! `forSeconds`, and ends at the first look at which it does not hold, or at which there is no value (of a sample: for 5 minutes).
//! Instants are those of looks, so that late data alerts when it is known, never backwards. Must not know: the database, where values come from.

use std::collections::{HashMap, HashSet};

use plimsoll_entity::value::label::{AlertState, Detection, Signal};
use plimsoll_entity::value::time::{Instant, SECOND_US};
use uuid::Uuid;

use super::rule::{Rule, SignalKind, kind_of};
use crate::store::Alert;

/// Whom a value is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// For people, such as `gpu-a-01 GPU 3` or `model=sdxl, user=kim`.
    pub text: String,
    /// Its parts by name.
    pub labels: Vec<(String, String)>,
    /// Key; the same for the same subject, always.
    pub key: Uuid,
}

/// Names the keys of subjects.
const SUBJECTS: Uuid = Uuid::from_u128(0x706c_696d_736f_6c6c_8000_7375_626a_6563);

impl Subject {
    /// The subject of these parts, which tell it from every other one.
    #[must_use]
    pub fn new(text: String, labels: Vec<(String, String)>) -> Self {
        let mut identity = Vec::new();
        for (name, value) in &labels {
            identity.extend_from_slice(name.as_bytes());
            identity.push(0);
            identity.extend_from_slice(value.as_bytes());
            identity.push(0);
        }
        Self::identified(text, labels, &identity)
    }

    /// The subject with this identity, for where parts may look alike.
    #[must_use]
    pub fn identified(text: String, labels: Vec<(String, String)>, identity: &[u8]) -> Self {
        Self { text, key: Uuid::new_v5(&SUBJECTS, identity), labels }
    }
}

/// What was expected of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectation {
    /// The value itself.
    pub expected: f64,
    /// The least that would have been expected.
    pub low: f64,
    /// The greatest.
    pub high: f64,
    /// Whether the value lies too far away.
    pub is_anomalous: bool,
}

/// A value that a rule looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Whom it is about.
    pub subject: Subject,
    /// The value, in the unit of the signal.
    pub value: f64,
    /// What was expected; none for thresholds, and where too little is known.
    pub expectation: Option<Expectation>,
}

/// What is known of a rule from the looks before.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Since when a condition holds that does not alert yet, by subject.
    pub waiting: HashMap<Uuid, Instant>,
    /// Open alerts by subject.
    pub open: HashMap<Uuid, Alert>,
    /// Since when a subject with an open alert has had no value.
    pub unseen: HashMap<Uuid, Instant>,
    /// After a time in which nobody looked: silence then is no news, and no alert begins.
    pub is_settling: bool,
}

/// What a look changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Conditions that begin to hold, by subject.
    pub wait: Vec<Uuid>,
    /// Conditions that hold no longer, or alert from now on.
    pub forget: Vec<Uuid>,
    /// Alerts that begin.
    pub open: Vec<Alert>,
    /// Alerts that end.
    pub resolve: Vec<Alert>,
    /// Subjects with an open alert and no value, and since when.
    pub unseen: Vec<(Uuid, Instant)>,
}

/// Whether a rule's condition holds for a value.
#[must_use]
pub fn holds(rule: &Rule, observation: &Observation) -> bool {
    let value = observation.value;
    match rule.detection {
        Detection::Above => value > rule.threshold.unwrap_or(0.0),
        Detection::Below => rule.threshold.is_some_and(|threshold| value < threshold),
        Detection::Anomaly => observation.expectation.is_some_and(|expectation| {
            expectation.is_anomalous && rule.threshold.is_none_or(|least| (value - expectation.expected).abs() >= least)
        }),
    }
}

impl Changes {
    /// Leaves alerts unopened that there is no room for; they go on to wait. How many.
    pub fn refuse_above(&mut self, room: usize) -> usize {
        let refused: HashSet<Uuid> = self.open.drain(room.min(self.open.len())..).map(|alert| alert.subject_key).collect();
        self.forget.retain(|key| !refused.contains(key));
        refused.len()
    }
}

/// For so long an alert about samples waits for the next one: what sent them may only have been cut off.
const UNSEEN_US_MAX: i64 = 300 * SECOND_US;

/// Whether a missing value means nothing yet.
const fn is_patient(signal: Signal) -> bool {
    matches!(kind_of(signal), SignalKind::Machine) && !matches!(signal, Signal::VmUnreachable)
}

/// What a look at an instant changes; `observations` are all values that there are, `next_id` makes the ids of alerts.
#[must_use]
pub fn evaluate(rule: &Rule, at: Instant, mut before: Before, observations: &[Observation], next_id: &mut dyn FnMut() -> Uuid) -> Changes {
    let mut changes = Changes::default();
    let mut seen: HashSet<Uuid> = HashSet::with_capacity(observations.len());
    for observation in observations {
        let key = observation.subject.key;
        if !seen.insert(key) || !rule.is_live() || !holds(rule, observation) {
            continue;
        }
        if before.open.remove(&key).is_some() {
            continue;
        }
        let waited_since = before.waiting.remove(&key);
        let since = waited_since.unwrap_or(at);
        if before.is_settling {
            changes.forget.extend(waited_since.map(|_| key));
        } else if at.0.saturating_sub(since.0) >= i64::from(rule.for_seconds) * SECOND_US {
            changes.open.push(alert(rule, since, observation, next_id()));
            changes.forget.extend(waited_since.map(|_| key));
        } else if waited_since.is_none() {
            changes.wait.push(key);
        }
    }
    changes.forget.extend(before.waiting.into_keys());
    for (key, alert) in before.open {
        let unseen_since = before.unseen.get(&key).copied().unwrap_or(at);
        if rule.is_live() && is_patient(rule.signal) && !seen.contains(&key) && at.0.saturating_sub(unseen_since.0) < UNSEEN_US_MAX {
            changes.unseen.push((key, unseen_since));
        } else {
            changes.resolve.push(Alert { state: AlertState::Resolved, resolved_at: Some(at), ..alert });
        }
    }
    changes.resolve.sort_by_key(|alert| (alert.started_at, alert.id));
    changes
}

fn alert(rule: &Rule, since: Instant, observation: &Observation, id: Uuid) -> Alert {
    let expectation = observation.expectation.filter(|_| rule.detection == Detection::Anomaly);
    Alert {
        id,
        rule_id: rule.id,
        signal: rule.signal,
        subject: observation.subject.text.clone(),
        subject_key: observation.subject.key,
        labels: observation.subject.labels.clone(),
        state: AlertState::Firing,
        severity: rule.severity,
        summary: summary(rule, observation),
        value: observation.value,
        expected: expectation.map(|expectation| expectation.expected),
        band: expectation.map(|expectation| (expectation.low, expectation.high)),
        started_at: since,
        resolved_at: None,
        acknowledged_by: None,
        rule_name: rule.name.clone(),
        webhook_url: rule.webhook_url.clone(),
    }
}

/// What is wrong, in one sentence.
fn summary(rule: &Rule, observation: &Observation) -> String {
    let (subject, value) = (&observation.subject.text, figure(rule.signal, observation.value));
    let what = match rule.signal {
        Signal::VmUnreachable => return format!("{subject} has been down for {value}"),
        Signal::CpuRatio => "CPU in use is",
        Signal::MemoryRatio => "memory in use is",
        Signal::DiskRatio => "disk in use is",
        Signal::GpuRatio => "GPU in use is",
        Signal::GpuMemoryRatio => "GPU memory in use is",
        Signal::GpuTemperatureCelsius => "GPU temperature is",
        Signal::FailureRatio => "failed executions are",
        Signal::DurationP95Ms => "the 95th percentile of durations is",
        Signal::QueueP95Ms => "the 95th percentile of queue times is",
        Signal::CacheHitRatio => "cache hits are",
        Signal::CostPerHour => "cost per hour is",
    };
    let against = match (rule.detection, rule.threshold, observation.expectation) {
        (Detection::Above, Some(threshold), _) => format!(", above {}", figure(rule.signal, threshold)),
        (Detection::Below, Some(threshold), _) => format!(", below {}", figure(rule.signal, threshold)),
        (Detection::Anomaly, _, Some(expectation)) => {
            let [expected, low, high] = [expectation.expected, expectation.low, expectation.high].map(|value| figure(rule.signal, value));
            format!(", where {expected} was expected ({low} to {high})")
        }
        _ => String::new(),
    };
    format!("{subject}: {what} {value}{against}")
}

/// A value for people.
fn figure(signal: Signal, value: f64) -> String {
    match signal {
        Signal::VmUnreachable => format!("{value:.0} s"),
        Signal::GpuTemperatureCelsius => format!("{value:.1} °C"),
        Signal::DurationP95Ms | Signal::QueueP95Ms => format!("{value:.0} ms"),
        Signal::CostPerHour => format!("{value:.2}"),
        _ => format!("{:.1} %", value * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::label::Severity;

    use super::*;

    fn rule(detection: Detection, threshold: Option<f64>, for_seconds: i32) -> Rule {
        Rule {
            id: Uuid::from_u128(1),
            name: "CPU".to_owned(),
            signal: Signal::CpuRatio,
            detection,
            threshold,
            for_seconds,
            severity: Severity::Warning,
            by: Vec::new(),
            enabled: true,
            webhook_url: None,
            created_at: Instant(0),
            deleted_at: None,
        }
    }

    fn seen(vm: &str, value: f64) -> Observation {
        let subject = Subject::new(vm.to_owned(), vec![("vm".to_owned(), vm.to_owned())]);
        Observation { subject, value, expectation: None }
    }

    /// Looks one after the other; what is known goes from one to the next as the database would keep it.
    #[derive(Default)]
    struct Watch {
        before: Before,
        ids: u128,
    }

    impl Watch {
        fn look(&mut self, rule: &Rule, at_s: i64, observations: &[Observation]) -> (usize, usize) {
            let at = Instant(at_s * SECOND_US);
            let ids = &mut self.ids;
            let changes = evaluate(rule, at, self.before.clone(), observations, &mut || {
                *ids += 1;
                Uuid::from_u128(*ids)
            });
            self.before.waiting.retain(|key, _| !changes.forget.contains(key));
            self.before.waiting.extend(changes.wait.iter().map(|key| (*key, at)));
            self.before.open.retain(|_, open| changes.resolve.iter().all(|ended| ended.id != open.id));
            self.before.open.extend(changes.open.iter().map(|alert| (alert.subject_key, alert.clone())));
            self.before.unseen = changes.unseen.iter().copied().collect();
            (changes.open.len(), changes.resolve.len())
        }
    }

    #[test]
    fn an_alert_begins_after_its_time_and_ends_at_once() {
        let (rule, mut watch) = (rule(Detection::Above, Some(0.9), 60), Watch::default());
        assert_eq!(watch.look(&rule, 0, &[seen("a", 0.95), seen("b", 0.9)]), (0, 0));
        assert_eq!(watch.look(&rule, 59, &[seen("a", 0.91)]), (0, 0));
        assert_eq!(watch.look(&rule, 60, &[seen("a", 0.99), seen("b", 0.99)]), (1, 0));
        let open = watch.before.open.values().next().unwrap().clone();
        assert_eq!((open.started_at, open.value, open.state), (Instant(0), 0.99, AlertState::Firing));
        assert_eq!(open.summary, "a: CPU in use is 99.0 %, above 90.0 %");
        assert_eq!(watch.look(&rule, 70, &[seen("a", 1.0)]), (0, 0), "once");
        assert!(watch.before.waiting.is_empty(), "b was let go: {:?}", watch.before.waiting);
        assert_eq!(watch.look(&rule, 75, &[seen("a", 0.9)]), (0, 1));
        assert_eq!(watch.look(&rule, 80, &[seen("a", 0.95)]), (0, 0), "the time begins anew");
    }

    #[test]
    fn without_a_value_or_a_live_rule_nothing_holds() {
        let (live, mut watch) = (rule(Detection::Below, Some(0.5), 0), Watch::default());
        assert_eq!(watch.look(&live, 0, &[seen("a", 0.1), seen("b", 0.2)]), (2, 0));
        assert_eq!(watch.look(&live, 5, &[seen("a", 0.1)]), (0, 0), "b may only be cut off");
        assert_eq!(watch.look(&live, 200, &[seen("a", 0.1), seen("b", 0.1)]), (0, 0));
        assert_eq!(watch.look(&live, 205, &[seen("a", 0.1)]), (0, 0));
        assert_eq!(watch.look(&live, 504, &[seen("a", 0.1)]), (0, 0));
        assert_eq!(watch.look(&live, 505, &[seen("a", 0.1)]), (0, 1), "5 minutes without b");
        assert_eq!(watch.look(&Rule { enabled: false, ..live.clone() }, 506, &[seen("a", 0.1)]), (0, 1));
        let of_executions = Rule { signal: Signal::FailureRatio, ..live };
        assert_eq!(watch.look(&of_executions, 507, &[seen("a", 0.1)]), (1, 0));
        assert_eq!(watch.look(&of_executions, 508, &[]), (0, 1), "nothing has run for long");
    }

    #[test]
    fn a_subject_counts_once_and_nothing_begins_while_looks_settle() {
        let (rule, mut watch) = (rule(Detection::Above, Some(0.5), 0), Watch::default());
        watch.before.is_settling = true;
        assert_eq!(watch.look(&rule, 0, &[seen("a", 0.9)]), (0, 0));
        watch.before.is_settling = false;
        assert_eq!(watch.look(&rule, 1, &[seen("a", 0.9), seen("a", 0.95)]), (1, 0));
        assert_eq!(watch.look(&rule, 2, &[seen("a", 0.9), seen("a", 0.1)]), (0, 0));
    }

    #[test]
    fn an_alert_without_room_goes_on_to_wait() {
        let (rule, mut watch) = (rule(Detection::Above, Some(0.5), 60), Watch::default());
        watch.look(&rule, 0, &[seen("a", 0.9), seen("b", 0.9)]);
        let before = watch.before.clone();
        let mut changes = evaluate(&rule, Instant(60 * SECOND_US), before, &[seen("a", 0.9), seen("b", 0.9)], &mut || Uuid::from_u128(9));
        assert_eq!((changes.open.len(), changes.forget.len()), (2, 2));
        assert_eq!(changes.refuse_above(1), 1);
        assert_eq!((changes.open.len(), changes.forget.as_slice()), (1, &[changes.open[0].subject_key][..]));
        assert_eq!(changes.refuse_above(1), 0);
    }

    #[test]
    fn an_anomaly_needs_an_expectation_and_the_least_distance() {
        let odd = Expectation { expected: 0.2, low: 0.1, high: 0.3, is_anomalous: true };
        let observed = |expectation| Observation { expectation, ..seen("a", 0.5) };
        assert!(!holds(&rule(Detection::Anomaly, None, 0), &observed(None)));
        assert!(holds(&rule(Detection::Anomaly, None, 0), &observed(Some(odd))));
        assert!(!holds(&rule(Detection::Anomaly, Some(0.4), 0), &observed(Some(odd))));
        assert!(!holds(&rule(Detection::Anomaly, None, 0), &observed(Some(Expectation { is_anomalous: false, ..odd }))));
        let mut watch = Watch::default();
        watch.look(&rule(Detection::Anomaly, None, 0), 0, &[observed(Some(odd))]);
        let open = watch.before.open.values().next().unwrap();
        assert_eq!((open.expected, open.band), (Some(0.2), Some((0.1, 0.3))));
        assert_eq!(open.summary, "a: CPU in use is 50.0 %, where 20.0 % was expected (10.0 % to 30.0 %)");
    }

    #[test]
    fn subjects_are_told_apart() {
        let subject = |parts: &[(&str, &str)]| {
            let labels: Vec<_> = parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Subject::new("x".to_owned(), labels).key
        };
        assert_eq!(subject(&[("vm", "a")]), subject(&[("vm", "a")]));
        assert_ne!(subject(&[("vm", "a")]), subject(&[("vm", "b")]));
        assert_ne!(subject(&[("a", "b"), ("c", "")]), subject(&[("a", ""), ("b", "c")]));
    }
}
