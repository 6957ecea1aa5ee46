//! What an operator can set: one struct per section of `config.default.toml`, which is both documentation and defaults.
//!
//! Order: defaults, then the file named by `PLIMSOLL_CONFIG`, then `PLIMSOLL_*` variables. Invariants: a `Config` that exists is valid;
//! a message about a bad value names the setting and who set it, never a secret. Must not know: the process's environment, except in
//! [`Config::from_system`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plimsoll_domain::retention::{Ages, DAYS_MIN};
use plimsoll_domain::watch::webhook_url::AllowList;
use serde::{Deserialize, Serialize};

mod layer;
mod limits;
mod value;

pub use limits::Limits;
pub use value::{
    ClaimPath, Currency, DatabaseKind, DatabaseUrl, Introspection, Issuer, JwksSource, JwtSecret, ListenAddress, LogFilter, LogFormat,
    Origins, RedisUrl, RolesMap, SECRET_MIN_BYTES, Secret,
};

use layer::Layers;
use value::unset;

/// The defaults, as text with their documentation.
pub const DEFAULTS: &str = include_str!("config.default.toml");
/// Largest settings file that is read.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// What every variable of ours starts with.
const PREFIX: &str = "PLIMSOLL_";

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The listener and what surrounds a request.
    pub http: Http,
    /// Where the data is.
    pub database: Database,
    /// How replicas hear of each other.
    pub live: Live,
    /// Who is let in.
    pub auth: Auth,
    /// The GraphQL endpoint.
    pub graphql: GraphQl,
    /// Money.
    pub cost: Cost,
    /// This machine's own samples.
    pub collect: Collect,
    /// How long rows are kept.
    pub retention: Retention,
    /// Notices of alerts.
    pub webhook: Webhook,
    /// What is logged.
    pub log: Log,
    /// Every limit.
    pub limits: Limits,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to listen.
    pub listen: ListenAddress,
    /// Origins for CORS and WebSockets.
    pub cors_origins: Origins,
    /// Asked for by `/metrics`; none: open.
    #[serde(with = "unset")]
    pub metrics_token: Option<Secret>,
}

/// `[database]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// SQLite or PostgreSQL.
    pub url: DatabaseUrl,
}

/// `[live]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// None: the bus stays in this process.
    #[serde(with = "unset")]
    pub redis_url: Option<RedisUrl>,
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Secret of HS256 tokens.
    #[serde(with = "unset")]
    pub jwt_secret: Option<JwtSecret>,
    /// Keys of RS256, ES256 and EdDSA tokens.
    #[serde(with = "unset")]
    pub jwks: Option<JwksSource>,
    /// The `iss` that a token must carry.
    #[serde(with = "unset")]
    pub issuer: Option<Issuer>,
    /// A token's `aud` must name one of these; empty: not checked.
    pub audience: Vec<String>,
    /// Where the roles stand.
    pub roles_claim: ClaimPath,
    /// What the provider's names mean.
    pub roles_map: RolesMap,
}

impl Auth {
    /// Whether an operator has configured a key. Without one the server makes a secret and stays on loopback.
    #[must_use]
    pub const fn has_key(&self) -> bool {
        self.jwt_secret.is_some() || self.jwks.is_some()
    }
}

/// `[graphql]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GraphQl {
    /// Who may ask for the schema.
    pub introspection: Introspection,
}

/// `[cost]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Of rates and reports.
    pub currency: Currency,
}

/// `[collect]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Whether this machine samples itself.
    pub enabled: bool,
}

/// `[retention]`, in days; 0: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Executions, changes of jobs, loads.
    pub facts_days: u32,
    /// Samples of machines and GPUs.
    pub samples_days: u32,
    /// Entries of the audit log.
    pub audit_days: u32,
}

impl Retention {
    /// How long rows of the store are kept.
    #[must_use]
    pub fn ages(&self) -> Ages {
        let days = |days: u32| (days > 0).then_some(days);
        Ages { facts_days: days(self.facts_days), samples_days: days(self.samples_days) }
    }

    /// The first setting that is too short, and why.
    fn out_of_range(&self) -> Option<(&'static str, String)> {
        let days = [("facts_days", self.facts_days), ("samples_days", self.samples_days)];
        let (setting, _) = days.into_iter().find(|(_, days)| (1..DAYS_MIN).contains(days))?;
        Some((setting, format!("must be 0 (for ever) or at least {DAYS_MIN}")))
    }
}

