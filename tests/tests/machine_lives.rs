//! Provisioning and availability end to end: a small fleet, unknown names, empty windows, wrong roles, the future.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use plimsoll_entity::value::time::Instant;
use plimsoll_tests::{Database, Server};
use serde_json::{Value, json};

const QUESTION: &str = "query($w: TimeWindowInput!, $f: MachineFilter, $t: Float! = 0.5) {
    provisioningBreakdown(window: $w, by: [REGION, VM], filter: $f) { rows { key { region vm { name } } stats { ...p } } total { ...p } }
    availabilityBreakdown(window: $w, by: [VM], filter: $f, targetRatio: $t) { asOf window { start end } targetRatio rows { key { vm { name } } stats { ...a } } total { ...a } }
} fragment p on ProvisioningStats { requested provisioned failed terminated provisioning { count sumMs p99Ms } deprovisioning { count maxMs } }
fragment a on AvailabilityStats { upMs downMs maintenanceMs availabilityRatio incidents meanTimeToRecoverMs meetsTarget }";

fn state(number: u32, vm: &str, at: &str, state: &str, region: Option<&str>) -> Value {
    json!({"type": "vmState", "id": format!("00000000-0000-4000-8000-{number:012}"), "vm": vm, "at": format!("2026-03-02T{at}Z"), "state": state, "region": region})
}

fn sample(vm: &str, at: &str) -> Value {
    json!({"type": "vmSample", "vm": vm, "at": format!("2026-03-02T{at}Z"), "intervalSeconds": 60, "cpuRatio": 0.5})
}

async fn fleet(server: &Server) {
    let events = [
        state(1, "zoë", "10:00:00", "REQUESTED", Some("eu")),
        state(2, "zoë", "10:01:30.5", "RUNNING", None),
        sample("zoë", "10:10:00"),
        sample("zoë", "10:20:00"),
        state(3, "zoë", "10:21:00", "MAINTENANCE", None),
        state(4, "zoë", "10:31:00", "DEPROVISIONING", None),
        state(5, "zoë", "10:32:00", "TERMINATED", None),
        state(6, "adam", "10:00:00", "REQUESTED", None),
        state(7, "adam", "10:05:00", "FAILED", None),
        state(8, "eve", "10:00:00", "RUNNING", Some("us")),
    ];
    let body = events.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let (status, answer) = server.ingest(body).await.unwrap();
    assert_eq!((status, answer["accepted"].as_u64()), (200, Some(10)), "{answer}");
}

fn window(start: &str, end: &str) -> Value {
    json!({ "start": start, "end": end })
}

fn day() -> Value {
    window("2026-03-02T00:00:00Z", "2026-03-02T10:40:00Z")
}

async fn tell(database: Database) {
    let server = Server::start(&database);
    fleet(&server).await;
    let (_, answer) = server.ask(&["ADMIN"], QUESTION, json!({ "w": day() })).await;
    assert!(answer["errors"].is_null(), "{answer}");
    let none = json!({ "requested": 0, "provisioned": 0, "failed": 0, "terminated": 0, "provisioning": null, "deprovisioning": null });
    let with = |changes: Value| {
        let mut stats = none.clone();
        stats.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        stats
    };
    let (provisioning, deprovisioning) =
        (json!({ "count": 1, "sumMs": 90_500.0, "p99Ms": 90_500.0 }), json!({ "count": 1, "maxMs": 60_000.0 }));
    let rows = json!([
        { "key": { "region": "eu", "vm": { "name": "zoë" } }, "stats": with(json!({ "requested": 1, "provisioned": 1, "terminated": 1, "provisioning": provisioning, "deprovisioning": deprovisioning })) },
        { "key": { "region": "us", "vm": { "name": "eve" } }, "stats": with(json!({ "provisioned": 1 })) },
        { "key": { "region": null, "vm": { "name": "adam" } }, "stats": with(json!({ "requested": 1, "failed": 1 })) },
    ]);
    assert_eq!(answer["data"]["provisioningBreakdown"]["rows"], rows);
    let total = json!({ "requested": 2, "provisioned": 2, "failed": 1, "terminated": 1, "provisioning": provisioning, "deprovisioning": deprovisioning });
    assert_eq!(answer["data"]["provisioningBreakdown"]["total"], total);

    // Silent from 10:13 to 10:20.
    let (up, down) = (1_169_500 - 420_000, 420_000);
    let zoe = json!({ "upMs": up, "downMs": down, "maintenanceMs": 600_000, "availabilityRatio": f64::from(up) / f64::from(up + down), "incidents": 1,
        "meanTimeToRecoverMs": 420_000.0, "meetsTarget": true });
    let eve = json!({ "upMs": 2_400_000, "downMs": 0, "maintenanceMs": 0, "availabilityRatio": 1.0, "incidents": 0, "meanTimeToRecoverMs": null, "meetsTarget": true });
    let rows = json!([{ "key": { "vm": { "name": "eve" } }, "stats": eve }, { "key": { "vm": { "name": "zoë" } }, "stats": zoe }]);
    assert_eq!(answer["data"]["availabilityBreakdown"]["rows"], rows);

    unknown_and_empty(&server, &none).await;
    the_future_is_not_known(&server).await;
    wrong_questions_are_told_so(&server).await;
    server.stop();
    database.remove().await;
}

