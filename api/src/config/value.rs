//! The types of single settings: they check what they hold and never print a secret.
//!
//! Invariant: `Debug`, `Display` and `Serialize` of a secret, or of a URL with one inside, hide it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use plimsoll_entity::value::label::Role;
use reqwest::Url;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands where a secret would.
const HIDDEN: &str = "(hidden)";
/// Fewest bytes of an HS256 secret: as many as the hash has (RFC 7518, section 3.2).
pub const SECRET_MIN_BYTES: usize = 32;
/// Longest path of the roles claim.
const CLAIM_PATH_MAX_BYTES: usize = 200;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for the one place that uses it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl TryFrom<String> for Secret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(Self(text))
    }
}

/// The secret of HS256 tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JwtSecret(Secret);

impl JwtSecret {
    /// The bytes that sign and verify.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        self.0.reveal().as_bytes()
    }
}

impl TryFrom<String> for JwtSecret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() < SECRET_MIN_BYTES {
            return Err(format!(
                "a weak secret of {} bytes: it needs at least {SECRET_MIN_BYTES}, such as `openssl rand -hex 32` gives",
                text.len()
            ));
        }
        if text.contains("-----BEGIN ") {
            return Err("this is a PEM key, which others may know: public keys belong into a JWKS (PLIMSOLL_JWKS)".to_owned());
        }
        Ok(Self(Secret(text)))
    }
}

/// Which database a URL means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL with its password, for the one place that connects.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Which database it is.
    #[must_use]
    pub fn kind(&self) -> DatabaseKind {
        if self.0.starts_with("sqlite:") { DatabaseKind::Sqlite } else { DatabaseKind::Postgres }
    }

    /// The file of an SQLite database; none in memory or on PostgreSQL.
    #[must_use]
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let rest = self.0.strip_prefix("sqlite:")?;
        let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
        let memory = path.is_empty() || path.contains(":memory:") || rest.contains("mode=memory");
        (!memory).then(|| PathBuf::from(path))
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let server = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if !server && !text.starts_with("sqlite:") {
            return Err("a database URL starts with sqlite:// or postgres://".to_owned());
        }
        if server {
            // The parser's error never repeats the text, which may hold a password.
            Url::parse(&text).map_err(|error| format!("no valid URL: {error}"))?;
        }
        Ok(Self(text))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            DatabaseKind::Sqlite => f.write_str(&self.0),
            DatabaseKind::Postgres => f.write_str(&without_password(&self.0)),
        }
    }
}

/// Where Redis is.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The URL with its password, for the one place that connects.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = Url::parse(&text).map_err(|error| format!("no valid URL: {error}"))?;
        match url.scheme() {
            "redis" | "rediss" => Ok(Self(text)),
            _ => Err("a Redis URL starts with redis:// or rediss://".to_owned()),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

/// Where the key set is.
#[derive(Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// Fetched over HTTP.
    Url(Url),
    /// Read from a file.
    File(PathBuf),
}

impl TryFrom<String> for JwksSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::File(PathBuf::from(path)));
        }
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let url = Url::parse(&text).map_err(|error| format!("no valid URL: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self::Url(url)),
            other => Err(format!("a key set comes from https://, http:// or a file, not from {other}://")),
        }
    }
}

impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&without_password(url.as_str())),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

macro_rules! printed_as_displayed {
    ($($name:ident)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
printed_as_displayed!(DatabaseUrl RedisUrl JwksSource);

fn without_password(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return HIDDEN.to_owned() };
    if url.password().is_some() && url.set_password(Some("hidden")).is_err() {
        return HIDDEN.to_owned();
    }
    let named_secret = |name: &str| ["password", "passwd", "secret", "token", "key"].iter().any(|word| name.to_lowercase().contains(word));
    if url.query_pairs().any(|(name, _)| named_secret(&name)) {
        url.set_query(Some("hidden"));
    }
    url.into()
}

/// Which origins of browsers may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Any.
    Any,
    /// These, exactly as a browser sends them; none when empty.
    Listed(Vec<String>),
}

impl Origins {
    /// Whether a browser's `Origin` may ask a server that it calls `host` (the request's `Host`).
    /// The server's own pages always may.
    #[must_use]
    pub fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        let own = host.is_some_and(|host| {
            origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).is_some_and(|rest| rest.eq_ignore_ascii_case(host))
        });
        own || match self {
            Self::Any => true,
            Self::Listed(list) => list.iter().any(|listed| listed.eq_ignore_ascii_case(origin)),
        }
    }
}

impl TryFrom<Vec<String>> for Origins {
    type Error = String;

    fn try_from(list: Vec<String>) -> Result<Self, String> {
        if list.iter().any(|origin| origin == "*") {
            return if list.len() == 1 { Ok(Self::Any) } else { Err("`*` allows every origin: list nothing beside it".to_owned()) };
        }
        for origin in &list {
            let url = Url::parse(origin).map_err(|error| format!("`{origin}` is no origin: {error}"))?;
            let plain = url.origin().ascii_serialization();
            if !matches!(url.scheme(), "http" | "https") || !plain.eq_ignore_ascii_case(origin) {
                return Err(format!("`{origin}` is no origin: write scheme, host and port only, as in https://studio.example.com"));
            }
        }
        Ok(Self::Listed(list))
    }
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Origins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.collect_seq(["*"]),
            Self::Listed(list) => serializer.collect_seq(list),
        }
    }
}

