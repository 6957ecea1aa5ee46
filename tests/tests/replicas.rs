//! Two real binaries on one PostgreSQL, with and without a Redis between them: what is committed at one is heard at both, whatever dies
//! in the middle, and each client gets each change once.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use plimsoll_domain::clock::{IdSource as _, TimeOrderedIds};
use plimsoll_tests::event_stream::EventStream;
use plimsoll_tests::proxy::{Line, Proxy};
use plimsoll_tests::redis::{RedisServer, shared_url};
use plimsoll_tests::socket::{Heard, Socket};
use plimsoll_tests::{Database, Server, in_us, token};
use sea_orm::{ConnectionTrait as _, Database as Connection, Statement};
use serde_json::{Value, json};

const JOBS: &str = "subscription($after: String) { jobUpdates(after: $after) { cursor node { key state } } }";
const METRICS: &str = "subscription { executionMetrics(trailingSeconds: 3600, intervalMs: 250) { total { executions } } }";
const NAME_PREFIX: &str = "job ";
const CONNECTED: &str = "plimsoll_bus_connected";
const WAKES: &str = "plimsoll_live_wakes_total{by=\"bus\"}";
/// How long something may take that is not measured.
const PATIENCE: Duration = Duration::from_secs(60);
/// A second in microseconds.
const S: i64 = 1_000_000;

fn job(job: &str) -> String {
    json!({ "type": "job", "id": TimeOrderedIds.next_id(), "job": job, "at": in_us(-60 * S), "state": "QUEUED", "model": "sdxl",
        "modelVersion": "1.0" })
    .to_string()
}

fn execution() -> String {
    json!({ "type": "execution", "id": TimeOrderedIds.next_id(), "model": "sdxl", "modelVersion": "1.0", "startedAt": in_us(-S),
        "finishedAt": in_us(-1), "outcome": "SUCCEEDED" })
    .to_string()
}

/// The name of a job that is counted; others only show that a subscription has begun.
fn name(number: usize) -> String {
    format!("{NAME_PREFIX}{number:04}")
}

