//! The bill of the hour that is running, while it grows.

use async_graphql::{Context, Result, Subscription};
use futures_util::stream::{Stream, StreamExt as _};
use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::breakdown::executions::{Breakdown, Reader, Reading, check};
use plimsoll_domain::cost::figures::CostSums;
use plimsoll_domain::cost::question::{CostFilter, CostOrder, CostQuestion, IdleView};
use plimsoll_domain::live::trailing::{Answered, Trailing};
use plimsoll_entity::value::time::Window;

use super::interval_us;
use super::live::Live;
use super::watching::{Looked, Watched, digest, watch};
use crate::graphql::ask::dimensions;
use crate::graphql::error::{of_breakdown, of_store};
use crate::graphql::guard;
use crate::graphql::heavy::rows_limit;
use crate::graphql::types::cost::{CostBreakdown, CostDimension};
use crate::graphql::types::money::Currency;

/// Subscriptions about costs.
#[derive(Default)]
pub struct CostSubscription;

#[Subscription]
impl CostSubscription {
    /// The bill of the current UTC hour so far, provisional, ordered by total, idle time with what caused it: at once, then when an amount has changed, at most every intervalMs; a new hour begins with a new bill.
    #[graphql(directive = guard::requires::apply(guard::required("Subscription.costMeter")))]
    async fn cost_meter(
        &self,
        ctx: &Context<'_>,
        #[graphql(default, desc = "Dimensions, at most 4, none twice; none: one row with everything.")] by: Vec<CostDimension>,
        #[graphql(default = 5_000, desc = "Least time between two payloads, in milliseconds: 250 to 60,000.")] interval_ms: i32,
        #[graphql(default = 50, desc = "Rows at most, 0 to 10,000; the rest is summed in `other`.")] limit: i32,
    ) -> Result<impl Stream<Item = Result<CostBreakdown>> + use<>> {
        guard::demand(ctx, "Subscription.costMeter")?;
        let question = Question { by: dimensions(by), interval_us: interval_us(interval_ms)?, limit: rows_limit(limit)? };
        // So that what cannot be asked is told before anything waits.
        check(Window::of_hour(0), &question.by, question.limit).map_err(of_breakdown)?;
        let (reader, live, currency) = (ctx.data::<Reader>()?.clone(), ctx.data::<Live>()?.clone(), Currency::of(ctx)?);
        Ok(watch(reader, live, question).map(move |bill| bill.map(|bill| CostBreakdown::of(bill, currency.clone()))))
    }
}

/// What is asked again and again.
#[derive(Clone)]
struct Question {
    by: Vec<Dimension>,
    interval_us: i64,
    limit: usize,
}

impl Watched for Question {
    type Figures = Breakdown<CostSums>;
    const FIELD: &'static str = "costMeter";

    fn trailing(&self) -> Trailing {
        // The hour stands still until the next one begins.
        Trailing { length_us: 0, interval_us: self.interval_us }
    }

    async fn look(self, reader: &Reader, reading: &Reading, heard: u64) -> Result<Looked<Self::Figures>> {
        let as_of = reading.snapshot.as_of;
        let asked = CostQuestion { window: Window::of_hour(as_of.hour()), by: self.by, limit: self.limit, idle: IdleView::Caused };
        let bill = reader.cost_breakdown(reading, &asked, &CostFilter::default(), CostOrder::Total).await.map_err(of_breakdown)?;
        let commit_number = reading.snapshot.commit_number().await.map_err(of_store)?;
        // Whatever is held costs more with every instant, without a commit; so does what was told to be held from an instant ahead.
        let answered = Answered { as_of, commit_number, heard, changes_at: Some(as_of) };
        let Breakdown { window, row_count, rows, other, total, .. } = &bill;
        let digest = digest(format_args!("{window:?}{row_count:?}{rows:?}{other:?}{total:?}"));
        Ok(Looked { answered, digest, figures: bill })
    }
}
