//! What everything costs, and whether it is worth it.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::cost::question::{self, CostQuestion};
use plimsoll_entity::value::time;

use crate::graphql::ask::{ask, dimensions};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::types::cost::{CostBreakdown, CostDimension, CostFilter, CostOrder, CostSeries, IdleView};
use crate::graphql::types::enums::Step;
use crate::graphql::types::forecast::CostForecast;
use crate::graphql::types::money::Currency;
use crate::graphql::types::recommendation::CostRecommendation;
use crate::graphql::types::roi::RoiBreakdown;
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about costs.
#[derive(Default)]
pub struct CostQuery;

#[Object]
impl CostQuery {
    /// What things cost, by up to 4 dimensions: machines, storage and transfer. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.costBreakdown")))]
    #[allow(clippy::too_many_arguments)]
    async fn cost_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Costs of it count; widened to whole UTC hours.")] window: TimeWindowInput,
        #[graphql(desc = "Dimensions, at most 4, none twice; none: one row with everything.")] by: Vec<CostDimension>,
        #[graphql(desc = "Which costs count; null: all.")] filter: Option<CostFilter>,
        #[graphql(default_with = "IdleView::Caused", desc = "Where idle time is shown.")] idle: IdleView,
        #[graphql(default_with = "CostOrder::Total", desc = "What the rows are ordered by.")] order_by: CostOrder,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<CostBreakdown>> {
        if !guard::allows(ctx, "Query.costBreakdown") {
            return Ok(None);
        }
        let asked = CostQuestion { window: window.into(), by: dimensions(by), limit: rows_limit(limit)?, idle: idle.into() };
        let question = async move |reader: &Reader, reading: &Reading, filter: &question::CostFilter| {
            reader.cost_breakdown(reading, &asked, filter, order_by.into()).await
        };
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(CostBreakdown::of(breakdown, Currency::of(ctx)?)))
    }

    /// What things cost, over time. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.costSeries")))]
    #[allow(clippy::too_many_arguments)]
    async fn cost_series(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Costs of it count; widened to whole UTC hours.")] window: TimeWindowInput,
        #[graphql(desc = "Calendar unit of the points, not MINUTE; at most 2,000 points.")] step: Step,
        #[graphql(default, desc = "Dimensions, at most 4, none twice.")] by: Vec<CostDimension>,
        #[graphql(desc = "Which costs count; null: all.")] filter: Option<CostFilter>,
        #[graphql(default_with = "IdleView::Caused", desc = "Where idle time is shown.")] idle: IdleView,
        #[graphql(default = 20, desc = "Rows at most, 0 to 10,000: the largest by `total`.")] limit: i32,
    ) -> Result<Option<CostSeries>> {
        if !guard::allows(ctx, "Query.costSeries") {
            return Ok(None);
        }
        let asked = CostQuestion { window: window.into(), by: dimensions(by), limit: rows_limit(limit)?, idle: idle.into() };
        let question = async move |reader: &Reader, reading: &Reading, filter: &question::CostFilter| {
            reader.cost_series(reading, &asked, filter, time::Step::from(step)).await
        };
        let series = ask(ctx, filter, question).await?;
        Ok(Some(CostSeries::of(series, step, Currency::of(ctx)?)))
    }

    /// What things are going to cost, from what they cost before; idle time is with what causes it. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.costForecast")))]
    async fn cost_forecast(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is learned from; widened to whole UTC hours. The forecast begins where it ends.")] history: TimeWindowInput,
        #[graphql(desc = "Days ahead, 1 to 366.")] horizon_days: i32,
        #[graphql(default, desc = "Dimensions, at most 4, none twice.")] by: Vec<CostDimension>,
        #[graphql(desc = "Which costs count; null: all.")] filter: Option<CostFilter>,
        #[graphql(default = 20, desc = "Rows at most, 0 to 200: the largest by `total` in the history.")] limit: i32,
    ) -> Result<Option<CostForecast>> {
        if !guard::allows(ctx, "Query.costForecast") {
            return Ok(None);
        }
        let idle = question::IdleView::Caused;
        let asked = CostQuestion { window: history.into(), by: dimensions(by), limit: rows_limit(limit)?, idle };
        let horizon_days = usize::try_from(horizon_days).unwrap_or(0);
        let question = async move |reader: &Reader, reading: &Reading, filter: &question::CostFilter| {
            reader.cost_forecast(reading, &asked, filter, horizon_days).await
        };
        let forecast = ask(ctx, filter, question).await?;
        Ok(Some(CostForecast::of(forecast, Currency::of(ctx)?)))
    }

    /// What would save money, by the figures of a window: the largest saving first, then by kind and subject; none for a window of which less than a day is over. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.costRecommendations")))]
    async fn cost_recommendations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The figures of it count; widened to whole UTC hours.")] window: TimeWindowInput,
        #[graphql(default = 20, desc = "Recommendations at most, 1 to 100.")] limit: i32,
    ) -> Result<Option<Vec<CostRecommendation>>> {
        if !guard::allows(ctx, "Query.costRecommendations") {
            return Ok(None);
        }
        let (window, currency) = (window.into(), Currency::of(ctx)?.0);
        let limit = usize::try_from(limit).unwrap_or(0);
        let question = async move |reader: &Reader, reading: &Reading, _: &question::CostFilter| {
            reader.cost_recommendations(reading, window, &currency, limit).await
        };
        let found = ask::<_, CostFilter>(ctx, None, question).await?;
        Ok(Some(found.into_iter().map(Into::into).collect()))
    }

    /// What things cost and what they are worth, by up to 4 dimensions, the most expensive first. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.roiBreakdown")))]
    async fn roi_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Costs and values of it count; widened to whole UTC hours.")] window: TimeWindowInput,
        #[graphql(desc = "Dimensions, at most 4, none twice; none: one row with everything.")] by: Vec<CostDimension>,
        #[graphql(desc = "Which costs count; null: all.")] filter: Option<CostFilter>,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<RoiBreakdown>> {
        if !guard::allows(ctx, "Query.roiBreakdown") {
            return Ok(None);
        }
        let idle = question::IdleView::Caused;
        let asked = CostQuestion { window: window.into(), by: dimensions(by), limit: rows_limit(limit)?, idle };
        let question = async move |reader: &Reader, reading: &Reading, filter: &question::CostFilter| {
            reader.roi_breakdown(reading, &asked, filter).await
        };
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(RoiBreakdown::of(breakdown, Currency::of(ctx)?)))
    }
}
