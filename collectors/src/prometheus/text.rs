//! The text formats of Prometheus: the exposition format 0.0.4 and OpenMetrics 1.0.
//!
//! Own code, since no crate fits: `prometheus-parse` passes over what it does not understand without a word, and that is every
//! name with a colon and every label value with a brace; `openmetrics-parser` is LGPL.
//!
//! Invariants: a line that is not understood is counted and costs itself only; a line that was cut off is never read as a
//! shorter value; nothing is kept but what was asked for. Timestamps, exemplars, `TYPE` and `HELP` are passed over: a sample
//! carries the time of its scrape, and dcgm-exporter writes whatever type its configuration says. Must not know: what the
//! names mean.

use std::borrow::Cow;
use std::str;

/// A page has at most so many lines, comments included.
pub(super) const LINES_MAX: usize = 100_000;
/// A line has at most so many bytes.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;
/// A series has at most so many labels.
pub(super) const LABELS_MAX: usize = 64;
/// A label's value has at most so many bytes.
pub(super) const LABEL_BYTES_MAX: usize = 4 << 10;

/// What ends an OpenMetrics page.
const END: &str = "# EOF";

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl Sample {
    /// The first of these labels that the series has; an empty one is none, as in Prometheus.
    pub(super) fn label(&self, names: &[&str]) -> Option<&str> {
        let is_one = |label: &&(String, String)| !label.1.is_empty() && names.contains(&label.0.as_str());
        self.labels.iter().find(is_one).map(|(_, value)| value.as_str())
    }
}

/// Why a line is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("a line is not utf-8")]
    NotUtf8,
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the last line has no end")]
    Torn,
    #[error("a line stands after the end of the page")]
    AfterEnd,
    #[error("a line has no valid name")]
    Name,
    #[error("a line has labels that are not understood")]
    Labels,
    #[error("a line has more than {LABELS_MAX} labels")]
    TooManyLabels,
    #[error("a line has a label longer than {LABEL_BYTES_MAX} bytes")]
    LabelTooLong,
    #[error("a line has a label twice")]
    LabelTwice,
    #[error("a line has no valid value")]
    Value,
    #[error("a line goes on after its value")]
    Rest,
}

/// A page has more lines than are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page has more than {LINES_MAX} lines")]
pub(super) struct TooManyLines;

/// What was read of a page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    /// Those that were asked for, in the order of the page.
    pub(super) samples: Vec<Sample>,
    /// Lines with a value, asked for or not.
    pub(super) sample_lines: usize,
    /// Lines that were not understood.
    pub(super) rejected_lines: usize,
    /// Number of the first of them, from 1, and why.
    pub(super) first_rejection: Option<(usize, LineError)>,
    /// Whether the page says that it ends, as OpenMetrics does.
    pub(super) has_end: bool,
}

/// Reads a page and keeps the samples whose names are `wanted`.
pub(super) fn parse(page: &[u8], is_wanted: impl Fn(&str) -> bool) -> Result<Page, TooManyLines> {
    let mut read = Page::default();
    for (index, line) in page.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if index >= LINES_MAX {
            return Err(TooManyLines);
        }
        match read_line(line, read.has_end, &is_wanted) {
            Ok(Line::Empty) => {}
            Ok(Line::End) => read.has_end = true,
            Ok(Line::Unwanted) => read.sample_lines += 1,
            Ok(Line::Sample(sample)) => {
                read.sample_lines += 1;
                read.samples.push(sample);
            }
            Err(error) => {
                read.rejected_lines += 1;
                read.first_rejection.get_or_insert((index + 1, error));
            }
        }
    }
    Ok(read)
}

enum Line {
    Empty,
    End,
    Unwanted,
    Sample(Sample),
}

