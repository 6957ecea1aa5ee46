//! The real NVML code against a library that is made here: two GPUs that answer, in part, and one that is lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agent::{printed, run};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nvml.c");

/// Compiles the library; the linker that built this test is there as a C compiler too.
pub fn library(dir: &Path) -> PathBuf {
    let library = dir.join("libnvidia-ml.so.1");
    let status = Command::new("cc").args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&library).arg(SOURCE).status();
    assert!(status.unwrap().success());
    library
}

#[test]
fn gpus_are_read_as_far_as_they_answer() {
    let dir = tempfile::tempdir().unwrap();
    let library = library(dir.path());
    let output = run(&["--once", "--print", "--interval", "1s"], &[("PLIMSOLL_NVML_LIBRARY", &library)]);
    let events = printed(&output);
    assert_eq!(events["vmState"][0]["gpuCount"], 3);
    assert_eq!(events["vmState"][0]["gpuModel"], "Fake GPU 0");

    let [first, second, ..] = events["gpuSample"].as_slice() else { panic!("{events:?}") };
    assert_eq!(events["gpuSample"].len(), 4, "two ticks of two gpus");
    assert_eq!((&first["gpu"], &first["uuid"], &first["name"]), (&0.into(), &"GPU-0000".into(), &"Fake GPU 0".into()));
    assert_eq!((&first["utilizationRatio"], &first["temperatureCelsius"]), (&0.42.into(), &61.0.into()));
    assert_eq!((&first["memoryUsedBytes"], &first["memoryTotalBytes"]), (&3_000_000_000_u64.into(), &80_000_000_000_u64.into()));
    assert_eq!(first["powerWatts"], 312.5);
    assert_eq!(second["gpu"], 1);
    assert!(second.get("powerWatts").is_none() && second.get("utilizationRatio").is_none(), "not supported: {second}");

    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("gpu cannot be read").count(), 1, "once per change: {log}");
}

#[test]
fn a_missing_library_is_one_line_and_no_error() {
    let missing = Path::new("/nonexistent/libnvidia-ml.so.1");
    let output = run(&["--once", "--print", "--interval", "1s"], &[("PLIMSOLL_NVML_LIBRARY", missing)]);
    let events = printed(&output);
    assert!(!events.contains_key("gpuSample") && events["vmState"][0].get("gpuCount").is_none());
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(log.matches("nvml is not available").count(), 1, "{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}
