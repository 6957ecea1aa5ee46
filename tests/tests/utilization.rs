//! `vmUtilization` and `Vm.utilization` against the real binary: the newest sample of each machine and GPU, as soon as it is committed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::socket::Socket;
use plimsoll_tests::{Database, Server, in_us, on_both};
use serde_json::{Value, json};

/// A second in microseconds.
const S: i64 = 1_000_000;
const MACHINES: &str = "vm { name state } at cpuRatio gpus { index at name utilizationRatio combination { label } }";

fn sample(vm: &str, us: i64, cpu_ratio: f64) -> Value {
    json!({ "type": "vmSample", "vm": vm, "at": in_us(us), "intervalSeconds": 5, "cpuRatio": cpu_ratio })
}

fn gpu_sample(vm: &str, gpu: u16, us: i64, ratio: f64) -> Value {
    json!({ "type": "gpuSample", "vm": vm, "gpu": gpu, "at": in_us(us), "utilizationRatio": ratio, "name": format!("GPU {gpu}") })
}

fn state(vm: &str, us: i64, state: &str) -> Value {
    json!({ "type": "vmState", "id": TimeOrderedIds.next_id(), "vm": vm, "at": in_us(us), "state": state, "region": "north" })
}

fn job(job: &str, us: i64, state: &str, model: &str, gpus: &[u16]) -> Value {
    json!({ "type": "job", "id": TimeOrderedIds.next_id(), "job": job, "at": in_us(us), "state": state, "model": model, "modelVersion": "1",
        "vm": "busy", "gpus": gpus })
}

async fn ingest(server: &Server, lines: &[Value]) {
    let body = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let (status, answer) = server.ingest(body).await.expect("an answer");
    assert_eq!((status, &answer["accepted"]), (200, &json!(lines.len())), "{answer}");
}

async fn watch(server: &Server, arguments: &str) -> Socket {
    let mut socket = Socket::ready(server, &["ADMIN"]).await;
    socket.subscribe("m", &format!("subscription {{ vmUtilization{arguments} {{ {MACHINES} }} }}"), json!({})).await;
    socket
}

async fn list(socket: &mut Socket) -> Value {
    socket.data("m").await["vmUtilization"].take()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|machine| machine["vm"]["name"].as_str().unwrap()).collect()
}

/// The front end's own document, and what `Vm.utilization` says of the same machines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_real_time_utilization_is_told() {
    let document = include_str!("../operations/admin-02-real-time-utilization.graphql");
    let selection = document.split_once("intervalMs: $intervalMs) {").unwrap().1.trim().strip_suffix("}\n}").unwrap();
    on_both("utilization_story", async |server| {
        let mut socket = Socket::ready(server, &["ADMIN"]).await;
        socket.subscribe("m", document, json!({ "intervalMs": 1_000 })).await;
        assert_eq!(list(&mut socket).await, json!([]));
        let full = json!({ "type": "vmSample", "vm": "a", "at": in_us(-S), "intervalSeconds": 2.5, "cpuRatio": 0.25, "memoryUsedBytes": 10,
            "memoryTotalBytes": 40, "diskUsedBytes": 7, "diskTotalBytes": 9, "networkReceivedBytes": 1_000, "networkSentBytes": 5,
            "diskReadBytes": 0 });
        let gpu = json!({ "type": "gpuSample", "vm": "a", "gpu": 1, "at": in_us(-S), "utilizationRatio": 0.5, "memoryUsedBytes": 3,
            "memoryTotalBytes": 4, "temperatureCelsius": 61.5, "uuid": "GPU-1" });
        ingest(server, &[full, state("a", -60 * S, "RUNNING"), gpu]).await;
        let payload = list(&mut socket).await;
        let mut expected = json!([{ "vm": { "name": "a", "state": "RUNNING" }, "at": null, "cpuRatio": 0.25, "memoryUsedBytes": 10,
            "memoryTotalBytes": 40, "diskUsedBytes": 7, "diskTotalBytes": 9, "networkReceivedBytesPerSecond": 400.0,
            "networkSentBytesPerSecond": 2.0, "diskReadBytesPerSecond": 0.0, "diskWrittenBytesPerSecond": null,
            "gpus": [{ "index": 1, "name": null, "utilizationRatio": 0.5, "memoryUsedBytes": 3, "memoryTotalBytes": 4,
                "temperatureCelsius": 61.5, "powerWatts": null }] }]);
        expected[0]["at"] = payload[0]["at"].clone();
        assert_eq!(payload, expected);
        let (_, answer) = server.ask(&["ADMIN"], &format!("{{ vms {{ nodes {{ utilization {{ {selection} }} }} }} }}"), json!({})).await;
        assert_eq!(answer["data"]["vms"]["nodes"][0]["utilization"], payload[0], "{answer}");
    })
    .await;
}

