//! Lays the defaults, a file and the environment over each other, and remembers who set what.
//!
//! Invariant: the table always has exactly the sections and keys of `config.default.toml`; only a table that is empty there
//! (`auth.roles_map`) takes keys of its own. Must not know what the settings mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::ConfigError;

/// How the text of an environment variable is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As it stands.
    Text,
    /// Separated by commas.
    List,
    /// `NAME=VALUE`, separated by commas; a name may come again.
    Map,
    /// on, off, true, false, 1, 0.
    Switch,
    /// A whole number.
    Whole,
}

/// Which variable sets what.
const VARIABLES: [(&str, &str, Form); 21] = [
    ("PLIMSOLL_LISTEN", "http.listen", Form::Text),
    ("PLIMSOLL_CORS_ORIGINS", "http.cors_origins", Form::List),
    ("PLIMSOLL_METRICS_TOKEN", "http.metrics_token", Form::Text),
    ("PLIMSOLL_DATABASE_URL", "database.url", Form::Text),
    ("PLIMSOLL_REDIS_URL", "live.redis_url", Form::Text),
    ("PLIMSOLL_JWT_SECRET", "auth.jwt_secret", Form::Text),
    ("PLIMSOLL_JWKS", "auth.jwks", Form::Text),
    ("PLIMSOLL_JWT_ISSUER", "auth.issuer", Form::Text),
    ("PLIMSOLL_JWT_AUDIENCE", "auth.audience", Form::List),
    ("PLIMSOLL_JWT_ROLES_CLAIM", "auth.roles_claim", Form::Text),
    ("PLIMSOLL_JWT_ROLES_MAP", "auth.roles_map", Form::Map),
    ("PLIMSOLL_INTROSPECTION", "graphql.introspection", Form::Text),
    ("PLIMSOLL_CURRENCY", "cost.currency", Form::Text),
    ("PLIMSOLL_COLLECT", "collect.enabled", Form::Switch),
    ("PLIMSOLL_RETENTION_FACTS_DAYS", "retention.facts_days", Form::Whole),
    ("PLIMSOLL_RETENTION_SAMPLES_DAYS", "retention.samples_days", Form::Whole),
    ("PLIMSOLL_RETENTION_AUDIT_DAYS", "retention.audit_days", Form::Whole),
    ("PLIMSOLL_WEBHOOK_SECRET", "webhook.secret", Form::Text),
    ("PLIMSOLL_WEBHOOK_ALLOW", "webhook.allow", Form::List),
    ("PLIMSOLL_LOG", "log.filter", Form::Text),
    ("PLIMSOLL_LOG_FORMAT", "log.format", Form::Text),
];

/// Variables with our prefix that are not settings: the file itself, and what commands of the client side read.
const OTHER_VARIABLES: [&str; 11] = [
    "PLIMSOLL_CONFIG",
    "PLIMSOLL_TOKEN",
    "PLIMSOLL_URL",
    // Of the reporter, which may share the environment of a server.
    "PLIMSOLL_TOKEN_FILE",
    "PLIMSOLL_VM",
    "PLIMSOLL_GPUS",
    "PLIMSOLL_APPLICATION",
    "PLIMSOLL_DEPARTMENT",
    "PLIMSOLL_PROJECT",
    "PLIMSOLL_SPOOL_DIR",
    "PLIMSOLL_SPOOL_MAX_BYTES",
];

/// The merged settings, still untyped.
pub struct Layers {
    table: Table,
    /// Setting -> who set it, where that is not the defaults.
    origin: BTreeMap<String, String>,
}

impl Layers {
    /// Starts with the defaults.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] when the text is no TOML.
    pub fn with_defaults(text: &str) -> Result<Self, ConfigError> {
        Ok(Self { table: parse(text, Path::new("config.default.toml"))?, origin: BTreeMap::new() })
    }

    /// Lays a file over what is there.
    ///
    /// # Errors
    /// [`ConfigError`] when it is no TOML, or has a section or key that does not exist.
    pub fn lay_file(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let file = parse(text, path)?;
        let mut origin = BTreeMap::new();
        lay_table(&mut self.table, file, "", path, &mut origin)?;
        self.origin.extend(origin);
        Ok(())
    }

