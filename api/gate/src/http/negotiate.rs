//! Which media type the client sends and which it wants.
//!
//! Follows RFC 9110 section 12.5.1 and GraphQL over HTTP: `application/graphql-response+json` for those who ask for it,
//! `application/json` for `*/*` and for those who ask for nothing.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/graphql-response+json`: the status says whether the request was run.
    GraphqlResponse,
    /// `application/json`: whatever was well formed is answered with 200.
    Json,
    /// `text/event-stream`: the answers of a subscription.
    EventStream,
}

impl Media {
    /// The `content-type` of an answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::EventStream => "text/event-stream; charset=utf-8",
        }
    }

    const fn essence(self) -> (&'static str, &'static str) {
        match self {
            Self::GraphqlResponse => ("application", "graphql-response+json"),
            Self::Json => ("application", "json"),
            Self::EventStream => ("text", "event-stream"),
        }
    }
}

/// One range of an `Accept` header.
struct Range<'h> {
    kind: &'h str,
    subtype: &'h str,
    quality: u16,
    position: usize,
    is_utf8: bool,
}

/// How a media type fares: quality in thousandths, how exactly it was named, and how early. Larger is better.
type Rank = (u16, u8, std::cmp::Reverse<usize>);

/// The best media type that the client accepts; `None` for 406.
pub(crate) fn wanted(headers: &HeaderMap) -> Option<Media> {
    let values: Vec<_> = headers.get_all(ACCEPT).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    if values.iter().all(|value| value.trim().is_empty()) {
        return Some(Media::Json);
    }
    let ranges: Vec<_> = values.iter().flat_map(|value| value.split(',')).enumerate().filter_map(|(at, range)| parse(range, at)).collect();
    // On a tie of wildcards the first stands: JSON, which every client can read.
    let mut best: Option<(Rank, Media)> = None;
    for media in [Media::Json, Media::GraphqlResponse, Media::EventStream] {
        if let Some(rank) = rank(media, &ranges)
            && best.is_none_or(|(other, _)| rank > other)
        {
            best = Some((rank, media));
        }
    }
    best.map(|(_, media)| media)
}

fn rank(media: Media, ranges: &[Range<'_>]) -> Option<Rank> {
    let (kind, subtype) = media.essence();
    let exactness = |range: &Range<'_>| match (range.kind, range.subtype) {
        (a, b) if a.eq_ignore_ascii_case(kind) && b.eq_ignore_ascii_case(subtype) => Some(2),
        // An event stream is only for those who ask for one.
        (a, "*") if a.eq_ignore_ascii_case(kind) && media != Media::EventStream => Some(1),
        ("*", "*") if media != Media::EventStream => Some(0),
        _ => None,
    };
    let matching = ranges.iter().filter(|range| range.is_utf8).filter_map(|range| Some((exactness(range)?, range)));
    // The most exact range decides, even when a vaguer one is kinder.
    let (exact, range) = matching.max_by_key(|(exact, range)| (*exact, range.quality, std::cmp::Reverse(range.position)))?;
    (range.quality > 0).then_some((range.quality, exact, std::cmp::Reverse(range.position)))
}

fn parse(text: &str, position: usize) -> Option<Range<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let mut range = Range { kind: kind.trim(), subtype: subtype.trim(), quality: 1_000, position, is_utf8: true };
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.trim() {
            name if name.eq_ignore_ascii_case("q") => range.quality = quality(value.trim())?,
            name if name.eq_ignore_ascii_case("charset") => range.is_utf8 = is_utf8(value),
            _ => {}
        }
    }
    Some(range)
}

/// A weight in thousandths: `0`, `1`, `0.5`, `0.123`, `1.000`.
fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    let quality = if whole == "1" { 1_000 + thousandths } else { thousandths };
    (quality <= 1_000).then_some(quality)
}

fn is_utf8(charset: &str) -> bool {
    let charset = charset.trim().trim_matches('"');
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// Whether the body is JSON in UTF-8, sent as it is. Anything else a browser could send across origins without asking first.
pub(crate) fn is_plain_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (types.next().map(|value| value.to_str()), types.next()) else { return false };
    let mut parts = value.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let is_charset_known = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => is_utf8(charset),
        _ => true,
    });
    let is_identity = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|value| value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case("identity")));
    is_json && is_charset_known && is_identity
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(accept: &str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        wanted(&headers)
    }

    #[test]
    fn the_best_media_type_is_chosen() {
        use Media::{EventStream, GraphqlResponse, Json};
        let cases = [
            ("", Some(Json)),
            ("*/*", Some(Json)),
            ("application/*", Some(Json)),
            ("application/json", Some(Json)),
            ("APPLICATION/JSON; charset=UTF-8", Some(Json)),
            ("application/graphql-response+json", Some(GraphqlResponse)),
            ("application/graphql-response+json, application/json;q=0.9", Some(GraphqlResponse)),
            ("application/json;q=0.9, application/graphql-response+json", Some(GraphqlResponse)),
            ("application/json, application/graphql-response+json", Some(Json)),
            ("application/graphql-response+json;charset=utf-8, application/json;charset=utf-8", Some(GraphqlResponse)),
            ("application/graphql-response+json, */*", Some(GraphqlResponse)),
            ("application/json;q=0, */*", Some(GraphqlResponse)),
            ("application/json;q=0.1, application/*;q=0.5", Some(GraphqlResponse)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(Json)),
            ("text/event-stream", Some(EventStream)),
            ("text/event-stream, application/json", Some(EventStream)),
            ("text/event-stream;q=0.5, application/json", Some(Json)),
            ("text/*", None),
            ("text/html", None),
            ("image/png, text/plain", None),
            ("application/json;q=0", None),
            ("application/json;q=2", None),
            ("application/json; charset=utf-16", None),
            ("nonsense", None),
        ];
        for (accept, expected) in cases {
            assert_eq!(with(accept), expected, "{accept}");
        }
        assert_eq!(wanted(&HeaderMap::new()), Some(Json));
    }

    #[test]
    fn only_plain_json_is_read() {
        let check = |content_type: Option<&str>, encoding: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(CONTENT_TYPE, content_type), (CONTENT_ENCODING, encoding)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_str(value).unwrap());
                }
            }
            is_plain_json(&headers)
        };
        for good in ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json;charset=\"UTF-8\""] {
            assert!(check(Some(good), None), "{good}");
        }
        for bad in ["text/plain", "application/json; charset=utf-16", "application/graphql", "application/jsonp", "multipart/form-data", ""]
        {
            assert!(!check(Some(bad), None), "{bad}");
        }
        assert!(!check(None, None));
        assert!(check(Some("application/json"), Some("identity")));
        assert!(!check(Some("application/json"), Some("gzip")));
    }
}
