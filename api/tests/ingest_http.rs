//! `POST /ingest` from outside: what it answers, what it hands to the sink, and where it stops.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use plimsoll::http::ingest::{Ingest, IngestAuth, IngestLimits};
use plimsoll_domain::clock::FixedClock;
use plimsoll_domain::ingest::event::Event;
use plimsoll_domain::ingest::identity::event_id;
use plimsoll_domain::ingest::{IngestError, IngestSink, Written};
use plimsoll_entity::value::label::Role;
use plimsoll_entity::value::time::Instant;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tower::ServiceExt as _;

const NOW: &str = "2026-03-02T00:00:00Z";

/// Takes the caller's role from `Authorization: Bearer ROLE`.
#[derive(Clone)]
struct NamedRole;

impl IngestAuth for NamedRole {
    type Refusal = axum::response::Response;

    async fn roles(&self, headers: &HeaderMap, _peer: Option<SocketAddr>) -> Result<Vec<Role>, Self::Refusal> {
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match token {
            Some(token) => Ok(Role::from_wire(token).into_iter().collect()),
            None => Err((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()),
        }
    }
}

/// Events and their line numbers.
type Lines = Vec<(u32, Event)>;

/// Keeps what it is given; says what it is told to say.
#[derive(Clone, Default)]
struct Recorder {
    batches: Arc<Mutex<Vec<Lines>>>,
    sizes: Arc<Mutex<Vec<usize>>>,
    answers: Arc<Mutex<Vec<Result<Written, IngestError>>>>,
    /// Where there is one, writing waits for it.
    gate: Option<Arc<Notify>>,
}

impl IngestSink for Recorder {
    async fn write(&self, events: Vec<(u32, Event)>, size_bytes: usize) -> Result<Written, IngestError> {
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        let accepted = events.len() as u64;
        self.batches.lock().unwrap().push(events);
        self.sizes.lock().unwrap().push(size_bytes);
        self.answers.lock().unwrap().pop().unwrap_or(Ok(Written { accepted, ..Written::default() }))
    }
}

fn app(sink: &Recorder, limits: IngestLimits) -> Router {
    Ingest::new(NamedRole, sink.clone(), Arc::new(FixedClock::at(Instant::parse(NOW).unwrap())), limits).routes()
}

fn line(number: usize) -> String {
    format!(
        r#"{{"type":"vmState","id":"0195f3a0-1111-7222-8333-{number:012x}","vm":"m{number}","at":"2026-03-01T00:00:00Z","state":"RUNNING"}}"#
    )
}

fn lines(count: usize) -> String {
    (0..count).map(|number| line(number) + "\n").collect()
}

fn good() -> axum::http::request::Builder {
    Request::post("/ingest").header(header::AUTHORIZATION, "Bearer INGEST").header(header::CONTENT_TYPE, "application/x-ndjson")
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

async fn answer(response: Response<Body>) -> (StatusCode, HeaderMap, Value) {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    answer(app.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn an_answer_counts_and_lists_lines() {
    let sink = Recorder::default();
    let app = app(&sink, IngestLimits::default());
    let odd = line(2).replace("\"vm\":", "\"colour\":1,\"vm\":");
    let body = format!("{}\n\n{{\"type\":\"vmState\",\"id\":\"x\"}}\r\n{odd}\n{}", line(1), line(3));
    let (status, headers, answer) = send(&app, good().body(Body::from(body.clone())).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    let rejected = json!([{"line": 3, "id": "x", "code": "INVALID_VALUE", "field": "id",
        "message": "id must be a UUID such as 018f3b1e-7c5a-7d31-9b52-1f0e4c6a8d27"}]);
    let warnings = json!([{"key": "vmState.colour", "lines": 1}]);
    assert_eq!(answer, json!({"accepted": 3, "duplicate": 0, "rejected": rejected, "rejectedCount": 1, "warnings": warnings}));
    let batches = sink.batches.lock().unwrap();
    assert_eq!(batches[0].iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 4, 5]);
    assert_eq!(sink.sizes.lock().unwrap()[0], body.len());
}

#[tokio::test]
async fn strict_refuses_unknown_keys() {
    let sink = Recorder::default();
    let app = app(&sink, IngestLimits::default());
    let odd = line(2).replace("\"vm\":", "\"colour\":1,\"vm\":");
    let strict = |query: &str| Request::post(format!("/ingest{query}")).header(header::AUTHORIZATION, "Bearer ADMIN");
    let typed = |query: &str| strict(query).header(header::CONTENT_TYPE, "Application/NDJSON; charset=utf-8");
    let (_, _, answer) = send(&app, typed("?strict=true").body(Body::from(odd.clone())).unwrap()).await;
    assert_eq!((&answer["rejected"][0]["code"], &answer["rejected"][0]["field"]), (&json!("UNKNOWN_FIELD"), &json!("colour")));
    assert!(sink.batches.lock().unwrap().is_empty(), "nothing to write");
    let (_, _, answer) = send(&app, typed("?strict=false").body(Body::from(odd.clone())).unwrap()).await;
    assert_eq!(answer["accepted"], 1);
    for query in ["?strict", "?strict=1", "?strict=TRUE", "?dry=true", "?strict=true&strict=true", "?strict=true&x=1"] {
        let (status, _, answer) = send(&app, typed(query).body(Body::from(odd.clone())).unwrap()).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("BAD_USER_INPUT")), "{query}");
    }
}

#[tokio::test]
async fn what_the_writer_finds_is_told_as_well() {
    let sink = Recorder::default();
    let app = app(&sink, IngestLimits::default());
    let second = event_id(&sample_event());
    sink.answers.lock().unwrap().push(Ok(Written {
        accepted: 1,
        duplicate: 1,
        conflicts: vec![(4, None), (2, second)],
        capped: vec![("vmState.vm".to_owned(), 1)],
        refused: Vec::new(),
        too_old: vec![(3, None)],
    }));
    let body = lines(4) + "[]\n";
    let (_, _, answer) = send(&app, good().body(Body::from(body)).unwrap()).await;
    let told: Vec<_> =
        answer["rejected"].as_array().unwrap().iter().map(|r| (r["line"].clone(), r["code"].clone(), r["id"].clone())).collect();
    assert_eq!(
        told,
        [
            (json!(2), json!("CONFLICT"), json!("0195f3a0-1111-7222-8333-000000000000")),
            (json!(3), json!("TOO_OLD"), Value::Null),
            (json!(4), json!("CONFLICT"), Value::Null),
            (json!(5), json!("MALFORMED_JSON"), Value::Null)
        ]
    );
    assert_eq!((&answer["duplicate"], &answer["rejectedCount"]), (&json!(1), &json!(4)));
    assert_eq!(answer["warnings"], json!([{"key": "vmState.vm", "lines": 1}]));
}

fn sample_event() -> Event {
    let context = plimsoll_domain::ingest::line::ReadContext { now: Instant::parse(NOW).unwrap(), strict: true, oldest: None };
    plimsoll_domain::ingest::line::read_line(line(0).as_bytes(), &context).unwrap().event
}

#[tokio::test]
async fn a_hundred_rejections_are_listed_and_all_counted() {
    let sink = Recorder::default();
    let conflicts = (1..=50).map(|line| (line, None)).collect();
    sink.answers.lock().unwrap().push(Ok(Written { conflicts, ..Written::default() }));
    let body = lines(50) + &"{}\n".repeat(5_000);
    let (_, _, answer) = send(&app(&sink, IngestLimits::default()), good().body(Body::from(body)).unwrap()).await;
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!((rejected.len(), &answer["rejectedCount"]), (100, &json!(5_050)));
    assert_eq!((&rejected[49]["line"], &rejected[99]["line"]), (&json!(50), &json!(100)));
}

#[tokio::test]
async fn callers_need_a_role() {
    let app = app(&Recorder::default(), IngestLimits::default());
    let (status, headers, _) = send(&app, Request::post("/ingest").body(Body::empty()).unwrap()).await;
    assert_eq!((status, headers[header::WWW_AUTHENTICATE].as_bytes()), (StatusCode::UNAUTHORIZED, b"Bearer".as_slice()));
    for (role, expected) in [
        ("PIPELINE_TD", StatusCode::FORBIDDEN),
        ("FINANCIAL_DIRECTOR", StatusCode::FORBIDDEN),
        ("NOBODY", StatusCode::FORBIDDEN),
        ("ADMIN", StatusCode::OK),
        ("INGEST", StatusCode::OK),
    ] {
        let request = Request::post("/ingest")
            .header(header::AUTHORIZATION, format!("Bearer {role}"))
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(Body::from(line(1)));
        let (status, _, answer) = send(&app, request.unwrap()).await;
        assert_eq!(status, expected, "{role}");
        assert_eq!(answer["error"]["code"] == "FORBIDDEN", expected == StatusCode::FORBIDDEN);
    }
    let (status, ..) = send(&app, Request::get("/ingest").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn bodies_are_ndjson() {
    let app = app(&Recorder::default(), IngestLimits::default());
    for media_type in [None, Some("application/json"), Some("text/plain"), Some("application/x-ndjson2"), Some("")] {
        let mut request = Request::post("/ingest").header(header::AUTHORIZATION, "Bearer INGEST");
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let (status, headers, _) = send(&app, request.body(Body::from(line(1))).unwrap()).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type:?}");
        assert_eq!(headers[header::ACCEPT], "application/x-ndjson");
    }
    let (status, _, answer) = send(&app, good().body(Body::empty()).unwrap()).await;
    assert_eq!((status, &answer["accepted"], &answer["rejectedCount"]), (StatusCode::OK, &json!(0), &json!(0)));
    let (_, _, answer) = send(&app, good().body(Body::from(b"\xff\xfe\n".to_vec())).unwrap()).await;
    assert_eq!(answer["rejected"][0]["code"], "MALFORMED_JSON");
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let sink = Recorder::default();
    let app = app(&sink, IngestLimits::default());
    let body = lines(5_000);
    let members = [gzip(&body.as_bytes()[..1_000]), gzip(&body.as_bytes()[1_000..])].concat();
    let zstd = zstd::encode_all(body.as_bytes(), 1).unwrap();
    for (encoding, bytes) in [("gzip", gzip(body.as_bytes())), ("X-Gzip", members), ("zstd", zstd), ("identity", body.clone().into_bytes())]
    {
        // In small pieces, as a slow connection brings them.
        let pieces: Vec<Result<Bytes, std::io::Error>> = bytes.chunks(1_013).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let request = good().header(header::CONTENT_ENCODING, encoding).body(Body::from_stream(stream::iter(pieces)));
        let (status, _, answer) = send(&app, request.unwrap()).await;
        assert_eq!((status, &answer["accepted"]), (StatusCode::OK, &json!(5_000)), "{encoding}");
    }
    assert!(sink.sizes.lock().unwrap().iter().all(|size| *size == body.len()));
    for encoding in ["br", "deflate", "gzip, zstd", "gzip, gzip"] {
        let (status, headers, _) = send(&app, good().header(header::CONTENT_ENCODING, encoding).body(Body::from(line(1))).unwrap()).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{encoding}");
        assert_eq!(headers[header::ACCEPT_ENCODING], "gzip, zstd");
    }
}

#[tokio::test]
async fn damaged_bodies_are_refused_whole() {
    let sink = Recorder::default();
    let app = app(&sink, IngestLimits::default());
    let packed = gzip(lines(5_000).as_bytes());
    let zstd = zstd::encode_all(lines(5_000).as_bytes(), 1).unwrap();
    let mut flipped = packed.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    for (encoding, bytes) in [
        ("gzip", packed[..packed.len() / 2].to_vec()),
        ("gzip", packed[..packed.len() - 2].to_vec()),
        ("gzip", flipped),
        ("gzip", line(1).into_bytes()),
        ("zstd", zstd[..zstd.len() / 2].to_vec()),
        ("zstd", line(1).into_bytes()),
    ] {
        let (status, _, answer) = send(&app, good().header(header::CONTENT_ENCODING, encoding).body(Body::from(bytes)).unwrap()).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("BAD_USER_INPUT")), "{encoding}");
    }
    let lost = stream::iter([Ok(Bytes::from(line(1) + "\n")), Err(std::io::Error::other("gone"))]);
    let (status, ..) = send(&app, good().body(Body::from_stream(lost)).unwrap()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(sink.batches.lock().unwrap().is_empty(), "nothing of them is kept");
}

#[tokio::test]
async fn bodies_are_cut_off_at_their_limit() {
    let sink = Recorder::default();
    let limits = IngestLimits { body_size_bytes: 600_000, ..IngestLimits::default() };
    let app = app(&sink, limits);
    let exact = " ".repeat(600_000 - line(1).len() - 1) + "\n" + &line(1);
    let (status, _, answer) = send(&app, good().body(Body::from(exact.clone())).unwrap()).await;
    // Its first line is blank, and longer than a line may be.
    assert_eq!((status, &answer["accepted"], &answer["rejected"][0]["code"]), (StatusCode::OK, &json!(1), &json!("LINE_TOO_LONG")));
    let too_large = exact + "\n";
    let declared = good().header(header::CONTENT_LENGTH, "600001").body(Body::empty());
    let bomb = gzip(&vec![b'\n'; 8_000_000]);
    assert!(bomb.len() < 500_000);
    let zstd_bomb = zstd::encode_all(vec![b'\n'; 8_000_000].as_slice(), 1).unwrap();
    // Members that hold nothing yield nothing, however many arrive.
    let endless = gzip(b"").repeat(30_001);
    for (name, request) in [
        ("whole", good().body(Body::from(too_large))),
        ("declared", declared),
        ("gzip bomb", good().header(header::CONTENT_ENCODING, "gzip").body(Body::from(bomb))),
        ("zstd bomb", good().header(header::CONTENT_ENCODING, "zstd").body(Body::from(zstd_bomb))),
        ("empty members", good().header(header::CONTENT_ENCODING, "gzip").body(Body::from(endless))),
    ] {
        let (status, _, answer) = send(&app, request.unwrap()).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("LIMIT_EXCEEDED")), "{name}");
    }
    assert_eq!(sink.batches.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn zstd_windows_are_bounded() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(lines(10).as_bytes()).unwrap();
    encoder.flush().unwrap();
    let body = encoder.finish().unwrap();
    let app = app(&Recorder::default(), IngestLimits::default());
    let (status, ..) = send(&app, good().header(header::CONTENT_ENCODING, "zstd").body(Body::from(body)).unwrap()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_cut_off() {
    let sink = Recorder::default();
    let app = app(&sink, IngestLimits::default());
    let stalled = stream::unfold(0, |count| async move {
        if count == 3 {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_secs(9)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from(line(count) + "\n")), count + 1))
    });
    let started = tokio::time::Instant::now();
    let (status, _, answer) = send(&app, good().body(Body::from_stream(stalled)).unwrap()).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::REQUEST_TIMEOUT, &json!("TIMEOUT")));
    assert_eq!(started.elapsed().as_secs(), 37);
    assert!(sink.batches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_and_given_back() {
    let gate = Arc::new(Notify::new());
    let sink = Recorder { gate: Some(Arc::clone(&gate)), ..Recorder::default() };
    let size = lines(100).len();
    let app = app(&sink, IngestLimits { in_flight_size_bytes: size * 2 - 1, ..IngestLimits::default() });
    let first = tokio::spawn(send_owned(app.clone(), good().body(Body::from(lines(100))).unwrap()));
    tokio::task::yield_now().await;
    let (status, headers, answer) = send(&app, good().body(Body::from(lines(100))).unwrap()).await;
    assert_eq!((status, &headers[header::RETRY_AFTER]), (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap()));
    assert_eq!(answer["error"]["code"], "LIMIT_EXCEEDED");
    gate.notify_one();
    assert_eq!(first.await.unwrap().0, StatusCode::OK);
    gate.notify_one();
    let (status, ..) = send(&app, good().body(Body::from(lines(100))).unwrap()).await;
    assert_eq!(status, StatusCode::OK);
}

async fn send_owned(app: Router, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    send(&app, request).await
}

#[tokio::test]
async fn a_writer_that_cannot_is_told_apart() {
    let sink = Recorder::default();
    let app = app(&sink, IngestLimits::default());
    for (error, status, code, retry_after) in [
        (IngestError::QueueFull { retry_after_s: 7 }, StatusCode::TOO_MANY_REQUESTS, "LIMIT_EXCEEDED", "7"),
        (IngestError::Unavailable { source: "password=secret".into() }, StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "1"),
    ] {
        sink.answers.lock().unwrap().push(Err(error));
        let (got, headers, answer) = send(&app, good().body(Body::from(line(1))).unwrap()).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)));
        assert_eq!(headers[header::RETRY_AFTER], retry_after);
        assert!(!answer.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn an_age_limit_is_kept() {
    let day_us = 86_400 * 1_000_000;
    for (age_us, accepted) in [(day_us, 1), (day_us - 1, 0)] {
        let app = app(&Recorder::default(), IngestLimits { age_us: Some(age_us), ..IngestLimits::default() });
        let (_, _, answer) = send(&app, good().body(Body::from(line(1))).unwrap()).await;
        assert_eq!(answer["accepted"], accepted);
        assert_eq!(answer["rejected"][0]["code"] == "TOO_OLD", accepted == 0);
    }
}

#[tokio::test]
async fn a_client_that_sends_first_and_reads_later_sees_why() {
    let limits = IngestLimits { body_size_bytes: 600_000, ..IngestLimits::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = app(&Recorder::default(), limits);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    for framing in ["Content-Length: 8000000", "Transfer-Encoding: chunked"] {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = "POST /ingest HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer INGEST\r\nContent-Type: application/x-ndjson\r\n";
        socket.write_all(format!("{head}{framing}\r\n\r\n").as_bytes()).await.unwrap();
        let piece = vec![b'\n'; 80_000];
        for _ in 0..100 {
            let frame = if framing.starts_with("Transfer") { [b"13880\r\n", &piece[..], b"\r\n"].concat() } else { piece.clone() };
            socket.write_all(&frame).await.unwrap();
        }
        if framing.starts_with("Transfer") {
            socket.write_all(b"0\r\n\r\n").await.unwrap();
        }
        let mut answer = vec![0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 413", "{framing}");
    }
}
