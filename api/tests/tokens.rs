//! Tokens that must not get in, and those that must: every attack of the conformance list, on secrets and on key sets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto};
use plimsoll::auth::{AuthError, Authenticator, Caller, TokenError};
use plimsoll::config::Config;
use plimsoll_domain::clock::{Clock as _, FixedClock};
use plimsoll_entity::value::time::{Instant, MINUTE_US, SECOND_US};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SECRET: &str = "a secret of the tests, 32 bytes long or more";
const NOW_S: i64 = 1_770_000_000;

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::at(Instant(NOW_S * SECOND_US)))
}

fn key_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)
}

fn key_bytes(name: &str) -> Vec<u8> {
    std::fs::read(key_file(name)).unwrap()
}

fn authenticator_on(clock: Arc<FixedClock>, variables: &[(&str, &str)]) -> Authenticator {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::load(variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))).unwrap().config;
    Authenticator::new(&config.auth, None, config.limits.token_bytes, clock).unwrap()
}

fn authenticator(variables: &[(&str, &str)]) -> Authenticator {
    authenticator_on(clock(), variables)
}

fn with_secret() -> Authenticator {
    authenticator(&[("PLIMSOLL_JWT_SECRET", SECRET)])
}

fn with_both() -> Authenticator {
    authenticator(&[("PLIMSOLL_JWT_SECRET", SECRET), ("PLIMSOLL_JWKS", key_file("jwks.json").to_str().unwrap())])
}

