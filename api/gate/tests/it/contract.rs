//! The documents that the front end sends must pass every limit.

use std::fs;
use std::path::{Path, PathBuf};

use plimsoll_gate::{CostTable, Gate, Limits};
use serde_json::{Map, Value as Json};

/// The contract, in the repository or where `PLIMSOLL_CONTRACT` says.
fn folder() -> Option<PathBuf> {
    let in_repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contract");
    std::env::var_os("PLIMSOLL_CONTRACT")
        .map(PathBuf::from)
        .or(Some(in_repository))
        .filter(|folder| folder.join("contract.graphql").is_file())
}

#[test]
fn every_document_of_the_contract_passes_the_limits() {
    let Some(folder) = folder() else {
        eprintln!("SKIPPED every_document_of_the_contract_passes_the_limits: PLIMSOLL_CONTRACT names no folder");
        return;
    };
    let sdl = fs::read_to_string(folder.join("contract.graphql")).unwrap();
    let gate = Gate::new(&sdl, Limits::default(), CostTable::default()).unwrap();
    let (mut count, mut cost_max) = (0, 0);
    for entry in fs::read_dir(folder.join("operations")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        gate.admit(&text, None).unwrap_or_else(|refused| panic!("{}: {:?}", path.display(), refused.errors()));
        count += 1;
    }
    for entry in fs::read_dir(folder.join("fixture/answers")).unwrap() {
        let path = entry.unwrap().path();
        let case: Json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let text = case["query"].as_str().unwrap();
        let variables = case["variables"].as_object().cloned().unwrap_or_else(Map::new);
        let admitted = gate.admit(text, None).unwrap_or_else(|refused| panic!("{}: {:?}", path.display(), refused.errors()));
        let prepared = admitted.prepare(variables).unwrap_or_else(|refused| panic!("{}: {:?}", path.display(), refused.errors()));
        cost_max = cost_max.max(prepared.facts.cost);
        count += 1;
    }
    println!("{count} documents, the most expensive costs {cost_max}");
    assert!(count >= 170, "{count}");
}
