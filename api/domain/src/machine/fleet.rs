//! The fleet: every machine's timeline and the facts of its instance types.
//!
//! Cells key the machine; what is known of it elsewhere and may come later (type, region, GPUs, vCPUs) is joined from here when
//! asked. Invariant: a fleet belongs to one version, which changes in the transaction that changes what it is made from.
//! Must not know: executions, money.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, RwLock};

use plimsoll_entity::value::time::{Instant, Window};

use crate::cell::plan::Breaks;
use crate::store::{Snapshot, StoreError};
use crate::timeline::life::{Place, StateChange, Timeline};
use crate::timeline::shapes::{Billings, billings_of, encode_billings};

/// What is known of an instance type, each fact the newest that was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceType {
    /// Provider that was named with it.
    pub provider_id: u32,
    /// vCPUs.
    pub v_cpus: Option<i32>,
    /// Memory in bytes.
    pub memory_bytes: Option<i64>,
    /// GPU model.
    pub gpu_model: Option<String>,
    /// GPUs.
    pub gpu_count: Option<i32>,
}

/// What usage is reckoned with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// Slots: GPUs, or one where there is none.
    pub slots: u32,
    /// Slots that are GPUs.
    pub gpus: u32,
    /// vCPUs; none where unknown.
    pub v_cpus: Option<u32>,
}

/// A machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Its states.
    pub timeline: Timeline,
    /// Highest GPU index that any event named.
    pub gpu_index_max: Option<u16>,
    /// Reckoned once a fleet: every question compares it.
    billings: OnceLock<Arc<(Billings, Vec<u8>)>>,
}

impl Machine {
    /// What its bill depends on besides facts and prices, and the bytes of it.
    #[must_use]
    pub fn billings(&self, fleet: &Fleet, vm_id: u32) -> Arc<(Billings, Vec<u8>)> {
        let reckon = || {
            let billings = billings_of(fleet, vm_id);
            let bytes = encode_billings(&billings);
            Arc::new((billings, bytes))
        };
        Arc::clone(self.billings.get_or_init(reckon))
    }
}

/// A state change and what it says of its instance type.
#[derive(Clone, Debug)]
pub struct StateRow {
    /// Machine.
    pub vm_id: u32,
    /// The change.
    pub change: StateChange,
    /// What it says of the type.
    pub told: InstanceType,
}

/// All machines of one version.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    version: i64,
    machines: BTreeMap<u32, Machine>,
    types: HashMap<u32, InstanceType>,
}

impl Fleet {
    /// A fleet from its rows.
    #[must_use]
    pub fn new(version: i64, mut states: Vec<StateRow>, gpu_indices: Vec<(u32, u16)>) -> Self {
        states.sort_by_key(|row| (row.change.at, row.change.state, row.change.id));
        let mut types: HashMap<u32, InstanceType> = HashMap::new();
        let mut changes: BTreeMap<u32, Vec<StateChange>> = BTreeMap::new();
        for row in states {
            changes.entry(row.vm_id).or_default().push(row.change);
            if row.change.instance_type_id != 0 {
                let known = types.entry(row.change.instance_type_id).or_default();
                if row.change.provider_id != 0 {
                    known.provider_id = row.change.provider_id;
                }
                known.v_cpus = row.told.v_cpus.or(known.v_cpus);
                known.memory_bytes = row.told.memory_bytes.or(known.memory_bytes);
                known.gpu_model = row.told.gpu_model.or(known.gpu_model.take());
                known.gpu_count = row.told.gpu_count.or(known.gpu_count);
            }
        }
        let mut machines: BTreeMap<u32, Machine> =
            changes.into_iter().map(|(vm, changes)| (vm, Machine { timeline: Timeline::new(changes), ..Machine::default() })).collect();
        for (vm, index) in gpu_indices {
            machines.entry(vm).or_default().gpu_index_max = Some(index);
        }
        Self { version, machines, types }
    }

    /// A machine, by the id of its name; none when no event told a state or a GPU of it.
    #[must_use]
    pub fn machine(&self, vm_id: u32) -> Option<&Machine> {
        self.machines.get(&vm_id)
    }

    /// Every machine that is known, by id.
    pub fn machines(&self) -> impl Iterator<Item = (u32, &Machine)> {
        self.machines.iter().map(|(vm, machine)| (*vm, machine))
    }

