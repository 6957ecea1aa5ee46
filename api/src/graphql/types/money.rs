//! Amounts of money.
//!
//! Invariants: an amount is whole nano-units until it is shown; every amount is in the one currency of the service.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};

use crate::graphql::scalar::Decimal;

/// The currency of every amount, as an ISO 4217 code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency(pub Arc<str>);

impl Currency {
    /// That of the service.
    ///
    /// # Errors
    /// INTERNAL in a schema without one.
    pub fn of(ctx: &Context<'_>) -> Result<Self> {
        ctx.data::<Self>().cloned()
    }
}

/// An amount of money, in nano-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money(pub i128);

/// An amount of money, exact to the last digit.
#[Object]
impl Money {
    /// The amount, such as "12.50"; negative ones have a sign.
    async fn amount(&self) -> Decimal {
        Decimal::of_nanos(self.0)
    }

    /// Currency as an ISO 4217 code: that of the service.
    async fn currency(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        Ok(Currency::of(ctx)?.0)
    }
}
