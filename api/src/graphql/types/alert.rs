//! Alert rules, alerts and the health of the fleet.

use async_graphql::{ComplexObject, Context, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use plimsoll_domain::cost::card::{FaultKind, PriceFault};
use plimsoll_domain::store;
use plimsoll_domain::watch::rule::{Rule, RuleFault};
use plimsoll_domain::watch::{health, webhook_url};

use super::enums::{AlertState, Detection, ExecutionDimension, HealthStatus, Severity, Signal};
use super::id::NodeKind;
use crate::graphql::connection::PageInfo;
use crate::graphql::loader;
use crate::graphql::scalar::{DateTime, UInt53};

/// What is looked at, and what is too much.
#[derive(Clone, Debug)]
pub struct AlertRule(pub Rule);

/// What is looked at, and what is too much.
#[Object]
impl AlertRule {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::AlertRule.uuid_id(self.0.id)
    }

    /// Name for people.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// What it looks at.
    async fn signal(&self) -> Signal {
        self.0.signal.into()
    }

    /// When it finds something.
    async fn detection(&self) -> Detection {
        self.0.detection.into()
    }

    /// What the value is held against, in the unit of the signal; of an ANOMALY the least distance from what was expected that counts; null: any, and 0 for VM_UNREACHABLE.
    async fn threshold(&self) -> Option<f64> {
        self.0.threshold
    }

    /// Seconds for which the condition must hold before it alerts.
    async fn for_seconds(&self) -> i32 {
        self.0.for_seconds
    }

    /// How much its alerts matter.
    async fn severity(&self) -> Severity {
        self.0.severity.into()
    }

    /// A signal of executions or loads is looked at for each key of these, at most the 1,000 busiest; empty: for all together. Signals of machines are looked at for each machine or GPU.
    async fn by(&self) -> Vec<ExecutionDimension> {
        self.0.by.iter().copied().filter_map(ExecutionDimension::of).collect()
    }

    /// Whether it is evaluated.
    async fn enabled(&self) -> bool {
        self.0.is_live()
    }

    /// Host to which its alerts are sent, without what could be secret in the address; null when they are sent nowhere.
    async fn webhook_host(&self) -> Option<String> {
        webhook_url::host(self.0.webhook_url.as_deref()?)
    }
}

/// Something that a rule found: of a rule and a subject one is open at a time.
#[derive(Clone, Debug)]
pub struct Alert(pub store::Alert);

/// Something that a rule found: of a rule and a subject one is open at a time.
#[Object]
impl Alert {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Alert.uuid_id(self.0.id)
    }

    /// The rule, as it is now; a deleted one stays readable here.
    async fn rule(&self, ctx: &Context<'_>) -> Result<AlertRule> {
        loader::alert_rule(ctx, self.0.rule_id).await.map(AlertRule)
    }

    /// State.
    async fn state(&self) -> AlertState {
        self.0.state.into()
    }

    /// How much it mattered to its rule when it began.
    async fn severity(&self) -> Severity {
        self.0.severity.into()
    }

    /// Whom it is about: a machine's name, `name GPU index`, or `dimension=name` with commas for executions.
    async fn subject(&self) -> &str {
        &self.0.subject
    }

    /// What is wrong, in one sentence.
    async fn summary(&self) -> &str {
        &self.0.summary
    }

    /// The value when it began to alert, in the unit of the signal.
    async fn value(&self) -> f64 {
        self.0.value
    }

    /// The value that was expected; null but for an ANOMALY.
    async fn expected(&self) -> Option<f64> {
        self.0.expected
    }

    /// The least value that would have been expected; null but for an ANOMALY.
    async fn expected_low(&self) -> Option<f64> {
        self.0.band.map(|(low, _)| low)
    }

    /// The greatest value that would have been expected; null but for an ANOMALY.
    async fn expected_high(&self) -> Option<f64> {
        self.0.band.map(|(_, high)| high)
    }

    /// When its condition began to hold.
    async fn started_at(&self) -> DateTime {
        DateTime(self.0.started_at)
    }

    /// When its condition ended; null while it holds.
    async fn resolved_at(&self) -> Option<DateTime> {
        self.0.resolved_at.map(DateTime)
    }

    /// Subject of the token of who has taken it; null when nobody has.
    async fn acknowledged_by(&self) -> Option<&str> {
        self.0.acknowledged_by.as_deref()
    }
}

/// Alerts, newest first.
#[derive(SimpleObject, Clone, Debug)]
pub struct AlertConnection {
    /// The nodes with their cursors.
    pub edges: Vec<AlertEdge>,
    /// The nodes.
    pub nodes: Vec<Alert>,
    /// Where the page lies.
    pub page_info: PageInfo,
}

/// An alert and its cursor.
#[derive(SimpleObject, Clone, Debug)]
pub struct AlertEdge {
    /// Opaque place in the list; in `alertUpdates` that of the change.
    pub cursor: String,
    /// The alert.
    pub node: Alert,
}

/// The fleet and the service at one glance.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(complex)]
pub struct FleetHealth {
    /// Everything committed before this instant is in it.
    as_of: DateTime,
    /// The verdict.
    status: HealthStatus,
    /// Machines that are there: in a life that has not ended, or sampled in the last week when no event told a state of them.
    vms: UInt53,
    /// Of them those that are RUNNING and not silent.
    running: UInt53,
    /// Of them those that are down: UNREACHABLE, FAILED or silent.
    unreachable: UInt53,
    /// Alerts in state FIRING, but for those of COST_PER_HOUR.
    firing_alerts: UInt53,
    #[graphql(skip)]
    parts: Vec<health::Component>,
}

