//! Measures what the gate adds to a request: `cargo run --release -p plimsoll-gate --example overhead [CONTRACT_FOLDER]`.

#[path = "../tests/it/zoo.rs"]
mod zoo;

use std::path::Path;
use std::time::Instant;

use async_graphql::{Response, Value, value};
use plimsoll_gate::{CostTable, Gate, Limits};
use serde_json::{Map, json};

type Failed = Box<dyn std::error::Error>;

/// Prints the mean time of `one` in microseconds.
fn measure(name: &str, times: u32, mut one: impl FnMut() -> Result<(), String>) -> Result<(), Failed> {
    for _ in 0..times / 10 {
        one()?;
    }
    let started = Instant::now();
    for _ in 0..times {
        one()?;
    }
    println!("{name}: {:.2} us", started.elapsed().as_secs_f64() * 1e6 / f64::from(times));
    Ok(())
}

fn main() -> Result<(), Failed> {
    let gate = Gate::new(&zoo::sdl(), Limits::default(), CostTable::default())?;
    let answer: Value = value!({ "dog": { "name": "Rex" } });
    let ask = |gate: &Gate, text: &str, variables: &Map<String, serde_json::Value>, answer: &Value| {
        let admitted = gate.admit(text, None).map_err(|refused| format!("{refused:?}"))?;
        let prepared = admitted.prepare(variables.clone()).map_err(|refused| format!("{refused:?}"))?;
        let answer = prepared.completion.finish(Response::new(answer.clone()), &String::new);
        if answer.errors.is_empty() { Ok(()) } else { Err(format!("{:?}", answer.errors)) }
    };
    let none = Map::new();
    measure("repeated { dog { name } }", 200_000, || ask(&gate, "{ dog { name } }", &none, &answer))?;
    let some = json!({ "v": 1 }).as_object().cloned().unwrap_or_default();
    let echoed: Value = value!({ "int": 1 });
    measure("repeated with a variable", 200_000, || ask(&gate, "query Q($v: Int!) { int(v: $v) }", &some, &echoed))?;
    let mut number = 0;
    measure("new small document", 5_000, || {
        number += 1;
        ask(&gate, &format!("{{ dog {{ name }} }} # {number}"), &none, &answer)
    })?;

    let Some(folder) = std::env::args().nth(1) else { return Ok(()) };
    let folder = Path::new(&folder);
    let gate = Gate::new(&std::fs::read_to_string(folder.join("contract.graphql"))?, Limits::default(), CostTable::default())?;
    let case = std::fs::read_to_string(folder.join("fixture/answers/extra-01-cost-by-every-dimension@unaligned.json"))?;
    let case: serde_json::Value = serde_json::from_str(&case)?;
    let (Some(text), Some(variables)) = (case["query"].as_str(), case["variables"].as_object()) else { return Err("no such case".into()) };
    let data: Value = serde_json::from_value(case["data"].clone())?;
    measure("largest document, repeated", 2_000, || ask(&gate, text, variables, &data))?;
    measure("of that, copying its answer", 2_000, || {
        drop(std::hint::black_box(data.clone()));
        Ok(())
    })?;
    measure("largest document, new", 50, || {
        number += 1;
        ask(&gate, &format!("{text} # {number}"), variables, &data)
    })
}
