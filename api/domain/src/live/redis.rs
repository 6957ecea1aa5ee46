//! The bus of replicas: hints of commits go through a Redis channel of their database.
//!
//! One task owns both connections, the one that publishes and the one that is subscribed. Invariants: who commits waits for nothing
//! here; a commit wakes the readers of its own process without a round trip; one hint waits to be published at most, and a newer one
//! takes its place, for it says all that the older one said; what Redis does not take is counted and made good by
//! [`super::commits`], which looks at the database. Must not know: what was committed, who listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands as _, AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo as _, Msg, RedisError};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::bus::{Bus, BusState, raise};

/// What the names of channels begin with; the name of the database follows.
const CHANNEL_PREFIX: &str = "plimsoll:commits:";
/// Longest attempt to connect and subscribe.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest wait for Redis to take a hint.
const PUBLISH_MAX: Duration = Duration::from_secs(2);
/// The newest number is published again this often, so that a connection that is dead without a word is noticed.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A connection on which not even the own beat is heard for this long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(7);
/// Before the first attempt to connect again; each next one waits twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// The longest wait between two attempts.
const RETRY_LAST: Duration = Duration::from_secs(3);
/// Longest number in decimal digits.
const NUMBER_DIGITS_MAX: usize = 20;

/// Describes what the bus counts.
pub(super) fn describe_metrics() {
    metrics::describe_gauge!("plimsoll_bus_connected", "1 while the bus is connected to Redis, else 0; absent without Redis.");
    metrics::describe_counter!("plimsoll_bus_reconnects_total", "Connections to Redis after the first one.");
    metrics::describe_counter!("plimsoll_bus_messages_total", "Messages of the bus, beats included, by direction: published or received.");
    metrics::describe_counter!("plimsoll_bus_drops_total", "Hints that could not be published when they were told.");
}

/// Why the bus cannot be made or is not connected.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// What Redis or its client says.
    #[error("Redis does not work")]
    Redis(#[from] RedisError),
    /// It takes too long.
    #[error("Redis did not answer in time")]
    Late,
    /// Not even the own beat came back.
    #[error("nothing has been heard from Redis for too long")]
    Silent,
    /// The subscription ended.
    #[error("Redis has closed the connection")]
    Closed,
}

/// The bus of one process of several.
#[derive(Clone, Debug)]
pub struct RedisBus(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The highest number that was told here or elsewhere.
    known: watch::Sender<u64>,
    /// The highest number that was told here and waits to be published: the queue, one place long.
    own: watch::Sender<u64>,
    /// How often hints of others may have been lost.
    gaps: watch::Sender<u64>,
    is_up: AtomicBool,
}

/// Carries the hints of a [`RedisBus`] to and from Redis.
pub struct RedisCourier {
    shared: Arc<Shared>,
    client: Client,
    channel: String,
}

impl std::fmt::Debug for RedisCourier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client knows a password.
        f.debug_struct("RedisCourier").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// Both connections, the second one subscribed.
struct Link {
    publisher: MultiplexedConnection,
    subscriber: PubSub,
}

impl RedisBus {
    /// A bus over the Redis at this URL, and what carries its hints there. Replicas of one database give the same `database`; others that
    /// share the Redis give another one.
    ///
    /// # Errors
    /// [`BusError::Redis`] when the URL cannot be used. Nothing is connected yet.
    pub fn new(url: &str, database: u64) -> Result<(Self, RedisCourier), BusError> {
        let info: ConnectionInfo = url.into_connection_info()?;
        // A hint is small and in a hurry.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let shared = Arc::new(Shared {
            known: watch::Sender::new(0),
            own: watch::Sender::new(0),
            gaps: watch::Sender::new(0),
            is_up: AtomicBool::new(false),
        });
        let courier =
            RedisCourier { shared: Arc::clone(&shared), client: Client::open(info)?, channel: format!("{CHANNEL_PREFIX}{database:016x}") };
        Ok((Self(shared), courier))
    }
}

impl Bus for RedisBus {
    fn wake(&self, number: u64) {
        // Readers here first; what comes back from Redis is no news to them.
        raise(&self.0.known, number);
        raise(&self.0.own, number);
        if !self.0.is_up.load(Ordering::Relaxed) {
            dropped();
        }
    }

    fn heard(&self) -> watch::Receiver<u64> {
        self.0.known.subscribe()
    }

    fn gaps(&self) -> Option<watch::Receiver<u64>> {
        Some(self.0.gaps.subscribe())
    }

    fn state(&self) -> BusState {
        if self.0.is_up.load(Ordering::Relaxed) { BusState::Up } else { BusState::Down }
    }
}

