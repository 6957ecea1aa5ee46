//! `plimsoll token`: mints a token with the configured secret, or with that of the first start.

use std::process::ExitCode;

use plimsoll_domain::clock::{Clock as _, SystemClock};
use plimsoll_entity::value::label::Role;
use plimsoll_entity::value::time::{Instant, SECOND_US};

use crate::auth::first_start;
use crate::auth::{ClaimPolicy, Claims};
use crate::config::Config;
use crate::telemetry::chain;

/// Flags of `plimsoll token`.
#[derive(clap::Args, Clone, Debug)]
pub struct TokenArgs {
    /// A role that the token gives: PIPELINE_TD, ADMIN, FINANCIAL_DIRECTOR or INGEST; may be given several times
    #[arg(long = "role", required = true, value_parser = role)]
    pub roles: Vec<Role>,
    /// Who it is for
    #[arg(long, default_value = "command-line")]
    pub subject: String,
    /// Seconds for which it is good
    #[arg(long, default_value_t = 43_200, value_parser = clap::value_parser!(i64).range(1..=31_536_000))]
    pub ttl_seconds: i64,
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_wire(text).ok_or_else(|| "not a role: PIPELINE_TD, ADMIN, FINANCIAL_DIRECTOR, INGEST".to_owned())
}

/// Prints a token.
#[must_use]
pub fn run(config: &Config, args: &TokenArgs) -> ExitCode {
    let secret = match &config.auth.jwt_secret {
        Some(secret) => Ok(secret.clone()),
        None if config.auth.jwks.is_some() => {
            eprintln!("plimsoll: tokens come from your identity provider (auth.jwks): only a secret can sign one here");
            return ExitCode::FAILURE;
        }
        None => first_start::secret(&first_start::secret_path(config)),
    };
    let now = SystemClock.now();
    let claims = Claims {
        subject: args.subject.as_str().into(),
        roles: args.roles.iter().copied().collect(),
        expires_at: Instant(now.0 + args.ttl_seconds * SECOND_US),
    };
    let minted = secret
        .map_err(|error| chain(&error))
        .and_then(|secret| ClaimPolicy::new(&config.auth).mint(&secret, &claims, now).map_err(|error| chain(&error)));
    match minted {
        Ok(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("plimsoll: {reason}");
            ExitCode::FAILURE
        }
    }
}
