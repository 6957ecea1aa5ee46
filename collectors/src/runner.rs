//! The loop: at every tick ask the collectors, then deliver what they read.
//!
//! Sampling and shipping go on side by side, so that neither a slow server nor a slow driver holds the other up. Collectors
//! may block and are therefore asked on a thread for blocking work.
//!
//! Invariant: [`Runner::run`] ends by itself only when it is stopped or a collector panicked. Must not know: what is read, or
//! where it goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backlog::Backlog;
use crate::clock::{Clock, Moment};
use crate::collector::{Collector, chain};
use crate::condition::Condition;
use crate::interval::Interval;
use crate::reading::Reading;
use crate::shipper::Shipper;
pub use crate::shipper::{DELAY_MAX, DELAY_MIN, LAST_FLUSH_MAX, Totals};
use crate::sink::Sink;

/// Ticks between sampling and shipping at most; the shipper takes them in at once.
const TICKS_QUEUED_MAX: usize = 8;

/// Why the loop ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A collector panicked.
    #[error("a collector panicked")]
    Panicked(#[source] JoinError),
}

/// Asks collectors at every tick and delivers what they read.
pub struct Runner<S> {
    clock: Arc<dyn Clock>,
    interval: Interval,
    sampler: Sampler,
    shipper: Shipper<S>,
}

impl<S: Sink> Runner<S> {
    /// A runner that asks `collectors` every `interval` and delivers through `backlog` to `sink`.
    pub fn new(clock: Arc<dyn Clock>, interval: Interval, collectors: Vec<Box<dyn Collector>>, backlog: Backlog, sink: S) -> Self {
        let sources = collectors.into_iter().map(|collector| (collector, Condition::default())).collect();
        Self { clock, interval, sampler: Sampler { sources }, shipper: Shipper::new(sink, backlog) }
    }

    /// Other delays after a failed delivery than [`DELAY_MIN`] to [`DELAY_MAX`].
    #[must_use]
    pub fn with_delays(mut self, min: Duration, max: Duration) -> Self {
        self.shipper.set_delays(min, max);
        self
    }

    /// Takes in a reading that no collector makes, such as that the machine runs.
    pub fn announce(&mut self, reading: Reading) {
        self.shipper.push(&[reading]);
    }

    /// One tick: asks the collectors and delivers what waits, up to the first failure.
    pub async fn run_once(&mut self, now: Moment) -> Totals {
        let readings = self.sampler.sample(now);
        self.shipper.push(&readings);
        self.shipper.flush().await;
        self.shipper.totals()
    }

    /// Ticks until `stop`, then delivers once more what waits; what could not be delivered stays on disk.
    ///
    /// # Errors
    /// When a collector panicked; what had been read is delivered all the same.
    pub async fn run(self, stop: CancellationToken) -> Result<Totals, RunError> {
        let Self { clock, interval, sampler, mut shipper } = self;
        let (readings, mut incoming) = mpsc::channel(TICKS_QUEUED_MAX);
        let sampling = sample_until(stop, clock, interval, sampler, readings);
        let ((), sampled) = tokio::join!(shipper.run(&mut incoming), sampling);
        let totals = shipper.close();
        sampled.map(|()| totals)
    }

    /// Ends without another delivery; what waits stays on disk.
    pub fn close(self) -> Totals {
        self.shipper.close()
    }
}

/// The collectors, and whether they work.
struct Sampler {
    sources: Vec<(Box<dyn Collector>, Condition)>,
}

impl Sampler {
    fn sample(&mut self, now: Moment) -> Vec<Reading> {
        let mut readings = Vec::new();
        for (collector, condition) in &mut self.sources {
            match collector.collect(now, &mut readings) {
                Ok(()) => {
                    if condition.recovers() {
                        tracing::info!(collector = collector.name(), "a collector reads again");
                    }
                }
                Err(error) => {
                    let fault = chain(&error);
                    if condition.fails(&fault) {
                        tracing::warn!(collector = collector.name(), error = fault, "a collector reads nothing");
                    }
                }
            }
        }
        readings
    }
}

/// The first tick is now, all others lie on multiples of the interval.
async fn sample_until(
    stop: CancellationToken,
    clock: Arc<dyn Clock>,
    interval: Interval,
    mut sampler: Sampler,
    readings: mpsc::Sender<Vec<Reading>>,
) -> Result<(), RunError> {
    loop {
        let now = clock.now();
        let sampling = spawn_blocking(move || {
            let sample = sampler.sample(now);
            (sampler, sample)
        });
        // A collector that hangs must not keep the process from ending.
        let sampled = tokio::select! {
            sampled = sampling => sampled,
            () = stop.cancelled() => return Ok(()),
        };
        let (returned, sample) = sampled.map_err(RunError::Panicked)?;
        sampler = returned;
        // The shipper ends after this side only.
        readings.send(sample).await.ok();
        tokio::select! {
            () = sleep(interval.until_next(clock.now().at)) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
