//! Windows of time.

use async_graphql::{InputObject, SimpleObject};
use plimsoll_entity::value::time::Window;

use crate::graphql::scalar::DateTime;

/// Half-open window [start, end).
#[derive(InputObject, Clone, Copy, Debug)]
pub struct TimeWindowInput {
    /// First instant inside.
    pub start: DateTime,
    /// First instant after; later than start, at most 400 days.
    pub end: DateTime,
}

impl From<TimeWindowInput> for Window {
    fn from(input: TimeWindowInput) -> Self {
        Self { start: input.start.0, end: input.end.0 }
    }
}

/// Half-open window [start, end).
#[derive(SimpleObject, Clone, Copy, Debug)]
pub struct TimeWindow {
    /// First instant inside.
    pub start: DateTime,
    /// First instant after.
    pub end: DateTime,
}

impl From<Window> for TimeWindow {
    fn from(window: Window) -> Self {
        Self { start: DateTime(window.start), end: DateTime(window.end) }
    }
}
