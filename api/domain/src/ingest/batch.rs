//! A body of lines, fed in slices as it arrives, to events, rejections and warnings.
//!
//! Invariants: of the body no more than one unfinished line is held; lines are numbered from 1 as in the body, blank ones too;
//! the answer does not depend on how the body was sliced. Must not know: HTTP, compression, the database.

use std::collections::BTreeMap;
use std::io::BufRead as _;

use super::event::Event;
use super::limit::{LINE_SIZE_BYTES_MAX, REJECTIONS_LISTED_MAX, WARNED_KEYS_MAX};
use super::line::{ReadContext, ReadLine, read_line, too_long};
use super::rejection::{RejectedLine, Rejection};

/// What a body says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The accepted lines and where they stand, in the order of the body.
    pub events: Vec<(u32, Event)>,
    /// The first [`REJECTIONS_LISTED_MAX`] rejected lines.
    pub rejected: Vec<RejectedLine>,
    /// All rejected lines.
    pub rejected_count: u64,
    /// Unknown keys and in how many lines they stood; the first [`WARNED_KEYS_MAX`] distinct keys.
    pub warnings: BTreeMap<String, u64>,
}

/// Reads a body slice by slice.
#[derive(Debug)]
pub struct BatchReader {
    context: ReadContext,
    batch: Batch,
    /// The beginning of a line whose end has not arrived.
    unfinished: Vec<u8>,
    /// Lines that have ended.
    line: u32,
}

/// Reads a whole body.
#[must_use]
pub fn read_batch(body: &[u8], context: ReadContext) -> Batch {
    let mut reader = BatchReader::new(context);
    reader.push(body);
    reader.finish()
}

impl BatchReader {
    /// A reader before the first byte.
    #[must_use]
    pub fn new(context: ReadContext) -> Self {
        Self { context, batch: Batch::default(), unfinished: Vec::new(), line: 0 }
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let rest = bytes;
            // Reading from a slice cannot fail; the standard library looks for the line end several bytes at a time.
            let taken = bytes.skip_until(b'\n').unwrap_or(rest.len());
            match rest[..taken].strip_suffix(b"\n") {
                Some(line) if self.unfinished.is_empty() => self.end_line(line),
                Some(line) => {
                    self.keep(line);
                    let line = std::mem::take(&mut self.unfinished);
                    self.end_line(&line);
                    self.unfinished = line;
                    self.unfinished.clear();
                }
                None => self.keep(rest),
            }
        }
    }

    /// The batch, once the body has ended. Its last line needs no line end.
    #[must_use]
    pub fn finish(mut self) -> Batch {
        if !self.unfinished.is_empty() {
            let line = std::mem::take(&mut self.unfinished);
            self.end_line(&line);
        }
        self.batch
    }

    /// Keeps a part of a line, but never more than shows that the line is too long.
    fn keep(&mut self, part: &[u8]) {
        const KEPT_SIZE_BYTES_MAX: usize = LINE_SIZE_BYTES_MAX + BOM.len() + b"\r".len() + 1;
        let room = KEPT_SIZE_BYTES_MAX.saturating_sub(self.unfinished.len());
        self.unfinished.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_line(&mut self, line: &[u8]) {
        self.line = self.line.saturating_add(1);
        let line = line.strip_prefix(BOM).unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > LINE_SIZE_BYTES_MAX {
            return self.reject(too_long());
        }
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            return;
        }
        match read_line(line, &self.context) {
            Ok(ReadLine { event, unknown_keys }) => {
                self.batch.events.push((self.line, event));
                unknown_keys.into_iter().for_each(|key| self.warn(key));
            }
            Err(rejection) => self.reject(rejection),
        }
    }

    fn reject(&mut self, rejection: Rejection) {
        self.batch.rejected_count += 1;
        if self.batch.rejected.len() < REJECTIONS_LISTED_MAX {
            self.batch.rejected.push(RejectedLine { line: self.line, rejection });
        }
    }

    fn warn(&mut self, key: String) {
        if let Some(lines) = self.batch.warnings.get_mut(&key) {
            *lines += 1;
        } else if self.batch.warnings.len() < WARNED_KEYS_MAX {
            self.batch.warnings.insert(key, 1);
        }
    }
}

