//! What became of the files: counted while batches are answered, printed at the end.
//!
//! Invariant: what is kept is bounded, whatever the files hold; what came from them is printed without control characters.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::sender::{Answer, Outcome};
use super::source::Place;

/// Rejected lines that are shown.
const EXAMPLES_MAX: usize = 10;
/// Failed batches that are shown.
const FAILURES_MAX: usize = 10;
/// Unknown keys that are shown.
const WARNINGS_MAX: usize = 100;

/// What became of all files.
#[derive(Clone, Debug, Default)]
pub struct Report {
    files: Vec<FileReport>,
    examples: Vec<String>,
    failures: Vec<String>,
    warnings: BTreeMap<String, u64>,
    refusal: Option<String>,
}

/// What became of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// As it was named.
    pub name: String,
    /// Lines that are new.
    pub accepted: u64,
    /// Lines that the server had.
    pub duplicate: u64,
    /// Lines that it rejected.
    pub rejected: u64,
    /// Batches that were not taken.
    pub failed_batches: u64,
    /// Lines of those batches.
    pub failed_lines: u64,
    /// Why the file was not read to its end.
    pub error: Option<String>,
}

impl Report {
    /// Nothing has become of anything yet.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let files = files.iter().map(|path| FileReport { name: name(path), ..FileReport::default() });
        Self { files: files.collect(), ..Self::default() }
    }

    /// The files, in the order in which they were named.
    #[must_use]
    pub fn files(&self) -> &[FileReport] {
        &self.files
    }

    /// Up to 10 rejected lines as `file:line CODE field: message`.
    #[must_use]
    pub fn examples(&self) -> &[String] {
        &self.examples
    }

    /// Up to 10 batches that were not taken, as `file:first-last: reason`.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The sum over the files.
    #[must_use]
    pub fn total(&self) -> FileReport {
        self.files.iter().fold(FileReport { name: "total".to_owned(), ..FileReport::default() }, |sum, file| FileReport {
            name: sum.name,
            accepted: sum.accepted + file.accepted,
            duplicate: sum.duplicate + file.duplicate,
            rejected: sum.rejected + file.rejected,
            failed_batches: sum.failed_batches + file.failed_batches,
            failed_lines: sum.failed_lines + file.failed_lines,
            error: None,
        })
    }

    /// Whether every line of every file was taken.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let total = self.total();
        total.rejected == 0 && total.failed_batches == 0 && self.files.iter().all(|file| file.error.is_none())
    }

    /// Counts what became of a batch.
    pub(super) fn add(&mut self, place: &Place, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Answered(answer) => return self.add_answer(place, answer),
            Outcome::Failed(reason) => reason,
            Outcome::Refused { reason } => {
                self.refusal.get_or_insert_with(|| printable(&reason));
                reason
            }
        };
        let file = &mut self.files[place.file];
        file.failed_batches += 1;
        file.failed_lines += u64::from(place.lines);
        if self.failures.len() < FAILURES_MAX {
            let last_line = place.first_line + u64::from(place.lines) - 1;
            self.failures.push(format!("{}:{}-{last_line}: {}", file.name, place.first_line, printable(&reason)));
        }
    }

    /// Notes for each file whether it was read to its end.
    pub(super) fn end_files(&mut self, ends: Vec<Result<(), String>>) {
        for (file, end) in self.files.iter_mut().zip(ends) {
            file.error = end.err().map(|error| printable(&error));
        }
    }

    fn add_answer(&mut self, place: &Place, answer: Answer) {
        let file = &mut self.files[place.file];
        file.accepted += answer.accepted;
        file.duplicate += answer.duplicate;
        file.rejected += answer.rejected_count;
        for rejected in answer.rejected {
            if self.examples.len() == EXAMPLES_MAX {
                break;
            }
            let line = place.first_line + rejected.line.saturating_sub(1);
            let field = rejected.field.map_or_else(String::new, |field| format!(" {}", printable(&field)));
            self.examples.push(format!("{}:{line} {}{field}: {}", file.name, printable(&rejected.code), printable(&rejected.message)));
        }
        for warning in answer.warnings {
            let key = printable(&warning.key);
            if let Some(lines) = self.warnings.get_mut(&key) {
                *lines += warning.lines;
            } else if self.warnings.len() < WARNINGS_MAX {
                self.warnings.insert(key, warning.lines);
            }
        }
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, accepted, duplicate, rejected, failed_batches, failed_lines, error } = self;
        write!(f, "{name}: {accepted} accepted, {duplicate} duplicate, {rejected} rejected")?;
        if *failed_batches > 0 {
            write!(f, ", {failed_lines} lines in {failed_batches} failed batches")?;
        }
        match error {
            Some(error) => writeln!(f, "; {error}"),
            None => writeln!(f),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.iter().try_for_each(|file| write!(f, "{file}"))?;
        if self.files.len() > 1 {
            write!(f, "{}", self.total())?;
        }
        let lists =
            [("rejected lines", &self.examples, self.total().rejected), ("failed batches", &self.failures, self.total().failed_batches)];
        for (title, shown, all) in lists {
            if !shown.is_empty() {
                writeln!(f, "{title} ({} of {all}):", shown.len())?;
                shown.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            }
        }
        for (key, lines) in &self.warnings {
            writeln!(f, "unknown key {key} in {lines} lines")?;
        }
        match &self.refusal {
            Some(reason) => writeln!(f, "stopped, because the server refuses the sender: {reason}"),
            None => Ok(()),
        }
    }
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { printable(&path.display().to_string()) }
}

/// A text that cannot steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
