//! Figures that are looked at again when they may have changed, and told when they have: the newest win, a backlog there is none.
//!
//! Must not know: what is looked at.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use async_graphql::Result;
use futures_util::stream::{self, Stream};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::live::trailing::{Answered, Trailing};
use tokio::sync::watch;

use super::live::{Live, Patience};

/// How long a wait may be before the clock is looked at again: it need not agree with that of the timer.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// What is asked again and again.
pub trait Watched: Clone + Send + Sync + 'static {
    /// What is told.
    type Figures: Send + 'static;
    /// The field that tells it.
    const FIELD: &'static str;

    /// The window that moves on, and how often it is answered.
    fn trailing(&self) -> Trailing;

    /// What one reading says, before which this number had been heard of.
    ///
    /// # Errors
    /// What a client is told; without a code where another look may go better.
    fn look(self, reader: &Reader, reading: &Reading, heard: u64) -> impl Future<Output = Result<Looked<Self::Figures>>>;
}

/// What a look has seen.
#[derive(Debug)]
pub struct Looked<F> {
    /// Of which state of the world.
    pub answered: Answered,
    /// A digest of the figures, whatever their window: a subscription remembers no more of its last answer, however many rows it has.
    pub digest: u64,
    /// The figures.
    pub figures: F,
}

/// A digest of what is written.
pub fn digest(of: fmt::Arguments<'_>) -> u64 {
    struct Digest(DefaultHasher);
    impl fmt::Write for Digest {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut digest = Digest(DefaultHasher::new());
    // Writing into a digest cannot fail.
    let _ = digest.write_fmt(of);
    digest.0.finish()
}

/// The figures, at once and then whenever they are other than the last ones, at most once an interval; ends with an error.
pub fn watch<W: Watched>(reader: Reader, live: Live, watched: W) -> impl Stream<Item = Result<W::Figures>> {
    let heard = live.commits.heard();
    let watching = Watching { reader, live, heard, watched, last: None };
    stream::unfold(Some(watching), async |watching| {
        let mut watching = watching?;
        match watching.next().await {
            Ok(figures) => Some((Ok(figures), Some(watching))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Where a subscription stands.
struct Watching<W> {
    reader: Reader,
    live: Live,
    heard: watch::Receiver<u64>,
    watched: W,
    /// What the last answer held, and the digest of its figures.
    last: Option<(Answered, u64)>,
}

impl<W: Watched> Watching<W> {
    /// The figures, once they are other than the last ones.
    async fn next(&mut self) -> Result<W::Figures> {
        loop {
            self.until_due().await;
            let heard = *self.heard.borrow_and_update();
            let mut patience = Patience::default();
            let Looked { answered, digest, figures } = loop {
                match self.look(heard).await {
                    Ok(looked) => break looked,
                    Err(error) => patience.bear(error).await?,
                }
            };
            let is_news = self.last.is_none_or(|(_, last)| last != digest);
            self.last = Some((answered, digest));
            if is_news {
                return Ok(figures);
            }
        }
    }

    /// Waits until the figures may be others, and the interval is over.
    async fn until_due(&mut self) {
        let Some((answered, _)) = self.last else { return };
        loop {
            let heard = *self.heard.borrow_and_update();
            let wait_us = self.watched.trailing().wait_us(answered, heard, self.reader.store.clock().now());
            let wait = match wait_us {
                Some(us) if us <= 0 => return,
                Some(us) => Duration::from_micros(us.unsigned_abs()).min(WAIT_MAX),
                None => WAIT_MAX,
            };
            // What tells of commits lives as long as the schema; were it gone, time would go on.
            let _ = tokio::time::timeout(wait, self.heard.changed()).await;
        }
    }

    async fn look(&self, heard: u64) -> Result<Looked<W::Figures>> {
        let (reader, watched) = (self.reader.clone(), self.watched.clone());
        self.live.read(&self.reader, W::FIELD, async move |reading: &Reading| watched.look(&reader, reading, heard).await).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_what_is_written_and_not_how() {
        assert_eq!(digest(format_args!("{}{}", 1, "a")), digest(format_args!("1a")));
        assert_ne!(digest(format_args!("1a")), digest(format_args!("1b")));
    }
}
