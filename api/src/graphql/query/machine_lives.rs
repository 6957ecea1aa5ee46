//! Breakdowns of machines' lives: provisioning and availability.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Breakdown, Reader, Reading, RowKey};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::machine_lives::LifeQuestion;
use plimsoll_domain::machine::availability::AvailabilityFigures;
use plimsoll_domain::machine::provisioning::ProvisioningFigures;

use crate::graphql::ask::{ask, dimensions};
use crate::graphql::error::bad_input;
use crate::graphql::guard;
use crate::graphql::scalar::DateTime;
use crate::graphql::types::availability::{AvailabilityBreakdown, AvailabilityRow, AvailabilityStats};
use crate::graphql::types::enums::MachineDimension;
use crate::graphql::types::filter::MachineFilter;
use crate::graphql::types::key::BreakdownKey;
use crate::graphql::types::provisioning::{ProvisioningBreakdown, ProvisioningRow};
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about machines' lives.
#[derive(Default)]
pub struct MachineLifeQuery;

#[Object]
impl MachineLifeQuery {
    /// How machines came and went: requests, provisionings, failures and terminations of the window. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.provisioningBreakdown")))]
    async fn provisioning_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What ended in it counts.")] window: TimeWindowInput,
        #[graphql(default, desc = "Dimensions, none twice; none: one row with everything.")] by: Vec<MachineDimension>,
        #[graphql(desc = "Which machines count; null: all.")] filter: Option<MachineFilter>,
    ) -> Result<Option<ProvisioningBreakdown>> {
        if !guard::allows(ctx, "Query.provisioningBreakdown") {
            return Ok(None);
        }
        let asked = question(window, by);
        let question =
            async move |reader: &Reader, reading: &Reading, filter: &Filter| reader.provisioning_breakdown(reading, &asked, filter).await;
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(breakdown.into()))
    }

    /// How long machines were up, down and in maintenance in the window. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.availabilityBreakdown")))]
    async fn availability_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Times are cut to it; nothing is said of what lies behind asOf.")] window: TimeWindowInput,
        #[graphql(default, desc = "Dimensions, none twice; none: one row with everything.")] by: Vec<MachineDimension>,
        #[graphql(desc = "Which machines count; null: all.")] filter: Option<MachineFilter>,
        #[graphql(default = 0.999, desc = "What availabilityRatio is held against, 0 to 1.")] target_ratio: f64,
    ) -> Result<Option<AvailabilityBreakdown>> {
        if !guard::allows(ctx, "Query.availabilityBreakdown") {
            return Ok(None);
        }
        if !(0.0..=1.0).contains(&target_ratio) {
            return Err(bad_input("targetRatio", "targetRatio is 0 to 1"));
        }
        let asked = question(window, by);
        let question =
            async move |reader: &Reader, reading: &Reading, filter: &Filter| reader.availability_breakdown(reading, &asked, filter).await;
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(of_availability(breakdown, target_ratio)))
    }
}

fn question(window: TimeWindowInput, by: Vec<MachineDimension>) -> LifeQuestion {
    LifeQuestion { window: window.into(), by: dimensions(by) }
}

impl From<Breakdown<ProvisioningFigures>> for ProvisioningBreakdown {
    fn from(of: Breakdown<ProvisioningFigures>) -> Self {
        let row = |(key, figures): (RowKey, ProvisioningFigures)| ProvisioningRow { key: BreakdownKey(key), stats: figures.into() };
        Self { window: of.window.into(), as_of: DateTime(of.as_of), rows: of.rows.into_iter().map(row).collect(), total: of.total.into() }
    }
}

fn of_availability(of: Breakdown<AvailabilityFigures>, target_ratio: f64) -> AvailabilityBreakdown {
    let stats = |figures: AvailabilityFigures| AvailabilityStats::new(figures, target_ratio);
    let row = |(key, figures): (RowKey, AvailabilityFigures)| AvailabilityRow { key: BreakdownKey(key), stats: stats(figures) };
    AvailabilityBreakdown {
        window: of.window.into(),
        as_of: DateTime(of.as_of),
        target_ratio,
        rows: of.rows.into_iter().map(row).collect(),
        total: stats(of.total),
    }
}
