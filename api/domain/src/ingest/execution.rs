//! `execution`: one finished attempt of a job.

use super::checkpoint::{checkpoints, gpus, model};
use super::event::{Caller, Event, Execution};
use super::field;
use super::object::{Line, Object, Path, fields};
use super::rejection::{Problem, Read};
use plimsoll_entity::value::label::Outcome;

/// Reads the keys of an `execution`.
pub(super) fn read(object: Object<'_>, line: &mut Line<'_>) -> Read<Event> {
    fields!(object, line, &Path::Line, {
        _type: "type",
        id: "id",
        job: "job",
        attempt: "attempt",
        model_name: "model",
        model_version: "modelVersion",
        model_type: "modelType",
        checkpoint_list: "checkpoints",
        application: "application",
        user: "user",
        department: "department",
        project: "project",
        vm: "vm",
        gpu_list: "gpus",
        queued: "queuedAt",
        started: "startedAt",
        finished: "finishedAt",
        outcome: "outcome",
        checkpoint_load_ms: "checkpointLoadMs",
        model_init_ms: "modelInitMs",
        inference_ms: "inferenceMs",
        input_bytes: "inputBytes",
        output_bytes: "outputBytes",
        gpu_memory_peak_bytes: "gpuMemoryPeakBytes",
        cpu_seconds: "cpuSeconds",
        error_type: "errorType",
        error_message: "errorMessage",
    });
    let id = id.required(field::uuid)?;
    // A job that is named as it would be by default is the default: two spellings of one content.
    let job = job.optional(field::name)?.filter(|job| *job != *id.hyphenated().encode_lower(&mut [0; 36]));
    let execution = Execution {
        id,
        job,
        attempt: attempt.optional(field::attempt)?.unwrap_or(1),
        model: model(&model_name, &model_version)?,
        model_type: model_type.optional(field::name)?,
        checkpoints: checkpoints(&checkpoint_list, line)?,
        caller: Caller {
            application: application.optional(field::name)?,
            user: user.optional(field::name)?,
            department: department.optional(field::name)?,
            project: project.optional(field::name)?,
        },
        vm: vm.optional(field::name)?,
        gpus: gpus(&gpu_list)?,
        queued_at: line.optional_instant(&queued)?,
        started_at: line.instant(&started)?,
        finished_at: line.instant(&finished)?,
        outcome: outcome.required(field::label::<Outcome>)?,
        checkpoint_load_ms: checkpoint_load_ms.optional(field::quantity)?,
        model_init_ms: model_init_ms.optional(field::quantity)?,
        inference_ms: inference_ms.optional(field::quantity)?,
        input_bytes: input_bytes.optional(field::whole)?,
        output_bytes: output_bytes.optional(field::whole)?,
        gpu_memory_peak_bytes: gpu_memory_peak_bytes.optional(field::whole)?,
        cpu_seconds: cpu_seconds.optional(field::quantity)?,
        error_type: error_type.optional(field::name)?,
        error_message: error_message.optional(field::error_message)?,
    };
    if execution.finished_at < execution.started_at {
        return Err(Problem::invalid("finishedAt", "lies before startedAt"));
    }
    if execution.queued_at.is_some_and(|queued_at| queued_at > execution.started_at) {
        return Err(Problem::invalid("queuedAt", "lies after startedAt"));
    }
    if execution.outcome == Outcome::Failed && execution.error_type.is_none() {
        return Err(Problem::missing("errorType"));
    }
    Ok(Event::Execution(Box::new(execution)))
}
