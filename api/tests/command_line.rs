//! The binary's command line: what it prints, where, and how it fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::process::{Command, Output};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Runs the binary in an empty folder with these variables only.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(arguments).env_clear().current_dir(folder.path()).envs(variables.iter().copied());
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A failure says why in one line and prints nothing else.
fn complaint(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(arguments, variables);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let said: Vec<&str> = text.lines().filter(|line| line.starts_with("plimsoll: ")).collect();
    assert_eq!(said.len(), 1, "{text}");
    said[0].to_owned()
}

#[test]
fn the_schema_needs_no_settings_and_is_the_same_each_time() {
    let schema = printed(&run(&["schema"], &[("PLIMSOLL_JWT_SECRET", "short")]));
    assert!(schema.contains("type Query {") && schema.contains("@requires(roles: [PIPELINE_TD, ADMIN])"));
    assert_eq!(schema, printed(&run(&["schema"], &[])));
}

#[test]
fn settings_are_printed_without_their_secrets() {
    let variables = [
        ("PLIMSOLL_JWT_SECRET", SECRET),
        ("PLIMSOLL_DATABASE_URL", "postgres://plimsoll:hunter2@db/plimsoll"),
        ("PLIMSOLL_METRICS_TOKEN", "metrics-token"),
        ("PLIMSOLL_LISTEN", "127.0.0.1:9999"),
    ];
    let settings = printed(&run(&["config"], &variables));
    assert!(settings.contains("127.0.0.1:9999") && settings.contains("(hidden)"), "{settings}");
    for secret in [SECRET, "hunter2", "metrics-token"] {
        assert!(!settings.contains(secret), "{settings}");
    }
}

#[test]
fn a_token_is_minted_for_roles_that_exist() {
    let token = printed(&run(&["token", "--role", "ADMIN", "--role", "INGEST"], &[("PLIMSOLL_JWT_SECRET", SECRET)]));
    assert_eq!((token.trim_end().split('.').count(), token.lines().count()), (3, 1), "{token}");
    let unknown = run(&["token", "--role", "BOSS"], &[("PLIMSOLL_JWT_SECRET", SECRET)]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("FINANCIAL_DIRECTOR"));
}

#[test]
fn each_failure_says_which_setting_to_change() {
    let weak = complaint(&["serve"], &[("PLIMSOLL_JWT_SECRET", "hunter2")]);
    assert!(weak.contains("PLIMSOLL_JWT_SECRET") && !weak.contains("hunter2"), "{weak}");
    let database = complaint(&["migrate"], &[("PLIMSOLL_DATABASE_URL", "mysql://u:hunter2@h/d")]);
    assert!(database.contains("PLIMSOLL_DATABASE_URL") && !database.contains("hunter2"), "{database}");
    let file = complaint(&["serve"], &[("PLIMSOLL_CONFIG", "/nonexistent/plimsoll.toml")]);
    assert!(file.contains("/nonexistent/plimsoll.toml"), "{file}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = complaint(&["serve"], &[("PLIMSOLL_LISTEN", &address), ("PLIMSOLL_JWT_SECRET", SECRET)]);
    assert!(listen.contains("PLIMSOLL_LISTEN") && listen.contains(&address), "{listen}");
    // Without a key only this machine is served.
    let open = complaint(&["serve"], &[("PLIMSOLL_LISTEN", "0.0.0.0:0"), ("PLIMSOLL_DATABASE_URL", "sqlite://p.db?mode=rwc")]);
    assert!(open.contains("PLIMSOLL_JWT_SECRET"), "{open}");
}

#[test]
fn a_database_is_brought_up_to_date_once_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("p.db").display());
    for _ in 0..2 {
        let said = printed(&run(&["migrate"], &[("PLIMSOLL_DATABASE_URL", &url), ("PLIMSOLL_JWT_SECRET", SECRET)]));
        assert!(said.ends_with("the database is up to date\n"), "{said}");
    }
}

#[test]
fn help_names_every_command() {
    let help = printed(&run(&["--help"], &[]));
    for command in ["serve", "migrate", "schema", "token", "ingest", "demo", "config"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in:\n{help}");
    }
}
