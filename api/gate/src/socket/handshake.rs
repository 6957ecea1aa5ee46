//! The handshake of RFC 6455, section 4.2: what a request for a WebSocket must say, and the answer that switches protocols.
//!
//! Must not know: what is said over the socket.

use axum::body::Body;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tungstenite::handshake::derive_accept_key;

/// A request that may become a WebSocket.
pub struct Handshake {
    accept: HeaderValue,
    on_upgrade: OnUpgrade,
}

/// Whether a request asks for a WebSocket.
pub fn is_asked_for(parts: &Parts) -> bool {
    parts.method == Method::GET && has_token(&parts.headers, UPGRADE, "websocket")
}

/// Whether one of the tokens of a header is this one.
fn has_token(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    let has =
        |value: &HeaderValue| value.to_str().is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted)));
    headers.get_all(name).iter().any(has)
}

/// Whether a client offers a sub-protocol. Names of sub-protocols are case-sensitive.
pub fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    let has = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.split(',').any(|token| token.trim() == protocol));
    headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().any(has)
}

impl Handshake {
    /// Reads a request that asks for a WebSocket.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(parts: &mut Parts) -> Result<Self, &'static str> {
        if !has_token(&parts.headers, CONNECTION, "upgrade") {
            return Err("a handshake needs `Connection: Upgrade`");
        }
        if parts.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err("a handshake needs `Sec-WebSocket-Version: 13`");
        }
        let key = parts.headers.get(SEC_WEBSOCKET_KEY).ok_or("a handshake needs `Sec-WebSocket-Key`")?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).map_err(|_| "the `Sec-WebSocket-Key` is not valid")?;
        let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or("this connection cannot become a WebSocket")?;
        Ok(Self { accept, on_upgrade })
    }

    /// The answer that switches protocols, and what becomes the socket once it has been sent.
    pub fn accept(self, protocol: &'static str) -> (Response<Body>, OnUpgrade) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        (response, self.on_upgrade)
    }
}
