//! `job`: a change of a job's state, for the live view.

use super::checkpoint::{checkpoints, gpus, model};
use super::event::{Caller, Event, Job};
use super::field;
use super::object::{Line, Object, Path, fields};
use super::rejection::Read;

/// Reads the keys of a `job`.
pub(super) fn read(object: Object<'_>, line: &mut Line<'_>) -> Read<Event> {
    fields!(object, line, &Path::Line, {
        _type: "type",
        id: "id",
        job: "job",
        at: "at",
        state: "state",
        model_name: "model",
        model_version: "modelVersion",
        checkpoint_list: "checkpoints",
        attempt: "attempt",
        application: "application",
        user: "user",
        department: "department",
        project: "project",
        vm: "vm",
        gpu_list: "gpus",
    });
    Ok(Event::Job(Box::new(Job {
        id: id.required(field::uuid)?,
        job: job.required(field::name)?,
        at: line.instant(&at)?,
        state: state.required(field::label)?,
        model: model(&model_name, &model_version)?,
        checkpoints: checkpoints(&checkpoint_list, line)?,
        attempt: attempt.optional(field::attempt)?,
        caller: Caller {
            application: application.optional(field::name)?,
            user: user.optional(field::name)?,
            department: department.optional(field::name)?,
            project: project.optional(field::name)?,
        },
        vm: vm.optional(field::name)?,
        gpus: gpus(&gpu_list)?,
    })))
}