#[ComplexObject]
impl FleetHealth {
    /// The parts of the service.
    async fn components(&self) -> Vec<ComponentHealth> {
        self.parts.iter().cloned().map(ComponentHealth::from).collect()
    }
}

impl From<health::FleetHealth> for FleetHealth {
    fn from(of: health::FleetHealth) -> Self {
        Self {
            as_of: DateTime(of.as_of),
            status: of.status.into(),
            vms: of.vms.into(),
            running: of.running.into(),
            unreachable: of.unreachable.into(),
            firing_alerts: of.firing_alerts.into(),
            parts: of.components,
        }
    }
}

/// A part of the service.
#[derive(SimpleObject, Clone, Debug)]
pub struct ComponentHealth {
    /// Name, such as `database` or `cells`.
    name: String,
    /// Whether it does what it should.
    healthy: bool,
    /// What it does just now, for people.
    detail: String,
}

impl From<health::Component> for ComponentHealth {
    fn from(of: health::Component) -> Self {
        Self { name: of.name.to_owned(), healthy: of.is_healthy, detail: of.detail }
    }
}

/// A rule to be made.
#[derive(InputObject, Clone, Debug)]
pub struct AlertRuleInput {
    /// Name for people, 1 to 200 characters.
    pub name: String,
    /// What it looks at.
    pub signal: Signal,
    /// When it finds something.
    pub detection: Detection,
    /// What the value is held against, in the unit of the signal; of an ANOMALY the least distance from what was expected that counts. Null: any distance, and 0 for VM_UNREACHABLE; ABOVE and BELOW of other signals need one.
    pub threshold: Option<f64>,
    /// Seconds for which the condition must hold before it alerts, 0 to 604,800.
    #[graphql(default = 60)]
    pub for_seconds: i32,
    /// How much its alerts matter.
    #[graphql(default_with = "Severity::Warning")]
    pub severity: Severity,
    /// A signal of executions or loads is looked at for each key of these, at most 4, none twice.
    #[graphql(default)]
    pub by: Vec<ExecutionDimension>,
    /// Whether it is evaluated.
    #[graphql(default = true)]
    pub enabled: bool,
    /// Where its alerts are sent when they begin and end: an http or https URL of at most 2,000 characters without user, password or fragment, to a private address only where the server allows it; null: nowhere.
    pub webhook_url: Option<String>,
}

/// What changes of a rule. What is absent stays.
#[derive(InputObject, Clone, Debug)]
pub struct AlertRulePatch {
    /// Name for people, 1 to 200 characters.
    pub name: MaybeUndefined<String>,
    /// What the value is held against; null: none.
    pub threshold: MaybeUndefined<f64>,
    /// Seconds for which the condition must hold before it alerts, 0 to 604,800.
    pub for_seconds: MaybeUndefined<i32>,
    /// How much its alerts matter.
    pub severity: MaybeUndefined<Severity>,
    /// Whether it is evaluated.
    pub enabled: MaybeUndefined<bool>,
    /// Where its alerts are sent, as when it was made; alerts that are open keep the address that they began with. Null: nowhere.
    pub webhook_url: MaybeUndefined<String>,
}

/// What a person has to put right.
#[derive(SimpleObject, Clone, Debug)]
pub struct UserError {
    /// Such as BAD_USER_INPUT, NOT_FOUND, FORBIDDEN, CONFLICT or LIMIT_EXCEEDED.
    pub code: String,
    /// Where, from the argument inwards; an entry of a list by its place from 0.
    pub field: Vec<String>,
    /// Why, in one sentence.
    pub message: String,
}

impl UserError {
    /// An error about an argument, or about a field of it.
    pub fn new(code: plimsoll_gate::Code, field: &[&str], message: impl Into<String>) -> Self {
        Self { code: code.as_str().to_owned(), field: field.iter().map(|part| (*part).to_owned()).collect(), message: message.into() }
    }

    /// What is wrong with a rule in an argument.
    pub fn of_fault(argument: &str, fault: RuleFault) -> Self {
        Self::new(plimsoll_gate::Code::BadUserInput, &[argument, fault.field], fault.message)
    }

    /// What is wrong with a price in an argument.
    pub fn of_price_fault(argument: &str, fault: PriceFault) -> Self {
        let code = match fault.kind {
            FaultKind::Invalid => plimsoll_gate::Code::BadUserInput,
            FaultKind::Conflict => plimsoll_gate::Code::Conflict,
            FaultKind::TooMany => plimsoll_gate::Code::LimitExceeded,
        };
        let field = std::iter::once(argument.to_owned()).chain(fault.field).collect();
        Self { code: code.as_str().to_owned(), field, message: fault.message }
    }
}

/// What became of a change of a rule.
#[derive(SimpleObject, Clone, Debug)]
pub struct AlertRulePayload {
    /// The rule, as it is now; after its deletion as it was, no longer enabled. Null when there are errors.
    pub alert_rule: Option<AlertRule>,
    /// What has to be put right; empty when it was done.
    pub user_errors: Vec<UserError>,
}

/// What became of a change of an alert.
#[derive(SimpleObject, Clone, Debug)]
pub struct AlertPayload {
    /// The alert as it is now; null when there are errors.
    pub alert: Option<Alert>,
    /// What has to be put right; empty when it was done.
    pub user_errors: Vec<UserError>,
}
