//! Relay connections: arguments to a page, cursors, page info.
//!
//! Invariants: a cursor carries the whole sort key and nothing else; `first` and `last` are never taken together.
//! Must not know: what is listed.

use async_graphql::{Result, SimpleObject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plimsoll_domain::store::NewestFirst;
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::error::bad_input;
use crate::PAGE_SIZE_DEFAULT;

/// Nodes of one page at most.
pub const PAGE_SIZE_MAX: i32 = 200;

/// A sort key that fits in a cursor.
pub trait CursorKey: Sized + Clone {
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

/// The cursor of a key.
pub fn cursor<K: CursorKey>(key: &K) -> String {
    URL_SAFE_NO_PAD.encode(key.write())
}

fn key_of<K: CursorKey>(field: &'static str, cursor: Option<String>) -> Result<Option<K>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let text = URL_SAFE_NO_PAD.decode(&cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.contains('\0'));
    match text.and_then(|text| K::read(&text)) {
        Some(key) => Ok(Some(key)),
        None => Err(bad_input(field, format!("{field} is no cursor of this list"))),
    }
}

/// A page that was asked for.
#[derive(Clone, Debug)]
pub struct Asked<K> {
    /// Only behind this one.
    pub after: Option<K>,
    /// Only before this one.
    pub before: Option<K>,
    /// From the end.
    pub backwards: bool,
    /// Nodes at most.
    pub size: usize,
}

/// Reads the arguments of a connection.
///
/// # Errors
/// BAD_USER_INPUT for sizes outside 0 to 200, for both sizes at once, for a cursor that is none.
pub fn asked<K: CursorKey>(first: Option<i32>, after: Option<String>, last: Option<i32>, before: Option<String>) -> Result<Asked<K>> {
    let size = |field: &'static str, size: i32| match usize::try_from(size) {
        Ok(whole) if size <= PAGE_SIZE_MAX => Ok(whole),
        _ => Err(bad_input(field, format!("{field} is 0 to {PAGE_SIZE_MAX}"))),
    };
    let (backwards, size) = match (first, last) {
        (Some(_), Some(_)) => return Err(bad_input("last", "first and last cannot be given together")),
        (Some(first), None) => (false, size("first", first)?),
        (None, Some(last)) => (true, size("last", last)?),
        (None, None) => (false, PAGE_SIZE_DEFAULT),
    };
    Ok(Asked { after: key_of("after", after)?, before: key_of("before", before)?, backwards, size })
}

impl<K> Asked<K> {
    /// Rows to read: one more than the page, which tells whether there are more.
    pub const fn rows_to_read(&self) -> u64 {
        self.size as u64 + 1
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

/// Cuts the row that was read too much, brings the rows in order, and tells where they lie. `rows` are in list order.
pub fn page<K: CursorKey, T>(asked: &Asked<K>, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> (Vec<(String, T)>, PageInfo) {
    let more = rows.len() > asked.size;
    if more && asked.backwards {
        rows.drain(..rows.len() - asked.size);
    }
    rows.truncate(asked.size);
    let edges: Vec<(String, T)> = rows.into_iter().map(|row| (cursor(&key(&row)), row)).collect();
    // What a cursor names stands beside the page.
    let info = PageInfo {
        has_next_page: if asked.backwards { asked.before.is_some() } else { more },
        has_previous_page: if asked.backwards { more } else { asked.after.is_some() },
        start_cursor: edges.first().map(|(cursor, _)| cursor.clone()),
        end_cursor: edges.last().map(|(cursor, _)| cursor.clone()),
    };
    (edges, info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_go_both_ways() {
        let key = (Instant(1_700_000_000_000_001), Uuid::from_u128(5));
        assert_eq!(key_of::<NewestFirst>("after", Some(cursor(&key))).unwrap(), Some(key));
        let name = ("a:b ü".to_owned(), 7);
        assert_eq!(key_of::<(String, u32)>("after", Some(cursor(&name))).unwrap(), Some(name));
        for bad in ["", "%%%", "MTIz", "Zm9vOmJhcg"] {
            assert!(key_of::<NewestFirst>("after", Some(bad.to_owned())).is_err(), "{bad}");
        }
    }

    #[test]
    fn pages_know_their_neighbours() {
        let asked = |first, last| asked::<(String, u32)>(first, None, last, None);
        let rows = |n: u32| (1..=n).map(|id| ("x".to_owned(), id)).collect::<Vec<_>>();
        let forward = asked(Some(2), None).unwrap();
        let (edges, info) = page(&forward, rows(3), Clone::clone);
        assert_eq!((edges.len(), edges[0].1.1, info.has_next_page, info.has_previous_page), (2, 1, true, false));
        let backward = asked(None, Some(2)).unwrap();
        let (edges, info) = page(&backward, rows(3), Clone::clone);
        assert_eq!((edges.len(), edges[0].1.1, info.has_next_page, info.has_previous_page), (2, 2, false, true));
        assert!(asked(Some(1), Some(1)).is_err() && asked(Some(-1), None).is_err() && asked(Some(201), None).is_err());
        let (edges, info) = page(&asked(Some(0), None).unwrap(), rows(1), Clone::clone);
        assert!(edges.is_empty() && info.has_next_page && info.start_cursor.is_none());
    }
}
