//! The shell around the routes, over real sockets: what slow, large, silent and many clients get, and how the server stops.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use plimsoll::config::{Config, Limits, Origins, Secret};
use plimsoll::http::health::{Component, Readiness};
use plimsoll::http::metrics::MetricsPage;
use plimsoll::http::{Shell, router, server};
use plimsoll_domain::clock::CountingIds;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything here: far beyond what it should take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Database(Arc<AtomicBool>);

impl Readiness for Database {
    fn check(&self) -> BoxFuture<'_, Vec<Component>> {
        let ok = self.0.load(Ordering::SeqCst);
        Box::pin(async move { vec![Component { name: "database", ok, detail: None, is_needed: true }] })
    }
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    running: JoinHandle<()>,
    ready: Arc<AtomicBool>,
    /// Told when `/slow` has begun; `/slow` answers when told to.
    began: Arc<Notify>,
    go_on: Arc<Notify>,
}

#[derive(Clone)]
struct Settings {
    limits: Limits,
    origins: Origins,
    metrics_token: Option<Secret>,
}

fn settings() -> Settings {
    let config = Config::load([]).unwrap().config;
    Settings { limits: config.limits, origins: config.http.cors_origins, metrics_token: None }
}

fn limited(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut settings = settings();
    change(&mut settings.limits);
    settings
}

async fn read_body(body: Body) -> axum::response::Response {
    match axum::body::to_bytes(body, 1 << 20).await {
        Ok(bytes) => bytes.len().to_string().into_response(),
        Err(_) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    }
}

async fn start(settings: Settings) -> Server {
    let (began, go_on, ready) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
    let waiting = (Arc::clone(&began), Arc::clone(&go_on));
    let slow = move || async move {
        waiting.0.notify_one();
        waiting.1.notified().await;
        "late"
    };
    let routes = Router::new()
        .route("/echo", post(read_body))
        .route("/refuse", post(async || StatusCode::PAYLOAD_TOO_LARGE))
        .route("/slow", get(slow))
        .route("/large", get(async || vec![b'x'; 32 << 20]))
        .route("/text", get(async || "plimsoll ".repeat(1_000)))
        .route("/panic", get(async || if std::hint::black_box(true) { panic!("on purpose") } else { "no" }));
    let shell = Shell {
        ids: Arc::new(CountingIds::default()),
        limits: settings.limits.clone(),
        origins: settings.origins,
        metrics: MetricsPage::new(plimsoll::http::metrics::start().unwrap(), settings.metrics_token),
        readiness: Arc::new(Database(Arc::clone(&ready))),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let (limits, stopped) = (settings.limits, stop.clone());
    let running = tokio::spawn(async move { server::run(listener, router(&shell, routes), &limits, stopped).await });
    Server { address, stop, running, ready, began, go_on }
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn send(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        answer(&mut stream).await
    }

    async fn get(&self, path: &str, headers: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n").as_bytes()).await
    }
}

async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
    Answer { head: String::from_utf8_lossy(&bytes[..end]).into_owned(), body: bytes[end..].to_vec() }
}

#[tokio::test]
async fn strangers_get_json_with_a_code_and_safe_headers() {
    let server = start(settings()).await;
    let missing = server.get("/no/such/path", "").await;
    assert_eq!((missing.status(), missing.code().as_str()), (404, "NOT_FOUND"));
    for name in [
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "Content-Security-Policy: default-src 'none'",
    ] {
        assert!(missing.head.contains(name), "{name}: {}", missing.head);
    }
    let wrong = server.get("/echo", "").await;
    assert_eq!((wrong.status(), wrong.code().as_str(), wrong.header("Allow")), (405, "BAD_USER_INPUT", Some("POST")));
    let wrong = server.send(b"DELETE /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!((wrong.status(), wrong.header("Allow")), (405, Some("GET,HEAD")));
    assert!(server.get("/healthz", "Origin: https://evil.example\r\n").await.header("Access-Control-Allow-Origin").is_none());
}

#[tokio::test]
async fn requests_have_ids_and_clients_may_bring_harmless_ones() {
    let server = start(settings()).await;
    let own = server.get("/healthz", "X-Request-Id: abc-1.2_X\r\n").await;
    assert_eq!(own.header("X-Request-Id"), Some("abc-1.2_X"));
    for bad in ["a b", "\"quoted\"", &"x".repeat(65), ""] {
        let answer = server.get("/healthz", &format!("X-Request-Id: {bad}\r\n")).await;
        assert!(answer.header("X-Request-Id").unwrap().starts_with("00000000-0000-0000-0000-"), "{bad}");
    }
}

#[tokio::test]
async fn a_panic_is_one_clients_trouble() {
    let server = start(settings()).await;
    let answer = server.get("/panic", "X-Request-Id: the-id\r\n").await;
    assert_eq!((answer.status(), answer.code().as_str()), (500, "INTERNAL"));
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("the-id") && !text.contains("on purpose"));
    assert_eq!(server.get("/healthz", "").await.status(), 200);
}

