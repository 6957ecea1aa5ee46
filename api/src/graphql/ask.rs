//! How a resolver asks the domain: one snapshot, the filter in ids, off the threads that serve requests.
//!
//! Must not know: what is asked.

use async_graphql::{Context, Result};
use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Reader, Reading};
use plimsoll_domain::breakdown::filter::Filter;

use super::error::{of_breakdown, of_store};
use super::heavy::heavy;
use super::types::filter::{ExecutionFilter, MachineFilter};

/// A filter as it is asked, which a reading turns into ids.
pub trait AskedFilter: Default + Send + 'static {
    /// The filter by ids.
    type Ids;

    /// The filter in ids of this reading; names that nobody has match nothing.
    ///
    /// # Errors
    /// BAD_USER_INPUT for a list that is too long; what the store says.
    fn ids(self, reading: &Reading) -> impl Future<Output = Result<Self::Ids>>;
}

impl AskedFilter for ExecutionFilter {
    type Ids = Filter;

    async fn ids(self, reading: &Reading) -> Result<Filter> {
        self.resolve(reading).await
    }
}

impl AskedFilter for MachineFilter {
    type Ids = Filter;

    async fn ids(self, reading: &Reading) -> Result<Filter> {
        self.resolve_machines(reading).await
    }
}

/// Asks a question of a new reading under a filter.
///
/// # Errors
/// BAD_USER_INPUT for what cannot be asked; what the store says.
pub async fn ask<T: Send + 'static, F: AskedFilter>(
    ctx: &Context<'_>,
    filter: Option<F>,
    question: impl AsyncFnOnce(&Reader, &Reading, &F::Ids) -> Result<T, BreakdownError> + Send + 'static,
) -> Result<T> {
    let (reader, filter) = (ctx.data::<Reader>()?.clone(), filter.unwrap_or_default());
    heavy(move || async move {
        let reading = reader.begin().await.map_err(of_store)?;
        let filter = filter.ids(&reading).await?;
        question(&reader, &reading, &filter).await.map_err(of_breakdown)
    })
    .await
}

/// Dimensions as the domain names them.
#[must_use]
pub fn dimensions<D: Into<Dimension>>(by: Vec<D>) -> Vec<Dimension> {
    by.into_iter().map(Into::into).collect()
}
