//! The month's report as the Financial Director asks for it, closes it and takes it away, against the real binary on both databases.
//!
//! The fleet, on 2026-05-04 from 10:00 to 12:00 UTC: `m1` has one GPU and is held at 3.60 an hour, 0.001 a second. `ann` of film runs
//! sdxl 1.0 from 10:10 to 10:20: 0.60, before it 0.60 of overhead, after it 6.00 of idle time that it caused. The bill: 7.20.
//! `m2` has no rate. `bob` of games runs for as long on it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::time::Duration;

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::{Database, Server, binary, in_us, token};
use serde_json::{Value, json};

const FD: &[&str] = &["FINANCIAL_DIRECTOR"];
const REPORT: &str = include_str!("../operations/fd-07-monthly-report.graphql");
const CLOSE: &str = "mutation($month: String!) { costReportClose(month: $month) {
    costReport { state closedBy closedAt total { total { amount } } } userErrors { code field message } } }";

async fn ingest(server: &Server, lines: &[Value]) {
    let body = lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let (status, answer) = server.ingest(body).await.expect("an answer");
    assert_eq!((status, &answer["accepted"]), (200, &json!(lines.len())), "{answer}");
}

fn at(time: &str) -> String {
    format!("2026-05-04T{time}Z")
}

fn state(vm: &str, time: &str, state: &str, instance_type: &str) -> Value {
    json!({ "type": "vmState", "id": TimeOrderedIds.next_id(), "vm": vm, "at": at(time), "state": state, "instanceType": instance_type,
        "gpuCount": 1 })
}

fn run(vm: &str, start: &str, end: &str, user: &str, department: &str) -> Value {
    json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "vm": vm, "model": "sdxl", "modelVersion": "1.0", "user": user,
        "department": department, "project": "=p, \"1\"", "startedAt": at(start), "finishedAt": at(end), "outcome": "SUCCEEDED" })
}

async fn tell_fleet(server: &Server) {
    let card = json!({ "currency": "USD", "effectiveFrom": "2026-01-01T00:00:00Z", "instanceRates": [{ "instanceType": "g1", "hourly": "3.60" }] });
    let mutation = "mutation($card: RateCardInput!) { rateCardCreate(input: $card) { rateCard { id } userErrors { message } } }";
    let (_, answer) = server.ask(FD, mutation, json!({ "card": card })).await;
    assert!(answer["data"]["rateCardCreate"]["rateCard"]["id"].is_string(), "{answer}");
    let machines = [
        state("m1", "10:00:00", "RUNNING", "g1"),
        state("m1", "12:00:00", "TERMINATED", "g1"),
        state("m2", "10:00:00", "RUNNING", "odd"),
        state("m2", "12:00:00", "TERMINATED", "odd"),
    ];
    ingest(server, &machines).await;
    ingest(server, &[run("m1", "10:10:00", "10:20:00", "ann", "film"), run("m2", "10:10:00", "10:20:00", "bob", "games")]).await;
}

async fn report(server: &Server, month: &str) -> Value {
    let (_, mut answer) = server.ask(FD, REPORT, json!({ "month": month })).await;
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"]["costReport"].take()
}

/// A file and what came with it, as somebody with these roles.
async fn get(server: &Server, path: &str, roles: &[&str]) -> (u16, String, String, Vec<u8>) {
    let mut request = reqwest::Client::new().get(format!("{}{path}", server.url));
    if !roles.is_empty() {
        request = request.bearer_auth(token(roles));
    }
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (status, kind, disposition) = (response.status().as_u16(), header("content-type"), header("content-disposition"));
    (status, kind, disposition, response.bytes().await.unwrap().to_vec())
}

