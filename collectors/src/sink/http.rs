//! Posts batches to a Plimsoll server.
//!
//! Invariants: only an answer that is Plimsoll's own means that lines are done with: neither a redirect nor some proxy's
//! friendly page does; the token is read anew for every request, so that a rotated one is used at once, and is never logged.
//! Must not know: the backlog.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;

use super::{Receipt, Sink, SinkError};
use crate::backlog::Batch;

/// Time for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a request from its start to the end of the answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A server may ask for so much patience and no more.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// The answer lists at most 100 rejections.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// So much of another answer goes into the log.
const EXCERPT_CHARS_MAX: usize = 200;

/// Where the bearer token comes from.
#[derive(Clone)]
pub enum Token {
    /// There is none.
    Absent,
    /// It is this text.
    Fixed(String),
    /// It is what this file has in it, whenever it is asked for.
    File(PathBuf),
}

/// Why a sink could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpSinkError {
    /// The address is not one.
    #[error("{0:?} is not the address of a server, such as https://plimsoll.example.com")]
    Url(String),
    /// The HTTP client cannot be set up, as without a TLS provider.
    #[error("could not set up the http client")]
    Client(#[source] reqwest::Error),
}

/// Why a request failed; the source of a [`SinkError`].
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("could not read the token")]
    TokenFile(#[source] io::Error),
    #[error("the token has characters that no token has")]
    TokenText(#[source] InvalidHeaderValue),
    #[error("could not compress the batch")]
    Compress(#[source] io::Error),
    #[error("could not reach the server")]
    Transport(#[source] reqwest::Error),
    #[error("the server answered {status}")]
    Status {
        status: StatusCode,
        #[source]
        source: Excerpt,
    },
    #[error("the answer is longer than an answer of plimsoll's")]
    AnswerTooLong,
    #[error("the answer is not plimsoll's")]
    NotAnAnswer(#[source] Excerpt),
}

/// The start of an answer. It is a cause of its own, since what it says differs from answer to answer of one kind.
#[derive(Debug, thiserror::Error)]
#[error("{0:?}")]
struct Excerpt(String);

impl Excerpt {
    fn of(answer: &[u8]) -> Self {
        Self(String::from_utf8_lossy(answer).chars().take(EXCERPT_CHARS_MAX).collect())
    }
}

/// The answer to `POST /ingest`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    accepted: u64,
    duplicate: u64,
    #[serde(default)]
    rejected: Vec<Rejection>,
    rejected_count: u64,
}

#[derive(Debug, Deserialize)]
struct Rejection {
    code: String,
    field: Option<String>,
    message: Option<String>,
}

/// Posts batches to `/ingest` of one server.
#[derive(Debug)]
pub struct HttpSink {
    client: Client,
    endpoint: Url,
    token: Token,
}

impl HttpSink {
    /// A sink for the server at `url`. The process must have a default `rustls` provider.
    ///
    /// # Errors
    /// When the address is none, or the HTTP client cannot be set up.
    pub fn new(url: &str, token: Token) -> Result<Self, HttpSinkError> {
        let endpoint = Url::parse(&format!("{}/ingest", url.trim_end_matches('/')))
            .ok()
            .filter(|endpoint| matches!(endpoint.scheme(), "http" | "https"))
            .ok_or_else(|| HttpSinkError::Url(url.to_owned()))?;
        let client = Client::builder()
            .user_agent(concat!("plimsoll-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(HttpSinkError::Client)?;
        Ok(Self { client, endpoint, token })
    }

    async fn post(&self, batch: &Batch) -> Result<Receipt, SinkError> {
        let body = compress(batch.as_ndjson()).map_err(|source| unavailable(RequestError::Compress(source)))?;
        let mut request = self
            .client
            .post(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header(CONTENT_ENCODING, "gzip")
            .body(body);
        if let Some(authorization) = self.token.authorization().map_err(refused)? {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| unavailable(RequestError::Transport(error.without_url())))?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let answer = read_answer(response).await;
        match status {
            StatusCode::OK => receipt(&answer.map_err(unavailable)?).map_err(unavailable),
            StatusCode::PAYLOAD_TOO_LARGE => Err(SinkError::TooLarge),
            status => {
                let excerpt = Excerpt::of(&answer.unwrap_or_default());
                let source = Box::new(RequestError::Status { status, source: excerpt });
                let is_passing = status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
                Err(if is_passing { SinkError::Unavailable { retry_after, source } } else { SinkError::Refused { source } })
            }
        }
    }
}

impl Sink for HttpSink {
    async fn send(&mut self, batch: &Batch) -> Result<Receipt, SinkError> {
        self.post(batch).await
    }
}

impl Token {
    fn authorization(&self) -> Result<Option<HeaderValue>, RequestError> {
        let token = match self {
            Self::Absent => return Ok(None),
            Self::Fixed(token) => token.clone(),
            Self::File(path) => fs::read_to_string(path).map_err(RequestError::TokenFile)?,
        };
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(RequestError::TokenText)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Fixed(_) => f.write_str("Fixed(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

fn compress(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

async fn read_answer(mut response: Response) -> Result<Vec<u8>, RequestError> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| RequestError::Transport(error.without_url()))? {
        if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(RequestError::AnswerTooLong);
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

fn receipt(answer: &[u8]) -> Result<Receipt, RequestError> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| RequestError::NotAnAnswer(Excerpt::of(answer)))?;
    Ok(Receipt {
        accepted_lines: answer.accepted,
        duplicate_lines: answer.duplicate,
        rejected_lines: answer.rejected_count,
        first_rejection: answer.rejected.first().map(Rejection::to_string),
    })
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        self.field.iter().try_for_each(|field| write!(f, " {field}"))?;
        self.message.iter().try_for_each(|message| write!(f, ": {message}"))
    }
}

/// Only seconds are understood; a date falls back to the usual delay.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn unavailable(error: RequestError) -> SinkError {
    SinkError::Unavailable { retry_after: None, source: Box::new(error) }
}

fn refused(error: RequestError) -> SinkError {
    SinkError::Refused { source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let endpoint = |url| HttpSink::new(url, Token::Absent).map(|sink| sink.endpoint.to_string());
        assert_eq!(endpoint("http://127.0.0.1:8000").unwrap(), "http://127.0.0.1:8000/ingest");
        assert_eq!(endpoint("https://plimsoll.example.com/behind/").unwrap(), "https://plimsoll.example.com/behind/ingest");
        for url in ["", "plimsoll.example.com", "ftp://plimsoll.example.com"] {
            assert!(matches!(endpoint(url), Err(HttpSinkError::Url(_))), "{url}");
        }
    }

    #[test]
    fn a_token_file_is_read_whenever_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = Token::File(path.clone());
        assert!(matches!(token.authorization(), Err(RequestError::TokenFile(_))));
        for text in ["first\n", "second"] {
            fs::write(&path, text).unwrap();
            assert_eq!(token.authorization().unwrap().unwrap(), format!("Bearer {}", text.trim()));
        }
        assert_eq!(format!("{:?}", Token::Fixed("secret".into())), "Fixed(…)");
        assert!(matches!(Token::Fixed("a\nb".into()).authorization(), Err(RequestError::TokenText(_))));
    }

    #[test]
    fn an_answer_is_understood_or_refused() {
        let text = br#"{"accepted": 998, "duplicate": 1, "rejected": [{"line": 7, "id": null, "code": "INVALID_VALUE", "field": "cpuRatio", "message": "above 1"}], "rejectedCount": 1, "warnings": []}"#;
        let expected = Receipt {
            accepted_lines: 998,
            duplicate_lines: 1,
            rejected_lines: 1,
            first_rejection: Some("INVALID_VALUE cpuRatio: above 1".into()),
        };
        assert_eq!(receipt(text).unwrap(), expected);
        assert!(matches!(receipt(b"<html>Welcome to the hotel</html>"), Err(RequestError::NotAnAnswer(_))));
        assert!(receipt(b"{}").is_err());
    }

    #[test]
    fn patience_is_bounded() {
        let wait = |text: &'static str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]));
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("86400"), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
