//! Compares an answer with the one that an oracle computed, by the rules of the contract.
//!
//! Exact: counts, names, keys, order, what is null. Percentiles may be off by 1.05 %, other fractions by 1e-6. The shape of a file
//! is that of `shared/contract/check.py`. Must not know: where answers come from.

use plimsoll_entity::value::time::Instant;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Percentiles: 1 % by the schema, and a hair for rounding.
const PERCENTILE_TOLERANCE: f64 = 0.0105;
/// Two neighbours that are ordered by a percentile may stand either way round within this.
const PERCENTILE_ORDER_TOLERANCE: f64 = 0.0212;
const PERCENTILES: [&str; 7] = ["p50Ms", "p90Ms", "p95Ms", "p99Ms", "p50Bytes", "p95Bytes", "p95"];
const INSTANTS: [&str; 5] = ["start", "end", "lastSeenAt", "startedAt", "finishedAt"];

/// A question and what must be answered.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// The operation's name.
    pub operation: String,
    /// Which of its windows.
    pub case: String,
    /// A role that may ask.
    pub role: String,
    /// Variables of the request.
    pub variables: Value,
    /// The document.
    pub query: String,
    /// The data.
    pub data: Value,
    /// How lists are compared, and who may read which field.
    pub meta: Meta,
}

/// What the data does not tell of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// By the path of the list in the expected data.
    lists: std::collections::HashMap<String, List>,
    /// Root fields that may leave out rows of nothing but zeros.
    #[serde(default)]
    optional_empty: Vec<String>,
    /// The root fields by alias.
    pub fields: std::collections::BTreeMap<String, Field>,
}

/// A root field of the document.
#[derive(Debug, Deserialize)]
pub struct Field {
    /// Roles of which one is enough.
    pub roles: Vec<String>,
}

/// A list whose rows are found by what identifies them.
#[derive(Debug, Deserialize)]
struct List {
    mode: String,
    ident: Vec<String>,
    limit: Option<usize>,
    sort: Vec<Option<f64>>,
    tie: Vec<f64>,
    /// The rows without the limit, where it cut some off.
    full: Option<Vec<Value>>,
}

impl List {
    /// Whether row `left` clearly stands before row `right`.
    fn before(&self, left: usize, right: usize) -> bool {
        let value = |row: usize| self.sort[row].unwrap_or(f64::NEG_INFINITY);
        let tolerance = match self.mode.as_str() {
            "sorted" => return self.tie[left] < self.tie[right],
            "sorted~" => PERCENTILE_ORDER_TOLERANCE,
            "sortedf" => 1e-9,
            _ => return false,
        };
        let (left, right) = (value(left), value(right));
        if left.is_finite() && right.is_finite() { left > right + left.abs() * tolerance } else { left > right }
    }
}

impl Answer {
    /// Where `data` differs from what must be answered, one sentence each; empty: nowhere.
    #[must_use]
    pub fn differences(&self, data: &Value) -> Vec<String> {
        let mut comparison = Comparison { meta: &self.meta, found: Vec::new() };
        comparison.value(&self.data, data, Place::default());
        comparison.found
    }
}

/// Where a value stands: in the answer, in the expected data, and the object around it.
#[derive(Clone, Default)]
struct Place<'a> {
    answered: String,
    expected: String,
    name: &'a str,
    around: Option<&'a Map<String, Value>>,
}

struct Comparison<'a> {
    meta: &'a Meta,
    found: Vec<String>,
}

