//! Attacks: each is answered within a second, with little, and the next request is served.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use futures_util::stream;
use plimsoll_gate::Limits;
use serde_json::{Value as Json, json};

use crate::host::code;
use crate::http::{GRAPHQL, Reply, app, post, query, send};

/// Sends an attack and returns its code. `data` means that it was run.
async fn attack(app: &Router, name: &str, body: impl Into<Body>) -> (Reply, String) {
    let started = Instant::now();
    let reply = send(app, post(GRAPHQL, body)).await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "{name} took {took:?}");
    assert!(reply.bytes.len() < 64 * 1024, "{name} was answered with {} bytes", reply.bytes.len());
    assert!(reply.json["errors"].as_array().is_none_or(|errors| errors.len() <= 5), "{name}");
    assert_eq!(send(app, post(GRAPHQL, query("{ hello }"))).await.json, json!({ "data": { "hello": "world" } }), "after {name}");
    let code = match (code(&reply.json), reply.json.get("data")) {
        (Json::String(code), _) => code,
        (_, Some(_)) => "data".to_owned(),
        _ => "nothing".to_owned(),
    };
    eprintln!("{name}: {code}, {took:?}, {} bytes", reply.bytes.len());
    (reply, code)
}

fn repeated(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

/// Documents: what each is, and the code of its refusal; `data` where it is none.
type Documents = Vec<(&'static str, String, &'static str)>;

/// More of something than there may be.
fn many() -> Documents {
    let nested = |depth: usize| format!("{{ dog {}{{ name }}{} }}", "{ friend ".repeat(depth), " }".repeat(depth));
    vec![
        ("cycle of depth 60", nested(60), "LIMIT_EXCEEDED"),
        ("cycle of depth 16", nested(16), "LIMIT_EXCEEDED"),
        ("braces", "{".repeat(50_000), "LIMIT_EXCEEDED"),
        ("7,000 braces", "{".repeat(7_000), "LIMIT_EXCEEDED"),
        ("braces with names", "{a".repeat(25_000), "LIMIT_EXCEEDED"),
        ("lists", format!("{{ ints(v: {}{}) }}", "[".repeat(25_000), "]".repeat(25_000)), "LIMIT_EXCEEDED"),
        ("3,000 lists", format!("{{ ints(v: {}{}) }}", "[".repeat(3_000), "]".repeat(3_000)), "LIMIT_EXCEEDED"),
        ("objects", format!("{{ stamp(v: {}1{}) }}", "{a:".repeat(15_000), "}".repeat(15_000)), "LIMIT_EXCEEDED"),
        ("list types", format!("query Q($v: {}Int{}) {{ hello }}", "[".repeat(3_000), "]".repeat(3_000)), "LIMIT_EXCEEDED"),
        ("1,000 aliases", format!("{{ {} }}", repeated(1_000, |n| format!("a{n}:hello "))), "LIMIT_EXCEEDED"),
        ("31 aliases", format!("{{ dog {{ {} }} }}", repeated(31, |n| format!("a{n}:name "))), "LIMIT_EXCEEDED"),
        ("31 aliases of typename", format!("{{ {} }}", repeated(31, |n| format!("a{n}:__typename "))), "LIMIT_EXCEEDED"),
        ("21 fields of the root", format!("{{ {} }}", "__typename ".repeat(21)), "LIMIT_EXCEEDED"),
        ("10,000 fields", format!("{{ dog {{ {} }} }}", "name ".repeat(10_000)), "LIMIT_EXCEEDED"),
        ("7,900 fields", format!("{{ dog {{ {} }} }}", "name ".repeat(7_900)), "data"),
        ("10,000 directives", format!("{{ hello {} }}", "@skip(if:true) ".repeat(4_000)), "LIMIT_EXCEEDED"),
        ("1,000 directives", format!("{{ hello {} }}", "@skip(if:true) ".repeat(1_000)), "LIMIT_EXCEEDED"),
        ("directives on typename", format!("{{ __typename {} }}", "@skip(if:true) ".repeat(1_000)), "LIMIT_EXCEEDED"),
        ("directives on the operation", format!("query Q {} {{ hello }}", "@x ".repeat(3_000)), "LIMIT_EXCEEDED"),
        ("100,000 operations", repeated(10_000, |n| format!("query q{n}{{a}}")), "LIMIT_EXCEEDED"),
        ("1,000 operations", repeated(1_000, |n| format!("query q{n}{{hello}}")), "LIMIT_EXCEEDED"),
        ("20,000 variables", format!("query Q({}) {{ hello }}", repeated(8_000, |n| format!("$v{n}:Int "))), "LIMIT_EXCEEDED"),
        ("1,900 variables", format!("query Q({}) {{ hello }}", repeated(1_900, |n| format!("$v{n}:Int "))), "LIMIT_EXCEEDED"),
    ]
}

/// Few bytes that stand for much.
fn bombs() -> Documents {
    let bomb = |levels: usize, last: &str| {
        let fragments = repeated(levels, |level| format!("fragment f{level} on Dog {{ ...f{0} ...f{0} }} ", level + 1));
        format!("{{ dog {{ ...f0 }} }} {fragments} fragment f{levels} on Dog {{ {last} }}")
    };
    let wide_bomb = |levels: usize| {
        let fragments = repeated(levels, |level| {
            format!("fragment f{level} on Dog {{ friend {{ ... on Dog {{ ...f{0} }} }} nick {{ ...f{0} }} }} ", level + 1)
        });
        format!("{{ dog {{ ...f0 }} }} {fragments} fragment f{levels} on Dog {{ name }}")
    };
    let deep_bomb = |levels: usize| {
        let fragments = repeated(levels, |level| {
            format!("fragment f{level} on Dog {{ a{level}: friend {{ ...f{0} }} b{level}: friend {{ ...f{0} }} }} ", level + 1)
        });
        format!("{{ dog {{ ...f0 }} }} {fragments} fragment f{levels} on Dog {{ name }}")
    };
    vec![
        ("fragment bomb", bomb(25, "name"), "LIMIT_EXCEEDED"),
        ("fragment bomb of nothing much", bomb(60, "name"), "LIMIT_EXCEEDED"),
        ("fragment bomb with an error at its end", bomb(25, "nope"), "LIMIT_EXCEEDED"),
        ("fragment bomb that nobody spreads", bomb(25, "name").replace("{ dog { ...f0 } }", "{ hello }"), "GRAPHQL_VALIDATION_FAILED"),
        ("wide fragment bomb", wide_bomb(14), "LIMIT_EXCEEDED"),
        ("deep fragment bomb", deep_bomb(13), "LIMIT_EXCEEDED"),
        (
            "chain of fragments",
            format!(
                "{{ ...f0 }} {} fragment f190 on Query {{ hello }}",
                repeated(190, |n| format!("fragment f{n} on Query {{ ...f{} }} ", n + 1))
            ),
            "LIMIT_EXCEEDED",
        ),
        (
            "ring of fragments",
            format!("{{ ...f0 }} {}", repeated(60, |n| format!("fragment f{n} on Query {{ ...f{} }} ", (n + 1) % 60))),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "every fragment spreads every later one",
            format!(
                "{{ dog {{ ...f0 }} }} {}",
                repeated(60, |n| format!("fragment f{n} on Dog {{ name {} }} ", repeated(60 - n - 1, |m| format!("...f{} ", n + 1 + m))))
            ),
            "LIMIT_EXCEEDED",
        ),
    ]
}

/// Much of one thing, and nonsense.
fn long() -> Documents {
    vec![
        ("long name", format!("{{ {} }}", "a".repeat(60_000)), "LIMIT_EXCEEDED"),
        ("long alias", format!("{{ {}: hello }}", "a".repeat(30_000)), "LIMIT_EXCEEDED"),
        ("alias as long as it may be", format!("{{ {}: hello }}", "a".repeat(256)), "data"),
        ("long string for a number", format!("{{ int(v: \"{}\") }}", "a".repeat(60_000)), "GRAPHQL_VALIDATION_FAILED"),
        ("huge integer", format!("{{ int(v: {}) }}", "9".repeat(60_000)), "GRAPHQL_VALIDATION_FAILED"),
        ("huge integer for a float", format!("{{ float(v: {}) }}", "9".repeat(60_000)), "GRAPHQL_VALIDATION_FAILED"),
        ("huge exponent", "{ float(v: 1e999999999) }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
        (
            "huge integer for a custom scalar",
            format!("{{ hello @skip(if: false) s: __typename x: stamp(v: {}) @skip(if: true) }}", "9".repeat(60_000)),
            "data",
        ),
        ("bytes", "a".repeat(70_000), "LIMIT_EXCEEDED"),
        ("white space", format!("{{ hello {} }}", " ".repeat(60_000)), "data"),
        ("commas", format!("{{ hello {} }}", ",".repeat(60_000)), "data"),
        ("comments", format!("{{ hello {} }}", "#\n".repeat(30_000)), "data"),
        ("nonsense", "?".repeat(60_000), "LIMIT_EXCEEDED"),
        ("quotes", "\"".repeat(60_000), "LIMIT_EXCEEDED"),
        ("escapes", format!("{{ string(v: \"{}\") }}", "\\q".repeat(30_000)), "GRAPHQL_PARSE_FAILED"),
        ("NUL", "{ hello \0 }".to_owned(), "GRAPHQL_PARSE_FAILED"),
        (
            "introspection in a circle",
            "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }".to_owned(),
            "LIMIT_EXCEEDED",
        ),
        ("one line of characters beyond ASCII", format!("{{ {} }}", "ü ".repeat(3_900)), "GRAPHQL_PARSE_FAILED"),
        (
            "conflicts",
            format!("{{ dog {{ {} }} }}", "toys(limit:1){number} toys(limit:2){number} ".repeat(400)),
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ]
}

#[tokio::test]
async fn large_and_deep_documents_are_refused() {
    let app = app(Limits::default());
    let mut wrong = Vec::new();
    for (name, document, expected) in [many(), bombs(), long()].concat() {
        let (_, code) = attack(&app, name, query(&document)).await;
        if code != expected {
            wrong.push(format!("{name}: {code} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn odd_bodies_are_refused() {
    let app = app(Limits::default());
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        format!(r#"{{"query":"query Q($v: Stamp) {{ stamp(v: $v) }}","variables":{{"v":{open}1{close}}}}}"#)
    };
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("deep list in a variable", deep("[", "]").into_bytes(), "BAD_USER_INPUT"),
        ("deep object in a variable", deep("{\"a\":", "}").into_bytes(), "BAD_USER_INPUT"),
        ("body of 5 MB", vec![b' '; 5_000_000], "LIMIT_EXCEEDED"),
        ("body of 20 MB", vec![b'x'; 20_000_000], "LIMIT_EXCEEDED"),
        ("batch of 1,000", format!("[{}]", vec![query("{ hello }"); 1_000].join(",")).into_bytes(), "BAD_USER_INPUT"),
        ("bad UTF-8", b"{\"query\":\"{ hello \xff\xfe }\"}".to_vec(), "BAD_USER_INPUT"),
        ("UTF-16", "{\"query\":\"{hello}\"}".encode_utf16().flat_map(u16::to_le_bytes).collect(), "BAD_USER_INPUT"),
        ("lone surrogate", br#"{"query":"{ string(v: \"\ud800\") }"}"#.to_vec(), "BAD_USER_INPUT"),
        (
            "many parameters",
            format!("{{{}\"query\":\"{{hello}}\"}}", (0..50_000).map(|n| format!("\"a{n}\":1,")).collect::<String>()).into_bytes(),
            "data",
        ),
        (
            "many unknown variables",
            format!(
                "{{\"query\":\"{{hello}}\",\"variables\":{{{}\"x\":1}}}}",
                (0..50_000).map(|n| format!("\"a{n}\":1,")).collect::<String>()
            )
            .into_bytes(),
            "data",
        ),
        (
            "list of 300,000 wrong items",
            json!({ "query": "query Q($v: [Int!]!) { intsHard(v: $v) }", "variables": { "v": vec!["x"; 200_000] } })
                .to_string()
                .into_bytes(),
            "BAD_USER_INPUT",
        ),
        (
            "long name of a field",
            json!({ "query": "query Q($p: Point!) { point(p: $p) { x } }", "variables": { "p": { "x": 1, "a".repeat(900_000): 1 } } })
                .to_string()
                .into_bytes(),
            "BAD_USER_INPUT",
        ),
    ];
    for (name, body, expected) in cases {
        let (_, code) = attack(&app, name, body).await;
        assert_eq!(code, expected, "{name}");
    }
    let endless = stream::iter((0..).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 65_536]))));
    let (_, code) = attack(&app, "endless body in chunks", Body::from_stream(endless)).await;
    assert_eq!(code, "LIMIT_EXCEEDED");
}

#[tokio::test]
async fn nothing_that_was_sent_comes_back_at_length() {
    let app = app(Limits::default());
    let marker = "Zebra".repeat(2_000);
    for document in [
        format!("{{ {marker} }}"),
        format!("{{ int(v: \"{marker}\") }}"),
        format!("{{ string(v: \"{marker}"),
        format!("{{ color(v: {marker}) }}"),
        format!("{{ hello @{marker} }}"),
    ] {
        let (reply, _) = attack(&app, "marker", query(&document)).await;
        assert!(reply.bytes.len() < 3_000, "{}", reply.json);
    }
    let body = json!({ "query": "query Q($v: Int) { int(v: $v) }", "variables": { "v": marker } });
    let (reply, _) = attack(&app, "marker in a variable", body.to_string()).await;
    assert!(!reply.json.to_string().contains("Zebra"));
}

/// The measure of the design: 25 levels of doubling are refused in well under 10 ms.
#[test]
fn a_fragment_bomb_is_refused_before_it_is_written_out() {
    let gate = crate::host::gate(Limits::default());
    let fragments = repeated(25, |level| format!("fragment f{level} on Dog {{ ...f{0} ...f{0} }} ", level + 1));
    let text = format!("{{ dog {{ ...f0 }} }} {fragments} fragment f25 on Dog {{ name }}");
    // The quickest of some: the machine has other things to do.
    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let started = Instant::now();
        let refused = gate.admit(&text, None).err().unwrap();
        quickest = quickest.min(started.elapsed());
        assert_eq!(refused.code().as_str(), "LIMIT_EXCEEDED");
    }
    assert!(quickest < Duration::from_millis(10), "{quickest:?}");
}
