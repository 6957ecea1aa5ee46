//! Streams of which every payload counts.
//!
//! There is one live execution for all who ask the same, whatever their cursor. A seat with a cursor begins with an execution of its
//! own, and moves to the live one as soon as it stands where that does. A seat that falls behind by more than [`BACKLOG_MAX`] payloads
//! goes back to one of its own, from where it stands: nobody waits for it, and it misses nothing.
//!
//! Why that is exact: a seat listens to the live execution first, and moves only when its own place is not before the place that the
//! live one has reached. That is raised before a payload is sent, so what lies behind it has not been sent by then and will be heard;
//! of what is heard everything up to the own place is left out. Must not know: what the payloads say.

use std::hash::Hash;
use std::sync::{Arc, OnceLock};

use async_graphql::parser::types::ExecutableDocument as OutDocument;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::{broadcast, watch};

use super::course::{Course, Place, Standing};
use super::registry::{Registry, Shared};
use super::{Key, Run};
use crate::stream::{Payload, Payloads};

/// Payloads that a live execution keeps for seats that have not taken them yet: more than two of the largest steps in which an execution
/// tells what it has read (500), so that one step makes nobody slow.
pub(crate) const BACKLOG_MAX: usize = 1_024;

/// What the seats see of a live execution.
pub(crate) struct Ordered {
    /// What is run, for the seats to keep no document of their own.
    document: Arc<OutDocument>,
    /// Does not keep the channel open: that ends with the execution.
    events: broadcast::WeakSender<Event>,
    /// The failure that ended it, for who comes after it was sent.
    failed: Arc<OnceLock<Payload>>,
    /// Everything up to here has been sent, or is about to be.
    reached: watch::Receiver<Option<Place>>,
    /// Where it began, once that is known.
    began: Arc<OnceLock<Place>>,
}

/// A payload and its place; a failure has that of the payload before.
#[derive(Clone)]
struct Event {
    place: Option<Place>,
    payload: Payload,
}

impl Ordered {
    fn start(document: Arc<OutDocument>, mut payloads: Payloads, course: Course) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let events = broadcast::Sender::new(BACKLOG_MAX);
        let (raise, reached) = watch::channel(None);
        let began = Arc::<OnceLock<Place>>::default();
        let failed = Arc::<OnceLock<Payload>>::default();
        let seen = Self { document, events: events.downgrade(), failed: Arc::clone(&failed), reached, began: Arc::clone(&began) };
        let work = async move {
            let mut standing = course.standing();
            loop {
                tokio::select! {
                    biased;
                    payload = payloads.next() => {
                        let Some(payload) = payload else { return };
                        let place = course.told();
                        note(&standing.borrow(), &began, &raise);
                        raise.send_if_modified(|reached| raised(reached, place));
                        let is_last = matches!(payload, Payload::Failed(_));
                        if is_last {
                            failed.get_or_init(|| payload.clone());
                        }
                        // An error says that nobody listens at the moment.
                        let _ = events.send(Event { place, payload });
                        if is_last {
                            return;
                        }
                    }
                    Ok(()) = standing.changed() => note(&standing.borrow_and_update(), &began, &raise),
                }
            }
        };
        (seen, work)
    }
}

fn note(standing: &Standing, began: &OnceLock<Place>, raise: &watch::Sender<Option<Place>>) {
    if let Some(place) = standing.began {
        began.get_or_init(|| place);
    }
    raise.send_if_modified(|reached| raised(reached, standing.began.max(standing.waits_at)));
}

fn raised(reached: &mut Option<Place>, place: Option<Place>) -> bool {
    let is_news = *reached < place;
    *reached = (*reached).max(place);
    is_news
}

/// What a seat needs to find the live execution, or to make one.
pub(crate) struct Table<S: Eq + Hash> {
    pub registry: Registry<Key<S>, Ordered>,
    pub key: Key<S>,
    /// The document without its cursor.
    pub live: Arc<OutDocument>,
    pub operation: Arc<dyn Run>,
}

impl<S: Clone + Eq + Hash + Send + Sync + 'static> Table<S> {
    /// Listens to the live execution, which begins behind `from` where there is none.
    fn listen(&mut self, from: Option<Place>) -> Listening<S> {
        let live = self.registry.join(self.key.clone(), || {
            let course = Course::behind(from);
            let payloads = self.operation.run((*self.live).clone(), Some(course.clone()));
            Ordered::start(Arc::clone(&self.live), payloads, course)
        });
        self.live = Arc::clone(&live.document);
        // In this order: what is sent between the two is heard although it counts as reached.
        let reached = *live.reached.borrow();
        let events = live.events.upgrade().map_or_else(|| broadcast::channel(1).1, |events| events.subscribe());
        Listening { reached, raised: live.reached.clone(), events, live }
    }

    /// Runs a document for one seat.
    fn alone(&self, document: OutDocument, from: Option<Place>, why: &'static str) -> CatchingUp<S> {
        metrics::counter!("plimsoll_subscription_catch_ups_total", "reason" => why).increment(1);
        let course = Course::behind(from);
        let payloads = self.operation.run(document, Some(course.clone()));
        CatchingUp { payloads, standing: course.standing(), course, listening: None }
    }
}

