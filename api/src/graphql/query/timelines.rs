//! What follows from who held which GPU when: usage, switching, instance types.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, Reading, RowKey};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::switching::{SwitchFigures, SwitchQuestion};
use plimsoll_domain::breakdown::usage::{UsageFigures, UsageQuestion};
use plimsoll_entity::value::time;

use crate::graphql::ask::{ask, dimensions};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::scalar::DateTime;
use crate::graphql::types::enums::{ExecutionDimension, Step};
use crate::graphql::types::filter::{ExecutionFilter, MachineFilter};
use crate::graphql::types::instance_type_usage::InstanceTypeUsage;
use crate::graphql::types::key::BreakdownKey;
use crate::graphql::types::switching::{CheckpointSwitching, SwitchRow, TRANSITIONS_MAX};
use crate::graphql::types::usage::{UsageBreakdown, UsagePoint, UsageRow, UsageSeries, UsageSeriesRow};
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about timelines.
#[derive(Default)]
pub struct TimelineQuery;

#[Object]
impl TimelineQuery {
    /// Slot time by up to 4 dimensions: who spent it and who left it idle. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.usageBreakdown")))]
    async fn usage_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Time in it counts; widened to whole UTC hours.")] window: TimeWindowInput,
        #[graphql(desc = "Dimensions, at most 4, none twice; none: one row with everything.")] by: Vec<ExecutionDimension>,
        #[graphql(desc = "Whose time counts; null: everybody's.")] filter: Option<ExecutionFilter>,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<UsageBreakdown>> {
        if !guard::allows(ctx, "Query.usageBreakdown") {
            return Ok(None);
        }
        let asked = UsageQuestion { window: window.into(), by: dimensions(by), limit: rows_limit(limit)? };
        let question =
            async move |reader: &Reader, reading: &Reading, filter: &Filter| reader.usage_breakdown(reading, &asked, filter).await;
        let of = ask(ctx, filter, question).await?;
        let row = |(key, figures): (RowKey, UsageFigures)| UsageRow { key: BreakdownKey(key), usage: figures.into() };
        Ok(Some(UsageBreakdown {
            window: of.window.into(),
            as_of: DateTime(of.as_of),
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            other: of.other.map(Into::into),
            total: of.total.into(),
        }))
    }

    /// Slot time over time. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.usageSeries")))]
    #[allow(clippy::too_many_arguments)]
    async fn usage_series(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Time in it counts; widened to whole UTC hours.")] window: TimeWindowInput,
        #[graphql(desc = "Calendar unit of the points, not MINUTE; at most 2,000 points.")] step: Step,
        #[graphql(default, desc = "Dimensions, at most 4, none twice.")] by: Vec<ExecutionDimension>,
        #[graphql(desc = "Whose time counts; null: everybody's.")] filter: Option<ExecutionFilter>,
        #[graphql(default = 20, desc = "Rows at most, 0 to 10,000: the largest by `gpuHours + cpuHours`.")] limit: i32,
    ) -> Result<Option<UsageSeries>> {
        if !guard::allows(ctx, "Query.usageSeries") {
            return Ok(None);
        }
        let asked = UsageQuestion { window: window.into(), by: dimensions(by), limit: rows_limit(limit)? };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| {
            reader.usage_series(reading, &asked, filter, time::Step::from(step)).await
        };
        let of = ask(ctx, filter, question).await?;
        let tiles = of.tiles;
        let points = |figures: Vec<UsageFigures>| -> Vec<UsagePoint> {
            figures.into_iter().zip(&tiles).map(|(figures, tile)| UsagePoint { window: (*tile).into(), usage: figures.into() }).collect()
        };
        let row = |(key, figures): (RowKey, Vec<UsageFigures>)| UsageSeriesRow { key: BreakdownKey(key), points: points(figures) };
        Ok(Some(UsageSeries {
            window: of.window.into(),
            step,
            as_of: DateTime(of.as_of),
            row_count: of.row_count.into(),
            rows: of.rows.into_iter().map(row).collect(),
            total: points(of.total),
        }))
    }

    /// Switches of the combination on GPUs, of executions that finished in the window. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.checkpointSwitching")))]
    async fn checkpoint_switching(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Executions that finished in it count.")] window: TimeWindowInput,
        #[graphql(default, desc = "Dimensions, at most 4, none twice.")] by: Vec<ExecutionDimension>,
        #[graphql(desc = "Which executions count; null: all.")] filter: Option<ExecutionFilter>,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<CheckpointSwitching>> {
        if !guard::allows(ctx, "Query.checkpointSwitching") {
            return Ok(None);
        }
        let transitions = ctx.look_ahead().field("transitions").exists().then_some(TRANSITIONS_MAX as usize);
        let asked = SwitchQuestion { window: window.into(), by: dimensions(by), limit: rows_limit(limit)?, transitions };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| reader.switching(reading, &asked, filter).await;
        let of = ask(ctx, filter, question).await?;
        let row = |(key, figures): (RowKey, SwitchFigures)| SwitchRow { key: BreakdownKey(key), stats: figures.into() };
        let breakdown = of.breakdown;
        Ok(Some(CheckpointSwitching {
            window: breakdown.window.into(),
            as_of: DateTime(breakdown.as_of),
            total: breakdown.total.into(),
            row_count: breakdown.row_count.into(),
            rows: breakdown.rows.into_iter().map(row).collect(),
            other: breakdown.other.map(Into::into),
            most: of.transitions,
        }))
    }

    /// How instance types were used, by name. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.instanceTypeUsage")))]
    async fn instance_type_usage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What happened in it counts.")] window: TimeWindowInput,
        #[graphql(desc = "Which machines count; null: all.")] filter: Option<MachineFilter>,
    ) -> Result<Option<Vec<InstanceTypeUsage>>> {
        if !guard::allows(ctx, "Query.instanceTypeUsage") {
            return Ok(None);
        }
        let window = window.into();
        let question =
            async move |reader: &Reader, reading: &Reading, filter: &Filter| reader.instance_types(reading, window, filter).await;
        let kinds = ask(ctx, filter, question).await?;
        Ok(Some(kinds.into_iter().map(InstanceTypeUsage::from).collect()))
    }
}