fn read_line(line: &[u8], is_after_end: bool, is_wanted: impl Fn(&str) -> bool) -> Result<Line, LineError> {
    let (body, is_whole) = match line.strip_suffix(b"\n") {
        Some(body) => (body.strip_suffix(b"\r").unwrap_or(body), true),
        None => (line, false),
    };
    if body.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    let text = str::from_utf8(body).map_err(|_| LineError::NotUtf8)?;
    let text = skip_blanks(text);
    if text.is_empty() {
        return Ok(Line::Empty);
    }
    if is_after_end {
        return Err(LineError::AfterEnd);
    }
    if text.starts_with('#') {
        return Ok(if text == END { Line::End } else { Line::Empty });
    }
    // What is left of a number is a number too, and what is left of a name a name.
    if !is_whole {
        return Err(LineError::Torn);
    }
    let (name, labels, value) = read_sample(text)?;
    if !is_wanted(name) {
        return Ok(Line::Unwanted);
    }
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
    Ok(Line::Sample(Sample { name: name.to_owned(), labels, value }))
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

fn read_sample(text: &str) -> Result<(&str, Labels<'_>, f64), LineError> {
    let (name, after_name) = take_name(text, true).ok_or(LineError::Name)?;
    let (labels, after_labels) = match skip_blanks(after_name).strip_prefix('{') {
        Some(inside) => take_labels(inside)?,
        None if after_name.starts_with(is_blank) => (Vec::new(), after_name),
        None => return Err(LineError::Name),
    };
    let (value, rest) = take_number(after_labels).ok_or(LineError::Value)?;
    // A timestamp may follow, and in OpenMetrics an exemplar.
    let rest = take_number(rest).map_or(rest, |(_, rest)| rest);
    if !(skip_blanks(rest).is_empty() || is_exemplar(skip_blanks(rest))) {
        return Err(LineError::Rest);
    }
    Ok((name, labels, value))
}

/// `# {trace_id="…"} 0.5 1700000000.5`, the timestamp optional.
fn is_exemplar(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('#').and_then(|rest| skip_blanks(rest).strip_prefix('{')) else { return false };
    let Ok((_, rest)) = take_labels(inside) else { return false };
    let Some((_, rest)) = take_number(rest) else { return false };
    let rest = take_number(rest).map_or(rest, |(_, rest)| rest);
    skip_blanks(rest).is_empty()
}

/// From behind the opening brace to behind the closing one.
fn take_labels(text: &str) -> Result<(Labels<'_>, &str), LineError> {
    let mut labels: Labels<'_> = Vec::new();
    let mut rest = skip_blanks(text);
    while !rest.starts_with('}') {
        if labels.len() == LABELS_MAX {
            return Err(LineError::TooManyLabels);
        }
        let (name, after_name) = take_name(rest, false).ok_or(LineError::Labels)?;
        let after_equals = skip_blanks(after_name).strip_prefix('=').ok_or(LineError::Labels)?;
        let quoted = skip_blanks(after_equals).strip_prefix('"').ok_or(LineError::Labels)?;
        let (value, after_value) = take_quoted(quoted)?;
        if labels.iter().any(|(known, _)| *known == name) {
            return Err(LineError::LabelTwice);
        }
        labels.push((name, value));
        rest = skip_blanks(after_value);
        rest = match rest.strip_prefix(',') {
            Some(next) => skip_blanks(next),
            None if rest.starts_with('}') => rest,
            None => return Err(LineError::Labels),
        };
    }
    Ok((labels, &rest[1..]))
}

/// From behind the opening quote to behind the closing one.
fn take_quoted(text: &str) -> Result<(Cow<'_, str>, &str), LineError> {
    let mut unescaped = String::new();
    let mut start = 0;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        if unescaped.len() + (at - start) > LABEL_BYTES_MAX {
            return Err(LineError::LabelTooLong);
        }
        match char {
            '"' if unescaped.is_empty() => return Ok((Cow::Borrowed(&text[start..at]), &text[at + 1..])),
            '"' => {
                unescaped.push_str(&text[start..at]);
                return Ok((Cow::Owned(unescaped), &text[at + 1..]));
            }
            '\\' => {
                unescaped.push_str(&text[start..at]);
                unescaped.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, escaped @ ('\\' | '"'))) => escaped,
                    _ => return Err(LineError::Labels),
                });
                start = at + 2;
            }
            _ => {}
        }
    }
    Err(LineError::Labels)
}

/// A name and what follows; only those of metrics may have colons.
fn take_name(text: &str, may_have_colons: bool) -> Option<(&str, &str)> {
    let is_letter = |char: char| char.is_ascii_alphabetic() || char == '_' || (may_have_colons && char == ':');
    let end = text.find(|char: char| !(is_letter(char) || char.is_ascii_digit())).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    name.starts_with(is_letter).then_some((name, rest))
}

/// A number and what follows it: an end or a blank.
fn take_number(text: &str) -> Option<(f64, &str)> {
    let text = skip_blanks(text);
    let (number, rest) = text.split_at(text.find(is_blank).unwrap_or(text.len()));
    number.parse().ok().map(|number| (number, rest))
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches(is_blank)
}

fn is_blank(char: char) -> bool {
    char == ' ' || char == '\t'
}

#[cfg(test)]
mod tests;
