//! Rate cards: what machines, lying bytes and moving bytes cost, since when.

use async_graphql::{ID, InputObject, Object, SimpleObject};
use plimsoll_domain::cost::card;
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::alert::UserError;
use super::enums::{PurchaseOption, StorageType};
use super::id::NodeKind;
use crate::graphql::scalar::{DateTime, Decimal};

/// Prices that hold from an instant on. Of each instance type (and of each storage type, for lying and for moving bytes) the newest card in force that names it is asked, and no older one. Cards are never changed: a newer one takes the place of an older.
#[derive(Clone, Debug)]
pub struct RateCard(pub card::RateCard);

/// Prices that hold from an instant on. Of each instance type (and of each storage type, for lying and for moving bytes) the newest card in force that names it is asked, and no older one. Cards are never changed: a newer one takes the place of an older.
#[Object]
impl RateCard {
    /// Stable id.
    async fn id(&self) -> ID {
        NodeKind::RateCard.uuid_id(self.0.id)
    }

    /// Currency of its prices, as an ISO 4217 code.
    async fn currency(&self) -> &str {
        &self.0.currency
    }

    /// First instant at which it holds.
    async fn effective_from(&self) -> DateTime {
        DateTime(self.0.effective_from)
    }

    /// What machines cost, in the order in which it was entered.
    async fn instance_rates(&self) -> Vec<InstanceRate> {
        self.0.instance_rates.iter().map(InstanceRate::from).collect()
    }

    /// What bytes cost that lie, in the order in which it was entered.
    async fn storage_rates(&self) -> Vec<StorageRate> {
        self.0.storage_rates.iter().map(StorageRate::from).collect()
    }

    /// What bytes cost that are brought to a machine, in the order in which it was entered.
    async fn transfer_rates(&self) -> Vec<TransferRate> {
        self.0.transfer_rates.iter().map(TransferRate::from).collect()
    }
}

/// What a machine of a type costs. Of the entries of a card that match, the one with the most fields holds; of equally many the one with a region.
#[derive(SimpleObject, Clone, Debug)]
pub struct InstanceRate {
    /// Name of the instance type.
    instance_type: String,
    /// Only in the region of this name; null: everywhere.
    region: Option<String>,
    /// Only bought this way; null: however bought.
    purchase_option: Option<PurchaseOption>,
    /// Price of an hour.
    hourly: Decimal,
}

impl From<&card::InstanceEntry> for InstanceRate {
    fn from(of: &card::InstanceEntry) -> Self {
        Self {
            instance_type: of.instance_type.clone(),
            region: of.region.clone(),
            purchase_option: of.purchase_option.map(PurchaseOption::from),
            hourly: Decimal::of_nanos(of.hourly.into()),
        }
    }
}

/// What bytes cost that lie. An entry with a location goes before one without.
#[derive(SimpleObject, Clone, Debug)]
pub struct StorageRate {
    /// Type of the storage.
    storage_type: StorageType,
    /// Only at the location of this name; null: everywhere.
    location: Option<String>,
    /// Price of a GiB for a month of 730 hours.
    per_gib_month: Decimal,
}

impl From<&card::PlaceEntry> for StorageRate {
    fn from(of: &card::PlaceEntry) -> Self {
        let per_gib_month = Decimal::of_nanos(of.per_gib.into());
        Self { storage_type: of.storage_type.into(), location: of.location.clone(), per_gib_month }
    }
}

/// What bytes cost that are brought to a machine. An entry with a location goes before one without.
#[derive(SimpleObject, Clone, Debug)]
pub struct TransferRate {
    /// Type of the storage that they come from.
    storage_type: StorageType,
    /// Only from the location of this name; null: from everywhere.
    location: Option<String>,
    /// Price of a GiB.
    per_gib: Decimal,
}

