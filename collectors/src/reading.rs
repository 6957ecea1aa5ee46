//! The wire events that collectors make: `vmSample`, `gpuSample` and `vmState` of `contract/events.md`.
//!
//! Invariants: keys are camelCase with `type` first; an unknown value is left out, never 0; what [`ratio`], [`whole`] and
//! [`amount`] let through lies in the range that the contract accepts. Must not know: where the values come from.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// The largest whole number that the wire carries (2^53 - 1).
pub const WHOLE_MAX: u64 = (1 << 53) - 1;

/// Under this name the ids of state changes are derived, so that the same change has the same id however often it is sent.
const STATE_NAMESPACE: Uuid = Uuid::from_u128(0x5d1c_6f2e_84b7_4c7e_9a3f_0b6d_2e91_77a4);

/// One event, ready for the wire.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Reading {
    /// How busy and how full a machine is.
    VmSample(VmSample),
    /// How busy and how full one GPU is.
    GpuSample(GpuSample),
    /// A machine changed its state.
    VmState(VmState),
}

impl Reading {
    /// The event as one line of NDJSON, its newline included.
    #[must_use]
    #[expect(clippy::expect_used, reason = "only maps with keys that are no text and failing writers can fail; here are neither")]
    pub fn to_json_line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("structs of plain fields always serialize");
        line.push('\n');
        line
    }
}

/// `vmSample`: gauges at `at`, and amounts over the interval that ends there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VmSample {
    /// Name of the machine.
    pub vm: String,
    /// End of the interval.
    pub at: DateTime<Utc>,
    /// Length of the interval in seconds, more than 0.
    pub interval_seconds: f64,
    /// Part of all CPU time that was not idle, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ratio: Option<f64>,
    /// Memory that nothing new could be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// All memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Used space of the local file systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_used_bytes: Option<u64>,
    /// Size of the local file systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
    /// Part of the interval in which the busiest device had work, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_busy_ratio: Option<f64>,
    /// Received over the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_received_bytes: Option<u64>,
    /// Sent over the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_sent_bytes: Option<u64>,
    /// Errors of receiving and sending over the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_errors: Option<u64>,
    /// Read from devices over the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_read_bytes: Option<u64>,
    /// Written to devices over the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_written_bytes: Option<u64>,
    /// Read operations over the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_read_ops: Option<u64>,
    /// Write operations over the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_write_ops: Option<u64>,
}

impl VmSample {
    /// A sample that knows no measure yet.
    #[must_use]
    pub fn empty(vm: String, at: DateTime<Utc>, interval_seconds: f64) -> Self {
        Self {
            vm,
            at,
            interval_seconds,
            cpu_ratio: None,
            memory_used_bytes: None,
            memory_total_bytes: None,
            disk_used_bytes: None,
            disk_total_bytes: None,
            disk_busy_ratio: None,
            network_received_bytes: None,
            network_sent_bytes: None,
            network_errors: None,
            disk_read_bytes: None,
            disk_written_bytes: None,
            disk_read_ops: None,
            disk_write_ops: None,
        }
    }

    /// Whether there is a measure: without one the event is not valid.
    #[must_use]
    pub fn has_measure(&self) -> bool {
        self.cpu_ratio.is_some()
            || self.memory_used_bytes.is_some()
            || self.memory_total_bytes.is_some()
            || self.disk_used_bytes.is_some()
            || self.disk_total_bytes.is_some()
            || self.disk_busy_ratio.is_some()
            || self.network_received_bytes.is_some()
            || self.network_sent_bytes.is_some()
            || self.network_errors.is_some()
            || self.disk_read_bytes.is_some()
            || self.disk_written_bytes.is_some()
            || self.disk_read_ops.is_some()
            || self.disk_write_ops.is_some()
    }
}

/// `gpuSample`: gauges of one GPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GpuSample {
    /// Name of the machine.
    pub vm: String,
    /// Index of the GPU in its machine.
    pub gpu: u16,
    /// When it was read.
    pub at: DateTime<Utc>,
    /// Part of the driver's sampling period in which a kernel ran, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization_ratio: Option<f64>,
    /// Memory in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// All memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Temperature of the die.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<f64>,
    /// Power draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_watts: Option<f64>,
    /// The GPU's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Product name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How a machine is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PurchaseOption {
    /// By the hour, at list price.
    OnDemand,
    /// By the hour, can be taken away.
    Spot,
    /// For a term.
    Reserved,
}

