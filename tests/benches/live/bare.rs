//! What is compared with: a WebSocket server that does nothing but broadcast messages that it was given, in a process of its own.
//!
//! A client names the messages that it wants (`0 1 2`); each is sent once a second to whoever wants it.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::stream::SelectAll;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// The environment variable with the file of its messages, one a line.
pub const MESSAGES: &str = "PLIMSOLL_BENCH_BARE_MESSAGES";
/// Read buffer of a socket, as small as the server's that is measured.
const BUFFER_BYTES: usize = 4 * 1024;

/// A running server.
pub struct Bare {
    child: Child,
    /// Such as `127.0.0.1:41234`.
    pub address: String,
    _messages: tempfile::NamedTempFile,
}

impl Bare {
    /// Starts a server of these messages.
    pub async fn start(messages: &[String]) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(messages.join("\n").as_bytes()).unwrap();
        let own = std::env::current_exe().unwrap();
        let mut child = Command::new(own).env(MESSAGES, file.path()).stdout(Stdio::piped()).spawn().unwrap();
        let out = tokio::process::ChildStdout::from_std(child.stdout.take().unwrap()).unwrap();
        let address = BufReader::new(out).lines().next_line().await.unwrap().expect("an address");
        Self { child, address, _messages: file }
    }

    /// Id of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves for ever.
pub async fn serve(file: &str) {
    let messages: Vec<Utf8Bytes> = std::fs::read_to_string(file).unwrap().lines().map(Utf8Bytes::from).collect();
    let channels: Vec<broadcast::Sender<Utf8Bytes>> = messages.iter().map(|_| broadcast::Sender::new(16)).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    tokio::spawn({
        let channels = channels.clone();
        async move {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            loop {
                every.tick().await;
                for (channel, message) in channels.iter().zip(&messages) {
                    // An error says that nobody listens.
                    let _ = channel.send(message.clone());
                }
            }
        }
    });
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(converse(stream, channels.clone()));
    }
}

async fn converse(stream: TcpStream, channels: Vec<broadcast::Sender<Utf8Bytes>>) {
    let config = WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    let mut socket = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await.unwrap();
    let Some(Ok(Message::Text(wanted))) = socket.next().await else { return };
    let mut heard: SelectAll<_> = wanted
        .split(' ')
        .map(|place| {
            let receiver = channels[place.parse::<usize>().unwrap()].subscribe();
            stream::unfold(receiver, async |mut receiver| receiver.recv().await.ok().map(|message| (message, receiver))).boxed()
        })
        .collect();
    drop(channels);
    loop {
        tokio::select! {
            Some(message) = heard.next() => if socket.send(Message::Text(message)).await.is_err() { return },
            received = socket.next() => if !matches!(received, Some(Ok(_))) { return },
        }
    }
}
