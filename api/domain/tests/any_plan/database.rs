//! A database for one case.

use std::sync::Arc;

use plimsoll_domain::clock::Clock;
use plimsoll_domain::store::Store;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

/// Where the PostgreSQL server is on which databases may be made.
const VARIABLE: &str = "PLIMSOLL_TEST_POSTGRES_URL";

pub enum Database {
    Sqlite(TempDir),
    Postgres { server: String, name: String },
}

impl Database {
    /// Always there; the test and the seed are those of [`Database::postgres`].
    pub async fn sqlite(_test: &str, _seed: u64) -> Option<Self> {
        Some(Self::Sqlite(tempfile::tempdir().unwrap()))
    }

    /// An own database; none when no server is known.
    pub async fn postgres(test: &str, seed: u64) -> Option<Self> {
        let Ok(server) = std::env::var(VARIABLE) else {
            println!("skipped: {test} on PostgreSQL ({VARIABLE} is not set)");
            return None;
        };
        let name = format!("plimsoll_any_plan_{}_{seed}", std::process::id());
        execute(&server, format!("CREATE DATABASE {name}")).await;
        Some(Self::Postgres { server, name })
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}?mode=rwc", folder.path().join("plimsoll.db").display()),
            Self::Postgres { server, name } => {
                let options: sqlx::postgres::PgConnectOptions = server.parse().unwrap();
                options.database(name).to_url_lossy().to_string()
            }
        }
    }

    pub async fn open(&self, clock: Arc<dyn Clock>) -> Store {
        let store = Store::open(&self.url(), clock).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// Removes a database of a server; a folder goes with its owner.
    pub async fn remove(&self) {
        if let Self::Postgres { server, name } = self {
            execute(server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

async fn execute(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}
