//! The hub over streams that the test makes: who shares, who does not, who comes late, who is slow, and what ends the work.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};
use std::sync::{Arc, Mutex};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::ExecutableDocument as OutDocument;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::watch;

use super::ordered::BACKLOG_MAX;
use super::{Course, Delivery, Hub, Place, Run};
use crate::stream::{Payload, Payloads};

/// A log of numbered entries; an execution tells them in order, then waits for more.
#[derive(Clone, Default)]
struct Log {
    entries: Arc<watch::Sender<Vec<u64>>>,
    runs: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Atomic::SeqCst);
    }
}

fn place(number: u64) -> Place {
    Place { number, index: 0 }
}

fn next(number: u64) -> Payload {
    Payload::Next(Bytes::from(number.to_string()))
}

fn read(payload: Option<Payload>) -> u64 {
    match payload {
        Some(Payload::Next(bytes)) => std::str::from_utf8(&bytes).unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

impl Log {
    fn write(&self, number: u64) {
        self.entries.send_modify(|entries| entries.push(number));
    }

    fn runs(&self) -> usize {
        self.runs.load(Atomic::SeqCst)
    }
}

impl Run for Log {
    /// As a stream of changes does: behind the place of the course, else behind the cursor of the document, else from now on.
    fn run(&self, document: OutDocument, course: Option<Course>) -> Payloads {
        self.runs.fetch_add(1, Atomic::SeqCst);
        self.open.fetch_add(1, Atomic::SeqCst);
        let open = Open(Arc::clone(&self.open));
        let course = course.unwrap_or_else(|| Course::behind(None));
        let text = format!("{document:?}");
        let cursor = text.split("Number(Number(").nth(1).and_then(|tail| tail.split(')').next()?.parse::<u64>().ok());
        let entries = self.entries.subscribe();
        let now = entries.borrow().last().copied().unwrap_or(0);
        let from = course.from().map(|place| place.number).or(cursor).unwrap_or(now);
        course.begins(place(from));
        stream::unfold((entries, course, from, VecDeque::<u64>::new(), open), async |(mut entries, course, mut at, mut ready, open)| {
            loop {
                if let Some(number) = ready.pop_front() {
                    course.tells(place(number));
                    at = number;
                    return Some((next(number), (entries, course, at, ready, open)));
                }
                ready.extend(entries.borrow_and_update().iter().copied().filter(|number| *number > at));
                if ready.is_empty() {
                    course.waits(place(at));
                    entries.changed().await.ok()?;
                }
            }
        })
        .boxed()
    }
}

fn hub() -> Hub<&'static str> {
    Hub::default()
}

fn seat(hub: &Hub<&'static str>, delivery: Delivery, scope: &'static str, document: &str, log: &Log) -> Payloads {
    hub.seat(delivery, scope, parse_query(document).unwrap(), Arc::new(log.clone()))
}

const NEWEST: &str = "subscription { figures }";
const CHANGES: &str = "subscription { changes }";

/// Lets every task run until it waits for something. Tasks of a test run on one thread.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_asks_the_same_shares_one_execution_and_its_bytes() {
    let (hub, log) = (hub(), Log::default());
    let mut one = seat(&hub, Delivery::Newest, "TD", NEWEST, &log);
    let mut two = seat(&hub, Delivery::Newest, "TD", "subscription Other {\n  figures }", &log);
    settle().await;
    log.write(1);
    let (Some(Payload::Next(first)), Some(Payload::Next(second))) = (one.next().await, two.next().await) else { panic!("no payload") };
    assert_eq!((first.as_ptr(), first.len()), (second.as_ptr(), second.len()));
    assert_eq!(log.runs(), 1);
}

