//! The first start: without a configured key the server makes a secret of its own and tells a newcomer how to get in.
//!
//! Invariants: the secret file is readable by its owner only and is never overwritten, so that tokens survive a restart; a server that
//! lives by it listens on loopback only.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use plimsoll_entity::value::label::Role;
use plimsoll_entity::value::time::{HOUR_US, Instant};

use super::{ClaimPolicy, Claims, RoleSet};
use crate::config::{Config, JwtSecret, SECRET_MIN_BYTES};

/// Name of the file, beside the SQLite database or in the working directory.
const FILE_NAME: &str = "plimsoll.secret";
/// Largest secret file that is read.
const FILE_MAX_BYTES: u64 = 4_096;
/// How long the printed tokens are good for.
const TOKEN_TTL_US: i64 = 12 * HOUR_US;
/// `sub` of the printed tokens.
const SUBJECT: &str = "first-start";

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    /// The file cannot be read or made.
    #[error("cannot {action} the secret file {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file holds no secret.
    #[error("the secret file {} holds no secret of at least {SECRET_MIN_BYTES} bytes: remove it, and the next start makes a new one", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
    },
    /// The system has no random bytes.
    #[error("the system gives no random bytes for a secret")]
    Random,
    /// The printed tokens cannot be signed.
    #[error("cannot sign the first tokens")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// Where the secret file of these settings is.
#[must_use]
pub fn secret_path(config: &Config) -> PathBuf {
    let folder = config.database.url.sqlite_file().and_then(|file| file.parent().map(Path::to_owned));
    folder.unwrap_or_default().join(FILE_NAME)
}

/// Reads the secret, or makes it where there is none.
///
/// # Errors
/// [`FirstStartError`] when neither can be done.
pub fn secret(path: &Path) -> Result<JwtSecret, FirstStartError> {
    if let Some(secret) = read(path)? {
        return Ok(secret);
    }
    make(path)?;
    read(path)?.ok_or_else(|| FirstStartError::Content { path: path.to_owned() })
}

fn read(path: &Path) -> Result<Option<JwtSecret>, FirstStartError> {
    let failed = |source| FirstStartError::File { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    warn_if_others_may_read(path, &file);
    let mut text = String::new();
    file.take(FILE_MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    let secret = JwtSecret::try_from(text.trim_end().to_owned()).map_err(|_| FirstStartError::Content { path: path.to_owned() })?;
    Ok(Some(secret))
}

/// Writes a new secret beside the path and links it there: no half-written file is ever seen, and whoever was first wins.
fn make(path: &Path) -> Result<(), FirstStartError> {
    let failed = |action| move |source| FirstStartError::File { action, path: path.to_owned(), source };
    let mut random = [0_u8; SECRET_MIN_BYTES];
    getrandom::fill(&mut random).map_err(|_| FirstStartError::Random)?;
    let mut text = random.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    text.push('\n');
    let draft = path.with_extension(format!("secret.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft).map_err(failed("make"))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write"));
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make")(error)),
        _ => Ok(()),
    });
    // A draft that stays behind does no harm.
    let _ = fs::remove_file(&draft);
    linked
}

#[cfg(unix)]
fn warn_if_others_may_read(path: &Path, file: &File) {
    use std::os::unix::fs::PermissionsExt as _;
    if file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "the secret file may be read by others: chmod 600 closes it");
    }
}

#[cfg(not(unix))]
fn warn_if_others_may_read(_path: &Path, _file: &File) {}

/// What a newcomer reads on the terminal: a token per role and how to use them.
///
/// # Errors
/// [`FirstStartError::Sign`] when a token cannot be signed.
pub fn greeting(
    path: &Path,
    secret: &JwtSecret,
    policy: &ClaimPolicy,
    address: SocketAddr,
    now: Instant,
) -> Result<String, FirstStartError> {
    let expires_at = Instant(now.0 + TOKEN_TTL_US);
    let mint = |roles: RoleSet| {
        let claims = Claims { subject: SUBJECT.into(), roles, expires_at };
        policy.mint(secret, &claims, now).map_err(FirstStartError::Sign)
    };
    let readers = mint([Role::PipelineTd, Role::Admin, Role::FinancialDirector].into_iter().collect())?;
    let mut text = format!(
        "No key is configured, so Plimsoll uses its own secret ({}) and listens on loopback only.\n\
         Set PLIMSOLL_JWT_SECRET or PLIMSOLL_JWKS to open it to others.\n\n\
         Tokens, good until {expires_at} (`plimsoll token --role ROLE` makes more):\n\n",
        path.display()
    );
    for role in Role::ALL {
        let token = mint(RoleSet::NONE.with(*role))?;
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {:<18} {token}", role.wire());
    }
    let _ = write!(
        text,
        "\nTry it:\n\n  curl -s http://{address}/graphql -H 'content-type: application/json' \\\n    -H 'authorization: Bearer {readers}' \\\n    \
         -d '{{\"query\":\"{{ viewer {{ subject roles }} }}\"}}'\n\n\
         GraphiQL, with the three reading roles:\n\n  http://{address}/#token={readers}\n"
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let first = secret(&path).unwrap();
        assert_eq!(first.reveal().len(), 64);
        assert_eq!(secret(&path).unwrap(), first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_without_a_secret_is_refused_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, "short").unwrap();
        assert!(matches!(secret(&path), Err(FirstStartError::Content { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        assert!(matches!(secret(&folder.path().join("absent/x.secret")), Err(FirstStartError::File { .. })));
    }
}
