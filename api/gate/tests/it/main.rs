//! Tests of the gate in front of a real async-graphql schema.


mod host;
mod zoo;

mod answers;
mod language;
mod oracle;
mod sdl;
