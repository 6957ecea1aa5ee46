//! What `contract/events.md` says about the events that collectors make, written down a second time, by hand.

use serde_json::Value;

const WHOLE_MAX: u64 = (1 << 53) - 1;
const RATIOS: [&str; 3] = ["cpuRatio", "diskBusyRatio", "utilizationRatio"];
const VM_SAMPLE_MEASURES: [&str; 13] = [
    "cpuRatio",
    "memoryUsedBytes",
    "memoryTotalBytes",
    "diskUsedBytes",
    "diskTotalBytes",
    "diskBusyRatio",
    "networkReceivedBytes",
    "networkSentBytes",
    "networkErrors",
    "diskReadBytes",
    "diskWrittenBytes",
    "diskReadOps",
    "diskWriteOps",
];
const GPU_SAMPLE_MEASURES: [&str; 5] = ["utilizationRatio", "memoryUsedBytes", "memoryTotalBytes", "temperatureCelsius", "powerWatts"];
const VM_STATE_OPTIONS: [&str; 8] =
    ["instanceType", "provider", "region", "purchaseOption", "vCpus", "memoryBytes", "gpuModel", "gpuCount"];

/// Parses a line and panics where the contract would reject it or name a key as unknown.
pub fn check(line: &str) -> Value {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(line.starts_with("{\"type\":\""), "type comes first: {line}");
    check_name(&event, "vm");
    check_instant(&event);
    match event["type"].as_str() {
        Some("vmSample") => {
            assert!(event["intervalSeconds"].as_f64().unwrap() > 0.0, "{line}");
            check_measures(&event, &VM_SAMPLE_MEASURES, &["type", "vm", "at", "intervalSeconds"]);
        }
        Some("gpuSample") => {
            assert!(event["gpu"].as_u64().unwrap() < 1_000, "{line}");
            check_measures(&event, &GPU_SAMPLE_MEASURES, &["type", "vm", "at", "gpu", "uuid", "name"]);
        }
        Some("vmState") => check_state(&event),
        _ => panic!("unknown type: {line}"),
    }
    event
}

/// What makes the event the same one when it comes again.
pub fn key(event: &Value) -> String {
    match event["type"].as_str() {
        Some("vmState") => event["id"].to_string(),
        _ => format!("{} {} {} {}", event["type"], event["vm"], event["gpu"], event["at"]),
    }
}

fn check_name(event: &Value, key: &str) {
    let name = event[key].as_str().unwrap_or_else(|| panic!("{key}: {event}"));
    assert!((1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control), "{key}: {event}");
}

fn check_instant(event: &Value) {
    let at = event["at"].as_str().unwrap();
    let instant = chrono::DateTime::parse_from_rfc3339(at).unwrap_or_else(|error| panic!("{error}: {at}"));
    assert_eq!(instant.timestamp_subsec_nanos() % 1_000, 0, "no finer than a microsecond: {at}");
}

fn check_measures(event: &Value, measures: &[&str], others: &[&str]) {
    let keys = event.as_object().unwrap();
    assert!(keys.keys().any(|key| measures.contains(&key.as_str())), "no measure: {event}");
    for (key, value) in keys.iter().filter(|(key, _)| !others.contains(&key.as_str())) {
        assert!(measures.contains(&key.as_str()), "unknown key {key}: {event}");
        if RATIOS.contains(&key.as_str()) {
            assert!((0.0..=1.0).contains(&value.as_f64().unwrap()), "{key}: {event}");
        } else if ["temperatureCelsius", "powerWatts"].contains(&key.as_str()) {
            assert!((0.0..=10_000.0).contains(&value.as_f64().unwrap()), "{key}: {event}");
        } else {
            assert!(value.as_u64().unwrap() <= WHOLE_MAX, "{key}: {event}");
        }
    }
}

fn check_state(event: &Value) {
    let id = event["id"].as_str().unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok(), "{event}");
    assert_eq!(event["state"], "RUNNING", "the agent knows of no other state");
    let required = ["type", "id", "vm", "at", "state"];
    for key in event.as_object().unwrap().keys().filter(|key| !required.contains(&key.as_str())) {
        assert!(VM_STATE_OPTIONS.contains(&key.as_str()), "unknown key {key}: {event}");
    }
}