#[tokio::test]
async fn scopes_and_questions_are_kept_apart() {
    let (hub, log) = (hub(), Log::default());
    let seats = [("TD", NEWEST), ("ADMIN", NEWEST), ("TD", "subscription { figures(by: MODEL) }"), ("TD", "subscription { f: figures }")];
    let _seats: Vec<_> = seats.iter().map(|(scope, document)| seat(&hub, Delivery::Newest, scope, document, &log)).collect();
    assert_eq!((log.runs(), hub.newest.len()), (4, 4));
}

/// Ends by itself.
struct Ending;

impl Run for Ending {
    fn run(&self, _: OutDocument, _: Option<Course>) -> Payloads {
        stream::iter([next(1)]).boxed()
    }
}

#[tokio::test]
async fn seats_end_with_their_execution() {
    let (hub, ending) = (hub(), Arc::new(Ending));
    let seats = [(); 2].map(|()| hub.seat(Delivery::Ordered, "TD", parse_query(CHANGES).unwrap(), ending.clone()));
    settle().await;
    for seat in seats {
        assert!(seat.collect::<Vec<_>>().now_or_never().is_some(), "it waits for what has ended");
    }
}

#[tokio::test]
async fn the_last_one_out_stops_the_work() {
    let (hub, log) = (hub(), Log::default());
    for delivery in [Delivery::Newest, Delivery::Ordered] {
        let (one, two) = (seat(&hub, delivery, "TD", CHANGES, &log), seat(&hub, delivery, "TD", CHANGES, &log));
        settle().await;
        drop(one);
        settle().await;
        assert_eq!(log.open.load(Atomic::SeqCst), 1, "somebody is left");
        drop(two);
        settle().await;
        assert_eq!((log.open.load(Atomic::SeqCst), hub.newest.len(), hub.ordered.len()), (0, 0, 0));
    }
    let mut anew = seat(&hub, Delivery::Newest, "TD", CHANGES, &log);
    settle().await;
    log.write(1);
    assert_eq!(read(anew.next().await), 1);
}

#[tokio::test]
async fn who_comes_late_gets_the_newest_at_once() {
    let (hub, log) = (hub(), Log::default());
    let mut early = seat(&hub, Delivery::Newest, "TD", NEWEST, &log);
    settle().await;
    for number in 1..=3 {
        log.write(number);
        assert_eq!(read(early.next().await), number);
    }
    let mut late = seat(&hub, Delivery::Newest, "TD", NEWEST, &log);
    assert_eq!(read(late.next().now_or_never().expect("at once")), 3);
    assert!(late.next().now_or_never().is_none(), "once");
    assert_eq!(log.runs(), 1);
}

#[tokio::test]
async fn a_slow_seat_gets_the_newest_and_holds_nobody_back() {
    let (hub, log) = (hub(), Log::default());
    let (mut slow, mut quick) = (seat(&hub, Delivery::Newest, "TD", NEWEST, &log), seat(&hub, Delivery::Newest, "TD", NEWEST, &log));
    settle().await;
    for number in 1..=1_000 {
        log.write(number);
        assert_eq!(read(quick.next().await), number);
    }
    assert_eq!(read(slow.next().await), 1_000);
}

/// Fails after a payload.
struct Failing(Mutex<usize>);

impl Run for Failing {
    fn run(&self, _: OutDocument, _: Option<Course>) -> Payloads {
        *self.0.lock().unwrap() += 1;
        stream::iter([next(1), Payload::Failed(Bytes::from_static(b"[]")), next(2)]).boxed()
    }
}

#[tokio::test]
async fn a_failure_is_the_last_for_all_and_the_next_one_begins_anew() {
    let (hub, failing) = (hub(), Arc::new(Failing(Mutex::new(0))));
    for delivery in [Delivery::Newest, Delivery::Ordered] {
        let seat = || hub.seat(delivery, "TD", parse_query(CHANGES).unwrap(), failing.clone());
        let (one, two) = (seat(), seat());
        for seat in [one, two] {
            let payloads: Vec<_> = seat.collect().await;
            assert_eq!(payloads.last(), Some(&Payload::Failed(Bytes::from_static(b"[]"))));
        }
        settle().await;
        let again: Vec<_> = seat().collect().await;
        assert!(matches!(again.last(), Some(Payload::Failed(_))));
    }
    assert_eq!(*failing.0.lock().unwrap(), 4);
}

