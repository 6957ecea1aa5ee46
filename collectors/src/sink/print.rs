//! Writes lines out instead of sending them anywhere.
//!
//! Must not know: HTTP.

use std::future::{Future, ready};
use std::io::Write;

use super::{Receipt, Sink, SinkError};
use crate::backlog::Batch;

/// Writes every line to `W`, such as the standard output.
#[derive(Debug)]
pub struct PrintSink<W>(pub W);

impl<W: Write + Send + 'static> Sink for PrintSink<W> {
    fn send(&mut self, batch: &Batch) -> impl Future<Output = Result<Receipt, SinkError>> + Send {
        let written = self.0.write_all(batch.as_ndjson().as_bytes()).and_then(|()| self.0.flush());
        ready(match written {
            Ok(()) => Ok(Receipt { accepted_lines: batch.line_count() as u64, ..Receipt::default() }),
            Err(error) => Err(SinkError::Refused { source: Box::new(error) }),
        })
    }
}