#[tokio::test]
async fn long_uris_and_heads_are_refused() {
    let server = start(settings()).await;
    assert_eq!(server.get(&format!("/healthz?{}", "x".repeat(8_000)), "").await.status(), 200);
    let long = server.get(&format!("/healthz?{}", "x".repeat(8_192)), "").await;
    assert_eq!((long.status(), long.code().as_str()), (414, "LIMIT_EXCEEDED"));
    assert_eq!(server.get("/healthz", &format!("X-Large: {}\r\n", "x".repeat(16_384))).await.status(), 431);
    assert_eq!(server.get("/healthz", &"X-Many: 1\r\n".repeat(200)).await.status(), 431);
    // A megabyte of either: the answer arrives although the client is still sending.
    for request in
        [format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)), format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20))]
    {
        assert_eq!(server.send(request.as_bytes()).await.status(), 431);
    }
    assert_eq!(server.get("/healthz", "").await.status(), 200);
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let server = start(limited(|limits| limits.header_read_ms = 200)).await;
    let began = Instant::now();
    let mut silent = server.connect().await;
    assert_eq!(answer(&mut silent).await.status(), 0);
    let mut dripping = server.connect().await;
    for byte in b"GET /healthz HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter().cycle() {
        if dripping.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(began.elapsed() < PATIENCE, "a dripping head is never cut off");
    }
    // Between two requests a connection is given the same time.
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut idle).await.status(), 200);
}

#[tokio::test]
async fn slow_bodies_are_told_so() {
    let server = start(limited(|limits| limits.body_read_ms = 200)).await;
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
    let silent = server.send(format!("{head}abc").as_bytes()).await;
    assert_eq!((silent.status(), silent.code().as_str()), (408, "TIMEOUT"));

    let mut dripping = server.connect().await;
    dripping.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = dripping.split();
    let drip = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if writing.write_all(b"a").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut bytes = vec![0; 4_096];
    let read = tokio::select! { read = reading.read(&mut bytes) => read.unwrap(), () = drip => 0 };
    assert!(bytes[..read].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&bytes[..read]));
}

