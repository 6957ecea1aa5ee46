//! What must hold of any events and any bytes: events survive being written and read in any spelling, and nothing panics.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

use std::fmt::Write as _;

use plimsoll_domain::ingest::batch::{BatchReader, read_batch};
use plimsoll_domain::ingest::event::{Caller, CheckpointVersion, Event, Execution, GpuSample, ModelVersion};
use plimsoll_domain::ingest::identity::content_hash;
use plimsoll_domain::ingest::line::{ReadContext, read_line};
use plimsoll_entity::value::label::{CheckpointKind, Outcome};
use plimsoll_entity::value::time::Instant;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const NOW: Instant = Instant(1_772_409_600_000_000);

fn context() -> ReadContext {
    ReadContext { now: NOW, strict: true, oldest: None }
}

fn name() -> impl Strategy<Value = String> {
    prop::string::string_regex("[a-z0-9 \"\\\\/äß中😀\u{a0}]{1,24}").unwrap()
}

fn size() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just((1 << 53) - 1), 0..(1_i64 << 53)]
}

fn milliseconds() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..1e7_f64, Just(9_007_199_254_740_991.0)]
}

fn checkpoints() -> impl Strategy<Value = Vec<CheckpointVersion>> {
    let kind = prop::sample::select(CheckpointKind::ALL);
    let checkpoint = (name(), name(), kind).prop_map(|(name, version, kind)| CheckpointVersion { name, version, kind });
    prop::collection::vec(checkpoint, 0..=16).prop_map(|mut list| {
        list.sort_by(|a, b| a.canonical().cmp(&b.canonical()));
        list.dedup();
        list
    })
}

fn caller() -> impl Strategy<Value = Caller> {
    let name = || prop::option::of(name());
    (name(), name(), name(), name()).prop_map(|(application, user, department, project)| Caller { application, user, department, project })
}

fn gpus() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::btree_set(0..1024_u16, 0..8).prop_map(|set| set.into_iter().collect())
}

prop_compose! {
    fn execution()(
        (id, attempt, wait_us, start_us, length_us) in
            (any::<u128>(), 1..=i32::MAX, prop::option::of(0..1_000_000_000_i64), 1_000_000_000_000..1_700_000_000_000_000_i64, 0..1_000_000_000_000_i64),
        (job, model, version, model_type, vm) in (prop::option::of(name()), name(), name(), prop::option::of(name()), prop::option::of(name())),
        (checkpoints, caller, gpus) in (checkpoints(), caller(), gpus()),
        (load, init, inference, cpu) in
            (prop::option::of(milliseconds()), prop::option::of(milliseconds()), prop::option::of(milliseconds()), prop::option::of(milliseconds())),
        (input_bytes, output_bytes, peak) in (prop::option::of(size()), prop::option::of(size()), prop::option::of(size())),
        (outcome, error_type, error_message) in (prop::sample::select(Outcome::ALL), name(), prop::option::of(any::<String>())),
    ) -> Execution {
        Execution {
            id: Uuid::from_u128(id), job, attempt, model: ModelVersion { model, version }, model_type, checkpoints, caller, vm, gpus,
            queued_at: wait_us.map(|wait| Instant(start_us - wait)),
            started_at: Instant(start_us),
            finished_at: Instant(start_us + length_us),
            outcome,
            checkpoint_load_ms: load, model_init_ms: init, inference_ms: inference,
            input_bytes, output_bytes, gpu_memory_peak_bytes: peak, cpu_seconds: cpu,
            error_type: (outcome == Outcome::Failed).then_some(error_type),
            error_message: error_message.map(|text| text.replace('\0', "\u{fffd}").chars().take(2_000).collect()),
        }
    }
}

