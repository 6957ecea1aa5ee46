//! What stands beside what: two slices of executions, the checkpoints of a base model.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::comparison::{EXACT_MAX, Slice};

use crate::graphql::ask::ask;
use crate::graphql::error::{of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::{heavy, rows_limit};
use crate::graphql::types::comparison::{ExecutionComparison, ExecutionSliceInput};
use crate::graphql::types::execution_stats::parts_asked;
use crate::graphql::types::filter::ExecutionFilter;
use crate::graphql::types::popularity::CheckpointPopularity;
use crate::graphql::types::window::TimeWindowInput;

/// Root fields that compare.
#[derive(Default)]
pub struct ComparisonQuery;

#[Object]
impl ComparisonQuery {
    /// Two slices of executions side by side, and whether the candidate is faster. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.executionComparison")))]
    async fn execution_comparison(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is compared against.")] baseline: ExecutionSliceInput,
        #[graphql(desc = "What is judged.")] candidate: ExecutionSliceInput,
    ) -> Result<Option<ExecutionComparison>> {
        if !guard::allows(ctx, "Query.executionComparison") {
            return Ok(None);
        }
        let look = ctx.look_ahead();
        let (old_parts, new_parts) = (parts_asked(&[look.field("baseline")]), parts_asked(&[look.field("candidate")]));
        let reader = ctx.data::<Reader>()?.clone();
        let comparison = heavy(move || async move {
            let reading = reader.begin().await.map_err(of_store)?;
            let slice = async |side: ExecutionSliceInput, parts| -> Result<Slice> {
                let filter = side.filter.unwrap_or_default().resolve(&reading).await?;
                Ok(Slice { window: side.window.into(), filter, parts })
            };
            let (baseline, candidate) = (slice(baseline, old_parts).await?, slice(candidate, new_parts).await?);
            reader.comparison(&reading, &baseline, &candidate, EXACT_MAX).await.map_err(of_breakdown)
        })
        .await?;
        Ok(Some(comparison.into()))
    }

    /// Which checkpoints are used most with each base model. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.checkpointPopularity")))]
    async fn checkpoint_popularity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Executions that finished in it count.")] window: TimeWindowInput,
        #[graphql(desc = "Base models; null: all.")] models: Option<Vec<String>>,
        #[graphql(default = 10, desc = "Checkpoint versions of each base model at most, 0 to 10,000.")] limit: i32,
    ) -> Result<Option<Vec<CheckpointPopularity>>> {
        if !guard::allows(ctx, "Query.checkpointPopularity") {
            return Ok(None);
        }
        let (window, limit) = (window.into(), rows_limit(limit)?);
        let filter = Some(ExecutionFilter { models, ..ExecutionFilter::default() });
        let question =
            async move |reader: &Reader, reading: &Reading, filter: &Filter| reader.popularity(reading, window, filter, limit).await;
        let models = ask(ctx, filter, question).await?;
        Ok(Some(models.into_iter().map(CheckpointPopularity::from).collect()))
    }
}
