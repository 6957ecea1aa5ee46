//! Names, versions, combinations, jobs, newest samples and costs for fields that refer to one: from the catalog when it knows them,
//! else in batches.
//!
//! Invariant: an id that stands in an answer is in the database; one that is not is an inconsistency, never null.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, Error, Result};
use plimsoll_domain::breakdown::BreakdownError;
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::catalog::{Checkpoint, CheckpointVersion, Combination, ModelVersion};
use plimsoll_domain::job::pending::jobs;
use plimsoll_domain::store::{Attribute, Job, StoreError};
use plimsoll_domain::utilization::{self, OfGpus, Utilization};
use plimsoll_domain::watch::rule::Rule;
use uuid::Uuid;

use super::error::{internal, of_breakdown, of_shared, of_store};
use super::heavy::heavy;

/// Loads what the catalog does not hold.
#[derive(Clone, Debug)]
pub struct CatalogLoader(pub Reader);

macro_rules! catalog_keys {
    ($($(#[$doc:meta])* $key:ident -> $value:ty, $load:ident, $known:ident, $fetch:ident, $what:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $key(pub u32);

        impl Loader<$key> for CatalogLoader {
            type Value = Arc<$value>;
            type Error = Arc<StoreError>;

            async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, Self::Value>, Self::Error> {
                if keys.is_empty() {
                    return Ok(HashMap::new());
                }
                let ids: Vec<u32> = keys.iter().map(|key| key.0).collect();
                let snapshot = self.0.store.snapshot().await?;
                let found = self.0.catalog.$load(&snapshot, &ids).await?;
                Ok(found.into_iter().map(|(id, value)| ($key(id), value)).collect())
            }
        }

        $(#[$doc])*
        pub async fn $fetch(ctx: &Context<'_>, id: u32) -> Result<Arc<$value>> {
            let loader = ctx.data::<DataLoader<CatalogLoader>>()?;
            if let Some(known) = loader.loader().0.catalog.$known(id) {
                return Ok(known);
            }
            loader.load_one($key(id)).await.map_err(internal)?.ok_or_else(|| internal(StoreError::Inconsistent($what)))
        }
    )+};
}

catalog_keys! {
    /// A simple name.
    NameId -> str, names, known_name, name, "name";
    /// A base model version.
    ModelVersionId -> ModelVersion, model_versions, known_model_version, model_version, "model version";
    /// A checkpoint.
    CheckpointId -> Checkpoint, checkpoints, known_checkpoint, checkpoint, "checkpoint";
    /// A checkpoint version.
    CheckpointVersionId -> CheckpointVersion, checkpoint_versions, known_checkpoint_version, checkpoint_version, "checkpoint version";
    /// A combination.
    CombinationId -> Combination, combinations, known_combination, combination, "combination";
}

/// The newest value of an attribute of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttributeOf(pub Attribute, pub u32);

impl Loader<AttributeOf> for CatalogLoader {
    type Value = u32;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[AttributeOf]) -> Result<HashMap<AttributeOf, u32>, Self::Error> {
        let mut found = HashMap::new();
        if keys.is_empty() {
            return Ok(found);
        }
        let snapshot = self.0.store.snapshot().await?;
        for kind in [Attribute::ModelType, Attribute::ProjectDepartment] {
            if keys.iter().any(|key| key.0 == kind) {
                found.extend(snapshot.attribute_list(kind).await?.into_iter().map(|(subject, value)| (AttributeOf(kind, subject), value)));
            }
        }
        Ok(found)
    }
}

/// The newest value of an attribute; none where nothing was told.
pub async fn attribute(ctx: &Context<'_>, kind: Attribute, subject: u32) -> Result<Option<u32>> {
    ctx.data::<DataLoader<CatalogLoader>>()?.load_one(AttributeOf(kind, subject)).await.map_err(internal)
}

/// A job, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobKey(pub Uuid);

impl Loader<JobKey> for CatalogLoader {
    type Value = Job;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[JobKey]) -> Result<HashMap<JobKey, Job>, Self::Error> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let keys: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let snapshot = self.0.store.snapshot().await?;
        Ok(jobs(&snapshot, &keys).await?.into_iter().map(|(key, job)| (JobKey(key), job)).collect())
    }
}

/// An alert rule, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AlertRuleId(pub Uuid);

impl Loader<AlertRuleId> for CatalogLoader {
    type Value = Rule;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[AlertRuleId]) -> Result<HashMap<AlertRuleId, Rule>, Self::Error> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let rules = self.0.store.snapshot().await?.alert_rule_fetch(&ids).await?;
        Ok(rules.into_iter().map(|rule| (AlertRuleId(rule.id), rule)).collect())
    }
}

/// The rule of an alert.
pub async fn alert_rule(ctx: &Context<'_>, id: Uuid) -> Result<Rule> {
    let found = ctx.data::<DataLoader<CatalogLoader>>()?.load_one(AlertRuleId(id)).await.map_err(internal)?;
    found.ok_or_else(|| internal(StoreError::Inconsistent("alert")))
}

/// The newest sample of a machine, and what is asked of its GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UtilizationOf(pub u32, pub OfGpus);

impl Loader<UtilizationOf> for CatalogLoader {
    type Value = Arc<Utilization>;
    type Error = Arc<BreakdownError>;

    async fn load(&self, keys: &[UtilizationOf]) -> Result<HashMap<UtilizationOf, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        if keys.is_empty() {
            return Ok(found);
        }
        let reading = self.0.begin().await.map_err(BreakdownError::from)?;
        for asked in [OfGpus::Nothing, OfGpus::Samples, OfGpus::Combinations] {
            let vms: Vec<u32> = keys.iter().filter(|key| key.1 == asked).map(|key| key.0).collect();
            if !vms.is_empty() {
                let of_vms = utilization::utilization(&reading, &vms, asked).await?;
                found.extend(of_vms.into_iter().map(|(vm, utilization)| (UtilizationOf(vm, asked), Arc::new(utilization))));
            }
        }
        Ok(found)
    }
}

/// The newest sample of a machine; none where it has sent none.
pub async fn utilization(ctx: &Context<'_>, vm: u32, of_gpus: OfGpus) -> Result<Option<Arc<Utilization>>> {
    ctx.data::<DataLoader<CatalogLoader>>()?.load_one(UtilizationOf(vm, of_gpus)).await.map_err(of_shared)
}

/// What an execution costs, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CostOf(pub Uuid);

impl Loader<CostOf> for CatalogLoader {
    /// Nano-units.
    type Value = i128;
    type Error = Error;

    async fn load(&self, keys: &[CostOf]) -> Result<HashMap<CostOf, i128>, Self::Error> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let (reader, ids) = (self.0.clone(), keys.iter().map(|key| key.0).collect::<Vec<Uuid>>());
        // Hours are built for it.
        let costs = heavy(move || async move {
            let reading = reader.begin().await.map_err(of_store)?;
            reader.execution_cost_list(&reading, &ids).await.map_err(of_breakdown)
        })
        .await?;
        Ok(costs.into_iter().map(|(id, nanos)| (CostOf(id), nanos)).collect())
    }
}

/// What an execution costs in nano-units; none where no priced machine carried it.
pub async fn execution_cost(ctx: &Context<'_>, id: Uuid) -> Result<Option<i128>> {
    ctx.data::<DataLoader<CatalogLoader>>()?.load_one(CostOf(id)).await
}
