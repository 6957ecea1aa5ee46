//! The harness of the end-to-end tests: the real binary, on a database of its own, spoken to over HTTP.
//!
//! Invariants: every server listens on a loopback port that the system chose; whatever a test makes goes away with it; waiting is
//! for a condition, and bounded. Must not know: what the tests are about.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a harness fails loudly")]

pub mod compare;
pub mod event_stream;
pub mod load;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod sender;
pub mod socket;

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use plimsoll_domain::clock::{Clock as _, SystemClock};
use sea_orm::{ConnectionTrait as _, Database as Connection};
use serde_json::{Value, json};

/// Secret of every test server.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(30);

/// A database of one test.
#[derive(Debug)]
pub enum Database {
    /// A SQLite file.
    Sqlite(tempfile::TempDir),
    /// A PostgreSQL database: server URL, name.
    Postgres(String, String),
}

impl Database {
    /// A new SQLite file.
    #[must_use]
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A new PostgreSQL database; none, and a line that says so, without `PLIMSOLL_TEST_POSTGRES_URL`.
    pub async fn postgres(test: &str) -> Option<Self> {
        let Ok(server) = std::env::var("PLIMSOLL_TEST_POSTGRES_URL") else {
            println!("skipped: {test} on PostgreSQL (PLIMSOLL_TEST_POSTGRES_URL is not set)");
            return None;
        };
        let name = format!("plimsoll_test_{}_{}", test.replace(|c: char| !c.is_ascii_alphanumeric(), "_"), std::process::id());
        let connection = Connection::connect(&server).await.expect("PostgreSQL");
        connection.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name}")).await.expect("no leftover");
        connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a database");
        Some(Self::Postgres(server, name))
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}?mode=rwc", folder.path().join("plimsoll.db").display()),
            Self::Postgres(server, name) => match server.rsplit_once('/') {
                Some((head, _)) => format!("{head}/{name}"),
                None => server.clone(),
            },
        }
    }

    /// Removes it.
    pub async fn remove(self) {
        if let Self::Postgres(server, name) = self {
            let connection = Connection::connect(&server).await.expect("PostgreSQL");
            connection.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.expect("dropped");
        }
    }
}

/// Runs a test against a server on a new SQLite file, then on a new PostgreSQL database where there is one.
pub async fn on_both(name: &str, test: impl AsyncFn(&Server)) {
    for database in [Some(Database::sqlite()), Database::postgres(name).await].into_iter().flatten() {
        let server = Server::start(&database);
        test(&server).await;
        server.stop();
        database.remove().await;
    }
}

/// As [`on_both`], then against a server on a new PostgreSQL database that tells of its commits through Redis, where there is one.
pub async fn on_both_buses(name: &str, test: impl AsyncFn(&Server)) {
    on_both(name, &test).await;
    let named = format!("{name}_redis");
    let (Some(database), Some(url)) = (Database::postgres(&named).await, redis::shared_url(name)) else { return };
    let server = Server::start_with(&database.url(), &[("PLIMSOLL_REDIS_URL", &url)]);
    server.metric_reaches("plimsoll_bus_connected", 1.0).await;
    test(&server).await;
    server.stop();
    database.remove().await;
}

/// The binary beside the test's own, built once if it is not there.
#[must_use]
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let folder = own.ancestors().nth(2).expect("target/PROFILE").to_owned();
    let binary = folder.join("plimsoll");
    if !binary.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "-p", "plimsoll"]).status().expect("cargo");
        assert!(built.success(), "the binary cannot be built");
    }
    binary
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Such as `http://127.0.0.1:41234`.
    pub url: String,
    http: reqwest::Client,
}

impl Server {
    /// Starts a server on this database.
    #[must_use]
    pub fn start(database: &Database) -> Self {
        Self::start_with(&database.url(), &[])
    }

