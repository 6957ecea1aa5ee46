//! The Python reporter's own tests, so that `cargo test` says when they fail. They need a `python3` of 3.9 or later and nothing else.

use std::process::{Command, Stdio};

const REPORTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/reporters");
const NEEDED: &str = "import sys; sys.exit(sys.version_info < (3, 9))";

/// Whether there is a Python that the reporter is written for.
fn has_python() -> bool {
    let check = Command::new("python3").args(["-c", NEEDED]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    check.is_ok_and(|status| status.success())
}

#[test]
fn the_python_reporter_passes_its_tests() {
    if !has_python() {
        println!("skipped: the_python_reporter_passes_its_tests (no python3 of 3.9 or later)");
        return;
    }
    let output = Command::new("python3")
        // Nothing is written beside the sources.
        .args(["-B", "-m", "unittest", "discover"])
        .current_dir(REPORTERS)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stderr));
}
