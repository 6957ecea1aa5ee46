//! What the Financial Director asks, on a fleet that is small enough to be reckoned by hand, against the real binary on both databases.
//!
//! The fleet, on 2026-05-04 from 10:00 to 12:00 UTC:
//! - `m1` (type `g2`: 2 GPUs, 8 vCPUs, 64 GiB) is held for both hours at 3.60 an hour, so each GPU costs 1.80 an hour, 0.0005 a second.
//!   On GPU 0 `e1` runs from 10:10 to 10:20 (60 s load, 120 s init) and `e2` from 10:15 to 10:25: they share 10:15 to 10:20.
//!   - `e1` (sdxl 1.0 + anime 3, ann of film): 0.03 load + 0.06 init + (120 s + 300 s / 2) x 0.0005 = 0.135 inference = 0.225.
//!   - `e2` (sdxl 1.0, bob of games, failed): (300 s / 2 + 300 s) x 0.0005 = 0.225 inference.
//!   - GPU 0 before 10:10: 600 s of overhead = 0.30; after 10:25 idle by `e2`: 2,100 s = 1.05, and 1.80 in the second hour.
//!   - GPU 1 runs nothing: 1.80 of overhead in each hour. Overhead: 3.90; idle: 2.85; productive: 0.45; the bill: 7.20.
//! - `m2` (type `odd`, 1 GPU) is held from 10:00 to 11:00 and has no rate: `e3` (flux 1, ann of film) runs there for half an hour.
//! - `e4` (flux 1, cleo, cancelled) has no machine.
//! - 73 GiB of anime 3 lie in an object store for both hours: 73 x 0.02 / 730 = 0.002 an hour.
//! - Loads: anime 3 from there in 60 s, 2 GiB at 0.01 = 0.02 transfer, 60 s x 0.0005 = 0.03; sdxl from the local disk in 30 s = 0.015;
//!   flux on `m2`, unknown.
//! - The base prices of OpenCost give `m1`'s GPUs 1.9 / (1.9 + 8 x 0.031611 + 64 x 0.004237) = 1.9 / 2.424056 of each part, half up:
//!   0.03: 0.023514308, 0.06: 0.047028617, 0.135: 0.105814387, which is 0.176357312 of `e1`; 0.225: 0.176357312 of `e2`.
//! - A successful execution of sdxl is worth 1.00.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::socket::Socket;
use plimsoll_tests::{Database, Server, in_us, on_both};
use serde_json::{Value, json};

const FD: &[&str] = &["FINANCIAL_DIRECTOR"];
/// The operations of the front end.
const OPERATIONS: [(&str, &str); 8] = [
    ("fd-01", include_str!("../operations/fd-01-cost-per-run.graphql")),
    ("fd-02", include_str!("../operations/fd-02-chargeback.graphql")),
    ("fd-03", include_str!("../operations/fd-03-gpu-and-cpu-hours.graphql")),
    ("fd-04", include_str!("../operations/fd-04-storage-cost.graphql")),
    ("fd-05", include_str!("../operations/fd-05-idle-and-productive-cost.graphql")),
    ("fd-06", include_str!("../operations/fd-06-loading-cost.graphql")),
    ("fd-09", include_str!("../operations/fd-09-cost-of-success-and-failure.graphql")),
    ("fd-11", include_str!("../operations/fd-11-roi.graphql")),
];
const EXECUTIONS: [&str; 4] = [
    "00000000-0000-7000-8000-0000000000e1",
    "00000000-0000-7000-8000-0000000000e2",
    "00000000-0000-7000-8000-0000000000e3",
    "00000000-0000-7000-8000-0000000000e4",
];

fn at(time: &str) -> String {
    format!("2026-05-04T{time}Z")
}

fn window(start: &str, end: &str) -> Value {
    json!({ "window": { "start": at(start), "end": at(end) } })
}

fn both_hours() -> Value {
    window("10:00:00", "12:00:00")
}

