//! Prometheus endpoints of this machine: what exporters and inference servers say about its GPUs and itself.
//!
//! [`PrometheusCollector`] fetches all pages at every tick, reads the names that it knows (dcgm-exporter's and Triton's; vLLM
//! has none that a sample could take) and merges them into the readings of the tick. All of them are gauges, so that nothing has
//! to be known of counters and their resets.
//!
//! Invariants: it comes after the collectors of the machine and its GPUs, whose figures stand (see `merge`); a page that
//! cannot be had yields nothing, never 0, and is said once per change; samples carry the tick at which the pages were asked
//! for. Pages are fetched side by side, so that a slow endpoint costs its own page and delays the delivery of its tick by
//! [`TIMEOUT_MAX`] at most; what other collectors read at that tick has been read before. Must not know: sinks.

mod dcgm;
mod endpoint;
mod figure;
mod merge;
mod scraper;
mod text;
mod triton;
mod vllm;

use std::cell::Cell;
use std::time::Duration;

pub use endpoint::{ENDPOINTS_MAX, Endpoint, EndpointError};
use figure::{ScrapedGpu, ScrapedMachine};
use merge::{Indices, Tick, learn_indices, merge};
use scraper::{Body, Scraper};
pub use scraper::{PAGE_BYTES_MAX, ScrapeError};
use text::LineError;

use crate::clock::Moment;
use crate::collector::{CollectError, Collector, chain};
use crate::condition::Condition;
use crate::interval::Interval;
use crate::reading::Reading;

/// A page must have come wholly within this time.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3);
/// Where ticks are close together: within this part of the interval, so that a slow endpoint never costs the next tick.
const TIMEOUT_INTERVAL_PARTS: u32 = 4;

/// What one page says.
#[derive(Clone, Debug, Default, PartialEq)]
struct Figures {
    gpus: Vec<ScrapedGpu>,
    machine: ScrapedMachine,
}

/// One page, read.
#[derive(Debug)]
struct Read {
    figures: Figures,
    is_of_vllm: bool,
    rejected_lines: usize,
    first_rejection: Option<(usize, LineError)>,
}

/// Scrapes endpoints.
#[derive(Debug)]
pub struct PrometheusCollector {
    vm: String,
    interval: Interval,
    scraper: Scraper,
    sources: Vec<Source>,
    driver_indices: Indices,
    left_out: Condition,
}

impl PrometheusCollector {
    /// Scrapes `endpoints` of the machine `vm`. The process must have a default `rustls` provider.
    ///
    /// # Errors
    /// When there are more than [`ENDPOINTS_MAX`], or the client or its thread cannot be set up.
    pub fn new(vm: String, interval: Interval, endpoints: Vec<Endpoint>) -> Result<Self, ScrapeError> {
        if endpoints.len() > ENDPOINTS_MAX {
            return Err(ScrapeError::TooManyEndpoints(endpoints.len()));
        }
        let timeout = TIMEOUT_MAX.min(interval.duration() / TIMEOUT_INTERVAL_PARTS);
        let urls = endpoints.iter().map(|endpoint| endpoint.url().clone()).collect();
        let scraper = Scraper::start(urls, timeout)?;
        let sources = endpoints.into_iter().map(Source::new).collect();
        Ok(Self { vm, interval, scraper, sources, driver_indices: Indices::new(), left_out: Condition::default() })
    }
}

impl Collector for PrometheusCollector {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn collect(&mut self, now: Moment, readings: &mut Vec<Reading>) -> Result<(), CollectError> {
        let answers = self.scraper.scrape().map_err(CollectError::Scrape)?;
        let pages: Vec<Figures> = self.sources.iter_mut().zip(answers).filter_map(|(source, answer)| source.take(answer)).collect();
        learn_indices(&mut self.driver_indices, readings);
        let has_gpus = pages.iter().any(|page| !page.gpus.is_empty());
        let tick = Tick { vm: &self.vm, interval: self.interval, now };
        let reasons: Vec<String> = merge(tick, &self.driver_indices, pages, readings).iter().map(ToString::to_string).collect();
        let reason = reasons.join(", ");
        if reason.is_empty() {
            // A page that is not there says nothing about its GPUs.
            if has_gpus && self.left_out.recovers() {
                tracing::info!("all scraped gpus are taken");
            }
        } else if self.left_out.fails(&reason) {
            tracing::warn!(reason, "scraped gpus are left out");
        }
        Ok(())
    }
}

/// One endpoint, and what was last said about it.
#[derive(Debug)]
struct Source {
    endpoint: Endpoint,
    page: Condition,
    lines: Condition,
    figures: Condition,
}

impl Source {
    fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, page: Condition::default(), lines: Condition::default(), figures: Condition::default() }
    }

    /// The figures of an answer; says what is new about it.
    fn take(&mut self, answer: Result<Body, ScrapeError>) -> Option<Figures> {
        let endpoint = &self.endpoint;
        let page = answer.and_then(|body| {
            let must_end = body.is_openmetrics;
            read(&body.into_text()?, must_end)
        });
        match page {
            Ok(page) => {
                if self.page.recovers() {
                    tracing::info!(%endpoint, "endpoint is scraped again");
                }
                self.say_lines(&page);
                self.say_figures(&page);
                Some(page.figures)
            }
            Err(error) => {
                let fault = chain(&error);
                if self.page.fails(&fault) {
                    tracing::warn!(%endpoint, error = fault, "endpoint cannot be scraped, it is left out");
                }
                None
            }
        }
    }

    fn say_lines(&mut self, page: &Read) {
        let endpoint = &self.endpoint;
        match page.first_rejection {
            Some((line, reason)) if self.lines.fails(&reason.to_string()) => {
                tracing::warn!(%endpoint, line, %reason, lines = page.rejected_lines, "lines of a page are left out");
            }
            Some(_) => {}
            None => {
                if self.lines.recovers() {
                    tracing::info!(%endpoint, "all lines of a page are understood again");
                }
            }
        }
    }

    fn say_figures(&mut self, page: &Read) {
        let endpoint = &self.endpoint;
        if page.figures != Figures::default() {
            self.figures.recovers();
        } else if self.figures.fails("none") {
            let advice = if page.is_of_vllm { "vllm tells none, dcgm-exporter does" } else { "it may be the wrong page" };
            tracing::warn!(%endpoint, advice, "a page has no figures of gpus or the machine");
        }
    }
}

/// Reads a page; one that `must_end` is refused where it does not.
fn read(text: &[u8], must_end: bool) -> Result<Read, ScrapeError> {
    let is_of_vllm = Cell::new(false);
    let is_wanted = |name: &str| {
        is_of_vllm.set(is_of_vllm.get() || vllm::is_of_vllm(name));
        dcgm::is_read(name) || triton::is_read(name)
    };
    let page = text::parse(text, is_wanted).map_err(|_| ScrapeError::TooManyLines)?;
    if page.sample_lines == 0 && page.rejected_lines > 0 {
        return Err(ScrapeError::NotAPage);
    }
    if must_end && !page.has_end {
        return Err(ScrapeError::Torn);
    }
    let mut gpus = dcgm::gpus(&page.samples, page.rejected_lines == 0);
    gpus.extend(triton::gpus(&page.samples));
    Ok(Read {
        figures: Figures { gpus, machine: triton::machine(&page.samples) },
        is_of_vllm: is_of_vllm.get(),
        rejected_lines: page.rejected_lines,
        first_rejection: page.first_rejection,
    })
}

#[cfg(test)]
mod tests;
