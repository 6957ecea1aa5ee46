//! One attempt to deliver one notice over HTTP.
//!
//! Invariants: what is connected to was checked for this very attempt, since no connection is kept; no redirect is followed, no proxy
//! of the environment is asked; an attempt ends in time, however slowly it is answered, and no body of an answer is read.
//! Must not know: when a notice is sent again.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plimsoll_domain::store::Delivery;
use plimsoll_domain::watch::webhook_url::{AllowList, check_url};
use plimsoll_entity::value::time::{Instant, SECOND_US};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, redirect};

use super::resolver::{CheckedResolver, ForbiddenAddress, Resolver};
use super::retry::Answer;
use super::signature::signature;
use crate::config::Secret;
use crate::telemetry;

/// Time to find and reach the receiver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time of a whole attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends notices.
pub struct Sender {
    /// Made when there is something to send: it reads the system's certificates, and a machine without any may serve all the same.
    client: OnceLock<Client>,
    /// For http: it needs no certificates, so that a machine without any can send.
    plain_client: OnceLock<Client>,
    resolver: Arc<dyn Resolver>,
    allow: Arc<AllowList>,
    secret: Option<Secret>,
}

impl Sender {
    /// A sender that finds receivers by this resolver; without a secret nothing is signed.
    #[must_use]
    pub fn new(allow: Arc<AllowList>, secret: Option<Secret>, resolver: Arc<dyn Resolver>) -> Self {
        Self { client: OnceLock::new(), plain_client: OnceLock::new(), resolver, allow, secret }
    }

    fn client(&self, scheme: &str) -> Result<&Client, reqwest::Error> {
        let is_plain = scheme == "http";
        let made = if is_plain { &self.plain_client } else { &self.client };
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let builder = if is_plain { Client::builder().tls_certs_only([]) } else { Client::builder() };
        let client = builder
            .dns_resolver(CheckedResolver::new(Arc::clone(&self.resolver), Arc::clone(&self.allow)))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ATTEMPT_TIMEOUT)
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(made.get_or_init(|| client))
    }

    /// Sends a notice once.
    pub async fn send(&self, delivery: &Delivery, now: Instant) -> Answer {
        // The rules may have changed since the URL was given; an address in it is not asked for, so this is where it is looked at.
        let url = match check_url(&delivery.url, &self.allow) {
            Ok(url) => url,
            Err(refusal) => return Answer::Refused(refusal.to_string()),
        };
        let client = match self.client(url.scheme()) {
            Ok(client) => client,
            Err(error) => return Answer::Failed(telemetry::chain(&error)),
        };
        let timestamp_s = now.0.div_euclid(SECOND_US);
        let mut request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("x-plimsoll-delivery", delivery.id.to_string())
            .header("x-plimsoll-timestamp", timestamp_s);
        if let Some(secret) = &self.secret
            && let Some(signature) = signature(secret.reveal().as_bytes(), timestamp_s, &delivery.body)
        {
            request = request.header("x-plimsoll-signature", signature);
        }
        match request.body(delivery.body.clone()).send().await {
            Ok(answer) => Answer::Status { status: answer.status().as_u16(), retry_after_us: retry_after_us(answer.headers(), now) },
            Err(error) => {
                // Whoever reads the log need not learn the path, which may be a secret of its own.
                let error = error.without_url();
                let reason = telemetry::chain(&error);
                if is_forbidden(&error) { Answer::Refused(reason) } else { Answer::Failed(reason) }
            }
        }
    }
}

fn is_forbidden(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source()).any(|error| error.is::<ForbiddenAddress>())
}

/// How long the receiver asks to wait: seconds, or until a date.
fn retry_after_us(headers: &HeaderMap, now: Instant) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(i64::from(seconds) * SECOND_US);
    }
    let until = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(until.timestamp_micros() - now.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_may_say_how_long_or_until_when() {
        let asked = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            // 2026-03-02T00:00:00Z.
            retry_after_us(&headers, Instant(1_772_409_600_000_000))
        };
        assert_eq!(asked("120"), Some(120 * SECOND_US));
        assert_eq!(asked("Mon, 02 Mar 2026 00:01:30 GMT"), Some(90 * SECOND_US));
        assert_eq!((asked("soon"), asked("-1")), (None, None));
    }
}
