//! One pass over a JSON object that deals its values out to the keys that a reader knows.
//!
//! Invariants: a key that stands twice is a problem of that key; null is the same as absent; every key that nobody asked for is
//! noted (or, strict, a problem). Must not know: which keys an event has, nor what their values mean.

use std::borrow::Cow;

use plimsoll_entity::value::time::Instant;

use super::field::{self, Value};
use super::json::{Kind, Malformed, Pairs, Raw};
use super::limit::AHEAD_US_MAX;
use super::line::ReadContext;
use super::rejection::{Problem, Read, RejectionCode, cut};

/// The text of an object, from before its bracket on.
#[derive(Clone, Copy)]
pub(super) struct Object<'a>(pub(super) &'a str);

/// The value of one known key; null is absent.
pub(super) struct Field<'a> {
    key: &'static str,
    raw: Option<Raw<'a>>,
}

/// What reading one line carries along: the rules of this batch and the keys that nobody knew.
pub(super) struct Line<'c> {
    context: &'c ReadContext,
    event_type: &'static str,
    unknown_keys: Vec<String>,
}

/// Deals the pairs of an object out to variables, one for each known key.
macro_rules! fields {
    ($object:expr, $line:expr, $path:expr, { $($name:ident: $key:literal),+ $(,)? }) => {
        let [$($name),+] = $object.fields([$($key),+], $path, $line)?;
    };
}
pub(super) use fields;

impl<'a> Object<'a> {
    /// The first value of a key.
    ///
    /// # Errors
    /// Where the text before it is no JSON object.
    pub(super) fn first(self, wanted: &str) -> Result<Option<Raw<'a>>, Malformed> {
        let mut pairs = Pairs::of(self.0);
        while pairs.next()? {
            if pairs.key.text().is_some_and(|name| name == wanted) {
                return Ok(Some(pairs.value));
            }
        }
        Ok(None)
    }

    /// The values of `keys`, in their order. `path` leads to this object from the line, such as `checkpoints[1].`.
    ///
    /// # Errors
    /// A text that is no JSON object; a key that stands twice; strict, a key that is not among `keys`.
    pub(super) fn fields<const N: usize>(self, keys: [&'static str; N], path: &Path, line: &mut Line<'_>) -> Read<[Field<'a>; N]> {
        let mut pairs = Pairs::of(self.0);
        let mut fields = keys.map(|key| Field { key, raw: None });
        let mut twice = None;
        let mut unknown: Vec<Cow<'a, str>> = Vec::new();
        // Senders write keys in a settled order, mostly the contract's: look first where the last key was found.
        let mut expected = 0;
        while pairs.next().map_err(Problem::malformed)? {
            // A key that is no text (half of a surrogate pair) is none that anybody knows; it is named as it is written.
            let name = pairs.key.text().unwrap_or(Cow::Borrowed(pairs.key.source));
            let after = fields[expected..].iter().position(|field| field.key == name).map(|found| found + expected);
            let Some(slot) = after.or_else(|| fields[..expected].iter().position(|field| field.key == name)) else {
                unknown.push(name);
                continue;
            };
            let field = &mut fields[slot];
            if field.raw.replace(pairs.value).is_some() {
                twice = twice.or(Some(field.key));
            }
            expected = slot + 1;
        }
        if let Some(key) = twice {
            return Err(Problem::invalid(path.to(key), "stands twice in one object"));
        }
        if !unknown.is_empty() {
            line.note_unknown(unknown, path)?;
        }
        Ok(fields)
    }
}

