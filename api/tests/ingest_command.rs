//! `plimsoll ingest` against a server of ours: what arrives, what is sent again, and what the report says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::HashSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll::command::ingest::{Backoff, FileReport, IngestArgs, Report, send};
use plimsoll::http::ingest::{Ingest, IngestAuth, IngestLimits};
use plimsoll_domain::clock::FixedClock;
use plimsoll_domain::ingest::event::Event;
use plimsoll_domain::ingest::identity::event_id;
use plimsoll_domain::ingest::{IngestError, IngestSink, Written};
use plimsoll_entity::value::label::Role;
use plimsoll_entity::value::time::Instant;
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;

/// The one who has the token `secret` may send.
#[derive(Clone)]
struct OneToken;

impl IngestAuth for OneToken {
    type Refusal = StatusCode;

    async fn roles(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Result<Vec<Role>, StatusCode> {
        assert!(peer.is_some_and(|peer| peer.ip().is_loopback()));
        let known = headers.get("authorization").is_some_and(|value| value == "Bearer secret");
        if known { Ok(vec![Role::Ingest]) } else { Err(StatusCode::UNAUTHORIZED) }
    }
}

/// Remembers ids; fails as often as it is told to, before it takes anything.
#[derive(Clone, Default)]
struct Store {
    ids: Arc<Mutex<HashSet<Uuid>>>,
    failures: Arc<Mutex<Vec<IngestError>>>,
    largest_batch: Arc<Mutex<usize>>,
}

impl IngestSink for Store {
    async fn write(&self, events: Vec<(u32, Event)>, _size_bytes: usize) -> Result<Written, IngestError> {
        if let Some(failure) = self.failures.lock().unwrap().pop() {
            return Err(failure);
        }
        let mut largest = self.largest_batch.lock().unwrap();
        *largest = (*largest).max(events.len());
        let mut ids = self.ids.lock().unwrap();
        let accepted = events.iter().filter(|(_, event)| ids.insert(event_id(event).unwrap())).count() as u64;
        Ok(Written { accepted, duplicate: events.len() as u64 - accepted, ..Written::default() })
    }
}

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>()).await });
    url
}

async fn serve_store(store: &Store) -> String {
    let clock = Arc::new(FixedClock::at(Instant::parse("2026-03-02T00:00:00Z").unwrap()));
    serve(Ingest::new(OneToken, store.clone(), clock, IngestLimits::default()).routes()).await
}

fn line(number: usize) -> String {
    format!(
        r#"{{"type":"vmState","id":"0195f3a0-1111-7222-8333-{number:012x}","vm":"m{number}","at":"2026-03-01T00:00:00Z","state":"RUNNING"}}"#
    )
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| line(number) + "\n").collect()
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Writes a file into the directory.
fn file(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn args(url: &str, files: &[&Path]) -> IngestArgs {
    IngestArgs {
        files: files.iter().map(|path| path.to_path_buf()).collect(),
        url: url.to_owned(),
        token: Some("secret".to_owned()),
        strict: false,
        batch_lines: 10,
        connections: 3,
    }
}

const QUICK: Backoff = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(2), attempts: 3 };

fn counts(file: &FileReport) -> (u64, u64, u64, u64) {
    (file.accepted, file.duplicate, file.rejected, file.failed_lines)
}

fn text(report: &Report) -> String {
    report.to_string()
}

#[tokio::test]
async fn files_of_every_kind_arrive_once() {
    let (directory, store) = (TempDir::new().unwrap(), Store::default());
    let url = serve_store(&store).await;
    let plain = file(&directory, "a.ndjson", lines(0..95));
    let gzipped = file(&directory, "b.gz", [gzip(&lines(90..150)), gzip(&lines(150..200))].concat());
    let zstd = file(&directory, "c", zstd::encode_all(lines(200..303).trim_end().as_bytes(), 1).unwrap());
    let empty = file(&directory, "d.ndjson", "");
    let report = send(&args(&url, &[&plain, &gzipped, &zstd, &empty]), QUICK).await.unwrap();
    let total = report.total();
    // Which of two files comes first with a line that both hold is a matter of luck.
    assert_eq!(counts(&total), (303, 5, 0, 0));
    assert_eq!(counts(&report.files()[2]), (103, 0, 0, 0));
    assert_eq!(counts(&report.files()[3]), (0, 0, 0, 0));
    assert!(report.is_clean());
    assert_eq!((store.ids.lock().unwrap().len(), *store.largest_batch.lock().unwrap()), (303, 10));
    assert!(text(&report).contains("total: 303 accepted, 5 duplicate, 0 rejected\n"), "{report}");
    let again = send(&args(&url, &[&plain, &gzipped, &zstd]), QUICK).await.unwrap();
    assert_eq!(counts(&again.total()), (0, 308, 0, 0));
}