/// What changes nothing of what is shown is looked at and not told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_sample_is_told_and_nothing_else() {
    on_both("utilization_newest", async |server| {
        ingest(server, &[sample("a", -50 * S, 0.1)]).await;
        let mut socket = watch(server, "(intervalMs: 250)").await;
        assert_eq!(list(&mut socket).await[0]["cpuRatio"], 0.1);
        // An older one, and an execution: no payload follows, the next is that of the newer sample.
        let execution = json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "model": "sdxl", "startedAt": in_us(-9 * S),
            "finishedAt": in_us(-S), "outcome": "SUCCEEDED" });
        ingest(server, &[sample("a", -60 * S, 0.2), execution]).await;
        assert_eq!(socket.hear_within(Duration::from_millis(1_500)).await, None);
        ingest(server, &[sample("a", -40 * S, 0.3), sample("a", -45 * S, 0.4)]).await;
        assert_eq!(list(&mut socket).await[0]["cpuRatio"], 0.3);
        // A state is shown, too, and comes without a sample.
        ingest(server, &[state("a", -30 * S, "MAINTENANCE")]).await;
        let told = list(&mut socket).await;
        assert_eq!((&told[0]["vm"]["state"], &told[0]["cpuRatio"]), (&json!("MAINTENANCE"), &json!(0.3)));
        // A GPU has its own newest sample.
        ingest(server, &[gpu_sample("a", 3, -70 * S, 0.5), gpu_sample("a", 0, -20 * S, 0.6)]).await;
        let told = list(&mut socket).await;
        let gpus: Vec<_> = told[0]["gpus"].as_array().unwrap().iter().map(|gpu| (gpu["index"].clone(), gpu["name"].clone())).collect();
        assert_eq!(gpus, [(json!(0), json!("GPU 0")), (json!(3), json!("GPU 3"))]);
        assert!(told[0]["gpus"][1]["at"].as_str() < told[0]["at"].as_str() && told[0]["at"].as_str() < told[0]["gpus"][0]["at"].as_str());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_come_by_name_and_those_that_are_gone_are_cut_first() {
    on_both("utilization_machines", async |server| {
        let gone = [sample("a gone", -S, 0.1), state("a gone", -90 * S, "RUNNING"), state("a gone", -S / 2, "TERMINATED")];
        let here = [sample("c old", -3_600 * S, 0.2), sample("d", -30 * S, 0.3), state("d", -90 * S, "RUNNING"), sample("b", -20 * S, 0.4)];
        ingest(
            server,
            &[&gone[..], &here[..], &[gpu_sample("gpus only", 0, -10 * S, 0.5), state("never sampled", -S, "RUNNING")]].concat(),
        )
        .await;
        let asked = async |arguments: &str| {
            let mut socket = watch(server, arguments).await;
            list(&mut socket).await
        };
        let every = asked("").await;
        assert_eq!(names(&every), ["a gone", "b", "c old", "d", "gpus only"]);
        assert_eq!((&every[4]["cpuRatio"], &every[4]["at"]), (&Value::Null, &every[4]["gpus"][0]["at"]));
        assert_eq!(names(&asked("(limit: 4)").await), ["b", "c old", "d", "gpus only"]);
        assert_eq!(names(&asked("(limit: 2)").await), ["b", "gpus only"]);
        assert_eq!(names(&asked("(limit: 0)").await), Vec::<&str>::new());
        assert_eq!(names(&asked("(filter: { states: [RUNNING] })").await), ["d"]);
        assert_eq!(names(&asked("(filter: { states: [TERMINATED], regions: [\"north\"] })").await), ["a gone"]);
        assert_eq!(names(&asked("(filter: { vms: [\"c old\", \"gpus only\", \"nobody\"] })").await), ["c old", "gpus only"]);
        assert_eq!(names(&asked("(filter: { vms: [] })").await), Vec::<&str>::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gpu_shows_the_combination_whose_jobs_hold_it() {
    on_both("utilization_combination", async |server| {
        let gpus = [gpu_sample("busy", 0, -S, 0.5), gpu_sample("busy", 1, -S, 0.5)];
        ingest(server, &[&gpus[..], &[sample("busy", -S, 0.1), sample("idle", -S, 0.1), gpu_sample("idle", 0, -S, 0.0)]].concat()).await;
        let mut socket = watch(server, "(intervalMs: 250)").await;
        let mut combinations = async || {
            let told = list(&mut socket).await;
            let of = |machine: usize, gpu: usize| told[machine]["gpus"][gpu]["combination"]["label"].as_str().map(str::to_owned);
            [of(0, 0), of(0, 1), of(1, 0)]
        };
        let sdxl = || Some("sdxl 1".to_owned());
        assert_eq!(combinations().await, [None, None, None]);
        ingest(server, &[job("first", -20 * S, "RUNNING", "sdxl", &[0])]).await;
        assert_eq!(combinations().await, [sdxl(), None, None]);
        // One that names no GPU holds them all.
        ingest(server, &[job("second", -19 * S, "RUNNING", "sdxl", &[])]).await;
        assert_eq!(combinations().await, [sdxl(), sdxl(), None]);
        ingest(server, &[job("third", -18 * S, "RUNNING", "flux", &[1])]).await;
        assert_eq!(combinations().await, [sdxl(), None, None]);
        ingest(server, &[job("second", -17 * S, "SUCCEEDED", "sdxl", &[])]).await;
        assert_eq!(combinations().await, [sdxl(), Some("flux 1".to_owned()), None]);
        // Its execution ends it, whatever was said of its state.
        let execution = json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "job": "first", "model": "sdxl", "modelVersion": "1",
            "vm": "busy", "gpus": [0], "startedAt": in_us(-20 * S), "finishedAt": in_us(-S), "outcome": "SUCCEEDED" });
        ingest(server, &[execution]).await;
        assert_eq!(combinations().await, [None, Some("flux 1".to_owned()), None]);
        // The same from a machine.
        let query = "{ vms { nodes { name utilization { gpus { combination { label } } } } } }";
        let (_, answer) = server.ask(&["ADMIN"], query, json!({})).await;
        assert_eq!(answer["data"]["vms"]["nodes"][0]["utilization"]["gpus"][1]["combination"]["label"], "flux 1", "{answer}");
    })
    .await;
}

#[tokio::test]
async fn arguments_that_cannot_be_asked_name_themselves() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let mut socket = Socket::ready(&server, &["ADMIN"]).await;
    let many = format!("filter: {{ vms: [{}] }}", "\"x\" ".repeat(1_001));
    let cases = [
        ("intervalMs: 249", "intervalMs"),
        ("intervalMs: 60001", "intervalMs"),
        ("limit: 10001", "limit"),
        ("limit: -1", "limit"),
        (many.as_str(), "filter.vms"),
    ];
    for (arguments, field) in cases {
        socket.subscribe("m", &format!("subscription {{ vmUtilization({arguments}) {{ at }} }}"), json!({})).await;
        let error = socket.error("m").await;
        assert_eq!((&error["extensions"]["code"], &error["extensions"]["field"]), (&json!("BAD_USER_INPUT"), &json!(field)), "{error}");
    }
    for edge in ["intervalMs: 250", "intervalMs: 60000", "limit: 0", "limit: 10000"] {
        socket.subscribe("m", &format!("subscription {{ vmUtilization({edge}) {{ at }} }}"), json!({})).await;
        socket.data("m").await;
        socket.say(json!({ "id": "m", "type": "complete" })).await;
    }
    server.stop();
}
