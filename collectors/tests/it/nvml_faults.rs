//! The real NVML code against a library that is made here: GPUs and drivers that go and come back. Each change is said once, and
//! the library is opened anew at the paces that are promised and no more.

use plimsoll_collectors::gpu::nvml::{REOPEN_DELAY_MAX, REOPEN_DELAY_MIN};
use serde_json::Value;

use crate::agent::{printed, run};
use crate::fake_nvml::{FakeNvml, Machine};

/// The indices of samples and the last digit of their uuids.
fn gpus(samples: &[Value]) -> Vec<(u64, char)> {
    let uuid = |sample: &Value| sample["uuid"].as_str().unwrap().chars().next_back().unwrap();
    samples.iter().map(|sample| (sample["gpu"].as_u64().unwrap(), uuid(sample))).collect()
}

const ALL: [(u64, char); 3] = [(0, '0'), (1, '1'), (2, '2')];
const ALL_BUT_1: [(u64, char); 2] = [ALL[0], ALL[2]];

#[tokio::test]
async fn a_lost_gpu_costs_its_own_samples_and_comes_back_by_itself() {
    let mut machine = Machine::start("count =3");
    assert_eq!(gpus(&machine.tick().await), ALL);
    // It is noticed at whatever is asked of it.
    for lost in ["handle", "utilization", "memory", "temperature", "power", "uuid", "name", "mig"] {
        machine.nvml.says(&format!("count =3\n1.{lost} 15"));
        assert_eq!(gpus(&machine.ticks(5).await), ALL_BUT_1, "{lost}");
        machine.nvml.says("count =3");
        assert_eq!(gpus(&machine.ticks(5).await), ALL);
        assert_eq!(machine.said(), ["WARN gpu cannot be read, it is left out gpu=1 error=\"gpu is lost\"", "INFO gpu is back gpu=1"]);
    }
    assert_eq!(machine.nvml.starts(), 1, "it came back before that was tried");
}

#[tokio::test]
async fn a_gpu_that_stays_lost_is_looked_for_less_and_less() {
    let mut machine = Machine::start("count =3\n1.handle 15");
    let mut starts_at = Vec::new();
    for second in 0..2_000_u64 {
        let starts_before = machine.nvml.starts();
        assert_eq!(gpus(&machine.tick().await), ALL_BUT_1);
        if machine.nvml.starts() > starts_before {
            starts_at.push(second);
        }
    }
    // The first tick tells that it is lost, the second counts from there.
    assert_eq!(starts_at, [11, 31, 71, 151, 301 + 10, 601 + 10, 901 + 10, 1_201 + 10, 1_501 + 10, 1_801 + 10]);
    assert_eq!(starts_at[0], 1 + REOPEN_DELAY_MIN.as_secs());
    assert_eq!(starts_at[9] - starts_at[8], REOPEN_DELAY_MAX.as_secs());
    assert_eq!(machine.said().len(), 1, "and said once");
}

#[tokio::test]
async fn a_gpu_that_wants_a_reset_is_read_after_it() {
    let mut machine = Machine::start("count =3\n1.handle 16");
    assert_eq!(gpus(&machine.ticks(3).await), ALL_BUT_1);
    machine.nvml.says("count =3\n1.power 16");
    assert_eq!(gpus(&machine.ticks(100).await), ALL_BUT_1);
    assert_eq!(machine.nvml.starts(), 1 + 3, "after 10, 20 and 40 s");
    machine.nvml.says("count =3");
    assert_eq!(gpus(&machine.tick().await), ALL);
    let warning =
        "WARN gpu cannot be read, it is left out gpu=1 error=\"gpu driver failed: device requires a reset before it can be used again\"";
    assert_eq!(machine.said(), [warning, "INFO gpu is back gpu=1"]);
    machine.ticks(1_000).await;
    assert_eq!(machine.nvml.starts(), 1 + 3, "all is well");
}

