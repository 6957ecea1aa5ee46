//! A bounded queue of lines on disk: what could not be delivered yet.
//!
//! Lines are appended to a segment file (`00000000000000000042.ndjson`, mode 0600); full segments are sealed and the next one
//! begins. Batches are read from the oldest, and a segment goes away when all of it is done with.
//!
//! Invariants:
//! - Lines come out in the order in which they went in, and stay until [`Spool::acknowledge`] or until room is needed.
//! - All segments together never exceed the limit: the oldest is dropped, except the one that is being sent just now; what was
//!   dropped is counted.
//! - A process that is killed loses nothing that [`Spool::append`] took. How far a segment had been sent is not kept: after
//!   a restart the oldest is sent again from its start, which the server knows to be duplicates.
//! - A torn line at the end of a segment (power was lost, the disk was full) is passed over.
//!
//! Sealed segments are synced to the device; the newest one is when the agent stops: a power failure costs at most what
//! the operating system had not written yet. Must not know: what the lines say.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bound of all segments together, unless told otherwise.
pub const MAX_BYTES_DEFAULT: u64 = 64 << 20;
/// The smallest bound that makes sense.
pub const MAX_BYTES_MIN: u64 = 1 << 20;
/// A segment is this part of the bound: dropping the oldest loses no more than that.
const SEGMENTS_MAX: u64 = 16;
/// The server takes lines up to this length; a longer one is not of our making.
const LINE_BYTES_MAX: usize = 64 << 10;
const SEGMENT_EXTENSION: &str = "ndjson";
const LOCK_FILE: &str = "lock";

/// Why the spool does not work.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("another process uses the spool {}", .0.display())]
    Locked(PathBuf),
    /// The bound is too small.
    #[error("a spool needs at least {MAX_BYTES_MIN} bytes, not {0}")]
    TooSmall(u64),
    /// A file operation failed.
    #[error("could not {action} {}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// The end of a batch in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    segment_id: u64,
    end_offset_bytes: u64,
    line_count: u64,
}

/// Lines as they lie on disk, each with its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpooledLines {
    /// The lines.
    pub ndjson: String,
    /// How many they are.
    pub line_count: usize,
    /// What to acknowledge them with.
    pub position: Position,
}

#[derive(Debug)]
struct Segment {
    id: u64,
    /// Length up to the end of the last whole line.
    size_bytes: u64,
    /// Up to here all is done with.
    read_offset_bytes: u64,
    /// Lines after that.
    line_count: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    max_bytes: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The file of the newest segment, while lines are still appended to it.
    active: Option<File>,
    next_id: u64,
    /// The segment that is being sent just now.
    in_flight_id: Option<u64>,
    dropped_lines: u64,
    /// Holds the lock of the directory until the process ends, however it ends.
    _lock: File,
}

