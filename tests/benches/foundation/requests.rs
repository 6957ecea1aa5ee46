//! `{ viewer { subject } }` against a bare axum handler that verifies the same token, by the same client.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jsonwebtoken::{DecodingKey, Validation, decode};
use plimsoll_tests::{Database, SECRET, Server, token};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Connections of the client.
const CONNECTIONS: usize = 16;
/// Time of one measurement.
const MEASURED: Duration = Duration::from_secs(5);
/// The ratio that is asked for.
const RATIO_WANTED: f64 = 0.5;

/// Answers with what the token says.
async fn bare(headers: HeaderMap, _body: String) -> Result<String, StatusCode> {
    let text = headers.get("authorization").and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    let claims = decode::<Value>(text.unwrap_or_default(), &key, &Validation::default()).map_err(|_| StatusCode::UNAUTHORIZED)?;
    Ok(format!("{{\"data\":{{\"viewer\":{{\"subject\":{}}}}}}}", claims.claims["sub"]))
}

/// Requests a second against an address.
async fn rate(address: &str) -> f64 {
    let body = r#"{"query":"{ viewer { subject } }"}"#;
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        token(&["ADMIN"]),
        body.len()
    );
    let until = Instant::now() + MEASURED;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let (address, request) = (address.to_owned(), request.clone());
        clients.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut done, mut buffer) = (0_u64, vec![0; 8_192]);
            while Instant::now() < until {
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut read = 0;
                // Both answers end with the object and come in one piece or two.
                while !buffer[..read].ends_with(b"}}}") {
                    read += stream.read(&mut buffer[read..]).await.unwrap();
                    assert!(read > 0);
                }
                assert!(buffer.starts_with(b"HTTP/1.1 200"));
                done += 1;
            }
            done
        }));
    }
    let mut done = 0;
    for client in clients {
        done += client.await.unwrap();
    }
    done as f64 / MEASURED.as_secs_f64()
}

/// Measures the bare handler and the server, twice in turn.
pub async fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bare_address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/graphql", post(bare))).await });
    let database = Database::sqlite();
    let server = Server::start(&database);
    let address = server.url.trim_start_matches("http://").to_owned();
    rate(&address).await;
    let (bare, own) = (rate(&bare_address).await, rate(&address).await);
    println!(
        "requests: {own:.0}/s for {{ viewer {{ subject }} }}, bare handler {bare:.0}/s: ratio {:.2} (wanted {RATIO_WANTED})",
        own / bare
    );
    server.stop();
}
