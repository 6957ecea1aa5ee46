//! What comes in: reading lines, checking them, writing them.

pub mod event;