/// A seat that shares.
struct Listening<S: Eq + Hash> {
    /// Where the live execution stood before this seat listened.
    reached: Option<Place>,
    raised: watch::Receiver<Option<Place>>,
    events: broadcast::Receiver<Event>,
    live: Arc<Shared<Key<S>, Ordered>>,
}

/// A seat that reads what it has missed.
struct CatchingUp<S: Eq + Hash> {
    payloads: Payloads,
    course: Course,
    standing: watch::Receiver<Standing>,
    /// Once it has caught up with what there was.
    listening: Option<Listening<S>>,
}

enum Phase<S: Eq + Hash> {
    CatchingUp(CatchingUp<S>),
    Sharing(Listening<S>),
    Over,
}

/// Where a seat is.
struct Seat<S: Eq + Hash> {
    table: Table<S>,
    phase: Phase<S>,
    /// Everything up to here has been passed on.
    at: Option<Place>,
}

/// A seat; `from_cursor` is the document with its cursor, where it has one.
pub(crate) fn seat<S: Clone + Eq + Hash + Send + Sync + 'static>(mut table: Table<S>, from_cursor: Option<OutDocument>) -> Payloads {
    let (phase, at) = match from_cursor {
        Some(document) => (Phase::CatchingUp(table.alone(document, None, "cursor")), None),
        None => {
            let listening = table.listen(None);
            let at = listening.reached;
            (Phase::Sharing(listening), at)
        }
    };
    stream::unfold(Seat { table, phase, at }, async |mut seat| seat.next().await.map(|payload| (payload, seat))).boxed()
}

/// What became of waiting in a phase.
enum Turn<S: Eq + Hash> {
    Said(Payload),
    Ended,
    /// On to another phase.
    Moved(Phase<S>),
}

impl<S: Clone + Eq + Hash + Send + Sync + 'static> Seat<S> {
    async fn next(&mut self) -> Option<Payload> {
        loop {
            let turn = match &mut self.phase {
                Phase::CatchingUp(_) => self.catch_up().await,
                Phase::Sharing(_) => self.share().await,
                Phase::Over => return None,
            };
            match turn {
                Turn::Moved(phase) => self.phase = phase,
                Turn::Ended => self.phase = Phase::Over,
                Turn::Said(payload) => {
                    if matches!(payload, Payload::Failed(_)) {
                        self.phase = Phase::Over;
                    }
                    return Some(payload);
                }
            }
        }
    }

    async fn catch_up(&mut self) -> Turn<S> {
        let Phase::CatchingUp(own) = &mut self.phase else { return Turn::Ended };
        loop {
            if let Some(mut listening) = own.listening.take() {
                let reached = *listening.raised.borrow_and_update();
                if reached.is_some() && reached <= self.at {
                    return Turn::Moved(Phase::Sharing(listening));
                }
                own.listening = Some(listening);
            }
            let mut raised = own.listening.as_ref().map(|listening| listening.raised.clone());
            tokio::select! {
                biased;
                payload = own.payloads.next() => {
                    let Some(payload) = payload else { return Turn::Ended };
                    self.at = self.at.max(own.course.told());
                    return Turn::Said(payload);
                }
                Ok(()) = own.standing.changed() => {
                    if let Some(place) = own.standing.borrow_and_update().waits_at {
                        self.at = self.at.max(Some(place));
                        if own.listening.is_none() {
                            own.listening = Some(self.table.listen(self.at));
                        }
                    }
                }
                // What shares may have just begun.
                () = changed(&mut raised) => {}
            }
        }
    }

    async fn share(&mut self) -> Turn<S> {
        let Phase::Sharing(listening) = &mut self.phase else { return Turn::Ended };
        loop {
            match listening.events.recv().await {
                Ok(Event { payload: failed @ Payload::Failed(_), .. }) => return Turn::Said(failed),
                Ok(Event { place, .. }) if place <= self.at => {}
                Ok(Event { place, payload }) => {
                    self.at = place;
                    return Turn::Said(payload);
                }
                Err(broadcast::error::RecvError::Closed) => {
                    return listening.live.failed.get().cloned().map_or(Turn::Ended, Turn::Said);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let from = self.at.or_else(|| listening.live.began.get().copied());
                    return Turn::Moved(Phase::CatchingUp(self.table.alone((*self.table.live).clone(), from, "slow")));
                }
            }
        }
    }
}

/// Waits for a change; for ever where there is nothing to hear.
async fn changed(raised: &mut Option<watch::Receiver<Option<Place>>>) {
    if let Some(raised) = raised
        && raised.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