    /// Lays one environment variable over what is there. An empty one counts as not set. False: nobody knows the variable.
    ///
    /// # Errors
    /// [`ConfigError::Value`] when a switch or a map cannot be read.
    pub fn lay_variable(&mut self, name: &str, text: &str) -> Result<bool, ConfigError> {
        let Some((_, setting, form)) = VARIABLES.iter().find(|(variable, ..)| *variable == name) else {
            return Ok(OTHER_VARIABLES.contains(&name));
        };
        if text.is_empty() {
            return Ok(true);
        }
        let value =
            form.read(text).map_err(|reason| ConfigError::Value { setting: (*setting).to_owned(), set_by: name.to_owned(), reason })?;
        if let Some((section, key)) = setting.split_once('.')
            && let Some(Value::Table(section)) = self.table.get_mut(section)
        {
            section.insert(key.to_owned(), value);
        }
        self.origin.insert((*setting).to_owned(), name.to_owned());
        Ok(true)
    }

    /// Who set a setting, for messages.
    pub fn set_by(&self, setting: &str) -> String {
        // A key inside a free table was set by whoever set the table.
        let known = |name: &str| self.origin.get(name).cloned();
        known(setting)
            .or_else(|| self.origin.keys().find(|name| setting.starts_with(&format!("{name}."))).and_then(|name| known(name)))
            .or_else(|| VARIABLES.iter().find(|(_, name, _)| *name == setting).map(|(variable, ..)| (*variable).to_owned()))
            .unwrap_or_else(|| "default".to_owned())
    }

    /// The merged table.
    pub fn table(&self) -> &Table {
        &self.table
    }
}

fn parse(text: &str, path: &Path) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map(|span| text.get(..span.start).map_or(1, |before| before.matches('\n').count() + 1));
        ConfigError::Syntax { path: PathBuf::from(path), line: line.unwrap_or(1), reason: error.message().replace('\n', ", ") }
    })
}

fn lay_table(base: &mut Table, over: Table, prefix: &str, path: &Path, origin: &mut BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (key, value) in over {
        let setting = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let unknown = || ConfigError::Unknown { setting: setting.clone(), path: path.to_owned() };
        match (base.get_mut(&key).ok_or_else(unknown)?, value) {
            (Value::Table(known), Value::Table(over)) if !known.is_empty() => lay_table(known, over, &setting, path, origin)?,
            (known, value) if known.type_str() == value.type_str() => {
                *known = value;
                origin.insert(setting, path.display().to_string());
            }
            (known, value) => {
                let reason = format!("wants {}, not {}", article(known.type_str()), article(value.type_str()));
                return Err(ConfigError::Value { setting, set_by: path.display().to_string(), reason });
            }
        }
    }
    Ok(())
}

fn article(name: &str) -> String {
    let article = if name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {name}")
}

impl Form {
    fn read(self, text: &str) -> Result<Value, String> {
        let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
        match self {
            Self::Text => Ok(Value::String(text.to_owned())),
            Self::List => Ok(Value::Array(parts().map(|part| Value::String(part.to_owned())).collect())),
            Self::Switch => match text.to_ascii_lowercase().as_str() {
                "on" | "true" | "1" => Ok(Value::Boolean(true)),
                "off" | "false" | "0" => Ok(Value::Boolean(false)),
                _ => Err(format!("`{text}` is neither on nor off")),
            },
            Self::Whole => text.trim().parse().map(Value::Integer).map_err(|_| format!("`{text}` is no whole number")),
            Self::Map => {
                let mut map = Table::new();
                for part in parts() {
                    let (name, meant) = part.rsplit_once('=').ok_or_else(|| format!("`{part}` is not NAME=VALUE"))?;
                    let list = map.entry(name.trim()).or_insert_with(|| Value::Array(Vec::new()));
                    if let Value::Array(list) = list {
                        list.push(Value::String(meant.trim().to_owned()));
                    }
                }
                Ok(Value::Table(map))
            }
        }
    }
}
