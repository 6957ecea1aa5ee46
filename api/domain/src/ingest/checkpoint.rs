//! Model and checkpoint versions inside events: `model` + `modelVersion`, `checkpoint`, `checkpoints`, and the GPUs of a list.
//!
//! Invariants: lists come out in canonical order and without repeats. Must not know: which event they stand in.

use plimsoll_entity::value::label::CheckpointKind;

use super::event::{CheckpointVersion, ModelVersion};
use super::field::{self, Broken};
use super::json::{Items, Kind, Raw};
use super::limit::CHECKPOINTS_MAX;
use super::object::{Field, Line, Object, Path, fields};
use super::rejection::{Problem, Read};

/// The version of a model or checkpoint that told none.
pub const UNVERSIONED: &str = "unversioned";

/// `{kind, name, version}`.
fn checkpoint(raw: Raw<'_>, path: &Path, line: &mut Line<'_>) -> Read<CheckpointVersion> {
    if raw.kind != Kind::Object {
        return Err(Problem::invalid(path.itself(), "must be an object with kind, name and version"));
    }
    fields!(Object(raw.source), line, path, { kind: "kind", name: "name", version: "version" });
    let kind = kind.required_at(path, field::label::<CheckpointKind>)?;
    let name = name.required_at(path, field::name)?;
    let version = version.optional_at(path, field::name)?;
    Ok(CheckpointVersion { name, version: version.unwrap_or_else(|| UNVERSIONED.to_owned()), kind })
}

/// The one checkpoint of an event that may name one.
pub(super) fn optional_checkpoint(field: &Field<'_>, line: &mut Line<'_>) -> Read<Option<CheckpointVersion>> {
    field.raw().map(|raw| checkpoint(raw, &Path::Key(field.key()), line)).transpose()
}

/// The checkpoints applied together; absent: none.
pub(super) fn checkpoints(list: &Field<'_>, line: &mut Line<'_>) -> Read<Vec<CheckpointVersion>> {
    let Some(mut items) = items(list)? else { return Ok(Vec::new()) };
    let mut checkpoints = Vec::new();
    while items.next().map_err(Problem::malformed)? {
        if checkpoints.len() == CHECKPOINTS_MAX {
            return Err(Problem::invalid(list.key(), "must hold at most 16 checkpoints"));
        }
        checkpoints.push(checkpoint(items.value, &Path::Item(list.key(), checkpoints.len()), line)?);
    }
    checkpoints.sort_unstable_by(|a, b| a.canonical().cmp(&b.canonical()));
    if checkpoints.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Problem::invalid(list.key(), "must not name a checkpoint version twice"));
    }
    Ok(checkpoints)
}

/// The indices of the GPUs that were held, ascending; absent: none named.
pub(super) fn gpus(list: &Field<'_>) -> Read<Vec<u16>> {
    let Some(mut items) = items(list)? else { return Ok(Vec::new()) };
    let mut gpus = Vec::new();
    while items.next().map_err(Problem::malformed)? {
        let gpu = field::gpu_index(items.value);
        gpus.push(gpu.map_err(|Broken(rule)| Problem::invalid(Path::Item(list.key(), gpus.len()).itself(), &rule))?);
    }
    gpus.sort_unstable();
    if gpus.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Problem::invalid(list.key(), "must not name a GPU twice"));
    }
    Ok(gpus)
}

/// The base model version of an event that may leave it out. A version alone names nothing; it is checked and let go.
pub(super) fn optional_model(model: &Field<'_>, version: &Field<'_>) -> Read<Option<ModelVersion>> {
    let version = version.optional(field::name)?;
    let model = model.optional(field::name)?;
    Ok(model.map(|model| ModelVersion { model, version: version.unwrap_or_else(|| UNVERSIONED.to_owned()) }))
}

/// The base model version of an event that must name it.
pub(super) fn model(model: &Field<'_>, version: &Field<'_>) -> Read<ModelVersion> {
    let name = model.required(field::name)?;
    let version = version.optional(field::name)?;
    Ok(ModelVersion { model: name, version: version.unwrap_or_else(|| UNVERSIONED.to_owned()) })
}

fn items<'a>(list: &Field<'a>) -> Read<Option<Items<'a>>> {
    match list.raw() {
        None => Ok(None),
        Some(raw) if raw.kind == Kind::List => Ok(Some(Items::of(raw.source))),
        Some(_) => Err(Problem::invalid(list.key(), "must be a list")),
    }
}
