//! A TCP proxy that a test can hold up or cut: what a network does to a database, on purpose.
//!
//! Must not know: what is spoken through it.
#![allow(clippy::expect_used, reason = "a harness fails loudly")]

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes that are passed on at once.
const CHUNK_SIZE_BYTES: usize = 16 * 1024;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// They pass.
    Open,
    /// They wait; connections stay.
    Held,
    /// Connections are closed at once, those that stand and those that come.
    Cut,
}

/// A running proxy; it ends with the test's runtime.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens on loopback.
    pub port: u16,
    line: watch::Sender<Line>,
}

impl Proxy {
    /// Listens on a port of the system's choice and passes on to `target`, such as `127.0.0.1:5432`.
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let port = listener.local_addr().expect("its address").port();
        let (line, seen) = watch::channel(Line::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *seen.borrow() != Line::Cut {
                    tokio::spawn(pass(client, target.clone(), seen.clone()));
                }
            }
        });
        Self { port, line }
    }

    /// Changes what becomes of the bytes from now on.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn pass(client: TcpStream, target: String, line: watch::Receiver<Line>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = line.clone();
    tokio::select! {
        _ = cut.wait_for(|line| *line == Line::Cut) => {}
        () = one_way(from_client, to_server, line.clone()) => {}
        () = one_way(from_server, to_client, line) => {}
    }
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut line: watch::Receiver<Line>) {
    let mut chunk = vec![0; CHUNK_SIZE_BYTES];
    while let Ok(size_bytes @ 1..) = from.read(&mut chunk).await {
        if line.wait_for(|line| *line != Line::Held).await.is_err() || to.write_all(&chunk[..size_bytes]).await.is_err() {
            return;
        }
    }
}
