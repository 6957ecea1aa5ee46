//! Who may read what: the one table that the schema shows as `@requires` and the guard enforces.
//!
//! Invariant: every root field but those in [`OPEN`] stands here, and so does every nested field that asks for more than its
//! parent; a test walks the schema. Must not know: how a refusal looks.

use plimsoll_domain::watch::rule::{SignalKind, kind_of};
use plimsoll_entity::value::label::{Role, Signal};

use super::role::RoleSet;

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
    ("Query.costBreakdown", &[FD]),
    ("Query.costSeries", &[FD]),
    ("Query.costReport", &[FD]),
    ("Query.costForecast", &[FD]),
    ("Query.costRecommendations", &[FD]),
    ("Query.roiBreakdown", &[FD]),
    ("Query.auditLog", &[ADMIN]),
    ("Query.fleetHealth", &[ADMIN]),
    ("Query.alerts", &[TD, ADMIN, FD]),
    ("Query.alertRules", &[TD, ADMIN, FD]),
    ("Query.rateCards", &[FD]),
    ("Query.businessValues", &[FD]),
    ("Mutation.rateCardCreate", &[FD]),
    ("Mutation.costReportClose", &[FD]),
    ("Mutation.businessValueCreate", &[FD]),
    ("Mutation.alertRuleCreate", &[ADMIN, FD]),
    ("Mutation.alertRuleUpdate", &[ADMIN, FD]),
    ("Mutation.alertRuleDelete", &[ADMIN, FD]),
    ("Mutation.alertAcknowledge", &[ADMIN, FD]),
    ("Execution.cost", &[FD]),
    ("LoadStats.cost", &[FD]),
    ("Vm.utilization", &[ADMIN]),
    ("Subscription.executionMetrics", &[TD, ADMIN]),
    ("Subscription.jobUpdates", &[TD, ADMIN]),
    ("Subscription.alertUpdates", &[TD, ADMIN, FD]),
    ("Subscription.vmUtilization", &[ADMIN]),
    ("Subscription.costMeter", &[FD]),
];

/// Roles of which one is enough for the rules and alerts of a signal.
#[must_use]
pub const fn roles_of_signal(signal: Signal) -> &'static [Role] {
    match kind_of(signal) {
        SignalKind::Machine => &[ADMIN],
        SignalKind::Execution | SignalKind::Load => &[TD, ADMIN],
        SignalKind::Cost => &[FD],
    }
}

/// The signals whose rules and alerts these roles may read.
#[must_use]
pub fn signals_of(roles: RoleSet) -> Vec<Signal> {
    Signal::ALL.iter().copied().filter(|signal| roles.contains_any(roles_of_signal(*signal))).collect()
}

/// Roles of which one is enough for a guarded field; none for a field that is not guarded.
#[must_use]
pub fn roles_of(field: &str) -> Option<&'static [Role]> {
    TABLE.iter().find(|(named, _)| *named == field).map(|(_, roles)| *roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_reads_its_own_signals() {
        let of = |role: Role| signals_of(RoleSet::NONE.with(role));
        assert_eq!(of(FD), [Signal::CostPerHour]);
        assert_eq!(of(TD), [Signal::FailureRatio, Signal::DurationP95Ms, Signal::QueueP95Ms, Signal::CacheHitRatio]);
        assert!(!of(ADMIN).contains(&Signal::CostPerHour) && of(ADMIN).len() == Signal::ALL.len() - 1);
        assert!(of(Role::Ingest).is_empty());
    }

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
