//! GraphiQL at `/`, with all its files in the binary: it works without internet.
//!
//! Invariant: the page loads and asks nothing but this server (its content security policy says so). Must not know: tokens, which stay
//! in the browser.

use std::io::Write as _;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

/// GraphiQL's editor sets styles of elements as it goes; scripts come from files only.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Asked for again each time, and answered with 304 while the version is the same.
const CACHING: HeaderValue = HeaderValue::from_static("no-cache");

/// A file of the page.
struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
    gzipped: OnceLock<Bytes>,
}

impl Asset {
    const fn new(path: &'static str, media_type: &'static str, content: &'static [u8]) -> Self {
        Self { path, media_type, content, gzipped: OnceLock::new() }
    }

    fn etag(&self) -> String {
        format!("\"{}-{}\"", env!("CARGO_PKG_VERSION"), self.content.len())
    }

    /// Compressed once, since the same bytes go out each time.
    fn gzipped(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            let written = encoder.write_all(self.content).and_then(|()| encoder.finish());
            // Writing to a Vec does not fail; the empty answer would be served plain.
            written.map(Bytes::from).unwrap_or_default()
        };
        self.gzipped.get_or_init(compress).clone()
    }

    fn serve(&'static self, headers: &HeaderMap) -> Response {
        let etag = HeaderValue::from_str(&self.etag()).unwrap_or(HeaderValue::from_static("\"0\""));
        let fixed = [
            (header::ETAG, etag.clone()),
            (header::CACHE_CONTROL, CACHING),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
        ];
        if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        let media_type = [(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type))];
        let takes_gzip = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(',').any(|coding| coding.trim().split(';').next() == Some("gzip") && !coding.replace(' ', "").ends_with(";q=0"))
        });
        let gzipped = if takes_gzip { self.gzipped() } else { Bytes::new() };
        if gzipped.is_empty() {
            return (fixed, media_type, self.content).into_response();
        }
        (fixed, media_type, [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], gzipped).into_response()
    }
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static ASSETS: [Asset; 8] = [
    Asset::new("/", "text/html; charset=utf-8", include_bytes!("explorer/index.html")),
    Asset::new("/explorer/start.js", JAVASCRIPT, include_bytes!("explorer/start.js")),
    Asset::new("/explorer/start.css", STYLE, include_bytes!("explorer/start.css")),
    Asset::new("/explorer/graphiql.min.js", JAVASCRIPT, include_bytes!("explorer/graphiql.min.js")),
    Asset::new("/explorer/graphiql.min.css", STYLE, include_bytes!("explorer/graphiql.min.css")),
    Asset::new("/explorer/graphql-ws.min.js", JAVASCRIPT, include_bytes!("explorer/graphql-ws.min.js")),
    Asset::new("/explorer/react.production.min.js", JAVASCRIPT, include_bytes!("explorer/react.production.min.js")),
    Asset::new("/explorer/react-dom.production.min.js", JAVASCRIPT, include_bytes!("explorer/react-dom.production.min.js")),
];

/// The routes of the page and its files.
pub fn routes() -> Router {
    ASSETS.iter().fold(Router::new(), |router, asset| router.route(asset.path, get(async |headers: HeaderMap| asset.serve(&headers))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_only_files_that_exist() {
        let page = std::str::from_utf8(ASSETS[0].content).unwrap();
        let named: Vec<_> = page.split(['"']).filter(|text| text.starts_with("/explorer/")).collect();
        assert_eq!(named.len(), 7);
        assert!(named.iter().all(|name| ASSETS.iter().any(|asset| asset.path == *name)));
    }
}
