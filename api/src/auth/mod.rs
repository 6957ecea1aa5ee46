//! Who asks: bearer tokens, their keys and their roles.
//!
//! Invariants: a token comes from the header `Authorization: Bearer` and from nowhere else (no URL, no cookie); every refusal is counted.
//! Must not know: GraphQL, what a role may read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use jsonwebtoken::{Algorithm, DecodingKey};
use plimsoll_domain::clock::Clock;
use plimsoll_entity::value::label::Role;
use plimsoll_entity::value::time::{Instant, SECOND_US};
use tokio_util::sync::CancellationToken;

pub mod access;
mod cache;
pub mod first_start;
pub mod jwks;
pub mod jwt;
pub mod role;

pub use jwt::{ClaimPolicy, Claims, TokenError};
pub use role::RoleSet;

use crate::config::{Auth, Introspection, JwtSecret};
use cache::VerifiedTokens;
use jwks::{Jwks, JwksError};
use jwt::Unverified;

/// How often the age of the key set is looked at.
const KEEP_FRESH_EVERY: Duration = Duration::from_secs(60);

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// The roles that the token gives.
    pub roles: RoleSet,
    /// When the token expires; a connection that outlives it is closed.
    pub expires_at: Instant,
    /// Where the request came from, as far as the connection tells.
    pub address: Option<IpAddr>,
}

/// What limits what a caller may read, and nothing else of it: what is shared between callers is worked out for this. Rows that belong
/// to some only would be limited here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The roles.
    pub roles: RoleSet,
}

impl Caller {
    /// What limits what this caller may read.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        Scope { roles: self.roles }
    }
}

/// Why a request has no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No bearer token.
    #[error("a bearer token is required")]
    Missing,
    /// Not one `Authorization` header with the scheme `Bearer`.
    #[error("the authorization header is malformed")]
    Malformed,
    /// A token that is not accepted.
    #[error("the bearer token is not valid")]
    Token(#[source] TokenError),
}

impl AuthError {
    /// The value of `WWW-Authenticate` that goes with the 401 (RFC 6750, section 3).
    #[must_use]
    pub const fn challenge(self) -> &'static str {
        match self {
            Self::Missing => "Bearer realm=\"plimsoll\"",
            Self::Malformed => "Bearer realm=\"plimsoll\", error=\"invalid_request\"",
            Self::Token(_) => "Bearer realm=\"plimsoll\", error=\"invalid_token\"",
        }
    }

    /// A short name from a closed set, for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed_header",
            Self::Token(error) => error.label(),
        }
    }
}

/// Turns tokens into callers.
pub struct Authenticator {
    clock: Arc<dyn Clock>,
    secret: Option<DecodingKey>,
    jwks: Option<Jwks>,
    policy: ClaimPolicy,
    token_max_bytes: usize,
    verified: VerifiedTokens,
}

impl Authenticator {
    /// An authenticator for these settings. `secret` stands in where the settings have no key at all.
    ///
    /// # Errors
    /// [`JwksError`] when a key set is configured and no HTTP client can be built.
    pub fn new(auth: &Auth, secret: Option<&JwtSecret>, token_max_bytes: usize, clock: Arc<dyn Clock>) -> Result<Self, JwksError> {
        let secret = auth.jwt_secret.as_ref().or(secret).map(|secret| DecodingKey::from_secret(secret.reveal()));
        let jwks = auth.jwks.clone().map(|source| Jwks::new(source, Arc::clone(&clock))).transpose()?;
        Ok(Self { clock, secret, jwks, policy: ClaimPolicy::new(auth), token_max_bytes, verified: VerifiedTokens::default() })
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// [`AuthError`] when there is no token or it is not accepted; answered with 401, [`AuthError::challenge`] and code UNAUTHENTICATED.
    pub async fn authenticate(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> Result<Caller, AuthError> {
        match bearer(headers) {
            Ok(token) => self.authenticate_token(token, peer).await,
            Err(error) => Err(refused(error)),
        }
    }

    /// The caller that a token stands for: for `connection_init` of a WebSocket, which has no headers.
    ///
    /// # Errors
    /// [`AuthError`] as for [`Authenticator::authenticate`].
    pub async fn authenticate_token(&self, token: &str, peer: Option<SocketAddr>) -> Result<Caller, AuthError> {
        let claims = self.verify(token).await.map_err(|error| refused(AuthError::Token(error)))?;
        Ok(Caller { subject: claims.subject, roles: claims.roles, expires_at: claims.expires_at, address: peer.map(|peer| peer.ip()) })
    }

    /// How long the caller's token still counts.
    #[must_use]
    pub fn expires_in(&self, caller: &Caller) -> Duration {
        let left_us = caller.expires_at.0 + jwt::LEEWAY_S * SECOND_US - self.clock.now().0;
        Duration::from_micros(left_us.max(0).unsigned_abs())
    }

    /// Keeps the key set fresh until told to stop; only waits for that where there is none.
    pub async fn keep_keys_fresh(self: Arc<Self>, stop: CancellationToken) {
        let Some(jwks) = &self.jwks else {
            stop.cancelled().await;
            return;
        };
        let mut every = tokio::time::interval(KEEP_FRESH_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            if stop.run_until_cancelled(jwks.keep_fresh()).await.is_none() {
                return;
            }
        }
    }

    async fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > self.token_max_bytes {
            return Err(TokenError::TooLong);
        }
        let generation = self.jwks.as_ref().map_or(0, Jwks::generation);
        if let Some(claims) = self.verified.get(token, generation) {
            return if jwt::is_over(claims.expires_at, self.clock.now()) { Err(TokenError::Expired) } else { Ok(claims) };
        }
        let unverified = Unverified::parse(token)?;
        let (generation, keys) = self.keys(&unverified).await?;
        let claims = self.policy.read(&unverified.verify(&keys)?, self.clock.now())?;
        self.verified.put(token, generation, claims.clone());
        Ok(claims)
    }

    /// The secret serves HS256 only, the key set everything else: so no public key is ever taken for a secret.
    async fn keys(&self, token: &Unverified<'_>) -> Result<(u64, Vec<DecodingKey>), TokenError> {
        if token.algorithm == Algorithm::HS256 {
            let secret = self.secret.clone().ok_or(TokenError::Algorithm)?;
            return Ok((self.jwks.as_ref().map_or(0, Jwks::generation), vec![secret]));
        }
        let jwks = self.jwks.as_ref().ok_or(TokenError::Algorithm)?;
        let (generation, keys) = jwks.candidates(token.kid.as_deref(), token.algorithm).await;
        if keys.is_empty() { Err(TokenError::UnknownKey) } else { Ok((generation, keys)) }
    }
}

/// Counts a refusal. Without a token, that is all that is kept of it.
fn refused(error: AuthError) -> AuthError {
    metrics::counter!("plimsoll_auth_refusals_total", "reason" => error.label()).increment(1);
    error
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::Malformed);
    }
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(AuthError::Malformed)?;
    let token = token.trim_matches(' ');
    let sound = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains([' ', ',', '\t']);
    if sound { Ok(token) } else { Err(AuthError::Malformed) }
}

/// Whether a caller may ask for the schema. `has_key`: an operator has configured a key.
#[must_use]
pub const fn may_introspect(setting: Introspection, has_key: bool, roles: RoleSet) -> bool {
    match setting {
        Introspection::Off => false,
        Introspection::On => true,
        Introspection::Admin => roles.contains(Role::Admin),
        Introspection::Auto => !has_key || roles.contains(Role::Admin),
    }
}
