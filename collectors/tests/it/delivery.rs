//! Nothing is lost, the order is kept, what is dropped is counted: whatever the server does.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll_collectors::backlog::{Backlog, Batch};
use plimsoll_collectors::clock::{Clock, FixedClock, Moment, SystemClock};
use plimsoll_collectors::collector::{CollectError, Collector};
use plimsoll_collectors::interval::Interval;
use plimsoll_collectors::reading::{Reading, VmSample};
use plimsoll_collectors::runner::{RunError, Runner, Totals};
use plimsoll_collectors::sink::http::{HttpSink, Token};
use plimsoll_collectors::sink::{Receipt, Sink, SinkError};
use plimsoll_collectors::spool::{MAX_BYTES_MIN, Spool};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::server::{Answer, Server, free_addr, wait_for};

const SECOND: Duration = Duration::from_secs(1);

/// Makes samples that are told apart by a number.
struct Numbered {
    lines_per_tick: u32,
    next: Arc<AtomicU32>,
}

impl Collector for Numbered {
    fn name(&self) -> &'static str {
        "numbered"
    }

    fn collect(&mut self, now: Moment, readings: &mut Vec<Reading>) -> Result<(), CollectError> {
        for _ in 0..self.lines_per_tick {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            let mut sample = VmSample::empty(format!("vm-{number:06}-{}", "x".repeat(180)), now.at, 1.0);
            sample.network_errors = Some(number.into());
            readings.push(Reading::VmSample(sample));
        }
        Ok(())
    }
}

struct Panicking;

impl Collector for Panicking {
    fn name(&self) -> &'static str {
        "panicking"
    }

    fn collect(&mut self, _: Moment, _: &mut Vec<Reading>) -> Result<(), CollectError> {
        panic!("on purpose")
    }
}

/// A runner under test, its clock and the number of its next line.
struct Bench<S> {
    runner: Runner<S>,
    clock: Arc<FixedClock>,
    next: Arc<AtomicU32>,
}

impl<S: Sink> Bench<S> {
    fn new(lines_per_tick: u32, backlog: Backlog, sink: S) -> Self {
        let clock = Arc::new(FixedClock::at("2026-09-26T12:00:00Z".parse().unwrap()));
        let next = Arc::new(AtomicU32::new(0));
        let collectors: Vec<Box<dyn Collector>> = vec![Box::new(Numbered { lines_per_tick, next: next.clone() })];
        let runner = Runner::new(clock.clone(), Interval::from_seconds(1).unwrap(), collectors, backlog, sink);
        Self { runner, clock, next }
    }

    async fn tick(&mut self) -> Totals {
        self.clock.advance(SECOND);
        self.runner.run_once(self.clock.now()).await
    }

    fn lines_made(&self) -> u32 {
        self.next.load(Ordering::SeqCst)
    }
}

fn spool(dir: &Path) -> Backlog {
    Backlog::on_disk(Spool::open(dir, MAX_BYTES_MIN).unwrap())
}

fn http(url: &str, token: Token) -> HttpSink {
    rustls::crypto::ring::default_provider().install_default().ok();
    HttpSink::new(url, token).unwrap()
}

fn numbers(server: &Server) -> Vec<u32> {
    let number = |line: &String| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        u32::try_from(event["networkErrors"].as_u64().unwrap()).unwrap()
    };
    server.lines().iter().map(number).collect()
}

fn all(count: u32) -> Vec<u32> {
    (0..count).collect()
}

