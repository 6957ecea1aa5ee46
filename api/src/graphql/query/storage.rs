//! Breakdowns of storage.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;
use plimsoll_domain::breakdown::storage::StorageQuestion;

use crate::graphql::ask::{ask, dimensions};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::types::storage::{StorageBreakdown, StorageDimension, StorageFilter, StorageOrder};
use crate::graphql::types::window::TimeWindowInput;

/// Root fields about storage.
#[derive(Default)]
pub struct StorageQuery;

#[Object]
impl StorageQuery {
    /// What lies where and is loaded from there, by up to 4 dimensions. Null without one of the roles.
    #[graphql(directive = guard::requires::apply(guard::required("Query.storageBreakdown")))]
    #[allow(clippy::too_many_arguments)]
    async fn storage_breakdown(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Bytes count at its end, byteHours over it, loads when they finished in it.")] window: TimeWindowInput,
        #[graphql(desc = "Dimensions, at most 4, none twice; none: one row with everything.")] by: Vec<StorageDimension>,
        #[graphql(desc = "Which places and loads count; null: all.")] filter: Option<StorageFilter>,
        #[graphql(default_with = "StorageOrder::Size", desc = "What the rows are ordered by.")] order_by: StorageOrder,
        #[graphql(default = 100, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<Option<StorageBreakdown>> {
        if !guard::allows(ctx, "Query.storageBreakdown") {
            return Ok(None);
        }
        let asked = StorageQuestion { window: window.into(), by: dimensions(by), limit: rows_limit(limit)? };
        let question = async move |reader: &Reader, reading: &Reading, filter: &Filter| {
            reader.storage_breakdown(reading, &asked, filter, order_by.into()).await
        };
        let breakdown = ask(ctx, filter, question).await?;
        Ok(Some(breakdown.into()))
    }
}