impl RedisCourier {
    /// Carries hints until `stop`, connecting as often as needed.
    pub async fn run(self, stop: CancellationToken) {
        let mut wait = RETRY_FIRST;
        let mut is_first = true;
        self.set_up(false);
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => break,
                ended = self.carry(&mut wait, &mut is_first) => ended,
            };
            if self.shared.is_up.load(Ordering::Relaxed) || wait == RETRY_FIRST {
                tracing::warn!(
                    error = &ended as &dyn std::error::Error,
                    "the bus is down, commits of other replicas are looked for every second"
                );
            }
            self.set_up(false);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
            wait = (wait * 2).min(RETRY_LAST);
        }
        self.set_up(false);
    }

    fn set_up(&self, is_up: bool) {
        self.shared.is_up.store(is_up, Ordering::Relaxed);
        metrics::gauge!("plimsoll_bus_connected").set(f64::from(u8::from(is_up)));
    }

    /// Connects and carries hints for as long as that works; why it ended.
    async fn carry(&self, wait: &mut Duration, is_first: &mut bool) -> BusError {
        let mut link = match timeout(CONNECT_MAX, self.connect()).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return error,
            Err(_) => return BusError::Late,
        };
        *wait = RETRY_FIRST;
        self.set_up(true);
        tracing::info!("the bus is up");
        if !std::mem::take(is_first) {
            metrics::counter!("plimsoll_bus_reconnects_total").increment(1);
        }
        // Whatever was told before the subscription stood has been lost.
        self.shared.gaps.send_modify(|gaps| *gaps += 1);
        match self.serve(&mut link).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn connect(&self) -> Result<Link, BusError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_MAX)).set_response_timeout(Some(PUBLISH_MAX));
        let publisher = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut subscriber = self.client.get_async_pubsub().await?;
        subscriber.subscribe(&self.channel).await?;
        Ok(Link { publisher, subscriber })
    }

    async fn serve(&self, link: &mut Link) -> Result<std::convert::Infallible, BusError> {
        let mut own = self.shared.own.subscribe();
        // What was told while nobody was connected goes out with the first beat, which comes at once.
        own.mark_unchanged();
        let mut published = *own.borrow();
        let mut beats = interval(BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        let mut messages = link.subscriber.on_message();
        loop {
            tokio::select! {
                message = messages.next() => {
                    let message = message.ok_or(BusError::Closed)?;
                    heard_at = Instant::now();
                    self.hear(&message);
                }
                // The sender is ours: it lives as long as we do.
                _ = own.changed() => {
                    let number = *own.borrow_and_update();
                    published = number;
                    publish(&mut link.publisher, &self.channel, number).await?;
                }
                _ = beats.tick() => {
                    if heard_at.elapsed() > SILENCE_MAX {
                        return Err(BusError::Silent);
                    }
                    publish(&mut link.publisher, &self.channel, published).await?;
                }
            }
        }
    }

    fn hear(&self, message: &Msg) {
        metrics::counter!("plimsoll_bus_messages_total", "direction" => "received").increment(1);
        match number_of(message.get_payload_bytes()) {
            Some(number) => {
                raise(&self.shared.known, number);
            }
            None => tracing::debug!(channel = self.channel, "a message of the bus is no number"),
        }
    }
}

async fn publish(publisher: &mut MultiplexedConnection, channel: &str, number: u64) -> Result<(), BusError> {
    let published = timeout(PUBLISH_MAX, publisher.publish::<_, _, u64>(channel, number)).await;
    match published {
        Ok(Ok(_)) => {
            metrics::counter!("plimsoll_bus_messages_total", "direction" => "published").increment(1);
            Ok(())
        }
        failed => {
            dropped();
            Err(match failed {
                Ok(Err(error)) => BusError::Redis(error),
                _ => BusError::Late,
            })
        }
    }
}

fn dropped() {
    metrics::counter!("plimsoll_bus_drops_total").increment(1);
}

/// The number that a message tells, in decimal digits.
fn number_of(payload: &[u8]) -> Option<u64> {
    if payload.len() > NUMBER_DIGITS_MAX || !payload.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(payload).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_are_heard() {
        assert_eq!(number_of(b"0"), Some(0));
        assert_eq!(number_of(b"18446744073709551615"), Some(u64::MAX));
        for wrong in [&b""[..], b"18446744073709551616", b"-1", b"+1", b"1 ", b"x", b"\xff", b"000000000000000000001"] {
            assert_eq!(number_of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn readers_here_are_woken_without_redis() {
        let (bus, _courier) = RedisBus::new("redis://127.0.0.1:1", 7).unwrap();
        let mut heard = bus.heard();
        bus.wake(3);
        assert_eq!((*heard.borrow_and_update(), bus.state()), (3, BusState::Down));
    }

    #[test]
    fn a_password_is_not_shown() {
        let (bus, courier) = RedisBus::new("redis://:hunter2@127.0.0.1:1", 7).unwrap();
        assert!(!format!("{bus:?} {courier:?}").contains("hunter2"));
        assert!(RedisBus::new("http://x", 7).is_err());
    }
}