impl Spool {
    /// Opens the spool in `dir`, which is made if need be, with what an earlier process left there.
    ///
    /// # Errors
    /// When the directory cannot be used or another process uses it.
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        if max_bytes < MAX_BYTES_MIN {
            return Err(SpoolError::TooSmall(max_bytes));
        }
        create_dir(dir).map_err(failed("create", dir))?;
        let lock = lock(dir)?;
        let mut segments = VecDeque::new();
        for id in segment_ids(dir).map_err(failed("list", dir))? {
            let path = segment_path(dir, id);
            let segment = Segment::scan(id, &path).map_err(failed("read", &path))?;
            if segment.line_count == 0 {
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            } else {
                segments.push_back(segment);
            }
        }
        let next_id = segments.back().map_or(0, |segment| segment.id + 1);
        let dir = dir.to_owned();
        let mut spool = Self { dir, max_bytes, segments, active: None, next_id, in_flight_id: None, dropped_lines: 0, _lock: lock };
        // The bound may have been lowered since.
        spool.make_room(0);
        Ok(spool)
    }

    /// Lines that wait.
    #[must_use]
    pub fn line_count(&self) -> u64 {
        self.segments.iter().map(|segment| segment.line_count).sum()
    }

    /// Bytes on disk, those of lines included that are done with but share their segment with others.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size_bytes).sum()
    }

    /// Lines that had to go, since the last time that this was asked.
    pub fn take_dropped_lines(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_lines)
    }

    /// Appends whole lines; the oldest ones go when there is no room.
    ///
    /// # Errors
    /// When they could not be written; then none of them is in the spool.
    pub fn append(&mut self, ndjson: &str, line_count: usize) -> Result<(), SpoolError> {
        let added_bytes = ndjson.len() as u64;
        let segment_bytes = self.max_bytes / SEGMENTS_MAX;
        if self.active.is_some() && self.segments.back().is_some_and(|newest| newest.size_bytes + added_bytes > segment_bytes) {
            self.seal();
        }
        self.make_room(added_bytes);
        let (file, segment) = self.active_segment()?;
        if let Err(source) = file.write_all(ndjson.as_bytes()) {
            // What was written of it must not become the head of the next line.
            let (id, is_cut) = (segment.id, file.set_len(segment.size_bytes).is_ok());
            let path = segment_path(&self.dir, id);
            if !is_cut {
                self.active = None;
            }
            return Err(SpoolError::File { action: "append to", path, source });
        }
        segment.size_bytes += added_bytes;
        segment.line_count += line_count as u64;
        Ok(())
    }

    /// The oldest lines, at most `max_lines` and about `max_bytes`, all from one segment. They stay in the spool.
    ///
    /// # Errors
    /// When the oldest segment cannot be read.
    pub fn peek(&mut self, max_lines: usize, max_bytes: usize) -> Result<Option<SpooledLines>, SpoolError> {
        // A segment whose first line could not be written holds none.
        while self.segments.len() > 1 && self.segments.front().is_some_and(|oldest| oldest.line_count == 0) {
            self.remove_oldest();
        }
        while let Some(segment) = self.segments.front_mut().filter(|segment| segment.line_count > 0) {
            let path = segment_path(&self.dir, segment.id);
            let lines = segment.read(&path, max_lines, max_bytes).map_err(failed("read", &path))?;
            self.in_flight_id = Some(segment.id);
            if lines.line_count > 0 {
                return Ok(Some(lines));
            }
            // Nothing but damage up to there.
            self.dropped_lines += lines.position.line_count;
            self.acknowledge(lines.position);
        }
        Ok(None)
    }

    /// Is done with the lines up to `position`; does nothing where they are gone already.
    pub fn acknowledge(&mut self, position: Position) {
        self.in_flight_id = None;
        let Some(segment) = self.segments.front_mut().filter(|segment| segment.id == position.segment_id) else { return };
        segment.read_offset_bytes = position.end_offset_bytes;
        segment.line_count = segment.line_count.saturating_sub(position.line_count);
        if segment.read_offset_bytes < segment.size_bytes {
            return;
        }
        let is_active = self.segments.len() == 1 && self.active.is_some();
        if is_active && self.empty_active() {
            return;
        }
        if is_active {
            self.active = None;
        }
        self.remove_oldest();
    }

    /// The lines that were peeked at are not being sent any more.
    pub fn release(&mut self) {
        self.in_flight_id = None;
    }

    /// Gives the oldest segment up, as when it cannot be read; its lines count as dropped.
    pub fn give_up_oldest(&mut self) {
        if self.segments.len() == 1 {
            self.active = None;
        }
        self.release();
        self.drop_segment(0);
    }

    /// Brings all that was appended to the device.
    ///
    /// # Errors
    /// When that fails.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        self.active.as_ref().map_or(Ok(()), File::sync_data).map_err(failed("sync", &self.dir))
    }

    fn active_segment(&mut self) -> Result<(&mut File, &mut Segment), SpoolError> {
        if self.active.is_none() {
            let path = segment_path(&self.dir, self.next_id);
            self.active = Some(create_segment(&path).map_err(failed("create", &path))?);
            self.segments.push_back(Segment { id: self.next_id, size_bytes: 0, read_offset_bytes: 0, line_count: 0 });
            self.next_id += 1;
        }
        match (self.active.as_mut(), self.segments.back_mut()) {
            (Some(file), Some(segment)) => Ok((file, segment)),
            // The newest segment is there whenever its file is.
            _ => Err(SpoolError::File { action: "find", path: self.dir.clone(), source: io::ErrorKind::NotFound.into() }),
        }
    }

    fn seal(&mut self) {
        if let Some(file) = self.active.take()
            && let Err(error) = file.sync_data()
        {
            tracing::warn!(%error, "a segment of the spool could not be synced");
        }
    }

    /// Drops the oldest segments until `added_bytes` more fit.
    fn make_room(&mut self, added_bytes: u64) {
        while self.size_bytes() + added_bytes > self.max_bytes {
            let Some(oldest) = self.segments.iter().position(|segment| Some(segment.id) != self.in_flight_id) else { return };
            if oldest + 1 == self.segments.len() {
                self.active = None;
            }
            self.drop_segment(oldest);
        }
    }

    fn drop_segment(&mut self, position: usize) {
        let Some(segment) = self.segments.remove(position) else { return };
        self.dropped_lines += segment.line_count;
        self.remove_file(segment.id);
    }

    fn remove_oldest(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            self.remove_file(segment.id);
        }
    }

    fn remove_file(&self, id: u64) {
        let path = segment_path(&self.dir, id);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(%error, path = %path.display(), "a segment of the spool could not be removed");
        }
    }

    /// Empties the file of the newest segment, so that a server that keeps up costs no new file a tick.
    fn empty_active(&mut self) -> bool {
        let emptied = self.active.as_ref().is_some_and(|file| file.set_len(0).is_ok());
        if let Some(segment) = self.segments.back_mut().filter(|_| emptied) {
            (segment.size_bytes, segment.read_offset_bytes, segment.line_count) = (0, 0, 0);
        }
        emptied
    }
}

