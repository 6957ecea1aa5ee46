//! Twenty views on thousands of connections, one payload of each a second: how late, how much memory, how much of a core, beside a bare
//! broadcast of the same bytes to as many sockets.
//!
//! Lateness counts from before the event is sent, so that its commit is in it. Each connection holds four subscriptions.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::process::{cpu_seconds, memory_mib};
use plimsoll_tests::socket::{PROTOCOL, Socket};
use plimsoll_tests::{Database, Server, in_us, token};
use serde_json::{Value, json};

use crate::bare::Bare;
use crate::listeners::{Heard, Manners, open};

/// Distinct views.
const VIEWS: usize = 20;
/// Subscriptions of one connection.
const VIEWS_EACH: usize = 4;
/// Executions that are there before.
const EXECUTIONS: usize = 240;
/// Models that they are of: rows of a payload.
const MODELS: usize = 12;
/// Time in which whatever goes on after so many connections have been opened has come to rest.
const REST: Duration = Duration::from_secs(5);
/// Goals: lateness in milliseconds, memory of a connection in KiB, CPU of a message against the bare broadcast.
const GOALS: (usize, f64, f64) = (500, 16.0, 2.0);

const QUERY: &str = "subscription($s: Int!) { executionMetrics(trailingSeconds: $s, intervalMs: 250, by: [MODEL]) { total { executions }
    rows { key { model { id name } } stats { executions successRatio duration { meanMs p50Ms p95Ms } } } } }";

fn line(place: usize) -> String {
    let took_us = 500_000 + (place as i64 * 7_919) % 3_000_000;
    json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "model": format!("model-{}", place % MODELS), "modelVersion": "1", "user": "u",
        "startedAt": in_us(-1 - took_us), "finishedAt": in_us(-1), "outcome": "SUCCEEDED" })
    .to_string()
}

fn views(number: usize) -> impl Iterator<Item = usize> {
    (0..VIEWS_EACH).map(move |place| (number * VIEWS_EACH + place) % VIEWS)
}

fn subscribe(view: usize) -> Value {
    let variables = json!({ "s": 3_600 + view });
    json!({ "id": view.to_string(), "type": "subscribe", "payload": { "query": QUERY, "variables": variables } })
}

#[derive(Clone)]
struct Dashboards {
    address: Arc<str>,
    init: Arc<str>,
}

impl Manners for Dashboards {
    const PROTOCOL: Option<&'static str> = Some(PROTOCOL);

    fn address(&self) -> &str {
        &self.address
    }

    fn greetings(&self, number: usize) -> Vec<String> {
        std::iter::once(self.init.to_string()).chain(views(number).map(|view| subscribe(view).to_string())).collect()
    }

    fn answers(&self) -> usize {
        // The acknowledgement and the newest payload of each view.
        1 + VIEWS_EACH
    }

    fn mark(&self, message: &str) -> Option<usize> {
        let (_, tail) = message.split_once(r#""total":{"executions":"#)?;
        let digits = tail.split(|character: char| !character.is_ascii_digit()).next()?;
        digits.parse::<usize>().ok()?.checked_sub(EXECUTIONS + 1)
    }
}

#[derive(Clone)]
struct Plain(Arc<str>);

impl Manners for Plain {
    const PROTOCOL: Option<&'static str> = None;

    fn address(&self) -> &str {
        &self.0
    }

    fn greetings(&self, number: usize) -> Vec<String> {
        vec![views(number).map(|view| view.to_string()).collect::<Vec<_>>().join(" ")]
    }

    fn answers(&self) -> usize {
        VIEWS_EACH
    }

