//! The house itself: the committed schema, who imports whom, and tidiness.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
fn the_committed_schema_is_the_schema() {
    let printed = Command::new(plimsoll_tests::binary()).arg("schema").output().unwrap();
    let committed = std::fs::read_to_string(root().join("schema.graphql")).unwrap();
    assert!(String::from_utf8(printed.stdout).unwrap() == committed, "run `cargo run -- schema > schema.graphql`");
}

/// What `.ci/run` runs is what front-end developers are told.
#[test]
fn the_readme_shows_the_clients_that_run() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for name in ["socket.ts", "stream.ts", "apollo.ts", "urql.ts"] {
        let code = std::fs::read_to_string(root().join("tests/clients/src").join(name)).unwrap();
        assert!(readme.contains(&format!("```ts\n{code}```\n")), "tests/clients/src/{name} has changed: copy it into README.md");
    }
}

#[test]
fn nobody_imports_whom_they_must_not_know() {
    let rules: [(&str, &[&str]); 6] = [
        ("entity/src", &["plimsoll_domain", "plimsoll_gate", "plimsoll_collectors", "async_graphql", "axum"]),
        ("migration/src", &["plimsoll_"]),
        ("collectors/src", &["plimsoll_domain", "plimsoll_entity", "plimsoll_gate", "async_graphql"]),
        ("api/gate/src", &["plimsoll_domain", "plimsoll_entity", "sea_orm"]),
        ("api/domain/src", &["async_graphql", "axum", "clap::"]),
        ("api/domain/src/cell", &["crate::breakdown", "crate::ingest", "crate::machine"]),
    ];
    for (folder, forbidden) in rules {
        for (path, text) in sources(folder) {
            for word in forbidden {
                assert!(
                    !text.lines().any(|line| line.trim_start().starts_with("use ") && line.contains(word)),
                    "{} imports {word}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_is_not_too_long() {
    for folder in ["entity/src", "migration/src", "collectors/src", "api/src", "api/gate/src", "api/domain/src", "tests"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{} has no module doc", path.display());
            assert!(text.lines().count() <= 700, "{} is too long", path.display());
        }
    }
}
