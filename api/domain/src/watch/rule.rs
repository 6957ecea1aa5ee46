//! Alert rules: what a rule says, and which rules make sense. Pure.
//!
//! Invariant: a rule that [`check`] lets through can be evaluated. Must not know: who may make a rule, how it is kept.

use plimsoll_entity::value::label::{Detection, Severity, Signal};
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use crate::breakdown::DIMENSIONS_MAX;
use crate::breakdown::dimension::Dimension;

/// Rules at most.
pub const RULES_MAX: usize = 500;
/// Characters of a rule's name.
const NAME_CHARS_MAX: usize = 200;
/// Longest time that a condition can be asked to hold before it alerts.
const FOR_SECONDS_MAX: i32 = 7 * 86_400;

/// What is looked at, and what is too much.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Identity.
    pub id: Uuid,
    /// Name for people.
    pub name: String,
    /// What it looks at.
    pub signal: Signal,
    /// When it finds something.
    pub detection: Detection,
    /// What the value is held against, in the unit of the signal; of an anomaly the least distance from what was expected.
    pub threshold: Option<f64>,
    /// Seconds for which the condition must hold.
    pub for_seconds: i32,
    /// How much its alerts matter.
    pub severity: Severity,
    /// A signal of executions is looked at for each key of these.
    pub by: Vec<Dimension>,
    /// Whether it is evaluated.
    pub enabled: bool,
    /// Where its alerts are sent.
    pub webhook_url: Option<String>,
    /// When it was made.
    pub created_at: Instant,
    /// When it was deleted; it is kept for the alerts that name it.
    pub deleted_at: Option<Instant>,
}

impl Rule {
    /// Whether it is evaluated.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.enabled && self.deleted_at.is_none()
    }
}

/// Whose signal it is: what may be asked of it, and who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// Of a machine or a GPU.
    Machine,
    /// Of executions.
    Execution,
    /// Of loads.
    Load,
    /// Of money.
    Cost,
}

/// The kind of a signal.
#[must_use]
pub const fn kind_of(signal: Signal) -> SignalKind {
    match signal {
        Signal::CpuRatio
        | Signal::MemoryRatio
        | Signal::DiskRatio
        | Signal::GpuRatio
        | Signal::GpuMemoryRatio
        | Signal::GpuTemperatureCelsius
        | Signal::VmUnreachable => SignalKind::Machine,
        Signal::FailureRatio | Signal::DurationP95Ms | Signal::QueueP95Ms => SignalKind::Execution,
        Signal::CacheHitRatio => SignalKind::Load,
        Signal::CostPerHour => SignalKind::Cost,
    }
}

const fn is_ratio(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::CpuRatio
            | Signal::MemoryRatio
            | Signal::DiskRatio
            | Signal::GpuRatio
            | Signal::GpuMemoryRatio
            | Signal::FailureRatio
            | Signal::CacheHitRatio
    )
}

/// What is wrong with a rule: the field by its name in the schema, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// The field.
    pub field: &'static str,
    /// Why.
    pub message: String,
}

/// Everything that is wrong with a rule.
#[must_use]
pub fn check(rule: &Rule) -> Vec<RuleFault> {
    let mut faults = Vec::new();
    let mut fault = |field, message: &str| faults.push(RuleFault { field, message: message.to_owned() });
    let chars = rule.name.chars().count();
    if chars == 0 || chars > NAME_CHARS_MAX || rule.name.chars().any(char::is_control) {
        fault("name", &format!("name has 1 to {NAME_CHARS_MAX} characters and no control characters"));
    }
    if !(0..=FOR_SECONDS_MAX).contains(&rule.for_seconds) {
        fault("forSeconds", &format!("forSeconds is 0 to {FOR_SECONDS_MAX}"));
    }
    if rule.signal == Signal::VmUnreachable && rule.detection != Detection::Above {
        fault("detection", "VM_UNREACHABLE goes with ABOVE alone: its value is the seconds for which a machine has been down");
    }
    match rule.threshold {
        None if rule.detection != Detection::Anomaly && rule.signal != Signal::VmUnreachable => {
            fault("threshold", "ABOVE and BELOW take a threshold");
        }
        Some(threshold) if !threshold.is_finite() => fault("threshold", "threshold is a finite number"),
        Some(threshold) if is_ratio(rule.signal) && !(0.0..=1.0).contains(&threshold) => {
            fault("threshold", "the threshold of a ratio is 0 to 1");
        }
        Some(threshold) if threshold < 0.0 && rule.signal != Signal::GpuTemperatureCelsius => fault("threshold", "threshold is 0 or more"),
        Some(_) | None => {}
    }
    if let Some(message) = check_by(rule) {
        fault("by", &message);
    }
    faults
}

