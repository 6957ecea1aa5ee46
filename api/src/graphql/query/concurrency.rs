//! How many executions run at once.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::concurrency::ConcurrencyQuestion;
use plimsoll_entity::value::time;

use crate::graphql::ask::{ask, dimensions};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::types::concurrency::ConcurrencySeries;
use crate::graphql::types::enums::{ExecutionDimension, Step};
use crate::graphql::types::filter::ExecutionFilter;
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about concurrency.
#[derive(Default)]
pub struct ConcurrencyQuery;

#[Object]
impl ConcurrencyQuery {
    /// How many executions ran and waited at once, over time. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.concurrencySeries")))]
    #[allow(clippy::too_many_arguments)]
    async fn concurrency_series(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What ran or waited in it counts, cut to it.")] window: TimeWindowInput,
        #[graphql(desc = "Calendar unit of the points; at most 2,000 points.")] step: Step,
        #[graphql(default, desc = "Dimensions, at most 4, none twice.")] by: Vec<ExecutionDimension>,
        #[graphql(desc = "Which executions count; null: all. A job without an execution has no outcome and no error type.")] filter: Option<
            ExecutionFilter,
        >,
        #[graphql(default = 20, desc = "Rows at most, 0 to 10,000: the largest by mean.")] limit: i32,
    ) -> Result<Option<ConcurrencySeries>> {
        if !guard::allows(ctx, "Query.concurrencySeries") {
            return Ok(None);
        }
        let asked = ConcurrencyQuestion { window: window.into(), by: dimensions(by), limit: rows_limit(limit)? };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| {
            reader.concurrency_series(reading, &asked, filter, time::Step::from(step)).await
        };
        let series = ask(ctx, filter, question).await?;
        Ok(Some(ConcurrencySeries::new(series, step)))
    }
}