impl Comparison<'_> {
    fn differs(&mut self, place: &Place<'_>, expected: impl std::fmt::Display, answered: impl std::fmt::Display) {
        let short = |text: String| text.chars().take(160).collect::<String>();
        self.found.push(format!("{}: expected {} got {}", place.answered, short(expected.to_string()), short(answered.to_string())));
    }

    fn value(&mut self, expected: &Value, answered: &Value, place: Place<'_>) {
        match (expected, answered) {
            (Value::Object(expected), Value::Object(answered)) => self.object(expected, answered, &place),
            (Value::Array(expected), Value::Array(answered)) => match self.meta.lists.get(&place.expected) {
                Some(list) => self.rows(list.full.as_ref().unwrap_or(expected), answered, list, &place),
                None => self.sequence(expected, answered, &place),
            },
            (Value::String(text), Value::String(instant)) if text == "$datetime" || INSTANTS.contains(&place.name) => {
                let at = |text: &str| Instant::parse(text).ok();
                if at(instant).is_none() || text != "$datetime" && at(text) != at(instant) {
                    self.differs(&place, text, instant);
                }
            }
            (Value::Number(left), Value::Number(right)) => {
                let same = match (left.as_f64(), right.as_f64()) {
                    (Some(_), Some(_)) if !left.is_f64() => left.as_f64() == right.as_f64(),
                    (Some(expected), Some(answered)) => is_close(expected, answered, &place),
                    _ => false,
                };
                if !same {
                    self.differs(&place, expected, answered);
                }
            }
            _ if expected == answered => {}
            _ => self.differs(&place, expected, answered),
        }
    }

    fn object(&mut self, expected: &Map<String, Value>, answered: &Map<String, Value>, place: &Place<'_>) {
        let below = |path: &str, name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for (name, value) in expected {
            let place =
                Place { answered: below(&place.answered, name), expected: below(&place.expected, name), name, around: Some(expected) };
            match answered.get(name) {
                // Rows of nothing may be left out, and then they are not counted either.
                Some(count) if name == "rowCount" && self.is_optional(&place) && count.as_u64() <= value.as_u64() => {}
                Some(found) => self.value(value, found, place),
                None => self.differs(&place, value, "no such key"),
            }
        }
        for name in answered.keys().filter(|name| !expected.contains_key(*name)) {
            self.differs(place, "no such key", name);
        }
    }

    fn is_optional(&self, place: &Place<'_>) -> bool {
        self.meta.optional_empty.iter().any(|field| Some(field.as_str()) == place.expected.split('.').next())
    }

    fn sequence(&mut self, expected: &[Value], answered: &[Value], place: &Place<'_>) {
        if expected.len() != answered.len() {
            self.differs(place, format_args!("{} elements", expected.len()), format_args!("{} elements", answered.len()));
        }
        for (number, (left, right)) in expected.iter().zip(answered).enumerate() {
            self.value(left, right, element(place, number, number));
        }
    }

    fn rows(&mut self, full: &[Value], answered: &[Value], list: &List, place: &Place<'_>) {
        let optional = self.is_optional(place);
        let mut order = Vec::new();
        for (number, row) in answered.iter().enumerate() {
            match full.iter().position(|candidate| list.ident.iter().all(|name| candidate.get(name) == row.get(name))) {
                Some(index) if order.contains(&index) => self.differs(place, "each key once", row),
                Some(index) => {
                    order.push(index);
                    self.value(&full[index], row, element(place, number, index));
                }
                None if optional && is_nothing(row, &list.ident) => {}
                None => self.differs(place, "no such row", row),
            }
        }
        let shown = list.limit.unwrap_or(full.len()).min(full.len());
        for (index, row) in full.iter().enumerate() {
            let is_there = order.contains(&index);
            if shown == full.len() {
                if !(is_there || optional && is_nothing(row, &list.ident)) {
                    self.differs(place, row, "no such row");
                }
            } else if !is_there && list.before(index, shown - 1) || is_there && list.before(shown - 1, index) {
                self.differs(place, "the first rows by the order", row);
            }
        }
        if shown < full.len() && order.len() != shown {
            self.differs(place, format_args!("{shown} rows"), order.len());
        }
        for pair in order.windows(2) {
            if list.before(pair[1], pair[0]) {
                self.differs(place, format_args!("{} before", full[pair[1]]), &full[pair[0]]);
            }
        }
    }
}

