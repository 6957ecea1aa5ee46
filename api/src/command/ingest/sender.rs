//! One batch over the wire: compressed, sent, and sent again while that may help.
//!
//! Invariants: a batch is sent again only where the contract says that nothing of it was kept, or where nobody knows (a lost
//! connection): the server tells duplicates. The token goes to the named server only: redirects are not followed.

use std::io::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;

use super::IngestArgs;
use super::source::{Batch, Place};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request may take, its answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest `Retry-After` that is waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Characters that are repeated of an answer that is not understood.
const ANSWER_SHOWN_CHARS: usize = 200;

/// How often and how patiently a batch is sent again.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Wait before the second attempt; doubles from there.
    pub first: Duration,
    /// Longest wait, unless the server asks for more.
    pub longest: Duration,
    /// Attempts in all.
    pub attempts: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(250), longest: Duration::from_secs(10), attempts: 10 }
    }
}

impl Backoff {
    /// The wait after so many attempts.
    fn after(&self, attempts: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(self.longest)
    }
}

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// `--url` is no http(s) URL.
    #[error("--url must be an http or https URL such as http://127.0.0.1:8000, not {0:?}")]
    Url(String),
    /// `--token` does not fit into a header.
    #[error("--token holds characters that no token has")]
    Token,
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The server has answered for each line.
    Answered(Answer),
    /// The batch was not taken; others may be.
    Failed(String),
    /// The server refuses the sender: no batch would be taken.
    Refused {
        /// What it said.
        reason: String,
    },
}

/// The server's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Answer {
    pub(super) accepted: u64,
    pub(super) duplicate: u64,
    pub(super) rejected: Vec<Rejected>,
    pub(super) rejected_count: u64,
    pub(super) warnings: Vec<Warning>,
}

/// A rejected line of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Rejected {
    pub(super) line: u64,
    pub(super) code: String,
    pub(super) field: Option<String>,
    #[serde(default)]
    pub(super) message: String,
}

/// An unknown key of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Warning {
    pub(super) key: String,
    pub(super) lines: u64,
}

/// The error of an answer.
#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: ErrorText,
}

#[derive(Debug, Deserialize)]
struct ErrorText {
    message: String,
}

/// Sends batches.
pub(super) struct Sender {
    client: Client,
    url: Url,
    backoff: Backoff,
}

/// One attempt: an outcome, or why to try again and how long to wait at least.
enum Attempt {
    Done(Outcome),
    Again { reason: String, wait: Duration },
}

impl Sender {
    pub(super) fn new(args: &IngestArgs, backoff: Backoff) -> Result<Self, SetupError> {
        // Whoever comes first sets the process's provider; the binary may have done so already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = target(&args.url, args.strict).ok_or_else(|| SetupError::Url(args.url.clone()))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(token) = &args.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| SetupError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = Client::builder()
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(args.connections as usize)
            .build()
            .map_err(SetupError::Client)?;
        Ok(Self { client, url, backoff })
    }

    /// Sends a batch until it is answered, refused, or tried often enough.
    pub(super) async fn send(&self, batch: Batch) -> (Place, Outcome) {
        let Batch { place, body } = batch;
        let packed = tokio::task::spawn_blocking(move || gzip(&body)).await;
        let body = match packed {
            Ok(Ok(body)) => Bytes::from(body),
            Ok(Err(error)) => return (place, Outcome::Failed(format!("compressing the batch: {error}"))),
            Err(error) => return (place, Outcome::Failed(format!("compressing the batch: {error}"))),
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(body.clone()).await {
                Attempt::Done(outcome) => return (place, outcome),
                Attempt::Again { reason, .. } if attempts >= self.backoff.attempts => {
                    return (place, Outcome::Failed(format!("{reason} ({attempts} attempts)")));
                }
                Attempt::Again { wait, .. } => tokio::time::sleep(wait.max(self.backoff.after(attempts))).await,
            }
        }
    }

    async fn attempt(&self, body: Bytes) -> Attempt {
        let response = match self.client.post(self.url.clone()).body(body).send().await {
            Ok(response) => response,
            Err(error) => return Attempt::Again { reason: chain(&error.without_url()), wait: Duration::ZERO },
        };
        let status = response.status();
        let wait = retry_after(response.headers());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Attempt::Again { reason: chain(&error.without_url()), wait: Duration::ZERO },
        };
        if status == StatusCode::OK {
            return Attempt::Done(match serde_json::from_slice(&body) {
                Ok(answer) => Outcome::Answered(answer),
                Err(_) => Outcome::Failed(format!("the answer is not understood: {}", shown(&body))),
            });
        }
        let said = serde_json::from_slice::<ErrorBody>(&body).map_or_else(|_| shown(&body), |body| body.error.message);
        let reason = format!("HTTP {status}: {said}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::REQUEST_TIMEOUT => Attempt::Again { reason, wait },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Attempt::Done(Outcome::Refused { reason }),
            _ => Attempt::Done(Outcome::Failed(reason)),
        }
    }
}

/// Where to send: the server's `/ingest`, or the URL itself where it names that already.
fn target(url: &str, strict: bool) -> Option<Url> {
    let base = url.trim_end_matches('/');
    let mut url = Url::parse(&if base.ends_with("/ingest") { base.to_owned() } else { format!("{base}/ingest") }).ok()?;
    let known = matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none();
    url.set_query(strict.then_some("strict=true"));
    known.then_some(url)
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(RETRY_AFTER_MAX)
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(ANSWER_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_the_path() {
        for (url, target_url) in [
            ("http://127.0.0.1:8000", Some("http://127.0.0.1:8000/ingest?strict=true")),
            ("https://host/", Some("https://host/ingest?strict=true")),
            ("https://host/behind/proxy", Some("https://host/behind/proxy/ingest?strict=true")),
            ("https://host/ingest", Some("https://host/ingest?strict=true")),
            ("127.0.0.1:8000", None),
            ("ftp://host", None),
            ("http://host/?a=b", None),
            ("", None),
        ] {
            assert_eq!(target(url, true).as_ref().map(Url::as_str), target_url, "{url}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let waits: Vec<u128> = [1, 2, 3, 6, 7, 40].map(|attempts| backoff.after(attempts).as_millis()).into();
        assert_eq!(waits, [250, 500, 1_000, 8_000, 10_000, 10_000]);
    }
}
