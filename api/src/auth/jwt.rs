//! Reading and making JSON Web Tokens, strictly.
//!
//! Invariants: the algorithm comes from our list and must fit the key that we hold; nothing in a token's header leads to a key except
//! `kid` as a look-up key; a claim of an odd type is refused, never ignored. Must not know: HTTP.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use plimsoll_entity::value::time::{Instant, SECOND_US};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::role::{RoleClaim, RoleSet};
use crate::config::{Auth, JwtSecret};

/// How far our clock and the issuer's may differ.
pub const LEEWAY_S: i64 = 5;
/// Longest `sub`.
const SUBJECT_MAX_CHARS: usize = 256;
/// Longest `kid` that is looked up.
const KID_MAX_BYTES: usize = 256;
/// 9999-12-31T23:59:59Z, the last second that we can write.
const LAST_S: i64 = 253_402_300_799;
/// Values of `typ` that mean an access token. Others, such as `logout+jwt`, are tokens for something else.
const TYPES: [&str; 4] = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// Why a token is refused. The text never reaches a client; [`TokenError::label`] counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than `limits.token_bytes`.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts of base64url around JSON objects.
    #[error("the token is malformed")]
    Malformed,
    /// An `alg` that is not ours, or that no configured key has.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// A header that asks for something that we do not do.
    #[error("the token's header asks for what is not supported")]
    Header,
    /// No key for it.
    #[error("no key is known for the token")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or of an odd type.
    #[error("the token's {0} is missing or of an odd type")]
    Claim(&'static str),
    /// Over.
    #[error("the token has expired")]
    Expired,
    /// Not begun.
    #[error("the token is not valid yet")]
    Early,
    /// From another issuer.
    #[error("the token has another issuer")]
    Issuer,
    /// For another audience.
    #[error("the token is for another audience")]
    Audience,
}

impl TokenError {
    /// A short name from a closed set, for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Header => "header",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claim(_) => "claim",
            Self::Expired => "expired",
            Self::Early => "early",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
        }
    }
}

/// A token taken apart, nothing of it believed yet.
pub struct Unverified<'a> {
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// The algorithm that it claims.
    pub algorithm: Algorithm,
    /// The key that it claims.
    pub kid: Option<String>,
}

/// The header. What is not named here is not read: `jku`, `jwk`, `x5u`, `x5c` lead nowhere.
#[derive(Deserialize)]
struct ReadHeader {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    #[serde(default, deserialize_with = "present")]
    b64: bool,
    #[serde(default, deserialize_with = "present")]
    zip: bool,
}

/// True for a key that is there at all, whatever its value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenError`] when it is malformed or its header is not acceptable.
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        if claims.contains('.') {
            return Err(TokenError::Malformed);
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed)?;
        let header: ReadHeader = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        let algorithm = match header.alg.as_str() {
            "HS256" => Algorithm::HS256,
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            "EdDSA" => Algorithm::EdDSA,
            _ => return Err(TokenError::Algorithm),
        };
        let typ_fits = header.typ.as_deref().is_none_or(|typ| TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known)));
        let kid_fits = header.kid.as_ref().is_none_or(|kid| kid.len() <= KID_MAX_BYTES);
        if header.crit || header.b64 || header.zip || !typ_fits || !kid_fits {
            return Err(TokenError::Header);
        }
        Ok(Self { message, claims, signature, algorithm, kid: header.kid })
    }

    /// The claims, once one of the keys has verified the signature.
    ///
    /// # Errors
    /// [`TokenError::Signature`] when none does, [`TokenError::Malformed`] when what was signed is no JSON object.
    pub fn verify(self, keys: &[DecodingKey]) -> Result<Map<String, Value>, TokenError> {
        // Checked here as well, since the library decodes more leniently.
        URL_SAFE_NO_PAD.decode(self.signature).map_err(|_| TokenError::Malformed)?;
        let signed = |key| jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key, self.algorithm).unwrap_or(false);
        if !keys.iter().any(signed) {
            return Err(TokenError::Signature);
        }
        let claims = URL_SAFE_NO_PAD.decode(self.claims).map_err(|_| TokenError::Malformed)?;
        serde_json::from_slice(&claims).map_err(|_| TokenError::Malformed)
    }
}

