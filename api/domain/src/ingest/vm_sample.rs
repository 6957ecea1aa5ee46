//! `vmSample`: measures of a machine over an interval that ends at `at`.

use super::event::{Event, VmSample};
use super::field;
use super::object::{Line, Object, Path, fields};
use super::rejection::{Problem, Read, RejectionCode};

/// Reads the keys of a `vmSample`.
pub(super) fn read(object: Object<'_>, line: &mut Line<'_>) -> Read<Event> {
    fields!(object, line, &Path::Line, {
        _type: "type",
        vm: "vm",
        at: "at",
        interval_seconds: "intervalSeconds",
        cpu_ratio: "cpuRatio",
        memory_used_bytes: "memoryUsedBytes",
        memory_total_bytes: "memoryTotalBytes",
        disk_used_bytes: "diskUsedBytes",
        disk_total_bytes: "diskTotalBytes",
        disk_busy_ratio: "diskBusyRatio",
        network_received_bytes: "networkReceivedBytes",
        network_sent_bytes: "networkSentBytes",
        network_errors: "networkErrors",
        disk_read_bytes: "diskReadBytes",
        disk_written_bytes: "diskWrittenBytes",
        disk_read_ops: "diskReadOps",
        disk_write_ops: "diskWriteOps",
    });
    let sample = VmSample {
        vm: vm.required(field::name)?,
        at: line.instant(&at)?,
        interval_seconds: interval_seconds.required(field::interval_seconds)?,
        cpu_ratio: cpu_ratio.optional(field::ratio)?,
        memory_used_bytes: memory_used_bytes.optional(field::whole)?,
        memory_total_bytes: memory_total_bytes.optional(field::whole)?,
        disk_used_bytes: disk_used_bytes.optional(field::whole)?,
        disk_total_bytes: disk_total_bytes.optional(field::whole)?,
        disk_busy_ratio: disk_busy_ratio.optional(field::ratio)?,
        network_received_bytes: network_received_bytes.optional(field::whole)?,
        network_sent_bytes: network_sent_bytes.optional(field::whole)?,
        network_errors: network_errors.optional(field::whole)?,
        disk_read_bytes: disk_read_bytes.optional(field::whole)?,
        disk_written_bytes: disk_written_bytes.optional(field::whole)?,
        disk_read_ops: disk_read_ops.optional(field::whole)?,
        disk_write_ops: disk_write_ops.optional(field::whole)?,
    };
    if !has_measure(&sample) {
        return Err(Problem::line(RejectionCode::MissingField, "a vmSample needs at least one measure"));
    }
    Ok(Event::VmSample(Box::new(sample)))
}

fn has_measure(sample: &VmSample) -> bool {
    let ratios = [sample.cpu_ratio, sample.disk_busy_ratio];
    let wholes = [
        sample.memory_used_bytes,
        sample.memory_total_bytes,
        sample.disk_used_bytes,
        sample.disk_total_bytes,
        sample.network_received_bytes,
        sample.network_sent_bytes,
        sample.network_errors,
        sample.disk_read_bytes,
        sample.disk_written_bytes,
        sample.disk_read_ops,
        sample.disk_write_ops,
    ];
    ratios.iter().any(Option::is_some) || wholes.iter().any(Option::is_some)
}
