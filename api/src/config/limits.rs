//! Every limit of the server, in one place.
//!
//! Invariant: each value lies in the range that stands beside it in [`Limits::out_of_range`]; nothing is unbounded.

use serde::{Deserialize, Serialize};

/// The limits. What they mean stands in `config.default.toml`; the unit ends the name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config.default.toml documents each field once, for operators and readers alike")]
pub struct Limits {
    pub document_bytes: usize,
    pub document_tokens: usize,
    pub depth: usize,
    pub complexity: u64,
    pub aliases: usize,
    pub root_fields: usize,
    pub directives: usize,
    pub errors_per_answer: usize,
    pub query_ms: u64,
    pub page_size: usize,
    pub connections: usize,
    pub headers_bytes: usize,
    pub uri_bytes: usize,
    pub request_body_bytes: usize,
    pub header_read_ms: u64,
    pub body_read_ms: u64,
    pub write_stall_ms: u64,
    pub sockets: usize,
    pub socket_operations: usize,
    pub socket_message_bytes: usize,
    pub socket_init_ms: u64,
    pub socket_write_ms: u64,
    pub socket_keep_alive_ms: u64,
    pub token_bytes: usize,
    pub shutdown_ms: u64,
    pub ingest_body_bytes: usize,
    pub ingest_in_flight_bytes: usize,
    pub audit_queue: usize,
}

/// Largest whole number that a limit may have where nothing smaller is sensible.
const HUGE: u64 = 1 << 40;
/// Longest time that a limit may have: an hour.
const HOUR_MS: u64 = 3_600_000;

impl Limits {
    /// The first limit that lies outside its range, as (name, reason).
    #[must_use]
    pub fn out_of_range(&self) -> Option<(&'static str, String)> {
        self.ranges()
            .into_iter()
            .find(|(_, value, low, high)| value < low || value > high)
            .map(|(name, value, low, high)| (name, format!("{value} lies outside {low} to {high}")))
    }

    fn ranges(&self) -> Vec<(&'static str, u64, u64, u64)> {
        let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        vec![
            ("document_bytes", size(self.document_bytes), 1, HUGE),
            ("document_tokens", size(self.document_tokens), 1, HUGE),
            // The parser and the executor recurse by depth.
            ("depth", size(self.depth), 1, 200),
            ("complexity", self.complexity, 1, HUGE),
            ("aliases", size(self.aliases), 0, HUGE),
            ("root_fields", size(self.root_fields), 1, HUGE),
            ("directives", size(self.directives), 0, HUGE),
            ("errors_per_answer", size(self.errors_per_answer), 1, 1_000),
            ("query_ms", self.query_ms, 1, HOUR_MS),
            ("page_size", size(self.page_size), 1, 10_000),
            ("connections", size(self.connections), 1, 1_000_000),
            // hyper keeps a read buffer of at least 8 KiB.
            ("headers_bytes", size(self.headers_bytes), 8_192, 1 << 20),
            ("uri_bytes", size(self.uri_bytes), 64, size(self.headers_bytes)),
            ("request_body_bytes", size(self.request_body_bytes), 1_024, HUGE),
            ("header_read_ms", self.header_read_ms, 1, HOUR_MS),
            ("body_read_ms", self.body_read_ms, 1, HOUR_MS),
            ("write_stall_ms", self.write_stall_ms, 1, HOUR_MS),
            ("sockets", size(self.sockets), 0, 1_000_000),
            ("socket_operations", size(self.socket_operations), 1, 10_000),
            ("socket_message_bytes", size(self.socket_message_bytes), 1_024, HUGE),
            ("socket_init_ms", self.socket_init_ms, 1, HOUR_MS),
            ("socket_write_ms", self.socket_write_ms, 1, HOUR_MS),
            ("socket_keep_alive_ms", self.socket_keep_alive_ms, 1, HOUR_MS),
            ("token_bytes", size(self.token_bytes), 256, size(self.headers_bytes)),
            ("shutdown_ms", self.shutdown_ms, 0, HOUR_MS),
            ("ingest_body_bytes", size(self.ingest_body_bytes), 1_024, HUGE),
            ("ingest_in_flight_bytes", size(self.ingest_in_flight_bytes), size(self.ingest_body_bytes), HUGE),
            ("audit_queue", size(self.audit_queue), 1, 10_000_000),
        ]
    }
}
