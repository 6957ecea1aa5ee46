//! What a job is, from its attempts and its changes of state. Pure.
//!
//! Invariant: the order in which they arrived does not matter. Must not know: where they come from.

use plimsoll_entity::value::label::JobState;
use plimsoll_entity::value::time::Instant;
use uuid::Uuid;

use crate::store::{Attempt, Counted, Job, JobChange, JobFact, ToldJob, state_of};

/// A job, all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// As the table keeps it.
    pub job: ToldJob,
    /// Whether it is more than one execution, so that it stands in the table.
    pub is_told: bool,
}

/// The place of something told of a job among all that was told of it. Equal instants: the later stage, then the higher attempt,
/// then the greater id. How it ended is no stage: a second attempt that succeeds is later than a first one that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    at: Instant,
    stage: u8,
    attempt: i32,
    id: Uuid,
}

impl Place {
    /// Of a change to a state, or of the end of an execution; `attempt` is 0 where it was not told.
    #[must_use]
    pub const fn of(at: Instant, state: JobState, attempt: i32, id: Uuid) -> Self {
        let stage = match state {
            JobState::Queued => 0,
            JobState::Running => 1,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => 2,
        };
        Self { at, stage, attempt, id }
    }
}

impl From<&Attempt> for Place {
    fn from(of: &Attempt) -> Self {
        Self::of(of.finished_at, state_of(of.outcome), of.attempt, of.id)
    }
}

impl From<&JobChange> for Place {
    fn from(of: &JobChange) -> Self {
        Self::of(of.at, of.state, of.attempt.unwrap_or(0), of.id)
    }
}

struct Latest {
    place: Place,
    state: JobState,
    combination_id: u32,
    ids: [u32; 5],
}

impl From<&Attempt> for Latest {
    fn from(of: &Attempt) -> Self {
        Self { place: Place::from(of), state: state_of(of.outcome), combination_id: of.combination_id, ids: of.ids }
    }
}

impl From<&JobChange> for Latest {
    fn from(of: &JobChange) -> Self {
        Self { place: Place::from(of), state: of.state, combination_id: of.combination_id, ids: of.ids }
    }
}

/// A job; none without attempts and changes.
#[must_use]
pub fn history(key: Uuid, attempts: &[Attempt], changes: &[JobChange]) -> Option<History> {
    let all = attempts.iter().map(Latest::from).chain(changes.iter().map(Latest::from));
    let latest = all.max_by_key(|latest| latest.place)?;
    let first = first(attempts);
    let at_state = |state: JobState| changes.iter().filter(|change| change.state == state).map(|change| change.at).min();
    let over = matches!(latest.state, JobState::Succeeded | JobState::Failed | JobState::Cancelled);
    let told = attempts.iter().map(|attempt| attempt.attempt).chain(changes.iter().filter_map(|change| change.attempt)).max().unwrap_or(0);
    let names = changes.iter().map(|change| &change.job).chain(attempts.iter().filter_map(|attempt| attempt.job.as_ref()));
    let job = Job {
        key,
        // Several spellings of one UUID are one job: any rule will do that does not ask who came first.
        name: names.min().cloned(),
        changed_at: latest.place.at,
        state: latest.state,
        attempts: told.max(attempts.len() as i32),
        combination_id: latest.combination_id,
        ids: latest.ids,
        queued_at: first.and_then(|attempt| attempt.queued_at).or_else(|| at_state(JobState::Queued)),
        started_at: first.map(|attempt| attempt.started_at).or_else(|| at_state(JobState::Running)),
        finished_at: over.then_some(latest.place.at),
    };
    Some(History {
        job: ToldJob { job, fact: fact(key, attempts), counted: counted(attempts) },
        is_told: !changes.is_empty() || attempts.len() > 1,
    })
}

