//! `checkpointLoad`: bytes brought to a GPU or a cache.

use super::checkpoint::{model, optional_checkpoint};
use super::event::{CheckpointLoad, Event};
use super::field;
use super::object::{Line, Object, Path, fields};
use super::rejection::{Problem, Read};
use plimsoll_entity::value::label::LoadOutcome;

/// Reads the keys of a `checkpointLoad`.
pub(super) fn read(object: Object<'_>, line: &mut Line<'_>) -> Read<Event> {
    fields!(object, line, &Path::Line, {
        _type: "type",
        id: "id",
        started: "startedAt",
        finished: "finishedAt",
        vm: "vm",
        storage_type: "storageType",
        cache_hit: "cacheHit",
        model_name: "model",
        model_version: "modelVersion",
        checkpoint: "checkpoint",
        gpu: "gpu",
        storage_location: "storageLocation",
        size_bytes: "bytes",
        execution: "execution",
        outcome: "outcome",
        error_type: "errorType",
    });
    let load = CheckpointLoad {
        id: id.required(field::uuid)?,
        started_at: line.instant(&started)?,
        finished_at: line.instant(&finished)?,
        vm: vm.required(field::name)?,
        storage_type: storage_type.required(field::label)?,
        cache_hit: cache_hit.required(field::flag)?,
        model: model(&model_name, &model_version)?,
        checkpoint: optional_checkpoint(&checkpoint, line)?,
        gpu: gpu.optional(field::gpu_index)?,
        storage_location: storage_location.optional(field::name)?,
        size_bytes: size_bytes.optional(field::whole)?,
        execution: execution.optional(field::uuid)?,
        outcome: outcome.optional(field::label)?.unwrap_or(LoadOutcome::Succeeded),
        error_type: error_type.optional(field::name)?,
    };
    if load.finished_at < load.started_at {
        return Err(Problem::invalid("finishedAt", "lies before startedAt"));
    }
    Ok(Event::CheckpointLoad(Box::new(load)))
}