/// An event of the day: its other fields over those that every event of its kind has.
fn event(kind: &str, fields: Value) -> Value {
    let mut event = json!({ "type": kind, "id": TimeOrderedIds.next_id() });
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

fn anime() -> Value {
    json!({ "kind": "LORA", "name": "anime", "version": "3" })
}

fn executions() -> [Value; 4] {
    [
        event(
            "execution",
            json!({ "id": EXECUTIONS[0], "vm": "m1", "gpus": [0], "model": "sdxl", "modelVersion": "1.0", "checkpoints": [anime()],
                "user": "ann", "department": "film", "startedAt": at("10:10:00"), "finishedAt": at("10:20:00"), "outcome": "SUCCEEDED",
                "checkpointLoadMs": 60_000, "modelInitMs": 120_000 }),
        ),
        event(
            "execution",
            json!({ "id": EXECUTIONS[1], "vm": "m1", "gpus": [0], "model": "sdxl", "modelVersion": "1.0", "user": "bob",
                "department": "games", "startedAt": at("10:15:00"), "finishedAt": at("10:25:00"), "outcome": "FAILED",
                "errorType": "OutOfMemory" }),
        ),
        event(
            "execution",
            json!({ "id": EXECUTIONS[2], "vm": "m2", "gpus": [0], "model": "flux", "modelVersion": "1", "user": "ann",
                "department": "film", "startedAt": at("10:00:00"), "finishedAt": at("10:30:00"), "outcome": "SUCCEEDED" }),
        ),
        event(
            "execution",
            json!({ "id": EXECUTIONS[3], "model": "flux", "modelVersion": "1", "user": "cleo", "startedAt": at("10:40:00"),
                "finishedAt": at("10:41:00"), "outcome": "CANCELLED" }),
        ),
    ]
}

fn machines() -> [Value; 4] {
    let state = |vm: &str, time: &str, state: &str| json!({ "vm": vm, "at": at(time), "state": state });
    let typed = |mut state: Value, fields: Value| {
        state.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event("vmState", state)
    };
    let g2 = json!({ "instanceType": "g2", "region": "north", "purchaseOption": "ON_DEMAND", "gpuCount": 2, "vCpus": 8,
        "memoryBytes": 64_u64 << 30 });
    [
        typed(state("m1", "10:00:00", "RUNNING"), g2),
        typed(state("m1", "12:00:00", "TERMINATED"), json!({})),
        typed(state("m2", "10:00:00", "RUNNING"), json!({ "instanceType": "odd", "gpuCount": 1 })),
        typed(state("m2", "11:00:00", "TERMINATED"), json!({})),
    ]
}

fn bytes() -> [Value; 5] {
    let lies = |time: &str, bytes: u64| {
        event(
            "storageSnapshot",
            json!({ "at": at(time), "storageType": "OBJECT_STORE", "storageLocation": "bucket", "sizeBytes": bytes, "model": "sdxl",
                "modelVersion": "1.0", "checkpoint": anime() }),
        )
    };
    let load = |vm: &str, start: &str, end: &str, fields: Value| {
        let mut load = json!({ "vm": vm, "startedAt": at(start), "finishedAt": at(end) });
        load.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event("checkpointLoad", load)
    };
    [
        lies("10:00:00", 73 << 30),
        lies("12:00:00", 0),
        load(
            "m1",
            "10:09:00",
            "10:10:00",
            json!({ "model": "sdxl", "modelVersion": "1.0", "checkpoint": anime(), "storageType": "OBJECT_STORE",
                "storageLocation": "bucket", "cacheHit": false, "bytes": 2_u64 << 30 }),
        ),
        load(
            "m1",
            "10:14:30",
            "10:15:00",
            json!({ "model": "sdxl", "modelVersion": "1.0", "storageType": "LOCAL_DISK", "cacheHit": true }),
        ),
        load("m2", "10:05:00", "10:05:10", json!({ "model": "flux", "modelVersion": "1", "storageType": "GPU_MEMORY", "cacheHit": true })),
    ]
}

async fn ingest(server: &Server, lines: &[Value]) {
    let body = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let (status, answer) = server.ingest(body).await.expect("an answer");
    assert_eq!((status, &answer["accepted"]), (200, &json!(lines.len())), "{answer}");
}

/// What machines, bytes and results cost and are worth, entered as the Financial Director does it.
async fn set_prices(server: &Server) {
    let card = json!({ "currency": "USD", "effectiveFrom": "2026-01-01T00:00:00Z",
        "instanceRates": [{ "instanceType": "g2", "hourly": "3.60" }],
        "storageRates": [{ "storageType": "OBJECT_STORE", "perGibMonth": "0.02" }],
        "transferRates": [{ "storageType": "OBJECT_STORE", "perGib": "0.01" }] });
    let value = json!({ "currency": "USD", "effectiveFrom": "2026-01-01T00:00:00Z", "model": "sdxl", "perSuccess": "1.00" });
    let mutation = "mutation($card: RateCardInput!, $value: BusinessValueInput!) {
        rateCardCreate(input: $card) { rateCard { id } userErrors { code message } }
        businessValueCreate(input: $value) { businessValue { id } userErrors { code message } } }";
    let (_, answer) = server.ask(FD, mutation, json!({ "card": card, "value": value })).await;
    let created = |field: &str, object: &str| !answer["data"][field][object]["id"].is_null();
    assert!(created("rateCardCreate", "rateCard") && created("businessValueCreate", "businessValue"), "{answer}");
}

async fn tell_fleet(server: &Server) {
    ingest(server, &[&machines()[..], &executions()[..], &bytes()[..]].concat()).await;
    set_prices(server).await;
}

