//! Cursors and pages, over a list in memory.

use super::*;

const SIZES: PageSizes = PageSizes { default: 3, max: 5 };

/// Names that are their own order; gaps are names that have gone.
struct Names(Vec<u32>);

impl Pages for Names {
    type Key = (String, u32);
    type Row = u32;
    const LIST: &'static str = "names";

    fn key(row: &u32) -> (String, u32) {
        (format!("{row:04}"), *row)
    }

    async fn read(&self, page: &Page<(String, u32)>) -> Result<Vec<u32>> {
        let within = |row: &u32| {
            page.after.as_ref().is_none_or(|key| Self::key(row) > *key) && page.before.as_ref().is_none_or(|key| Self::key(row) < *key)
        };
        let mut rows: Vec<u32> = self.0.iter().copied().filter(within).collect();
        if page.backwards {
            rows.drain(..rows.len().saturating_sub(page.limit as usize));
        } else {
            rows.truncate(page.limit as usize);
        }
        Ok(rows)
    }
}

async fn asked(names: &Names, arguments: &PageArguments) -> (Vec<u32>, PageInfo) {
    let (edges, info) = part(names, &arguments.clone().page::<Names>(SIZES).unwrap()).await.unwrap();
    (edges.into_iter().map(|(_, row)| row).collect(), info)
}

fn at(row: u32) -> Option<String> {
    Some(cursor::<Names>(&row))
}

#[tokio::test]
async fn walking_forwards_and_backwards_meets_every_row_once() {
    for length in 0..12 {
        let names = Names((0..length).collect());
        let (mut arguments, mut forwards) = (PageArguments { first: Some(4), ..PageArguments::default() }, Vec::new());
        loop {
            let (rows, info) = asked(&names, &arguments).await;
            assert_eq!(info.has_previous_page, !forwards.is_empty());
            forwards.extend(rows);
            if !info.has_next_page {
                break;
            }
            arguments.after = info.end_cursor;
        }
        assert_eq!(forwards, names.0);
        let (mut arguments, mut backwards) = (PageArguments { last: Some(4), ..PageArguments::default() }, Vec::new());
        loop {
            let (rows, info) = asked(&names, &arguments).await;
            assert_eq!(info.has_next_page, !backwards.is_empty());
            backwards.extend(rows.into_iter().rev());
            if !info.has_previous_page {
                break;
            }
            arguments.before = info.start_cursor;
        }
        backwards.reverse();
        assert_eq!(backwards, names.0);
    }
}

#[tokio::test]
async fn ends_that_a_cursor_cut_are_looked_behind() {
    let names = Names(vec![2, 4, 6, 8]);
    let sees = async |after: Option<u32>, before: Option<u32>| {
        let arguments = PageArguments { after: after.and_then(at), before: before.and_then(at), ..PageArguments::default() };
        let (rows, info) = asked(&names, &arguments).await;
        (rows, info.has_previous_page, info.has_next_page)
    };
    assert_eq!(sees(Some(1), None).await, (vec![2, 4, 6], false, true));
    assert_eq!(sees(Some(3), Some(7)).await, (vec![4, 6], true, true));
    assert_eq!(sees(None, Some(9)).await, (vec![2, 4, 6], false, true));
    assert_eq!(sees(Some(8), None).await, (vec![], true, false));
    assert_eq!(sees(Some(4), Some(6)).await, (vec![], true, true));
    assert_eq!(sees(None, Some(2)).await, (vec![], false, true));
    assert_eq!(sees(Some(9), Some(20)).await, (vec![], true, false));
}

#[tokio::test]
async fn an_empty_page_and_an_empty_list_have_no_cursors() {
    let none = PageArguments { first: Some(0), ..PageArguments::default() };
    let (rows, info) = asked(&Names(vec![1]), &none).await;
    assert_eq!((rows, info.has_next_page, info.start_cursor), (vec![], true, None));
    let (rows, info) = asked(&Names(vec![]), &PageArguments::default()).await;
    assert_eq!((rows, info.has_next_page, info.has_previous_page, info.end_cursor), (vec![], false, false, None));
}

#[test]
fn odd_arguments_are_refused_by_name() {
    let refused = |arguments: PageArguments| {
        let error = arguments.page::<Names>(SIZES).unwrap_err();
        let extensions = error.extensions.unwrap();
        let text = |name: &str| extensions.get(name).unwrap().to_string();
        assert_eq!(text("code"), "\"BAD_USER_INPUT\"");
        text("field").trim_matches('"').to_owned()
    };
    let of = PageArguments::default;
    assert_eq!(refused(PageArguments { first: Some(1), last: Some(1), ..of() }), "last");
    assert_eq!(refused(PageArguments { first: Some(-1), ..of() }), "first");
    assert_eq!(refused(PageArguments { first: Some(6), ..of() }), "first");
    assert_eq!(refused(PageArguments { last: Some(i32::MIN), ..of() }), "last");
    let (other_list, other_key) = (encoded("vms:1:0001"), encoded("names:1772409600000001:00000000000000000000000000000009"));
    let (no_name, past_ids, nul) = (encoded("names:"), encoded("names:4294967295:a"), encoded("names:1:a\0"));
    for odd in ["", "bg", "not base64!", &other_list, &no_name, &past_ids, &nul, &"A".repeat(CURSOR_SIZE_BYTES_MAX + 1)] {
        assert_eq!(refused(PageArguments { after: Some(odd.to_owned()), ..of() }), "after", "{odd}");
        assert_eq!(refused(PageArguments { before: Some(odd.to_owned()), ..of() }), "before", "{odd}");
    }
    assert!(<NewestFirst as CursorKey>::read("1:2").is_none());
    // A name may look like anything.
    assert!(PageArguments { after: Some(other_key), ..of() }.page::<Names>(SIZES).is_err());
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn keys_come_back() {
    let key: NewestFirst = (Instant(1_772_409_600_000_001), Uuid::from_u128(77));
    assert_eq!(<NewestFirst as CursorKey>::read(&key.write()), Some(key));
    let name = ("größe: 😀".to_owned(), 12);
    assert_eq!(<(String, u32) as CursorKey>::read(&name.write()), Some(name));
}

#[test]
fn a_small_largest_page_is_the_default_too() {
    let sizes = PageSizes { default: 50, max: 20 };
    assert_eq!(PageArguments::default().page::<Names>(sizes).unwrap().limit, 20);
}
