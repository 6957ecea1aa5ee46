//! One line of NDJSON in, one checked event or one rejection out.
//!
//! Invariant: every byte sequence gives one of the two, and the same event in another spelling gives an equal [`Event`].
//! Must not know: HTTP, the database, other lines.

use std::str;

use plimsoll_entity::value::time::Instant;

use super::event::Event;
use super::identity::event_instant;
use super::json::{Kind, Pairs, Raw};
use super::limit::LINE_SIZE_BYTES_MAX;
use super::object::{Line, Object};
use super::rejection::{Problem, Read, Rejection, RejectionCode, cut};
use super::{checkpoint_load, execution, field, gpu_sample, job, storage_snapshot, vm_sample, vm_state};

/// What a line is read against; the same for a whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadContext {
    /// The server's clock.
    pub now: Instant,
    /// Unknown keys reject their line.
    pub strict: bool,
    /// Where an age limit is configured: events before this instant are too old. An event's instant is when it ended
    /// (`finishedAt`) or was (`at`).
    pub oldest: Option<Instant>,
}

/// An accepted line.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadLine {
    /// What it says.
    pub event: Event,
    /// Keys that nobody knew, each once, such as `execution.gpuMemoryPeekBytes`; empty when strict.
    pub unknown_keys: Vec<String>,
}

const TOO_LONG: &str = "line is longer than 65536 bytes";

/// Reads one line, without its line end.
///
/// # Errors
/// [`Rejection`]: the first rule that the line breaks, in the contract's order of keys.
pub fn read_line(line: &[u8], context: &ReadContext) -> Result<ReadLine, Rejection> {
    let text = text(line).map_err(|problem| problem.reject(None))?;
    read(Object(text), context).map_err(|problem| {
        let id = if problem.code == RejectionCode::MalformedJson { None } else { Object(text).first("id").ok().flatten() };
        problem.reject(id.and_then(id_text))
    })
}

/// What the answer says of a line that is longer than [`LINE_SIZE_BYTES_MAX`] and was therefore not kept.
#[must_use]
pub fn too_long() -> Rejection {
    Problem::line(RejectionCode::LineTooLong, TOO_LONG).reject(None)
}

fn text(line: &[u8]) -> Read<&str> {
    if line.len() > LINE_SIZE_BYTES_MAX {
        return Err(Problem::line(RejectionCode::LineTooLong, TOO_LONG));
    }
    str::from_utf8(line)
        .map_err(|error| Problem::line(RejectionCode::MalformedJson, format!("line is not UTF-8 from byte {} on", error.valid_up_to() + 1)))
}

fn read(object: Object<'_>, context: &ReadContext) -> Read<ReadLine> {
    // By habit the type stands first, so that this looks no further than the first pair.
    let reader = object.first("type").map_err(Problem::malformed).and_then(Reader::of);
    let reader = match reader {
        Ok(reader) => reader,
        Err(problem) => {
            // What is no JSON is told as such, even where its type is odd as well.
            check_json(object)?;
            return Err(problem);
        }
    };
    let mut line = Line::new(context, reader.wire);
    let event = (reader.read)(object, &mut line)?;
    if context.oldest.is_some_and(|oldest| event_instant(&event) < oldest) {
        return Err(Problem::line(RejectionCode::TooOld, "event is older than the server's age limit"));
    }
    Ok(ReadLine { event, unknown_keys: line.into_unknown_keys() })
}

fn check_json(object: Object<'_>) -> Read<()> {
    let mut pairs = Pairs::of(object.0);
    while pairs.next().map_err(Problem::malformed)? {}
    Ok(())
}

/// An event type and the file that reads it.
struct Reader {
    wire: &'static str,
    read: for<'a> fn(Object<'a>, &mut Line<'_>) -> Read<Event>,
}

impl Reader {
    fn of(raw_type: Option<Raw<'_>>) -> Read<&'static Self> {
        const READERS: [Reader; 7] = [
            Reader { wire: "execution", read: execution::read },
            Reader { wire: "job", read: job::read },
            Reader { wire: "checkpointLoad", read: checkpoint_load::read },
            Reader { wire: "vmState", read: vm_state::read },
            Reader { wire: "vmSample", read: vm_sample::read },
            Reader { wire: "gpuSample", read: gpu_sample::read },
            Reader { wire: "storageSnapshot", read: storage_snapshot::read },
        ];
        let raw = raw_type.filter(|raw| raw.kind != Kind::Null).ok_or_else(|| Problem::missing("type"))?;
        let wire = field::text(raw).map_err(|broken| Problem::invalid("type", &broken.0))?;
        let reader = READERS.iter().find(|reader| reader.wire == wire);
        reader.ok_or_else(|| Problem::of(RejectionCode::UnknownType, "type", "names no event"))
    }
}

/// The id as the answer repeats it.
fn id_text(raw: Raw<'_>) -> Option<String> {
    field::text(raw).ok().map(|id| cut(&id).to_owned())
}