    /// Starts a server on the database at this URL, with more environment variables.
    #[must_use]
    pub fn start_with(database_url: &str, variables: &[(&str, &str)]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child = Command::new(binary())
            .arg("serve")
            .env("PLIMSOLL_LISTEN", "127.0.0.1:0")
            .env("PLIMSOLL_DATABASE_URL", database_url)
            .env("PLIMSOLL_JWT_SECRET", SECRET)
            .env("PLIMSOLL_COLLECT", "off")
            .env("PLIMSOLL_LOG", "info,sqlx=warn")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the server starts");
        let stderr = child.stderr.take().expect("its log");
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some((_, tail)) = line.split_once("listening address=") {
                    let _ = found.send(tail.split_whitespace().next().unwrap_or_default().to_owned());
                }
            }
        });
        let address = address.recv_timeout(START_MAX).expect("the server tells where it listens");
        Self { child, url: format!("http://{address}"), http: reqwest::Client::new() }
    }

    /// Id of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the server without a warning.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Asks the server to stop and waits until it has.
    pub fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        assert!(asked.success());
        let until = Instant::now() + START_MAX;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("its status") {
                assert!(status.success(), "the server stopped with {status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not stop");
    }

    /// Sends lines of events; the answer, or none when the connection broke.
    pub async fn ingest(&self, body: String) -> Option<(u16, Value)> {
        let request = self.http.post(format!("{}/ingest", self.url)).bearer_auth(token(&["INGEST"]));
        let response = request.header("content-type", "application/x-ndjson").body(body).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.json().await.ok()?))
    }

    /// Starts a server on this database with other limits than the default ones.
    #[must_use]
    pub fn start_with_limits(database: &Database, limits: &[(&str, u64)]) -> Self {
        let lines: Vec<String> = limits.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut file, format!("[limits]\n{}", lines.concat()).as_bytes()).expect("written");
        // It has been read by the time that the server listens.
        Self::start_with(&database.url(), &[("PLIMSOLL_CONFIG", &file.path().display().to_string())])
    }

    /// The value of a metric, its labels as the page writes them; 0 where it does not stand there.
    pub async fn metric(&self, name: &str) -> f64 {
        let page = self.http.get(format!("{}/metrics", self.url)).send().await.expect("an answer").text().await.expect("a text");
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until a metric is at least this much.
    pub async fn metric_reaches(&self, name: &str, value: f64) {
        let until = Instant::now() + START_MAX;
        while self.metric(name).await < value {
            assert!(Instant::now() < until, "{name} does not reach {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a metric is at most this much.
    pub async fn metric_reaches_at_most(&self, name: &str, value: f64) {
        let until = Instant::now() + START_MAX;
        while self.metric(name).await > value {
            assert!(Instant::now() < until, "{name} stays above {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks a question as somebody with these roles; status and answer.
    pub async fn ask(&self, roles: &[&str], query: &str, variables: Value) -> (u16, Value) {
        let mut request = self.http.post(format!("{}/graphql", self.url)).json(&json!({ "query": query, "variables": variables }));
        if !roles.is_empty() {
            request = request.bearer_auth(token(roles));
        }
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The instant so many microseconds from now, as RFC 3339.
#[must_use]
pub fn in_us(us: i64) -> String {
    plimsoll_entity::value::time::Instant(SystemClock.now().0 + us).to_rfc3339()
}

/// The present second since 1970.
#[must_use]
pub fn now_s() -> i64 {
    SystemClock.now().0.div_euclid(plimsoll_entity::value::time::SECOND_US)
}

/// A token with these roles.
#[must_use]
pub fn token(roles: &[&str]) -> String {
    // Far in the future: a test asks for no clock.
    token_until(roles, 4_102_444_800)
}

/// A token with these roles that expires at this second since 1970.
#[must_use]
pub fn token_until(roles: &[&str], expires_s: i64) -> String {
    let claims = json!({ "sub": "test", "roles": roles, "exp": expires_s });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
}
