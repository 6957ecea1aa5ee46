//! Compares an answer with what the oracle expects, by the rules of the contract.
//!
//! Exact: counts, names, instants, which rows there are and in which order. Within 1.05 %: percentiles. Within 1e-6: other floats.
//! Within 2 ms, in a total within 32 ms: whole milliseconds of a state. Rows of nothing may be left out where the file says so.
//! An expected list that is described (`meta.lists`) is compared row by row by its key; where two values are too close to tell
//! apart (`sorted~`, `sortedf`) their order is free. Must not know: HTTP, databases.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Names of percentiles.
const PERCENTILES: [&str; 7] = ["p50Ms", "p90Ms", "p95Ms", "p99Ms", "p50Bytes", "p95Bytes", "p95"];
/// How far a percentile may be off, relatively.
const PERCENTILE_TOLERANCE: f64 = 0.0105;
/// How far any other float may be off, relatively.
const FLOAT_TOLERANCE: f64 = 1e-6;
/// How far slopes and coefficients may be off, absolutely.
const CORRELATION_TOLERANCE: f64 = 2e-6;
/// Names of whole milliseconds, each rounded by itself.
const ROUNDED_MS: [&str; 6] = ["upMs", "downMs", "maintenanceMs", "runningMs", "activeMs", "idleMs"];
/// How far they may be off, absolutely, and how far their sum over machines.
const ROUNDED_MS_TOLERANCE: f64 = 2.0;
const ROUNDED_TOTAL_MS_TOLERANCE: f64 = 32.0;
/// Differences that are told.
const DIFFERENCES_MAX: usize = 10;

/// The differences between an expected answer (a whole answer file) and the data that came.
#[must_use]
pub fn differences(expected: &Value, data: &Value) -> Vec<String> {
    let empty = Map::new();
    let lists = expected["meta"]["lists"].as_object().unwrap_or(&empty);
    let optional = expected["meta"]["optionalEmpty"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut comparison = Comparison { lists, optional, found: Vec::new() };
    comparison.value(&expected["data"], data, "", "");
    comparison.found.truncate(DIFFERENCES_MAX);
    comparison.found
}

struct Comparison<'e> {
    lists: &'e Map<String, Value>,
    /// Root fields whose rows of nothing may be left out.
    optional: BTreeSet<&'e str>,
    found: Vec<String>,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Nothing but zeros and nulls beside names.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            object.iter().all(|(name, value)| matches!(name.as_str(), "key" | "window" | "lastLoadedAt") || is_empty(value))
        }
        Value::Array(items) => items.iter().all(is_empty),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::String(_) => false,
    }
}

