//! `POST /ingest` of the real binary: what each line becomes, what is refused as a whole, and that an accepted event is never lost.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use plimsoll_tests::proxy::{Line, Proxy};
use plimsoll_tests::{Database, Server, token};
use reqwest::{Response, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest that an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const WINDOW: (&str, &str) = ("2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z");

/// A good event; each number is another one.
fn good(number: usize) -> String {
    let (id, second) = (format!("0195f3a0-2222-7222-8333-{number:012x}"), number % 60);
    format!(
        r#"{{"type":"execution","id":"{id}","model":"sdxl","startedAt":"2026-03-01T10:00:{second:02}Z","finishedAt":"2026-03-01T10:01:{second:02}Z","outcome":"SUCCEEDED"}}"#
    )
}

fn batch(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| good(number) + "\n").collect()
}

async fn post(url: &str, path: &str, roles: &[&str], headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
    let mut request = reqwest::Client::new().post(format!("{url}{path}")).timeout(ANSWER_MAX).body(body);
    if !roles.is_empty() {
        request = request.bearer_auth(token(roles));
    }
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

async fn sent(url: &str, body: impl Into<reqwest::Body>) -> Value {
    let response = post(url, "/ingest", &["INGEST"], &[NDJSON], body).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

fn counts(answer: &Value) -> (u64, u64, u64) {
    let count = |name: &str| answer[name].as_u64().unwrap_or_else(|| panic!("no {name} in {answer}"));
    (count("accepted"), count("duplicate"), count("rejectedCount"))
}

async fn executions(server: &Server) -> u64 {
    let question = "query($w: TimeWindowInput!) { executionBreakdown(window: $w, by: []) { total { executions } } }";
    let (_, answer) = server.ask(&["ADMIN"], question, json!({ "w": { "start": WINDOW.0, "end": WINDOW.1 } })).await;
    answer["data"]["executionBreakdown"]["total"]["executions"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// Line, code, field and id of each bad line of the domain's own list, which no clock makes good.
fn bad_lines() -> Vec<(String, String, Option<String>, Option<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/domain/tests/fixtures/bad_lines.tsv");
    let some = |text: &str| (text != "-").then(|| text.to_owned());
    let mut lines: Vec<_> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|row| row.splitn(4, '\t').collect::<Vec<_>>())
        .filter(|row| row.len() == 4 && row[0] != "FUTURE_TIMESTAMP" && row[0] != "code")
        .map(|row| (row[3].to_owned(), row[0].to_owned(), some(row[1]), some(row[2])))
        .collect();
    let future = good(900_000).replace("2026-", "2999-");
    lines.push((future, "FUTURE_TIMESTAMP".into(), Some("startedAt".into()), Some(format!("0195f3a0-2222-7222-8333-{:012x}", 900_000))));
    lines.push((good(900_001).replace("sdxl", &"x".repeat(70_000)), "LINE_TOO_LONG".into(), None, None));
    lines.push((good(0).replace("sdxl", "flux"), "CONFLICT".into(), Some("id".into()), None));
    lines
}

async fn rejects_lines_and_keeps_their_neighbours(database: Database) {
    let server = Server::start(&database);
    assert_eq!(counts(&sent(&server.url, good(0)).await), (1, 0, 0));
    let bad = bad_lines();
    // A good line stands before each bad one.
    let body: String = bad.iter().enumerate().map(|(number, (line, ..))| format!("{}\n{line}\n", good(number + 1))).collect();
    let answer: Value = post(&server.url, "/ingest?strict=true", &["INGEST"], &[NDJSON], body).await.json().await.unwrap();
    assert_eq!(counts(&answer), (bad.len() as u64, 0, bad.len() as u64), "{answer}");
    for (number, (line, code, field, id)) in bad.iter().enumerate() {
        let told = answer["rejected"].as_array().unwrap().iter().find(|rejected| rejected["line"] == (2 * number + 2) as u64);
        let told = told.unwrap_or_else(|| panic!("{line} was taken"));
        assert_eq!(told["code"], code.as_str(), "{told} {}", &line[..line.len().min(300)]);
        if field.is_some() {
            assert_eq!(told["field"].as_str(), field.as_deref(), "{told}");
        }
        if id.is_some() {
            assert_eq!(told["id"].as_str(), id.as_deref(), "{told}");
        }
        assert!(told["message"].as_str().is_some_and(|message| !message.is_empty()), "{told}");
    }
    for code in [
        "MALFORMED_JSON",
        "UNKNOWN_TYPE",
        "UNKNOWN_FIELD",
        "MISSING_FIELD",
        "INVALID_VALUE",
        "FUTURE_TIMESTAMP",
        "LINE_TOO_LONG",
        "CONFLICT",
    ] {
        assert!(bad.iter().any(|(_, listed, ..)| listed == code), "{code} has no case");
    }
    assert_eq!(executions(&server).await, bad.len() as u64 + 1);
    server.stop();
    database.remove().await;
}

#[tokio::test]
async fn a_bad_line_is_named_and_costs_its_batch_nothing_on_sqlite() {
    rejects_lines_and_keeps_their_neighbours(Database::sqlite()).await;
}

#[tokio::test]
async fn a_bad_line_is_named_and_costs_its_batch_nothing_on_postgres() {
    if let Some(database) = Database::postgres("bad_lines").await {
        rejects_lines_and_keeps_their_neighbours(database).await;
    }
}

#[tokio::test]
async fn an_unknown_key_is_a_warning_unless_one_is_strict() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let line = good(1).replace(r#""model""#, r#""colour":"red","model""#);
    let strict: Value = post(&server.url, "/ingest?strict=true", &["INGEST"], &[NDJSON], line.clone()).await.json().await.unwrap();
    assert_eq!((counts(&strict), &strict["rejected"][0]["code"]), ((0, 0, 1), &json!("UNKNOWN_FIELD")));
    let lenient = sent(&server.url, line).await;
    assert_eq!((counts(&lenient), &lenient["warnings"]), ((1, 0, 0), &json!([{"key": "execution.colour", "lines": 1}])));
    // At most 100 rejections are listed, all are counted.
    let many = sent(&server.url, "{}\n".repeat(150)).await;
    assert_eq!((counts(&many), many["rejected"].as_array().unwrap().len()), ((0, 0, 150), 100));
    server.stop();
}

#[tokio::test]
async fn bodies_are_taken_compressed_and_refused_by_name() {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let encoded = async |encoding: &'static str, body: Vec<u8>| {
        let response = post(&server.url, "/ingest", &["INGEST"], &[NDJSON, ("content-encoding", encoding)], body).await;
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (status, answer) = encoded("gzip", gzip(batch(0..50).as_bytes())).await;
    assert_eq!((status, counts(&answer)), (200, (50, 0, 0)));
    let (status, answer) = encoded("zstd", zstd::encode_all(batch(25..75).as_bytes(), 1).unwrap()).await;
    assert_eq!((status, counts(&answer)), (200, (25, 25, 0)));
    assert_eq!(encoded("br", b"x".to_vec()).await.0, 415);
    let cut = gzip(batch(80..90).as_bytes());
    assert_eq!(encoded("gzip", cut[..cut.len() - 12].to_vec()).await.0, 400, "a body that ends too soon");
    let bomb = gzip(&vec![b'\n'; 64 * 1024 * 1024 + 1]);
    assert!(bomb.len() < 1024 * 1024);
    assert_eq!(encoded("gzip", bomb).await.0, 413, "more than 64 MiB after decompression");

    let refused = async |path: &str, roles: &[&str], headers: &[(&str, &str)]| {
        let response = post(&server.url, path, roles, headers, good(99)).await;
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(refused("/ingest", &["INGEST"], &[("content-type", "text/plain")]).await.0, 415);
    assert_eq!(refused("/ingest?strict=maybe", &["INGEST"], &[NDJSON]).await.0, 400);
    assert_eq!(refused("/ingest", &[], &[NDJSON]).await.0, 401);
    for role in ["PIPELINE_TD", "FINANCIAL_DIRECTOR"] {
        assert_eq!(refused("/ingest", &[role], &[NDJSON]).await.0, 403, "{role}");
    }
    assert_eq!(executions(&server).await, 75, "nothing of a refused body was kept");
    assert_eq!(refused("/ingest", &["ADMIN"], &[NDJSON]).await.0, 200);
    server.stop();
}

#[tokio::test]
async fn a_client_that_stands_still_is_let_go_and_costs_nobody_anything() {
    let database = Database::sqlite();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("plimsoll.toml");
    std::fs::write(&config, "[limits]\nbody_read_ms = 300\n").unwrap();
    let server = Server::start_with(&database.url(), &[("PLIMSOLL_CONFIG", config.to_str().unwrap())]);
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /ingest HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: 100000\r\n\r\n{}\n",
        token(&["INGEST"]),
        good(1)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(counts(&sent(&server.url, good(2)).await), (1, 0, 0), "others are served meanwhile");
    let mut told = [0; 12];
    tokio::time::timeout(ANSWER_MAX, stream.read_exact(&mut told)).await.unwrap().unwrap();
    assert_eq!(&told, b"HTTP/1.1 408");
    assert_eq!(executions(&server).await, 1, "nothing of its body was kept");
    server.stop();
}

async fn stopped_while_they_send(database: Database) {
    let server = Server::start(&database);
    let mut clients = Vec::new();
    let (answered, mut seen) = tokio::sync::mpsc::unbounded_channel();
    for client in 0..3 {
        let (url, answered) = (server.url.clone(), answered.clone());
        clients.push(tokio::spawn(async move {
            let mut accepted = 0;
            for number in (client * 100_000..).step_by(40) {
                let request = reqwest::Client::new().post(format!("{url}/ingest")).bearer_auth(token(&["INGEST"]));
                let Ok(response) = request.header(NDJSON.0, NDJSON.1).body(batch(number..number + 40)).send().await else { break };
                if response.status() != 200 {
                    break;
                }
                // An answer that broke off promised nothing.
                let Ok(answer) = response.json::<Value>().await else { break };
                accepted += counts(&answer).0;
                let _ = answered.send(());
            }
            accepted
        }));
    }
    for _ in 0..12 {
        tokio::time::timeout(ANSWER_MAX, seen.recv()).await.unwrap().unwrap();
    }
    tokio::task::spawn_blocking(move || server.stop()).await.unwrap();
    let mut accepted = 0;
    for client in clients {
        accepted += client.await.unwrap();
    }
    assert!(accepted >= 12 * 40);
    let server = Server::start(&database);
    assert_eq!(executions(&server).await, accepted, "each event that was answered, and none that was not");
    server.stop();
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_asked_to_stop_answers_what_it_took_on_sqlite() {
    stopped_while_they_send(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_asked_to_stop_answers_what_it_took_on_postgres() {
    if let Some(database) = Database::postgres("stopped").await {
        stopped_while_they_send(database).await;
    }
}

/// A server whose way to PostgreSQL goes through a proxy.
async fn behind_a_proxy(database: &Database, variables: &[(&str, &str)]) -> (Server, Proxy) {
    let mut url = Url::parse(&database.url()).unwrap();
    let proxy = Proxy::start(format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432))).await;
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(proxy.port)).unwrap();
    let url = url.to_string();
    // The proxy runs on the other threads of this runtime: waiting for the server here does not hold it up.
    (Server::start_with(url.as_str(), variables), proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_is_a_503_and_nothing_is_lost() {
    let Some(database) = Database::postgres("gone").await else { return };
    let (server, proxy) = behind_a_proxy(&database, &[]).await;
    assert_eq!(counts(&sent(&server.url, batch(0..100)).await), (100, 0, 0));
    proxy.set(Line::Cut);
    let refused = post(&server.url, "/ingest", &["INGEST"], &[NDJSON], batch(50..150)).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let text = refused.text().await.unwrap();
    assert!(text.contains("UNAVAILABLE") && !text.to_lowercase().contains("postgres") && !text.contains("sqlx"), "{text}");
    proxy.set(Line::Open);
    let until = tokio::time::Instant::now() + ANSWER_MAX;
    let answer = loop {
        let response = post(&server.url, "/ingest", &["INGEST"], &[NDJSON], batch(50..150)).await;
        match response.status().as_u16() {
            200 => break response.json::<Value>().await.unwrap(),
            503 => assert!(tokio::time::Instant::now() < until, "the database is back"),
            other => panic!("{other}"),
        }
    };
    assert_eq!(counts(&answer), (50, 50, 0), "nothing of the refused batch was kept");
    assert_eq!(executions(&server).await, 150);
    server.stop();
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_in_flight_have_a_limit() {
    let Some(database) = Database::postgres("in_flight").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("plimsoll.toml");
    std::fs::write(&config, "[limits]\ningest_body_bytes = 16384\ningest_in_flight_bytes = 16384\n").unwrap();
    let (server, proxy) = behind_a_proxy(&database, &[("PLIMSOLL_CONFIG", config.to_str().unwrap())]).await;
    assert_eq!(counts(&sent(&server.url, good(0)).await), (1, 0, 0));
    proxy.set(Line::Held);
    // Bodies of about 10 kB: with the database held up, one of two is more than may be in flight.
    let send = |from: usize| {
        let url = server.url.clone();
        tokio::spawn(async move { post(&url, "/ingest", &["INGEST"], &[NDJSON], batch(from..from + 50)).await })
    };
    let (mut left, mut right) = (send(100), send(200));
    let (refused, waiting) = tokio::select! { done = &mut left => (done.unwrap(), right), done = &mut right => (done.unwrap(), left) };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    proxy.set(Line::Open);
    let kept = waiting.await.unwrap();
    assert_eq!(kept.status(), 200);
    assert_eq!(counts(&kept.json().await.unwrap()), (50, 0, 0));
    assert_eq!(executions(&server).await, 51);
    server.stop();
    database.remove().await;
}
