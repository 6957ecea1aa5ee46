//! The real NVML code against a library that is made here: what it reads of GPUs, value by value, also of those that are cut up.

use std::path::Path;

use serde_json::Value;

use crate::agent::{printed, run};
use crate::fake_nvml::{Machine, three_gpus};

/// Every value that is read: its name in the script, its keys on the wire.
const VALUES: [(&str, &[&str]); 6] = [
    ("utilization", &["utilizationRatio"]),
    ("memory", &["memoryUsedBytes", "memoryTotalBytes"]),
    ("temperature", &["temperatureCelsius"]),
    ("power", &["powerWatts"]),
    ("uuid", &["uuid"]),
    ("name", &["name"]),
];

/// `sample` without these keys and without its instant.
fn without(sample: &Value, keys: &[&str]) -> Value {
    let mut sample = sample.clone();
    let fields = sample.as_object_mut().unwrap();
    fields.retain(|key, _| key != "at" && !keys.contains(&key.as_str()));
    sample
}

#[test]
fn gpus_are_read_as_far_as_they_answer() {
    let dir = tempfile::tempdir().unwrap();
    let library = three_gpus(dir.path());
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

#[tokio::test]
async fn a_value_that_is_not_supported_is_absent_and_no_news() {
    let mut machine = Machine::start("count =1");
    let whole = machine.tick().await;
    for (value, keys) in VALUES {
        machine.nvml.says(&format!("count =1\n0.{value} 3"));
        let samples = machine.tick().await;
        assert_eq!(samples.len(), 1, "{value}");
        assert!(keys.iter().all(|key| whole[0].get(key).is_some() && samples[0].get(key).is_none()), "{value}: {samples:?}");
        assert_eq!(without(&samples[0], &[]), without(&whole[0], keys));
    }
    assert_eq!((machine.said(), machine.nvml.starts()), (vec![], 1));
}

#[tokio::test]
async fn a_value_that_may_not_be_read_is_absent_and_said_once() {
    let mut machine = Machine::start("count =2");
    let whole = machine.tick().await;
    for (value, keys) in VALUES {
        machine.nvml.says(&format!("count =2\n1.{value} 4"));
        let samples = machine.ticks(3).await;
        assert_eq!(without(&samples[0], &[]), without(&whole[0], &[]), "the other one is as it was");
        assert_eq!(without(&samples[1], &[]), without(&whole[1], keys));
        machine.nvml.says("count =2");
        machine.ticks(3).await;
        let expected = [
            format!(
                "WARN gpu does not tell some values, they are left out gpu=1 reason=\"{value}: the current user does not have permission to perform this operation\""
            ),
            "INFO gpu tells all its values again gpu=1".to_owned(),
        ];
        assert_eq!(machine.said(), expected);
    }
    assert_eq!(machine.nvml.starts(), 1);
}

#[tokio::test]
async fn a_gpu_that_may_not_be_read_is_left_out() {
    let mut machine = Machine::start("count =2\n0.handle 4");
    let samples = machine.ticks(1_000).await;
    assert_eq!(samples.iter().map(|sample| &sample["gpu"]).collect::<Vec<_>>(), [&Value::from(1)]);
    let said = machine.said();
    assert!(said.len() == 1 && said[0].starts_with("WARN gpu cannot be read, it is left out gpu=0"), "{said:?}");
    assert_eq!(machine.nvml.starts(), 1, "nobody is let in for asking again");
}

#[tokio::test]
async fn values_that_no_gpu_has_are_none() {
    let mut machine = Machine::start("count =1");
    let whole = machine.tick().await;
    for (value, told, keys) in [
        ("utilization", "101", &["utilizationRatio"] as &[&str]),
        ("utilization", "4294967295", &["utilizationRatio"]),
        ("power", "4294967295", &["powerWatts"]),
        ("power", "10000001", &["powerWatts"]),
        ("temperature", "4294967295", &["temperatureCelsius"]),
        ("temperature", "2147483647", &["temperatureCelsius"]),
        ("temperature", "4294967291", &["temperatureCelsius"]),
        ("temperature", "255", &["temperatureCelsius"]),
        ("used", "18446744073709551615", &["memoryUsedBytes", "memoryTotalBytes"]),
        ("used", "80000000001", &["memoryUsedBytes", "memoryTotalBytes"]),
        ("total", "0", &["memoryUsedBytes", "memoryTotalBytes"]),
        ("total", "18446744073709551615", &["memoryTotalBytes"]),
    ] {
        machine.nvml.says(&format!("count =1\n0.{value} ={told}"));
        let samples = machine.tick().await;
        assert_eq!(without(&samples[0], &[]), without(&whole[0], keys), "{value} {told}");
    }
    for (value, told, key, sent) in [
        ("utilization", "0", "utilizationRatio", 0.0),
        ("utilization", "100", "utilizationRatio", 1.0),
        ("power", "0", "powerWatts", 0.0),
        ("power", "1200000", "powerWatts", 1_200.0),
        ("temperature", "0", "temperatureCelsius", 0.0),
        ("used", "0", "memoryUsedBytes", 0.0),
    ] {
        machine.nvml.says(&format!("count =1\n0.{value} ={told}"));
        let samples = machine.tick().await;
        assert_eq!(samples[0][key].as_f64(), Some(sent), "{value} {told}");
    }
    assert_eq!(machine.said(), Vec::<String>::new());
}

#[tokio::test]
async fn a_gpu_that_is_cut_up_is_one_gpu() {
    let cut_up = "count =2\n1.mig =1\n1.utilization =0\n1.mig0.handle =0\n1.mig0.used =5\n1.mig4.handle =0\n1.mig4.used =7";
    let mut machine = Machine::start("count =2");
    let whole = machine.tick().await;
    let read = |sample: &Value| (sample["memoryUsedBytes"].as_u64(), sample["memoryTotalBytes"].as_u64());

    // The privileged are told about the whole GPU.
    machine.nvml.says(cut_up);
    let samples = machine.tick().await;
    assert_eq!(without(&samples[0], &[]), without(&whole[0], &[]));
    assert_eq!(without(&samples[1], &[]), without(&whole[1], &["utilizationRatio"]));

    // Others are told what each instance uses.
    for error in [3, 4] {
        machine.nvml.says(&format!("{cut_up}\n1.memory {error}"));
        let samples = machine.tick().await;
        assert_eq!((samples.len(), read(&samples[1])), (2, (Some(12), None)));
        assert_eq!(
            (&samples[1]["powerWatts"], &samples[1]["temperatureCelsius"]),
            (&whole[1]["powerWatts"], &whole[1]["temperatureCelsius"])
        );
        assert_eq!((&samples[1]["gpu"], &samples[1]["uuid"]), (&whole[1]["gpu"], &whole[1]["uuid"]));
    }
    assert_eq!(machine.said(), Vec::<String>::new(), "nothing is missing that could be had");
}

#[tokio::test]
async fn instances_that_do_not_all_tell_have_no_sum() {
    let cut_up = "count =1\n0.mig =1\n0.memory 4\n0.mig0.handle =0\n0.mig6.handle =0";
    let mut machine = Machine::start(cut_up);
    assert_eq!(machine.tick().await[0]["memoryUsedBytes"], 6_000_000_000_u64);
    assert_eq!(machine.said(), Vec::<String>::new());
    for silent in ["0.mig6.memory 4", "0.mig6.memory 999", "0.mig6.handle 4", "0.mig0.used =80000000001", "0.places 3", "0.places =0"] {
        machine.nvml.says(&format!("{cut_up}\n{silent}"));
        let samples = machine.tick().await;
        assert!(samples[0].get("memoryUsedBytes").is_none() && samples[0]["powerWatts"].is_number(), "{silent}: {samples:?}");
    }
    let said = machine.said();
    assert!(said.len() == 1 && said[0].contains("reason=\"memory: the current user does not have permission"), "{said:?}");
    machine.nvml.says(&format!("{cut_up}\n0.mig6.memory 15"));
    assert_eq!(machine.tick().await, Vec::<Value>::new(), "an instance cannot outlive its gpu");
}

#[tokio::test]
async fn a_gpu_may_be_cut_up_and_made_whole_again() {
    let mut machine = Machine::start("count =1");
    let ratios = |samples: Vec<Value>| samples.iter().map(|sample| sample["utilizationRatio"].as_f64()).collect::<Vec<_>>();
    assert_eq!(ratios(machine.tick().await), [Some(0.42)]);
    machine.nvml.says("count =1\n0.mig =1\n0.utilization 3");
    assert_eq!(ratios(machine.tick().await), [None]);
    machine.nvml.says("count =1\n0.mig 3");
    assert_eq!(ratios(machine.tick().await), [Some(0.42)], "a gpu that cannot be cut up");
    machine.nvml.says("count =1\n0.mig 999");
    assert_eq!(ratios(machine.tick().await), [Some(0.42)], "a driver that does not know");
    assert_eq!((machine.said(), machine.nvml.starts()), (vec![], 1));
}