#[tokio::test]
async fn a_large_body_may_take_its_time() {
    let server = start(limited(|limits| limits.body_read_ms = 300)).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 131072\r\n\r\n").await.unwrap();
    // Eight parts earn eight seconds: the pauses together are longer than the base.
    for _ in 0..8 {
        stream.write_all(&vec![b'a'; 16 * 1024]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = answer(&mut stream).await;
    assert_eq!((answer.status(), answer.body.as_slice()), (200, b"131072".as_slice()));
}

#[tokio::test]
async fn a_refused_upload_sees_its_answer() {
    let server = start(settings()).await;
    for path in ["/refuse", "/echo"] {
        let mut stream = server.connect().await;
        let size_bytes = 20 << 20;
        stream.write_all(format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size_bytes}\r\n\r\n").as_bytes()).await.unwrap();
        let began = Instant::now();
        stream.write_all(&vec![b'a'; size_bytes]).await.unwrap();
        let answer = answer(&mut stream).await;
        assert_eq!(answer.status(), 413, "{path}");
        assert!(began.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = start(limited(|limits| limits.write_stall_ms = 200)).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    assert!(bytes.len() < 32 << 20, "the whole answer came: nothing was cut off");
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let server = start(limited(|limits| limits.connections = 3)).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        held.push(stream);
    }
    let mut turned_away = server.connect().await;
    let refused = answer(&mut turned_away).await;
    assert_eq!((refused.status(), refused.code().as_str()), (503, "LIMIT_EXCEEDED"));
    assert_eq!(refused.header("Content-Length"), Some(refused.body.len().to_string().as_str()));
    drop(held);
    let began = Instant::now();
    loop {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        if answer(&mut stream).await.status() == 200 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "no place becomes free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stop_finishes_what_has_begun() {
    let server = start(settings()).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0];
    idle.read_exact(&mut first).await.unwrap();
    server.began.notified().await;
    server.stop.cancel();
    // Between two requests, so closed at once.
    assert!(answer(&mut idle).await.head.starts_with("TTP/1.1 200"));
    // The listener is closed before the last answer.
    let began = Instant::now();
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "the server still listens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!server.running.is_finished());
    server.go_on.notify_one();
    let late = answer(&mut busy).await;
    assert_eq!((late.status(), late.body.as_slice()), (200, b"late".as_slice()));
    tokio::time::timeout(PATIENCE, server.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let server = start(limited(|limits| limits.shutdown_ms = 100)).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    server.began.notified().await;
    server.stop.cancel();
    tokio::time::timeout(PATIENCE, server.running).await.unwrap().unwrap();
    assert_eq!(answer(&mut busy).await.status(), 0);
}

#[tokio::test]
async fn answers_are_compressed_when_asked() {
    let server = start(settings()).await;
    let plain = server.get("/text", "").await;
    assert_eq!((plain.header("Content-Encoding"), plain.body.len()), (None, 9_000));
    let packed = server.get("/text", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    assert!(packed.body.len() < 1_000);
}

#[tokio::test]
async fn origins_that_are_listed_may_ask() {
    let mut settings = settings();
    settings.origins = Origins::try_from(vec!["https://studio.example".to_owned()]).unwrap();
    let server = start(settings).await;
    let allowed = server.get("/healthz", "Origin: https://studio.example\r\n").await;
    assert_eq!(allowed.header("Access-Control-Allow-Origin"), Some("https://studio.example"));
    assert!(allowed.header("Access-Control-Allow-Credentials").is_none());
    assert!(server.get("/healthz", "Origin: https://evil.example\r\n").await.header("Access-Control-Allow-Origin").is_none());
    let preflight = "OPTIONS /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: https://studio.example\r\n\
                     Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, content-type\r\n\r\n";
    let preflight = server.send(preflight.as_bytes()).await;
    assert_eq!((preflight.status(), preflight.header("Access-Control-Allow-Methods")), (200, Some("GET,POST")));
    assert!(preflight.header("Access-Control-Allow-Headers").unwrap().contains("authorization"));
}

#[tokio::test]
async fn health_and_readiness_are_two_things() {
    let server = start(settings()).await;
    server.ready.store(false, Ordering::SeqCst);
    let unready = server.get("/readyz", "").await;
    assert_eq!(unready.status(), 503);
    assert!(String::from_utf8_lossy(&unready.body).contains(r#"{"name":"database","ok":false,"detail":null}"#));
    assert_eq!(server.get("/healthz", "").await.status(), 200);
    server.ready.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while server.get("/readyz", "").await.status() != 200 {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn metrics_ask_for_their_token() {
    let mut settings = settings();
    settings.metrics_token = Some(Secret::try_from("scrape me".to_owned()).unwrap());
    let server = start(settings).await;
    for header in [
        "",
        "Authorization: Bearer scrape m\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic scrape me\r\n",
        "Authorization: x\r\n",
    ] {
        let refused = server.get("/metrics", header).await;
        assert_eq!((refused.status(), refused.code().as_str()), (401, "UNAUTHENTICATED"), "{header}");
        assert!(refused.header("Www-Authenticate").unwrap().starts_with("Bearer"));
    }
    let page = server.get("/metrics", "Authorization: Bearer scrape me\r\n").await;
    assert_eq!((page.status(), page.header("Content-Type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
}

#[tokio::test]
async fn metrics_have_no_label_that_a_client_makes_up() {
    let server = start(settings()).await;
    for number in 0..30 {
        let _ = server.get(&format!("/made-up/{number}"), "").await;
        let _ = server.send(format!("MADEUP{number} /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
    }
    let text = String::from_utf8(server.get("/metrics", "").await.body).unwrap();
    assert!(!text.to_lowercase().contains("made-up") && !text.contains("MADEUP"));
    assert!(text.contains(r#"plimsoll_http_requests_total{route="none",method="GET",status="4xx"}"#), "{text}");
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split(' ').next()) {
        assert!(family.starts_with("plimsoll_") && text.contains(&format!("# HELP {family} ")), "{family} has no description");
    }
}

#[tokio::test]
async fn the_explorer_needs_nothing_but_this_server() {
    let server = start(settings()).await;
    let page = server.get("/", "").await;
    let policy = page.header("Content-Security-Policy").unwrap().to_owned();
    assert!(policy.contains("script-src 'self';") && policy.contains("connect-src 'self';") && !policy.contains("unsafe-eval"), "{policy}");
    let html = String::from_utf8(page.body).unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"));
    for path in html.split('"').filter(|text| text.starts_with("/explorer/")) {
        let file = server.get(path, "Accept-Encoding: gzip\r\n").await;
        assert_eq!(file.status(), 200, "{path}");
        let etag = file.header("Etag").unwrap().to_owned();
        let again = server.get(path, &format!("If-None-Match: {etag}\r\n")).await;
        assert_eq!((again.status(), again.body.len()), (304, 0), "{path}");
    }
}
