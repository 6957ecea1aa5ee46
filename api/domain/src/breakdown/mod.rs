//! Dimension x measure x window: executions and machine samples, from cells and facts.
//!
//! A question is planned (`cell::plan`), its cells are gathered into **atoms** (`gather`), one a distinct set of rows, and atoms
//! are put together to rows, `other` and `total` (`table`), from which the figures follow (`figures`).
//! Invariant: every plan gives the same answer. Must not know: GraphQL, HTTP, roles.

mod artifacts;
pub mod derived;
pub mod dimension;
pub mod executions;
pub mod figures;
pub mod filter;
pub mod gather;
pub mod instance_types;
pub mod job_figures;
pub mod jobs;
pub mod loads;
pub mod machine_lives;
pub mod machines;
mod silences;
pub mod storage;
pub mod switching;
pub mod table;
pub mod timelines;
pub mod usage;

use crate::job::pending::PendingError;
use crate::store::StoreError;

/// Rows that one answer may have.
pub const ROWS_MAX: usize = 10_000;
/// Dimensions of one breakdown.
pub const DIMENSIONS_MAX: usize = 4;
/// Ids of one atom: its dimensions, and the combination where a figure needs it besides.
pub const IDS_WIDTH: usize = DIMENSIONS_MAX + 1;
/// Points of one series.
pub const POINTS_MAX: usize = 2_000;
/// Days of a window.
pub const WINDOW_DAYS_MAX: i64 = 400;
/// Distinct keys that one question may gather before it is told to ask for less.
pub const ATOMS_MAX: usize = 2_000_000;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum BreakdownError {
    /// The question is not one that can be asked; the argument and what is wrong with it.
    #[error("{message}")]
    Question {
        /// The argument.
        field: &'static str,
        /// What is wrong, for the client.
        message: String,
    },
    /// The answer would be too large.
    #[error("{0}")]
    Limit(String),
    /// The store failed.
    #[error("cannot read figures")]
    Store(#[from] StoreError),
}

impl From<PendingError> for BreakdownError {
    fn from(error: PendingError) -> Self {
        match error {
            PendingError::TooMany | PendingError::TooManyRunning => Self::Limit(error.to_string()),
            PendingError::Store(error) => Self::Store(error),
        }
    }
}
