//! What an answer means, and when a notice is tried again. Pure.
//!
//! Invariants: a notice is tried [`ATTEMPTS_MAX`] times at most, within [`AGE_US_MAX`] of the change that it tells; the pauses grow and
//! are not the same for all. Must not know: the clock, how notices are sent.

use plimsoll_domain::store::Delivery;
use plimsoll_entity::value::time::{HOUR_US, Instant, SECOND_US};

/// Attempts at most.
pub const ATTEMPTS_MAX: u32 = 10;
/// A notice that would be older than this when it is tried again is given up.
pub const AGE_US_MAX: i64 = 24 * HOUR_US;
/// Shortest and longest pause.
const PAUSE_US: std::ops::RangeInclusive<i64> = 5 * SECOND_US..=HOUR_US;

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered with this status, and may have said how long to wait.
    Status {
        /// Of HTTP.
        status: u16,
        /// `Retry-After`, in microseconds.
        retry_after_us: Option<i64>,
    },
    /// There was no answer, or none in time; why, for the log.
    Failed(String),
    /// The receiver may not be sent anything, so that nothing was; why, for the log.
    Refused(String),
}

/// What becomes of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has arrived.
    Delivered,
    /// It is tried again at an instant.
    Again(Instant),
    /// It is not tried again.
    GivenUp,
}

/// What becomes of a notice whose attempt ended `now` with this answer.
#[must_use]
pub fn verdict(delivery: &Delivery, answer: &Answer, now: Instant) -> Verdict {
    let asked_us = match answer {
        Answer::Status { status: 200..=299, .. } => return Verdict::Delivered,
        // Redirects are not followed: whoever answers could send us anywhere.
        Answer::Refused(_) | Answer::Status { status: 300..=407 | 409..=428 | 430..=499, .. } => return Verdict::GivenUp,
        Answer::Status { retry_after_us, .. } => retry_after_us.unwrap_or_default(),
        Answer::Failed(_) => 0,
    };
    let attempts = delivery.attempts.saturating_add(1);
    let pause_us = pause_us(delivery, attempts).max(asked_us).clamp(*PAUSE_US.start(), *PAUSE_US.end());
    let due_at = Instant(now.0.saturating_add(pause_us));
    if attempts >= ATTEMPTS_MAX || due_at.0.saturating_sub(delivery.created_at.0) > AGE_US_MAX {
        return Verdict::GivenUp;
    }
    Verdict::Again(due_at)
}

/// The pause behind an attempt: twice the last, less up to a fifth that the notice's own id chooses, so that not all come back at once.
fn pause_us(delivery: &Delivery, attempts: u32) -> i64 {
    let whole = PAUSE_US.start().saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(*PAUSE_US.end());
    let (high, low) = delivery.id.as_u64_pair();
    let chosen = ((high ^ low).rotate_left(attempts * 7) % 1_000).cast_signed();
    whole - whole / 5 * chosen / 1_000
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Instant = Instant(1_772_409_600_000_000);

    fn delivery(attempts: u32) -> Delivery {
        Delivery {
            id: Uuid::from_u128(0x1234_5678_9abc_def0_0fed_cba9_8765_4321),
            alert_id: Uuid::nil(),
            is_end: false,
            created_at: NOW,
            due_at: NOW,
            attempts,
            host: "a".to_owned(),
            url: "http://a/".to_owned(),
            body: "[]".to_owned(),
        }
    }

    fn status(status: u16, retry_after_seconds: Option<i64>) -> Answer {
        Answer::Status { status, retry_after_us: retry_after_seconds.map(|seconds| seconds * SECOND_US) }
    }

    fn pause(attempts: u32, answer: &Answer) -> Option<i64> {
        match verdict(&delivery(attempts), answer, NOW) {
            Verdict::Again(at) => Some((at.0 - NOW.0) / SECOND_US),
            _ => None,
        }
    }

    #[test]
    fn statuses_are_sorted() {
        let of = |code| verdict(&delivery(0), &status(code, None), NOW);
        assert!([200, 202, 204, 299].into_iter().all(|code| of(code) == Verdict::Delivered));
        assert!([301, 302, 304, 307, 308, 400, 401, 404, 410, 413, 422].into_iter().all(|code| of(code) == Verdict::GivenUp));
        assert!([101, 408, 429, 500, 502, 503, 504, 599].into_iter().all(|code| matches!(of(code), Verdict::Again(_))));
        assert!(matches!(verdict(&delivery(0), &Answer::Failed(String::new()), NOW), Verdict::Again(_)));
        assert_eq!(verdict(&delivery(0), &Answer::Refused(String::new()), NOW), Verdict::GivenUp);
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_end() {
        let failed = Answer::Failed(String::new());
        for attempts in 0..ATTEMPTS_MAX - 1 {
            let whole = (5_i64 << attempts).min(3_600);
            let pause = pause(attempts, &failed).unwrap();
            assert!(pause >= 5.max(whole * 4 / 5) && pause <= whole, "{attempts}: {pause}");
        }
        assert_eq!(pause(ATTEMPTS_MAX - 1, &failed), None);
        let old = Delivery { created_at: Instant(NOW.0 - AGE_US_MAX), ..delivery(1) };
        assert_eq!(verdict(&old, &failed, NOW), Verdict::GivenUp);
    }

    #[test]
    fn a_receiver_may_ask_for_time_within_bounds() {
        assert_eq!(pause(0, &status(429, Some(60))), Some(60));
        assert_eq!(pause(0, &status(503, Some(1_000_000))), Some(3_600));
        assert_eq!(pause(0, &status(503, Some(-5))), pause(0, &status(503, None)));
        assert!(pause(8, &status(503, Some(1))).unwrap() > 900);
    }
}
