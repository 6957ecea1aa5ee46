//! The machines of the month: they run from before its first hour on, each with the GPUs that the load names.

use plimsoll_entity::value::time::{HOUR_US, Instant};
use plimsoll_tests::load::MACHINES;
use serde_json::json;
use uuid::Uuid;

use crate::START;

/// Their states as lines of events.
pub fn states() -> String {
    let at = Instant(START.0 - HOUR_US).to_string();
    let line = |vm: usize| {
        let gpus = 1 << (vm % 4);
        json!({"type": "vmState", "id": Uuid::from_u128(vm as u128 + 1), "vm": format!("vm-{vm:03}"), "at": at, "state": "RUNNING",
            "instanceType": format!("gpu-{gpus}"), "gpuCount": gpus, "vCpus": 8 * gpus, "region": format!("region-{}", vm % 3)})
        .to_string()
    };
    (0..MACHINES).map(line).collect::<Vec<_>>().join("\n")
}
