//! The server: GraphQL, HTTP and the command line around the domain.

pub mod auth;
pub mod command;
pub mod config;
pub mod graphql;
pub mod http;
pub mod telemetry;