impl Segment {
    /// Finds the whole lines of a file that an earlier process left.
    fn scan(id: u64, path: &Path) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(64 << 10, File::open(path)?);
        let mut segment = Self { id, size_bytes: 0, read_offset_bytes: 0, line_count: 0 };
        let mut offset_bytes = 0;
        loop {
            let chunk = reader.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            for (index, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                segment.line_count += 1;
                segment.size_bytes = offset_bytes + index as u64 + 1;
            }
            let length = chunk.len();
            offset_bytes += length as u64;
            reader.consume(length);
        }
        if offset_bytes > segment.size_bytes {
            tracing::warn!(path = %path.display(), "the last line of a segment of the spool is torn and passed over");
        }
        Ok(segment)
    }

    fn read(&self, path: &Path, max_lines: usize, max_bytes: usize) -> io::Result<SpooledLines> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.read_offset_bytes))?;
        let rest_bytes = self.size_bytes.saturating_sub(self.read_offset_bytes);
        let window_bytes = rest_bytes.min(max_bytes.max(LINE_BYTES_MAX) as u64);
        let mut window = Vec::with_capacity(usize::try_from(window_bytes).unwrap_or(0));
        file.take(window_bytes).read_to_end(&mut window)?;

        let mut ndjson = String::with_capacity(window.len());
        let (mut line_count, mut passed_lines, mut passed_bytes) = (0, 0, 0);
        for line in window.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            if line_count == max_lines {
                break;
            }
            passed_lines += 1;
            passed_bytes += line.len() as u64;
            if let Some(line) = whole_object(line) {
                ndjson.push_str(line);
                line_count += 1;
            }
        }
        if passed_lines == 0 {
            // No end of a line as far as lines go, or the file is shorter than it was: the rest is damage.
            (passed_lines, passed_bytes) = (self.line_count, rest_bytes);
        }
        let damaged_lines = passed_lines - line_count as u64;
        if damaged_lines > 0 {
            tracing::warn!(path = %path.display(), lines = damaged_lines, "damaged lines of the spool are passed over");
        }
        let end_offset_bytes = self.read_offset_bytes + passed_bytes;
        Ok(SpooledLines { ndjson, line_count, position: Position { segment_id: self.id, end_offset_bytes, line_count: passed_lines } })
    }
}

/// A line that could be one JSON object; a disk that lost power may hold zeros instead.
fn whole_object(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?;
    let is_object = line.len() <= LINE_BYTES_MAX && line.starts_with('{') && line.ends_with("}\n") && !line.contains('\0');
    is_object.then_some(line)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::File { action, path, source }
}

fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:020}.{SEGMENT_EXTENSION}"))
}

fn segment_ids(dir: &Path) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == SEGMENT_EXTENSION) {
            ids.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

fn lock(dir: &Path) -> Result<File, SpoolError> {
    let path = dir.join(LOCK_FILE);
    let file = private(OpenOptions::new().write(true).create(true).truncate(false)).open(&path).map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(SpoolError::File { action: "lock", path, source }),
    }
}

fn create_segment(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().append(true).create_new(true)).open(path)
}

/// Only this user may read what is written.
#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn create_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn create_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(test)]
mod tests;
