//! The frames of a WebSocket.
//!
//! tungstenite reads, and writes what is rare. It copies what it writes into a buffer of each socket, and keeps that; so what operations
//! say goes past it: small heads and shared payloads in one vectored write, nothing copied, nothing kept. Invariant: a frame is written
//! to its end before anybody else writes; who gives up in the middle of one writes no more. Must not know: what is said.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message};

/// Read buffer of a socket; the library's own is 128 KiB.
const READ_BUFFER_BYTES: usize = 1024;
/// What the library writes may wait for so much more before it is sent.
const WRITE_BUFFER_BYTES: usize = 1024;
/// First byte of a text that is one frame.
const TEXT: u8 = 0x81;

/// A WebSocket.
pub struct Wire(WebSocketStream<TokioIo<Upgraded>>);

impl Wire {
    /// A WebSocket over a connection that has switched protocols.
    pub async fn over(upgraded: Upgraded, message_max_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(message_max_bytes))
            .max_frame_size(Some(message_max_bytes));
        Self(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await)
    }

    /// The next message.
    pub async fn receive(&mut self) -> Option<Result<Message, Error>> {
        self.0.next().await
    }

    /// Sends one message.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.0.send(message).await
    }

    /// Sends texts together.
    pub async fn send_texts(&mut self, mut texts: Texts) -> Result<(), Error> {
        // A pong may be half written.
        self.0.flush().await?;
        self.0.get_mut().write_all_buf(&mut texts).await.map_err(Error::Io)
    }
}

/// Texts in their frames, as parts that are not copied.
#[derive(Debug, Default)]
pub struct Texts(VecDeque<Bytes>);

impl Texts {
    /// One more text: these parts one after the other.
    pub fn push(&mut self, head: &[&[u8]], parts: [Bytes; 2]) {
        let length = head.iter().map(|part| part.len()).sum::<usize>() + parts.iter().map(Bytes::len).sum::<usize>();
        let mut frame = Vec::with_capacity(10 + head.iter().map(|part| part.len()).sum::<usize>());
        frame.push(TEXT);
        // RFC 6455, section 5.2; what a server sends is not masked.
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => frame.push(short),
            (_, Ok(middle)) => {
                frame.push(126);
                frame.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        head.iter().for_each(|part| frame.extend_from_slice(part));
        self.0.push_back(frame.into());
        self.0.extend(parts.into_iter().filter(|part| !part.is_empty()));
    }
}

impl Buf for Texts {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.0).map(|(slice, part)| *slice = IoSlice::new(part));
        filled.count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(part) = self.0.front_mut() {
            if count < part.len() {
                part.advance(count);
                return;
            }
            count -= part.len();
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut texts: Texts, step: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while texts.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 2];
            let count = texts.chunks_vectored(&mut slices);
            let joined: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = joined.len().min(step);
            bytes.extend_from_slice(&joined[..taken]);
            texts.advance(taken);
        }
        bytes
    }

    #[test]
    fn frames_are_as_the_protocol_says_however_they_are_taken() {
        for (length, head) in [
            (2, vec![0x81, 2]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 255, 255]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            for step in [1 + length / 40, 70_000] {
                let mut texts = Texts::default();
                texts.push(&[b"a"], [Bytes::from(vec![b'x'; length - 2]), Bytes::from_static(b"}")]);
                texts.push(&[b"b", b"c"], [Bytes::new(), Bytes::new()]);
                let text = [&b"a"[..], &vec![b'x'; length - 2], b"}"].concat();
                assert_eq!(read(texts, step), [&head[..], &text, &[0x81, 2], b"bc"].concat(), "{length} by {step}");
            }
        }
    }
}
