//! The body of a request: bytes as they travel in, checked events out, slice by slice.
//!
//! Invariants: no more than one slice stands between the connection and the reader of lines; a body that grows past a limit, on either
//! side of the decompression, is cut off there. Must not know: roles, the sink.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{BodyDataStream, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::{Stream, StreamExt as _, stream};
use plimsoll_domain::ingest::batch::{Batch, BatchReader};
use plimsoll_domain::ingest::line::ReadContext;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::StreamReader;

use super::IngestLimits;
use super::refusal::Refusal;

/// Bytes that are decompressed, then read as lines, in one go.
const SLICE_SIZE_BYTES: usize = 256 * 1024;
/// Slices from this size on are read on a thread of their own, so that others are served meanwhile: about a quarter of a millisecond.
const OFFLOADED_SIZE_BYTES: usize = 64 * 1024;
/// The largest window of a zstd frame, 8 MiB: what RFC 9659 lets senders use. A frame may ask for 2 GiB otherwise.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// The encoding that the headers name.
    ///
    /// # Errors
    /// One that is not known, or several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        if values.next().is_some() {
            return Err(Refusal::Encoding);
        }
        match value.to_str().map(|value| value.trim().to_ascii_lowercase()).as_deref() {
            Ok("identity" | "") => Ok(Self::Identity),
            Ok("gzip" | "x-gzip") => Ok(Self::Gzip),
            Ok("zstd") => Ok(Self::Zstd),
            _ => Err(Refusal::Encoding),
        }
    }
}

/// A body that was read to its end.
pub(super) struct Received {
    /// What it says.
    pub(super) batch: Batch,
    /// Its size after decompression.
    pub(super) size_bytes: usize,
    /// The bytes that it holds of those in flight; to be kept until its events are written.
    pub(super) held: Option<OwnedSemaphorePermit>,
}

/// Reads a body to its end.
///
/// # Errors
/// The limit that it breaks, or that it is damaged.
pub(super) async fn receive(
    body: &mut BodyDataStream,
    encoding: Encoding,
    context: ReadContext,
    limits: &IngestLimits,
    in_flight: &Arc<Semaphore>,
) -> Result<Received, Refusal> {
    let mut source = decompressed(body, encoding, limits);
    let mut reader = BatchReader::new(context);
    let mut slice = Vec::with_capacity(SLICE_SIZE_BYTES);
    let mut size_bytes = 0;
    let mut held = None;
    loop {
        let ended = fill(&mut source, &mut slice).await.map_err(refusal_of)?;
        size_bytes += slice.len();
        if size_bytes > limits.body_size_bytes {
            return Err(Refusal::TooLarge);
        }
        hold(&mut held, slice.len(), in_flight)?;
        (reader, slice) = read_lines(reader, slice).await?;
        if ended {
            return Ok(Received { batch: reader.finish(), size_bytes, held });
        }
    }
}

/// Fills a slice as far as the body goes; true at its end.
async fn fill(source: &mut (impl AsyncRead + Unpin), slice: &mut Vec<u8>) -> io::Result<bool> {
    slice.clear();
    while slice.len() < SLICE_SIZE_BYTES {
        if source.read_buf(slice).await? == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes so many of the bytes that may be in flight, or none.
fn hold(held: &mut Option<OwnedSemaphorePermit>, size_bytes: usize, in_flight: &Arc<Semaphore>) -> Result<(), Refusal> {
    let permits = u32::try_from(size_bytes).map_err(|_| Refusal::TooLarge)?;
    let more = Arc::clone(in_flight).try_acquire_many_owned(permits).map_err(|_| Refusal::Busy)?;
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    Ok(())
}

async fn read_lines(mut reader: BatchReader, slice: Vec<u8>) -> Result<(BatchReader, Vec<u8>), Refusal> {
    if slice.len() < OFFLOADED_SIZE_BYTES {
        reader.push(&slice);
        return Ok((reader, slice));
    }
    let read = tokio::task::spawn_blocking(move || {
        reader.push(&slice);
        (reader, slice)
    });
    read.await.map_err(|source| Refusal::Internal { source })
}

fn decompressed<'b>(body: &'b mut BodyDataStream, encoding: Encoding, limits: &IngestLimits) -> Pin<Box<dyn AsyncRead + Send + 'b>> {
    let source = StreamReader::new(Box::pin(bounded(body, limits.idle, limits.body_size_bytes)));
    match encoding {
        Encoding::Identity => Box::pin(source),
        Encoding::Gzip => {
            let mut decoder = GzipDecoder::new(source);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
        Encoding::Zstd => {
            let mut decoder = ZstdDecoder::with_params(source, &[DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)]);
            decoder.multiple_members(true);
            Box::pin(decoder)
        }
    }
}

/// Why a body was cut off before its end; travels through the decompression as the inside of an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum CutOff {
    #[error("the body stood still")]
    TooSlow,
    #[error("the body is too large")]
    TooLarge,
    #[error("the connection was lost")]
    Lost,
}

/// The body as it travels: cut off when it stands still, and when more arrives than a body may have. The latter is for compressed
/// bodies that grow without ever yielding anything.
fn bounded(body: &mut BodyDataStream, idle: Duration, size_bytes_max: usize) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold((body, 0_usize), move |(body, taken)| async move {
        let chunk = match tokio::time::timeout(idle, body.next()).await {
            Ok(None) => return None,
            Ok(Some(Ok(chunk))) if taken + chunk.len() > size_bytes_max => Err(CutOff::TooLarge),
            Ok(Some(Ok(chunk))) => Ok(chunk),
            Ok(Some(Err(_))) => Err(CutOff::Lost),
            Err(_) => Err(CutOff::TooSlow),
        };
        let taken = taken + chunk.as_ref().map_or(0, Bytes::len);
        Some((chunk.map_err(io::Error::other), (body, taken)))
    })
}

fn refusal_of(error: io::Error) -> Refusal {
    match error.get_ref().and_then(|inside| inside.downcast_ref::<CutOff>()) {
        Some(CutOff::TooSlow) => Refusal::TooSlow,
        Some(CutOff::TooLarge) => Refusal::TooLarge,
        Some(CutOff::Lost) | None => Refusal::Damaged,
    }
}