/// What a token must say.
#[derive(Clone, Debug)]
pub struct ClaimPolicy {
    issuer: Option<String>,
    audience: Vec<String>,
    roles: RoleClaim,
}

/// What an acceptable token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`.
    pub subject: Arc<str>,
    /// The roles that we know.
    pub roles: RoleSet,
    /// `exp`, without leeway.
    pub expires_at: Instant,
}

impl ClaimPolicy {
    /// The policy that the settings ask for.
    #[must_use]
    pub fn new(auth: &Auth) -> Self {
        Self {
            issuer: auth.issuer.as_ref().map(|issuer| issuer.as_str().to_owned()),
            audience: auth.audience.clone(),
            roles: RoleClaim::new(auth.roles_claim.clone(), auth.roles_map.clone()),
        }
    }

    /// Reads verified claims.
    ///
    /// # Errors
    /// [`TokenError`] when a claim is missing, odd or does not fit.
    pub fn read(&self, claims: &Map<String, Value>, now: Instant) -> Result<Claims, TokenError> {
        let expires_us = seconds(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
        if is_over(Instant(expires_us), now) {
            return Err(TokenError::Expired);
        }
        for name in ["nbf", "iat"] {
            if seconds(claims, name)?.is_some_and(|at_us| at_us > now.0 + LEEWAY_S * SECOND_US) {
                return Err(TokenError::Early);
            }
        }
        let issuer = text(claims, "iss")?;
        if self.issuer.is_some() && self.issuer.as_deref() != issuer {
            return Err(TokenError::Issuer);
        }
        let audience = audience(claims)?;
        if !self.audience.is_empty() && !audience.iter().any(|name| self.audience.iter().any(|ours| ours == name)) {
            return Err(TokenError::Audience);
        }
        let subject = text(claims, "sub")?.ok_or(TokenError::Claim("sub"))?;
        if subject.is_empty() || subject.chars().count() > SUBJECT_MAX_CHARS || subject.chars().any(char::is_control) {
            return Err(TokenError::Claim("sub"));
        }
        let roles = self.roles.read(claims).map_err(|_| TokenError::Claim("roles"))?;
        Ok(Claims { subject: subject.into(), roles, expires_at: Instant(expires_us) })
    }

    /// Makes a token that this policy accepts.
    ///
    /// # Errors
    /// Whatever the signing library says.
    pub fn mint(&self, secret: &JwtSecret, claims: &Claims, now: Instant) -> Result<String, jsonwebtoken::errors::Error> {
        let mut written = Map::new();
        written.insert("sub".to_owned(), (&*claims.subject).into());
        written.insert("iat".to_owned(), now.0.div_euclid(SECOND_US).into());
        written.insert("exp".to_owned(), claims.expires_at.0.div_euclid(SECOND_US).into());
        if let Some(issuer) = &self.issuer {
            written.insert("iss".to_owned(), issuer.as_str().into());
        }
        if let Some(audience) = self.audience.first() {
            written.insert("aud".to_owned(), audience.as_str().into());
        }
        self.roles.write(&mut written, claims.roles);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &written, &EncodingKey::from_secret(secret.reveal()))
    }
}

/// Whether a token that expires at `expires_at` is no longer accepted.
#[must_use]
pub const fn is_over(expires_at: Instant, now: Instant) -> bool {
    now.0 >= expires_at.0 + LEEWAY_S * SECOND_US
}

/// A NumericDate in microseconds: a JSON number of seconds, fractions allowed, from 1970 to 9999.
fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_S as f64).contains(seconds)).ok_or(TokenError::Claim(name))?;
    let us = value.as_i64().map_or((seconds * SECOND_US as f64) as i64, |seconds| seconds * SECOND_US);
    Ok(Some(us))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, TokenError> {
    claims.get(name).map(|value| value.as_str().ok_or(TokenError::Claim(name))).transpose()
}

/// `aud` is one text or a list of texts.
fn audience(claims: &Map<String, Value>) -> Result<Vec<&str>, TokenError> {
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(name)) => Ok(vec![name]),
        Some(Value::Array(names)) => names.iter().map(|name| name.as_str().ok_or(TokenError::Claim("aud"))).collect(),
        Some(_) => Err(TokenError::Claim("aud")),
    }
}
