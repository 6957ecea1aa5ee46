//! Alerts, their rules, and the health of the fleet.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::store::{self, NewestFirst, Page, Snapshot};
use plimsoll_domain::watch::health;
use plimsoll_domain::watch::rule::Rule;
use plimsoll_entity::value::label;
use uuid::Uuid;

use super::lists::{in_order, sizes};
use crate::auth::Scope;
use crate::auth::access::signals_of;
use crate::graphql::connection::{PageArguments, Pages, part};
use crate::graphql::error::{of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::heavy;
use crate::graphql::mutation::Writing;
use crate::graphql::types::alert::{Alert, AlertConnection, AlertEdge, AlertRule, FleetHealth};
use crate::graphql::types::enums::AlertState;

/// Root fields about alerts.
#[derive(Default)]
pub struct AlertQuery;

struct Alerts<'a> {
    snapshot: &'a Snapshot,
    signals: Vec<label::Signal>,
    states: Option<Vec<label::AlertState>>,
}

impl Pages for Alerts<'_> {
    type Key = NewestFirst;
    type Row = store::Alert;
    const LIST: &'static str = "alerts";

    fn key(row: &store::Alert) -> NewestFirst {
        (row.started_at, row.id)
    }

    async fn read(&self, page: &Page<NewestFirst>) -> Result<Vec<store::Alert>> {
        let rows = self.snapshot.alert_page(&self.signals, self.states.as_deref(), page).await.map_err(of_store)?;
        Ok(in_order(page, rows))
    }
}

/// The signals whose rules and alerts the caller may read.
pub fn readable_signals(ctx: &Context<'_>) -> Vec<label::Signal> {
    ctx.data_opt::<Scope>().map(|scope| signals_of(scope.roles)).unwrap_or_default()
}

/// The states of an argument, none twice; none: any.
pub fn states(states: Option<Vec<AlertState>>) -> Option<Vec<label::AlertState>> {
    states.map(|mut states| {
        let mut known: Vec<label::AlertState> = states.drain(..).map(label::AlertState::from).collect();
        known.sort_unstable();
        known.dedup();
        known
    })
}

/// An alert, when there is one that the caller may read.
///
/// # Errors
/// What the store says.
pub async fn readable_alert(ctx: &Context<'_>, id: Uuid) -> Result<Option<store::Alert>> {
    let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
    let found = snapshot.alert_fetch(id).await.map_err(of_store)?;
    Ok(found.filter(|alert| readable_signals(ctx).contains(&alert.signal)))
}

/// A rule, when there is one that the caller may read; a deleted one is none.
///
/// # Errors
/// What the store says.
pub async fn readable_rule(ctx: &Context<'_>, id: Uuid) -> Result<Option<Rule>> {
    let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
    let found = snapshot.alert_rule_fetch(&[id]).await.map_err(of_store)?.pop();
    Ok(found.filter(|rule| rule.deleted_at.is_none() && readable_signals(ctx).contains(&rule.signal)))
}

#[Object]
impl AlertQuery {
    /// The fleet and the service at one glance. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.fleetHealth")))]
    async fn fleet_health(&self, ctx: &Context<'_>) -> Result<Option<FleetHealth>> {
        if !guard::allows(ctx, "Query.fleetHealth") {
            return Ok(None);
        }
        let reader = ctx.data::<Reader>()?.clone();
        let bus = ctx.data::<Writing>()?.bus.state();
        let health = heavy(move || async move {
            let reading = reader.begin().await.map_err(of_store)?;
            health::fleet_health(&reading, bus).await.map_err(of_breakdown)
        })
        .await?;
        Ok(Some(health.into()))
    }

    /// Alerts of the signals that the caller's roles may read, newest first, then by id: COST_PER_HOUR for the FINANCIAL_DIRECTOR, machine signals for the ADMIN, execution signals for ADMIN and PIPELINE_TD. Resolved ones are kept for 400 days. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.alerts")))]
    #[allow(clippy::too_many_arguments)]
    async fn alerts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only in one of these states; null: in any.")] states: Option<Vec<AlertState>>,
        #[graphql(
            desc = "Nodes at most from the front, 0 to pageSizeMax of serviceConfig; pageSizeDefault when neither first nor last is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Nodes at most from the end, 0 to pageSizeMax of serviceConfig; not together with first.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Result<Option<AlertConnection>> {
        if !guard::allows(ctx, "Query.alerts") {
            return Ok(None);
        }
        let asked = PageArguments { first, after, last, before }.page::<Alerts<'_>>(sizes(ctx)?)?;
        let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
        let alerts = Alerts { snapshot: &snapshot, signals: readable_signals(ctx), states: self::states(states) };
        let (edges, page_info) = part(&alerts, &asked).await?;
        let edges: Vec<AlertEdge> = edges.into_iter().map(|(cursor, row)| AlertEdge { cursor, node: Alert(row) }).collect();
        Ok(Some(AlertConnection { nodes: edges.iter().map(|edge| edge.node.clone()).collect(), edges, page_info }))
    }

    /// Rules of the signals that the caller's roles may read, in the order in which they were made; at most 500. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.alertRules")))]
    async fn alert_rules(&self, ctx: &Context<'_>) -> Result<Option<Vec<AlertRule>>> {
        if !guard::allows(ctx, "Query.alertRules") {
            return Ok(None);
        }
        let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
        let signals = readable_signals(ctx);
        let rules = snapshot.alert_rule_list().await.map_err(of_store)?;
        Ok(Some(rules.into_iter().filter(|rule| signals.contains(&rule.signal)).map(AlertRule).collect()))
    }
}
