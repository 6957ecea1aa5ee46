//! Thousands of WebSockets that count what they hear, as cheaply as they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _, stream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Sockets that are opened at the same time.
const OPENING: usize = 64;
/// Lateness is counted in milliseconds up to this many.
const LATE_MS_MAX: usize = 10_000;

/// What all have heard.
#[derive(Debug)]
pub struct Heard {
    /// Messages.
    pub messages: AtomicU64,
    /// Messages about a mark, by how many milliseconds after it they came.
    late_ms: Vec<AtomicU64>,
    began: Instant,
    /// When each mark was made, in microseconds since the beginning; 0: not yet.
    marks_us: Vec<AtomicU64>,
}

impl Heard {
    /// Nothing yet, of at most so many marks.
    pub fn new(marks: usize) -> Self {
        let counters = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { messages: AtomicU64::new(0), late_ms: counters(LATE_MS_MAX), began: Instant::now(), marks_us: counters(marks) }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    /// Makes a mark now.
    pub fn mark(&self, place: usize) {
        self.marks_us[place].store(self.now_us(), Ordering::SeqCst);
    }

    fn hear(&self, mark: Option<usize>) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        let made_us = mark.and_then(|mark| self.marks_us.get(mark)).map_or(0, |made| made.load(Ordering::SeqCst));
        if made_us > 0 {
            let late_ms = usize::try_from((self.now_us() - made_us) / 1_000).unwrap();
            self.late_ms[late_ms.min(LATE_MS_MAX - 1)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many messages were about marks, and after how many milliseconds a share of them had come.
    pub fn late_ms(&self, ratio: f64) -> (u64, usize) {
        let counts: Vec<u64> = self.late_ms.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let wanted = (total as f64 * ratio).ceil() as u64;
        let mut sum = 0;
        let at = counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        (total, at.unwrap_or(LATE_MS_MAX))
    }
}

/// What is said at the beginning, and what is made of what is heard.
pub trait Manners: Clone + Send + Sync + 'static {
    /// The sub-protocol.
    const PROTOCOL: Option<&'static str>;

    /// The address, such as `127.0.0.1:8000`.
    fn address(&self) -> &str;

    /// Messages that the socket of this number sends once it is open.
    fn greetings(&self, number: usize) -> Vec<String>;

    /// Messages that come in answer to them and do not count.
    fn answers(&self) -> usize;

    /// The mark that a message is about.
    fn mark(&self, message: &str) -> Option<usize>;
}

/// Opens sockets that listen until they are dropped.
pub async fn open<M: Manners>(count: usize, manners: M, heard: Arc<Heard>) -> JoinSet<()> {
    let sockets: Vec<_> = stream::iter(0..count)
        .map(|number| {
            let manners = manners.clone();
            async move { connect(&manners, number).await }
        })
        .buffer_unordered(OPENING)
        .collect()
        .await;
    let mut listening = JoinSet::new();
    for mut socket in sockets {
        let (manners, heard) = (manners.clone(), Arc::clone(&heard));
        listening.spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(text) = message {
                    heard.hear(manners.mark(&text));
                }
            }
            panic!("a socket was closed");
        });
    }
    listening
}

async fn connect<M: Manners>(manners: &M, number: usize) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(manners.address()).await.unwrap();
    let mut request = format!("ws://{}/graphql", manners.address()).into_client_request().unwrap();
    if let Some(protocol) = M::PROTOCOL {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    }
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024).write_buffer_size(1_024);
    let (mut socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await.unwrap();
    for greeting in manners.greetings(number) {
        socket.send(Message::text(greeting)).await.unwrap();
    }
    for _ in 0..manners.answers() {
        tokio::time::timeout(Duration::from_secs(60), socket.next()).await.expect("an answer in time").unwrap().unwrap();
    }
    socket
}
