//! Breakdowns and series of executions.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Breakdown, ExecutionQuestion, Reader, Reading, RowKey, Series};
use plimsoll_domain::breakdown::figures::ExecutionFigures;
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_entity::value::time;

use crate::graphql::ask::{ask, dimensions};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::scalar::DateTime;
use crate::graphql::types::enums::{ExecutionDimension, ExecutionOrder, Step};
use crate::graphql::types::execution_stats::{
    ExecutionBreakdown, ExecutionBreakdownRow, ExecutionPoint, ExecutionSeries, ExecutionSeriesRow, parts_asked,
};
use crate::graphql::types::filter::ExecutionFilter;
use crate::graphql::types::key::BreakdownKey;
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about executions.
#[derive(Default)]
pub struct ExecutionQuery;

#[Object]
impl ExecutionQuery {
    /// Executions that finished in the window, by up to 4 dimensions. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.executionBreakdown")))]
    #[allow(clippy::too_many_arguments)]
    async fn execution_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Executions that finished in it count.")] window: TimeWindowInput,
        #[graphql(desc = "Dimensions, at most 4, none twice; none: one row with everything.")] by: Vec<ExecutionDimension>,
        #[graphql(desc = "Which executions count; null: all.")] filter: Option<ExecutionFilter>,
        #[graphql(default_with = "ExecutionOrder::Executions", desc = "What the rows are ordered by.")] order_by: ExecutionOrder,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<ExecutionBreakdown>> {
        if !guard::allows(ctx, "Query.executionBreakdown") {
            return Ok(None);
        }
        let look = ctx.look_ahead();
        let parts = parts_asked(&[look.field("rows").field("stats"), look.field("other"), look.field("total")]);
        let asked = ExecutionQuestion { window: window.into(), by: dimensions(by), parts, limit: rows_limit(limit)? };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| {
            reader.execution_breakdown(reading, &asked, filter, order_by.into()).await
        };
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(breakdown.into()))
    }

    /// Executions that finished in the window, over time. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.executionSeries")))]
    #[allow(clippy::too_many_arguments)]
    async fn execution_series(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Executions that finished in it count.")] window: TimeWindowInput,
        #[graphql(desc = "Calendar unit of the points; at most 2,000 points.")] step: Step,
        #[graphql(default, desc = "Dimensions, at most 4, none twice.")] by: Vec<ExecutionDimension>,
        #[graphql(desc = "Which executions count; null: all.")] filter: Option<ExecutionFilter>,
        #[graphql(default = 20, desc = "Rows at most, 0 to 10,000: the largest by executions.")] limit: i32,
    ) -> Result<Option<ExecutionSeries>> {
        if !guard::allows(ctx, "Query.executionSeries") {
            return Ok(None);
        }
        let look = ctx.look_ahead();
        let parts = parts_asked(&[look.field("rows").field("points").field("stats"), look.field("total").field("stats")]);
        let asked = ExecutionQuestion { window: window.into(), by: dimensions(by), parts, limit: rows_limit(limit)? };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| {
            reader.execution_series(reading, &asked, filter, time::Step::from(step)).await
        };
        let series = ask(ctx, filter, question).await?;
        Ok(Some(of_series(series, step)))
    }
}

impl From<Breakdown<ExecutionFigures>> for ExecutionBreakdown {
    fn from(of: Breakdown<ExecutionFigures>) -> Self {
        let row = |(key, figures): (RowKey, ExecutionFigures)| ExecutionBreakdownRow { key: BreakdownKey(key), stats: figures.into() };
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

fn of_series(of: Series<ExecutionFigures>, step: Step) -> ExecutionSeries {
    let tiles = of.tiles;
    let points = |figures: Vec<ExecutionFigures>| -> Vec<ExecutionPoint> {
        figures.into_iter().zip(&tiles).map(|(figures, tile)| ExecutionPoint { window: (*tile).into(), stats: figures.into() }).collect()
    };
    let row = |(key, figures): (RowKey, Vec<ExecutionFigures>)| ExecutionSeriesRow { key: BreakdownKey(key), points: points(figures) };
    ExecutionSeries {
        window: of.window.into(),
        step,
        as_of: DateTime(of.as_of),
        row_count: of.row_count.into(),
        rows: of.rows.into_iter().map(row).collect(),
        total: points(of.total),
    }
}