/// The data of an answer without errors; floats to nine digits.
async fn data(server: &Server, query: &str, variables: Value) -> Value {
    let (_, mut answer) = server.ask(FD, query, variables).await;
    assert!(answer["errors"].is_null(), "{query}: {answer}");
    let mut data = answer["data"].take();
    round(&mut data);
    data
}

fn round(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(round),
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Number(number) if number.is_f64() => *value = json!((number.as_f64().unwrap() * 1e9).round() / 1e9),
        _ => {}
    }
}

fn operation(name: &str) -> &'static str {
    OPERATIONS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// An amount as it is selected alone.
fn m(amount: &str) -> Value {
    json!({ "amount": amount })
}

fn label(label: &str) -> Value {
    if label.is_empty() { Value::Null } else { json!({ "label": label }) }
}

fn named(name: &str) -> Value {
    if name.is_empty() { Value::Null } else { json!({ "name": name }) }
}

const BASE: &str = "sdxl 1.0";
const ANIME: &str = "sdxl 1.0 + anime 3";
const FLUX: &str = "flux 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_a_run_is_told() {
    on_both("cost_per_run", async |server| {
        tell_fleet(server).await;
        let told = &data(server, operation("fd-01"), both_hours()).await["costBreakdown"];
        // total, inference, load, init, idle, overhead; executions, uncosted; cost and full cost of one.
        type Amounts = [&'static str; 6];
        let row = |model: &str, combination: &str, [total, inference, load, init, idle, overhead]: Amounts, compute: &str, rest: Value| {
            let mut cost = json!({ "total": m(total), "compute": { "total": m(compute), "inference": m(inference),
                "checkpointLoad": m(load), "modelInit": m(init), "idle": m(idle), "overhead": m(overhead) } });
            cost.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            json!({ "key": { "model": named(model), "combination": label(combination) }, "cost": cost })
        };
        let counts = |executions: u64, uncosted: u64, each: Option<(&str, &str)>| {
            json!({ "executions": executions, "uncostedExecutions": uncosted,
                "costPerExecution": each.map(|(cost, _)| json!({ "amount": cost, "currency": "USD" })),
                "fullCostPerExecution": each.map(|(_, full)| m(full)) })
        };
        let rows = json!([
            row("sdxl", BASE, ["3.075", "0.225", "0.00", "0.00", "2.85", "0.00"], "3.075", counts(1, 0, Some(("0.225", "3.075")))),
            row("sdxl", ANIME, ["0.225", "0.135", "0.03", "0.06", "0.00", "0.00"], "0.225", counts(1, 0, Some(("0.225", "0.225")))),
            row("flux", FLUX, ["0.00", "0.00", "0.00", "0.00", "0.00", "0.00"], "0.00", counts(2, 2, None)),
            row("sdxl", "", ["0.024", "0.00", "0.00", "0.00", "0.00", "0.00"], "0.00", counts(0, 0, None)),
            row("", "", ["3.90", "0.00", "0.00", "0.00", "0.00", "3.90"], "3.90", counts(0, 0, None)),
        ]);
        assert_eq!(told["rows"], rows);
        let total = json!({ "total": m("7.224"), "compute": { "unpricedVmHours": 1.0 }, "executions": 4, "uncostedExecutions": 2,
            "costPerExecution": m("0.225") });
        assert_eq!((&told["total"], &told["currency"]), (&total, &json!("USD")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_everybody_is_charged_is_told() {
    on_both("chargeback", async |server| {
        tell_fleet(server).await;
        let told = data(server, operation("fd-02"), both_hours()).await;
        let row = |department: &str, total: &str, gpu_hours: f64| {
            json!({ "key": { "department": named(department) }, "cost": { "total": m(total), "gpuHours": gpu_hours } })
        };
        // 3.90 overhead and 0.024 of bytes are nobody's; (3.075 + 0.225) / 7.20 are somebody's.
        let by_department = json!({ "rows": [row("", "3.924", 0.0), row("games", "3.075", 0.125), row("film", "0.225", 0.625)],
            "total": { "total": m("7.224"), "attributedRatio": 0.458_333_333 } });
        assert_eq!(told["byDepartment"], by_department);
        let row = |department: &str, user: &str, combination: &str, total: &str, executions: u64, gpu_hours: f64| {
            json!({ "key": { "department": named(department), "user": named(user), "combination": label(combination) },
                "cost": { "total": m(total), "executions": executions, "gpuHours": gpu_hours } })
        };
        let rows = json!([
            row("", "", "", "3.924", 0, 0.0),
            row("games", "bob", BASE, "3.075", 1, 0.125),
            row("film", "ann", ANIME, "0.225", 1, 0.125),
            row("film", "ann", FLUX, "0.00", 1, 0.5),
            row("", "cleo", FLUX, "0.00", 1, 0.0),
        ]);
        assert_eq!(told["byUser"], json!({ "rows": rows, "other": null }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gpu_and_cpu_hours_and_their_cost_are_told() {
    on_both("gpu_and_cpu_hours", async |server| {
        tell_fleet(server).await;
        let told = &data(server, operation("fd-03"), both_hours()).await["costBreakdown"];
        let cost = |gpu: (f64, &str), cpu: (f64, &str), compute: &str, productive: &str| {
            json!({ "gpuHours": gpu.0, "gpuCost": m(gpu.1), "cpuHours": cpu.0, "cpuCost": m(cpu.1),
                "compute": { "total": m(compute), "productive": m(productive) } })
        };
        let row = |combination: &str, cost: Value| json!({ "key": { "combination": label(combination) }, "cost": cost });
        // 450 s of one of two slots each; what `m2` and its GPU did is counted in hours, its vCPUs are unknown.
        let rows = json!([
            row("", cost((0.0, "0.00"), (0.0, "0.00"), "3.90", "0.00")),
            row(BASE, cost((0.125, "0.176357312"), (0.5, "0.048642688"), "3.075", "0.225")),
            row(ANIME, cost((0.125, "0.176357312"), (0.5, "0.048642688"), "0.225", "0.225")),
            row(FLUX, cost((0.5, "0.00"), (0.0, "0.00"), "0.00", "0.00")),
        ]);
        assert_eq!(told["rows"], rows);
        assert_eq!(told["total"], cost((0.75, "0.352714624"), (1.0, "0.097285376"), "7.20", "0.45"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_storage_is_told() {
    on_both("storage_cost", async |server| {
        tell_fleet(server).await;
        let told = data(server, operation("fd-04"), both_hours()).await;
        let row = |model: &str, amount: &str| json!({ "key": { "model": named(model) }, "cost": { "storage": m(amount) } });
        let by_model = json!({ "rows": [row("sdxl", "0.004"), row("flux", "0.00"), row("", "0.00")], "total": { "storage": m("0.004") } });
        assert_eq!(told["byModel"], by_model);
        let anime = json!({ "checkpoint": { "kind": "LORA", "name": "anime" }, "version": "3" });
        let row = |version: Value, amount: &str| json!({ "key": { "checkpointVersion": version }, "cost": { "storage": m(amount) } });
        let by_checkpoint = json!({ "rows": [row(anime, "0.004"), row(Value::Null, "0.00")], "total": { "storage": m("0.004") } });
        assert_eq!(told["byCheckpoint"], by_checkpoint);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_productive_cost_are_told_in_both_views() {
    on_both("idle_cost", async |server| {
        tell_fleet(server).await;
        let told = data(server, operation("fd-05"), both_hours()).await;
        let compute = |[total, productive, idle, overhead]: [&str; 4]| json!({ "compute": { "total": m(total), "productive": m(productive), "idle": m(idle), "overhead": m(overhead) } });
        let row = |vm: &str, amounts: [&str; 4]| json!({ "key": { "vm": named(vm) }, "cost": compute(amounts) });
        let (bill, nothing) = (["7.20", "0.45", "2.85", "3.90"], ["0.00"; 4]);
        let by_machine = json!({ "rows": [row("m1", bill), row("m2", nothing), row("", nothing)], "total": compute(bill) });
        assert_eq!(told["byMachine"], by_machine);
        let row = |combination: &str, productive: &str, idle: &str| {
            json!({ "key": { "combination": label(combination) }, "cost": { "compute": { "productive": m(productive), "idle": m(idle) } } })
        };
        let total = json!({ "compute": { "idle": m("2.85") } });
        let caused = json!([row(BASE, "0.225", "2.85"), row(FLUX, "0.00", "0.00"), row(ANIME, "0.225", "0.00"), row("", "0.00", "0.00")]);
        assert_eq!(told["caused"], json!({ "rows": caused, "total": total }));
        // Of the first hour's 1.05 each bears half, as they were productive; in the second nobody was.
        let spread = json!([row("", "0.00", "1.80"), row(BASE, "0.225", "0.525"), row(ANIME, "0.225", "0.525"), row(FLUX, "0.00", "0.00")]);
        assert_eq!(told["spread"], json!({ "rows": spread, "total": total }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_loading_is_told() {
    on_both("loading_cost", async |server| {
        tell_fleet(server).await;
        let told = &data(server, operation("fd-06"), both_hours()).await["loadBreakdown"];
        let row = |version: Value, storage_type: &str, misses: u64, bytes: u64, cost: Value| {
            json!({ "key": { "checkpointVersion": version, "storageType": storage_type },
                "stats": { "loads": 1, "cacheMisses": misses, "bytes": bytes, "cost": cost } })
        };
        let anime = json!({ "checkpoint": { "kind": "LORA", "name": "anime" }, "version": "3" });
        let cost =
            |total: &str, compute: &str, transfer: &str| json!({ "total": m(total), "compute": m(compute), "transfer": m(transfer) });
        let with_each = |mut cost: Value, each: &str| {
            cost["perLoad"] = m(each);
            cost
        };
        let rows = json!([
            row(anime, "OBJECT_STORE", 1, 2 << 30, with_each(cost("0.05", "0.03", "0.02"), "0.05")),
            row(Value::Null, "GPU_MEMORY", 0, 0, Value::Null),
            row(Value::Null, "LOCAL_DISK", 0, 0, with_each(cost("0.015", "0.015", "0.00"), "0.015")),
        ]);
        assert_eq!(told["rows"], rows);
        assert_eq!(told["total"], json!({ "loads": 3, "bytes": 2_u64 << 30, "cost": cost("0.065", "0.045", "0.02") }));
        let each = "query($window: TimeWindowInput!) { loadBreakdown(window: $window, by: []) { total { cost { perLoad { amount } } } } }";
        let told = data(server, each, both_hours()).await;
        // 0.065 / 2: the third is unknown.
        assert_eq!(told["loadBreakdown"]["total"]["cost"]["perLoad"], m("0.0325"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_success_and_failure_is_told() {
    on_both("success_and_failure", async |server| {
        tell_fleet(server).await;
        let told = data(server, operation("fd-09"), both_hours()).await;
        let amounts = |[succeeded, failed, cancelled]: [&str; 3], per_success: Value, per_failed: Value| {
            json!({ "costOfSucceeded": m(succeeded), "costOfFailed": m(failed), "costOfCancelled": m(cancelled),
                "costPerSuccess": per_success, "costPerFailed": per_failed })
        };
        let row = |combination: &str, [succeeded, failed, cancelled]: [u64; 3], mut cost: Value| {
            cost.as_object_mut().unwrap().extend(
                json!({ "executions": succeeded + failed + cancelled, "succeeded": succeeded, "failed": failed, "cancelled": cancelled })
                    .as_object()
                    .unwrap()
                    .clone(),
            );
            json!({ "key": { "combination": label(combination) }, "cost": cost })
        };
        let (zero, null) = ("0.00", Value::Null);
        let rows = json!([
            row("", [0, 0, 0], amounts([zero; 3], null.clone(), null.clone())),
            row(BASE, [0, 1, 0], amounts([zero, "0.225", zero], null.clone(), m("0.225"))),
            row(ANIME, [1, 0, 0], amounts(["0.225", zero, zero], m("0.225"), null.clone())),
            row(FLUX, [1, 0, 1], amounts([zero; 3], null.clone(), null.clone())),
        ]);
        assert_eq!(told["costBreakdown"]["rows"], rows);
        // One good result took all of the productive 0.45: the failed execution is in it.
        assert_eq!(told["costBreakdown"]["total"], amounts(["0.225", "0.225", zero], m("0.45"), m("0.225")));
        let failed = json!([{ "key": { "errorType": "OutOfMemory" }, "cost": { "failed": 1, "costOfFailed": m("0.225") } }]);
        assert_eq!(told["byError"], json!({ "rows": failed }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_worth_its_cost_is_told() {
    on_both("roi", async |server| {
        tell_fleet(server).await;
        let told = &data(server, operation("fd-11"), both_hours()).await["roiBreakdown"];
        // executions, succeeded, a day, of all; cost, value, net; ratio, verdict.
        type Counts = (u64, u64, f64, f64);
        let row = |combination: &str,
                   (executions, succeeded, a_day, usage): Counts,
                   cost: &str,
                   worth: Option<(&str, &str)>,
                   ratio: Value,
                   verdict: &str| {
            json!({ "key": { "combination": label(combination) }, "roi": { "executions": executions, "succeeded": succeeded,
                "executionsPerDay": a_day, "usageRatio": usage, "cost": m(cost), "value": worth.map(|(value, _)| m(value)),
                "net": worth.map(|(_, net)| m(net)), "roiRatio": ratio, "verdict": verdict } })
        };
        let rows = json!([
            row("", (0, 0, 0.0, 0.0), "3.924", None, Value::Null, "NO_VALUE_SET"),
            // A value is in force, and it did not succeed; a quarter of all executions is too much to give it up.
            row(BASE, (1, 0, 12.0, 0.25), "3.075", Some(("0.00", "-3.075")), json!(-1.0), "OPTIMIZE"),
            row(ANIME, (1, 1, 12.0, 0.25), "0.225", Some(("1.00", "0.775")), json!(3.444_444_444), "INVEST"),
            row(FLUX, (2, 1, 24.0, 0.5), "0.00", None, Value::Null, "NO_VALUE_SET"),
        ]);
        assert_eq!(told["rows"], rows);
        assert_eq!(told["total"], json!({ "executions": 4, "cost": m("7.224"), "value": m("1.00"), "net": m("-6.224") }));
    })
    .await;
}

/// The parts of fd-10 that costs alone answer, and what a limit cuts off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_most_expensive_is_told() {
    on_both("most_expensive", async |server| {
        tell_fleet(server).await;
        let document = "query($window: TimeWindowInput!, $limit: Int!) {
            models: costBreakdown(window: $window, by: [MODEL], limit: $limit) { rows { key { model { name } } cost { total { amount } } } other { total { amount } } total { total { amount } } }
            checkpoints: costBreakdown(window: $window, by: [CHECKPOINT], limit: $limit) { rows { key { checkpoint { kind name } } cost { total { amount } } } other { total { amount } } total { total { amount } } }
            users: costBreakdown(window: $window, by: [USER], limit: $limit) { rows { key { user { name } } cost { total { amount } } } other { total { amount } } total { total { amount } } }
        }";
        let row = |dimension: &str, value: Value, total: &str| json!({ "key": { dimension: value }, "cost": { "total": m(total) } });
        let anime = json!({ "kind": "LORA", "name": "anime" });
        let every = [
            ("models", vec![row("model", Value::Null, "3.90"), row("model", named("sdxl"), "3.324"), row("model", named("flux"), "0.00")]),
            ("checkpoints", vec![row("checkpoint", Value::Null, "6.975"), row("checkpoint", anime, "0.249")]),
            (
                "users",
                vec![
                    row("user", Value::Null, "3.924"),
                    row("user", named("bob"), "3.075"),
                    row("user", named("ann"), "0.225"),
                    row("user", named("cleo"), "0.00"),
                ],
            ),
        ];
        let asked = |limit: u64| {
            let mut variables = both_hours();
            variables["limit"] = json!(limit);
            variables
        };
        let (all, first) = (data(server, document, asked(10)).await, data(server, document, asked(1)).await);
        for ((field, rows), rest) in every.into_iter().zip(["3.324", "0.249", "3.30"]) {
            let total = json!({ "total": m("7.224") });
            assert_eq!(all[field], json!({ "rows": rows, "other": null, "total": total }));
            assert_eq!(first[field], json!({ "rows": rows[..1], "other": { "total": m(rest) }, "total": total }));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs_over_time_add_up_and_have_no_minutes() {
    on_both("cost_series", async |server| {
        tell_fleet(server).await;
        let document = "query($window: TimeWindowInput!, $step: Step!) { costSeries(window: $window, step: $step, by: [SERVICE_TYPE]) {
            rowCount currency rows { key { serviceType } points { window { start } cost { total { amount } } } }
            total { cost { total { amount } } } } }";
        let asked = |step: &str| {
            let mut variables = both_hours();
            variables["step"] = json!(step);
            variables
        };
        let told = data(server, document, asked("HOUR")).await["costSeries"].take();
        let points = |amounts: [&str; 2]| -> Vec<Value> {
            let tile = |(start, amount): (&str, &str)| json!({ "window": { "start": at(start) }, "cost": { "total": m(amount) } });
            ["10:00:00", "11:00:00"].into_iter().zip(amounts).map(tile).collect()
        };
        let row = |service_type: &str, amounts: [&str; 2]| json!({ "key": { "serviceType": service_type }, "points": points(amounts) });
        let rows = json!([row("COMPUTE", ["3.60", "3.60"]), row("TRANSFER", ["0.02", "0.00"]), row("STORAGE", ["0.002", "0.002"])]);
        let total = json!([{ "cost": { "total": m("3.622") } }, { "cost": { "total": m("3.602") } }]);
        assert_eq!(told, json!({ "rowCount": 3, "currency": "USD", "rows": rows, "total": total }));
        let (_, answer) = server.ask(FD, document, asked("MINUTE")).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["field"]), (&json!("BAD_USER_INPUT"), &json!("step")), "{answer}");
    })
    .await;
}

/// An execution shows its share of the bill to who may read it, and everything else to everybody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_shows_its_share_of_the_bill() {
    on_both("execution_cost", async |server| {
        tell_fleet(server).await;
        let document =
            "query($window: TimeWindowInput!) { executions(window: $window) { nodes { user { name } outcome cost { amount currency } } } }";
        let told = data(server, document, both_hours()).await["executions"]["nodes"].take();
        let amount = json!({ "amount": "0.225", "currency": "USD" });
        // Newest first: e4, e3, e2, e1.
        let costs: Vec<&Value> = told.as_array().unwrap().iter().map(|execution| &execution["cost"]).collect();
        assert_eq!(costs, [&Value::Null, &Value::Null, &amount, &amount]);
        let one = |id: &str| format!(r#"{{ execution(id: "{id}") {{ outcome cost {{ amount }} }} }}"#);
        assert_eq!(data(server, &one(EXECUTIONS[0]), json!({})).await["execution"]["cost"], m("0.225"));
        let (_, answer) = server.ask(&["ADMIN"], &one(EXECUTIONS[1]), json!({})).await;
        assert_eq!(answer["data"]["execution"], json!({ "outcome": "FAILED", "cost": null }));
        let errors = answer["errors"].as_array().unwrap();
        assert_eq!((errors.len(), &errors[0]["extensions"]["code"]), (1, &json!("FORBIDDEN")));
        assert_eq!(errors[0]["path"], json!(["execution", "cost"]));
    })
    .await;
}

/// Names that nobody has, hours in which there is nothing, hours that were asked for in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_costs_nothing_and_hours_are_whole() {
    on_both("cost_of_nothing", async |server| {
        tell_fleet(server).await;
        let document = "query($window: TimeWindowInput!, $filter: CostFilter) {
            costBreakdown(window: $window, by: [USER], filter: $filter) { window { start end } rowCount rows { key { id } } other { executions } total {
                total { amount } compute { unpricedVmHours } gpuHours executions costPerExecution { amount } costPerFailed { amount } attributedRatio } }
            roiBreakdown(window: $window, by: [USER], filter: $filter) { rowCount other { executions } total {
                executions executionsPerDay usageRatio cost { amount } value { amount } net { amount } roiRatio verdict } } }";
        let nothing = json!({ "total": m("0.00"), "compute": { "unpricedVmHours": 0.0 }, "gpuHours": 0.0, "executions": 0,
            "costPerExecution": null, "costPerFailed": null, "attributedRatio": null });
        let worthless = json!({ "rowCount": 0, "other": null, "total": { "executions": 0, "executionsPerDay": 0.0, "usageRatio": 0.0,
            "cost": m("0.00"), "value": null, "net": null, "roiRatio": null, "verdict": "NO_VALUE_SET" } });
        let filtered = |window: Value, filter: Value| {
            let mut variables = window;
            variables["filter"] = filter;
            variables
        };
        let cases = [
            filtered(both_hours(), json!({ "users": ["nobody"] })),
            filtered(both_hours(), json!({ "models": ["sdxl"], "serviceTypes": [] })),
            // Bytes have no user.
            filtered(both_hours(), json!({ "users": ["ann"], "serviceTypes": ["STORAGE", "TRANSFER"] })),
            filtered(window("13:00:00", "14:00:00"), Value::Null),
        ];
        for variables in cases {
            let told = data(server, document, variables.clone()).await;
            let costs = &told["costBreakdown"];
            assert_eq!((&costs["rowCount"], &costs["rows"], &costs["other"]), (&json!(0), &json!([]), &Value::Null), "{variables}");
            assert_eq!((&costs["total"], &told["roiBreakdown"]), (&nothing, &worthless), "{variables}");
        }
        let told = data(server, document, filtered(window("10:30:00", "10:31:00"), Value::Null)).await;
        let costs = &told["costBreakdown"];
        assert_eq!(costs["window"], json!({ "start": at("10:00:00"), "end": at("11:00:00") }));
        assert_eq!(costs["total"]["total"], m("3.622"));
    })
    .await;
}

#[tokio::test]
async fn who_may_not_read_costs_reads_everything_else() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    tell_fleet(&server).await;
    for (name, document) in OPERATIONS {
        let (status, answer) = server.ask(&[], document, both_hours()).await;
        assert_eq!((status, answer["errors"][0]["extensions"]["code"].as_str()), (401, Some("UNAUTHENTICATED")), "{name}: {answer}");
        for role in ["PIPELINE_TD", "ADMIN", "INGEST"] {
            let (_, answer) = server.ask(&[role], document, both_hours()).await;
            let errors = answer["errors"].as_array().unwrap();
            assert!(errors.iter().all(|error| error["extensions"]["code"] == "FORBIDDEN"), "{name} as {role}: {answer}");
            if name == "fd-06" && role != "INGEST" {
                // Loads are theirs to read: only what they cost is not.
                let total = json!({ "loads": 3, "bytes": 2_u64 << 30, "cost": null });
                assert_eq!(answer["data"]["loadBreakdown"]["total"], total, "{role}");
                assert!(errors.iter().all(|error| error["path"].as_array().unwrap().ends_with(&[json!("cost")])), "{answer}");
            } else {
                assert!(answer["data"].as_object().unwrap().values().all(Value::is_null), "{name} as {role}: {answer}");
            }
        }
    }
    server.stop();
}

#[tokio::test]
async fn questions_that_cannot_be_asked_name_their_argument() {
    let database = Database::sqlite();
    let server = Server::start_with(&database.url(), &[("PLIMSOLL_CURRENCY", "EUR")]);
    let window = r#"window: { start: "2026-05-04T10:00:00Z", end: "2026-05-04T12:00:00Z" }"#;
    let cases = [
        ("by: [MODEL, MODEL]", "by"),
        ("by: [MODEL, USER, VM, REGION, PROJECT]", "by"),
        ("by: [MODEL], limit: 10001", "limit"),
        ("by: [MODEL], limit: -1", "limit"),
    ];
    let many = format!("by: [MODEL], filter: {{ users: [{}] }}", "\"x\" ".repeat(1_001));
    for field in ["costBreakdown", "roiBreakdown"] {
        for (arguments, argument) in cases.into_iter().chain([(many.as_str(), "filter.users")]) {
            let (_, answer) = server.ask(FD, &format!("{{ {field}({window}, {arguments}) {{ rowCount }} }}"), json!({})).await;
            let extensions = &answer["errors"][0]["extensions"];
            assert_eq!((&extensions["code"], &extensions["field"]), (&json!("BAD_USER_INPUT"), &json!(argument)), "{arguments}: {answer}");
        }
    }
    // The currency is the one of the configuration, wherever it stands.
    let document = format!(
        "{{ serviceConfig {{ currency }} costBreakdown({window}, by: []) {{ currency total {{ total {{ currency }} }} }}
        costSeries({window}, step: HOUR) {{ currency }} roiBreakdown({window}, by: []) {{ currency total {{ cost {{ currency }} }} }} }}"
    );
    let told = data(&server, &document, json!({})).await;
    for place in
        ["/serviceConfig", "/costBreakdown", "/costBreakdown/total/total", "/costSeries", "/roiBreakdown", "/roiBreakdown/total/cost"]
    {
        assert_eq!(told.pointer(place).unwrap()["currency"], "EUR", "{place}: {told}");
    }
    server.stop();
}

const HOUR_US: i64 = 3_600_000_000;

fn nanos(amount: &Value) -> i128 {
    let (whole, fraction) = amount["amount"].as_str().unwrap().split_once('.').unwrap();
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

/// The bill of the current hour grows while a machine is held, without any event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_meter_runs_while_a_machine_is_held() {
    on_both("cost_meter", async |server| {
        set_prices(server).await;
        let held = json!({ "vm": "m1", "at": in_us(-2 * HOUR_US), "state": "RUNNING", "instanceType": "g2", "gpuCount": 2 });
        ingest(server, &[event("vmState", held)]).await;
        let mut socket = Socket::ready(server, FD).await;
        let document = "subscription { costMeter(by: [VM], intervalMs: 250) { window { start end } asOf currency rowCount
            rows { key { vm { name } } cost { total { amount } } } total { total { amount } compute { overhead { amount } } } } }";
        socket.subscribe("m", document, json!({})).await;
        let mut last: Option<(Value, i128)> = None;
        for _ in 0..3 {
            let told = socket.data("m").await["costMeter"].take();
            let (window, total) = (told["window"].clone(), nanos(&told["total"]["total"]));
            assert!(window["start"].as_str() <= told["asOf"].as_str() && told["asOf"].as_str() < window["end"].as_str(), "{told}");
            assert_eq!((&told["currency"], &told["total"]["compute"]["overhead"]), (&json!("USD"), &told["total"]["total"]));
            // A new hour begins with a new bill; within one it grows, up to 3.60.
            assert!(last.is_none_or(|(before, least)| before != window || total > least), "{told}");
            assert!((0..=3_600_000_000).contains(&total), "{told}");
            assert_eq!(told["rows"][0]["key"]["vm"]["name"], "m1", "{told}");
            last = Some((window, total));
        }
    })
    .await;
}

/// Where nothing is held, the first payload is followed by none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_of_nothing_stands_still_and_asks_for_what_can_be_asked() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let mut socket = Socket::ready(&server, FD).await;
    socket.subscribe("m", "subscription { costMeter(intervalMs: 250) { window { start } total { total { amount } } } }", json!({})).await;
    let first = socket.data("m").await["costMeter"].take();
    assert_eq!(first["total"]["total"], m("0.00"));
    if let Some(message) = socket.hear_within(Duration::from_millis(1_500)).await {
        // Unless the hour has just changed.
        assert!(!format!("{message:?}").contains(first["window"]["start"].as_str().unwrap()), "{message:?}");
    }
    let wrong = [("intervalMs: 249", "intervalMs"), ("intervalMs: 60001", "intervalMs"), ("limit: 10001", "limit"), ("by: [VM, VM]", "by")];
    for (arguments, field) in wrong {
        socket.subscribe("w", &format!("subscription {{ costMeter({arguments}) {{ asOf }} }}"), json!({})).await;
        let error = socket.error("w").await;
        assert_eq!((&error["extensions"]["code"], &error["extensions"]["field"]), (&json!("BAD_USER_INPUT"), &json!(field)), "{error}");
    }
    server.stop();
}
