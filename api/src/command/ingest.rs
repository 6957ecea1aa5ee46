//! `plimsoll ingest FILE…`: sends files of events to a server.
//!
//! Invariants: memory holds a few batches, whatever the size of the files; a batch, line or file that goes wrong does not stop the
//! others; sending everything again is safe, since the server knows what it has. Must not know: what makes a line good.

use std::error::Error as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod report;
mod sender;
mod source;

pub use report::{FileReport, Report};
pub use sender::{Backoff, SetupError};
use sender::{Outcome, Sender};
use source::{Batch, read_files};

/// Lines of one batch at most; more would not fit into a body.
const BATCH_LINES_MAX: i64 = 100_000;
/// Connections at most.
const CONNECTIONS_MAX: i64 = 64;

/// Arguments of `plimsoll ingest`.
#[derive(Clone, Debug, clap::Args)]
pub struct IngestArgs {
    /// Files of events, one JSON object a line; plain, gzip or zstd; `-` is the standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The server.
    #[arg(long, env = "PLIMSOLL_URL", default_value = "http://127.0.0.1:8000")]
    pub url: String,
    /// A token with the role INGEST or ADMIN. Other users of this machine see arguments: better set the variable.
    #[arg(long, env = "PLIMSOLL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Reject lines with unknown keys.
    #[arg(long)]
    pub strict: bool,
    /// Lines of one batch.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=BATCH_LINES_MAX))]
    pub batch_lines: u32,
    /// Batches under way at a time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub connections: u32,
}

/// Sends the files, shows progress on a terminal, prints the sum, and fails when anything was rejected or not sent.
pub async fn run(args: &IngestArgs) -> ExitCode {
    match send(args, Backoff::default()).await {
        Ok(report) => {
            // A reader that has gone (`| head`) is no reason to fail.
            let _ = write!(io::stdout().lock(), "{report}");
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            let _ = writeln!(io::stderr().lock(), "plimsoll ingest: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

/// Sends the files and tells what became of them.
///
/// # Errors
/// [`SetupError`] when nothing can be sent at all.
pub async fn send(args: &IngestArgs, backoff: Backoff) -> Result<Report, SetupError> {
    let sender = Sender::new(args, backoff)?;
    let connections = args.connections as usize;
    let (batches, mut waiting) = mpsc::channel::<Batch>(connections);
    let (files, batch_lines) = (args.files.clone(), args.batch_lines);
    let reading = tokio::task::spawn_blocking(move || read_files(&files, batch_lines, &batches));

    let mut report = Report::new(&args.files);
    let bar = progress(&args.files);
    let refused = CancellationToken::new();
    {
        let waiting = stream::poll_fn(|context| waiting.poll_recv(context)).take_until(refused.cancelled());
        let mut sent = std::pin::pin!(waiting.map(|batch| sender.send(batch)).buffer_unordered(connections));
        while let Some((place, outcome)) = sent.next().await {
            bar.inc(place.stored_size_bytes);
            if let Outcome::Refused { .. } = outcome {
                refused.cancel();
            }
            report.add(&place, outcome);
        }
    }
    // Without a receiver the reader stops; after the last batch it has stopped by itself.
    drop(waiting);
    match reading.await {
        Ok(files) => report.end_files(files),
        Err(error) => report.end_files(vec![Err(format!("reading the file broke off: {error}")); args.files.len()]),
    }
    bar.finish_and_clear();
    Ok(report)
}

/// A bar over the stored bytes of all files; a running count where one of them is a stream. Hidden by itself off a terminal.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let sizes: Option<Vec<u64>> =
        files.iter().map(|file| std::fs::metadata(file).ok().filter(|file| file.is_file()).map(|file| file.len())).collect();
    let (bar, template) = match sizes {
        Some(sizes) => (ProgressBar::new(sizes.iter().sum()), "{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
