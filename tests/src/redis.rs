//! A Redis server of one test, which may die and come back.
//!
//! Invariants: it keeps nothing on disk, listens on a loopback port of its own, and goes away with the test. Must not know: what is said
//! through it.
#![allow(clippy::expect_used, clippy::panic, reason = "a harness fails loudly")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(20);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Where the Redis is that tests share; none, and a line that says so, without `PLIMSOLL_TEST_REDIS_URL`.
#[must_use]
pub fn shared_url(test: &str) -> Option<String> {
    let url = std::env::var("PLIMSOLL_TEST_REDIS_URL").ok();
    if url.is_none() {
        println!("skipped: {test} on Redis (PLIMSOLL_TEST_REDIS_URL is not set)");
    }
    url
}

/// A running server.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server on a port that was free a moment ago.
    #[must_use]
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let mut server = Self { port, child: None };
        server.revive();
        server
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it without a warning; it forgets everything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    /// Starts it again on the same port.
    pub fn revive(&mut self) {
        let port = self.port.to_string();
        let arguments = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--daemonize", "no"];
        let mut child = Command::new("redis-server").args(arguments).stdout(Stdio::null()).spawn().expect("redis-server starts");
        let until = Instant::now() + START_MAX;
        while !self.answers() {
            assert!(child.try_wait().expect("its status").is_none(), "redis-server ended");
            assert!(Instant::now() < until, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child = Some(child);
    }

    fn answers(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        ask().is_ok_and(|answer| &answer == b"+PONG")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
