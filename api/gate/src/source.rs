//! The text of a document: how many tokens it has, and which line and column a byte stands in.
//!
//! Invariant: one pass, no allocation that grows faster than the text, no recursion. It knows no grammar: what it counts too
//! little here is a syntax error later.

use async_graphql::Pos;

/// What [`scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Tokens without white space, commas and comments.
    pub count: usize,
    /// Most brackets open at once.
    pub nesting: usize,
    /// Bytes of the longest name.
    pub name_size_bytes: usize,
}

/// Counts tokens and open brackets, and stops as soon as there are more than `limit` tokens.
pub(crate) fn scan(text: &str, limit: usize) -> Tokens {
    let bytes = text.as_bytes();
    let (mut at, mut count, mut open, mut nesting, mut name_size_bytes) = (0, 0_usize, 0_usize, 0_usize, 0_usize);
    while at < bytes.len() && count <= limit {
        match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | 0xEF | 0xBB | 0xBF => {
                at += 1;
                continue;
            }
            b'#' => {
                at = end_of_line(bytes, at);
                continue;
            }
            b'"' => at = end_of_string(bytes, at),
            b'.' => at = run(bytes, at + 1, |byte| byte == b'.'),
            b'{' | b'[' | b'(' => {
                open += 1;
                nesting = nesting.max(open);
                at += 1;
            }
            b'}' | b']' | b')' => {
                open = open.saturating_sub(1);
                at += 1;
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let end = run(bytes, at + 1, |byte| byte == b'_' || byte.is_ascii_alphanumeric());
                name_size_bytes = name_size_bytes.max(end - at);
                at = end;
            }
            b'0'..=b'9' | b'-' => at = run(bytes, at + 1, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-')),
            _ => at += 1,
        }
        count += 1;
    }
    Tokens { count, nesting, name_size_bytes }
}

fn run(bytes: &[u8], from: usize, accept: impl Fn(u8) -> bool) -> usize {
    from + bytes[from..].iter().take_while(|byte| accept(**byte)).count()
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    run(bytes, from, |byte| byte != b'\n' && byte != b'\r')
}

fn end_of_string(bytes: &[u8], from: usize) -> usize {
    if bytes[from..].starts_with(b"\"\"\"") {
        let mut at = from + 3;
        while at < bytes.len() {
            if bytes[at..].starts_with(b"\\\"\"\"") {
                at += 4;
            } else if bytes[at..].starts_with(b"\"\"\"") {
                return at + 3;
            } else {
                at += 1;
            }
        }
        return at;
    }
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            b'\n' | b'\r' => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Finds the line and column of a byte in logarithmic time.
pub(crate) struct Lines {
    /// Offset of the first byte of each line.
    starts: Vec<usize>,
    /// Offsets of bytes that continue a character and so do not add to the column.
    continuations: Vec<usize>,
}

impl Lines {
    pub fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        let mut continuations = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' => starts.push(at + 1),
                b'\r' if bytes.get(at + 1) != Some(&b'\n') => starts.push(at + 1),
                0x80..=0xBF => continuations.push(at),
                _ => {}
            }
        }
        Self { starts, continuations }
    }

    /// The one-based line and column, in characters, of the byte at `offset`.
    pub fn pos(&self, offset: usize) -> Pos {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let before = |at: usize| self.continuations.partition_point(|continuation| *continuation < at);
        let column = offset - start - (before(offset) - before(start)) + 1;
        Pos { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_without_trivia() {
        let count = |text| scan(text, 1_000).count;
        assert_eq!(count("{ a, b # c d e\n ...F }"), 6);
        assert_eq!(count(r#"{ a(s: "x \" y", t: """ " \""" z """, n: -1.5e+3) }"#), 14);
        assert_eq!(count("\u{feff}{a}"), 3);
        assert_eq!(count(""), 0);
        assert_eq!(count("\"unterminated"), 1);
        assert_eq!(count("\"\\"), 1);
    }

    #[test]
    fn counting_stops_at_the_limit_and_nesting_is_the_deepest() {
        assert_eq!(scan(&"{".repeat(1_000_000), 10), Tokens { count: 11, nesting: 11, name_size_bytes: 0 });
        assert_eq!(scan("{[(", 10).nesting, 3);
        assert_eq!(scan("{}[]()", 10).nesting, 1);
        assert_eq!(scan("{ abc: a12_ \"not a name\" }", 10).name_size_bytes, 4);
    }

    #[test]
    fn positions_are_in_characters_and_know_all_line_ends() {
        let text = "a\nüü b\r\nc\rd";
        let lines = Lines::of(text);
        let at = |needle: &str| lines.pos(text.find(needle).unwrap_or(0));
        assert_eq!((at("a").line, at("a").column), (1, 1));
        assert_eq!((at("b").line, at("b").column), (2, 4));
        assert_eq!((at("c").line, at("c").column), (3, 1));
        assert_eq!((at("d").line, at("d").column), (4, 1));
    }
}
