//! The machines of the month: they run from before its first hour to its end, each with the GPUs that the load names.

use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant};
use plimsoll_tests::load::{DAYS, MACHINES};
use serde_json::json;
use uuid::Uuid;

use crate::START;

/// Their states as lines of events.
pub fn states() -> String {
    let (from, to) = (Instant(START.0 - HOUR_US).to_string(), Instant(START.0 + DAYS * DAY_US).to_string());
    let line = |vm: usize, number: usize, at: &str, state: &str| {
        let gpus = 1 << (vm % 4);
        json!({"type": "vmState", "id": Uuid::from_u128((2 * vm + number) as u128 + 1), "vm": format!("vm-{vm:03}"), "at": at,
            "state": state, "instanceType": format!("gpu-{gpus}"), "gpuCount": gpus, "vCpus": 8 * gpus, "region": format!("region-{}", vm % 3)})
        .to_string()
    };
    let lines = (0..MACHINES).flat_map(|vm| [line(vm, 0, &from, "RUNNING"), line(vm, 1, &to, "TERMINATED")]);
    lines.collect::<Vec<_>>().join("\n")
}
