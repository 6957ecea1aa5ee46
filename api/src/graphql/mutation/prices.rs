//! Entering rate cards and business values.

use async_graphql::{Context, Object, Result};
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::cost::card::{PriceFault, check_card, check_value};
use plimsoll_domain::cost::entering::{enter_card, enter_value};

use super::Writing;
use crate::auth::Caller;
use crate::graphql::error::of_store;
use crate::graphql::guard;
use crate::graphql::query::service::ServiceConfig;
use crate::graphql::types::alert::UserError;
use crate::graphql::types::business_value::{BusinessValue, BusinessValueInput, BusinessValuePayload};
use crate::graphql::types::rate_card::{RateCard, RateCardInput, RateCardPayload};

/// Root fields that enter prices.
#[derive(Default)]
pub struct PriceMutation;

#[Object]
impl PriceMutation {
    /// Enters a rate card; the hours that it touches are priced anew soon after. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Mutation.rateCardCreate")))]
    async fn rate_card_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The card.")] input: RateCardInput,
    ) -> Result<Option<RateCardPayload>> {
        if !guard::allows(ctx, "Mutation.rateCardCreate") {
            return Ok(None);
        }
        let refused = |faults| Some(RateCardPayload { rate_card: None, user_errors: errors(faults) });
        let (writing, store) = (ctx.data::<Writing>()?, &ctx.data::<Reader>()?.store);
        let card = input.card(writing.ids.next_id(), store.clock().now(), ctx.data::<Caller>()?.subject.to_string());
        let card = match check_card(card, &ctx.data::<ServiceConfig>()?.currency) {
            Ok(card) => card,
            Err(faults) => return Ok(refused(faults)),
        };
        let faults = enter_card(store, &card).await.map_err(of_store)?;
        if !faults.is_empty() {
            return Ok(refused(faults));
        }
        Ok(Some(RateCardPayload { rate_card: Some(RateCard(card)), user_errors: Vec::new() }))
    }

    /// Enters what successful executions are worth; those that have finished since are valued anew soon after. Null without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Mutation.businessValueCreate")))]
    async fn business_value_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The value.")] input: BusinessValueInput,
    ) -> Result<Option<BusinessValuePayload>> {
        if !guard::allows(ctx, "Mutation.businessValueCreate") {
            return Ok(None);
        }
        let refused = |faults| Some(BusinessValuePayload { business_value: None, user_errors: errors(faults) });
        let (writing, store) = (ctx.data::<Writing>()?, &ctx.data::<Reader>()?.store);
        let value = input.value(writing.ids.next_id(), store.clock().now(), ctx.data::<Caller>()?.subject.to_string());
        let value = match check_value(value, &ctx.data::<ServiceConfig>()?.currency) {
            Ok(value) => value,
            Err(faults) => return Ok(refused(faults)),
        };
        let faults = enter_value(store, &value).await.map_err(of_store)?;
        if !faults.is_empty() {
            return Ok(refused(faults));
        }
        Ok(Some(BusinessValuePayload { business_value: Some(BusinessValue(value)), user_errors: Vec::new() }))
    }
}

fn errors(faults: Vec<PriceFault>) -> Vec<UserError> {
    faults.into_iter().map(|fault| UserError::of_price_fault("input", fault)).collect()
}
