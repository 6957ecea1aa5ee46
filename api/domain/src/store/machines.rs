//! What machines have told: states, GPU indices, when they were first and last touched.

use plimsoll_entity::value::label::{PurchaseOption, VmState};
use plimsoll_entity::value::time::Instant;
use plimsoll_entity::{vm, vm_state};
use sea_orm::EntityTrait;

use super::{Snapshot, StoreError};
use crate::machine::fleet::{InstanceType, StateRow};
use crate::timeline::life::StateChange;

impl Snapshot {
    /// The version of everything that a fleet is made from.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn fleet_version(&self) -> Result<i64, StoreError> {
        let rows = self.rows("SELECT value FROM counter WHERE name = 'fleet_version'", Vec::new()).await?;
        rows.first().ok_or(StoreError::Inconsistent("counter"))?.try_get_by_index(0).map_err(StoreError::read)
    }

    /// Every state change.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn vm_state_list(&self) -> Result<Vec<StateRow>, StoreError> {
        let rows = vm_state::Entity::find().all(self.tx()).await.map_err(StoreError::read)?;
        rows.into_iter().map(state_row).collect()
    }

    /// The highest GPU index that was named of each machine.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn gpu_index_list(&self) -> Result<Vec<(u32, u16)>, StoreError> {
        let rows = vm::Entity::find().all(self.tx()).await.map_err(StoreError::read)?;
        Ok(rows.into_iter().filter_map(|row| Some((row.vm_id as u32, u16::try_from(row.gpu_index_max?).ok()?))).collect())
    }

    /// The first and the last instant at which a sample, load or execution touched each machine.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn vm_touch_list(&self) -> Result<Vec<(u32, Instant, Instant)>, StoreError> {
        let rows = vm::Entity::find().all(self.tx()).await.map_err(StoreError::read)?;
        Ok(rows.into_iter().filter_map(|row| Some((row.vm_id as u32, Instant(row.first_touch_at?), Instant(row.last_touch_at?)))).collect())
    }
}

fn state_row(row: vm_state::Model) -> Result<StateRow, StoreError> {
    let id = |id: Option<i32>| id.map_or(0, |id| id as u32);
    let change = StateChange {
        at: Instant(row.at),
        state: VmState::from_code(row.state).ok_or(StoreError::Inconsistent("machine state"))?,
        id: row.id,
        instance_type_id: id(row.instance_type_id),
        provider_id: id(row.provider_id),
        region_id: id(row.region_id),
        purchase_option: row.purchase_option.and_then(PurchaseOption::from_code),
    };
    let told = InstanceType {
        provider_id: change.provider_id,
        v_cpus: row.v_cpus,
        memory_bytes: row.memory_bytes,
        gpu_model: row.gpu_model,
        gpu_count: row.gpu_count,
    };
    Ok(StateRow { vm_id: row.vm_id as u32, change, told })
}
