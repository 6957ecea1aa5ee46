//! Below, at and above each limit of an operation.

use plimsoll_gate::{CostTable, Gate, Limits};
use serde_json::{Map, Value as Json, json};

use crate::zoo::sdl;

fn gate(limits: Limits) -> Gate {
    let costs = CostTable::default().field("Query", "hello", 7).field("Dog", "toys", 3);
    Gate::new(&sdl(), limits, costs).unwrap()
}

fn code(gate: &Gate, document: &str, variables: &Json) -> Option<&'static str> {
    let variables = variables.as_object().cloned().unwrap_or_else(Map::new);
    gate.admit(document, None).and_then(|admitted| admitted.prepare(variables)).err().map(|refused| refused.code().as_str())
}

fn cost(document: &str, variables: &Json) -> u64 {
    let gate = gate(Limits { cost_factor_max: 100, ..Limits::default() });
    gate.admit(document, None).unwrap().prepare(variables.as_object().cloned().unwrap_or_default()).unwrap().facts.cost
}

#[test]
fn each_limit_holds_exactly() {
    let limits = Limits {
        document_size_bytes: 300,
        tokens: 40,
        bracket_nesting: 6,
        name_size_bytes: 10,
        operations: 2,
        fragments: 2,
        variables: 2,
        selection_nesting: 5,
        depth: 4,
        expanded_fields: 8,
        root_fields: 3,
        aliases: 2,
        directives: 2,
        ..Limits::default()
    };
    let gate = gate(limits);
    let pairs = [
        ("bytes", format!("{{ hello }}{}", " ".repeat(291)), format!("{{ hello }}{}", " ".repeat(292))),
        ("tokens", format!("{{ intsHard(v: [{}]) }}", "1 ".repeat(31)), format!("{{ intsHard(v: [{}]) }}", "1 ".repeat(32))),
        ("brackets", "{ stamp(v: [[[[1]]]]) }".to_owned(), "{ stamp(v: [[[[[1]]]]]) }".to_owned()),
        ("names", "{ abcdefghij: hello }".to_owned(), "{ abcdefghijk: hello }".to_owned()),
        (
            "fragments",
            "{ ...A ...B } fragment A on Query { hello } fragment B on Query { hello }".to_owned(),
            "{ ...A ...B ...C } fragment A on Query { hello } fragment B on Query { hello } fragment C on Query { hello }".to_owned(),
        ),
        (
            "variables",
            "query Q($a: Int, $b: Int) { stamp(v: {a: $a b: $b}) }".to_owned(),
            "query Q($a: Int, $b: Int, $c: Int) { stamp(v: {a: $a b: $b c: $c}) }".to_owned(),
        ),
        (
            "selections",
            "{ ... { ... { ... { ... { hello } } } } }".to_owned(),
            "{ ... { ... { ... { ... { ... { hello } } } } } }".to_owned(),
        ),
        ("depth", "{ dog { friend { friend { name } } } }".to_owned(), "{ dog { friend { friend { friend { name } } } } }".to_owned()),
        (
            "fields",
            "{ dog { name name name name name name name } }".to_owned(),
            "{ dog { name name name name name name name name } }".to_owned(),
        ),
        (
            "fields of the root",
            "{ hello ... { __typename ...F } } fragment F on Query { hello }".to_owned(),
            "{ hello ... { __typename ...F } } fragment F on Query { hello hello }".to_owned(),
        ),
        (
            "aliases",
            "{ dog { a: name ...F } } fragment F on Dog { b: name }".to_owned(),
            "{ dog { a: name ...F friend { ... on Dog { ...F } } } } fragment F on Dog { b: name }".to_owned(),
        ),
        (
            "directives",
            "{ hello @skip(if: false) ... @skip(if: false) { hello } }".to_owned(),
            "{ hello @skip(if: false) @include(if: true) ... @skip(if: false) { hello } }".to_owned(),
        ),
    ];
    for (name, at, above) in pairs {
        assert_eq!(code(&gate, &at, &json!({})), None, "{name}: {at}");
        assert_eq!(code(&gate, &above, &json!({})), Some("LIMIT_EXCEEDED"), "{name}: {above}");
    }
    let operations = |count: usize| (0..count).map(|number| format!("query q{number} {{ hello }} ")).collect::<String>();
    assert!(gate.admit(&operations(2), Some("q1")).is_ok());
    assert_eq!(gate.admit(&operations(3), Some("q1")).err().unwrap().code().as_str(), "LIMIT_EXCEEDED");
}

#[test]
fn cost_follows_the_table_and_the_list_arguments() {
    assert_eq!(cost("{ nothing }", &json!({})), 1);
    assert_eq!(cost("{ hello nothing }", &json!({})), 8);
    assert_eq!(cost("{ hello hello }", &json!({})), 7, "merged fields cost once");
    assert_eq!(cost("{ hello @skip(if: true) nothing }", &json!({})), 1, "skipped fields cost nothing");
    assert_eq!(cost("{ dog { toys { number } } }", &json!({})), 1 + 3 + 2, "the default of the argument counts");
    assert_eq!(cost("{ dog { toys(limit: 50) { number } } }", &json!({})), 1 + 3 + 50);
    assert_eq!(cost("{ dog { toys(limit: 5000) { number } } }", &json!({})), 1 + 3 + 100, "up to the largest factor");
    assert_eq!(cost("{ dog { toys(limit: -5) { number } } }", &json!({})), 1 + 3 + 1);
    let document = "query Q($n: Int! = 9) { dog { toys(limit: $n) { number } } }";
    assert_eq!(cost(document, &json!({})), 1 + 3 + 9);
    assert_eq!(cost(document, &json!({ "n": 20 })), 1 + 3 + 20);
}

#[test]
fn what_costs_too_much_is_refused_for_these_variables_alone() {
    let gate = gate(Limits { cost: 30, ..Limits::default() });
    let document = "query Q($n: Int!) { dog { toys(limit: $n) { number } } }";
    assert_eq!(code(&gate, document, &json!({ "n": 26 })), None);
    assert_eq!(code(&gate, document, &json!({ "n": 27 })), Some("LIMIT_EXCEEDED"));
    assert_eq!(code(&gate, document, &json!({ "n": 26 })), None);
}

#[test]
fn facts_say_what_will_run() {
    let gate = gate(Limits::default());
    let admitted = gate.admit("query Q { a: hello ...F } fragment F on Query { nothing b: hello }", None).unwrap();
    let facts = admitted.prepare(Map::new()).unwrap().facts;
    assert_eq!(facts.name.as_deref(), Some("Q"));
    assert_eq!(facts.kind.as_str(), "query");
    assert_eq!(facts.root_fields.iter().map(|name| &**name).collect::<Vec<_>>(), ["hello", "nothing"]);
    assert!(!facts.introspects);
}
