//! Machines and their instance types.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};
use plimsoll_domain::breakdown::executions::Reader;
use plimsoll_domain::machine::fleet::Fleet;
use plimsoll_domain::timeline::life::Place;
use plimsoll_entity::value::time::Instant;

use super::enums::{PurchaseOption, VmState};
use super::id::NodeKind;
use super::utilization::{VmUtilization, gpus_asked};
use crate::graphql::error::of_store;
use crate::graphql::guard;
use crate::graphql::loader;
use crate::graphql::scalar::UInt53;

/// After every event: what is known of a machine now.
const NOW: Instant = Instant(i64::MAX);

async fn fleet(ctx: &Context<'_>) -> Result<Arc<Fleet>> {
    let reader = ctx.data::<Reader>()?;
    let snapshot = reader.store.snapshot().await.map_err(of_store)?;
    reader.fleets.fleet(&snapshot).await.map_err(of_store)
}

async fn name(ctx: &Context<'_>, id: u32) -> Result<Option<Arc<str>>> {
    if id == 0 { Ok(None) } else { loader::name(ctx, id).await.map(Some) }
}

/// Machine.
#[derive(Clone, Copy, Debug)]
pub struct Vm(pub u32);

impl Vm {
    async fn place(self, ctx: &Context<'_>) -> Result<Place> {
        Ok(fleet(ctx).await?.place_at(self.0, NOW))
    }
}

/// Machine.
#[Object]
impl Vm {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::Vm.id(self.0)
    }

    /// Name.
    async fn name(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        loader::name(ctx, self.0).await
    }

    /// The newest state; null when no event told one.
    async fn state(&self, ctx: &Context<'_>) -> Result<Option<VmState>> {
        Ok(fleet(ctx).await?.machine(self.0).and_then(|machine| machine.timeline.state()).map(VmState::from))
    }

    /// Instance type of its latest life; null when no event told one.
    async fn instance_type(&self, ctx: &Context<'_>) -> Result<Option<InstanceType>> {
        let id = self.place(ctx).await?.instance_type_id;
        Ok((id != 0).then_some(InstanceType(id)))
    }

    /// Region; null when no event told one.
    async fn region(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        name(ctx, self.place(ctx).await?.region_id).await
    }

    /// Provider; null when no event told one.
    async fn provider(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        name(ctx, self.place(ctx).await?.provider_id).await
    }

    /// How it was bought; null when no event told it.
    async fn purchase_option(&self, ctx: &Context<'_>) -> Result<Option<PurchaseOption>> {
        Ok(fleet(ctx).await?.machine(self.0).and_then(|machine| machine.timeline.purchase_option()).map(PurchaseOption::from))
    }

    /// The newest sample of the machine; null when none has arrived, and without the role.
    #[graphql(directive = guard::requires::apply(guard::required("Vm.utilization")))]
    async fn utilization(&self, ctx: &Context<'_>) -> Result<Option<VmUtilization>> {
        if !guard::allows(ctx, "Vm.utilization") {
            return Ok(None);
        }
        Ok(loader::utilization(ctx, self.0, gpus_asked(ctx.look_ahead())).await?.map(VmUtilization))
    }
}

/// Instance type. Each fact is the newest that an event told, null when none did.
#[derive(Clone, Copy, Debug)]
pub struct InstanceType(pub u32);

/// Instance type. Each fact is the newest that an event told, null when none did.
#[Object]
impl InstanceType {
    /// Stable id.
    pub(crate) async fn id(&self) -> ID {
        NodeKind::InstanceType.id(self.0)
    }

    /// Name.
    async fn name(&self, ctx: &Context<'_>) -> Result<Arc<str>> {
        loader::name(ctx, self.0).await
    }

    /// Provider that was named with it; null when none was.
    async fn provider(&self, ctx: &Context<'_>) -> Result<Option<Arc<str>>> {
        let id = fleet(ctx).await?.instance_type(self.0).map_or(0, |kind| kind.provider_id);
        name(ctx, id).await
    }

    /// Number of vCPUs; null when never told.
    async fn v_cpus(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        Ok(fleet(ctx).await?.instance_type(self.0).and_then(|kind| kind.v_cpus))
    }

    /// Memory in bytes; null when never told.
    async fn memory_bytes(&self, ctx: &Context<'_>) -> Result<Option<UInt53>> {
        Ok(fleet(ctx).await?.instance_type(self.0).and_then(|kind| kind.memory_bytes).map(|bytes| UInt53(bytes as u64)))
    }

    /// GPU model; null when never told.
    async fn gpu_model(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(fleet(ctx).await?.instance_type(self.0).and_then(|kind| kind.gpu_model.clone()))
    }

    /// Number of GPUs; null when never told.
    async fn gpu_count(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        Ok(fleet(ctx).await?.instance_type(self.0).and_then(|kind| kind.gpu_count))
    }
}
