//! Notices against real receivers on loopback, at instants that the test sets: what arrives, what is tried again, what is never sent.
//!
//! 127.0.0.1 is allowed; 127.0.0.2 is not and stands for every address that is forbidden, so that nothing leaves the machine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use plimsoll::config::Secret;
use plimsoll::webhook::WebhookWorker;
use plimsoll::webhook::resolver::{Resolver, SystemResolver};
use plimsoll::webhook::sender::Sender;
use plimsoll::webhook::signature::signature;
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_domain::store::{Delivery, Store, WebhookQueue};
use plimsoll_domain::watch::webhook_url::{AllowList, host};
use plimsoll_entity::value::time::{Instant, SECOND_US};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// 2026-03-02T00:00:00Z.
const NOW: Instant = Instant(1_772_409_600_000_000);
/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: &str = "fedcba9876543210fedcba9876543210";

/// A request as it came in.
type Heard = (String, HeaderMap, String);

/// A status and headers.
type Reply = (u16, Vec<(&'static str, String)>);

/// A receiver that keeps what it is sent and answers with a status, once it may.
struct Receiver {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    status: Arc<Mutex<Reply>>,
    may_answer: Arc<Semaphore>,
}

impl Receiver {
    async fn at(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self {
            url,
            heard: Arc::default(),
            status: Arc::new(Mutex::new((200, Vec::new()))),
            may_answer: Arc::new(Semaphore::new(1_000)),
        };
        let (heard, status, may_answer) = (Arc::clone(&receiver.heard), Arc::clone(&receiver.status), Arc::clone(&receiver.may_answer));
        let answer = move |uri: Uri, headers: HeaderMap, body: String| {
            let (heard, status, may_answer) = (Arc::clone(&heard), Arc::clone(&status), Arc::clone(&may_answer));
            async move {
                heard.lock().unwrap().push((uri.to_string(), headers, body));
                may_answer.acquire().await.unwrap().forget();
                let (code, own) = status.lock().unwrap().clone();
                let headers: HeaderMap = own.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
                (StatusCode::from_u16(code).unwrap(), headers, "an answer that nobody reads")
            }
        };
        tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
        receiver
    }

    async fn new() -> Self {
        Self::at(Ipv4Addr::LOCALHOST).await
    }

    fn answers(&self, status: u16, headers: &[(&'static str, &str)]) {
        *self.status.lock().unwrap() = (status, headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn bodies(&self) -> Vec<String> {
        self.heard().into_iter().map(|(_, _, body)| body).collect()
    }

    fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    /// The same place under a name.
    fn named(&self, name: &str) -> String {
        self.url.replace("127.0.0.1", name).replace("127.0.0.2", name)
    }
}

/// Names as the test sets them.
struct Names(HashMap<String, Vec<IpAddr>>);

impl Resolver for Names {
    fn addresses(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        let found = self.0.get(&name).cloned().ok_or_else(|| std::io::Error::other("no such name"));
        async move { found }.boxed()
    }
}

struct World {
    folder: tempfile::TempDir,
    clock: Arc<FixedClock>,
    store: Store,
    worker: WebhookWorker,
}

async fn open(folder: &tempfile::TempDir, clock: &Arc<FixedClock>) -> Store {
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("plimsoll.db").display());
    let store = Store::open(&url, Arc::clone(clock) as _).await.unwrap();
    store.migrate().await.unwrap();
    store
}

fn worker(store: &Store, secret: Option<&str>, resolver: Arc<dyn Resolver>, holder: u128) -> WebhookWorker {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let allow = AllowList::try_from(vec!["127.0.0.1/32".to_owned()]).unwrap();
    let secret = secret.map(|secret| Secret::try_from(secret.to_owned()).unwrap());
    WebhookWorker::new(store.clone(), Sender::new(Arc::new(allow), secret, resolver), Uuid::from_u128(holder))
}

impl World {
    async fn with(secret: Option<&str>, resolver: Arc<dyn Resolver>) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::at(NOW)));
        let store = open(&folder, &clock).await;
        let worker = worker(&store, secret, resolver, 1);
        Self { folder, clock, store, worker }
    }

    async fn new() -> Self {
        Self::with(Some(SECRET), Arc::new(SystemResolver)).await
    }

    /// A notice with the number as its id, its alert's id and its body.
    async fn enqueue(&self, number: u128, url: &str) {
        self.enqueue_of(number, number, false, url).await;
    }

    async fn enqueue_of(&self, number: u128, alert: u128, is_end: bool, url: &str) {
        let (id, alert_id, at) = (Uuid::from_u128(number), Uuid::from_u128(alert), self.clock.now());
        let (host, url) = (host(url).unwrap(), url.to_owned());
        let delivery = Delivery { id, alert_id, is_end, created_at: at, due_at: at, attempts: 0, host, url, body: format!("[{number}]") };
        let mut tx = self.store.begin_write().await.unwrap();
        tx.webhook_enqueue(&[delivery]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Begins what is due, and waits for what becomes of it.
    async fn look(&mut self) -> usize {
        let begun = self.worker.run_once(self.clock.now()).await.unwrap();
        tokio::time::timeout(PATIENCE, self.worker.settle()).await.unwrap();
        begun
    }

    async fn queue(&self) -> WebhookQueue {
        self.store.snapshot().await.unwrap().webhook_queue().await.unwrap()
    }

    /// Seconds from now until the next notice is due.
    async fn pause_s(&self) -> i64 {
        (self.queue().await.oldest_due_at.unwrap().0 - self.clock.now().0) / SECOND_US
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn a_notice_arrives_once_with_a_signature_that_can_be_checked() {
    let (mut world, receiver) = (World::new().await, Receiver::new().await);
    world.enqueue(7, &format!("{}?room=1", receiver.url)).await;
    assert_eq!((world.look().await, world.look().await), (1, 0));
    let heard = receiver.heard();
    let [(uri, headers, body)] = heard.as_slice() else { unreachable!("{heard:?}") };
    assert_eq!((uri.as_str(), body.as_str(), &headers["content-type"]), ("/hook?room=1", "[7]", &"application/json".parse().unwrap()));
    let timestamp_s = NOW.0 / SECOND_US;
    assert_eq!(headers["x-plimsoll-timestamp"], timestamp_s.to_string());
    assert_eq!(headers["x-plimsoll-delivery"], Uuid::from_u128(7).to_string());
    assert_eq!(headers["x-plimsoll-signature"], signature(SECRET.as_bytes(), timestamp_s, body).unwrap());
    assert_eq!(world.queue().await, WebhookQueue::default());

    let mut unsigned = World::with(None, Arc::new(SystemResolver)).await;
    unsigned.enqueue(8, &receiver.url).await;
    assert_eq!(unsigned.look().await, 1);
    assert!(!receiver.heard()[1].1.contains_key("x-plimsoll-signature"));
}

#[tokio::test]
async fn a_slow_receiver_holds_nobody_up_but_itself() {
    let names = HashMap::from(["slow", "fast"].map(|name| (name.to_owned(), vec![Ipv4Addr::LOCALHOST.into()])));
    let mut world = World::with(None, Arc::new(Names(names))).await;
    let (slow, fast) = (Receiver::new().await, Receiver::new().await);
    slow.may_answer.forget_permits(1_000);
    for number in [1, 2] {
        world.enqueue(number, &slow.named("slow")).await;
    }
    assert_eq!(world.worker.run_once(NOW).await.unwrap(), 1, "one at a time for a host");
    until(|| slow.count() == 1).await;
    for number in [3, 4] {
        world.enqueue(number, &fast.named("fast")).await;
        assert_eq!(world.worker.run_once(NOW).await.unwrap(), 1);
        tokio::time::timeout(PATIENCE, world.worker.ended()).await.unwrap();
    }
    assert_eq!((fast.bodies(), slow.count()), (vec!["[3]".to_owned(), "[4]".to_owned()], 1));
    slow.may_answer.add_permits(2);
    assert_eq!((world.look().await, world.look().await), (0, 1));
    assert_eq!((slow.bodies(), world.queue().await.length), (vec!["[1]".to_owned(), "[2]".to_owned()], 0));
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_left_in_time() {
    let (mut world, receiver) = (World::new().await, Receiver::new().await);
    receiver.may_answer.forget_permits(1_000);
    world.enqueue(1, &receiver.url).await;
    assert_eq!(world.look().await, 1);
    assert_eq!((receiver.count(), world.queue().await.length, world.pause_s().await), (1, 1, 5));
}

#[tokio::test]
async fn a_dead_receiver_is_tried_again_with_longer_pauses_and_given_up() {
    let mut world = World::new().await;
    // A port that nobody listens on any more.
    let url = format!("http://{}/", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    world.enqueue(1, &url).await;
    let mut pauses = Vec::new();
    while world.queue().await.length > 0 {
        assert_eq!(world.look().await, 1);
        assert_eq!(world.look().await, 0, "nothing before it is due");
        if world.queue().await.length > 0 {
            pauses.push(world.pause_s().await);
            world.clock.advance_us((pauses.last().unwrap() + 1) * SECOND_US);
        }
    }
    assert_eq!(pauses.len(), 9, "{pauses:?}");
    assert!(pauses[0] == 5 && pauses.is_sorted() && pauses[8] > 1_000, "{pauses:?}");
}

#[tokio::test]
async fn what_can_pass_is_tried_again_and_what_cannot_is_given_up() {
    let (mut world, receiver) = (World::new().await, Receiver::new().await);
    receiver.answers(503, &[("retry-after", "60")]);
    world.enqueue(1, &receiver.url).await;
    world.look().await;
    assert_eq!((world.queue().await.length, world.pause_s().await), (1, 60));
    world.clock.advance_us(60 * SECOND_US);
    receiver.answers(204, &[]);
    world.look().await;
    assert_eq!((receiver.count(), world.queue().await.length), (2, 0));
    receiver.answers(404, &[]);
    world.enqueue(2, &receiver.url).await;
    world.look().await;
    assert_eq!((receiver.count(), world.queue().await.length), (3, 0));
}

#[tokio::test]
async fn an_end_never_arrives_before_its_beginning() {
    let (mut world, receiver) = (World::new().await, Receiver::new().await);
    receiver.answers(500, &[]);
    world.enqueue_of(9, 1, false, &receiver.url).await;
    world.look().await;
    receiver.answers(200, &[]);
    world.clock.advance_us(SECOND_US);
    // Neither ids nor clocks say anything about the order.
    world.enqueue_of(2, 1, true, &receiver.url).await;
    world.enqueue_of(5, 5, false, &receiver.url).await;
    assert_eq!((world.look().await, world.look().await), (1, 0), "another alert's goes, this one's waits");
    world.clock.advance_us(5 * SECOND_US);
    assert_eq!((world.look().await, world.look().await), (1, 1));
    assert_eq!(receiver.bodies(), ["[9]", "[5]", "[9]", "[2]"]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (mut world, receiver) = (World::new().await, Receiver::new().await);
    let forbidden = Receiver::at(Ipv4Addr::new(127, 0, 0, 2)).await;
    let allowed = Receiver::new().await;
    for (number, (status, to)) in (1..).zip([(302, &forbidden), (307, &forbidden), (308, &forbidden), (307, &allowed)]) {
        receiver.answers(status, &[("location", &to.url)]);
        world.enqueue(number, &receiver.url).await;
        assert_eq!(world.look().await, 1);
    }
    assert_eq!((receiver.count(), forbidden.count(), allowed.count(), world.queue().await.length), (4, 0, 0, 0));
}

#[tokio::test]
async fn a_forbidden_address_gets_no_request() {
    let forbidden = Receiver::at(Ipv4Addr::new(127, 0, 0, 2)).await;
    let bad = IpAddr::from([127, 0, 0, 2]);
    let good = IpAddr::from(Ipv4Addr::LOCALHOST);
    let names =
        [("bad", vec![bad]), ("both", vec![good, bad]), ("turned", vec![bad, good]), ("mapped", vec!["::ffff:127.0.0.2".parse().unwrap()])];
    let names = names.map(|(name, addresses)| (name.to_owned(), addresses));
    let mut world = World::with(None, Arc::new(Names(HashMap::from(names)))).await;
    let port = forbidden.url.rsplit_once(':').unwrap().1.to_owned();
    // Nobody listens there on 127.0.0.1, so that trying all addresses would end at the forbidden one.
    let names = ["bad", "both", "turned", "mapped"].map(|name| forbidden.named(name));
    let literals = ["127.0.0.2", "127.2", "0x7f000002", "[::ffff:127.0.0.2]"].map(|address| format!("http://{address}:{port}"));
    for (number, url) in (1..).zip(names.iter().chain(&literals)) {
        world.enqueue(number, url).await;
        assert_eq!(world.look().await, 1, "{url}");
        assert_eq!(world.queue().await.length, 0, "{url} is given up");
    }
    world.enqueue(20, &forbidden.named("unknown")).await;
    world.look().await;
    assert_eq!((world.queue().await.length, forbidden.count()), (1, 0), "a name that is not found may be found later");
    // The same receiver answers whoever asks it.
    assert!(reqwest::get(&forbidden.url).await.unwrap().status().is_success());
    assert_eq!(forbidden.count(), 1);
}

#[tokio::test]
async fn a_notice_survives_the_end_of_the_process_and_one_process_sends() {
    let receiver = Receiver::new().await;
    let World { folder, clock, store, worker: mut first } = {
        let mut world = World::new().await;
        receiver.answers(500, &[]);
        world.enqueue(1, &receiver.url).await;
        world.look().await;
        world
    };
    receiver.answers(200, &[]);
    clock.advance_us(10 * SECOND_US);
    let mut second = worker(&store, None, Arc::new(SystemResolver), 2);
    assert_eq!(second.run_once(clock.now()).await.unwrap(), 0, "the first one holds the right");
    first.release().await.unwrap();
    drop((first, second));
    store.close().await;
    drop(store);
    let store = open(&folder, &clock).await;
    let mut next = worker(&store, None, Arc::new(SystemResolver), 3);
    assert_eq!(next.run_once(clock.now()).await.unwrap(), 1);
    tokio::time::timeout(PATIENCE, next.settle()).await.unwrap();
    assert_eq!(receiver.bodies(), ["[1]", "[1]"]);
}
