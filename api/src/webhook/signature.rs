//! What proves to a receiver that a notice is ours: HMAC-SHA256 over its time and its bytes. Pure.
//!
//! Invariant: the time is signed too, so that a receiver can refuse what was sent long ago. Must not know: how the secret came here.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The signature of a body that is sent at a second since 1970; none when the secret cannot be a key.
#[must_use]
pub fn signature(secret: &[u8], timestamp_s: i64, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{timestamp_s}.").as_bytes());
    mac.update(body.as_bytes());
    let mut text = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_time_and_body() {
        // printf '1772409600.[]' | openssl dgst -sha256 -hmac secret
        let expected = "sha256=12f4fda54a6e720399dbb245ddb97700ca5907d421d2a4748a4dbfc35891f8c7";
        assert_eq!(signature(b"secret", 1_772_409_600, "[]").as_deref(), Some(expected));
        assert_ne!(signature(b"secret", 1_772_409_601, "[]").as_deref(), Some(expected));
    }
}
