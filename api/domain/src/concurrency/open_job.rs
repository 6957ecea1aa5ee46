//! Jobs that wait or run and have no execution for it. Pure.
//!
//! Only the state that a job is in counts, from the change to it on (contract, "Concurrency"): what it was before is known when its
//! execution arrives, which then counts alone. A client that is gone tells no end, hence the bound of a day.
//! Must not know: the database.

use std::collections::HashMap;

use plimsoll_entity::value::label::JobState;
use plimsoll_entity::value::time::{DAY_US, Instant, Window};
use uuid::Uuid;

use super::sweep::Stay;
use crate::store::OpenJob;

/// How long a job without an execution is believed to wait or run.
pub const BELIEVED_US: i64 = DAY_US;

/// Where changes must lie whose jobs may count in a window.
#[must_use]
pub const fn changes_of(window: Window) -> Window {
    Window::of(window.start.0 - BELIEVED_US + 1, window.end.0)
}

/// One change a job: of equal ones that of the higher attempt, then the greater id.
#[must_use]
pub fn latest(changes: Vec<OpenJob>) -> Vec<OpenJob> {
    let order = |job: &OpenJob| (job.at, job.state, job.attempt.unwrap_or(0), job.id);
    let mut latest: HashMap<Uuid, OpenJob> = HashMap::with_capacity(changes.len());
    for change in changes {
        let known = latest.entry(change.job_key).or_insert(change);
        if order(&change) > order(known) {
            *known = change;
        }
    }
    latest.into_values().collect()
}

/// How a job takes up time.
#[must_use]
pub const fn stay(job: &OpenJob) -> Stay {
    let until = Instant(job.at.0 + BELIEVED_US);
    match job.state {
        JobState::Queued => Stay { queued_at: Some(job.at), started_at: until, finished_at: until },
        _ => Stay { queued_at: None, started_at: job.at, finished_at: until },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(key: u128, at: i64, state: JobState, attempt: Option<i32>, id: u128) -> OpenJob {
        OpenJob {
            at: Instant(at),
            id: Uuid::from_u128(id),
            job_key: Uuid::from_u128(key),
            state,
            attempt,
            key: crate::cell::part::Key::default(),
        }
    }

    #[test]
    fn a_job_counts_once() {
        let changes = vec![
            job(1, 5, JobState::Running, None, 9),
            job(1, 5, JobState::Running, Some(2), 1),
            job(2, 5, JobState::Queued, Some(1), 3),
            job(1, 5, JobState::Running, Some(2), 4),
        ];
        let mut found: Vec<u128> = latest(changes).iter().map(|job| job.id.as_u128()).collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn a_job_is_believed_for_a_day() {
        let window = Window::of(10 * DAY_US, 11 * DAY_US);
        let is_in = |at: i64, state: JobState| stay(&job(1, at, state, None, 1)).is_in(window);
        for state in [JobState::Queued, JobState::Running] {
            assert!(is_in(window.end.0 - 1, state) && !is_in(window.end.0, state));
            assert!(is_in(9 * DAY_US + 1, state) && !is_in(9 * DAY_US, state));
        }
        assert_eq!(changes_of(window), Window::of(9 * DAY_US + 1, 11 * DAY_US));
        assert_eq!(stay(&job(1, 7, JobState::Queued, None, 1)).queued_at, Some(Instant(7)));
    }
}
