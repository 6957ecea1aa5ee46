//! A JSON Web Key Set from a URL or a file: public keys for RS256, ES256 and EdDSA.
//!
//! Invariants: attempts to load begin at least [`REFRESH_PAUSE_US`] apart, whatever tokens say; a failed attempt keeps the keys that are
//! there; symmetric keys and keys for encryption never get in. Must not know: claims.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use plimsoll_domain::clock::Clock;
use plimsoll_entity::value::time::{Instant, MINUTE_US};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::config::JwksSource;

/// Least time between two attempts to load the set.
pub const REFRESH_PAUSE_US: i64 = MINUTE_US;
/// After so long the set is loaded again even when all tokens fit, so that a key which was withdrawn goes.
pub const MAX_AGE_US: i64 = 10 * MINUTE_US;
/// Longest time of one fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest set that is read.
const SET_MAX_BYTES: usize = 256 * 1024;
/// Most keys that are kept of a set.
const KEYS_MAX: usize = 100;
/// Most keys that a token without `kid` is tried on.
const TRIES_MAX: usize = 8;
/// Shortest and longest RSA modulus.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Why a set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client for the key set")]
    Client(#[source] reqwest::Error),
    /// The server did not give it.
    #[error("cannot fetch the key set")]
    Fetch(#[source] reqwest::Error),
    /// The server gave something else.
    #[error("the server of the key set answered {0}")]
    Status(u16),
    /// The file cannot be read.
    #[error("cannot read the key set file")]
    File(#[source] std::io::Error),
    /// It is too large.
    #[error("the key set is larger than {SET_MAX_BYTES} bytes")]
    TooLarge,
    /// It is no key set.
    #[error("this is no JSON Web Key Set")]
    Syntax(#[source] serde_json::Error),
    /// Nothing in it can verify a token.
    #[error("the key set has no key for RS256, ES256 or EdDSA signatures")]
    NoKeys,
}

/// One public key, fit for one algorithm.
#[derive(Clone)]
struct PublicKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Default)]
struct KeySet {
    keys: Vec<PublicKey>,
    /// Counts the sets that were loaded with another content.
    generation: u64,
    text: Vec<u8>,
    loaded_at: Option<Instant>,
}

/// The key set, loaded when needed.
pub struct Jwks {
    source: JwksSource,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    set: RwLock<Arc<KeySet>>,
    /// When the last attempt began; held while one runs, so that there is one at a time.
    attempted_at: Mutex<Option<Instant>>,
}

impl Jwks {
    /// A key set that has not been loaded yet.
    ///
    /// # Errors
    /// [`JwksError::Client`] when no HTTP client can be built.
    pub fn new(source: JwksSource, clock: Arc<dyn Clock>) -> Result<Self, JwksError> {
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(JwksError::Client)?;
        Ok(Self { source, client, clock, set: RwLock::default(), attempted_at: Mutex::new(None) })
    }

    /// Changes whenever the keys do: what was verified under another generation must be verified again.
    pub fn generation(&self) -> u64 {
        self.current().generation
    }

    /// The keys that may have signed a token: with this `kid`, or, when the token names none, each that fits. A kid that nobody knows
    /// loads the set again, unless that has just been tried.
    /// Answers with the generation that the keys are of.
    pub async fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> (u64, Vec<DecodingKey>) {
        let set = self.current();
        let found = set.find(kid, algorithm);
        if !found.is_empty() {
            return (set.generation, found);
        }
        self.refresh(set.loaded_at).await;
        let set = self.current();
        (set.generation, set.find(kid, algorithm))
    }

    /// Loads the set again when it is too old. A background task calls this.
    pub async fn keep_fresh(&self) {
        let loaded_at = self.current().loaded_at;
        if loaded_at.is_none_or(|at| self.clock.now().0 - at.0 >= MAX_AGE_US) {
            self.refresh(loaded_at).await;
        }
    }

    /// Loads the set unless somebody else has done so since `seen`, or an attempt is too recent.
    async fn refresh(&self, seen: Option<Instant>) {
        let mut attempted_at = self.attempted_at.lock().await;
        let now = self.clock.now();
        let recent = attempted_at.is_some_and(|at| (now.0 - at.0).abs() < REFRESH_PAUSE_US);
        if recent || self.current().loaded_at != seen {
            return;
        }
        *attempted_at = Some(now);
        match self.load().await {
            Ok((text, keys)) => self.replace(text, keys, now),
            Err(error) => {
                metrics::counter!("plimsoll_jwks_loads_total", "outcome" => "failed").increment(1);
                let chain = crate::telemetry::chain(&error);
                tracing::warn!(jwks = %self.source, error = chain, keys = self.current().keys.len(), "cannot load the key set, keeping the old one");
            }
        }
    }

    async fn load(&self) -> Result<(Vec<u8>, Vec<PublicKey>), JwksError> {
        let text = match &self.source {
            JwksSource::Url(url) => self.fetch(url.clone()).await?,
            JwksSource::File(path) => read(path).await?,
        };
        let keys = parse(&text)?;
        Ok((text, keys))
    }

    async fn fetch(&self, url: reqwest::Url) -> Result<Vec<u8>, JwksError> {
        let mut answer = self.client.get(url).header("accept", "application/json").send().await.map_err(JwksError::Fetch)?;
        if !answer.status().is_success() {
            return Err(JwksError::Status(answer.status().as_u16()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(JwksError::Fetch)? {
            if text.len() + chunk.len() > SET_MAX_BYTES {
                return Err(JwksError::TooLarge);
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    fn replace(&self, text: Vec<u8>, keys: Vec<PublicKey>, now: Instant) {
        metrics::counter!("plimsoll_jwks_loads_total", "outcome" => "loaded").increment(1);
        let old = self.current();
        let generation = if old.text == text { old.generation } else { old.generation + 1 };
        tracing::info!(jwks = %self.source, keys = keys.len(), generation, "loaded the key set");
        let set = KeySet { keys, generation, text, loaded_at: Some(now) };
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeySet {
    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let fits = |key: &&PublicKey| key.algorithm == algorithm && (kid.is_none() || key.kid.as_deref() == kid);
        self.keys.iter().filter(fits).take(TRIES_MAX).map(|key| key.key.clone()).collect()
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, JwksError> {
    let size_bytes = tokio::fs::metadata(path).await.map_err(JwksError::File)?.len();
    if size_bytes > SET_MAX_BYTES as u64 {
        return Err(JwksError::TooLarge);
    }
    tokio::fs::read(path).await.map_err(JwksError::File)
}

/// A key as the set writes it: what does not concern signatures is not read.
#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a set. Keys of other kinds are passed over: a set may serve others too.
fn parse(text: &[u8]) -> Result<Vec<PublicKey>, JwksError> {
    #[derive(Deserialize)]
    struct Written {
        keys: Vec<Value>,
    }
    let written: Written = serde_json::from_slice(text).map_err(JwksError::Syntax)?;
    let read = |value| serde_json::from_value::<WrittenKey>(value).ok().and_then(usable);
    let keys: Vec<_> = written.keys.into_iter().filter_map(read).take(KEYS_MAX).collect();
    if keys.is_empty() { Err(JwksError::NoKeys) } else { Ok(keys) }
}

fn usable(key: WrittenKey) -> Option<PublicKey> {
    let signs = key.usage.as_deref().is_none_or(|usage| usage == "sig");
    let verifies = key.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    let (algorithm, name, decoding) = match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => (Algorithm::RS256, "RS256", rsa(&key)?),
        ("EC", Some("P-256")) => (Algorithm::ES256, "ES256", p256(&key)?),
        ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, "EdDSA", ed25519(&key)?),
        _ => return None,
    };
    let fits = key.alg.as_deref().is_none_or(|alg| alg == name);
    (signs && verifies && fits).then_some(PublicKey { kid: key.kid, algorithm, key: decoding })
}

fn bytes(part: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part?.trim_end_matches('=')).ok()
}

fn rsa(key: &WrittenKey) -> Option<DecodingKey> {
    let (modulus, exponent) = (bytes(key.n.as_ref())?, bytes(key.e.as_ref())?);
    let modulus = &modulus[modulus.iter().take_while(|byte| **byte == 0).count()..];
    (RSA_BYTES.contains(&modulus.len()) && exponent.len() <= 8).then(|| DecodingKey::from_rsa_raw_components(modulus, &exponent))
}

fn p256(key: &WrittenKey) -> Option<DecodingKey> {
    let (x, y) = (bytes(key.x.as_ref())?, bytes(key.y.as_ref())?);
    let point = [&[4_u8][..], &x, &y].concat();
    (x.len() == 32 && y.len() == 32).then(|| DecodingKey::from_ec_der(&point))
}

fn ed25519(key: &WrittenKey) -> Option<DecodingKey> {
    let x = bytes(key.x.as_ref())?;
    (x.len() == 32).then(|| DecodingKey::from_ed_der(&x))
}