impl Comparison<'_> {
    fn differ(&mut self, path: &str, expected: &Value, got: &Value) {
        self.found.push(format!("{path}: expected {expected}, got {got}"));
    }

    /// `path` is where in the answer, `place` where in the expectation.
    fn value(&mut self, expected: &Value, got: &Value, path: &str, place: &str) {
        match (expected, got) {
            (Value::String(text), _) if text == "$any" => {}
            (Value::String(text), _) if text == "$datetime" => {
                if !got.as_str().is_some_and(|got| got.ends_with('Z')) {
                    self.differ(path, expected, got);
                }
            }
            (Value::Object(wanted), Value::Object(object)) => {
                for (name, value) in wanted {
                    match object.get(name) {
                        Some(Value::Null) if name == "gpuSamples" && is_empty(value) => {}
                        Some(found) if name == "rowCount" && self.may_count(wanted, found, place) => {}
                        Some(found) => self.value(value, found, &join(path, name), &join(place, name)),
                        None => self.differ(&join(path, name), value, &Value::String("(absent)".to_owned())),
                    }
                }
            }
            (Value::Array(wanted), Value::Array(items)) => match self.lists.get(place) {
                Some(description) => self.rows(description.clone(), wanted, items, path, place),
                None if wanted.len() != items.len() => {
                    self.found.push(format!("{path}: expected {} items, got {}", wanted.len(), items.len()))
                }
                None => {
                    for (at, (value, found)) in wanted.iter().zip(items).enumerate() {
                        self.value(value, found, &format!("{path}[{at}]"), &join(place, &at.to_string()));
                    }
                }
            },
            _ => self.leaf(expected, got, path),
        }
    }

    fn may_lack(&self, place: &str) -> bool {
        self.optional.contains(place.split('.').next().unwrap_or_default())
    }

    /// Whether a row count leaves out nothing but rows of nothing.
    fn may_count(&self, wanted: &Map<String, Value>, found: &Value, place: &str) -> bool {
        let shown = wanted.get("rows").and_then(Value::as_array);
        let full = self.lists.get(&join(place, "rows")).and_then(|list| list["full"].as_array()).or(shown);
        let (Some(full), Some(count), Some(most)) = (full, found.as_u64(), wanted["rowCount"].as_u64()) else { return false };
        let least = full.iter().filter(|row| !is_empty(row)).count() as u64;
        self.may_lack(place) && (least..=most).contains(&count)
    }

    fn rows(&mut self, description: Value, wanted: &[Value], items: &[Value], path: &str, place: &str) {
        let full: Vec<Value> = description["full"].as_array().cloned().unwrap_or_else(|| wanted.to_vec());
        let names: Vec<&str> = description["ident"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let key = |row: &Value| names.iter().map(|name| row[*name].to_string()).collect::<Vec<_>>().join("|");
        let places: BTreeMap<String, usize> = full.iter().enumerate().map(|(at, row)| (key(row), at)).collect();
        let may_lack = self.may_lack(place);
        let mut order = Vec::new();
        for row in items {
            match places.get(&key(row)) {
                Some(at) if order.contains(at) => self.found.push(format!("{path}: row twice: {}", key(row))),
                Some(at) => {
                    order.push(*at);
                    self.value(&full[*at], row, &format!("{path}[{}]", key(row)), &join(place, &at.to_string()));
                }
                None if may_lack && is_empty(row) => {}
                None => self.found.push(format!("{path}: extra row {}", key(row))),
            }
        }
        let limit = description["limit"].as_u64().map_or(full.len(), |limit| full.len().min(limit as usize));
        let excused = |at: &usize| order.contains(at) || (may_lack && is_empty(&full[*at]));
        let lacking = (0..full.len()).filter(|at| !excused(at)).count();
        if lacking > full.len() - limit {
            self.found.push(format!("{path}: expected {limit} of {} rows, got {}", full.len(), order.len()));
        }
        let before = Before::new(&description);
        for pair in order.windows(2) {
            if before.clearly(pair[1], pair[0]) {
                self.found.push(format!("{path}: {} belongs before {}", key(&full[pair[1]]), key(&full[pair[0]])));
            }
        }
        if limit > 0 && limit < full.len() {
            let cut = limit - 1;
            let misplaced = |at: &usize| if order.contains(at) { before.clearly(cut, *at) } else { before.clearly(*at, cut) };
            for at in (0..full.len()).filter(misplaced) {
                self.found.push(format!("{path}: {} stands on the wrong side of the cut", key(&full[at])));
            }
        }
    }

    fn leaf(&mut self, expected: &Value, got: &Value, path: &str) {
        let name = path.rsplit('.').next().unwrap_or_default();
        let same = match (expected, got) {
            (Value::Number(wanted), Value::Number(number)) if wanted.is_f64() => {
                let (wanted, number) = (wanted.as_f64().unwrap_or(f64::NAN), number.as_f64().unwrap_or(f64::NAN));
                let off = (wanted - number).abs();
                if PERCENTILES.contains(&name) {
                    off <= PERCENTILE_TOLERANCE * wanted.abs() + 1e-9
                } else if name.ends_with("Pearson") {
                    off <= CORRELATION_TOLERANCE
                } else if name.ends_with("MsPerMebibyte") {
                    off <= CORRELATION_TOLERANCE * wanted.abs().max(1.0)
                } else {
                    off <= FLOAT_TOLERANCE * wanted.abs().max(number.abs()) + 1e-9
                }
            }
            (Value::Number(wanted), Value::Number(number)) if ROUNDED_MS.contains(&name) => {
                let tolerance = if path.contains("total") { ROUNDED_TOTAL_MS_TOLERANCE } else { ROUNDED_MS_TOLERANCE };
                (wanted.as_f64().unwrap_or(f64::NAN) - number.as_f64().unwrap_or(f64::NAN)).abs() <= tolerance
            }
            (Value::Number(wanted), Value::Number(number)) => wanted.as_f64() == number.as_f64(),
            (Value::String(wanted), Value::String(text)) => wanted == text || is_same_instant(wanted, text),
            _ => expected == got,
        };
        if !same {
            self.differ(path, expected, got);
        }
    }
}