#[tokio::test]
async fn rejected_lines_are_told_by_their_place_in_the_file() {
    let (directory, store) = (TempDir::new().unwrap(), Store::default());
    let url = serve_store(&store).await;
    let odd = line(77).replace("\"vm\":", "\"col\\u001bour\":1,\"vm\":");
    let long = format!("{{\"type\":\"{}\"}}", "x".repeat(5_000_000));
    let body = format!("{}\n\n{}{{}}\r\n{odd}\n{long}\n{}", lines(0..30), lines(30..40), lines(40..42));
    let path = file(&directory, "odd.ndjson", body);
    let report = send(&args(&url, &[&path]), QUICK).await.unwrap();
    assert_eq!(counts(&report.total()), (43, 0, 2, 0));
    assert!(!report.is_clean());
    let name = path.display();
    let mut examples = report.examples().to_vec();
    examples.sort();
    assert_eq!(examples[0], format!("{name}:43 MISSING_FIELD type: type is missing"));
    assert_eq!(examples[1], format!("{name}:45 LINE_TOO_LONG: line is longer than 65536 bytes"));
    assert!(text(&report).contains("unknown key vmState.col\u{fffd}our in 1 lines"), "{report}");
    let strict = send(&IngestArgs { strict: true, ..args(&url, &[&path]) }, QUICK).await.unwrap();
    assert_eq!(counts(&strict.total()), (0, 42, 3, 0));
}

#[tokio::test]
async fn examples_are_bounded() {
    let (directory, store) = (TempDir::new().unwrap(), Store::default());
    let path = file(&directory, "bad.ndjson", "{}\n".repeat(500));
    let report = send(&args(&serve_store(&store).await, &[&path]), QUICK).await.unwrap();
    assert_eq!((report.examples().len(), report.total().rejected), (10, 500));
    assert!(text(&report).contains("rejected lines (10 of 500):"), "{report}");
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let (directory, store) = (TempDir::new().unwrap(), Store::default());
    let url = serve_store(&store).await;
    let path = file(&directory, "a.ndjson", lines(0..25));
    store.failures.lock().unwrap().push(IngestError::Unavailable { source: "down".into() });
    let report = send(&IngestArgs { connections: 1, ..args(&url, &[&path]) }, QUICK).await.unwrap();
    assert_eq!(counts(&report.total()), (25, 0, 0, 0));
    assert!(report.is_clean());
}

#[tokio::test]
async fn a_batch_that_fails_does_not_stop_the_others() {
    let directory = TempDir::new().unwrap();
    // Takes only batches without the machine m13.
    let picky = post(|body: axum::body::Bytes| async move {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut text).unwrap();
        if text.contains("\"m13\"") {
            return (
                StatusCode::INTERNAL_SERVER_ERROR,
                "{\"error\":{\"code\":\"INTERNAL\",\"message\":\"an internal error\\u001b occurred\"}}".to_owned(),
            );
        }
        (StatusCode::OK, format!("{{\"accepted\":{},\"duplicate\":0,\"rejected\":[],\"rejectedCount\":0}}", text.lines().count()))
    });
    let url = serve(Router::new().route("/ingest", picky)).await;
    let path = file(&directory, "a.ndjson", lines(0..42));
    let damaged = file(&directory, "damaged.gz", &gzip(&lines(100..5_000))[..2_000]);
    let missing = directory.path().join("missing");
    let last = file(&directory, "last.ndjson", lines(60..61));
    let report = send(&args(&url, &[&path, &damaged, &missing, &last]), QUICK).await.unwrap();
    assert_eq!(counts(&report.files()[0]), (32, 0, 0, 10));
    assert_eq!(
        report.failures(),
        [format!("{}:11-20: HTTP 500 Internal Server Error: an internal error\u{fffd} occurred", path.display())]
    );
    assert!(report.files()[1].error.as_ref().is_some_and(|error| error.starts_with("cannot read")), "{report}");
    assert!(report.files()[2].error.as_ref().is_some_and(|error| error.starts_with("cannot read: No such file")), "{report}");
    assert_eq!(counts(&report.files()[3]), (1, 0, 0, 0));
    assert!(!report.is_clean());
}

#[tokio::test]
async fn a_refused_sender_stops() {
    let (directory, store) = (TempDir::new().unwrap(), Store::default());
    let url = serve_store(&store).await;
    let path = file(&directory, "a.ndjson", lines(0..2_000));
    let other = file(&directory, "b.ndjson", lines(0..1));
    let report = send(&IngestArgs { token: None, ..args(&url, &[&path, &other]) }, QUICK).await.unwrap();
    assert!(report.total().failed_lines < 500, "{report}");
    assert!(report.files().iter().all(|file| file.error.is_some()), "{report}");
    assert!(text(&report).contains("stopped, because the server refuses the sender: HTTP 401"), "{report}");
    assert!(store.ids.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_given_up() {
    let directory = TempDir::new().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let path = file(&directory, "a.ndjson", lines(0..15));
    let report = send(&args(&url, &[&path]), QUICK).await.unwrap();
    assert_eq!((counts(&report.total()), report.total().failed_batches), ((0, 0, 0, 15), 2));
    assert!(report.failures()[0].contains("(3 attempts)"), "{report}");
    assert!(send(&args("nowhere", &[&path]), QUICK).await.is_err());
}