#[tokio::test]
async fn a_driver_that_is_unloaded_is_found_again() {
    let mut machine = Machine::start("count =3");
    assert_eq!(gpus(&machine.tick().await), ALL);
    // Unloaded in the middle of a tick: what was read before stands.
    machine.nvml.says("count =3\n1.power 1\n2.handle 1");
    assert_eq!(gpus(&machine.tick().await), [ALL[0]]);
    machine.nvml.says("any 1\ninit 9");
    assert_eq!(machine.ticks(60).await, Vec::<Value>::new());
    assert_eq!(machine.nvml.starts(), 1 + 2, "after 10 and 20 s");
    // A new driver; the library is opened at the next turn.
    machine.nvml.says("count =3");
    assert_eq!(gpus(&machine.ticks(20).await), ALL);
    assert_eq!(machine.nvml.starts(), 1 + 3);
    let expected = [
        "WARN a collector reads nothing collector=\"gpu\" error=\"no gpu could be read: gpu driver does not answer: NVML was not first initialized with `Nvml::init()`\"",
        "WARN a collector reads nothing collector=\"gpu\" error=\"no gpu could be read: gpu driver does not answer: NVIDIA driver is not loaded\"",
        "INFO a collector reads again collector=\"gpu\"",
    ];
    assert_eq!(machine.said(), expected);
}

#[tokio::test]
async fn whatever_tells_that_the_driver_is_gone_is_understood() {
    let mut machine = Machine::start("count =2");
    machine.tick().await;
    for (error, said) in [(1, "NVML was not first"), (9, "driver is not loaded"), (18, "version mismatch")] {
        for call in ["handle", "utilization", "memory", "temperature", "power", "uuid", "name", "mig"] {
            let starts_before = machine.nvml.starts();
            machine.nvml.says(&format!("count =2\n0.{call} {error}"));
            assert_eq!(machine.ticks(3).await, Vec::<Value>::new(), "{call} {error}");
            machine.nvml.says("count =2");
            assert_eq!(machine.ticks(20).await.len(), 2);
            let log = machine.said();
            assert!(
                log.len() == 2 && log[0].contains(said) && log[1].starts_with("INFO a collector reads again"),
                "{call} {error}: {log:?}"
            );
            assert_eq!(machine.nvml.starts(), starts_before + 1);
        }
    }
}

#[tokio::test]
async fn a_driver_that_fails_over_and_over_is_not_opened_each_second() {
    let mut machine = Machine::start("count =1");
    for _ in 0..100 {
        machine.nvml.says("count =1");
        machine.tick().await;
        machine.nvml.says("count =1\n0.power 1");
        machine.tick().await;
    }
    assert!(machine.nvml.starts() <= 1 + 200 / 10, "{} starts in 200 s", machine.nvml.starts());
}

#[tokio::test]
async fn a_driver_that_is_not_up_yet_is_waited_for() {
    let mut machine = Machine::start("init 9");
    assert_eq!(machine.ticks(5).await, Vec::<Value>::new());
    machine.nvml.says("count =3");
    assert_eq!(gpus(&machine.ticks(10).await), ALL);
    let said = machine.said();
    assert!(said.len() == 2 && said[0].contains("NVIDIA driver is not loaded") && said[1].starts_with("INFO"), "{said:?}");
}

#[test]
fn an_agent_starts_without_its_driver() {
    let dir = tempfile::tempdir().unwrap();
    let nvml = FakeNvml::compile(dir.path(), "init 9");
    let output = run(&["--once", "--print", "--interval", "1s"], &[("PLIMSOLL_NVML_LIBRARY", &nvml.path)]);
    let events = printed(&output);
    assert!(!events.contains_key("gpuSample") && events["vmState"][0].get("gpuCount").is_none(), "unknown is not 0: {events:?}");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!((log.matches("gpus could not be counted").count(), log.matches("a collector reads nothing").count()), (1, 1), "{log}");
}

#[tokio::test]
async fn a_gpu_keeps_its_index_when_another_one_is_not_counted_any_more() {
    let mut machine = Machine::start("count =3");
    assert_eq!(gpus(&machine.tick().await), ALL);
    // GPU 1 falls off the bus; when the library is opened anew, GPU 2 is its second.
    machine.nvml.says("count =3\n1.handle 15");
    machine.tick().await;
    machine.nvml.says("count =2\n1.uuid =GPU-0002\n1.temperature =77");
    assert_eq!(gpus(&machine.ticks(3).await), ALL_BUT_1, "nothing of it is booked on the lost one");
    let samples = machine.ticks(20).await;
    assert_eq!(gpus(&samples), ALL_BUT_1);
    assert_eq!(samples[1]["temperatureCelsius"], 77.0);
    // It is back.
    machine.nvml.says("count =3");
    assert_eq!(gpus(&machine.ticks(100).await), ALL);
}
