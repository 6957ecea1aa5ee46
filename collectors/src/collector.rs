//! What a collector is.
//!
//! Invariant: a collector that fails yields nothing for that tick and is asked again at the next. Must not know: sinks.

use std::io;
use std::path::PathBuf;

use crate::clock::Moment;
use crate::reading::Reading;

/// Reads one kind of thing of this machine.
///
/// `collect` may block for as long as the operating system takes; the runner calls it away from the async threads.
pub trait Collector: Send {
    /// What it reads, for the log.
    fn name(&self) -> &'static str;

    /// Appends what is true at `now` to `readings`, which hold what the collectors before it read at this tick.
    ///
    /// # Errors
    /// When nothing could be read. A part that could not be read is left out instead.
    fn collect(&mut self, now: Moment, readings: &mut Vec<Reading>) -> Result<(), CollectError>;
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A file of the system.
    #[error("could not read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the system says something that is not known.
    #[error("{} is not understood: {message}", path.display())]
    Format {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The driver of the GPUs.
    #[error("no gpu could be read")]
    Gpu(#[source] crate::gpu::GpuError),
    /// The endpoints.
    #[error("no endpoint could be scraped")]
    Scrape(#[source] crate::prometheus::ScrapeError),
    /// The operating system tells nothing about itself.
    #[error("the operating system cannot be asked")]
    System(#[source] sysinfo::Error),
}

/// The chain of an error in one line, for the log.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
