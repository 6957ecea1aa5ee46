//! Files of events, opened, decompressed and cut into batches of whole lines.
//!
//! Invariants: a batch ends with a line, and its lines follow each other in the file, blank ones included, so that line numbers of
//! answers lead back to the file; no line is held beyond what shows that it is too long. Blocks: runs on a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use plimsoll_domain::ingest::limit::LINE_SIZE_BYTES_MAX;
use tokio::sync::mpsc;

/// A batch is closed when it has grown to this size, however few its lines: far below what a body may have.
const BATCH_SIZE_BYTES: usize = 8 * 1024 * 1024;
/// What is kept of a line: enough to show the server that it is too long.
const LINE_KEPT_BYTES: usize = LINE_SIZE_BYTES_MAX + 8;
const BUFFER_SIZE_BYTES: usize = 256 * 1024;

/// Lines on their way to the server.
#[derive(Debug)]
pub(super) struct Batch {
    /// Where they come from.
    pub(super) place: Place,
    /// The lines.
    pub(super) body: Vec<u8>,
}

/// Where a batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of the file among those that were named.
    pub(super) file: usize,
    /// Number of the first line in its file, from 1.
    pub(super) first_line: u64,
    /// How many lines.
    pub(super) lines: u32,
    /// Bytes that the file holds for them, as it is stored: compressed.
    pub(super) stored_size_bytes: u64,
}

/// Reads one file after another into batches. Gives for each whether it was read to its end, and if not, why.
pub(super) fn read_files(files: &[PathBuf], batch_lines: u32, batches: &mpsc::Sender<Batch>) -> Vec<Result<(), String>> {
    let read = |(index, path): (usize, &PathBuf)| read_file(index, path, batch_lines, batches).map_err(|error| error.to_string());
    files.iter().enumerate().map(read).collect()
}

/// Why a file was not read to its end.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    /// The file cannot be read, or is damaged. What was read before is sent.
    #[error("cannot read: {0}")]
    Read(io::Error),
    /// Nobody takes batches any more.
    #[error("not sent, because the server refuses the sender")]
    Stopped,
}

fn read_file(file: usize, path: &Path, batch_lines: u32, batches: &mpsc::Sender<Batch>) -> Result<(), SourceError> {
    if batches.is_closed() {
        return Err(SourceError::Stopped);
    }
    let stored = Arc::new(AtomicU64::new(0));
    let raw: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(SourceError::Read)?) };
    let mut source = decompressed(Counted { inner: raw, count: Arc::clone(&stored) }).map_err(SourceError::Read)?;
    let mut cutter = Cutter { file, next_line: 1, stored, body: Vec::new(), lines: 0 };
    loop {
        match keep_line(&mut source, &mut cutter.body) {
            Ok(true) => cutter.lines += 1,
            Ok(false) => return cutter.close(batches),
            Err(error) => {
                cutter.close(batches)?;
                return Err(SourceError::Read(error));
            }
        }
        if cutter.lines == batch_lines || cutter.body.len() >= BATCH_SIZE_BYTES {
            cutter.close(batches)?;
        }
    }
}

/// The batch that is being filled.
struct Cutter {
    file: usize,
    next_line: u64,
    stored: Arc<AtomicU64>,
    body: Vec<u8>,
    lines: u32,
}

impl Cutter {
    fn close(&mut self, batches: &mpsc::Sender<Batch>) -> Result<(), SourceError> {
        let place = Place {
            file: self.file,
            first_line: self.next_line,
            lines: self.lines,
            stored_size_bytes: self.stored.swap(0, Ordering::Relaxed),
        };
        if self.lines == 0 {
            return Ok(());
        }
        self.next_line += u64::from(self.lines);
        self.lines = 0;
        let body = std::mem::take(&mut self.body);
        batches.blocking_send(Batch { place, body }).map_err(|_| SourceError::Stopped)
    }
}

/// Appends the next line with its end; false at the end of the source. Of a line that is too long only the beginning is kept; of one
/// that an error cuts short, nothing.
fn keep_line(source: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let start = body.len();
    let mut any = false;
    loop {
        let available = match source.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                body.truncate(start);
                return Err(error);
            }
        };
        if available.is_empty() {
            if any {
                body.push(b'\n');
            }
            return Ok(any);
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let room = LINE_KEPT_BYTES.saturating_sub(body.len() - start);
        body.extend_from_slice(&part[..part.len().min(room)]);
        let taken = part.len() + usize::from(end.is_some());
        source.consume(taken);
        if end.is_some() {
            body.push(b'\n');
            return Ok(true);
        }
    }
}

/// Plain, gzip or zstd, by its first bytes: names of files and pipes do not always tell.
fn decompressed(mut raw: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut magic = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut magic)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd];
    let whole = Cursor::new(magic).chain(BufReader::with_capacity(BUFFER_SIZE_BYTES, raw));
    Ok(if gzip {
        Box::new(BufReader::with_capacity(BUFFER_SIZE_BYTES, MultiGzDecoder::new(whole)))
    } else if zstd {
        Box::new(BufReader::with_capacity(BUFFER_SIZE_BYTES, zstd::Decoder::with_buffer(whole)?))
    } else {
        Box::new(whole)
    })
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(buffer)?;
        self.count.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &[u8]) -> Vec<Vec<u8>> {
        let (mut source, mut lines) = (BufReader::with_capacity(7, text), Vec::new());
        loop {
            let mut line = Vec::new();
            if !keep_line(&mut source, &mut line).unwrap() {
                return lines;
            }
            lines.push(line);
        }
    }

    #[test]
    fn lines_are_whole_and_bounded() {
        assert_eq!(kept(b"a\n\nlonger than the buffer\r\nlast"), [&b"a\n"[..], b"\n", b"longer than the buffer\r\n", b"last\n"]);
        assert!(kept(b"").is_empty());
        let long = [vec![b'x'; 3 * LINE_SIZE_BYTES_MAX], b"\nnext".to_vec()].concat();
        let lines = kept(&long);
        assert_eq!(lines[1], b"next\n");
        assert!(lines[0].len() > LINE_SIZE_BYTES_MAX && lines[0].len() < LINE_SIZE_BYTES_MAX + 16);
    }
}