fn check_by(rule: &Rule) -> Option<String> {
    let by = &rule.by;
    if by.len() > DIMENSIONS_MAX {
        return Some(format!("by has at most {DIMENSIONS_MAX} dimensions"));
    }
    if by.iter().enumerate().any(|(at, dimension)| by[..at].contains(dimension)) {
        return Some("by names a dimension twice".to_owned());
    }
    let is_of_loads = |dimension: &Dimension| {
        use Dimension::{Checkpoint, CheckpointVersion, InstanceType, Model, ModelType, ModelVersion, Provider, Region, Vm};
        matches!(dimension, Model | ModelVersion | ModelType | Checkpoint | CheckpointVersion | Vm | InstanceType | Region | Provider)
    };
    match kind_of(rule.signal) {
        SignalKind::Machine if by.iter().any(|dimension| *dimension != Dimension::Vm) => {
            Some("a signal of machines is looked at for each machine, or each of its GPUs: by is empty or VM".to_owned())
        }
        SignalKind::Load if !by.iter().all(is_of_loads) => {
            Some("loads have models, checkpoints and machines: by names another dimension".to_owned())
        }
        SignalKind::Machine | SignalKind::Load | SignalKind::Execution | SignalKind::Cost => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(signal: Signal, detection: Detection, threshold: Option<f64>) -> Rule {
        Rule {
            id: Uuid::nil(),
            name: "Disk nearly full".to_owned(),
            signal,
            detection,
            threshold,
            for_seconds: 60,
            severity: Severity::Warning,
            by: Vec::new(),
            enabled: true,
            webhook_url: None,
            created_at: Instant(0),
            deleted_at: None,
        }
    }

    fn fields(rule: &Rule) -> Vec<&'static str> {
        check(rule).into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn thresholds_fit_their_signals() {
        assert!(fields(&rule(Signal::DiskRatio, Detection::Above, Some(0.9))).is_empty());
        assert!(fields(&rule(Signal::DiskRatio, Detection::Anomaly, None)).is_empty());
        assert!(fields(&rule(Signal::VmUnreachable, Detection::Above, None)).is_empty());
        assert!(fields(&rule(Signal::GpuTemperatureCelsius, Detection::Below, Some(-5.0))).is_empty());
        for (signal, threshold) in [
            (Signal::DiskRatio, None),
            (Signal::DiskRatio, Some(90.0)),
            (Signal::QueueP95Ms, Some(-1.0)),
            (Signal::GpuTemperatureCelsius, Some(f64::NAN)),
            (Signal::DurationP95Ms, Some(f64::INFINITY)),
        ] {
            assert_eq!(fields(&rule(signal, Detection::Above, threshold)), ["threshold"], "{signal:?} {threshold:?}");
        }
        assert_eq!(fields(&rule(Signal::VmUnreachable, Detection::Anomaly, None)), ["detection"]);
    }

    #[test]
    fn dimensions_fit_their_signals() {
        let by = |signal, by: &[Dimension]| fields(&Rule { by: by.to_vec(), ..rule(signal, Detection::Anomaly, None) });
        assert!(by(Signal::FailureRatio, &[Dimension::Combination, Dimension::User]).is_empty());
        assert!(by(Signal::CpuRatio, &[Dimension::Vm]).is_empty());
        assert_eq!(by(Signal::CpuRatio, &[Dimension::Model]), ["by"]);
        assert_eq!(by(Signal::CacheHitRatio, &[Dimension::User]), ["by"]);
        assert_eq!(by(Signal::FailureRatio, &[Dimension::User, Dimension::User]), ["by"]);
        let five = [Dimension::User, Dimension::Model, Dimension::Vm, Dimension::Project, Dimension::Region];
        assert_eq!(by(Signal::FailureRatio, &five), ["by"]);
    }

    #[test]
    fn names_and_times_have_limits() {
        let fine = rule(Signal::CpuRatio, Detection::Above, Some(1.0));
        assert_eq!(fields(&Rule { name: String::new(), ..fine.clone() }), ["name"]);
        assert_eq!(fields(&Rule { name: "a\nb".to_owned(), ..fine.clone() }), ["name"]);
        assert_eq!(fields(&Rule { for_seconds: -1, name: "x".repeat(201), ..fine.clone() }), ["name", "forSeconds"]);
        assert!(fields(&Rule { for_seconds: 0, ..fine }).is_empty());
    }
}