/// Where an object stands in its line.
pub(super) enum Path {
    /// The line itself.
    Line,
    /// The object under this key.
    Key(&'static str),
    /// An object in the list under this key.
    Item(&'static str, usize),
}

impl Path {
    /// The full name of a key of this object, for rejections.
    pub(super) fn to(&self, key: &str) -> Cow<'static, str> {
        Cow::Owned(match self {
            Self::Line => key.to_owned(),
            Self::Key(parent) => format!("{parent}.{key}"),
            Self::Item(parent, index) => format!("{parent}[{index}].{key}"),
        })
    }

    /// The name of this object, for rejections.
    pub(super) fn itself(&self) -> Cow<'static, str> {
        match self {
            Self::Line => Cow::Borrowed("line"),
            Self::Key(key) => Cow::Borrowed(key),
            Self::Item(parent, index) => Cow::Owned(format!("{parent}[{index}]")),
        }
    }

    /// The name that a warning gives to a key: places in a list are one.
    fn warned(&self, event_type: &str, key: &str) -> String {
        let key = cut(key);
        match self {
            Self::Line => format!("{event_type}.{key}"),
            Self::Key(parent) | Self::Item(parent, _) => format!("{event_type}.{parent}.{key}"),
        }
    }
}

impl<'a> Field<'a> {
    /// The value, where there is one.
    pub(super) fn raw(&self) -> Option<Raw<'a>> {
        self.raw.filter(|raw| raw.kind != Kind::Null)
    }

    /// The key.
    pub(super) fn key(&self) -> &'static str {
        self.key
    }

    /// The value of a key that may be absent.
    pub(super) fn optional<T>(&self, read: impl FnOnce(Raw<'a>) -> Value<T>) -> Read<Option<T>> {
        self.optional_at(&Path::Line, read)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T>(&self, read: impl FnOnce(Raw<'a>) -> Value<T>) -> Read<T> {
        self.required_at(&Path::Line, read)
    }

    /// As [`Field::optional`], in an object further down.
    pub(super) fn optional_at<T>(&self, path: &Path, read: impl FnOnce(Raw<'a>) -> Value<T>) -> Read<Option<T>> {
        match self.raw() {
            None => Ok(None),
            Some(raw) => read(raw).map(Some).map_err(|broken| Problem::invalid(path.to(self.key), &broken.0)),
        }
    }

    /// As [`Field::required`], in an object further down.
    pub(super) fn required_at<T>(&self, path: &Path, read: impl FnOnce(Raw<'a>) -> Value<T>) -> Read<T> {
        self.optional_at(path, read)?.ok_or_else(|| Problem::missing(path.to(self.key)))
    }
}

impl<'c> Line<'c> {
    /// A line of which nothing but the type is known yet.
    pub(super) fn new(context: &'c ReadContext, event_type: &'static str) -> Self {
        Self { context, event_type, unknown_keys: Vec::new() }
    }

    /// An instant that must be there.
    pub(super) fn instant(&self, field: &Field<'_>) -> Read<Instant> {
        self.optional_instant(field)?.ok_or_else(|| Problem::missing(field.key))
    }

    /// An instant that may be absent.
    ///
    /// # Errors
    /// No instant, or one more than 5 minutes ahead.
    pub(super) fn optional_instant(&self, field: &Field<'_>) -> Read<Option<Instant>> {
        let at = field.optional(field::instant)?;
        match at {
            Some(at) if at.0 > self.context.now.0.saturating_add(AHEAD_US_MAX) => {
                Err(Problem::of(RejectionCode::FutureTimestamp, field.key, "lies more than 5 minutes ahead of the server's clock"))
            }
            _ => Ok(at),
        }
    }

    /// The keys that nobody knew, each once, with their event type.
    pub(super) fn into_unknown_keys(self) -> Vec<String> {
        self.unknown_keys
    }

    fn note_unknown(&mut self, mut names: Vec<Cow<'_, str>>, path: &Path) -> Read<()> {
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Problem::invalid(path.to(&twice[0]), "stands twice in one object"));
        }
        if self.context.strict {
            return Err(Problem::of(RejectionCode::UnknownField, path.to(&names[0]), "is not a key of this event"));
        }
        for name in names {
            let key = path.warned(self.event_type, &name);
            if !self.unknown_keys.contains(&key) {
                self.unknown_keys.push(key);
            }
        }
        Ok(())
    }
}
