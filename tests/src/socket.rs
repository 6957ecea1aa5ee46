//! A client of `graphql-transport-ws` that does what a test tells it, be it right or wrong.
//!
//! Invariant: every wait is for something to arrive, and bounded. Must not know: what the tests are about.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{Server, token};

/// How long anything may take to arrive.
const ARRIVE_MAX: Duration = Duration::from_secs(20);
/// The one sub-protocol.
pub const PROTOCOL: &str = "graphql-transport-ws";

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A message.
    Message(Value),
    /// A close frame: code and reason.
    Closed(u16, String),
    /// The connection is gone without one.
    Gone,
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens a WebSocket with these headers.
    ///
    /// # Errors
    /// The HTTP status with which the server refused.
    pub async fn open_with(server: &Server, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let address = server.url.strip_prefix("http://").expect("an address");
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("a request");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let stream = TcpStream::connect(address).await.expect("a connection");
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers().get("sec-websocket-protocol").map(HeaderValue::as_bytes), Some(PROTOCOL.as_bytes()));
                Ok(Self(socket))
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    /// Opens a WebSocket with the sub-protocol.
    pub async fn open(server: &Server) -> Self {
        Self::open_with(server, &[("sec-websocket-protocol", PROTOCOL)]).await.expect("an open socket")
    }

    /// Opens a WebSocket and says that a caller with these roles is there.
    pub async fn ready(server: &Server, roles: &[&str]) -> Self {
        let mut socket = Self::open(server).await;
        socket.say(json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {}", token(roles)) } })).await;
        assert_eq!(socket.hear().await, Heard::Message(json!({ "type": "connection_ack" })));
        socket
    }

    /// Sends a message.
    pub async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends anything.
    pub async fn send(&mut self, message: Message) {
        // A socket that the server has closed meanwhile tells so when it is read.
        let _ = self.0.send(message).await;
    }

    /// Asks for an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        self.say(json!({ "id": id, "type": "subscribe", "payload": { "query": query, "variables": variables } })).await;
    }

    /// What the server says next, its own pings left out (they are answered).
    pub async fn hear(&mut self) -> Heard {
        tokio::time::timeout(ARRIVE_MAX, self.next()).await.expect("something arrives in time")
    }

    /// What the server says within a time; none where it is silent.
    pub async fn hear_within(&mut self, time: Duration) -> Option<Heard> {
        tokio::time::timeout(time, self.next()).await.ok()
    }

    async fn next(&mut self) -> Heard {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Heard::Message(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or((0, String::new()), |frame| (u16::from(frame.code), frame.reason.to_string()));
                    return Heard::Closed(code, reason);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("the server sent {other:?}"),
                Some(Err(_)) | None => return Heard::Gone,
            }
        }
    }

    /// The next message; anything else fails the test.
    pub async fn message(&mut self) -> Value {
        match self.hear().await {
            Heard::Message(message) => message,
            other => panic!("no message but {other:?}"),
        }
    }

    /// The data of the next payload of the operation.
    pub async fn data(&mut self, id: &str) -> Value {
        let mut message = self.message().await;
        assert_eq!((&message["id"], &message["type"]), (&json!(id), &json!("next")), "{message}");
        assert!(message["payload"]["errors"].is_null(), "{message}");
        message["payload"]["data"].take()
    }

    /// The first error of the operation, which must be its next message.
    pub async fn error(&mut self, id: &str) -> Value {
        let mut message = self.message().await;
        assert_eq!((&message["id"], &message["type"]), (&json!(id), &json!("error")), "{message}");
        message["payload"][0].take()
    }

    /// The code of the close frame that must come next, and its reason.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.hear().await {
            Heard::Closed(code, reason) => (code, reason),
            other => panic!("no close frame but {other:?}"),
        }
    }

    /// Closes as a client does.
    pub async fn close(mut self) {
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = self.0.close(Some(frame)).await;
        while !matches!(self.next().await, Heard::Gone | Heard::Closed(..)) {}
    }
}
