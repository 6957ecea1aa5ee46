//! Who an event is, and a fingerprint of what it says.
//!
//! Invariants: the fingerprint depends on the checked values alone, never on their spelling, and is the same in every process,
//! version and on every machine: the database keeps it. It is SipHash-1-3 over `tag, value` of the fields that are there, so that
//! a field added later changes no old fingerprint. **A tag never changes its meaning and is never used again.**
//! Must not know: JSON, the database.

use std::hash::Hasher as _;

use plimsoll_entity::value::time::Instant;
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use super::event::{
    Caller, CheckpointLoad, CheckpointVersion, Event, Execution, GpuSample, Job, ModelVersion, StorageSnapshot, VmSample, VmStateChange,
};

/// Keys of the hash. Any would do; these are kept for ever.
const KEYS: (u64, u64) = (0x706c_696d_736f_6c6c, 0x6576_656e_7473_0001);

/// The event's own id; null for samples, whose key is their machine (and GPU) and instant.
#[must_use]
pub fn event_id(event: &Event) -> Option<Uuid> {
    match event {
        Event::Execution(event) => Some(event.id),
        Event::Job(event) => Some(event.id),
        Event::CheckpointLoad(event) => Some(event.id),
        Event::VmState(event) => Some(event.id),
        Event::StorageSnapshot(event) => Some(event.id),
        Event::VmSample(_) | Event::GpuSample(_) => None,
    }
}

/// When the event ended (`finishedAt`) or was (`at`).
#[must_use]
pub fn event_instant(event: &Event) -> Instant {
    match event {
        Event::Execution(event) => event.finished_at,
        Event::Job(event) => event.at,
        Event::CheckpointLoad(event) => event.finished_at,
        Event::VmState(event) => event.at,
        Event::VmSample(event) => event.at,
        Event::GpuSample(event) => event.at,
        Event::StorageSnapshot(event) => event.at,
    }
}

/// When what the event tells of began.
#[must_use]
pub fn event_begin(event: &Event) -> Instant {
    match event {
        Event::Execution(event) => event.started_at,
        Event::CheckpointLoad(event) => event.started_at,
        other => event_instant(other),
    }
}

/// The fingerprint of everything that the event says, its id included.
#[must_use]
pub fn content_hash(event: &Event) -> i64 {
    let mut content = Content { bytes: Vec::with_capacity(512) };
    match event {
        Event::Execution(event) => content.execution(event),
        Event::Job(event) => content.job(event),
        Event::CheckpointLoad(event) => content.checkpoint_load(event),
        Event::VmState(event) => content.vm_state(event),
        Event::VmSample(event) => content.vm_sample(event),
        Event::GpuSample(event) => content.gpu_sample(event),
        Event::StorageSnapshot(event) => content.storage_snapshot(event),
    }
    let mut hasher = SipHasher13::new_with_keys(KEYS.0, KEYS.1);
    hasher.write(&content.bytes);
    i64::from_le_bytes(hasher.finish().to_le_bytes())
}

/// The canonical form: the first tag tells the type (1 and 31 to 36); each field that is there as its tag and value, little-endian, texts and
/// lists behind their length.
struct Content {
    bytes: Vec<u8>,
}

impl Content {
    fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    fn fixed<const N: usize>(&mut self, tag: u8, value: [u8; N]) {
        self.tag(tag);
        self.bytes.extend_from_slice(&value);
    }

    fn length(&mut self, length: usize) {
        // Lines are at most 64 KiB, so that every length fits.
        self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
    }

    fn text(&mut self, tag: u8, value: &str) {
        self.tag(tag);
        self.length(value.len());
        self.bytes.extend_from_slice(value.as_bytes());
    }

    fn optional_text(&mut self, tag: u8, value: Option<&String>) {
        if let Some(value) = value {
            self.text(tag, value);
        }
    }

    fn id(&mut self, tag: u8, value: Uuid) {
        self.fixed(tag, value.into_bytes());
    }

    fn instant(&mut self, tag: u8, value: Instant) {
        self.fixed(tag, value.0.to_le_bytes());
    }

    fn code(&mut self, tag: u8, value: i16) {
        self.fixed(tag, value.to_le_bytes());
    }

    fn whole(&mut self, tag: u8, value: Option<i64>) {
        if let Some(value) = value {
            self.fixed(tag, value.to_le_bytes());
        }
    }

    fn count(&mut self, tag: u8, value: Option<i32>) {
        if let Some(value) = value {
            self.fixed(tag, value.to_le_bytes());
        }
    }

    fn real(&mut self, tag: u8, value: Option<f64>) {
        if let Some(value) = value {
            self.fixed(tag, value.to_bits().to_le_bytes());
        }
    }

    fn model(&mut self, tag: u8, model: &ModelVersion) {
        self.text(tag, &model.model);
        self.text(tag, &model.version);
    }

    fn checkpoint(&mut self, tag: u8, checkpoint: &CheckpointVersion) {
        self.text(tag, &checkpoint.name);
        self.text(tag, &checkpoint.version);
        self.code(tag, checkpoint.kind.code());
    }

    fn checkpoints(&mut self, tag: u8, checkpoints: &[CheckpointVersion]) {
        if !checkpoints.is_empty() {
            self.tag(tag);
            self.length(checkpoints.len());
            for checkpoint in checkpoints {
                self.checkpoint(tag, checkpoint);
            }
        }
    }