/// A job of which the table knows attempts or changes that are gone: what is left, put together with what stands there. What ended after
/// everything that has been counted is new; what comes late and ended before adds nothing once something is gone.
#[must_use]
pub fn continued(stored: ToldJob, left: ToldJob, attempts: &[Attempt]) -> ToldJob {
    let is_later = left.job.changed_at >= stored.job.changed_at;
    let known = stored.job;
    let latest = if is_later { left.job.clone() } else { known.clone() };
    let (Some(fact), Some(counted)) = (stored.fact, stored.counted) else {
        // No execution is gone: only a change of state was.
        let (queued_at, started_at) = (left.job.queued_at.or(known.queued_at), left.job.started_at.or(known.started_at));
        let attempts = known.attempts.max(left.job.attempts);
        return ToldJob { job: Job { attempts, queued_at, started_at, ..latest }, ..left };
    };
    let new = || attempts.iter().filter(|attempt| attempt.finished_at > counted.until);
    let executions = fact.executions.saturating_add(new().count() as u32);
    let is_whole = left.fact.as_ref().is_some_and(|left| left.executions >= executions);
    let (fact, counted) = match (left.fact, left.counted) {
        (Some(left), Some(of_left)) if is_whole => (left, of_left),
        (Some(left), Some(of_left)) => {
            let new_us = new().map(|attempt| attempt.finished_at.0 - attempt.started_at.0).fold(0, i64::saturating_add);
            let (processing_us, queue_us) = (fact.processing_us.saturating_add(new_us), fact.queue_us);
            let is_last = (of_left.last_attempt, left.finished_at) >= (counted.last_attempt, fact.finished_at);
            let last = if is_last { left } else { fact };
            let last_attempt = of_left.last_attempt.max(counted.last_attempt);
            (JobFact { executions, processing_us, queue_us, ..last }, Counted { last_attempt, until: of_left.until.max(counted.until) })
        }
        _ => (fact, counted),
    };
    let times = if is_whole { (left.job.queued_at, left.job.started_at) } else { (known.queued_at, known.started_at) };
    let job = Job {
        name: known.name.into_iter().chain(left.job.name).min(),
        attempts: known.attempts.max(left.job.attempts).max(fact.executions as i32),
        queued_at: times.0.or(known.queued_at),
        started_at: times.1.or(known.started_at),
        ..latest
    };
    ToldJob { job, fact: Some(fact), counted: Some(counted) }
}

/// Whether anything of a job lies before an instant.
#[must_use]
pub fn reaches_before(told: &ToldJob, since: Instant) -> bool {
    let job = &told.job;
    let finished_at = told.fact.as_ref().map(|fact| fact.finished_at);
    [Some(job.changed_at), job.queued_at, job.started_at, job.finished_at, finished_at].into_iter().flatten().any(|at| at < since)
}

/// How far attempts have been counted; none without any.
fn counted(attempts: &[Attempt]) -> Option<Counted> {
    let until = attempts.iter().map(|attempt| attempt.finished_at).max()?;
    Some(Counted { last_attempt: attempts.iter().map(|attempt| attempt.attempt).max()?, until })
}

fn first(attempts: &[Attempt]) -> Option<&Attempt> {
    attempts.iter().min_by_key(|attempt| (attempt.attempt, attempt.started_at, attempt.id))
}

