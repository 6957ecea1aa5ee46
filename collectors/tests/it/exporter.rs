//! A server with pages of exporters, and with everything that a server can do instead of answering with one.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use plimsoll_collectors::prometheus::PAGE_BYTES_MAX;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const TEXT: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
const OPENMETRICS: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];

const GZIP: [(HeaderName, &str); 1] = [(header::CONTENT_ENCODING, "gzip")];

/// One line too many.
static LARGE: LazyLock<String> = LazyLock::new(|| "a 1\n".repeat(PAGE_BYTES_MAX / 4 + 1));
/// The same, packed.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(&LARGE));

#[derive(Debug, Default)]
struct Seen {
    /// Requests by path.
    requests: HashMap<String, usize>,
    /// Pages that are served as they are, by path.
    pages: HashMap<String, String>,
}

#[derive(Debug)]
pub struct Exporter {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    serving: JoinHandle<()>,
}

impl Exporter {
    pub async fn start(pages: &[(&str, &str)]) -> Self {
        // To pack it takes longer than an endpoint may.
        LazyLock::force(&BOMB);
        let pages = pages.iter().map(|(path, page)| ((*path).to_owned(), (*page).to_owned())).collect();
        let seen = Arc::new(Mutex::new(Seen { pages, ..Seen::default() }));
        let router = Router::new().fallback(answer).with_state(seen.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, seen, serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn requests(&self, path: &str) -> usize {
        self.seen.lock().unwrap().requests.get(path).copied().unwrap_or(0)
    }

    /// From now on this page is served, or none when it is `None`.
    pub fn set_page(&self, path: &str, page: Option<&str>) {
        let mut seen = self.seen.lock().unwrap();
        match page {
            Some(page) => seen.pages.insert(path.to_owned(), page.to_owned()),
            None => seen.pages.remove(path),
        };
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(seen): State<Arc<Mutex<Seen>>>, uri: Uri, headers: HeaderMap) -> Response {
    assert!(headers["accept"].to_str().unwrap().starts_with("text/plain;version=0.0.4"));
    assert_eq!(headers["accept-encoding"], "gzip");
    let path = uri.path().to_owned();
    let page = {
        let mut seen = seen.lock().unwrap();
        *seen.requests.entry(path.clone()).or_default() += 1;
        seen.pages.get(&path).cloned()
    };
    if let Some(page) = page {
        return (TEXT, page).into_response();
    }
    let dcgm = include_str!("../fixtures/dcgm.prom");
    match path.as_str() {
        "/hangs" => std::future::pending().await,
        "/trickles" => trickle(dcgm),
        "/redirects" => Redirect::temporary("/elsewhere").into_response(),
        "/fails" => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, dcgm).into_response(),
        "/is-large" => (TEXT, LARGE.as_str()).into_response(),
        "/is-a-bomb" => (TEXT, GZIP, BOMB.as_slice()).into_response(),
        "/is-gzip" => (TEXT, GZIP, gzip(dcgm)).into_response(),
        "/is-no-gzip" => (TEXT, GZIP, dcgm).into_response(),
        "/is-brotli" => (TEXT, [(header::CONTENT_ENCODING, "br")], dcgm).into_response(),
        "/is-html" => axum::response::Html("<html>\n<p>Welcome to the hotel\n</html>\n").into_response(),
        "/is-torn" => (OPENMETRICS, include_str!("../fixtures/openmetrics.prom").trim_end_matches("# EOF\n")).into_response(),
        "/ends-early" => ends_early(dcgm),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn gzip(page: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(page.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A page that begins and never ends.
fn trickle(page: &'static str) -> Response {
    let begun = stream::iter([Ok::<_, io::Error>(page)]).chain(stream::pending());
    (TEXT, Body::from_stream(begun)).into_response()
}

/// A page whose connection breaks.
fn ends_early(page: &'static str) -> Response {
    let broken = stream::iter([Ok(page), Err(io::Error::other("gone"))]);
    (TEXT, Body::from_stream(broken)).into_response()
}
