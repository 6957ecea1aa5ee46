//! A strict scanner of JSON text: it finds where keys and values begin and end, and copies nothing.
//!
//! Why not serde_json: dealing pairs out as raw values there took twice as long as here, and it was half of the cost of a line.
//! Tests hold the two to the same grammar. Invariants: what it lets pass is JSON (RFC 8259), nested at most [`DEPTH_MAX`]; slices of a
//! text that it let pass are JSON too. Must not know: what keys and values mean.

use std::borrow::Cow;

/// How deep lists and objects may be nested, the outermost included.
pub(super) const DEPTH_MAX: u32 = 128;

/// The byte, from 1, at which a text stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) usize);

/// A value in its source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    /// The value as it is written, a string with its quotes.
    pub(super) source: &'a str,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Flag,
    /// A number.
    Number,
    /// A string that is what is written.
    Plain,
    /// A string with escapes.
    Escaped,
    /// `[…]`
    List,
    /// `{…}`
    Object,
}

impl<'a> Raw<'a> {
    /// The text of a string, its escapes resolved; null where it is no string or one of its escapes is half a surrogate pair.
    #[inline]
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self.kind {
            Kind::Plain => Some(Cow::Borrowed(&self.source[1..self.source.len() - 1])),
            Kind::Escaped => serde_json::from_str(self.source).ok().map(Cow::Owned),
            _ => None,
        }
    }
}

/// Steps through the pairs of an object that fills its text.
pub(super) struct Pairs<'a> {
    /// The key of the present pair, a string.
    pub(super) key: Raw<'a>,
    /// The value of the present pair.
    pub(super) value: Raw<'a>,
    scanner: Scanner<'a>,
    state: State,
}

/// Steps through the values of a list that fills its text.
pub(super) struct Items<'a> {
    /// The present value.
    pub(super) value: Raw<'a>,
    scanner: Scanner<'a>,
    state: State,
}

const NOTHING: Raw<'static> = Raw { source: "null", kind: Kind::Null };

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Within,
    After,
}

impl<'a> Pairs<'a> {
    /// Before the first pair of the object in `text`.
    pub(super) fn of(text: &'a str) -> Self {
        Self { key: NOTHING, value: NOTHING, scanner: Scanner { text, at: 0 }, state: State::Before }
    }

    /// Goes to the next pair; false after the last.
    ///
    /// # Errors
    /// Where the text is no object, or goes on after it.
    #[inline]
    pub(super) fn next(&mut self) -> Result<bool, Malformed> {
        if !self.scanner.advance(&mut self.state, b'{', b'}')? {
            return Ok(false);
        }
        let start = self.scanner.at;
        let kind = self.scanner.key()?;
        self.key = Raw { source: &self.scanner.text[start..self.scanner.at], kind };
        self.scanner.colon()?;
        self.value = self.scanner.raw()?;
        Ok(true)
    }
}

impl<'a> Items<'a> {
    /// Before the first value of the list in `text`.
    pub(super) fn of(text: &'a str) -> Self {
        Self { value: NOTHING, scanner: Scanner { text, at: 0 }, state: State::Before }
    }

    /// Goes to the next value; false after the last.
    ///
    /// # Errors
    /// Where the text is no list, or goes on after it.
    pub(super) fn next(&mut self) -> Result<bool, Malformed> {
        if !self.scanner.advance(&mut self.state, b'[', b']')? {
            return Ok(false);
        }
        self.value = self.scanner.raw()?;
        Ok(true)
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed<T>(&self) -> Result<T, Malformed> {
        Err(Malformed(self.at + 1))
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.malformed()
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over what stands before the next element of the outermost list or object; false after the last, once nothing but
    /// space follows it.
    #[inline]
    fn advance(&mut self, state: &mut State, open: u8, close: u8) -> Result<bool, Malformed> {
        if *state == State::After {
            return Ok(false);
        }
        if *state == State::Before {
            self.skip_space();
        }
        let more = if *state == State::Before { self.open(open, close)? } else { self.separate(close)? };
        *state = if more { State::Within } else { State::After };
        if !more {
            self.skip_space();
            if self.at < self.text.len() {
                return self.malformed();
            }
        }
        Ok(more)
    }

    /// Steps over an opening bracket; whether an element follows.
    #[inline]
    fn open(&mut self, open: u8, close: u8) -> Result<bool, Malformed> {
        self.take(open)?;
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Steps over what stands between elements or after the last; whether another follows.
    #[inline]
    fn separate(&mut self, close: u8) -> Result<bool, Malformed> {
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        self.take(b',')?;
        self.skip_space();
        Ok(true)
    }

    #[inline]
    fn raw(&mut self) -> Result<Raw<'a>, Malformed> {
        let start = self.at;
        let kind = self.value(DEPTH_MAX - 1)?;
        Ok(Raw { source: &self.text[start..self.at], kind })
    }

    #[inline]
    fn key(&mut self) -> Result<Kind, Malformed> {
        if self.peek() == Some(b'"') { self.string() } else { self.malformed() }
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        self.take(b':')?;
        self.skip_space();
        Ok(())
    }

    /// Steps over one value, in which lists and objects may be nested `depth` deep.
    #[inline]
    fn value(&mut self, depth: u32) -> Result<Kind, Malformed> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.nested(depth, b'{', b'}', Kind::Object),
            Some(b'[') => self.nested(depth, b'[', b']', Kind::List),
            Some(b't') => self.word("true", Kind::Flag),
            Some(b'f') => self.word("false", Kind::Flag),
            Some(b'n') => self.word("null", Kind::Null),
            _ => self.malformed(),
        }
    }

