//! What successful executions are worth, since when.

use async_graphql::{ID, InputObject, Object, SimpleObject};
use plimsoll_domain::cost::card;
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::alert::UserError;
use super::id::NodeKind;
use crate::graphql::scalar::{DateTime, Decimal};

/// What a successful execution is worth. Of the values in force when it finished whose given fields all match, the one with the most fields holds, then the newest, then the one with the greatest id. Values are never changed: a newer one takes the place of an older.
#[derive(Clone, Debug)]
pub struct BusinessValue(pub card::BusinessValue);

/// What a successful execution is worth. Of the values in force when it finished whose given fields all match, the one with the most fields holds, then the newest, then the one with the greatest id. Values are never changed: a newer one takes the place of an older.
#[Object]
impl BusinessValue {
    /// Stable id.
    async fn id(&self) -> ID {
        NodeKind::BusinessValue.uuid_id(self.0.id)
    }

    /// Only of the base model of this name; null: of any.
    async fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// Only with a checkpoint of this name, whatever its kind and version; null: with any or none.
    async fn checkpoint(&self) -> Option<&str> {
        self.0.checkpoint.as_deref()
    }

    /// Only of the application of this name; null: of any.
    async fn application(&self) -> Option<&str> {
        self.0.application.as_deref()
    }

    /// What one execution is worth that succeeds.
    async fn per_success(&self) -> Decimal {
        Decimal::of_nanos(self.0.per_success.into())
    }

    /// Currency, as an ISO 4217 code.
    async fn currency(&self) -> &str {
        &self.0.currency
    }

    /// First instant at which it holds.
    async fn effective_from(&self) -> DateTime {
        DateTime(self.0.effective_from)
    }
}

/// A business value to be entered.
#[derive(InputObject, Clone, Debug)]
pub struct BusinessValueInput {
    /// Only of the base model of this name; null: of any.
    pub model: Option<String>,
    /// Only with a checkpoint of this name, whatever its kind and version; null: with any or none.
    pub checkpoint: Option<String>,
    /// Only of the application of this name; null: of any.
    pub application: Option<String>,
    /// What one execution is worth that succeeds, 0 to 1,000,000, at most 9 digits behind the point.
    pub per_success: Decimal,
    /// Currency: that of `serviceConfig`.
    pub currency: String,
    /// First instant at which it holds; it may lie in the past, but in no closed month, and in the future. No other value of the same model, checkpoint and application may hold from the same instant.
    pub effective_from: DateTime,
}

impl BusinessValueInput {
    /// The value that it would be, entered by somebody.
    pub fn value(self, id: Uuid, created_at: Instant, created_by: String) -> card::BusinessValue<String> {
        card::BusinessValue {
            id,
            model: self.model,
            checkpoint: self.checkpoint,
            application: self.application,
            per_success: self.per_success.0,
            currency: self.currency,
            effective_from: self.effective_from.0,
            created_at,
            created_by,
        }
    }
}

/// What became of entering a business value.
#[derive(SimpleObject, Clone, Debug)]
pub struct BusinessValuePayload {
    /// The value; null when there are errors.
    pub business_value: Option<BusinessValue>,
    /// What has to be put right; empty when it was entered.
    pub user_errors: Vec<UserError>,
}