fn element<'a>(place: &Place<'a>, answered: usize, expected: usize) -> Place<'a> {
    Place { answered: format!("{}[{answered}]", place.answered), expected: format!("{}.{expected}", place.expected), ..place.clone() }
}

/// Nothing but zeros and nulls beside what identifies it.
fn is_nothing(row: &Value, ident: &[String]) -> bool {
    match row {
        Value::Object(fields) => fields.iter().all(|(name, value)| name == "window" || ident.contains(name) || is_nothing(value, ident)),
        Value::Array(values) => values.iter().all(|value| is_nothing(value, ident)),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(flag) => !flag,
        Value::Null => true,
        Value::String(_) => false,
    }
}

fn is_close(expected: f64, answered: f64, place: &Place<'_>) -> bool {
    let off = (expected - answered).abs();
    if PERCENTILES.contains(&place.name) {
        off <= PERCENTILE_TOLERANCE * expected.abs() + 1e-9
    } else if place.name.ends_with("Pearson") {
        off <= 2e-6
    } else if let Some(side) = place.name.strip_suffix("MsPerMebibyte") {
        // A slope with hardly any correlation is as uncertain as its points are scattered.
        let pearson = place.around.and_then(|around| around.get(&format!("{side}Pearson"))).and_then(Value::as_f64).filter(|r| *r != 0.0);
        off <= 2e-6 * expected.abs().max((expected / pearson.unwrap_or(1.0)).abs())
    } else {
        off <= (1e-6 * expected.abs().max(answered.abs())).max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(mode: &str, limit: usize) -> Answer {
        let rows = json!([{"key": "a", "stats": {"n": 3, "p95Ms": 300.0}}, {"key": "b", "stats": {"n": 2, "p95Ms": 299.0}}]);
        let list = json!({"mode": mode, "ident": ["key"], "limit": limit, "sort": [300.0, 299.0], "tie": [0, 1], "full": rows});
        let meta = json!({"lists": {"x.rows": list}, "fields": {}});
        let data = json!({"x": {"rows": rows, "asOf": "$datetime"}});
        serde_json::from_value(json!({"operation": "", "case": "", "role": "", "variables": {}, "query": "", "data": data, "meta": meta}))
            .unwrap()
    }

    fn told(mode: &str, limit: usize, rows: Value) -> usize {
        answer(mode, limit).differences(&json!({"x": {"rows": rows, "asOf": "2026-03-01T00:00:00Z"}})).len()
    }

    #[test]
    fn what_the_contract_allows_is_no_difference_and_everything_else_is() {
        let (a, b) = (json!({"key": "a", "stats": {"n": 3, "p95Ms": 302.9}}), json!({"key": "b", "stats": {"n": 2, "p95Ms": 299}}));
        assert_eq!(told("sorted", 9, json!([a, b])), 0);
        assert_eq!(told("sorted", 9, json!([b, a])), 1, "the order is exact");
        assert_eq!(told("sorted~", 9, json!([b, a])), 0, "but for neighbours by a percentile");
        assert_eq!(told("sorted", 9, json!([a])), 1, "a row is missing");
        assert_eq!(told("sorted", 9, json!([a, a, b])), 1, "a row stands twice");
        assert_eq!(told("sorted", 1, json!([a])), 0, "the limit cuts");
        assert!(told("sorted", 1, json!([b])) > 0, "and keeps the first");
        assert_eq!(told("sorted", 1, json!([a, b])), 2, "only");
        let (off, wrong) = (json!({"key": "a", "stats": {"n": 3, "p95Ms": 304.0}}), json!({"key": "a", "stats": {"n": 4, "p95Ms": 300}}));
        assert_eq!((told("sorted", 9, json!([off, b])), told("sorted", 9, json!([wrong, b]))), (1, 1));
        let extra = json!({"key": "a", "stats": {"n": 3, "p95Ms": 300, "more": 1}});
        assert_eq!(told("sorted", 9, json!([extra, b])), 1, "a key that nobody asked for");
        assert_eq!(told("sorted", 9, json!([null, b])), 2);
    }
}
