//! Tests of the gate in front of a real async-graphql schema.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where its helpers do")]

mod host;
mod zoo;

mod answers;
mod attacks;
mod contract;
mod event_stream;
mod http;
mod language;
mod limits;
mod oracle;
mod sdl;