    fn gpus(&mut self, tag: u8, gpus: &[u16]) {
        if !gpus.is_empty() {
            self.tag(tag);
            self.length(gpus.len());
            for gpu in gpus {
                self.bytes.extend_from_slice(&gpu.to_le_bytes());
            }
        }
    }

    /// Takes the tags 10 to 13.
    fn caller(&mut self, caller: &Caller) {
        self.optional_text(10, caller.application.as_ref());
        self.optional_text(11, caller.user.as_ref());
        self.optional_text(12, caller.department.as_ref());
        self.optional_text(13, caller.project.as_ref());
    }

    fn execution(&mut self, event: &Execution) {
        self.id(1, event.id);
        self.optional_text(2, event.job.as_ref());
        self.count(3, Some(event.attempt));
        self.model(4, &event.model);
        self.optional_text(5, event.model_type.as_ref());
        self.checkpoints(6, &event.checkpoints);
        self.caller(&event.caller);
        self.optional_text(14, event.vm.as_ref());
        self.gpus(15, &event.gpus);
        self.whole(16, event.queued_at.map(|at| at.0));
        self.instant(17, event.started_at);
        self.instant(18, event.finished_at);
        self.code(19, event.outcome.code());
        self.real(20, event.checkpoint_load_ms);
        self.real(21, event.model_init_ms);
        self.real(22, event.inference_ms);
        self.whole(23, event.input_bytes);
        self.whole(24, event.output_bytes);
        self.whole(25, event.gpu_memory_peak_bytes);
        self.real(26, event.cpu_seconds);
        self.optional_text(27, event.error_type.as_ref());
        self.optional_text(28, event.error_message.as_ref());
    }

    fn job(&mut self, event: &Job) {
        self.id(31, event.id);
        self.text(2, &event.job);
        self.instant(3, event.at);
        self.code(4, event.state.code());
        self.model(5, &event.model);
        self.checkpoints(6, &event.checkpoints);
        self.count(7, event.attempt);
        self.caller(&event.caller);
        self.optional_text(14, event.vm.as_ref());
        self.gpus(15, &event.gpus);
    }

    fn checkpoint_load(&mut self, event: &CheckpointLoad) {
        self.id(32, event.id);
        self.instant(2, event.started_at);
        self.instant(3, event.finished_at);
        self.text(4, &event.vm);
        self.code(5, event.storage_type.code());
        self.code(6, i16::from(event.cache_hit));
        self.model(7, &event.model);
        if let Some(checkpoint) = &event.checkpoint {
            self.checkpoint(8, checkpoint);
        }
        self.count(9, event.gpu.map(i32::from));
        self.optional_text(10, event.storage_location.as_ref());
        self.whole(11, event.size_bytes);
        if let Some(execution) = event.execution {
            self.id(12, execution);
        }
        self.code(13, event.outcome.code());
        self.optional_text(14, event.error_type.as_ref());
    }

    fn vm_state(&mut self, event: &VmStateChange) {
        self.id(33, event.id);
        self.text(2, &event.vm);
        self.instant(3, event.at);
        self.code(4, event.state.code());
        self.optional_text(5, event.instance_type.as_ref());
        self.optional_text(6, event.provider.as_ref());
        self.optional_text(7, event.region.as_ref());
        if let Some(purchase_option) = event.purchase_option {
            self.code(8, purchase_option.code());
        }
        self.count(9, event.v_cpus);
        self.whole(10, event.memory_bytes);
        self.optional_text(11, event.gpu_model.as_ref());
        self.count(12, event.gpu_count);
    }

    fn vm_sample(&mut self, event: &VmSample) {
        self.text(34, &event.vm);
        self.instant(2, event.at);
        self.real(3, Some(event.interval_seconds));
        self.real(4, event.cpu_ratio);
        self.whole(5, event.memory_used_bytes);
        self.whole(6, event.memory_total_bytes);
        self.whole(7, event.disk_used_bytes);
        self.whole(8, event.disk_total_bytes);
        self.real(9, event.disk_busy_ratio);
        self.whole(10, event.network_received_bytes);
        self.whole(11, event.network_sent_bytes);
        self.whole(12, event.network_errors);
        self.whole(13, event.disk_read_bytes);
        self.whole(14, event.disk_written_bytes);
        self.whole(15, event.disk_read_ops);
        self.whole(16, event.disk_write_ops);
    }

    fn gpu_sample(&mut self, event: &GpuSample) {
        self.text(35, &event.vm);
        self.count(2, Some(i32::from(event.gpu)));
        self.instant(3, event.at);
        self.real(4, event.utilization_ratio);
        self.whole(5, event.memory_used_bytes);
        self.whole(6, event.memory_total_bytes);
        self.real(7, event.temperature_celsius);
        self.real(8, event.power_watts);
        self.optional_text(9, event.uuid.as_ref());
        self.optional_text(10, event.name.as_ref());
    }

    fn storage_snapshot(&mut self, event: &StorageSnapshot) {
        self.id(36, event.id);
        self.instant(2, event.at);
        self.code(3, event.storage_type.code());
        self.whole(4, Some(event.size_bytes));
        if let Some(model) = &event.model {
            self.model(5, model);
        }
        if let Some(checkpoint) = &event.checkpoint {
            self.checkpoint(6, checkpoint);
        }
        self.optional_text(7, event.storage_location.as_ref());
    }
}