fn claims() -> Value {
    json!({"sub": "td", "roles": ["PIPELINE_TD"], "exp": NOW_S + 600})
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token whose header is written by hand, signed with a key of the algorithm's family.
fn signed(header: &str, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), part(claims));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn hs256(claims: &Value, secret: &[u8]) -> String {
    signed(r#"{"alg":"HS256","typ":"JWT"}"#, claims, &EncodingKey::from_secret(secret), Algorithm::HS256)
}

fn private(name: &str) -> (EncodingKey, Algorithm) {
    let pem = key_bytes(&format!("{name}.private.pem"));
    match name {
        "ec" => (EncodingKey::from_ec_pem(&pem).unwrap(), Algorithm::ES256),
        "ed" => (EncodingKey::from_ed_pem(&pem).unwrap(), Algorithm::EdDSA),
        _ => (EncodingKey::from_rsa_pem(&pem).unwrap(), Algorithm::RS256),
    }
}

fn with_key(name: &str, kid: Option<&str>, claims: &Value) -> String {
    let (key, algorithm) = private(name);
    let mut header = Header::new(algorithm);
    header.kid = kid.map(ToOwned::to_owned);
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

async fn ask(authenticator: &Authenticator, token: &str) -> Result<Caller, AuthError> {
    authenticator.authenticate_token(token, None).await
}

async fn refusal(authenticator: &Authenticator, token: &str) -> TokenError {
    match ask(authenticator, token).await {
        Err(AuthError::Token(error)) => error,
        other => panic!("{token}: {other:?}"),
    }
}

#[tokio::test]
async fn good_tokens_get_in_with_their_roles() {
    let authenticator = with_both();
    let peer = "192.0.2.7:5000".parse().unwrap();
    let caller = authenticator.authenticate_token(&hs256(&claims(), SECRET.as_bytes()), Some(peer)).await.unwrap();
    assert_eq!((&*caller.subject, caller.roles.to_string().as_str()), ("td", "PIPELINE_TD"));
    assert_eq!(caller.expires_at, Instant((NOW_S + 600) * SECOND_US));
    assert_eq!(caller.address, Some(peer.ip()));
    for name in ["rsa", "ec", "ed"] {
        for kid in [Some(name), None] {
            assert!(ask(&authenticator, &with_key(name, kid, &claims())).await.is_ok(), "{name} {kid:?}");
        }
    }
    let without_roles = json!({"sub": "visitor", "exp": NOW_S + 600});
    assert!(ask(&authenticator, &hs256(&without_roles, SECRET.as_bytes())).await.unwrap().roles.is_empty());
    let fractions = changed("exp", json!(NOW_S as f64 + 0.5));
    assert!(ask(&authenticator, &hs256(&fractions, SECRET.as_bytes())).await.is_ok());
}

#[tokio::test]
async fn unsigned_and_forged_tokens_are_refused() {
    let authenticator = with_both();
    for alg in ["none", "None", "NONE", "nOnE", "", "HS1", "HS384", "HS512", "RS384", "PS256", "ES384", "ES256K", "A128KW", "dir"] {
        let header = json!({"alg": alg, "typ": "JWT"});
        for signature in ["", "AAAA"] {
            let token = format!("{}.{}.{signature}", part(&header), part(&claims()));
            assert_eq!(refusal(&authenticator, &token).await, TokenError::Algorithm, "{alg}");
        }
    }
    for header in [json!({"typ": "JWT"}), json!({"alg": null}), json!({"alg": ["HS256"]}), json!({"alg": 1}), json!([]), json!("HS256")] {
        assert_eq!(refusal(&authenticator, &format!("{}.{}.", part(&header), part(&claims()))).await, TokenError::Malformed, "{header}");
    }
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let twice = signed(r#"{"alg":"HS256","alg":"HS256"}"#, &claims(), &secret, Algorithm::HS256);
    assert_eq!(refusal(&authenticator, &twice).await, TokenError::Malformed);
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let header = serde_json::to_string(&Header::new(algorithm)).unwrap();
        assert_eq!(refusal(&authenticator, &signed(&header, &claims(), &secret, algorithm)).await, TokenError::Algorithm);
    }
}

#[tokio::test]
async fn no_changed_byte_gets_through() {
    let authenticator = with_secret();
    let token = hs256(&claims(), SECRET.as_bytes());
    for at in 0..token.len() {
        for replacement in ["A", "B", "-", ".", "=", " ", "\u{e9}"] {
            let mut forged = token.clone();
            forged.replace_range(at..=at, replacement);
            if forged != token {
                assert!(ask(&authenticator, &forged).await.is_err(), "{at} {replacement}");
            }
        }
    }
    for cut in 0..token.len() {
        assert!(ask(&authenticator, &token[..cut]).await.is_err(), "{cut}");
    }
    let (message, signature) = token.rsplit_once('.').unwrap();
    for forged in
        [format!("{message}."), message.to_owned(), format!("{token}."), format!(".{token}"), format!("{token}="), format!(" {token}")]
    {
        assert!(ask(&authenticator, &forged).await.is_err(), "{forged}");
    }
    let promoted = changed("roles", json!(["ADMIN"]));
    let forged = format!("{}.{}.{signature}", message.split_once('.').unwrap().0, part(&promoted));
    assert_eq!(refusal(&authenticator, &forged).await, TokenError::Signature);
    assert!(ask(&authenticator, &token).await.is_ok());
}

#[tokio::test]
async fn public_keys_are_no_secrets() {
    let jwks_only = authenticator(&[("PLIMSOLL_JWKS", key_file("jwks.json").to_str().unwrap())]);
    for authenticator in [with_both(), jwks_only] {
        let _ = ask(&authenticator, &with_key("rsa", Some("rsa"), &claims())).await.unwrap();
        for name in ["rsa", "ec", "ed"] {
            let pem = key_bytes(&format!("{name}.public.pem"));
            let text = String::from_utf8(pem.clone()).unwrap();
            let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
            let der = base64::engine::general_purpose::STANDARD.decode(&body).unwrap();
            for secret in [pem.clone(), text.trim_end().as_bytes().to_vec(), body.into_bytes(), der] {
                for kid in ["", r#","kid":"rsa""#, r#","kid":"oct""#] {
                    let header = format!(r#"{{"alg":"HS256","typ":"JWT"{kid}}}"#);
                    let token = signed(&header, &claims(), &EncodingKey::from_secret(&secret), Algorithm::HS256);
                    assert!(ask(&authenticator, &token).await.is_err(), "{name}");
                }
            }
        }
        let symmetric = signed(
            r#"{"alg":"HS256","kid":"oct"}"#,
            &claims(),
            &EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef"),
            Algorithm::HS256,
        );
        assert!(ask(&authenticator, &symmetric).await.is_err());
    }
}

#[tokio::test]
async fn weak_secrets_open_nothing() {
    let authenticator = with_secret();
    for secret in ["", "secret", "password", "changeme", "plimsoll", "your-256-bit-secret", "0", "\0", "a secret of the tests", "HS256"] {
        assert_eq!(refusal(&authenticator, &hs256(&claims(), secret.as_bytes())).await, TokenError::Signature, "{secret}");
    }
}

#[tokio::test]
async fn a_header_leads_to_no_key() {
    let authenticator = with_both();
    let (mallory, _) = private("rsa-next");
    let public: Value = serde_json::from_slice(&key_bytes("jwks.rotated.json")).unwrap();
    for extra in [
        json!({"jwk": public["keys"][0]}),
        json!({"jku": "http://127.0.0.1:1/jwks.json"}),
        json!({"x5u": "http://127.0.0.1:1/cert.pem"}),
        json!({"x5c": ["MIIB"]}),
        json!({"kid": "enc"}),
        json!({"kid": "small"}),
        json!({"kid": "../../../dev/null"}),
        json!({"kid": "rsa' OR '1'='1"}),
        json!({"kid": "http://127.0.0.1:1/"}),
        json!({"kid": "rsa"}),
        json!({"kid": "ec"}),
    ] {
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let error = refusal(&authenticator, &signed(&header.to_string(), &claims(), &mallory, Algorithm::RS256)).await;
        assert!(matches!(error, TokenError::Signature | TokenError::UnknownKey), "{extra}: {error:?}");
    }
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    for extra in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":"exp""#,
        r#""crit":["b64"],"b64":false"#,
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""typ":"logout+jwt""#,
    ] {
        let token = signed(&format!(r#"{{"alg":"HS256",{extra}}}"#), &claims(), &secret, Algorithm::HS256);
        assert_eq!(refusal(&authenticator, &token).await, TokenError::Header, "{extra}");
    }
    for kid in [json!(7), json!({}), json!(["rsa"])] {
        let token = signed(&json!({"alg": "HS256", "kid": kid}).to_string(), &claims(), &secret, Algorithm::HS256);
        assert_eq!(refusal(&authenticator, &token).await, TokenError::Malformed, "{kid}");
    }
    // A good signature is not spoiled by hints that are not followed.
    let harmless = signed(r#"{"alg":"HS256","jku":"http://127.0.0.1:1/","kid":"x"}"#, &claims(), &secret, Algorithm::HS256);
    assert!(ask(&authenticator, &harmless).await.is_ok());
}

#[tokio::test]
async fn algorithms_must_fit_their_keys() {
    let authenticator = with_both();
    for (name, other) in [("rsa", "ec"), ("ec", "rsa"), ("ed", "ec"), ("rsa", "ed")] {
        assert_eq!(refusal(&authenticator, &with_key(name, Some(other), &claims())).await, TokenError::UnknownKey, "{name} as {other}");
    }
    assert_eq!(refusal(&with_secret(), &with_key("rsa", Some("rsa"), &claims())).await, TokenError::Algorithm);
}

#[tokio::test]
async fn odd_claims_are_refused() {
    let authenticator = with_secret();
    let odd = [
        json!("1770000600"),
        json!(""),
        json!(null),
        json!(true),
        json!([]),
        json!([NOW_S + 600]),
        json!({}),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
    ];
    for name in ["exp", "nbf", "iat"] {
        for value in &odd {
            let error = refusal(&authenticator, &hs256(&changed(name, value.clone()), SECRET.as_bytes())).await;
            assert_eq!(error, TokenError::Claim(name), "{name} {value}");
        }
    }
    for (name, values) in [
        ("roles", vec![json!(1), json!(null), json!({"ADMIN": true}), json!(["ADMIN", 7]), json!([["ADMIN"]]), json!(true)]),
        ("aud", vec![json!(1), json!(null), json!({}), json!([1]), json!(true)]),
        ("iss", vec![json!(1), json!(null), json!(["x"])]),
        ("sub", vec![json!(1), json!(null), json!(""), json!(["td"]), json!("a\nb"), json!("x".repeat(257))]),
    ] {
        for value in values {
            let error = refusal(&authenticator, &hs256(&changed(name, value.clone()), SECRET.as_bytes())).await;
            assert_eq!(error, TokenError::Claim(name), "{name} {value}");
        }
    }
    for name in ["exp", "sub"] {
        let mut without = claims();
        without.as_object_mut().unwrap().remove(name);
        assert_eq!(refusal(&authenticator, &hs256(&without, SECRET.as_bytes())).await, TokenError::Claim(name));
    }
    for payload in [json!([]), json!("x"), json!(null), json!(1)] {
        assert_eq!(refusal(&authenticator, &hs256(&payload, SECRET.as_bytes())).await, TokenError::Malformed);
    }
}

#[tokio::test]
async fn times_have_a_leeway_of_five_seconds() {
    let authenticator = with_secret();
    for (name, offset_s, expected) in [
        ("exp", -4, None),
        ("exp", -5, Some(TokenError::Expired)),
        ("exp", -NOW_S, Some(TokenError::Expired)),
        ("nbf", 5, None),
        ("nbf", 6, Some(TokenError::Early)),
        ("iat", 3_600, Some(TokenError::Early)),
        ("iat", -3_600, None),
    ] {
        let token = hs256(&changed(name, json!(NOW_S + offset_s)), SECRET.as_bytes());
        let refused = ask(&authenticator, &token).await.err().map(|error| match error {
            AuthError::Token(error) => error,
            other => panic!("{other:?}"),
        });
        assert_eq!(refused, expected, "{name} {offset_s}");
    }
}

#[tokio::test]
async fn a_remembered_token_still_expires() {
    let clock = clock();
    let authenticator = authenticator_on(Arc::clone(&clock), &[("PLIMSOLL_JWT_SECRET", SECRET)]);
    let token = hs256(&claims(), SECRET.as_bytes());
    assert!(ask(&authenticator, &token).await.is_ok());
    assert!(ask(&authenticator, &token).await.is_ok());
    clock.advance_us(605 * SECOND_US);
    assert_eq!(refusal(&authenticator, &token).await, TokenError::Expired);
}

#[tokio::test]
async fn issuer_and_audience_are_checked_when_configured() {
    let authenticator = authenticator(&[
        ("PLIMSOLL_JWT_SECRET", SECRET),
        ("PLIMSOLL_JWT_ISSUER", "https://id.example/"),
        ("PLIMSOLL_JWT_AUDIENCE", "plimsoll,other"),
    ]);
    let token = |issuer: Option<Value>, audience: Option<Value>| {
        let mut claims = claims();
        for (name, value) in [("iss", issuer), ("aud", audience)] {
            if let Some(value) = value {
                claims[name] = value;
            }
        }
        hs256(&claims, SECRET.as_bytes())
    };
    let ours = || Some(json!("https://id.example/"));
    assert!(ask(&authenticator, &token(ours(), Some(json!("plimsoll")))).await.is_ok());
    assert!(ask(&authenticator, &token(ours(), Some(json!(["x", "other"])))).await.is_ok());
    for issuer in [None, Some(json!("https://id.example")), Some(json!("https://evil.example/"))] {
        assert_eq!(refusal(&authenticator, &token(issuer, Some(json!("plimsoll")))).await, TokenError::Issuer);
    }
    for audience in [None, Some(json!("plimsol")), Some(json!([])), Some(json!(["x"])), Some(json!("plimsoll,other"))] {
        assert_eq!(refusal(&authenticator, &token(ours(), audience)).await, TokenError::Audience);
    }
}

#[tokio::test]
async fn a_token_comes_from_the_authorization_header_only() {
    let authenticator = with_secret();
    let token = hs256(&claims(), SECRET.as_bytes());
    let ask = async |pairs: &[(&'static str, String)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        authenticator.authenticate(&headers, None).await
    };
    assert!(ask(&[("authorization", format!("Bearer {token}"))]).await.is_ok());
    assert!(ask(&[("authorization", format!("bearer  {token} "))]).await.is_ok());
    assert_eq!(ask(&[]).await, Err(AuthError::Missing));
    assert_eq!(ask(&[("cookie", format!("token={token}; access_token={token}"))]).await, Err(AuthError::Missing));
    assert_eq!(
        ask(&[("x-authorization", format!("Bearer {token}")), ("proxy-authorization", format!("Bearer {token}"))]).await,
        Err(AuthError::Missing)
    );
    for value in ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer a b", "Bearer a,b", "Bearer\ta", &token] {
        assert_eq!(ask(&[("authorization", value.to_owned())]).await, Err(AuthError::Malformed), "{value:?}");
    }
    let twice = [("authorization", format!("Bearer {token}")), ("authorization", format!("Bearer {token}"))];
    assert_eq!(ask(&twice).await, Err(AuthError::Malformed));
    let long = hs256(&changed("padding", json!("x".repeat(8_192))), SECRET.as_bytes());
    assert_eq!(ask(&[("authorization", format!("Bearer {long}"))]).await, Err(AuthError::Token(TokenError::TooLong)));
}

/// A server of key sets that counts its fetches. An empty text is answered with 500.
async fn key_server(text: Arc<std::sync::Mutex<String>>) -> (String, Arc<AtomicUsize>) {
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let router = axum::Router::new().route(
        "/jwks.json",
        axum::routing::get(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let text = text.lock().unwrap().clone();
            async move { if text.is_empty() { Err(axum::http::StatusCode::INTERNAL_SERVER_ERROR) } else { Ok(text) } }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, fetches)
}

fn jwks(name: &str) -> String {
    String::from_utf8(key_bytes(name)).unwrap()
}

#[tokio::test]
async fn rotated_keys_are_found_at_most_once_a_minute() {
    let text = Arc::new(std::sync::Mutex::new(jwks("jwks.json")));
    let (url, fetches) = key_server(Arc::clone(&text)).await;
    let clock = clock();
    let authenticator = authenticator_on(Arc::clone(&clock), &[("PLIMSOLL_JWKS", &url)]);
    let old = with_key("rsa", Some("rsa"), &claims());
    let new = with_key("rsa-next", Some("rsa-next"), &claims());
    assert!(ask(&authenticator, &old).await.is_ok());
    assert_eq!(refusal(&authenticator, &new).await, TokenError::UnknownKey);
    *text.lock().unwrap() = jwks("jwks.rotated.json");
    assert_eq!(refusal(&authenticator, &new).await, TokenError::UnknownKey);
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    clock.advance_us(MINUTE_US);
    assert!(ask(&authenticator, &new).await.is_ok());
    assert_eq!(fetches.load(Ordering::SeqCst), 2);
    // The old key is gone, and with it what was remembered of its tokens.
    assert_eq!(refusal(&authenticator, &old).await, TokenError::UnknownKey);
}

#[tokio::test]
async fn two_hundred_unknown_kids_cost_one_fetch() {
    let (url, fetches) = key_server(Arc::new(std::sync::Mutex::new(jwks("jwks.json")))).await;
    let authenticator = Arc::new(authenticator(&[("PLIMSOLL_JWKS", &url)]));
    let (key, algorithm) = private("ed");
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let token = signed(&json!({"alg": "EdDSA", "kid": format!("made-up-{number}")}).to_string(), &claims(), &key, algorithm);
            let authenticator = Arc::clone(&authenticator);
            tokio::spawn(async move { ask(&authenticator, &token).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Err(AuthError::Token(TokenError::UnknownKey)));
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_old_keys() {
    let text = Arc::new(std::sync::Mutex::new(jwks("jwks.json")));
    let (url, fetches) = key_server(Arc::clone(&text)).await;
    let clock = clock();
    let authenticator = authenticator_on(Arc::clone(&clock), &[("PLIMSOLL_JWKS", &url)]);
    let token = with_key("ec", Some("ec"), &claims());
    assert!(ask(&authenticator, &token).await.is_ok());
    for broken in [
        "",
        "no json",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#,
        &format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(300_000)),
    ] {
        *text.lock().unwrap() = broken.to_owned();
        clock.advance_us(MINUTE_US);
        assert_eq!(refusal(&authenticator, &with_key("rsa-next", Some("rsa-next"), &claims())).await, TokenError::UnknownKey);
        assert!(ask(&authenticator, &token).await.is_ok(), "{broken:.20}");
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 7);
}

#[tokio::test]
async fn a_key_set_that_cannot_be_had_refuses_and_recovers() {
    let clock = clock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let authenticator = authenticator_on(Arc::clone(&clock), &[("PLIMSOLL_JWKS", path.to_str().unwrap())]);
    let token = with_key("ed", Some("ed"), &claims());
    assert_eq!(refusal(&authenticator, &token).await, TokenError::UnknownKey);
    std::fs::write(&path, jwks("jwks.json")).unwrap();
    clock.advance_us(MINUTE_US);
    assert!(ask(&authenticator, &token).await.is_ok());
    assert!(clock.now() > Instant(0));
}