fn is_same_instant(left: &str, right: &str) -> bool {
    use plimsoll_entity::value::time::Instant;
    matches!((Instant::parse(left), Instant::parse(right)), (Ok(left), Ok(right)) if left == right)
}

/// Which of two expected rows stands before the other beyond doubt.
struct Before {
    mode: String,
    values: Vec<f64>,
    ties: Vec<u64>,
}

impl Before {
    fn new(description: &Value) -> Self {
        let numbers = |name: &str| description[name].as_array().cloned().unwrap_or_default();
        Self {
            mode: description["mode"].as_str().unwrap_or_default().to_owned(),
            values: numbers("sort").iter().map(|value| value.as_f64().unwrap_or(f64::NEG_INFINITY)).collect(),
            ties: numbers("tie").iter().map(|tie| tie.as_u64().unwrap_or(0)).collect(),
        }
    }

    fn clearly(&self, row: usize, other: usize) -> bool {
        let tolerance = match self.mode.as_str() {
            "sorted" => return self.ties[row] < self.ties[other],
            "sorted~" => 0.0212,
            "sortedf" => 1e-9,
            _ => return false,
        };
        let (value, against) = (self.values[row], self.values[other]);
        if value.is_finite() && against.is_finite() { value > against + value.abs() * tolerance } else { value > against }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(data: Value) -> Value {
        json!({ "data": data, "meta": { "lists": { "x.rows": { "mode": "sorted", "ident": ["key"], "limit": 2, "sort": [3, 2, 2], "tie": [0, 1, 2],
            "full": [{ "key": "a", "n": 3 }, { "key": "b", "n": 2 }, { "key": "c", "n": 2 }] } }, "optionalEmpty": [] } })
    }

    #[test]
    fn rows_of_nothing_may_be_left_out_and_rounding_is_forgiven() {
        let mut expected = json!({ "data": { "x": { "rowCount": 2, "rows": [{ "key": "a", "s": { "upMs": 1000 } }, { "key": "b", "s": { "upMs": 0 } }],
            "total": { "upMs": 1000 }, "gpuSamples": { "samples": 0, "memoryUsedBytes": null }, "endCursor": "$any" } },
            "meta": { "lists": { "x.rows": { "mode": "sorted", "ident": ["key"], "limit": null, "sort": [0, 0], "tie": [0, 1] } }, "optionalEmpty": ["x"] } });
        let got = |count: u64, up_ms: u64, total_ms: u64| json!({ "x": { "rowCount": count, "rows": [{ "key": "a", "s": { "upMs": up_ms } }], "total": { "upMs": total_ms }, "gpuSamples": null, "endCursor": null } });
        assert!(differences(&expected, &got(1, 1002, 1032)).is_empty());
        assert!(differences(&expected, &got(2, 1000, 1000)).is_empty(), "the count may be of all rows");
        assert_eq!(differences(&expected, &got(0, 1003, 1033)).len(), 3, "count, row and total");
        expected["meta"]["optionalEmpty"] = json!([]);
        assert_eq!(differences(&expected, &got(1, 1000, 1000)).len(), 2, "count and row");
    }

    #[test]
    fn wrong_values_orders_and_cuts_are_found() {
        let expected = file(json!({ "x": { "rows": [{ "key": "a", "n": 3 }, { "key": "b", "n": 2 }], "p95Ms": 100.0 } }));
        let got = |rows: Value, p95: f64| json!({ "x": { "rows": rows, "p95Ms": p95 } });
        let (a, b, c) = (json!({ "key": "a", "n": 3 }), json!({ "key": "b", "n": 2 }), json!({ "key": "c", "n": 2 }));
        assert!(differences(&expected, &got(json!([a, b]), 100.9)).is_empty());
        assert!(!differences(&expected, &got(json!([a, b]), 101.2)).is_empty(), "percentile");
        assert!(!differences(&expected, &got(json!([b, a]), 100.0)).is_empty(), "order");
        assert!(!differences(&expected, &got(json!([a, c]), 100.0)).is_empty(), "cut");
        assert!(!differences(&expected, &got(json!([a]), 100.0)).is_empty(), "missing row");
        assert!(!differences(&expected, &got(json!([a, { "key": "b", "n": 1 }]), 100.0)).is_empty(), "count");
        assert!(!differences(&expected, &got(json!([a, b, b]), 100.0)).is_empty(), "twice");
    }
}
