use std::fs;
use std::path::Path;

/// `REWRITE=1` writes the file anew.
#[test]
fn the_sdl_of_the_tests_is_the_one_that_the_oracle_reads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/schema.graphql");
    let sdl = crate::zoo::sdl();
    if std::env::var_os("REWRITE").is_some() {
        fs::write(&path, &sdl).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), sdl, "run with REWRITE=1");
}