prop_compose! {
    fn gpu_sample()(
        (vm, gpu, at) in (name(), 0..1024_u16, 0..1_700_000_000_000_000_i64),
        (utilization_ratio, temperature_celsius, power_watts) in (prop::option::of(0.0..=1.0), prop::option::of(-50.0..200.0), 0.0..2_000.0),
        (memory_used_bytes, memory_total_bytes, uuid, name) in
            (prop::option::of(size()), prop::option::of(size()), prop::option::of(name()), prop::option::of(name())),
    ) -> GpuSample {
        GpuSample {
            vm, gpu, at: Instant(at), utilization_ratio, memory_used_bytes, memory_total_bytes, temperature_celsius,
            power_watts: Some(power_watts), uuid, name,
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        execution().prop_map(|event| Event::Execution(Box::new(event))),
        gpu_sample().prop_map(|event| Event::GpuSample(Box::new(event))),
    ]
}

/// How a line is spelled: all that may differ without changing what it says.
#[derive(Clone, Debug)]
struct Spelling {
    /// Turns the keys and list items round by so many places.
    turn: usize,
    /// Escapes every character of strings and keys.
    escapes: bool,
    /// Writes whole numbers with an exponent.
    exponents: bool,
    /// Minutes of the offset of instants.
    offset_minutes: i64,
    /// Space around everything, and null for what is absent.
    space: bool,
}

fn spelling() -> impl Strategy<Value = Spelling> {
    (0..30_usize, any::<bool>(), any::<bool>(), -840..840_i64, any::<bool>())
        .prop_map(|(turn, escapes, exponents, offset_minutes, space)| Spelling { turn, escapes, exponents, offset_minutes, space })
}

impl Spelling {
    fn instant(&self, at: Instant) -> Value {
        let local = Instant((at.0 + self.offset_minutes * 60_000_000).max(0));
        let minutes = (local.0 - at.0) / 60_000_000;
        if (local.0 - at.0) % 60_000_000 != 0 {
            return json!(at.to_rfc3339());
        }
        let sign = if minutes < 0 { '-' } else { '+' };
        let text = local.to_rfc3339();
        json!(format!("{}{sign}{:02}:{:02}", text.trim_end_matches('Z'), minutes.abs() / 60, minutes.abs() % 60))
    }

    fn text(&self, text: &str) -> String {
        if !self.escapes {
            return json!(text).to_string();
        }
        text.encode_utf16().fold("\"".to_owned(), |mut escaped, unit| {
            write!(escaped, "\\u{unit:04X}").unwrap();
            escaped
        }) + "\""
    }

    fn write(&self, value: &Value) -> String {
        let gap = if self.space { " \t" } else { "" };
        match value {
            Value::String(text) => self.text(text),
            Value::Number(number) if self.exponents && number.as_u64() == Some(0) => "-0.0e7".to_owned(),
            Value::Number(number) if self.exponents && number.is_u64() => format!("{number}00.0e-2"),
            Value::Array(items) => {
                let mut items: Vec<String> = items.iter().map(|item| self.write(item)).collect();
                let turn = self.turn % items.len().max(1);
                items.rotate_left(turn);
                format!("[{gap}{}{gap}]", items.join(&format!("{gap},{gap}")))
            }
            Value::Object(pairs) => {
                let mut pairs: Vec<String> = pairs
                    .iter()
                    .filter(|(_, value)| self.space || !value.is_null())
                    .map(|(key, value)| format!("{}{gap}:{gap}{}", self.text(key), self.write(value)))
                    .collect();
                let turn = self.turn % pairs.len().max(1);
                pairs.rotate_left(turn);
                format!("{{{gap}{}{gap}}}", pairs.join(&format!("{gap},{gap}")))
            }
            other => other.to_string(),
        }
    }

    fn line(&self, event: &Event) -> String {
        match event {
            Event::Execution(event) => self.write(&self.execution(event)),
            Event::GpuSample(event) => self.write(&json!({
                "type": "gpuSample", "vm": event.vm, "gpu": event.gpu, "at": self.instant(event.at),
                "utilizationRatio": event.utilization_ratio, "memoryUsedBytes": event.memory_used_bytes,
                "memoryTotalBytes": event.memory_total_bytes, "temperatureCelsius": event.temperature_celsius,
                "powerWatts": event.power_watts, "uuid": event.uuid, "name": event.name,
            })),
            other => panic!("not made here: {other:?}"),
        }
    }

    fn execution(&self, event: &Execution) -> Value {
        let checkpoints: Vec<Value> =
            event.checkpoints.iter().map(|c| json!({"kind": c.kind.wire(), "name": c.name, "version": c.version})).collect();
        json!({
            "type": "execution", "id": event.id.to_string(), "job": event.job, "attempt": event.attempt, "model": event.model.model,
            "modelVersion": event.model.version, "modelType": event.model_type, "checkpoints": checkpoints,
            "application": event.caller.application, "user": event.caller.user, "department": event.caller.department,
            "project": event.caller.project, "vm": event.vm, "gpus": event.gpus, "queuedAt": event.queued_at.map(|at| self.instant(at)),
            "startedAt": self.instant(event.started_at), "finishedAt": self.instant(event.finished_at), "outcome": event.outcome.wire(),
            "checkpointLoadMs": event.checkpoint_load_ms, "modelInitMs": event.model_init_ms, "inferenceMs": event.inference_ms,
            "inputBytes": event.input_bytes, "outputBytes": event.output_bytes, "gpuMemoryPeakBytes": event.gpu_memory_peak_bytes,
            "cpuSeconds": event.cpu_seconds, "errorType": event.error_type, "errorMessage": event.error_message,
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn events_survive_writing_and_reading((event, spelling) in (event(), spelling())) {
        let line = spelling.line(&event);
        let read = read_line(line.as_bytes(), &context()).map_err(|rejection| TestCaseError::fail(format!("{rejection:?} {line}")))?;
        prop_assert_eq!(&read.event, &event, "{}", line);
        prop_assert_eq!(content_hash(&read.event), content_hash(&event));
    }

    #[test]
    fn other_content_has_another_fingerprint((event, other) in (execution(), execution())) {
        let fingerprint = |event: &Execution| content_hash(&Event::Execution(Box::new(event.clone())));
        prop_assert_ne!(fingerprint(&event), fingerprint(&other));
        // The same text in another field, and a text moved from one field to the next.
        let moved = Execution { caller: Caller { user: event.caller.application.clone(), application: event.caller.user.clone(), ..event.caller.clone() }, ..event.clone() };
        prop_assert_eq!(fingerprint(&moved) == fingerprint(&event), moved == event);
    }

    #[test]
    fn damaged_lines_never_panic((event, at, byte) in (event(), any::<prop::sample::Index>(), any::<u8>())) {
        let plain = Spelling { turn: 0, escapes: false, exponents: false, offset_minutes: 0, space: false };
        let mut line = plain.line(&event).into_bytes();
        let at = at.index(line.len());
        let _ = read_line(&line[..at], &context());
        line[at] = byte;
        let _ = read_line(&line, &context());
    }

    #[test]
    fn bytes_never_panic_and_slicing_never_matters((body, size) in (prop::collection::vec(any::<u8>(), 0..400), 1..40_usize)) {
        let mut reader = BatchReader::new(context());
        body.chunks(size).for_each(|slice| reader.push(slice));
        prop_assert_eq!(reader.finish(), read_batch(&body, context()));
    }

    #[test]
    fn json_like_text_never_panics(text in "[\\[\\]{}:,\"\\\\ua0-9eE.+ \n-]{0,60}") {
        let batch = read_batch(text.as_bytes(), context());
        prop_assert!(batch.events.is_empty());
        // The scanner and serde_json hold the same texts for JSON.
        let line = format!("{{\"type\":\"none\",\"a\":{}}}", text.replace('\n', ""));
        let agreed = serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok();
        let code = read_line(line.as_bytes(), &context()).unwrap_err().code.wire();
        prop_assert_eq!(code, if agreed { "UNKNOWN_TYPE" } else { "MALFORMED_JSON" }, "{}", line);
    }
}