impl From<&card::PlaceEntry> for TransferRate {
    fn from(of: &card::PlaceEntry) -> Self {
        Self { storage_type: of.storage_type.into(), location: of.location.clone(), per_gib: Decimal::of_nanos(of.per_gib.into()) }
    }
}

/// A rate card to be entered: at most 10,000 rates, at least one.
#[derive(InputObject, Clone, Debug)]
pub struct RateCardInput {
    /// Currency of its prices: that of `serviceConfig`.
    pub currency: String,
    /// First instant at which it holds; it may lie in the past, but in no closed month, and in the future. No other card that holds from the same instant may name the same instance type, or the same storage type for lying or for moving bytes.
    pub effective_from: DateTime,
    /// What machines cost.
    #[graphql(default)]
    pub instance_rates: Vec<InstanceRateInput>,
    /// What bytes cost that lie.
    #[graphql(default)]
    pub storage_rates: Vec<StorageRateInput>,
    /// What bytes cost that are brought to a machine.
    #[graphql(default)]
    pub transfer_rates: Vec<TransferRateInput>,
}

/// What a machine of a type costs. A card has at most one entry of the same type, region and purchase option.
#[derive(InputObject, Clone, Debug)]
pub struct InstanceRateInput {
    /// Name of the instance type, as events bear it or will.
    pub instance_type: String,
    /// Only in the region of this name; null: everywhere.
    pub region: Option<String>,
    /// Only bought this way; null: however bought.
    pub purchase_option: Option<PurchaseOption>,
    /// Price of an hour, 0 to 1,000,000, at most 9 digits behind the point.
    pub hourly: Decimal,
}

/// What bytes cost that lie. A card has at most one entry of the same type and location.
#[derive(InputObject, Clone, Debug)]
pub struct StorageRateInput {
    /// Type of the storage.
    pub storage_type: StorageType,
    /// Only at the location of this name; null: everywhere.
    pub location: Option<String>,
    /// Price of a GiB for a month of 730 hours, 0 to 1,000,000, at most 9 digits behind the point.
    pub per_gib_month: Decimal,
}

/// What bytes cost that are brought to a machine. A card has at most one entry of the same type and location.
#[derive(InputObject, Clone, Debug)]
pub struct TransferRateInput {
    /// Type of the storage that they come from.
    pub storage_type: StorageType,
    /// Only from the location of this name; null: from everywhere.
    pub location: Option<String>,
    /// Price of a GiB, 0 to 1,000,000, at most 9 digits behind the point.
    pub per_gib: Decimal,
}

impl RateCardInput {
    /// The card that it would be, entered by somebody.
    pub fn card(self, id: Uuid, created_at: Instant, created_by: String) -> card::RateCard<String> {
        let instance = |rate: InstanceRateInput| card::InstanceEntry {
            instance_type: rate.instance_type,
            region: rate.region,
            purchase_option: rate.purchase_option.map(Into::into),
            hourly: rate.hourly.0,
        };
        let storage = |rate: StorageRateInput| card::PlaceEntry {
            storage_type: rate.storage_type.into(),
            location: rate.location,
            per_gib: rate.per_gib_month.0,
        };
        let transfer = |rate: TransferRateInput| card::PlaceEntry {
            storage_type: rate.storage_type.into(),
            location: rate.location,
            per_gib: rate.per_gib.0,
        };
        card::RateCard {
            id,
            currency: self.currency,
            effective_from: self.effective_from.0,
            instance_rates: self.instance_rates.into_iter().map(instance).collect(),
            storage_rates: self.storage_rates.into_iter().map(storage).collect(),
            transfer_rates: self.transfer_rates.into_iter().map(transfer).collect(),
            created_at,
            created_by,
        }
    }
}

/// What became of entering a rate card.
#[derive(SimpleObject, Clone, Debug)]
pub struct RateCardPayload {
    /// The card; null when there are errors.
    pub rate_card: Option<RateCard>,
    /// What has to be put right; empty when it was entered. At most 100.
    pub user_errors: Vec<UserError>,
}
