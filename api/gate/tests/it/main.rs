//! Tests of the gate in front of a real async-graphql schema.

mod host;
mod zoo;

mod answers;
mod attacks;
mod contract;
mod http;
mod language;
mod oracle;
mod sdl;