/// Sends jobs one after the other, to each of these servers in turn, again and again until one says that it has them.
async fn send(urls: Vec<String>, numbers: std::ops::Range<usize>) {
    let client = reqwest::Client::new();
    for number in numbers {
        let (line, until) = (job(&name(number)), Instant::now() + PATIENCE);
        for url in urls.iter().cycle().skip(number) {
            let request = client.post(format!("{url}/ingest")).bearer_auth(token(&["INGEST"]));
            let answer = request.header("content-type", "application/x-ndjson").body(line.clone()).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                break;
            }
            assert!(Instant::now() < until, "nobody takes job {number}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A client that goes on behind what it was told, at whichever server it is sent to.
struct Client {
    socket: Socket,
    after: String,
    told: Vec<String>,
}

impl Client {
    /// Follows from the present on.
    async fn new(server: &Server) -> Self {
        let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
        socket.subscribe("j", JOBS, json!({})).await;
        // It has begun by the time that it tells of one.
        let own = TimeOrderedIds.next_id();
        for probe in 0.. {
            server.ingest(job(&format!("probe {probe} {own}"))).await.unwrap();
            if socket.hear_within(Duration::from_secs(2)).await.is_some() {
                break;
            }
        }
        let begin = format!("begin {own}");
        server.ingest(job(&begin)).await.unwrap();
        let mut client = Self { socket, after: String::new(), told: Vec::new() };
        assert!(client.read_until(&begin).await);
        client
    }

    async fn go_on(&mut self, server: &Server) {
        self.socket = Socket::ready(server, &["PIPELINE_TD"]).await;
        self.socket.subscribe("j", JOBS, json!({ "after": self.after })).await;
    }

    /// Reads up to a job; false when the server ended it before, in whatever way.
    async fn read_until(&mut self, last: &str) -> bool {
        loop {
            // A server bears a database that is away for a while before it ends a stream.
            let heard = self.socket.hear_within(PATIENCE).await.expect("something arrives in time");
            let Heard::Message(message) = heard else { return false };
            if message["type"] != "next" || !message["payload"]["errors"].is_null() {
                return false;
            }
            let edge = &message["payload"]["data"]["jobUpdates"];
            self.after = edge["cursor"].as_str().unwrap().to_owned();
            let told = edge["node"]["key"].as_str().unwrap();
            if told.starts_with(NAME_PREFIX) {
                self.told.push(told.to_owned());
            }
            if told == last {
                return true;
            }
        }
    }

    /// Each job once, in order.
    fn assert_exact(&self, count: usize) {
        let expected: Vec<String> = (0..count).map(name).collect();
        assert_eq!(self.told, expected);
    }
}

/// Two servers on one database.
struct Replicas {
    here: Server,
    there: Server,
    redis_url: Option<String>,
}

impl Replicas {
    async fn start(database_url: &str, redis_url: Option<String>) -> Self {
        let variables: Vec<(&str, &str)> = redis_url.iter().map(|url| ("PLIMSOLL_REDIS_URL", url.as_str())).collect();
        let [here, there] = [(); 2].map(|()| Server::start_with(database_url, &variables));
        let replicas = Self { here, there, redis_url };
        replicas.are_connected().await;
        replicas
    }

    async fn are_connected(&self) {
        if self.redis_url.is_some() {
            self.here.metric_reaches(CONNECTED, 1.0).await;
            self.there.metric_reaches(CONNECTED, 1.0).await;
        }
    }

    fn urls(&self) -> Vec<String> {
        vec![self.here.url.clone(), self.there.url.clone()]
    }

    fn stop(self) {
        self.here.stop();
        self.there.stop();
    }
}

/// Runs a case without a bus between the replicas, and with the Redis that tests share; each on a database of its own.
async fn on_both_buses(test: &str, case: impl AsyncFn(&Database, Option<String>)) {
    let Some(database) = Database::postgres(test).await else { return };
    case(&database, None).await;
    database.remove().await;
    if let Some(url) = shared_url(test) {
        let database = Database::postgres(&format!("{test}_redis")).await.unwrap();
        case(&database, Some(url)).await;
        database.remove().await;
    }
}

async fn readiness(server: &Server) -> (u16, Value) {
    let response = reqwest::get(format!("{}/readyz", server.url)).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Waits until the readiness page says this of the bus, and gives the answer.
async fn readiness_with_bus(server: &Server, ok: bool) -> (u16, Value) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (status, answer) = readiness(server).await;
        if answer["components"].as_array().unwrap().iter().any(|component| component["name"] == "bus" && component["ok"] == ok) {
            return (status, answer);
        }
        assert!(Instant::now() < until, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn fleet_bus(server: &Server) -> Option<Value> {
    let (_, answer) = server.ask(&["ADMIN"], "{ fleetHealth { components { name healthy } } }", json!({})).await;
    let components = answer["data"]["fleetHealth"]["components"].as_array().expect("components").clone();
    components.into_iter().find(|component| component["name"] == "bus").map(|component| component["healthy"].clone())
}

/// The time for ten commits, each heard of at both before the next is made: looking once a second alone takes about ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_at_either_wakes_both_at_once_on_redis() {
    const NAME: &str = "replicas_wake";
    let (Some(database), Some(url)) = (Database::postgres(NAME).await, shared_url(NAME)) else { return };
    let replicas = Replicas::start(&database.url(), Some(url)).await;
    let mut here = Client::new(&replicas.here).await;
    let mut there = Client::new(&replicas.there).await;
    let before = [replicas.here.metric(WAKES).await, replicas.there.metric(WAKES).await];
    let began = Instant::now();
    for number in 0..10 {
        // To each in turn.
        send(replicas.urls(), number..number + 1).await;
        assert!(here.read_until(&name(number)).await && there.read_until(&name(number)).await);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    here.assert_exact(10);
    there.assert_exact(10);
    for (server, before) in [&replicas.here, &replicas.there].into_iter().zip(before) {
        assert!(server.metric(WAKES).await - before >= 8.0, "commits were heard of by the bus");
    }
    assert_eq!(fleet_bus(&replicas.here).await, Some(json!(true)));
    replicas.stop();
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_reach_sockets_and_event_streams_of_both() {
    on_both_buses("replicas_figures", async |database, redis_url| {
        let replicas = Replicas::start(&database.url(), redis_url).await;
        let mut sockets = Vec::new();
        let mut streams = Vec::new();
        for server in [&replicas.here, &replicas.there] {
            let mut socket = Socket::ready(server, &["PIPELINE_TD"]).await;
            socket.subscribe("m", METRICS, json!({})).await;
            assert_eq!(socket.data("m").await["executionMetrics"]["total"]["executions"], 0);
            sockets.push(socket);
            let mut stream = EventStream::open(server, &["PIPELINE_TD"], METRICS, json!({})).await;
            assert_eq!(stream.data().await["executionMetrics"]["total"]["executions"], 0);
            streams.push(stream);
        }
        for (count, server) in (1..).zip([&replicas.here, &replicas.there, &replicas.here]) {
            server.ingest(execution()).await.unwrap();
            for socket in &mut sockets {
                assert_eq!(socket.data("m").await["executionMetrics"]["total"]["executions"], count);
            }
            for stream in &mut streams {
                assert_eq!(stream.data().await["executionMetrics"]["total"]["executions"], count);
            }
        }
        drop((sockets, streams));
        replicas.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_die_and_come_back_in_the_middle_of_a_stream() {
    const NAME: &str = "replicas_redis_dies";
    let (Some(database), Some(_)) = (Database::postgres(NAME).await, shared_url(NAME)) else { return };
    let mut redis = RedisServer::start();
    let replicas = Replicas::start(&database.url(), Some(redis.url())).await;
    let mut client = Client::new(&replicas.here).await;
    let there = vec![replicas.there.url.clone()];
    send(there.clone(), 0..20).await;
    assert!(client.read_until(&name(19)).await);
    let sending = tokio::spawn(send(there.clone(), 20..80));
    assert!(client.read_until(&name(30)).await);
    redis.kill();
    sending.await.unwrap();
    assert!(client.read_until(&name(79)).await);
    for server in [&replicas.here, &replicas.there] {
        let (status, answer) = readiness_with_bus(server, false).await;
        assert_eq!((status, &answer["status"]), (200, &json!("degraded")), "whoever serves stays: {answer}");
        assert_eq!(fleet_bus(server).await, Some(json!(false)));
    }
    // Nobody has told of it.
    send(there.clone(), 80..90).await;
    assert!(client.read_until(&name(89)).await);
    assert!(replicas.there.metric("plimsoll_bus_drops_total").await > 0.0);

    redis.revive();
    replicas.are_connected().await;
    assert_eq!(replicas.here.metric("plimsoll_bus_reconnects_total").await, 1.0);
    let (status, answer) = readiness_with_bus(&replicas.here, true).await;
    assert_eq!((status, &answer["status"]), (200, &json!("ok")), "{answer}");
    let before = replicas.here.metric(WAKES).await;
    for number in 90..100 {
        send(there.clone(), number..number + 1).await;
        assert!(client.read_until(&name(number)).await);
    }
    assert!(replicas.here.metric(WAKES).await - before >= 5.0, "it is subscribed again");
    client.assert_exact(100);
    replicas.stop();
    database.remove().await;
}

/// A connection that stands but says nothing more, as behind a firewall that forgot it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_says_nothing_more_is_noticed_and_holds_nobody_up() {
    const NAME: &str = "replicas_redis_silent";
    let (Some(database), Some(url)) = (Database::postgres(NAME).await, shared_url(NAME)) else { return };
    let target = url.rsplit_once("//").expect("a URL").1.trim_end_matches('/').to_owned();
    let proxy = Proxy::start(target).await;
    let replicas = Replicas::start(&database.url(), Some(format!("redis://127.0.0.1:{}", proxy.port))).await;
    let mut client = Client::new(&replicas.here).await;
    proxy.set(Line::Held);
    send(vec![replicas.there.url.clone()], 0..10).await;
    assert!(client.read_until(&name(9)).await);
    assert_eq!(readiness_with_bus(&replicas.here, false).await.0, 200);
    readiness_with_bus(&replicas.there, false).await;
    proxy.set(Line::Open);
    replicas.are_connected().await;
    send(vec![replicas.there.url.clone()], 10..20).await;
    assert!(client.read_until(&name(19)).await);
    client.assert_exact(20);
    replicas.stop();
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_loses_and_doubles_nothing() {
    on_both_buses("replicas_killed", async |database, redis_url| {
        let replicas = Replicas::start(&database.url(), redis_url).await;
        let mut client = Client::new(&replicas.here).await;
        let sending = tokio::spawn(send(replicas.urls(), 0..150));
        assert!(client.read_until(&name(50)).await);
        replicas.here.kill();
        // What was on its way may still come.
        while !client.read_until(&name(149)).await {
            client.go_on(&replicas.there).await;
        }
        sending.await.unwrap();
        client.assert_exact(150);
        replicas.there.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_go_away_in_the_middle_of_a_stream() {
    on_both_buses("replicas_postgres_dies", async |database, redis_url| {
        let url = database.url();
        let (head, place) = url.split_once('@').expect("a URL with a user");
        let (target, name_of) = place.split_once('/').expect("a URL with a database");
        let proxy = Proxy::start(target.to_owned()).await;
        let replicas = Replicas::start(&format!("{head}@127.0.0.1:{}/{name_of}", proxy.port), redis_url).await;
        let mut client = Client::new(&replicas.here).await;
        let sending = tokio::spawn(send(replicas.urls(), 0..120));
        assert!(client.read_until(&name(40)).await);
        // As a server that is shut down: every connection ends, and none is to be had.
        proxy.set(Line::Cut);
        let until = Instant::now() + PATIENCE;
        while readiness(&replicas.here).await.0 != 503 || readiness(&replicas.there).await.0 != 503 {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        proxy.set(Line::Open);
        while !client.read_until(&name(119)).await {
            client.go_on(&replicas.here).await;
        }
        sending.await.unwrap();
        client.assert_exact(120);
        assert_eq!(readiness(&replicas.here).await.0, 200);
        drop(client);
        replicas.stop();
    })
    .await;
}

/// Who holds what: name of the work and number of its holder.
async fn leases(database: &Database) -> Vec<(String, i64)> {
    let connection = Connection::connect(database.url()).await.unwrap();
    let query = Statement::from_string(connection.get_database_backend(), "SELECT name, epoch FROM lease WHERE epoch > 0 ORDER BY name");
    let rows = connection.query_all_raw(query).await.unwrap();
    let leases = rows.iter().map(|row| (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap())).collect();
    connection.close().await.unwrap();
    leases
}

async fn leases_are(database: &Database, work: &[&str], epoch: i64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let leases = leases(database).await;
        if work.iter().all(|work| leases.iter().any(|(name, held)| name == work && *held == epoch)) {
            return;
        }
        assert!(Instant::now() < until, "{leases:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_of_a_killed_replica_goes_on_elsewhere_within_half_a_minute() {
    const WORK: [&str; 3] = ["alerts", "jobs", "timelines"];
    let Some(database) = Database::postgres("replicas_take_over").await else { return };
    let owner = Server::start(&database);
    owner.ingest(job("a")).await.unwrap();
    leases_are(&database, &WORK, 1).await;
    let rival = Server::start(&database);
    rival.ingest(job("b")).await.unwrap();
    owner.kill();
    let died = Instant::now();
    // There is work all the time.
    rival.ingest(job("c")).await.unwrap();
    leases_are(&database, &WORK, 2).await;
    let took = died.elapsed();
    // A lease of 20 s and a look of 5 s at most.
    assert!(took < Duration::from_secs(30), "{took:?}");
    rival.stop();
    database.remove().await;
}
