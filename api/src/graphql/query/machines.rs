//! Breakdowns and series of machines.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Breakdown, Reader, Reading, RowKey, Series};
use plimsoll_domain::breakdown::figures::MachineFigures;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::machines::MachineQuestion;
use plimsoll_entity::value::time;

use crate::graphql::ask::{ask, dimensions};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::scalar::DateTime;
use crate::graphql::types::enums::{MachineDimension, Step};
use crate::graphql::types::filter::MachineFilter;
use crate::graphql::types::key::BreakdownKey;
use crate::graphql::types::machine_stats::{MachineBreakdown, MachinePoint, MachineRow, MachineSeries, MachineSeriesRow, parts_asked};
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about machines.
#[derive(Default)]
pub struct MachineQuery;

#[Object]
impl MachineQuery {
    /// Machines that were RUNNING or sent samples in the window, by up to 4 dimensions. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.machineBreakdown")))]
    async fn machine_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Samples whose instant lies in it count.")] window: TimeWindowInput,
        #[graphql(desc = "Dimensions, none twice; none: one row with everything.")] by: Vec<MachineDimension>,
        #[graphql(desc = "Which machines count; null: all.")] filter: Option<MachineFilter>,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<MachineBreakdown>> {
        if !guard::allows(ctx, "Query.machineBreakdown") {
            return Ok(None);
        }
        let look = ctx.look_ahead();
        let parts = parts_asked(&[look.field("rows").field("stats"), look.field("other"), look.field("total")]);
        let asked = MachineQuestion { window: window.into(), by: dimensions(by), parts, limit: rows_limit(limit)? };
        let question =
            async move |reader: &Reader, reading: &Reading, filter: &Filter| reader.machine_breakdown(reading, &asked, filter).await;
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(breakdown.into()))
    }

    /// Machines that were RUNNING or sent samples in the window, over time. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.machineSeries")))]
    #[allow(clippy::too_many_arguments)]
    async fn machine_series(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Samples whose instant lies in it count.")] window: TimeWindowInput,
        #[graphql(desc = "Calendar unit of the points; at most 2,000 points.")] step: Step,
        #[graphql(default, desc = "Dimensions, none twice.")] by: Vec<MachineDimension>,
        #[graphql(desc = "Which machines count; null: all.")] filter: Option<MachineFilter>,
        #[graphql(default = 20, desc = "Rows at most, 0 to 10,000: the largest by samples.")] limit: i32,
    ) -> Result<Option<MachineSeries>> {
        if !guard::allows(ctx, "Query.machineSeries") {
            return Ok(None);
        }
        let look = ctx.look_ahead();
        let parts = parts_asked(&[look.field("rows").field("points").field("stats"), look.field("total").field("stats")]);
        let asked = MachineQuestion { window: window.into(), by: dimensions(by), parts, limit: rows_limit(limit)? };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| {
            reader.machine_series(reading, &asked, filter, time::Step::from(step)).await
        };
        let series = ask(ctx, filter, question).await?;
        Ok(Some(of_series(series, step)))
    }
}

impl From<Breakdown<MachineFigures>> for MachineBreakdown {
    fn from(of: Breakdown<MachineFigures>) -> Self {
        let row = |(key, figures): (RowKey, MachineFigures)| MachineRow { key: BreakdownKey(key), stats: figures.into() };
        Self {
            window: of.window.into(),
            as_of: DateTime(of.as_of),
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            other: of.other.map(Into::into),
            total: of.total.into(),
        }
    }
}

fn of_series(of: Series<MachineFigures>, step: Step) -> MachineSeries {
    let tiles = of.tiles;
    let points = |figures: Vec<MachineFigures>| -> Vec<MachinePoint> {
        figures.into_iter().zip(&tiles).map(|(figures, tile)| MachinePoint { window: (*tile).into(), stats: figures.into() }).collect()
    };
    let row = |(key, figures): (RowKey, Vec<MachineFigures>)| MachineSeriesRow { key: BreakdownKey(key), points: points(figures) };
    MachineSeries {
        window: of.window.into(),
        step,
        as_of: DateTime(of.as_of),
        row_count: of.row_count.into(),
        rows: of.rows.into_iter().map(row).collect(),
        total: points(of.total),
    }
}
