//! Which jobs a transaction has to mark.
//!
//! A job that an execution names, and a job whose state changes, may have other attempts and changes: it is marked. An execution
//! that names none is its own job, and only its day is marked: nothing else can belong to it but what names the job by the
//! execution's id. As long as no job has ever been named by a UUID, that cannot be; from the first one on, every job is marked.
//! Invariant: of an execution and of whatever names it, at least one marks the job after both are there. Must not know: what becomes
//! of marks.

use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use super::commit::Identity;
use super::event::Event;
use super::rows::job_key;
use crate::store::{DirtyMarks, Kind, StoreError, Value, WriteTx};

/// Key of the lock that keeps the first job that is named by a UUID apart from executions that name none: "jobs" in ASCII.
const LOCK: i64 = 0x6a6f_6273;

/// Whether a job has ever been named by a UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamedByUuid(bool);

impl NamedByUuid {
    /// Finds out, or tells the others, before anything is written; `self` is what was true at the last commit.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub async fn settle(self, tx: &mut WriteTx, events: &[&Identity]) -> Result<Self, StoreError> {
        if self.0 {
            return Ok(self);
        }
        let names_one = events.iter().any(|identity| names_by_uuid(&identity.event));
        if !names_one && !events.iter().any(|identity| matches!(identity.event, Event::Execution(_))) {
            return Ok(self);
        }
        // Whoever comes first commits first: the other one then sees it.
        if names_one {
            tx.lock(LOCK).await?;
            tx.execute("UPDATE counter SET value = 1 WHERE name = 'jobs_named_by_uuid'", &[]).await?;
            return Ok(Self(true));
        }
        tx.lock_shared(LOCK).await?;
        let rows = tx.fetch("SELECT value FROM counter WHERE name = 'jobs_named_by_uuid'", &[], &[Kind::Int]).await?;
        Ok(Self(rows.first().is_some_and(|row| row[..] != [Value::Int(0)])))
    }

    /// Whether one has been.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.0
    }

    /// Marks the job of an execution, or its day where that is enough.
    pub fn mark(self, marks: &mut DirtyMarks, job: Option<&str>, id: Uuid, finished_at: Instant) {
        let key = job_key(job, id);
        if key != id || self.0 {
            marks.job(key);
        } else {
            marks.job_day(finished_at.day());
        }
    }
}

/// Whether an event names a job by a UUID that may be the id of an execution.
fn names_by_uuid(event: &Event) -> bool {
    let is_uuid = |job: &str| Uuid::parse_str(job).is_ok();
    match event {
        Event::Execution(event) => event.job.as_deref().is_some_and(|job| is_uuid(job) && job_key(Some(job), event.id) != event.id),
        Event::Job(event) => is_uuid(&event.job),
        _ => false,
    }
}
