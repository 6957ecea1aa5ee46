//! `gpuSample`: measures of one GPU at an instant.

use super::event::{Event, GpuSample};
use super::field;
use super::object::{Line, Object, Path, fields};
use super::rejection::{Problem, Read, RejectionCode};

/// Reads the keys of a `gpuSample`. `uuid` and `name` describe the GPU and are no measures.
pub(super) fn read(object: Object<'_>, line: &mut Line<'_>) -> Read<Event> {
    fields!(object, line, &Path::Line, {
        _type: "type",
        vm: "vm",
        gpu: "gpu",
        at: "at",
        utilization_ratio: "utilizationRatio",
        memory_used_bytes: "memoryUsedBytes",
        memory_total_bytes: "memoryTotalBytes",
        temperature_celsius: "temperatureCelsius",
        power_watts: "powerWatts",
        uuid: "uuid",
        name: "name",
    });
    let sample = GpuSample {
        vm: vm.required(field::name)?,
        gpu: gpu.required(field::gpu_index)?,
        at: line.instant(&at)?,
        utilization_ratio: utilization_ratio.optional(field::ratio)?,
        memory_used_bytes: memory_used_bytes.optional(field::whole)?,
        memory_total_bytes: memory_total_bytes.optional(field::whole)?,
        temperature_celsius: temperature_celsius.optional(field::temperature_celsius)?,
        power_watts: power_watts.optional(field::quantity)?,
        uuid: uuid.optional(field::name)?,
        name: name.optional(field::name)?,
    };
    let reals = [sample.utilization_ratio, sample.temperature_celsius, sample.power_watts];
    let wholes = [sample.memory_used_bytes, sample.memory_total_bytes];
    if reals.iter().all(Option::is_none) && wholes.iter().all(Option::is_none) {
        return Err(Problem::line(RejectionCode::MissingField, "a gpuSample needs at least one measure"));
    }
    Ok(Event::GpuSample(Box::new(sample)))
}
