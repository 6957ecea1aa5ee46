//! The TCP stream under a connection, with three manners that hyper does not have.
//!
//! The head that opens a WebSocket spells `Sec-WebSocket-…` as RFC 6455 does: names have no case, but Python's gql looks for these letters.
//! A client that does not read what it is sent is cut off after `limits.write_stall_ms`. And when we close first (a refused upload, a head
//! that is too large), the rest of what the client sends is read and thrown away for a moment: closing with unread bytes would reset
//! the connection, and the client might never see its answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_gate::Stalled;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// How long the rest of a refused request is read.
const LINGER: Duration = Duration::from_secs(2);
/// How much of it.
const LINGER_MAX_BYTES: usize = 64 << 20;

/// A client's stream. It holds its place among `limits.connections` until it is really over.
pub struct ClientStream {
    stream: Option<TcpStream>,
    /// Released when the stream is dropped, or when it has lingered.
    place: Option<OwnedSemaphorePermit>,
    write_stall: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    /// Hears when the client is cut off.
    stalled: Stalled,
    /// The client has closed its side, or the stream is broken: there is nothing to linger for.
    over: bool,
}

impl ClientStream {
    /// Takes over an accepted stream; `stalled` hears when its client does not read.
    #[must_use]
    pub fn new(stream: TcpStream, place: OwnedSemaphorePermit, write_stall: Duration, stalled: Stalled) -> Self {
        Self { stream: Some(stream), place: Some(place), write_stall, waiting: None, stalled, over: false }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Watches how long a write has been waiting.
    fn watch<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            self.over |= matches!(written, Poll::Ready(Err(_)));
            return written;
        }
        let deadline = Instant::now() + self.write_stall;
        let timer = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.over = true;
        self.stalled.tell();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = self.stream()?.poll_read(context, buffer);
        self.over |= match &read {
            Poll::Ready(Ok(())) => room > 0 && buffer.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let respelled = respelled(bytes);
        let written = self.stream()?.poll_write(context, respelled.as_deref().unwrap_or(bytes));
        self.watch(written, context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(head) = parts.first().and_then(|part| respelled(part)) {
            let written = self.stream()?.poll_write(context, &head);
            return self.watch(written, context);
        }
        let written = self.stream()?.poll_write_vectored(context, parts);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let (Some(stream), Some(place)) = (self.stream.take(), self.place.take()) else { return };
        if self.over {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Whatever goes wrong, the stream is over either way.
                let _ = tokio::time::timeout(LINGER, linger(stream)).await;
                drop(place);
            });
        }
    }
}

/// The head that opens a WebSocket, spelled as RFC 6455 does; none for anything else. It is as long as before.
fn respelled(bytes: &[u8]) -> Option<Vec<u8>> {
    const OPENS: &[u8] = b"HTTP/1.1 101 ";
    const FROM: &[u8] = b"\r\nSec-Websocket-";
    const TO: &[u8] = b"\r\nSec-WebSocket-";
    if !bytes.starts_with(OPENS) {
        return None;
    }
    let mut head = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = head[at..].windows(FROM.len()).position(|window| window == FROM) {
        at += found;
        head[at..at + TO.len()].copy_from_slice(TO);
    }
    Some(head)
}

async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut buffer = vec![0; 16 * 1024];
    let mut left = LINGER_MAX_BYTES;
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_head_of_a_websocket_is_spelled_anew() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nSec-Websocket-Accept: x\r\nSec-Websocket-Protocol: graphql-transport-ws\r\n\r\n";
        let spelled = String::from_utf8(respelled(head).unwrap()).unwrap();
        assert_eq!(spelled.matches("\r\nSec-WebSocket-").count(), 2);
        assert_eq!(spelled.to_lowercase().as_bytes(), head.to_ascii_lowercase());
        assert!(respelled(b"HTTP/1.1 200 OK\r\nSec-Websocket-Accept: x\r\n\r\n").is_none());
        assert!(respelled(b"").is_none());
    }
}
