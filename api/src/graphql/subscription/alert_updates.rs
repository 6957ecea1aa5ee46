//! Each change of an alert, in order.

use async_graphql::{Context, Result, Subscription};
use futures_util::stream::Stream;
use plimsoll_domain::breakdown::executions::Reading;
use plimsoll_domain::live::ordered::{Position, Step};
use plimsoll_domain::store;
use plimsoll_domain::watch::updates::updates;
use plimsoll_entity::value::label::{self, Signal};

use super::following::{Followed, follow};
use crate::graphql::error::of_breakdown;
use crate::graphql::guard;
use crate::graphql::query::alerts::{readable_signals, states};
use crate::graphql::types::alert::{Alert, AlertEdge};
use crate::graphql::types::enums::AlertState;

/// The field, with which its cursors begin.
pub const FIELD: &str = "alertUpdates";

/// Subscriptions about alerts.
#[derive(Default)]
pub struct AlertSubscription;

#[Subscription]
impl AlertSubscription {
    /// Each change of an alert's state, in the order in which it was made, with the alert as the change left it: those of the signals that the caller's roles may read, as in `alerts`. `after` resumes from a cursor without gap or duplicate.
    #[graphql(directive = guard::requires::apply(guard::required("Subscription.alertUpdates")))]
    async fn alert_updates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only changes that lead to one of these states; null: to any.")] states: Option<Vec<AlertState>>,
        #[graphql(desc = "Only behind this cursor, at most 7 days old; null: from now on.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<AlertEdge>> + use<>> {
        guard::demand(ctx, "Subscription.alertUpdates")?;
        let alerts = Alerts { signals: readable_signals(ctx), states: self::states(states) };
        follow(ctx, alerts, after).await
    }
}

#[derive(Clone)]
struct Alerts {
    signals: Vec<Signal>,
    states: Option<Vec<label::AlertState>>,
}

impl Followed for Alerts {
    type Row = store::Alert;
    type Edge = AlertEdge;
    const FIELD: &'static str = FIELD;

    async fn step(self, reading: &Reading, after: Position) -> Result<Step<store::Alert>> {
        updates(&reading.snapshot, &self.signals, self.states.as_deref(), after).await.map_err(of_breakdown)
    }

    fn edge(cursor: String, row: store::Alert) -> AlertEdge {
        AlertEdge { cursor, node: Alert(row) }
    }
}
