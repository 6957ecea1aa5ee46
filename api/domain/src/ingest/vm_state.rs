//! `vmState`: a change of a machine's state, and what is known of its instance type.

use super::event::{Event, VmStateChange};
use super::field;
use super::object::{Line, Object, Path, fields};
use super::rejection::Read;

/// Reads the keys of a `vmState`.
pub(super) fn read(object: Object<'_>, line: &mut Line<'_>) -> Read<Event> {
    fields!(object, line, &Path::Line, {
        _type: "type",
        id: "id",
        vm: "vm",
        at: "at",
        state: "state",
        instance_type: "instanceType",
        provider: "provider",
        region: "region",
        purchase_option: "purchaseOption",
        v_cpus: "vCpus",
        memory_bytes: "memoryBytes",
        gpu_model: "gpuModel",
        gpu_count: "gpuCount",
    });
    Ok(Event::VmState(Box::new(VmStateChange {
        id: id.required(field::uuid)?,
        vm: vm.required(field::name)?,
        at: line.instant(&at)?,
        state: state.required(field::label)?,
        instance_type: instance_type.optional(field::name)?,
        provider: provider.optional(field::name)?,
        region: region.optional(field::name)?,
        purchase_option: purchase_option.optional(field::label)?,
        v_cpus: v_cpus.optional(field::count)?,
        memory_bytes: memory_bytes.optional(field::whole)?,
        gpu_model: gpu_model.optional(field::name)?,
        gpu_count: gpu_count.optional(field::gpu_count)?,
    })))
}
