//! `storageSnapshot`: bytes held in one place.

use super::checkpoint::{optional_checkpoint, optional_model};
use super::event::{Event, StorageSnapshot};
use super::field;
use super::object::{Line, Object, Path, fields};
use super::rejection::{Problem, Read, RejectionCode};

/// Reads the keys of a `storageSnapshot`.
pub(super) fn read(object: Object<'_>, line: &mut Line<'_>) -> Read<Event> {
    fields!(object, line, &Path::Line, {
        _type: "type",
        id: "id",
        at: "at",
        storage_type: "storageType",
        size_bytes: "sizeBytes",
        model_name: "model",
        model_version: "modelVersion",
        checkpoint: "checkpoint",
        storage_location: "storageLocation",
    });
    let snapshot = StorageSnapshot {
        id: id.required(field::uuid)?,
        at: line.instant(&at)?,
        storage_type: storage_type.required(field::label)?,
        size_bytes: size_bytes.required(field::whole)?,
        model: optional_model(&model_name, &model_version)?,
        checkpoint: optional_checkpoint(&checkpoint, line)?,
        storage_location: storage_location.optional(field::name)?,
    };
    if snapshot.model.is_none() && snapshot.checkpoint.is_none() {
        return Err(Problem::of(RejectionCode::MissingField, "checkpoint", "or model is missing"));
    }
    Ok(Event::StorageSnapshot(Box::new(snapshot)))
}
