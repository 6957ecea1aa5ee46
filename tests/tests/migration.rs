//! A database that a newer binary has written is left alone, and the person who starts the older one is told so.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use plimsoll_tests::{Database, Server, binary};
use sea_orm::{ConnectionTrait, Database as Sea};

async fn assert_refused(database: &Database) {
    Server::start(database).stop();
    let connection = Sea::connect(database.url()).await.unwrap();
    let told = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_from_the_future', 0)";
    connection.execute_unprepared(told).await.unwrap();
    connection.close().await.unwrap();
    for command in ["serve", "migrate"] {
        let mut binary = Command::new(binary());
        let variables = [("PLIMSOLL_DATABASE_URL", database.url()), ("PLIMSOLL_LISTEN", "127.0.0.1:0".to_owned())];
        let output = binary.arg(command).env("PLIMSOLL_JWT_SECRET", "0".repeat(32)).envs(variables).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("made by a newer plimsoll") && text.contains("m29990101_000001_from_the_future"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_database_is_refused_on_sqlite() {
    assert_refused(&Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_database_is_refused_on_postgres() {
    let Some(database) = Database::postgres("a_newer_database_is_refused").await else { return };
    assert_refused(&database).await;
    database.remove().await;
}