async fn unknown_and_empty(server: &Server, none: &Value) {
    let nothing = json!({ "upMs": 0, "downMs": 0, "maintenanceMs": 0, "availabilityRatio": null, "incidents": 0, "meanTimeToRecoverMs": null, "meetsTarget": null });
    let unknown = json!({ "w": day(), "f": { "regions": ["nowhere"] } });
    let nobody = json!({ "w": day(), "f": { "vms": ["nobody's"] } });
    let empty = json!({ "w": window("2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z") });
    for variables in [unknown, nobody, empty] {
        let (_, answer) = server.ask(&["ADMIN"], QUESTION, variables.clone()).await;
        assert!(answer["errors"].is_null(), "{answer}");
        for (field, total) in [("provisioningBreakdown", none), ("availabilityBreakdown", &nothing)] {
            assert_eq!((&answer["data"][field]["rows"], &answer["data"][field]["total"]), (&json!([]), total), "{variables}");
        }
    }
    // Newest states: what zoë was in the window does not count.
    let (_, answer) = server.ask(&["ADMIN"], QUESTION, json!({ "w": day(), "f": { "states": ["TERMINATED"] } })).await;
    assert_eq!(answer["data"]["availabilityBreakdown"]["rows"].as_array().unwrap().len(), 1, "{answer}");
}

async fn the_future_is_not_known(server: &Server) {
    let wide = window("2026-03-01T00:00:00Z", "2027-03-01T00:00:00Z");
    let (_, answer) = server.ask(&["ADMIN"], QUESTION, json!({ "w": wide, "f": { "vms": ["eve"] } })).await;
    let breakdown = &answer["data"]["availabilityBreakdown"];
    assert_eq!(breakdown["window"]["end"], "2027-03-01T00:00:00Z");
    let as_of = Instant::parse(breakdown["asOf"].as_str().unwrap()).unwrap().0.min(Instant::parse("2027-03-01T00:00:00Z").unwrap().0);
    let up_us = as_of - Instant::parse("2026-03-02T10:00:00Z").unwrap().0;
    assert_eq!(breakdown["total"]["upMs"].as_i64().unwrap(), (up_us + 500) / 1_000, "{answer}");
    assert_eq!(breakdown["total"]["downMs"], 0);
    let ahead = window("2200-01-01T00:00:00Z", "2200-01-02T00:00:00Z");
    let (_, answer) = server.ask(&["ADMIN"], QUESTION, json!({ "w": ahead })).await;
    assert_eq!(answer["data"]["availabilityBreakdown"]["rows"], json!([]), "{answer}");
}

async fn wrong_questions_are_told_so(server: &Server) {
    for role in ["PIPELINE_TD", "FINANCIAL_DIRECTOR", "INGEST"] {
        let (_, answer) = server.ask(&[role], QUESTION, json!({ "w": day() })).await;
        assert_eq!(answer["data"], json!({ "provisioningBreakdown": null, "availabilityBreakdown": null }), "{role}");
        let codes: Vec<&Value> = answer["errors"].as_array().unwrap().iter().map(|error| &error["extensions"]["code"]).collect();
        assert_eq!(codes, ["FORBIDDEN"; 2], "{role}");
    }
    let backwards = json!({ "w": window("2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z") });
    for (variables, field) in [(backwards, "window"), (json!({ "w": day(), "t": 1.5 }), "targetRatio")] {
        let (_, answer) = server.ask(&["ADMIN"], QUESTION, variables).await;
        let wrong = |error: &Value| error["extensions"]["code"] == "BAD_USER_INPUT" && error["extensions"]["field"] == field;
        assert!(answer["errors"].as_array().unwrap().iter().all(wrong), "{answer}");
        assert!(answer["data"]["availabilityBreakdown"].is_null());
    }
}

#[tokio::test]
async fn lives_are_told_on_sqlite() {
    tell(Database::sqlite()).await;
}

#[tokio::test]
async fn lives_are_told_on_postgres() {
    if let Some(database) = Database::postgres("machine_lives").await {
        tell(database).await;
    }
}
