//! Remembers tokens that were verified, so that a client's second request costs a look-up and no signature.
//!
//! Invariants: at most twice [`GENERATION_MAX`] tokens are held; an entry counts only while the keys that verified it are the current ones.
//! The whole token is the key: a map by hash alone would let a made-up collision in.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use super::Claims;

/// Tokens of one generation. When the young one is full it becomes the old one, and the old one goes.
const GENERATION_MAX: usize = 2_000;
/// Longer tokens are verified each time.
const TOKEN_MAX_BYTES: usize = 2_048;

#[derive(Clone)]
struct Entry {
    claims: Claims,
    keys: u64,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Entry>,
    old: HashMap<Box<str>, Entry>,
}

/// Tokens that were verified lately.
#[derive(Default)]
pub struct VerifiedTokens(Mutex<Generations>);

impl VerifiedTokens {
    /// The claims of a token that was verified with the keys of this generation. The caller checks that it has not expired.
    pub fn get(&self, token: &str, keys: u64) -> Option<Claims> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = generations.young.get(token) {
            return (entry.keys == keys).then(|| entry.claims.clone());
        }
        let (token, entry) = generations.old.remove_entry(token)?;
        if entry.keys != keys {
            return None;
        }
        let claims = entry.claims.clone();
        generations.insert(token, entry);
        Some(claims)
    }

    /// Remembers a token that the keys of this generation verified.
    pub fn put(&self, token: &str, keys: u64, claims: Claims) {
        if token.len() <= TOKEN_MAX_BYTES {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.into(), Entry { claims, keys });
        }
    }
}

impl Generations {
    fn insert(&mut self, token: Box<str>, entry: Entry) {
        if self.young.len() >= GENERATION_MAX {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(token, entry);
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::time::Instant;

    use super::*;
    use crate::auth::RoleSet;

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let cache = VerifiedTokens::default();
        let claims = Claims { subject: "a".into(), roles: RoleSet::NONE, expires_at: Instant(1) };
        cache.put("used", 1, claims.clone());
        for number in 0..10 * GENERATION_MAX {
            cache.put(&format!("token {number}"), 1, claims.clone());
            if number % GENERATION_MAX == 0 {
                assert_eq!(cache.get("used", 1), Some(claims.clone()));
            }
        }
        let generations = cache.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
    }

    #[test]
    fn other_keys_make_it_forget() {
        let cache = VerifiedTokens::default();
        cache.put("token", 1, Claims { subject: "a".into(), roles: RoleSet::NONE, expires_at: Instant(1) });
        assert!(cache.get("token", 1).is_some());
        assert!(cache.get("token", 2).is_none());
    }
}