#[tokio::test]
async fn changes_are_shared_from_where_a_seat_has_caught_up() {
    let (hub, log) = (hub(), Log::default());
    (1..=10).for_each(|number| log.write(number));
    let mut live = seat(&hub, Delivery::Ordered, "TD", CHANGES, &log);
    settle().await;
    let mut resumed: Vec<_> = [0, 4, 10]
        .into_iter()
        .map(|cursor| (cursor, seat(&hub, Delivery::Ordered, "TD", &format!("subscription {{ changes(after: {cursor}) }}"), &log)))
        .collect();
    log.write(11);
    for (cursor, seat) in &mut resumed {
        for number in *cursor + 1..=11 {
            assert_eq!(read(seat.next().await), number);
        }
        // It finds that there is nothing more, and shares.
        assert!(seat.next().now_or_never().is_none());
    }
    settle().await;
    for (_, seat) in &mut resumed {
        assert!(seat.next().now_or_never().is_none());
    }
    assert_eq!((log.open.load(Atomic::SeqCst), hub.ordered.len()), (1, 1), "one execution is left");
    for number in 12..=20 {
        log.write(number);
        for (_, seat) in &mut resumed {
            assert_eq!(read(seat.next().await), number);
        }
    }
    for number in 11..=20 {
        assert_eq!(read(live.next().await), number);
    }
}

#[tokio::test]
async fn a_seat_that_falls_far_behind_misses_nothing() {
    let (hub, log) = (hub(), Log::default());
    let mut slow = seat(&hub, Delivery::Ordered, "TD", CHANGES, &log);
    let mut quick = seat(&hub, Delivery::Ordered, "TD", CHANGES, &log);
    settle().await;
    let many = 3 * BACKLOG_MAX as u64;
    for number in 1..=many {
        log.write(number);
        assert_eq!(read(quick.next().await), number);
    }
    for number in 1..=many {
        assert_eq!(read(slow.next().await), number);
    }
    assert!(slow.next().now_or_never().is_none());
    log.write(many + 1);
    assert_eq!(read(slow.next().await), many + 1);
}

/// Seats that come and go at random places of a log that grows at random: each gets exactly what lies behind its cursor.
#[tokio::test]
async fn whatever_the_order_nothing_is_missing_and_nothing_comes_twice() {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (hub, log) = (hub(), Log::default());
    let (mut last, mut seats): (u64, Vec<(u64, Payloads)>) = (0, Vec::new());
    for _ in 0..4_000 {
        match random(6) {
            0 if seats.len() < 12 => {
                let cursor = random(last + 1);
                seats.push((cursor, seat(&hub, Delivery::Ordered, "TD", &format!("subscription {{ changes(after: {cursor}) }}"), &log)));
            }
            1 if !seats.is_empty() => drop(seats.swap_remove(usize::try_from(random(seats.len() as u64)).unwrap())),
            2 => {
                for _ in 0..random(40) {
                    last += 1 + random(2);
                    log.write(last);
                }
            }
            3 => tokio::task::yield_now().await,
            _ if !seats.is_empty() => {
                let chosen = usize::try_from(random(seats.len() as u64)).unwrap();
                let (at, seat) = &mut seats[chosen];
                if let Some(payload) = seat.next().now_or_never() {
                    let expected = log.entries.borrow().iter().copied().find(|number| number > at).unwrap();
                    *at = read(payload);
                    assert_eq!(*at, expected);
                }
            }
            _ => {}
        }
    }
    for (at, seat) in &mut seats {
        while *at < last {
            let expected = log.entries.borrow().iter().copied().find(|number| number > at).unwrap();
            *at = read(seat.next().await);
            assert_eq!(*at, expected);
        }
    }
}
