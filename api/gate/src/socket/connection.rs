//! One WebSocket, from `connection_init` to its end.
//!
//! One task reads, runs and writes. While messages are being written nothing else is taken or read, so that a client that does not read
//! makes nothing pile up: it is cut off when that takes longer than [`crate::Limits::socket_write_time`].
//! Invariants: nothing runs before the acknowledgement or after the token has expired; of an operation that the client has completed
//! nothing more is sent. Must not know: what operations mean.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::{Buf as _, Bytes};
use futures_util::future::{AbortHandle, Abortable, FutureExt as _};
use futures_util::stream::{BoxStream, SelectAll, StreamExt as _, once};
use serde_json::{Map, Value as Json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tungstenite::{Error, Message};

use super::ending::Ending;
use super::message::{self, Envelope, Incoming};
use super::wire::{Texts, Wire};
use crate::admit::{OperationKind, Prepared};
use crate::code::Code;
use crate::complete::Answer;
use crate::refused::Refused;
use crate::service::{Endpoint, Params, Service};
use crate::stream::Payload;

/// Operations with a single answer that one socket runs at once; more wait, since each holds its answer until it has been written.
const ANSWERS_MAX: usize = 4;
/// How long a client may take to answer our close frame.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Messages that are written together at most, as far as they are ready.
const TOGETHER_MAX: usize = 64;
/// From so many bytes on no further message is written with them: the time for writing is for them all.
const TOGETHER_SIZE_BYTES_MAX: usize = 64 * 1024;

/// What an operation has to say; none: it has ended.
struct Said {
    of: Arc<Envelope>,
    payload: Option<Payload>,
    /// Of a single answer: given back once it has been written.
    place: Option<OwnedSemaphorePermit>,
}

/// A WebSocket and what runs on it.
pub struct Connection<E: Endpoint> {
    service: Service<E>,
    wire: Wire,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    stop: CancellationToken,
    /// The operations that run, by the client's ids.
    running: HashMap<Arc<str>, AbortHandle>,
    said: SelectAll<Abortable<BoxStream<'static, Said>>>,
    answers: Arc<Semaphore>,
    /// Whether the client has sent anything since it was last asked.
    is_alive: bool,
}

/// What happens next on a connection.
enum Step {
    Stopping,
    Expired,
    Received(Option<Result<Message, Error>>),
    Said(Said),
    KeepAlive,
}

impl<E: Endpoint> Connection<E> {
    /// A connection over a socket that has just been opened; `headers` and `peer` are those of its request.
    pub fn new(service: Service<E>, wire: Wire, headers: HeaderMap, peer: Option<SocketAddr>, stop: CancellationToken) -> Self {
        let (running, said, answers) = (HashMap::new(), SelectAll::new(), Arc::new(Semaphore::new(ANSWERS_MAX)));
        Self { service, wire, headers, peer, stop, running, said, answers, is_alive: true }
    }

    /// Serves until the end, and says why it ended.
    pub async fn run(mut self) -> Ending {
        let ending = self.serve().await;
        self.said.clear();
        if let Some(frame) = ending.frame() {
            // Whatever goes wrong here, the socket is over either way.
            let _ = tokio::time::timeout(CLOSE_TIME, async {
                self.wire.send(Message::Close(Some(frame))).await?;
                while let Some(Ok(_)) = self.wire.receive().await {}
                Ok::<_, Error>(())
            })
            .await;
        }
        ending
    }

    async fn serve(&mut self) -> Ending {
        let stop = self.stop.clone();
        let init_time = self.service.gate().limits().socket_init_time;
        let opened = stop.run_until_cancelled(tokio::time::timeout(init_time, Box::pin(self.opened()))).await;
        match opened {
            None => Ending::Stopping,
            Some(Err(_elapsed)) => Ending::InitTimeout,
            Some(Ok(Err(ending))) => ending,
            Some(Ok(Ok(caller))) => match self.converse(&caller).await {
                Ok(never) => match never {},
                Err(ending) => ending,
            },
        }
    }

    /// Waits until the client has said who calls.
    async fn opened(&mut self) -> Result<E::Caller, Ending> {
        loop {
            let received = self.wire.receive().await;
            match self.read(received)? {
                Some(Incoming::Init(init)) => return self.authenticate(&init).await,
                Some(Incoming::Ping(payload)) => self.send(message::pong(payload.as_ref())).await?,
                Some(Incoming::Subscribe { .. }) => return Err(Ending::Unauthorized),
                // Of an operation that does not exist, which cannot be told from one that has just ended.
                Some(Incoming::Complete { .. } | Incoming::Pong) | None => {}
            }
        }
    }

    async fn authenticate(&mut self, init: &Map<String, Json>) -> Result<E::Caller, Ending> {
        let caller = self.service.endpoint().authenticate_socket(init, &self.headers, self.peer).await.map_err(|_| Ending::Forbidden)?;
        // They hold the token; it is not needed again.
        self.headers = HeaderMap::new();
        self.send(message::ACK.to_owned()).await?;
        Ok(caller)
    }

    async fn converse(&mut self, caller: &E::Caller) -> Result<std::convert::Infallible, Ending> {
        let every = self.service.gate().limits().socket_keep_alive;
        let mut keep_alive = tokio::time::interval_at(Instant::now() + every, every);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        let mut stopping = pin!(stop.cancelled());
        let mut expired = pin!(tokio::time::sleep(self.service.endpoint().expires_in(caller)));
        loop {
            let has_operations = !self.said.is_empty();
            // In this order: a pong that has arrived is read before its absence is found.
            let step = tokio::select! {
                biased;
                () = &mut stopping => Step::Stopping,
                () = &mut expired => Step::Expired,
                received = self.wire.receive() => Step::Received(received),
                Some(said) = self.said.next(), if has_operations => Step::Said(said),
                _ = keep_alive.tick() => Step::KeepAlive,
            };
            match step {
                Step::Stopping => return Err(Ending::Stopping),
                Step::Expired => {
                    let left = self.service.endpoint().expires_in(caller);
                    if left.is_zero() {
                        return Err(Ending::Expired);
                    }
                    // The clock of the wall and that of the timer need not agree.
                    expired.as_mut().reset(Instant::now() + left);
                }
                Step::Received(received) => {
                    if let Some(incoming) = self.read(received)? {
                        self.answer(caller, incoming).await?;
                    }
                }
                Step::Said(said) => self.pass_on(said).await?,
                Step::KeepAlive => self.keep_alive().await?,
            }
        }
    }

    /// Reads one message; none where it is one of the WebSocket's own.
    fn read(&mut self, received: Option<Result<Message, Error>>) -> Result<Option<Incoming>, Ending> {
        self.is_alive = true;
        match received {
            None => Err(Ending::Client),
            Some(Err(error)) => Err(Ending::of_reading(&error)),
            Some(Ok(Message::Text(text))) => message::read(text.as_str()).map(Some).map_err(Ending::BadMessage),
            Some(Ok(Message::Binary(_))) => Err(Ending::BadMessage("a message must be text")),
            // Pings and close frames are answered by the library; the stream ends after the latter.
            Some(Ok(_)) => Ok(None),
        }
    }

    async fn answer(&mut self, caller: &E::Caller, incoming: Incoming) -> Result<(), Ending> {
        match incoming {
            Incoming::Init(_) => Err(Ending::TooManyInits),
            Incoming::Ping(payload) => self.send(message::pong(payload.as_ref())).await,
            Incoming::Pong => Ok(()),
            Incoming::Subscribe { id, params } => self.subscribe(caller, id, params).await,
            Incoming::Complete { id } => {
                if let Some(operation) = self.running.remove(id.as_str()) {
                    operation.abort();
                }
                Ok(())
            }
        }
    }

    async fn subscribe(&mut self, caller: &E::Caller, id: String, params: Params) -> Result<(), Ending> {
        if self.running.contains_key(id.as_str()) {
            return Err(Ending::IdTaken(id));
        }
        let most = self.service.gate().limits().socket_operations;
        let prepared = if self.running.len() < most {
            self.service.prepare(caller, params)
        } else {
            Err(Refused::new(Code::LimitExceeded, format!("a socket carries at most {most} operations at once"), None))
        };
        let kind = prepared.as_ref().map_or("none", |prepared| OperationKind::as_str(prepared.facts.kind));
        let code = prepared.as_ref().map_or_else(|refused| refused.code().as_str(), |_| "OK");
        metrics::counter!("plimsoll_socket_operations_total", "kind" => kind, "code" => code).increment(1);
        match prepared {
            Ok(prepared) => {
                self.start(caller, Envelope::new(id), prepared);
                Ok(())
            }
            Err(refused) => {
                let errors = Payload::Failed(Answer::from(refused).errors_to_json());
                let mut texts = Texts::default();
                Envelope::new(id).put(Some(errors), &mut texts);
                self.in_time(async |wire| wire.send_texts(texts).await).await
            }
        }
    }

    fn start(&mut self, caller: &E::Caller, of: Envelope, prepared: Prepared) {
        let goes_on = prepared.facts.kind == OperationKind::Subscription;
        let mut payloads = self.service.open(caller.clone(), prepared);
        let of = Arc::new(of);
        let last = Said { of: Arc::clone(&of), payload: None, place: None };
        let (operation, registration) = AbortHandle::new_pair();
        self.running.insert(Arc::clone(of.id()), operation);
        let said = if goes_on {
            payloads.map(move |payload| Said { of: Arc::clone(&of), payload: Some(payload), place: None }).boxed()
        } else {
            let answers = Arc::clone(&self.answers);
            once(async move {
                // The semaphore is never closed.
                let place = answers.acquire_owned().await.ok();
                Said { of, payload: payloads.next().await, place }
            })
            .boxed()
        };
        self.said.push(Abortable::new(said.chain(once(std::future::ready(last))).boxed(), registration));
    }

    /// Sends what an operation says, and what others have ready. An error is the last word of an operation; else `complete` is.
    async fn pass_on(&mut self, first: Said) -> Result<(), Ending> {
        let (mut said, mut texts, mut places) = (first, Texts::default(), Vec::new());
        for left in (0..TOGETHER_MAX).rev() {
            let Said { of, payload, place } = said;
            if !matches!(payload, Some(Payload::Next(_)))
                && let Some(operation) = self.running.remove(of.id())
            {
                operation.abort();
            }
            of.put(payload, &mut texts);
            places.extend(place);
            let has_room = left > 0 && texts.remaining() < TOGETHER_SIZE_BYTES_MAX;
            let ready = if has_room { self.said.next().now_or_never().flatten() } else { None };
            let Some(ready) = ready else { break };
            said = ready;
        }
        let sent = self.in_time(async |wire| wire.send_texts(texts).await).await;
        drop(places);
        sent
    }

    async fn keep_alive(&mut self) -> Result<(), Ending> {
        if !std::mem::take(&mut self.is_alive) {
            return Err(Ending::Silent);
        }
        self.write(Message::Ping(Bytes::new())).await
    }

    async fn send(&mut self, text: String) -> Result<(), Ending> {
        self.write(Message::Text(text.into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), Ending> {
        self.in_time(async |wire| wire.send(message).await).await
    }

    /// Writes; the client is given so much time to take it. What is given up is never written to its end, so the socket is over.
    async fn in_time(&mut self, write: impl AsyncFnOnce(&mut Wire) -> Result<(), Error>) -> Result<(), Ending> {
        let time = self.service.gate().limits().socket_write_time;
        match tokio::time::timeout(time, write(&mut self.wire)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot write to a socket");
                Err(Ending::Broken)
            }
            Err(_elapsed) => Err(Ending::Slow),
        }
    }
}