/// `[webhook]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Signs what is sent; none: nothing is signed.
    #[serde(with = "unset")]
    pub secret: Option<Secret>,
    /// Networks that webhooks may be in although they are not public.
    pub allow: AllowList,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What is logged.
    pub filter: LogFilter,
    /// How lines look.
    pub format: LogFormat,
}

/// Why the settings cannot be used. Each message is one line and names the setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings file {} (PLIMSOLL_CONFIG)", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{}, line {line}: {reason}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// The file has a section or key that does not exist.
    #[error("{setting} (in {}) is no setting: `plimsoll config` lists them", path.display())]
    Unknown {
        /// As `section.key`.
        setting: String,
        /// Which file.
        path: PathBuf,
    },
    /// A value that cannot be.
    #[error("{setting} ({set_by}): {reason}")]
    Value {
        /// As `section.key`.
        setting: String,
        /// The variable or file that set it.
        set_by: String,
        /// What is wrong.
        reason: String,
    },
}

/// Settings and what should be said about them once there is a log.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// One sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the settings of this process.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting cannot be used.
    pub fn from_system() -> Result<Loaded, ConfigError> {
        Self::load(std::env::vars_os().filter_map(|(name, text)| {
            let name = name.into_string().ok()?;
            name.starts_with(PREFIX).then(|| (name, text.to_string_lossy().into_owned()))
        }))
    }

    /// Reads the settings from these environment variables and the file that they name.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting cannot be used.
    pub fn load(variables: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
        let variables: BTreeMap<String, String> = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        let mut layers = Layers::with_defaults(DEFAULTS)?;
        if let Some(path) = variables.get("PLIMSOLL_CONFIG").filter(|path| !path.is_empty()) {
            let path = Path::new(path);
            layers.lay_file(&read_file(path)?, path)?;
        }
        let mut warnings = Vec::new();
        for (name, text) in &variables {
            if !layers.lay_variable(name, text)? {
                warnings.push(format!("{name} is not a variable that Plimsoll knows; it has no effect"));
            }
        }
        let config: Self = serde_path_to_error::deserialize(layers.table().clone()).map_err(|error| {
            let setting = error.path().to_string();
            // The message alone: the setting is named once, by us.
            let reason = error.inner().message().trim_end().replace('\n', ", ");
            ConfigError::Value { set_by: layers.set_by(&setting), setting, reason }
        })?;
        if let Some((limit, reason)) = config.limits.out_of_range() {
            let setting = format!("limits.{limit}");
            return Err(ConfigError::Value { set_by: layers.set_by(&setting), setting, reason });
        }
        if let Some((setting, reason)) = config.retention.out_of_range() {
            let setting = format!("retention.{setting}");
            return Err(ConfigError::Value { set_by: layers.set_by(&setting), setting, reason });
        }
        warnings.extend(config.risks());
        Ok(Loaded { config, warnings })
    }

    /// The settings as TOML, secrets hidden.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be written as TOML: {error}\n"))
    }

    /// Combinations that work but deserve a word.
    fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        if let Some(JwksSource::Url(url)) = &self.auth.jwks {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
            if url.scheme() == "http" && !loopback {
                risks.push("auth.jwks is fetched over plain HTTP: whoever is on the way can put in keys of their own".to_owned());
            }
            if self.auth.audience.is_empty() {
                risks.push(
                    "auth.audience is not set: a token that the identity provider made for another application is let in too".to_owned(),
                );
            }
        }
        if self.webhook.secret.as_ref().is_some_and(|secret| secret.reveal().len() < SECRET_MIN_BYTES) {
            risks.push(format!("webhook.secret is weak: it should have at least {SECRET_MIN_BYTES} bytes"));
        }
        if self.http.cors_origins == Origins::Any {
            risks.push("http.cors_origins is *: pages of every origin may ask, given a token".to_owned());
        }
        risks
    }
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    use std::io::Read as _;
    let failed = |source| ConfigError::File { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(FILE_MAX_BYTES).read_to_string(&mut text)).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use plimsoll_entity::value::label::Role;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const WEBHOOK_SECRET: &str = "fedcba9876543210fedcba9876543210";

    fn load(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        Config::load(variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
    }

    fn message(variables: &[(&str, &str)]) -> String {
        load(variables).map(|_| ()).unwrap_err().to_string()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn the_defaults_stand_alone() {
        let loaded = load(&[]).unwrap();
        assert_eq!(loaded.config.http.listen.as_str(), "127.0.0.1:8000");
        assert_eq!(loaded.config.limits.document_tokens, 8_000);
        assert!(!loaded.config.auth.has_key());
        assert!(loaded.warnings.is_empty());
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let file =
            file("[http]\nlisten = \"127.0.0.1:1\"\n[limits]\ndepth = 9\n[auth.roles_map]\n\"CN=ops,DC=x\" = [\"ADMIN\", \"INGEST\"]\n");
        let path = file.path().to_str().unwrap();
        let config = load(&[("PLIMSOLL_CONFIG", path)]).unwrap().config;
        assert_eq!((config.http.listen.as_str(), config.limits.depth, config.limits.aliases), ("127.0.0.1:1", 9, 30));
        assert_eq!(config.auth.roles_map.0["CN=ops,DC=x"], [Role::Admin, Role::Ingest]);
        let variables = [
            ("PLIMSOLL_CONFIG", path),
            ("PLIMSOLL_LISTEN", "127.0.0.1:2"),
            ("PLIMSOLL_JWT_ROLES_MAP", "grp-finops=FINANCIAL_DIRECTOR,a=ADMIN,a=INGEST"),
        ];
        let config = load(&variables).unwrap().config;
        assert_eq!(config.http.listen.as_str(), "127.0.0.1:2");
        assert_eq!(config.auth.roles_map.0["a"], [Role::Admin, Role::Ingest]);
        assert!(!config.auth.roles_map.0.contains_key("CN=ops,DC=x"));
    }

    #[test]
    fn nothing_of_facts_is_dropped_unless_asked_and_never_what_is_fresh() {
        let retention = load(&[]).unwrap().config.retention;
        assert_eq!((retention.ages(), retention.audit_days), (Ages::default(), 400));
        let set = [("PLIMSOLL_RETENTION_FACTS_DAYS", "90"), ("PLIMSOLL_RETENTION_AUDIT_DAYS", "0")];
        let retention = load(&set).unwrap().config.retention;
        assert_eq!((retention.ages(), retention.audit_days), (Ages { facts_days: Some(90), samples_days: None }, 0));
        let short = message(&[("PLIMSOLL_RETENTION_SAMPLES_DAYS", "61")]);
        assert!(short.starts_with("retention.samples_days (PLIMSOLL_RETENTION_SAMPLES_DAYS)") && short.contains("at least 62"), "{short}");
        assert!(message(&[("PLIMSOLL_RETENTION_FACTS_DAYS", "soon")]).contains("no whole number"));
    }

    #[test]
    fn every_variable_of_the_design_is_read() {
        let config = load(&[
            ("PLIMSOLL_LISTEN", "[::1]:9000"),
            ("PLIMSOLL_DATABASE_URL", "postgres://u:p@h/d"),
            ("PLIMSOLL_REDIS_URL", "redis://h"),
            ("PLIMSOLL_JWT_SECRET", SECRET),
            ("PLIMSOLL_JWKS", "https://id.example/jwks.json"),
            ("PLIMSOLL_JWT_ISSUER", "https://id.example/"),
            ("PLIMSOLL_JWT_AUDIENCE", "plimsoll, other"),
            ("PLIMSOLL_JWT_ROLES_CLAIM", "realm_access.roles"),
            ("PLIMSOLL_JWT_ROLES_MAP", "x=ADMIN"),
            ("PLIMSOLL_CORS_ORIGINS", "https://a.example,https://b.example"),
            ("PLIMSOLL_INTROSPECTION", "off"),
            ("PLIMSOLL_METRICS_TOKEN", "m"),
            ("PLIMSOLL_CURRENCY", "EUR"),
            ("PLIMSOLL_COLLECT", "on"),
            ("PLIMSOLL_LOG", "debug"),
            ("PLIMSOLL_LOG_FORMAT", "json"),
            ("PLIMSOLL_WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("PLIMSOLL_WEBHOOK_ALLOW", "10.1.0.0/16, ::1"),
        ]);
        let Loaded { config, warnings } = config.unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(config.auth.audience, ["plimsoll", "other"]);
        assert_eq!(config.graphql.introspection, Introspection::Off);
        assert!(config.collect.enabled && config.live.redis_url.is_some() && config.http.metrics_token.is_some());
        let printed = config.to_toml();
        assert!(printed.contains("10.1.0.0/16") && !printed.contains(WEBHOOK_SECRET), "{printed}");
        assert!(!printed.contains(SECRET) && !printed.contains("u:p@") && printed.contains("currency = \"EUR\""), "{printed}");
        assert!(printed.parse::<toml::Table>().is_ok());
    }

    #[test]
    fn what_is_printed_without_secrets_can_be_read_again() {
        let config = load(&[("PLIMSOLL_JWT_ROLES_MAP", "x=ADMIN")]).unwrap().config;
        let file = file(&config.to_toml());
        assert_eq!(load(&[("PLIMSOLL_CONFIG", file.path().to_str().unwrap())]).unwrap().config, config);
    }

    #[test]
    fn messages_name_the_setting_and_who_set_it() {
        let weak = message(&[("PLIMSOLL_JWT_SECRET", "hunter2")]);
        assert!(weak.starts_with("auth.jwt_secret (PLIMSOLL_JWT_SECRET): a weak secret of 7 bytes") && !weak.contains("hunter2"), "{weak}");
        let network = message(&[("PLIMSOLL_WEBHOOK_ALLOW", "localhost")]);
        assert!(network.starts_with("webhook.allow (PLIMSOLL_WEBHOOK_ALLOW): `localhost` is no network"), "{network}");
        assert!(message(&[("PLIMSOLL_LISTEN", "8000")]).starts_with("http.listen (PLIMSOLL_LISTEN): `8000` is no address"));
        assert!(
            message(&[("PLIMSOLL_DATABASE_URL", "mysql://u:pass@h/d")])
                .starts_with("database.url (PLIMSOLL_DATABASE_URL): a database URL starts")
        );
        assert!(!message(&[("PLIMSOLL_DATABASE_URL", "mysql://u:pass@h/d")]).contains("pass@"));
        assert!(message(&[("PLIMSOLL_COLLECT", "maybe")]).contains("PLIMSOLL_COLLECT"));
        assert!(message(&[("PLIMSOLL_INTROSPECTION", "yes")]).starts_with("graphql.introspection (PLIMSOLL_INTROSPECTION): "));
        assert!(message(&[("PLIMSOLL_JWT_ROLES_MAP", "x=BOSS")]).contains("`BOSS`, meant by `x`, is no role"));
        assert!(message(&[("PLIMSOLL_CORS_ORIGINS", "studio.example")]).starts_with("http.cors_origins (PLIMSOLL_CORS_ORIGINS): "));
        assert!(message(&[("PLIMSOLL_LOG", "a=b=c")]).contains("PLIMSOLL_LOG"));
        let pem = message(&[("PLIMSOLL_JWT_SECRET", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE")]);
        assert!(pem.contains("PEM"), "{pem}");
    }

    #[test]
    fn a_message_ends_with_its_reason() {
        let expected = "database.url (PLIMSOLL_DATABASE_URL): a database URL starts with sqlite:// or postgres://";
        assert_eq!(message(&[("PLIMSOLL_DATABASE_URL", "mysql://h")]), expected);
    }

    #[test]
    fn a_file_with_unknown_or_wrong_keys_is_refused() {
        for (text, expected) in [
            ("[limits]\ndeph = 3\n", "limits.deph (in "),
            ("[limit]\ndepth = 3\n", "limit (in "),
            ("[limits]\ndepth = \"3\"\n", "wants an integer, not a string"),
            ("[limits]\ndepth = 0\n", "0 lies outside 1 to 200"),
            ("[limits]\ndepth = -1\n", "limits.depth ("),
            ("[http\n", ", line 1: "),
        ] {
            let file = file(text);
            let message = message(&[("PLIMSOLL_CONFIG", file.path().to_str().unwrap())]);
            assert!(message.contains(expected) && !message.contains('\n'), "{text}: {message}");
        }
        assert!(message(&[("PLIMSOLL_CONFIG", "/nonexistent/p.toml")]).contains("/nonexistent/p.toml (PLIMSOLL_CONFIG)"));
    }

    #[test]
    fn unknown_variables_are_named_and_empty_ones_do_not_count() {
        let loaded = load(&[("PLIMSOLL_LISTN", "x"), ("PLIMSOLL_JWT_SECRET", ""), ("PLIMSOLL_TOKEN", "t"), ("OTHER", "y")]).unwrap();
        assert_eq!(loaded.warnings.len(), 1);
        assert!(loaded.warnings[0].contains("PLIMSOLL_LISTN"));
        assert!(!loaded.config.auth.has_key());
    }
}
