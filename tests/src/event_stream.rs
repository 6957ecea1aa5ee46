//! A client of graphql-sse that reads events as they come.
//!
//! Invariant: every wait is for something to arrive, and bounded. Must not know: what the tests are about.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Server, token};

/// How long anything may take to arrive.
const ARRIVE_MAX: Duration = Duration::from_secs(20);

/// What a stream says.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An answer.
    Next(Value),
    /// Nothing more comes.
    Complete,
    /// Nothing was said, to keep the connection alive.
    Comment,
    /// The stream is over.
    End,
}

/// An open event stream.
#[derive(Debug)]
pub struct EventStream {
    response: reqwest::Response,
    /// What has come of the next event.
    text: String,
}

impl EventStream {
    /// Asks for an event stream with a token.
    ///
    /// # Errors
    /// The HTTP status with which the server refused.
    pub async fn open_with(server: &Server, token: &str, query: &str, variables: Value) -> Result<Self, u16> {
        let request = reqwest::Client::new().post(format!("{}/graphql", server.url)).bearer_auth(token);
        let request = request.header("accept", "text/event-stream").json(&json!({ "query": query, "variables": variables }));
        let response = request.send().await.expect("an answer");
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        Ok(Self { response, text: String::new() })
    }

    /// Asks for an event stream as somebody with these roles.
    pub async fn open(server: &Server, roles: &[&str], query: &str, variables: Value) -> Self {
        Self::open_with(server, &token(roles), query, variables).await.expect("a stream")
    }

    /// What comes next, comments as well.
    pub async fn hear(&mut self) -> Event {
        tokio::time::timeout(ARRIVE_MAX, self.next()).await.expect("something arrives in time")
    }

    /// What comes within a time; none where nothing does.
    pub async fn hear_within(&mut self, time: Duration) -> Option<Event> {
        tokio::time::timeout(time, self.next()).await.ok()
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let read = read(event);
                self.text = rest.to_owned();
                return read;
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).expect("UTF-8")),
                Ok(None) | Err(_) => return Event::End,
            }
        }
    }

    /// The next answer; anything but comments before it fails the test.
    pub async fn payload(&mut self) -> Value {
        loop {
            match self.hear().await {
                Event::Next(payload) => return payload,
                Event::Comment => {}
                other => panic!("no answer but {other:?}"),
            }
        }
    }

    /// The data of the next answer, which must have no errors.
    pub async fn data(&mut self) -> Value {
        let mut payload = self.payload().await;
        assert!(payload["errors"].is_null(), "{payload}");
        payload["data"].take()
    }
}

fn read(event: &str) -> Event {
    if event.starts_with(':') {
        return Event::Comment;
    }
    match event.strip_prefix("event: ").and_then(|event| event.split_once("\ndata:")) {
        Some(("next", data)) => Event::Next(serde_json::from_str(data).expect("JSON")),
        Some(("complete", "")) => Event::Complete,
        _ => panic!("no event: {event}"),
    }
}
