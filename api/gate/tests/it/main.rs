//! Tests of the gate in front of a real async-graphql schema.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

mod host;
mod zoo;

mod answers;
mod attacks;
mod contract;
mod http;
mod language;
mod oracle;
mod sdl;
