//! Sets of roles, and how they are read out of a token's claims.
//!
//! Invariant: only the four roles of the contract exist; a name that nobody maps is ignored. Must not know: what a role may read.

use std::fmt;

use plimsoll_entity::value::label::Role;
use serde_json::{Map, Value};

use crate::config::{ClaimPath, RolesMap};

/// A set of roles, ordered as in the contract. Small, so that it is a cheap part of keys.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleSet(u8);

impl RoleSet {
    /// No role.
    pub const NONE: Self = Self(0);

    const fn bit(role: Role) -> u8 {
        1 << role.code()
    }

    /// The set with one more role.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | Self::bit(role))
    }

    /// Whether the role is in the set.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & Self::bit(role) != 0
    }

    /// Whether at least one of the roles is in the set.
    #[must_use]
    pub fn contains_any(self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.contains(*role))
    }

    /// Whether there is no role.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles, in the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.iter().copied().filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for RoleSet {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for RoleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Role::wire).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for RoleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

/// The roles claim is neither a list of strings nor a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the roles are neither a list of texts nor a text")]
pub struct OddRoles;

/// Where the roles stand and what the names there mean.
#[derive(Clone, Debug)]
pub struct RoleClaim {
    path: ClaimPath,
    map: RolesMap,
}

impl RoleClaim {
    /// Roles at `path`, whose names `map` translates.
    #[must_use]
    pub const fn new(path: ClaimPath, map: RolesMap) -> Self {
        Self { path, map }
    }

    /// The roles that the claims give. No claim, or no name that is known: no roles.
    ///
    /// # Errors
    /// [`OddRoles`] when the claim is of another type than a list of strings or a space separated string.
    pub fn read(&self, claims: &Map<String, Value>) -> Result<RoleSet, OddRoles> {
        match find(claims, self.path.as_str()) {
            None => Ok(RoleSet::NONE),
            Some(Value::String(names)) => Ok(names.split_ascii_whitespace().flat_map(|name| self.meaning(name)).collect()),
            Some(Value::Array(names)) => names.iter().try_fold(RoleSet::NONE, |roles, name| {
                let name = name.as_str().ok_or(OddRoles)?;
                Ok(self.meaning(name).fold(roles, RoleSet::with))
            }),
            Some(_) => Err(OddRoles),
        }
    }

    /// Writes the roles under their own names where [`RoleClaim::read`] finds them.
    pub fn write(&self, claims: &mut Map<String, Value>, roles: RoleSet) {
        let names = roles.iter().map(|role| Value::from(role.wire())).collect();
        claims.insert(self.path.as_str().to_owned(), Value::Array(names));
    }

    fn meaning<'a>(&'a self, name: &str) -> impl Iterator<Item = Role> + use<'a> {
        let mapped = self.map.0.get(name).into_iter().flatten().copied();
        mapped.chain(Role::from_wire(name))
    }
}

/// The value at a path: the whole path as one key first, then cut at each of its dots, so that keys may contain dots themselves.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(dot, _)| find(claims.get(&path[..dot])?.as_object()?, &path[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(path: &str, claims: Value) -> Result<String, OddRoles> {
        let map = RolesMap([("grp-finops".to_owned(), vec![Role::FinancialDirector])].into());
        let claim = RoleClaim::new(ClaimPath::try_from(path.to_owned()).unwrap(), map);
        claim.read(claims.as_object().unwrap()).map(|roles| roles.to_string())
    }

    #[test]
    fn paths_may_be_plain_dotted_or_urls() {
        assert_eq!(read("roles", json!({"roles": ["ADMIN", "PIPELINE_TD"]})).unwrap(), "PIPELINE_TD,ADMIN");
        assert_eq!(read("realm_access.roles", json!({"realm_access": {"roles": ["ADMIN"]}})).unwrap(), "ADMIN");
        assert_eq!(read("https://example.com/roles", json!({"https://example.com/roles": "ADMIN INGEST"})).unwrap(), "ADMIN,INGEST");
        assert_eq!(read("resource_access.my.app.roles", json!({"resource_access": {"my.app": {"roles": ["INGEST"]}}})).unwrap(), "INGEST");
        assert_eq!(read("a.b", json!({"a": "ADMIN"})).unwrap(), "");
    }

    #[test]
    fn names_are_mapped_and_strangers_ignored() {
        assert_eq!(read("roles", json!({"roles": ["grp-finops", "admin", "root", "*", ""]})).unwrap(), "FINANCIAL_DIRECTOR");
        assert_eq!(read("roles", json!({})).unwrap(), "");
        assert_eq!(read("roles", json!({"roles": []})).unwrap(), "");
    }

    #[test]
    fn odd_types_are_refused() {
        for odd in [json!(7), json!(true), json!(null), json!({"ADMIN": true}), json!(["ADMIN", 1]), json!([["ADMIN"]])] {
            assert_eq!(read("roles", json!({"roles": odd})), Err(OddRoles), "{odd}");
        }
    }
}