/// The states of a machine that a collector can report of its own knowledge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VmStateName {
    /// The machine runs.
    Running,
}

impl VmStateName {
    const fn as_wire(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
        }
    }
}

/// What is known of a machine beside its name; all of it is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineDescription {
    /// Name of the instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Who lets the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// How it is bought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purchase_option: Option<PurchaseOption>,
    /// vCPUs of the instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v_cpus: Option<u32>,
    /// Memory of the instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// GPU model of the instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_model: Option<String>,
    /// GPUs of the instance type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_count: Option<u16>,
}

/// `vmState`: a machine changed its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VmState {
    /// Identity, the same for the same machine, instant and state.
    pub id: Uuid,
    /// Name of the machine.
    pub vm: String,
    /// When it changed.
    pub at: DateTime<Utc>,
    /// To what.
    pub state: VmStateName,
    /// What is known of the machine.
    #[serde(flatten)]
    pub description: MachineDescription,
}

impl VmState {
    /// The change of `vm` to `state` at `at`.
    #[must_use]
    pub fn new(vm: String, at: DateTime<Utc>, state: VmStateName, description: MachineDescription) -> Self {
        let name = format!("{vm}\n{}\n{}", at.timestamp_micros(), state.as_wire());
        Self { id: Uuid::new_v5(&STATE_NAMESPACE, name.as_bytes()), vm, at, state, description }
    }
}

/// A part of a whole, brought into 0 to 1 and to four decimals; `None` for what is no number.
#[must_use]
pub fn ratio(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value.clamp(0.0, 1.0) * 10_000.0).round() / 10_000.0)
}

/// A count or a size; `None` where the wire cannot carry it, as when a driver answers all ones.
#[must_use]
pub fn whole(value: u64) -> Option<u64> {
    (value <= WHOLE_MAX).then_some(value)
}

/// A measured amount to three decimals; `None` for what is no number.
#[must_use]
pub fn amount(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value * 1_000.0).round() / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        "2026-09-26T12:00:00.250Z".parse().unwrap()
    }

    #[test]
    fn a_sample_has_its_type_first_and_no_unknown_keys() {
        let mut sample = VmSample::empty("gpu-a-01".into(), noon(), 10.0);
        assert!(!sample.has_measure());
        sample.cpu_ratio = ratio(0.123_456);
        sample.disk_read_ops = Some(0);
        assert!(sample.has_measure());
        assert_eq!(
            Reading::VmSample(sample).to_json_line(),
            "{\"type\":\"vmSample\",\"vm\":\"gpu-a-01\",\"at\":\"2026-09-26T12:00:00.250Z\",\"intervalSeconds\":10.0,\
             \"cpuRatio\":0.1235,\"diskReadOps\":0}\n"
        );
    }

    #[test]
    fn a_state_change_keeps_its_id_and_flattens_its_description() {
        let description = MachineDescription {
            instance_type: Some("p5.48xlarge".into()),
            purchase_option: Some(PurchaseOption::OnDemand),
            v_cpus: Some(192),
            ..MachineDescription::default()
        };
        let change = VmState::new("gpu-a-01".into(), noon(), VmStateName::Running, description.clone());
        assert_eq!(change, VmState::new("gpu-a-01".into(), noon(), VmStateName::Running, description.clone()));
        assert_ne!(change.id, VmState::new("gpu-a-02".into(), noon(), VmStateName::Running, description).id);
        let line: serde_json::Value = serde_json::from_str(&Reading::VmState(change).to_json_line()).unwrap();
        assert_eq!(line["type"], "vmState");
        assert_eq!(line["state"], "RUNNING");
        assert_eq!(line["purchaseOption"], "ON_DEMAND");
        assert_eq!(line["vCpus"], 192);
        assert_eq!(line["instanceType"], "p5.48xlarge");
        assert!(line.get("gpuCount").is_none());
    }

    #[test]
    fn only_values_that_the_wire_accepts_get_through() {
        assert_eq!(ratio(1.5), Some(1.0));
        assert_eq!(ratio(-0.1), Some(0.0));
        assert_eq!(ratio(f64::NAN), None);
        assert_eq!(whole(WHOLE_MAX), Some(WHOLE_MAX));
        assert_eq!(whole(u64::MAX), None);
        assert_eq!(amount(70.123_456), Some(70.123));
        assert_eq!(amount(f64::INFINITY), None);
    }
}