#[tokio::test]
async fn whatever_a_server_says_lines_are_kept_until_it_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    let addr = free_addr().await;
    let mut bench = Bench::new(2, spool(dir.path()), http(&format!("http://{addr}"), Token::Absent));
    assert_eq!(bench.tick().await, Totals { waiting_lines: 2, ..Totals::default() }, "nobody listens");

    let server = Server::start_at(addr).await;
    let refusals = [
        Answer::Status(503, None),
        Answer::Status(429, Some("1")),
        Answer::Status(500, None),
        Answer::Status(401, None),
        Answer::Status(403, None),
        Answer::Status(400, None),
        Answer::Status(404, None),
        Answer::Status(302, None),
        Answer::Page(200, "<html>Welcome to the hotel, please log in</html>"),
        Answer::Page(200, "{}"),
    ];
    server.script(refusals.clone());
    for attempt in 1..=refusals.len() {
        let totals = bench.tick().await;
        assert_eq!(totals, Totals { waiting_lines: 2 + 2 * attempt as u64, ..Totals::default() });
    }
    let totals = bench.tick().await;
    assert_eq!(totals, Totals { delivered_lines: u64::from(bench.lines_made()), ..Totals::default() });
    assert_eq!(numbers(&server), all(bench.lines_made()));
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_split() {
    let server = Server::start().await;
    server.limit_lines(3);
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(50, spool(dir.path()), http(&server.url(), Token::Absent));
    let totals = bench.tick().await;
    assert_eq!(totals, Totals { delivered_lines: 50, ..Totals::default() });
    assert_eq!(numbers(&server), all(50));
}

#[tokio::test]
async fn a_single_line_that_is_too_large_is_dropped_and_counted() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(3, spool(dir.path()), http(&server.url(), Token::Absent));
    // Three lines, one line, and then the other two.
    server.script([Answer::Status(413, None), Answer::Status(413, None)]);
    let totals = bench.tick().await;
    assert_eq!(totals, Totals { delivered_lines: 2, dropped_lines: 1, ..Totals::default() });
    assert_eq!(numbers(&server), [1, 2]);
}