/// One case on each database, with the database's URL.
async fn on_each(name: &str, test: impl AsyncFn(&Server, &str)) {
    for database in [Some(Database::sqlite()), Database::postgres(name).await].into_iter().flatten() {
        let server = Server::start(&database);
        test(&server, &database.url()).await;
        server.stop();
        database.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_reported() {
    on_each("month_reported", async |server, _| {
        tell_fleet(server).await;
        let told = report(server, "2026-05").await;
        let money = |amount: &str| json!({ "total": { "amount": amount } });
        assert_eq!((&told["state"], &told["total"], &told["unattributed"]), (&json!("OPEN"), &money("7.20"), &money("0.60")), "{told}");
        let departments = told["departments"].as_array().unwrap();
        let names: Vec<&str> = departments.iter().map(|department| department["department"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["film", "games"], "an unpriced department is there");
        assert_eq!(departments[0]["change"], Value::Null);
        let project = &departments[0]["projects"][0];
        assert_eq!((&project["project"]["name"], &project["cost"]), (&json!("=p, \"1\""), &money("6.60")));
        assert_eq!(project["combinations"][0]["combination"]["label"], "sdxl 1.0");
        assert_eq!(project["users"][0]["user"]["name"], "ann");
        assert_eq!(told["exports"][1], json!({ "format": "XLSX", "path": "/exports/2026-05/report.xlsx" }));
        let empty = report(server, "2031-01").await;
        assert_eq!((&empty["total"], &empty["departments"]), (&money("0.00"), &json!([])));
        let filtered = "{ costReport(month: \"2026-05\", departments: [\"games\", \"nobody\"]) { total { total { amount } executions } } }";
        let (_, answer) = server.ask(FD, filtered, json!({})).await;
        assert_eq!(answer["data"]["costReport"]["total"], json!({ "total": { "amount": "0.00" }, "executions": 1 }));
        let (_, answer) = server.ask(FD, REPORT, json!({ "month": "2026-13" })).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
        let (_, answer) = server.ask(&["ADMIN"], REPORT, json!({ "month": "2026-05" })).await;
        assert_eq!((&answer["data"]["costReport"], &answer["errors"][0]["extensions"]["code"]), (&Value::Null, &json!("FORBIDDEN")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_had_as_files_and_on_the_command_line() {
    on_each("report_files", async |server, url| {
        tell_fleet(server).await;
        let (status, kind, disposition, csv) = get(server, "/exports/2026-05/report.csv", FD).await;
        assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8"));
        assert_eq!(disposition, "attachment; filename=\"plimsoll-2026-05-report.csv\"");
        let text = String::from_utf8(csv.clone()).unwrap();
        assert!(text.contains("\r\nTOTAL,2026-05,") && text.contains(",USD,7.20,7.20,0.60,"), "{text}");
        assert!(text.contains("\"'=p, \"\"1\"\"\""), "{text}");
        let (status, _, _, focus) = get(server, "/exports/2026-05/focus.csv?department=film", FD).await;
        assert_eq!((status, String::from_utf8(focus).unwrap().lines().count()), (200, 3), "productive and idle");
        let (status, _, _, workbook) = get(server, "/exports/2026-05/report.xlsx", FD).await;
        assert_eq!((status, &workbook[..2]), (200, &b"PK"[..]));
        for (path, roles, wanted) in [
            ("/exports/2026-05/report.csv", &[][..], 401),
            ("/exports/2026-05/report.csv", &["ADMIN"], 403),
            ("/exports/2026-5/report.csv", FD, 400),
            ("/exports/2026-05/report.csv?user=ann", FD, 400),
            ("/exports/2026-05/report.pdf", FD, 404),
        ] {
            assert_eq!(get(server, path, roles).await.0, wanted, "{path} {roles:?}");
        }
        // The command reads beside the server.
        let command = |arguments: &[&str]| {
            let mut command = Command::new(binary());
            command.arg("report").args(arguments).env("PLIMSOLL_DATABASE_URL", url).output().unwrap()
        };
        let written = command(&["--month", "2026-05"]);
        assert_eq!(written.status.code(), Some(0), "{}", String::from_utf8_lossy(&written.stderr));
        assert_eq!(String::from_utf8(written.stdout).unwrap(), text);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("may.xlsx");
        let written = command(&["--month", "2026-05", "--format", "xlsx", "--output", path.to_str().unwrap()]);
        assert_eq!((written.status.code(), &std::fs::read(&path).unwrap()[..2]), (Some(0), &b"PK"[..]));
        assert_eq!(command(&["--month", "May"]).status.code(), Some(2));
        let nowhere = folder.path().join("no/such/folder.csv");
        assert_eq!(command(&["--month", "2026-05", "--output", nowhere.to_str().unwrap()]).status.code(), Some(1));
        workbook_totals(folder.path(), &path);
        // Who took it away stands in the audit log.
        let (start, end) = (in_us(-3_600_000_000), in_us(3_600_000_000));
        let log = format!("{{ auditLog(window: {{ start: \"{start}\", end: \"{end}\" }}) {{ nodes {{ operation fields allowed }} }} }}");
        for _ in 0..50 {
            let (_, answer) = server.ask(&["ADMIN"], &log, json!({})).await;
            let wanted = json!({ "operation": "/exports/2026-05/focus.csv?department=film", "fields": ["exports"], "allowed": true });
            if answer["data"]["auditLog"]["nodes"].as_array().is_some_and(|nodes| nodes.contains(&wanted)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the export was not audited");
    })
    .await;
}

/// Settings of LibreOffice that have it work every formula out, whatever result stands beside it in the file.
const RECALCULATE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"><item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item></oor:items>"#;
/// Every sheet as CSV, with all digits.
const EVERY_SHEET: &str = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false,false,false,-1";

/// A decimal in millionths, half away from zero.
fn millionths(text: &str) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanos: i64 = format!("{whole}{:0<9}", fraction).parse().unwrap();
    (nanos + 500 * nanos.signum()) / 1_000
}

/// The formulas of every sheet, worked out by LibreOffice, are the exact totals beside them.
fn workbook_totals(folder: &std::path::Path, workbook: &std::path::Path) {
    std::fs::create_dir_all(folder.join("profile/user")).unwrap();
    std::fs::write(folder.join("profile/user/registrymodifications.xcu"), RECALCULATE).unwrap();
    let profile = format!("-env:UserInstallation=file://{}/profile", folder.display());
    let arguments = ["--headless", &profile, "--convert-to", EVERY_SHEET, "--outdir", folder.to_str().unwrap(), workbook.to_str().unwrap()];
    match Command::new("soffice").args(arguments).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return println!("skipped: the totals of the workbook in LibreOffice (soffice is not there)");
        }
        done => assert!(done.as_ref().is_ok_and(|done| done.status.success()), "{done:?}"),
    }
    let sheet = |name: &str| -> Vec<Vec<String>> {
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(folder.join(format!("may-{name}.csv"))).unwrap();
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    };
    let told = ["Summary", "film", "games", "Unattributed"].map(sheet);
    for rows in &told {
        let row = |head: &str| rows.iter().find(|row| row[0] == head).unwrap();
        let amounts: Vec<_> = row("Total").iter().zip(row("Exact")).skip(1).filter(|(_, exact)| !exact.is_empty()).collect();
        assert!(amounts.len() >= 12, "{rows:?}");
        amounts.iter().for_each(|(total, exact)| assert_eq!(millionths(total), millionths(exact), "{rows:?}"));
    }
    let line = |head: &str| told[0].iter().find(|row| row[0] == head).unwrap();
    assert_eq!((&*line("film")[1], &*line("film")[13], &*line("Total")[1], &*line("Total")[3]), ("6.6", "6.60", "7.2", "0.6"));
    // What the pie is drawn from.
    let productive = told[0].iter().find(|row| row[10] == "Productive" && row[0].is_empty()).unwrap();
    assert_eq!(productive[11], "0.6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_is_closed_once_and_in_order() {
    on_each("month_closed", async |server, _| {
        tell_fleet(server).await;
        let close = async |month: &str| server.ask(FD, CLOSE, json!({ "month": month })).await.1["data"]["costReportClose"].take();
        assert_eq!(close("soon").await["userErrors"][0]["field"], json!(["month"]));
        assert_eq!(close("9998-01").await["userErrors"][0]["code"], "BAD_USER_INPUT");
        let closed = close("2026-05").await;
        let told = &closed["costReport"];
        assert_eq!((&told["state"], &told["total"]["total"]["amount"]), (&json!("CLOSED"), &json!("7.20")), "{closed}");
        assert!(told["closedBy"].is_string() && told["closedAt"].is_string());
        assert_eq!(close("2026-05").await["userErrors"][0]["code"], "CONFLICT");
        assert!(close("2026-07").await["userErrors"][0]["message"].as_str().unwrap().contains("2026-06"));
        // What comes late for it stands in the next one.
        ingest(server, &[run("m1", "11:00:00", "11:10:00", "bob", "games")]).await;
        assert_eq!(report(server, "2026-05").await["total"]["total"]["amount"], "7.20");
        let query = "{ costReport(month: \"2026-06\") { total { total { amount } } corrections { month department { name } project { name } \
                     combination { label } amount { amount } } } }";
        let (_, answer) = server.ask(FD, query, json!({})).await;
        let told = &answer["data"]["costReport"];
        assert_eq!(told["total"]["total"]["amount"], "0.00");
        // From 11:00 on the machine is used by games, and what is idle after that is its doing.
        let amounts: Vec<(&Value, &Value)> =
            told["corrections"].as_array().unwrap().iter().map(|one| (&one["department"]["name"], &one["amount"]["amount"])).collect();
        assert_eq!(amounts, [(&json!("film"), &json!("-3.60")), (&json!("games"), &json!("3.60"))], "{answer}");
    })
    .await;
}
