//! Breakdowns of loads.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::loads::LoadQuestion;

use crate::graphql::ask::{ask, dimensions};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::types::load::{LoadBreakdown, LoadDimension, LoadFilter, LoadOrder, is_cost_asked, load_parts_asked};
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about loads.
#[derive(Default)]
pub struct LoadQuery;

#[Object]
impl LoadQuery {
    /// Loads of base models and checkpoints that finished in the window, by up to 4 dimensions. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.loadBreakdown")))]
    #[allow(clippy::too_many_arguments)]
    async fn load_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Loads that finished in it count.")] window: TimeWindowInput,
        #[graphql(desc = "Dimensions, at most 4, none twice; none: one row with everything.")] by: Vec<LoadDimension>,
        #[graphql(desc = "Which loads count; null: all.")] filter: Option<LoadFilter>,
        #[graphql(default_with = "LoadOrder::Loads", desc = "What the rows are ordered by.")] order_by: LoadOrder,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<LoadBreakdown>> {
        if !guard::allows(ctx, "Query.loadBreakdown") {
            return Ok(None);
        }
        let look = ctx.look_ahead();
        let stats = [look.field("rows").field("stats"), look.field("other"), look.field("total")];
        let (parts, with_cost) = (load_parts_asked(&stats), is_cost_asked(ctx, &stats));
        let asked = LoadQuestion { window: window.into(), by: dimensions(by), parts, with_cost, limit: rows_limit(limit)? };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| {
            reader.load_breakdown(reading, &asked, filter, order_by.into()).await
        };
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(breakdown.into()))
    }
}