#[tokio::test]
async fn rejected_lines_are_counted_and_not_sent_again() {
    let server = Server::start().await;
    let mut bench = Bench::new(3, Backlog::in_memory(), http(&server.url(), Token::Absent));
    server.script([Answer::RejectFirst]);
    let totals = bench.tick().await;
    assert_eq!(totals, Totals { delivered_lines: 2, rejected_lines: 1, ..Totals::default() });
    bench.tick().await;
    assert_eq!(numbers(&server), [1, 2, 3, 4, 5]);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_rotated_token_is_used_at_once() {
    let server = Server::start().await;
    server.require_token("second");
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    let mut bench = Bench::new(1, Backlog::in_memory(), http(&server.url(), Token::File(token_file.clone())));
    assert_eq!(bench.tick().await.waiting_lines, 1, "there is no token yet");
    assert_eq!(server.requests().len(), 0);
    std::fs::write(&token_file, "first\n").unwrap();
    assert_eq!(bench.tick().await.waiting_lines, 2);
    std::fs::write(&token_file, "second\n").unwrap();
    assert_eq!(bench.tick().await, Totals { delivered_lines: 3, ..Totals::default() });
    assert_eq!(numbers(&server), all(3));
}

#[tokio::test]
async fn a_long_outage_drops_the_oldest_and_says_how_many() {
    let dir = tempfile::tempdir().unwrap();
    let addr = free_addr().await;
    let mut bench = Bench::new(1_000, spool(dir.path()), http(&format!("http://{addr}"), Token::Absent));
    let mut totals = Totals::default();
    for _ in 0..10 {
        totals = bench.tick().await;
    }
    let made = bench.lines_made();
    assert!(totals.dropped_lines > 0, "{totals:?}");
    assert_eq!(totals.dropped_lines + totals.waiting_lines, u64::from(made));

    let server = Server::start_at(addr).await;
    let totals = bench.tick().await;
    let made = bench.lines_made();
    assert_eq!((totals.waiting_lines, totals.dropped_lines + totals.delivered_lines), (0, u64::from(made)));
    let expected: Vec<u32> = (u32::try_from(totals.dropped_lines).unwrap()..made).collect();
    assert_eq!(numbers(&server), expected);
}

#[tokio::test]
async fn the_loop_waits_as_long_as_the_server_asks_and_flushes_at_the_end() {
    let server = Server::start().await;
    server.script([Answer::Status(429, Some("2"))]);
    let dir = tempfile::tempdir().unwrap();
    let next = Arc::new(AtomicU32::new(0));
    let collectors: Vec<Box<dyn Collector>> = vec![Box::new(Numbered { lines_per_tick: 1, next: next.clone() })];
    let interval = Interval::from_seconds(1).unwrap();
    let sink = http(&server.url(), Token::Absent);
    let runner = Runner::new(Arc::new(SystemClock::start()), interval, collectors, spool(dir.path()), sink)
        .with_delays(Duration::from_millis(5), Duration::from_millis(20));
    let stop = CancellationToken::new();
    let running = tokio::spawn(runner.run(stop.clone()));

    wait_for("the second attempt", || server.requests().len() >= 2).await;
    let requests = server.requests();
    assert!(requests[1].0 - requests[0].0 >= Duration::from_secs(2), "{requests:?}");
    assert!(requests[1].1 >= 2, "ticks went on while the server wanted peace: {requests:?}");

    wait_for("delivery", || !server.lines().is_empty()).await;
    // The server fails once more and the loop is stopped: the last flush still brings everything there.
    server.script([Answer::Status(503, Some("300"))]);
    let attempts = server.requests().len();
    wait_for("another attempt", || server.requests().len() > attempts).await;
    stop.cancel();
    let totals = running.await.unwrap().unwrap();
    assert_eq!((totals.waiting_lines, totals.dropped_lines), (0, 0));
    assert_eq!(numbers(&server), all(next.load(Ordering::SeqCst)));
}

/// Takes a batch for every permit; stands for the ingest path of a server that has the collectors in its own process.
struct Gated {
    permits: Arc<Semaphore>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Sink for Gated {
    async fn send(&mut self, batch: &Batch) -> Result<Receipt, SinkError> {
        self.permits.acquire().await.unwrap().forget();
        self.lines.lock().unwrap().extend(batch.lines().map(str::to_owned));
        Ok(Receipt { accepted_lines: batch.line_count() as u64, ..Receipt::default() })
    }
}

#[tokio::test]
async fn a_slow_receiver_delays_no_sample() {
    let (permits, lines) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
    let next = Arc::new(AtomicU32::new(0));
    let collectors: Vec<Box<dyn Collector>> = vec![Box::new(Numbered { lines_per_tick: 1, next: next.clone() })];
    let sink = Gated { permits: permits.clone(), lines: lines.clone() };
    let interval = Interval::from_seconds(1).unwrap();
    let runner = Runner::new(Arc::new(SystemClock::start()), interval, collectors, Backlog::in_memory(), sink);
    let stop = CancellationToken::new();
    let running = tokio::spawn(runner.run(stop.clone()));
    wait_for("three ticks during the first delivery", || next.load(Ordering::SeqCst) >= 3).await;
    assert!(lines.lock().unwrap().is_empty());
    permits.add_permits(100);
    wait_for("all lines", || lines.lock().unwrap().len() >= 3).await;
    stop.cancel();
    assert_eq!(running.await.unwrap().unwrap().waiting_lines, 0);
}

#[tokio::test]
async fn a_collector_that_panics_ends_the_loop_with_an_error() {
    let (permits, lines) = (Arc::new(Semaphore::new(100)), Arc::new(Mutex::new(Vec::new())));
    let clock = Arc::new(SystemClock::start());
    let interval = Interval::from_seconds(1).unwrap();
    let sink = Gated { permits, lines };
    let runner = Runner::new(clock, interval, vec![Box::new(Panicking)], Backlog::in_memory(), sink);
    assert!(matches!(runner.run(CancellationToken::new()).await, Err(RunError::Panicked(_))));
}
