//! Where an ordered stream stands, as told by who makes it to who passes it on.
//!
//! Invariant: [`Course::told`] is the place of the item that was yielded last; [`Course::waits_at`] is told only when everything up to
//! that place has been taken. Must not know: what the items are.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// A place in an ordered stream; only the order means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Such as the number of a commit.
    pub number: u64,
    /// Place within it.
    pub index: u32,
}

/// The course of one execution. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Course {
    from: Option<Place>,
    told: Arc<Mutex<Option<Place>>>,
    standing: watch::Sender<Standing>,
}

/// What the passing on waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Where it began, once that is known.
    pub began: Option<Place>,
    /// Everything up to here has been told, and there was nothing more.
    pub waits_at: Option<Place>,
}

impl Course {
    /// A course that begins behind a place, or where the document says.
    #[must_use]
    pub fn behind(from: Option<Place>) -> Self {
        Self { from, told: Arc::default(), standing: watch::Sender::new(Standing::default()) }
    }

    /// Behind which place to begin, whatever the document says.
    #[must_use]
    pub const fn from(&self) -> Option<Place> {
        self.from
    }

    /// Tells behind which place the stream begins.
    pub fn begins(&self, place: Place) {
        self.standing.send_modify(|standing| standing.began = Some(place));
    }

    /// Tells the place of the item that is yielded next. To be called when the item before has been taken.
    pub fn tells(&self, place: Place) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    /// Tells that everything up to a place has been told, and that the stream waits for news.
    pub fn waits(&self, place: Place) {
        self.standing.send_if_modified(|standing| standing.waits_at.replace(place) != Some(place));
    }

    /// The place of the item that was yielded last.
    pub(crate) fn told(&self) -> Option<Place> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears where it stands.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }
}