    fn nested(&mut self, depth: u32, open: u8, close: u8, kind: Kind) -> Result<Kind, Malformed> {
        let Some(depth) = depth.checked_sub(1) else { return self.malformed() };
        let mut more = self.open(open, close)?;
        while more {
            if kind == Kind::Object {
                self.key()?;
                self.colon()?;
            }
            self.value(depth)?;
            more = self.separate(close)?;
        }
        Ok(kind)
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind, Malformed> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(kind)
        } else {
            self.malformed()
        }
    }

    #[inline]
    fn number(&mut self) -> Result<Kind, Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { self.malformed() }
    }

    /// Steps over a string, at whose opening quote it stands.
    #[inline]
    fn string(&mut self) -> Result<Kind, Malformed> {
        self.at += 1;
        let mut kind = Kind::Plain;
        loop {
            self.at = plain_end(self.text.as_bytes(), self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(kind);
                }
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                _ => return self.malformed(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.malformed();
                    }
                    self.at += 1;
                }
            }
            _ => return self.malformed(),
        }
        Ok(())
    }
}

/// Where the bytes that stand for themselves in a string end: at a quote, a backslash, a control character or the end of the text.
/// Eight bytes at a time, by the carry of a subtraction.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let quotes = quote.wrapping_sub(ONES) & !quote;
        let backslashes = backslash.wrapping_sub(ONES) & !backslash;
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        // A carry can raise a false mark only above a true one, and the lowest mark is all that is asked for.
        let marks = (quotes | backslashes | controls) & HIGH;
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, Raw<'_>)>, Malformed> {
        let (mut pairs, mut found) = (Pairs::of(text), Vec::new());
        while pairs.next()? {
            found.push((pairs.key.text().unwrap_or_default().into_owned(), pairs.value));
        }
        assert_eq!(pairs.next(), Ok(false));
        Ok(found)
    }

    #[test]
    fn finds_keys_and_values() {
        let text =
            " { \"a\" : -1.5e+3 ,\"b\":[ ] , \"\\u0063\":{\"x\":[null,{}]},\"d\":\"q\\\"\\u00fc\",\"e\":true,\"f\":null,\"g\":\"ü\"}\t";
        let found = pairs(text).unwrap();
        for (at, key, source, kind) in [
            (0, "a", "-1.5e+3", Kind::Number),
            (1, "b", "[ ]", Kind::List),
            (2, "c", "{\"x\":[null,{}]}", Kind::Object),
            (3, "d", "\"q\\\"\\u00fc\"", Kind::Escaped),
            (4, "e", "true", Kind::Flag),
            (5, "f", "null", Kind::Null),
            (6, "g", "\"ü\"", Kind::Plain),
        ] {
            assert_eq!(found[at], (key.to_owned(), Raw { source, kind }));
        }
        assert_eq!((found[3].1.text().as_deref(), found[6].1.text().as_deref()), (Some("q\"ü"), Some("ü")));
        assert_eq!(pairs("{}"), Ok(Vec::new()));
    }

    #[test]
    fn agrees_with_serde_json() {
        let long = "x".repeat(40);
        let mut texts: Vec<String> = [
            "",
            " ",
            "{",
            "}",
            "{}",
            "{} ",
            "{}x",
            "{}{}",
            "[]",
            "1",
            "null",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":-}",
            "{\"a\":+1}",
            "{\"a\":1e}",
            "{\"a\":1e+}",
            "{\"a\":1E5}",
            "{\"a\":-0.0e-0}",
            "{\"a\":NaN}",
            "{\"a\":tru}",
            "{\"a\":truefalse}",
            "{\"a\":nul",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\u{7f}\u{85}\"}",
            "{\"a\":[1,]}",
            "{\"a\":[,1]}",
            "{\"a\":[1 2]}",
            "{\"a\":[}",
            "{\"a\":{]}",
            "{\"a\":{\"b\":[{\"c\":{}}]}}",
            "\u{feff}{}",
            "{\"a\":1}\n",
            "/**/{}",
        ]
        .map(str::to_owned)
        .into();
        for at in 0..20 {
            for odd in ["\"", "\\", "\n", "\\n", "ü", "\u{1f}"] {
                texts.push(format!("{{\"a\":\"{}{odd}{}\"}}", &long[..at], &long[..20 - at]));
            }
        }
        for text in texts {
            // `IgnoredAny` checks the grammar alone, as the scanner does: neither looks for the other half of a surrogate.
            let agreed = serde_json::from_str::<IgnoredAny>(&text).is_ok() && text.trim_start().starts_with('{');
            assert_eq!(pairs(&text).is_ok(), agreed, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(pairs(&nested(127)).is_ok());
        assert!(pairs(&nested(128)).is_err());
        assert!(pairs(&nested(30_000)).is_err());
    }
}