/// The job as it is counted (contract, "Jobs"); none without an execution.
fn fact(key: Uuid, attempts: &[Attempt]) -> Option<JobFact> {
    let last = attempts.iter().max_by_key(|attempt| (attempt.attempt, attempt.finished_at, attempt.id))?;
    let queued = first(attempts).and_then(|first| Some((first.queued_at?, first.started_at)));
    Some(JobFact {
        key,
        finished_at: last.finished_at,
        combination_id: last.combination_id,
        ids: last.ids,
        outcome: last.outcome,
        error_type_id: last.error_type_id,
        executions: attempts.len() as u32,
        queue_us: queued.map(|(queued_at, started_at)| started_at.0 - queued_at.0),
        processing_us: attempts.iter().map(|attempt| attempt.finished_at.0 - attempt.started_at.0).fold(0, i64::saturating_add),
    })
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::label::Outcome;

    use super::*;

    fn attempt(number: i32, id: u128, started_at: i64, finished_at: i64, outcome: Outcome) -> Attempt {
        Attempt {
            job_key: Uuid::nil(),
            id: Uuid::from_u128(id),
            job: Some("a".to_owned()),
            attempt: number,
            finished_at: Instant(finished_at),
            started_at: Instant(started_at),
            queued_at: Some(Instant(started_at - 7)),
            outcome,
            error_type_id: 0,
            combination_id: id as u32,
            ids: [0, number as u32, 0, 0, 0],
        }
    }

    fn change(state: JobState, at: i64, attempt: Option<i32>) -> JobChange {
        JobChange {
            job_key: Uuid::nil(),
            id: Uuid::from_u128(99),
            job: "a".to_owned(),
            at: Instant(at),
            state,
            attempt,
            combination_id: 50,
            ids: [0; 5],
            gpus: Vec::new(),
        }
    }

    #[test]
    fn the_last_attempt_counts_whenever_it_finished() {
        // The second attempt finished before the first one did.
        let attempts = [attempt(1, 1, 10, 90, Outcome::Failed), attempt(2, 2, 20, 60, Outcome::Succeeded)];
        let history = history(Uuid::nil(), &attempts, &[]).unwrap();
        let fact = history.job.fact.unwrap();
        assert_eq!((fact.finished_at, fact.outcome, fact.combination_id), (Instant(60), Outcome::Succeeded, 2));
        assert_eq!((fact.executions, fact.queue_us, fact.processing_us), (2, Some(7), 80 + 40));
        // The latest change is the end of the first attempt all the same.
        assert_eq!((history.job.job.changed_at, history.job.job.state), (Instant(90), JobState::Failed));
        assert!(history.is_told);
    }

    #[test]
    fn equal_attempts_are_told_apart_by_end_then_id() {
        let mut attempts =
            vec![attempt(1, 3, 10, 40, Outcome::Failed), attempt(1, 5, 20, 60, Outcome::Failed), attempt(1, 4, 30, 60, Outcome::Failed)];
        for _ in 0..3 {
            attempts.rotate_left(1);
            let fact = history(Uuid::nil(), &attempts, &[]).unwrap().job.fact.unwrap();
            assert_eq!((fact.combination_id, fact.queue_us), (5, Some(7)));
        }
    }

    #[test]
    fn a_change_alone_is_a_job_without_a_figure() {
        let queued = change(JobState::Queued, 5, Some(2));
        let waiting = history(Uuid::nil(), &[], std::slice::from_ref(&queued)).unwrap();
        assert!(waiting.is_told && waiting.job.fact.is_none());
        let job = waiting.job.job;
        assert_eq!(
            (job.state, job.attempts, job.queued_at, job.started_at, job.finished_at),
            (JobState::Queued, 2, Some(Instant(5)), None, None)
        );
        // With the execution there, its own times stand for the change's.
        let done = history(Uuid::nil(), &[attempt(2, 1, 10, 20, Outcome::Cancelled)], &[queued]).unwrap().job.job;
        assert_eq!((done.state, done.queued_at, done.finished_at), (JobState::Cancelled, Some(Instant(3)), Some(Instant(20))));
        assert_eq!(history(Uuid::nil(), &[], &[]), None);
    }

    #[test]
    fn a_job_keeps_what_is_gone() {
        let gone = [attempt(1, 1, 10, 20, Outcome::Failed), attempt(2, 2, 30, 45, Outcome::Failed)];
        let stored = history(Uuid::nil(), &gone, &[]).unwrap().job;
        assert!(reaches_before(&stored, Instant(15)) && !reaches_before(&stored, Instant(3)));
        let new = [attempt(3, 3, 60, 70, Outcome::Succeeded)];
        let left = history(Uuid::nil(), &new, &[]).unwrap().job;
        let all = history(Uuid::nil(), &[gone.to_vec(), new.to_vec()].concat(), &[]).unwrap().job;
        let once = continued(stored, left.clone(), &new);
        assert_eq!(once, all);
        assert_eq!(continued(once, left, &new), all, "worked out again it is the same");
    }

    /// A name that is used again and again, once with a second attempt: its row goes on by one for each new run, however often it is worked
    /// out.
    #[test]
    fn a_job_that_is_run_again_counts_each_run_once() {
        let run = |id: u128, at: i64| attempt(1, id, at, at + 5, Outcome::Succeeded);
        let mut facts = vec![run(1, 10), run(2, 20), attempt(2, 3, 30, 34, Outcome::Succeeded)];
        let mut row = history(Uuid::nil(), &facts, &[]).unwrap().job;
        for number in 4..8 {
            facts.push(run(number, number as i64 * 10));
            let left = &facts[2..];
            for _ in 0..2 {
                row = continued(row, history(Uuid::nil(), left, &[]).unwrap().job, left);
                let fact = row.fact.as_ref().unwrap();
                assert_eq!((fact.executions, fact.finished_at), (number as u32, Instant(34)), "the last attempt has the highest number");
            }
        }
    }

    #[test]
    fn what_is_left_decides_while_no_execution_is_gone() {
        let (first, second) = (attempt(1, 1, 10, 20, Outcome::Failed), attempt(2, 2, 30, 45, Outcome::Failed));
        let row = history(Uuid::nil(), std::slice::from_ref(&second), &[]).unwrap().job;
        let both = [first, second];
        let left = history(Uuid::nil(), &both, &[]).unwrap().job;
        assert_eq!(continued(row, left.clone(), &both), left, "the first came late");
    }

    #[test]
    fn a_single_execution_is_not_told() {
        let single = history(Uuid::nil(), &[attempt(3, 1, 10, 20, Outcome::Succeeded)], &[]).unwrap();
        assert!(!single.is_told);
        assert_eq!((single.job.job.attempts, single.job.fact.unwrap().executions), (3, 1));
    }
}