/// The UTF-8 byte order mark, which some editors and shells put before a text (and concatenation between).
const BOM: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::time::Instant;

    use super::super::rejection::RejectionCode;
    use super::*;

    const LINE: &str = r#"{"type":"gpuSample","vm":"a","gpu":0,"at":"2026-03-01T00:00:00Z","powerWatts":1}"#;

    fn context() -> ReadContext {
        ReadContext { now: Instant::parse("2026-03-02T00:00:00Z").unwrap(), strict: false, oldest: None }
    }

    #[test]
    fn blank_lines_count_and_ends_may_be_missing() {
        let batch = read_batch(format!("\u{feff}{LINE}\r\n\n  \r\n{{}}\n{LINE}").as_bytes(), context());
        assert_eq!(batch.events.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 5]);
        assert_eq!(batch.rejected[0].line, 4);
        assert_eq!(batch.rejected_count, 1);
        assert_eq!(read_batch(b"", context()), Batch::default());
        assert_eq!(read_batch(b"\n\r\n", context()), Batch::default());
    }

    #[test]
    fn slicing_changes_nothing() {
        let long = format!("{{\"type\":\"{}\"}}", "x".repeat(2 * LINE_SIZE_BYTES_MAX));
        let body = format!("{LINE}\r\n{long}\n\n{{\"type\n{LINE}\n{}", LINE.replace("gpuS", "gpuT"));
        let whole = read_batch(body.as_bytes(), context());
        assert_eq!(whole.events.len(), 2);
        assert_eq!(
            whole.rejected.iter().map(|rejected| (rejected.line, rejected.rejection.code)).collect::<Vec<_>>(),
            [(2, RejectionCode::LineTooLong), (4, RejectionCode::MalformedJson), (6, RejectionCode::UnknownType)]
        );
        for size in [1, 2, 3, 7, 80, 4_096, 65_535, 65_536, 65_537] {
            let mut reader = BatchReader::new(context());
            for slice in body.as_bytes().chunks(size) {
                reader.push(slice);
                assert!(reader.unfinished.len() <= LINE_SIZE_BYTES_MAX + 5);
            }
            assert_eq!(reader.finish(), whole, "slices of {size}");
        }
    }

    #[test]
    fn a_line_of_the_longest_length_is_read() {
        let padding = LINE_SIZE_BYTES_MAX - LINE.len();
        let longest = format!("{LINE}{}", " ".repeat(padding));
        assert_eq!(read_batch(format!("{longest}\r\n").as_bytes(), context()).events.len(), 1);
        let batch = read_batch(format!("{longest} \r\n{LINE}").as_bytes(), context());
        assert_eq!(batch.rejected[0].rejection.code, RejectionCode::LineTooLong);
        assert_eq!(batch.rejected[0].rejection.id, None);
        assert_eq!(batch.events.len(), 1);
    }

    #[test]
    fn lists_are_bounded_and_counts_are_not() {
        let bad = "{}\n".repeat(250);
        let odd: String = (0..250).map(|key| LINE.replace("\"gpu\"", &format!("\"odd{key:03}\":1,\"gpu\"")) + "\n").collect();
        let batch = read_batch(format!("{bad}{odd}{odd}").as_bytes(), context());
        assert_eq!((batch.rejected.len(), batch.rejected_count), (REJECTIONS_LISTED_MAX, 250));
        assert_eq!((batch.warnings.len(), batch.warnings.get("gpuSample.odd007")), (WARNED_KEYS_MAX, Some(&2)));
        assert_eq!(batch.events.len(), 500);
    }
}
