//! Relay connections: arguments to a page, cursors, page info.
//!
//! Invariants: a cursor carries its list and the whole sort key, and nothing else; `first` and `last` are never taken together;
//! page info is true in both directions: what lies beyond a cursor is looked up, never guessed.
//! Must not know: which lists there are.

use async_graphql::{Result, SimpleObject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plimsoll_domain::live::ordered::Position;
use plimsoll_domain::store::{NewestFirst, Page};
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::error::bad_input;

/// Bytes of a cursor at most: a name has 200 characters, a label of a combination 17 names and versions.
const CURSOR_SIZE_BYTES_MAX: usize = 32 * 1024;

/// A sort key that fits in a cursor.
pub trait CursorKey: Clone + Send + Sync {
    /// The key as text.
    fn write(&self) -> String;
    /// The key of a text; none when it is none.
    fn read(text: &str) -> Option<Self>;
}

impl CursorKey for NewestFirst {
    fn write(&self) -> String {
        format!("{}:{}", self.0.0, self.1.simple())
    }

    fn read(text: &str) -> Option<Self> {
        let (at, id) = text.split_once(':')?;
        Some((Instant(at.parse().ok()?), Uuid::try_parse(id).ok()?))
    }
}

/// By number of the commit, then place in it.
impl CursorKey for Position {
    fn write(&self) -> String {
        format!("{}:{}", self.number, self.index)
    }

    fn read(text: &str) -> Option<Self> {
        let (number, index) = text.split_once(':')?;
        let number = number.parse().ok().filter(|number| i64::try_from(*number).is_ok())?;
        Some(Self { number, index: index.parse().ok()? })
    }
}

/// By name, then id.
impl CursorKey for (String, u32) {
    fn write(&self) -> String {
        format!("{}:{}", self.1, self.0)
    }

    fn read(text: &str) -> Option<Self> {
        let (id, name) = text.split_once(':')?;
        Some((name.to_owned(), id.parse().ok().filter(|id| i32::try_from(*id).is_ok())?))
    }
}

/// A list of which parts can be read.
pub trait Pages: Sync {
    /// What it is ordered by.
    type Key: CursorKey;
    /// Its rows.
    type Row: Send;
    /// What its cursors begin with, so that those of another list are refused.
    const LIST: &'static str;

    /// The key of a row.
    fn key(row: &Self::Row) -> Self::Key;

    /// A part of the list, in its order.
    fn read(&self, page: &Page<Self::Key>) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;
}

/// The cursor of a row.
pub fn cursor<P: Pages>(row: &P::Row) -> String {
    write_cursor(P::LIST, &P::key(row))
}

fn key_of<P: Pages>(field: &'static str, cursor: Option<String>) -> Result<Option<P::Key>> {
    cursor.map(|cursor| read_cursor(P::LIST, field, &cursor)).transpose()
}

/// A cursor of a list.
#[must_use]
pub fn write_cursor<K: CursorKey>(list: &str, key: &K) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{}", key.write()))
}

/// The key that a cursor of a list carries.
///
/// # Errors
/// BAD_USER_INPUT when it is none of this list.
pub fn read_cursor<K: CursorKey>(list: &str, field: &'static str, cursor: &str) -> Result<K> {
    let bytes = if cursor.len() <= CURSOR_SIZE_BYTES_MAX { URL_SAFE_NO_PAD.decode(cursor).ok() } else { None };
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.contains('\0'));
    let key = text.as_deref().and_then(|text| text.split_once(':')).filter(|(of, _)| *of == list);
    key.and_then(|(_, key)| K::read(key)).ok_or_else(|| bad_input(field, format!("{field} is no cursor of this list")))
}

/// The arguments of a connection.
#[derive(Clone, Debug, Default)]
pub struct PageArguments {
    /// Nodes at most, from the front.
    pub first: Option<i32>,
    /// Only behind this cursor.
    pub after: Option<String>,
    /// Nodes at most, from the end.
    pub last: Option<i32>,
    /// Only before this cursor.
    pub before: Option<String>,
}

/// How many nodes a page has.
#[derive(Clone, Copy, Debug)]
pub struct PageSizes {
    /// When nobody says how many.
    pub default: i32,
    /// At most.
    pub max: i32,
}

impl PageArguments {
    /// The part of the list that is asked for.
    ///
    /// # Errors
    /// BAD_USER_INPUT for sizes outside 0 to the largest, for both sizes at once, for a cursor that is none.
    pub fn page<P: Pages>(self, sizes: PageSizes) -> Result<Page<P::Key>> {
        let size = |field: &'static str, size: i32| match u64::try_from(size) {
            Ok(whole) if size <= sizes.max => Ok(whole),
            _ => Err(bad_input(field, format!("{field} is 0 to {}", sizes.max))),
        };
        let (backwards, limit) = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(bad_input("last", "first and last cannot be given together")),
            (Some(first), None) => (false, size("first", first)?),
            (None, Some(last)) => (true, size("last", last)?),
            (None, None) => (false, size("first", sizes.default.min(sizes.max))?),
        };
        Ok(Page { after: key_of::<P>("after", self.after)?, before: key_of::<P>("before", self.before)?, backwards, limit })
    }
}

/// Where a page lies in its list.
#[derive(SimpleObject, Clone, Debug)]
pub struct PageInfo {
    /// Whether there is something behind the page.
    pub has_next_page: bool,
    /// Whether there is something before the page.
    pub has_previous_page: bool,
    /// Cursor of the first node; null on an empty page.
    pub start_cursor: Option<String>,
    /// Cursor of the last node; null on an empty page.
    pub end_cursor: Option<String>,
}

/// Reads a part of a list with its cursors, and tells where it lies.
///
/// # Errors
/// What the list says.
pub async fn part<P: Pages>(pages: &P, asked: &Page<P::Key>) -> Result<(Vec<(String, P::Row)>, PageInfo)> {
    // One row more than the page tells whether there are more.
    let mut rows = pages.read(&Page { limit: asked.limit + 1, ..asked.clone() }).await?;
    let more = rows.len() as u64 > asked.limit;
    if more && asked.backwards {
        rows.remove(0);
    } else if more {
        rows.pop();
    }
    let (mut has_next_page, mut has_previous_page) = if asked.backwards { (false, more) } else { (more, false) };
    // Beyond a cursor there may be rows or not, whatever has become of its own row; an empty page lies at its cursors.
    if !has_next_page && asked.before.is_some() {
        let after = rows.last().map(P::key).or_else(|| asked.after.clone());
        has_next_page = !pages.read(&Page { after, before: None, backwards: false, limit: 1 }).await?.is_empty();
    }
    if !has_previous_page && asked.after.is_some() {
        let before = rows.first().map(P::key).or_else(|| asked.before.clone());
        has_previous_page = !pages.read(&Page { after: None, before, backwards: true, limit: 1 }).await?.is_empty();
    }
    let edges: Vec<(String, P::Row)> = rows.into_iter().map(|row| (cursor::<P>(&row), row)).collect();
    let info = PageInfo {
        has_next_page,
        has_previous_page,
        start_cursor: edges.first().map(|(cursor, _)| cursor.clone()),
        end_cursor: edges.last().map(|(cursor, _)| cursor.clone()),
    };
    Ok((edges, info))
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