    /// What is known of an instance type.
    #[must_use]
    pub fn instance_type(&self, id: u32) -> Option<&InstanceType> {
        self.types.get(&id)
    }

    /// Every instance type that is known, in no order.
    pub fn instance_types(&self) -> impl Iterator<Item = (u32, &InstanceType)> {
        self.types.iter().map(|(id, kind)| (*id, kind))
    }

    /// Type, provider and region of a machine at an instant.
    #[must_use]
    pub fn place_at(&self, vm_id: u32, at: Instant) -> Place {
        self.machines.get(&vm_id).map_or_else(Place::default, |machine| machine.timeline.place_at(at))
    }

    /// Slots, GPUs and vCPUs of a machine at an instant (contract, "Slot").
    #[must_use]
    pub fn shape_at(&self, vm_id: u32, at: Instant) -> Shape {
        let Some(machine) = self.machines.get(&vm_id) else { return Shape { slots: 1, gpus: 0, v_cpus: None } };
        let kind = self.types.get(&machine.timeline.place_at(at).instance_type_id);
        let v_cpus = kind.and_then(|kind| kind.v_cpus).and_then(|v_cpus| u32::try_from(v_cpus).ok());
        let gpus = kind
            .and_then(|kind| kind.gpu_count)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_else(|| machine.gpu_index_max.map_or(0, |index| u32::from(index) + 1));
        Shape { slots: gpus.max(1), gpus, v_cpus }
    }

    /// Hours and days of a window inside of which the place of a machine changes.
    #[must_use]
    pub fn breaks(&self, window: Window) -> Breaks {
        let mut breaks = Breaks::default();
        for machine in self.machines.values() {
            for at in machine.timeline.place_changes() {
                if window.contains(at) {
                    breaks.insert(at);
                }
            }
        }
        breaks
    }
}

/// Keeps the fleet of the newest version that was asked for.
#[derive(Debug, Default)]
pub struct FleetCache(RwLock<Arc<Fleet>>);

impl FleetCache {
    /// The fleet as the snapshot sees it.
    ///
    /// # Errors
    /// [`StoreError::Read`] from the database.
    pub async fn fleet(&self, snapshot: &Snapshot) -> Result<Arc<Fleet>, StoreError> {
        let version = snapshot.fleet_version().await?;
        // A poisoned lock holds a whole fleet all the same: it is replaced in one step.
        let cached = Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner));
        if cached.version == version && version > 0 {
            return Ok(cached);
        }
        let fleet = Arc::new(Fleet::new(version, snapshot.vm_state_list().await?, snapshot.gpu_index_list().await?));
        let mut newest = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if newest.version < version {
            *newest = Arc::clone(&fleet);
        }
        Ok(fleet)
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::label::VmState;
    use uuid::Uuid;

    use super::*;

    fn row(vm_id: u32, at: i64, instance_type_id: u32, told: InstanceType) -> StateRow {
        let change = StateChange {
            at: Instant(at),
            state: VmState::Running,
            id: Uuid::from_u128(at as u128),
            instance_type_id,
            provider_id: 0,
            region_id: 0,
            purchase_option: None,
        };
        StateRow { vm_id, change, told }
    }

    #[test]
    fn the_newest_corrects_a_type_fact_by_fact() {
        let first = InstanceType { v_cpus: Some(8), gpu_count: Some(1), ..InstanceType::default() };
        let second = InstanceType { gpu_count: Some(2), ..InstanceType::default() };
        let fleet = Fleet::new(1, vec![row(2, 9, 5, second), row(1, 3, 5, first)], vec![(7, 3)]);
        assert_eq!(fleet.shape_at(1, Instant(4)), Shape { slots: 2, gpus: 2, v_cpus: Some(8) });
        assert_eq!(fleet.shape_at(7, Instant(4)), Shape { slots: 4, gpus: 4, v_cpus: None });
        assert_eq!(fleet.shape_at(99, Instant(4)), Shape { slots: 1, gpus: 0, v_cpus: None });
    }

    #[test]
    fn a_type_without_gpus_has_one_slot_that_is_none() {
        let told = InstanceType { gpu_count: Some(0), ..InstanceType::default() };
        let fleet = Fleet::new(1, vec![row(1, 3, 5, told)], vec![(1, 1)]);
        assert_eq!(fleet.shape_at(1, Instant(3)), Shape { slots: 1, gpus: 0, v_cpus: None });
    }
}