    fn mark(&self, _: &str) -> Option<usize> {
        None
    }
}

/// What a server costs.
struct Cost {
    connection_kib: f64,
    message_us: f64,
    messages: u64,
}

/// Opens the connections and lets `beat` make a payload of each view a second.
async fn cost<M: Manners>(pid: u32, connections: usize, seconds: u64, manners: M, heard: Arc<Heard>, beat: impl AsyncFn(usize)) -> Cost {
    let before_mib = memory_mib(pid).1;
    let listening = open(connections, manners, Arc::clone(&heard)).await;
    let mut every = tokio::time::interval(Duration::from_secs(1));
    for place in 0..REST.as_secs() as usize {
        every.tick().await;
        beat(place).await;
    }
    every.tick().await;
    let (messages, cpu) = (heard.messages.load(Ordering::Relaxed), cpu_seconds(pid));
    for place in REST.as_secs() as usize..(REST.as_secs() + seconds) as usize {
        beat(place).await;
        every.tick().await;
    }
    let (messages, cpu) = (heard.messages.load(Ordering::Relaxed) - messages, cpu_seconds(pid) - cpu);
    let connection_kib = (memory_mib(pid).1 - before_mib) * 1_024.0 / connections as f64;
    drop(listening);
    Cost { connection_kib, message_us: cpu * 1e6 / messages as f64, messages }
}

async fn ingest(server: &Server, body: String) {
    let (status, answer) = server.ingest(body).await.expect("an answer");
    assert!(status == 200 && answer["rejectedCount"] == 0, "{answer}");
}

/// One message of each view, as the server sends it.
async fn messages(server: &Server) -> Vec<String> {
    let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
    let mut messages = Vec::new();
    for view in 0..VIEWS {
        socket.say(subscribe(view)).await;
        messages.push(socket.message().await.to_string());
        socket.say(json!({ "id": view.to_string(), "type": "complete" })).await;
    }
    messages
}

/// Measures, and prints beside the goals.
pub async fn measure(connections: usize, seconds: u64) {
    let database = Database::sqlite();
    let server = Server::start(&database);
    let mut body = String::new();
    for place in 0..EXECUTIONS {
        writeln!(body, "{}", line(place)).unwrap();
    }
    ingest(&server, body).await;
    let same = messages(&server).await;
    let size_bytes = same.iter().map(String::len).sum::<usize>() / same.len();

    let bare = Bare::start(&same).await;
    let plain = Plain(bare.address.as_str().into());
    let bare_cost = cost(bare.pid(), connections, seconds, plain, Arc::new(Heard::new(0)), async |_| {}).await;
    drop(bare);

    let init = json!({ "type": "connection_init", "payload": { "token": token(&["PIPELINE_TD"]) } }).to_string();
    let dashboards = Dashboards { address: server.url.strip_prefix("http://").unwrap().into(), init: init.into() };
    let heard = Arc::new(Heard::new((REST.as_secs() + seconds) as usize));
    let began = Instant::now();
    let shared = cost(server.pid(), connections, seconds, dashboards, Arc::clone(&heard), async |place| {
        heard.mark(place);
        ingest(&server, line(place)).await;
    })
    .await;
    let (marked, p99_ms) = heard.late_ms(0.99);
    let (_, p50_ms) = heard.late_ms(0.5);
    let ratio = shared.message_us / bare_cost.message_us;
    println!(
        "fan-out, {connections} connections with {VIEWS_EACH} of {VIEWS} views, messages of {size_bytes} bytes, {:.0}/s, {:.0} s in all:",
        shared.messages as f64 / seconds as f64,
        began.elapsed().as_secs_f64()
    );
    println!("  from before the commit to arrival p50 {p50_ms} ms, p99 {p99_ms} ms of {marked} messages (wanted {} ms)", GOALS.0);
    println!(
        "  memory {:.1} KiB a connection (wanted {:.0}), bare {:.1} KiB: ratio {:.2}",
        shared.connection_kib,
        GOALS.1,
        bare_cost.connection_kib,
        shared.connection_kib / bare_cost.connection_kib
    );
    println!(
        "  CPU {:.1} us a message, bare {:.1} us ({:.0}/s): ratio {ratio:.2} (wanted {:.1})",
        shared.message_us,
        bare_cost.message_us,
        bare_cost.messages as f64 / seconds as f64,
        GOALS.2
    );
    server.stop();
    database.remove().await;
}
