//! How instance types were used: their machines, their slots, what ran on them.
//!
//! Invariant: a type is there when one of its machines was RUNNING, sent a sample or finished an execution in the window; machines of
//! unknown type are nowhere. Must not know: GraphQL.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_entity::value::time::Window;

use super::BreakdownError;
use super::dimension::Dimension;
use super::executions::{Reader, Reading, check};
use super::figures::{Distribution, Gauge, distribution_of, gauge_of, machine_figures, ratio, sum_of};
use super::filter::Filter;
use super::gather::{Gathered, Gathering, OUTCOMES, family_for};
use super::machines::MachineQuestion;
use super::timelines::Timelines;
use crate::cell::part::{Family, Part};

/// Microseconds of an hour, as a divisor.
const HOUR_US: f64 = 3_600e6;

/// How one instance type was used.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceTypeFigures {
    /// Id of its name.
    pub instance_type_id: u32,
    /// Machines that were RUNNING or sent samples.
    pub vms: u64,
    /// RUNNING time of its machines.
    pub running_hours: f64,
    /// Slot time on which an execution ran over slot time of its RUNNING machines; none without any.
    pub busy_ratio: Option<f64>,
    /// Utilization of its GPUs; none without samples.
    pub gpu_ratio: Option<Gauge>,
    /// What ran on it, most hours first, then by label.
    pub workloads: Vec<Workload>,
}

/// What one combination did on an instance type.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Combination.
    pub combination_id: u32,
    /// Executions that finished.
    pub executions: u64,
    /// Duration x slots held.
    pub gpu_hours: f64,
    /// Of the hours of all workloads of the type.
    pub ratio: f64,
    /// Durations.
    pub duration: Option<Distribution>,
}

impl Reader {
    /// Instance types by name.
    ///
    /// # Errors
    /// [`BreakdownError`] when the question cannot be asked or the store fails.
    pub async fn instance_types(
        &self,
        reading: &Reading,
        window: Window,
        filter: &Filter,
    ) -> Result<Vec<InstanceTypeFigures>, BreakdownError> {
        check(window, &[], 0)?;
        let tiles = [window];
        let by = vec![Dimension::InstanceType];
        let parts = BTreeSet::from([Part::GpuRatio]);
        let asked = MachineQuestion { window, by: by.clone(), parts: parts.clone(), limit: 0 };
        let machines = self.gather_machines(reading, &tiles, &asked, filter, &parts, None).await?;
        let timelines = Timelines::until(reading, window.end).await?;
        let busy = Gathering { tiles: &tiles, by: &by, filter, parts: &[Part::BusyTime], coarseness: self.coarseness };
        let busy = timelines.gather(&busy, Family::MachineTime, &[Family::MachineTime]).await?;
        let pair = [Dimension::InstanceType, Dimension::Combination];
        let asked = Gathering { tiles: &tiles, by: &pair, filter, parts: &[Part::Usage, Part::Duration], coarseness: self.coarseness };
        let mut executions = Gathered::default();
        executions.read(reading.sources(), &asked, family_for(&pair, filter)).await?;

        let mut workloads = workloads(&executions);
        let mut atoms: BTreeMap<u32, u32> = (0_u32..).zip(&machines.atoms).map(|(atom, key)| (key.ids[0], atom)).collect();
        workloads.keys().for_each(|kind| {
            atoms.entry(*kind).or_insert(u32::MAX);
        });
        let mut kinds = Vec::new();
        for (kind, atom) in atoms.into_iter().filter(|(kind, _)| *kind != 0) {
            let own: &[u32] = if atom == u32::MAX { &[] } else { &[atom] };
            let (running_us, running_slot_us) = machines.running_us.get(&atom).copied().unwrap_or_default();
            let key = busy.atoms.iter().position(|key| key.ids[0] == kind).map(|atom| atom as u32);
            let busy_us = key.map_or(0, |atom| sum_of(&busy, Part::BusyTime, &[atom]));
            kinds.push(InstanceTypeFigures {
                instance_type_id: kind,
                vms: machine_figures(&machines, own).vms,
                running_hours: running_us as f64 / HOUR_US,
                busy_ratio: ratio(busy_us as f64, running_slot_us as f64),
                gpu_ratio: gauge_of(&machines, Part::GpuRatio, own),
                workloads: workloads.remove(&kind).unwrap_or_default(),
            });
        }
        let ids: Vec<u32> = kinds.iter().map(|kind| kind.instance_type_id).collect();
        let names = reading.sources().catalog.names(&reading.snapshot, &ids).await?;
        let name = |id: u32| names.get(&id).map(|name| name.as_bytes());
        kinds.sort_by(|a, b| name(a.instance_type_id).cmp(&name(b.instance_type_id)));
        Ok(kinds)
    }
}

/// What ran on each type, in order.
fn workloads(executions: &Gathered) -> BTreeMap<u32, Vec<Workload>> {
    // Microseconds of slots: on a machine without a GPU those of its one slot.
    let mut slot_us: BTreeMap<u32, i128> = BTreeMap::new();
    for ((atom, shape), usage) in &executions.usage {
        *slot_us.entry(*atom).or_default() += usage.named_gpu_us + usage.whole_us * i128::from(shape.slots);
    }
    let mut workloads: BTreeMap<u32, Vec<(i128, Workload)>> = BTreeMap::new();
    for (atom, key) in (0_u32..).zip(&executions.atoms).filter(|(_, key)| key.ids[0] != 0) {
        let us = slot_us.get(&atom).copied().unwrap_or(0);
        let workload = Workload {
            combination_id: key.ids[1],
            executions: executions.outcomes[atom as usize * OUTCOMES..][..OUTCOMES].iter().sum(),
            gpu_hours: us as f64 / HOUR_US,
            ratio: 0.0,
            duration: distribution_of(executions, Part::Duration, &[atom]),
        };
        workloads.entry(key.ids[0]).or_default().push((us, workload));
    }
    let label = |workload: &Workload| executions.combinations.get(&workload.combination_id).map(|combination| combination.label.as_bytes());
    let in_order = |mut of_type: Vec<(i128, Workload)>| {
        // Whole microseconds: the order in which atoms were met shows in no digit.
        let sum: i128 = of_type.iter().map(|(us, _)| us).sum();
        of_type.iter_mut().for_each(|(us, workload)| workload.ratio = ratio(*us as f64, sum as f64).unwrap_or(0.0));
        of_type.sort_by(|(a_us, a), (b_us, b)| b_us.cmp(a_us).then_with(|| label(a).cmp(&label(b))));
        of_type.into_iter().map(|(_, workload)| workload).collect()
    };
    workloads.into_iter().map(|(kind, of_type)| (kind, in_order(of_type))).collect()
}
