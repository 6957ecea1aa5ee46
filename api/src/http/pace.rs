//! A request body that must keep coming.
//!
//! The time that a client may keep us waiting grows with what it has sent: a base of `limits.body_read_ms`, and one second more for each
//! [`BYTES_PER_SECOND`]. So a large upload over a slow line passes, and a drip of single bytes does not. Only waiting counts: what the
//! handler does between two reads is not the client's fault.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Slowest client that may finish.
const BYTES_PER_SECOND: u32 = 16 * 1024;

/// The body did not arrive in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body of the request did not arrive in time")]
pub struct BodyTooSlow;

/// Tells, after the handler has answered, that its body was cut off.
#[derive(Clone, Debug, Default)]
pub struct CutOff(Arc<AtomicBool>);

impl CutOff {
    /// Whether the body was too slow.
    #[must_use]
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body that is cut off when it keeps us waiting.
pub struct PacedBody {
    inner: Body,
    base: Duration,
    received_bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    cut_off: CutOff,
}

impl PacedBody {
    /// Paces a body. `base`: what a client may keep us waiting before anything has come.
    #[must_use]
    pub fn new(inner: Body, base: Duration, cut_off: CutOff) -> Self {
        Self { inner, base, received_bytes: 0, waited: Duration::ZERO, waiting_since: None, timer: None, cut_off }
    }

    fn may_wait(&self) -> Duration {
        let earned = Duration::from_secs(self.received_bytes / u64::from(BYTES_PER_SECOND));
        (self.base + earned).saturating_sub(self.waited)
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.waiting_since.is_none() {
            let now = Instant::now();
            let deadline = now + self.may_wait();
            self.waiting_since = Some(now);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            ready!(self.poll_timer(context));
            self.cut_off.0.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(axum::Error::new(BodyTooSlow))));
        };
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        if let Some(Ok(frame)) = &frame {
            self.received_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
