//! The messages of `graphql-transport-ws`, read strictly and written.
//!
//! Invariant: a message that does not fit the protocol's text is refused with what is wrong with it, and nothing of it is echoed but
//! the payload of a ping. Must not know: sockets, what an operation means.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::wire::Texts;
use crate::http::params::{Wrong, from_value};
use crate::service::Params;
use crate::stream::Payload;

/// Longest id of an operation: it comes back with each of its payloads.
const ID_MAX_BYTES: usize = 256;

/// The acknowledgement.
pub const ACK: &str = r#"{"type":"connection_ack"}"#;

/// What a client may say.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// Says who calls.
    Init(Map<String, Json>),
    /// Wants a pong with this payload.
    Ping(Option<Json>),
    /// Lives.
    Pong,
    /// Wants an operation.
    Subscribe {
        /// The client's name for it.
        id: String,
        /// The operation.
        params: Params,
    },
    /// Wants no more of an operation.
    Complete {
        /// The client's name for it.
        id: String,
    },
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type", default)]
    kind: Json,
    #[serde(default)]
    id: Json,
    #[serde(default)]
    payload: Json,
}

/// Reads a message. serde_json stops at 128 levels of nesting.
pub fn read(text: &str) -> Result<Incoming, Wrong> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err("a message must be a JSON object");
    }
    let Raw { kind, id, payload } = serde_json::from_str(text).map_err(|_| "the message is not valid JSON")?;
    let Json::String(kind) = kind else { return Err("the message has no type") };
    match kind.as_str() {
        "connection_init" => object(payload).map(|payload| Incoming::Init(payload.unwrap_or_default())),
        "ping" => object(payload).map(|payload| Incoming::Ping(payload.map(Json::Object))),
        "pong" => object(payload).map(|_| Incoming::Pong),
        "subscribe" => {
            let id = operation_id(id)?;
            if !payload.is_object() {
                return Err("subscribe needs a payload that is an object");
            }
            Ok(Incoming::Subscribe { id, params: from_value(payload)? })
        }
        "complete" => Ok(Incoming::Complete { id: operation_id(id)? }),
        _ => Err("the type of the message is not one that a client sends"),
    }
}

fn object(payload: Json) -> Result<Option<Map<String, Json>>, Wrong> {
    match payload {
        Json::Null => Ok(None),
        Json::Object(payload) => Ok(Some(payload)),
        _ => Err("the payload must be an object"),
    }
}

fn operation_id(id: Json) -> Result<String, Wrong> {
    match id {
        Json::String(id) if id.is_empty() => Err("the id must not be empty"),
        Json::String(id) if id.len() > ID_MAX_BYTES => Err("the id is too long"),
        Json::String(id) => Ok(id),
        _ => Err("the message needs an id that is a string"),
    }
}

/// The answer to a ping.
pub fn pong(payload: Option<&Json>) -> String {
    match payload {
        Some(payload) => format!(r#"{{"type":"pong","payload":{payload}}}"#),
        None => r#"{"type":"pong"}"#.to_owned(),
    }
}

/// What stands around the payloads of an operation, written once.
#[derive(Debug)]
pub struct Envelope {
    id: Arc<str>,
    /// Up to the type.
    head: Box<str>,
}

impl Envelope {
    /// The envelope of the operation with this id.
    pub fn new(id: String) -> Self {
        let head = format!(r#"{{"id":{},"type":""#, Json::from(id.as_str())).into();
        Self { id: id.into(), head }
    }

    /// The client's name for the operation.
    pub const fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// One more message: what the operation says, or that it has nothing more to say.
    pub fn put(&self, payload: Option<Payload>, into: &mut Texts) {
        let (kind, parts) = match payload {
            Some(Payload::Next(json)) => (&br#"next","payload":"#[..], [json, Bytes::from_static(b"}")]),
            Some(Payload::Failed(json)) => (&br#"error","payload":"#[..], [json, Bytes::from_static(b"}")]),
            None => (&br#"complete"}"#[..], [Bytes::new(), Bytes::new()]),
        };
        into.push(&[self.head.as_bytes(), kind], parts);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_the_protocol_is_read() {
        assert_eq!(read(r#"{"type":"connection_init"}"#), Ok(Incoming::Init(Map::new())));
        assert_eq!(read(r#" {"type":"connection_init","payload":null}"#), Ok(Incoming::Init(Map::new())));
        assert_eq!(read(r#"{"type":"ping","payload":{"a":1}}"#), Ok(Incoming::Ping(Some(json!({"a": 1})))));
        assert_eq!(read(r#"{"type":"pong"}"#), Ok(Incoming::Pong));
        assert_eq!(read(r#"{"type":"complete","id":"1"}"#), Ok(Incoming::Complete { id: "1".to_owned() }));
        let params = Params { query: "{a}".to_owned(), ..Params::default() };
        let text = r#"{"id":"x","type":"subscribe","payload":{"query":"{a}","variables":null,"operationName":null,"extensions":{}}}"#;
        assert_eq!(read(text), Ok(Incoming::Subscribe { id: "x".to_owned(), params }));
    }

    #[test]
    fn what_does_not_is_refused() {
        let deep = format!(r#"{{"type":"ping","payload":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        for wrong in [
            "",
            "null",
            "[]",
            r#"[{"type":"ping"}]"#,
            "{",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"start","id":"1"}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"connection_ack"}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"ping","payload":[1]}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","operationName":7}}"#,
            r#"{"type":"complete"}"#,
            deep.as_str(),
        ] {
            assert!(read(wrong).is_err(), "{}", wrong.get(..80).unwrap_or(wrong));
        }
        assert!(read(&format!(r#"{{"type":"complete","id":"{}"}}"#, "x".repeat(ID_MAX_BYTES + 1))).is_err());
    }

    /// A message without the head of its frame, which is 2 bytes as long as the message is short.
    fn put(id: &str, payload: Option<Payload>) -> Vec<u8> {
        let mut texts = Texts::default();
        Envelope::new(id.to_owned()).put(payload, &mut texts);
        let length = texts.remaining();
        texts.copy_to_bytes(length)[2..].to_vec()
    }

    #[test]
    fn payloads_are_framed_with_ids_of_any_kind() {
        let text = put("a\"\u{7}", Some(Payload::Next(Bytes::from_static(br#"{"data":null}"#))));
        let read: Json = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, json!({"id": "a\"\u{7}", "type": "next", "payload": {"data": null}}));
        assert_eq!(put("1", Some(Payload::Failed(Bytes::from_static(b"[]")))), br#"{"id":"1","type":"error","payload":[]}"#);
        assert_eq!(put("1", None), br#"{"id":"1","type":"complete"}"#);
        assert_eq!(pong(Some(&json!({"a": 1}))), r#"{"type":"pong","payload":{"a":1}}"#);
    }
}
