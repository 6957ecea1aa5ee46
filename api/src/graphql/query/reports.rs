//! The report of a month.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::cost::report::ReportQuestion;

use crate::graphql::error::{of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::heavy;
use crate::graphql::types::money::Currency;
use crate::graphql::types::report::CostReport;

/// Root fields about reports.
#[derive(Default)]
pub struct ReportQuery;

#[Object]
impl ReportQuery {
    /// What a month costs by department, project, combination and user, for chargeback; idle time is with what caused it. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.costReport")))]
    async fn cost_report(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "YYYY-MM, in UTC.")] month: String,
        #[graphql(desc = "Only these departments; null: all, and what has none.")] departments: Option<Vec<String>>,
        #[graphql(desc = "Only these projects; null: all, and what has none.")] projects: Option<Vec<String>>,
    ) -> Result<Option<CostReport>> {
        if !guard::allows(ctx, "Query.costReport") {
            return Ok(None);
        }
        let asked = ReportQuestion::new(&month, departments, projects).map_err(of_breakdown)?;
        report(ctx, asked).await.map(Some)
    }
}

/// The report of a new reading.
///
/// # Errors
/// LIMIT_EXCEEDED for one that is too large; what the store says.
pub async fn report(ctx: &Context<'_>, asked: ReportQuestion) -> Result<CostReport> {
    let (reader, currency) = (ctx.data::<Reader>()?.clone(), Currency::of(ctx)?);
    heavy(move || async move {
        let reading = reader.begin().await.map_err(of_store)?;
        let report = reader.cost_report(&reading, &asked).await.map_err(of_breakdown)?;
        Ok(CostReport::of(report, currency))
    })
    .await
}
