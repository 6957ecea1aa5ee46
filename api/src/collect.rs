//! This machine's own samples, read in process and written through the ingest path.
//!
//! Invariant: the collectors never write anything that `POST /ingest` would not have taken. Must not know: how machines are read.

use std::sync::Arc;

use plimsoll_collectors::backlog::{Backlog, Batch};
use plimsoll_collectors::clock::SystemClock;
use plimsoll_collectors::interval::Interval;
use plimsoll_collectors::machine::{GpuSource, ThisMachine, hostname};
use plimsoll_collectors::reading::{Reading, VmState, VmStateName};
use plimsoll_collectors::runner::Runner;
use plimsoll_collectors::sink::{Receipt, Sink, SinkError};
use plimsoll_domain::clock::Clock;
use plimsoll_domain::ingest::batch::read_batch;
use plimsoll_domain::ingest::line::ReadContext;
use plimsoll_domain::ingest::{IngestError, IngestSink};
use tokio_util::sync::CancellationToken;

/// Seconds between two samples.
const INTERVAL_SECONDS: u32 = 10;
/// What a machine without a name is called.
const UNNAMED: &str = "localhost";

/// Hands lines to the ingest path of this process.
struct OwnIngest<S> {
    sink: S,
    clock: Arc<dyn Clock>,
}

impl<S: IngestSink> Sink for OwnIngest<S> {
    async fn send(&mut self, batch: &Batch) -> Result<Receipt, SinkError> {
        let text = batch.as_ndjson();
        let read = read_batch(text.as_bytes(), ReadContext { now: self.clock.now(), strict: false, oldest: None });
        let first_rejection = read.rejected.first().map(|rejected| rejected.rejection.message.clone());
        let written = self.sink.write(read.events, text.len()).await.map_err(|error| SinkError::Unavailable {
            retry_after: match error {
                IngestError::QueueFull { retry_after_s } => Some(std::time::Duration::from_secs(retry_after_s.into())),
                IngestError::Unavailable { .. } => None,
            },
            source: Box::new(error),
        })?;
        let refused = (written.conflicts.len() + written.refused.len()) as u64;
        Ok(Receipt {
            accepted_lines: written.accepted,
            duplicate_lines: written.duplicate,
            rejected_lines: read.rejected_count + refused,
            first_rejection,
        })
    }
}

/// Samples this machine until `stop`. What goes wrong is logged; a server without its own samples still serves.
pub async fn run<S: IngestSink>(sink: S, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let vm = hostname().unwrap_or_else(|| UNNAMED.to_owned());
    let interval = match Interval::from_seconds(INTERVAL_SECONDS) {
        Ok(interval) => interval,
        Err(error) => return wait(&format!("{error}"), &stop).await,
    };
    let name = vm.clone();
    // Loading NVML may take seconds.
    let opened = tokio::task::spawn_blocking(move || ThisMachine::open(&name, interval, GpuSource::Nvml)).await;
    let machine = match opened {
        Ok(Ok(machine)) => machine,
        Ok(Err(error)) => return wait(&crate::telemetry::chain(&error), &stop).await,
        Err(error) => return wait(&crate::telemetry::chain(&error), &stop).await,
    };
    let own_clock = Arc::new(SystemClock::start());
    let started = plimsoll_collectors::clock::Clock::now(&*own_clock).at;
    let mut runner = Runner::new(own_clock, interval, machine.collectors, Backlog::in_memory(), OwnIngest { sink, clock });
    runner.announce(Reading::VmState(VmState::new(vm.clone(), started, VmStateName::Running, machine.description)));
    tracing::info!(vm, interval_seconds = INTERVAL_SECONDS, "sampling this machine");
    match runner.run(stop).await {
        Ok(totals) => tracing::debug!(?totals, "stopped sampling this machine"),
        Err(error) => tracing::error!(error = crate::telemetry::chain(&error), "cannot sample this machine"),
    }
}

async fn wait(reason: &str, stop: &CancellationToken) {
    tracing::error!(reason, "cannot sample this machine");
    stop.cancelled().await;
}
