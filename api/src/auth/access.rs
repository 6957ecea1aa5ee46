//! Who may read what: the one table that the schema shows as `@requires` and the guard enforces.
//!
//! Invariant: every root field but those in [`OPEN`] stands here, and so does every nested field that asks for more than its
//! parent; a test walks the schema. Must not know: how a refusal looks.

use plimsoll_entity::value::label::Role;

const TD: Role = Role::PipelineTd;
const ADMIN: Role = Role::Admin;
const FD: Role = Role::FinancialDirector;

/// Root fields that every valid token may ask for.
pub const OPEN: &[&str] = &["Query.viewer", "Query.serviceConfig", "Query.node"];

/// `Type.field` and the roles of which one is enough.
pub const TABLE: &[(&str, &[Role])] = &[
    ("Query.executionBreakdown", &[TD, ADMIN]),
    ("Query.executionSeries", &[TD, ADMIN]),
    ("Query.concurrencySeries", &[TD, ADMIN]),
    ("Query.executions", &[TD, ADMIN, FD]),
    ("Query.execution", &[TD, ADMIN, FD]),
    ("Query.jobBreakdown", &[TD]),
    ("Query.jobs", &[TD, ADMIN]),
    ("Query.loadBreakdown", &[TD, ADMIN, FD]),
    ("Query.dimensionValues", &[TD, ADMIN, FD]),
    ("Query.executionComparison", &[TD]),
    ("Query.checkpointPopularity", &[TD]),
    ("Query.checkpointSwitching", &[TD]),
    ("Query.usageBreakdown", &[TD, ADMIN, FD]),
    ("Query.usageSeries", &[TD, ADMIN, FD]),
    ("Query.instanceTypeUsage", &[ADMIN]),
    ("Query.vms", &[ADMIN, TD]),
    ("Query.machineBreakdown", &[ADMIN]),
    ("Query.machineSeries", &[ADMIN]),
    ("Query.provisioningBreakdown", &[ADMIN]),
    ("Query.availabilityBreakdown", &[ADMIN]),
    ("Query.storageBreakdown", &[ADMIN, FD]),
    ("Query.auditLog", &[ADMIN]),
    ("Subscription.executionMetrics", &[TD, ADMIN]),
    ("Subscription.jobUpdates", &[TD, ADMIN]),
];

/// Roles of which one is enough for a guarded field; none for a field that is not guarded.
#[must_use]
pub fn roles_of(field: &str) -> Option<&'static [Role]> {
    TABLE.iter().find(|(named, _)| *named == field).map(|(_, roles)| *roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_stands_once() {
        let mut fields: Vec<&str> = TABLE.iter().map(|(field, _)| *field).chain(OPEN.iter().copied()).collect();
        fields.sort_unstable();
        let before = fields.len();
        fields.dedup();
        assert_eq!(fields.len(), before);
        assert_eq!(roles_of("Query.auditLog"), Some(&[Role::Admin][..]));
        assert_eq!(roles_of("Query.viewer"), None);
    }
}
