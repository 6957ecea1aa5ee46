//! What is logged, and how: to standard error, as text for people or as JSON lines.
//!
//! An error is logged once, where it is handled, with its whole chain. Must not know: what anything means.

use std::error::Error;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Libraries that log what clients send, tokens included, whatever else is asked for.
const SECRETIVE: &str = "tungstenite=info,tokio_tungstenite=info";

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the log")]
pub struct TelemetryError(#[source] Box<dyn Error + Send + Sync>);

/// Starts logging for this process. Once only.
///
/// # Errors
/// [`TelemetryError`] when the filter cannot be read or logging was started before.
pub fn start(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(format!("{},{SECRETIVE}", log.filter.as_str())).map_err(|error| TelemetryError(Box::new(error)))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(TelemetryError)
}

/// An error and its sources on one line, outermost first.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text.replace('\n', " ")
}
