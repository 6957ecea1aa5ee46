//! Rate cards and business values.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::Reader;

use crate::graphql::error::of_store;
use crate::graphql::guard;
use crate::graphql::types::business_value::BusinessValue;
use crate::graphql::types::rate_card::RateCard;

/// Root fields about prices.
#[derive(Default)]
pub struct PriceQuery;

#[Object]
impl PriceQuery {
    /// Every rate card, newest `effectiveFrom` first, then by id. At most 10,000 with 200,000 rates together. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.rateCards")))]
    async fn rate_cards(&self, ctx: &Context<'_>) -> Result<Option<Vec<RateCard>>> {
        if !guard::allows(ctx, "Query.rateCards") {
            return Ok(None);
        }
        let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
        let cards = snapshot.rate_card_list().await.map_err(of_store)?;
        Ok(Some(cards.into_iter().map(RateCard).collect()))
    }

    /// Every business value, newest `effectiveFrom` first, then by id. At most 10,000. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Query.businessValues")))]
    async fn business_values(&self, ctx: &Context<'_>) -> Result<Option<Vec<BusinessValue>>> {
        if !guard::allows(ctx, "Query.businessValues") {
            return Ok(None);
        }
        let snapshot = ctx.data::<Reader>()?.store.snapshot().await.map_err(of_store)?;
        let values = snapshot.business_value_list().await.map_err(of_store)?;
        Ok(Some(values.into_iter().map(BusinessValue).collect()))
    }
}
