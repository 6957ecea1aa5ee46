//! Fetches pages: all at once, on a thread of its own, each within the same limits.
//!
//! Collectors are asked from threads that may or may not belong to a runtime, so that the HTTP client gets a runtime of its
//! own.
//!
//! Invariants: an endpoint that is slow, large or wrong costs its own page only, and the wait for all of them is bounded by
//! the timeout of one; redirects are not followed; proxies are not asked, since endpoints belong to this machine. Must not
//! know: what stands on the pages.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::endpoint::ENDPOINTS_MAX;
use super::text::LINES_MAX;

/// A page has at most so many bytes, before and after decompression.
pub const PAGE_BYTES_MAX: usize = 8 << 20;
/// The thread may answer so much later than its timeout before it is given up for this tick.
const REPLY_GRACE: Duration = Duration::from_millis(500);
/// The older format first: its pages need no negotiation of units and suffixes.
const ACCEPTED: &str = "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.7, */*;q=0.1";
const OPENMETRICS: &str = "application/openmetrics-text";

/// Why there is no page, or why no page can be had at all.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// More addresses than [`ENDPOINTS_MAX`].
    #[error("at most {ENDPOINTS_MAX} endpoints are scraped, not {0}")]
    TooManyEndpoints(usize),
    /// The client cannot be set up.
    #[error("could not set up the http client")]
    Client(#[source] reqwest::Error),
    /// The thread cannot be set up.
    #[error("could not set up the thread for scraping")]
    Thread(#[source] io::Error),
    /// The thread has ended or hangs.
    #[error("the thread for scraping does not answer")]
    Stuck,
    /// Nothing came in time.
    #[error("the endpoint did not answer in time")]
    Timeout,
    /// Nothing came.
    #[error("the endpoint could not be read")]
    Transport(#[source] reqwest::Error),
    /// Something else came, perhaps a redirect.
    #[error("the endpoint answered {0}")]
    Status(StatusCode),
    /// Too much came.
    #[error("the page has more than {PAGE_BYTES_MAX} bytes")]
    TooLarge,
    /// It came in an encoding that was not asked for.
    #[error("the page has an encoding that is not understood")]
    Encoding,
    /// It is not what its encoding says.
    #[error("the page could not be decompressed")]
    Gzip(#[source] io::Error),
    /// It has too many lines.
    #[error("the page has more than {LINES_MAX} lines")]
    TooManyLines,
    /// It is OpenMetrics without an end.
    #[error("the page is cut off")]
    Torn,
    /// No line of it is understood.
    #[error("the page is none of prometheus")]
    NotAPage,
}

/// What an endpoint answered.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Vec<u8>,
    is_gzip: bool,
    /// Whether it says that it is OpenMetrics, and so must say where it ends.
    pub(super) is_openmetrics: bool,
}

impl Body {
    /// The text of the page.
    pub(super) fn into_text(self) -> Result<Vec<u8>, ScrapeError> {
        if !self.is_gzip {
            return Ok(self.bytes);
        }
        let mut text = Vec::new();
        let bound = PAGE_BYTES_MAX as u64 + 1;
        MultiGzDecoder::new(self.bytes.as_slice()).take(bound).read_to_end(&mut text).map_err(ScrapeError::Gzip)?;
        if text.len() > PAGE_BYTES_MAX { Err(ScrapeError::TooLarge) } else { Ok(text) }
    }
}

type Answers = Vec<Result<Body, ScrapeError>>;

/// Where to send the answers of one round.
type Ask = SyncSender<Answers>;

/// The thread that fetches pages; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Scraper {
    asks: SyncSender<Ask>,
    wait_max: Duration,
}

impl Scraper {
    /// Starts the thread. The process must have a default `rustls` provider.
    pub(super) fn start(urls: Vec<Url>, timeout: Duration) -> Result<Self, ScrapeError> {
        let client = Client::builder()
            .user_agent(concat!("plimsoll-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Nothing looks after idle connections between two rounds.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(ScrapeError::Client)?;
        // Names are resolved on threads for blocking work, where one that hangs stays although its scrape was given up.
        let runtime =
            Builder::new_current_thread().enable_all().max_blocking_threads(ENDPOINTS_MAX).build().map_err(ScrapeError::Thread)?;
        let (asks, asked) = sync_channel(1);
        thread::Builder::new()
            .name("scraper".to_owned())
            .spawn(move || serve(&runtime, &client, &urls, timeout, &asked))
            .map_err(ScrapeError::Thread)?;
        Ok(Self { asks, wait_max: timeout + REPLY_GRACE })
    }

    /// Fetches all pages and waits for them, in the order of the addresses.
    pub(super) fn scrape(&self) -> Result<Answers, ScrapeError> {
        let (reply, answers) = sync_channel(1);
        self.asks.try_send(reply).map_err(|_| ScrapeError::Stuck)?;
        answers.recv_timeout(self.wait_max).map_err(|_| ScrapeError::Stuck)
    }
}

fn serve(runtime: &Runtime, client: &Client, urls: &[Url], timeout: Duration, asked: &Receiver<Ask>) {
    while let Ok(reply) = asked.recv() {
        // Whoever asked may have given up.
        reply.send(runtime.block_on(fetch_all(client, urls, timeout))).ok();
    }
}

async fn fetch_all(client: &Client, urls: &[Url], timeout_each: Duration) -> Answers {
    let mut fetching = JoinSet::new();
    for (index, url) in urls.iter().enumerate() {
        let (client, url) = (client.clone(), url.clone());
        fetching.spawn(async move { (index, timeout(timeout_each, fetch(&client, url)).await.unwrap_or(Err(ScrapeError::Timeout))) });
    }
    let mut answers: Answers = urls.iter().map(|_| Err(ScrapeError::Stuck)).collect();
    while let Some(fetched) = fetching.join_next().await {
        if let Ok((index, answer)) = fetched {
            answers[index] = answer;
        }
    }
    answers
}

async fn fetch(client: &Client, url: Url) -> Result<Body, ScrapeError> {
    let request = client.get(url).header(ACCEPT, ACCEPTED).header(ACCEPT_ENCODING, "gzip");
    let response = request.send().await.map_err(transport)?;
    if response.status() != StatusCode::OK {
        return Err(ScrapeError::Status(response.status()));
    }
    let is_gzip = match header(response.headers(), &CONTENT_ENCODING).as_str() {
        "" | "identity" => false,
        "gzip" | "x-gzip" => true,
        _ => return Err(ScrapeError::Encoding),
    };
    let is_openmetrics = header(response.headers(), &CONTENT_TYPE).starts_with(OPENMETRICS);
    Ok(Body { bytes: read_bounded(response).await?, is_gzip, is_openmetrics })
}

async fn read_bounded(mut response: Response) -> Result<Vec<u8>, ScrapeError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if bytes.len() + chunk.len() > PAGE_BYTES_MAX {
            return Err(ScrapeError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn header(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim().to_ascii_lowercase()
}

fn transport(error: reqwest::Error) -> ScrapeError {
    // The address may hold a password.
    ScrapeError::Transport(error.without_url())
}