/// Who may ask for the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Introspection {
    /// ADMIN when a key is configured, else every valid token.
    Auto,
    /// Nobody.
    Off,
    /// Callers with the role ADMIN.
    Admin,
    /// Every valid token.
    On,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Names that an identity provider uses, and the roles that they mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolesMap(pub BTreeMap<String, Vec<Role>>);

impl RolesMap {
    fn add(&mut self, name: &str, role: &str) -> Result<(), String> {
        let role = Role::from_wire(role).ok_or_else(|| {
            let known: Vec<_> = Role::ALL.iter().map(|role| role.wire()).collect();
            format!("`{role}`, meant by `{name}`, is no role: there are {}", known.join(", "))
        })?;
        self.0.entry(name.to_owned()).or_default().push(role);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for RolesMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Meant {
            One(String),
            Many(Vec<String>),
        }
        let mut map = Self::default();
        for (name, meant) in BTreeMap::<String, Meant>::deserialize(deserializer)? {
            let roles = match meant {
                Meant::One(role) => vec![role],
                Meant::Many(roles) => roles,
            };
            for role in roles {
                map.add(&name, &role).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(map)
    }
}

impl Serialize for RolesMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, roles)| (name, roles.iter().map(|role| role.wire()).collect::<Vec<_>>())))
    }
}

macro_rules! checked_text {
    ($($(#[$doc:meta])* $name:ident: $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(&text).map(|()| Self(text))
            }
        }
    )+};
}

checked_text! {
    /// Host and port to listen on.
    ListenAddress: |text| match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(()),
        _ => Err(format!("`{text}` is no address: write host and port, as in 127.0.0.1:8000")),
    };
    /// An ISO 4217 code.
    Currency: |text| {
        let code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if code { Ok(()) } else { Err(format!("`{text}` is no ISO 4217 code, such as USD")) }
    };
    /// The path to the roles in a token.
    ClaimPath: |text| match text.len() {
        1..=CLAIM_PATH_MAX_BYTES => Ok(()),
        _ => Err(format!("a path of 1 to {CLAIM_PATH_MAX_BYTES} bytes is needed")),
    };
    /// What is logged.
    LogFilter: |text| tracing_subscriber::EnvFilter::try_new(text).map(|_| ()).map_err(|error| format!("`{text}` is no filter: {error}"));
    /// The issuer of tokens.
    Issuer: |_| Ok(());
}

macro_rules! read_from_text {
    ($($name:ident)+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )+};
}
read_from_text!(Secret JwtSecret DatabaseUrl RedisUrl JwksSource ListenAddress Currency ClaimPath LogFilter Issuer);

/// Settings that may be absent: TOML has no null, so the empty text stands for it.
pub mod unset {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Reads the empty text as none.
    ///
    /// # Errors
    /// Whatever the value's own check says.
    pub fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<String, Error = String>,
    {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Ok(None) } else { T::try_from(text).map(Some).map_err(serde::de::Error::custom) }
    }

    /// Writes none as the empty text.
    ///
    /// # Errors
    /// Whatever the serializer says.
    pub fn serialize<S: Serializer, T: Serialize>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_hide_their_passwords() {
        let url = DatabaseUrl::try_from("postgres://app:s3cret@db.example/plimsoll".to_owned()).unwrap();
        assert_eq!(url.to_string(), "postgres://app:hidden@db.example/plimsoll");
        assert!(!format!("{url:?}").contains("s3cret"));
        let url = RedisUrl::try_from("redis://:s3cret@cache:6379/0".to_owned()).unwrap();
        assert!(!url.to_string().contains("s3cret"));
        let url = JwksSource::try_from("https://id.example/keys?token=s3cret".to_owned()).unwrap();
        assert!(!url.to_string().contains("s3cret"));
    }

    #[test]
    fn sqlite_files_are_found() {
        let file = |text: &str| DatabaseUrl::try_from(text.to_owned()).unwrap().sqlite_file();
        assert_eq!(file("sqlite://plimsoll.db?mode=rwc"), Some(PathBuf::from("plimsoll.db")));
        assert_eq!(file("sqlite:///var/lib/p.db"), Some(PathBuf::from("/var/lib/p.db")));
        assert_eq!(file("sqlite::memory:"), None);
        assert_eq!(file("sqlite://file:x?mode=memory&cache=shared"), None);
    }

    #[test]
    fn origins_are_compared_whole() {
        let origins = Origins::try_from(vec!["https://studio.example.com".to_owned()]).unwrap();
        assert!(origins.allow("https://studio.example.com", None));
        assert!(!origins.allow("https://studio.example.com.evil.example", None));
        assert!(!origins.allow("http://studio.example.com", None));
        assert!(!origins.allow("null", Some("null")));
        assert!(origins.allow("http://127.0.0.1:8000", Some("127.0.0.1:8000")));
        assert!(!origins.allow("http://evil.example", Some("127.0.0.1:8000")));
        assert!(Origins::try_from(vec!["https://studio.example.com/".to_owned()]).is_err());
        assert!(Origins::try_from(vec!["*".to_owned(), "https://a.example".to_owned()]).is_err());
    }
}
