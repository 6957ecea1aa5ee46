//! Who may read a field, enforced from the one table.
//!
//! async-graphql 7 drops the key of a nullable field whose `guard` fails, so the check stands inside the resolver: a refusal adds
//! an error with the field's path and the field is null (DESIGN, section 6).

use async_graphql::{Context, Enum, Result};
use plimsoll_entity::value::label;
use plimsoll_gate::Code;

use super::error::coded;
use crate::auth::Scope;
use crate::auth::access::roles_of;

/// Who asks.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "label::Role")]
pub enum Role {
    /// Performance, jobs and checkpoints.
    PipelineTd,
    /// Machines, health and capacity.
    Admin,
    /// Cost, chargeback and value.
    FinancialDirector,
    /// Sends events; reads nothing.
    Ingest,
}

mod directive {
    #![allow(missing_docs, reason = "the macro makes items that cannot be documented")]

    use async_graphql::TypeDirective;

    use super::Role;

    /// Who may read a field. Shown in the schema so that a client knows before it asks.
    #[TypeDirective(location = "FieldDefinition")]
    pub fn requires(roles: Vec<Role>) {}
}

pub use directive::requires;

/// The roles of a field as the schema shows them.
pub fn required(field: &str) -> Vec<Role> {
    roles_of(field).unwrap_or_default().iter().copied().map(Role::from).collect()
}

/// Whether the caller may read a guarded field; when not, the refusal stands among the errors of the answer.
pub fn allows(ctx: &Context<'_>, field: &str) -> bool {
    let Err(refusal) = demand(ctx, field) else { return true };
    ctx.add_error(ctx.set_error_path(refusal.into_server_error(ctx.item.pos)));
    false
}

/// As [`allows`], for a subscription, which ends with the refusal.
///
/// # Errors
/// FORBIDDEN when the caller may not.
pub fn demand(ctx: &Context<'_>, field: &str) -> Result<()> {
    let roles = roles_of(field).unwrap_or_default();
    if ctx.data_opt::<Scope>().is_some_and(|scope| scope.roles.contains_any(roles)) {
        return Ok(());
    }
    let names = roles.iter().map(|role| role.wire()).collect::<Vec<_>>().join(" or ");
    Err(coded(Code::Forbidden, format!("requires the role {names}")))
}
