//! Where somebody stands who follows changes in the order of commits.
//!
//! Must not know: what changes, how a position is written.

/// What has been seen: everything that commits before told, and of this commit everything up to and with this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the commit.
    pub number: u64,
    /// Place in it.
    pub index: u32,
}

impl Position {
    /// Everything up to and with a commit.
    #[must_use]
    pub const fn behind(number: u64) -> Self {
        Self { number, index: u32::MAX }
    }
}

/// Some changes.
#[derive(Clone, Debug)]
pub struct Step<T> {
    /// What changed and is wanted, each with where to go on behind it.
    pub updates: Vec<(Position, T)>,
    /// Where to go on.
    pub reached: Position,
    /// Whether nothing more was committed.
    pub is_end: bool,
}
