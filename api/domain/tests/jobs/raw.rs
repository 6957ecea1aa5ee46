//! Random attempts and changes of jobs, and what jobs are from the raw events: every event is looked at for every job.

use std::collections::BTreeMap;

use plimsoll_domain::breakdown::dimension::Dimension;
use plimsoll_domain::ingest::event::{Caller, CheckpointVersion, Event, Execution, Job, ModelVersion};
use plimsoll_entity::value::label::{CheckpointKind, JobState, Outcome};
use plimsoll_entity::value::time::{DAY_US, HOUR_US, Instant, MINUTE_US};
use uuid::Uuid;

use super::directory::{checkpoint_texts, combination_text, version_text};
use super::random::Random;

/// 2026-02-27T00:00:00Z.
pub const START_US: i64 = 1_772_150_400_000_000;
/// Within the fourth day, which is still open.
pub const NOW_US: i64 = START_US + 3 * DAY_US + 15 * HOUR_US;

pub fn instant(random: &mut Random) -> Instant {
    let day = START_US + random.between(0, 4) * DAY_US;
    let at = match random.below(8) {
        0 => day,
        1 => day - 1,
        2 => day + 5 * HOUR_US,
        3 | 4 => day + 5 * HOUR_US + random.between(0, 3) * MINUTE_US,
        _ => day + random.between(0, DAY_US),
    };
    Instant(at.clamp(START_US - HOUR_US, NOW_US - 1))
}

fn uuid(random: &mut Random) -> Uuid {
    Uuid::from_u128(u128::from(random.next()) << 64 | u128::from(random.next()))
}

fn numbered(random: &mut Random, name: &str, count: u64) -> String {
    format!("{name}-{}", random.below(count))
}

fn caller(random: &mut Random) -> Caller {
    Caller {
        application: random.maybe(70, |random| numbered(random, "application", 3)),
        user: random.maybe(70, |random| numbered(random, "user", 4)),
        department: random.maybe(50, |random| numbered(random, "department", 2)),
        project: random.maybe(50, |random| numbered(random, "project", 3)),
    }
}

fn model(random: &mut Random) -> ModelVersion {
    ModelVersion { model: numbered(random, "model", 3), version: numbered(random, "v", 2) }
}

fn checkpoints(random: &mut Random) -> Vec<CheckpointVersion> {
    let mut list: Vec<CheckpointVersion> = [("anime", "1"), ("anime", "2"), ("depth", "1")]
        .iter()
        .filter(|_| random.chance(30))
        .map(|(name, version)| CheckpointVersion { name: (*name).to_owned(), version: (*version).to_owned(), kind: CheckpointKind::Lora })
        .collect();
    list.sort_by(|a, b| a.canonical().cmp(&b.canonical()));
    list
}

/// Few names, so that jobs have several attempts; `ids` are those of executions, by which a job may be named, too.
fn name(random: &mut Random, ids: &[Uuid], by_uuid: bool) -> String {
    match random.below(4) {
        0 if by_uuid => random.pick(ids).to_string(),
        1 if by_uuid => Uuid::from_u128(u128::from(random.below(4)) + 1).to_string().to_uppercase(),
        2 => numbered(random, "lonely", 1 << 40),
        _ => numbered(random, "job", 12),
    }
}

fn execution(random: &mut Random, id: Uuid, job: Option<String>) -> Event {
    let finished_at = instant(random);
    let started_at = Instant(finished_at.0 - if random.chance(10) { 0 } else { random.between(1, 20 * MINUTE_US) });
    let outcome = random.pick(&[Outcome::Succeeded, Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled]);
    Event::Execution(Box::new(Execution {
        id,
        attempt: random.pick(&[1, 1, 1, 2, 2, 3]),
        job,
        model: model(random),
        model_type: None,
        checkpoints: checkpoints(random),
        caller: caller(random),
        gpus: Vec::new(),
        vm: random.maybe(80, |random| numbered(random, "vm", 3)),
        queued_at: random.maybe(60, |random| Instant(started_at.0 - random.between(0, MINUTE_US))),
        started_at,
        finished_at,
        outcome,
        checkpoint_load_ms: None,
        model_init_ms: None,
        inference_ms: None,
        input_bytes: None,
        output_bytes: None,
        gpu_memory_peak_bytes: None,
        cpu_seconds: None,
        error_type: (outcome == Outcome::Failed || random.chance(5)).then(|| numbered(random, "Error", 3)),
        error_message: None,
    }))
}

fn change(random: &mut Random, job: String) -> Event {
    Event::Job(Box::new(Job {
        id: uuid(random),
        job,
        at: instant(random),
        state: random.pick(JobState::ALL),
        attempt: random.maybe(50, |random| random.between(1, 4) as i32),
        model: model(random),
        checkpoints: checkpoints(random),
        caller: caller(random),
        vm: random.maybe(80, |random| numbered(random, "vm", 3)),
        gpus: Vec::new(),
    }))
}

/// Distinct events in random order. In some cases no job is named by a UUID.
pub fn events(random: &mut Random) -> Vec<Event> {
    let by_uuid = random.chance(60);
    let ids: Vec<Uuid> = (0..random.between(10, 120)).map(|_| uuid(random)).collect();
    let mut events = Vec::new();
    for id in &ids {
        let job = random.maybe(50, |random| name(random, &ids, by_uuid));
        events.push(execution(random, *id, job));
    }
    for _ in 0..random.between(0, 40) {
        let job = name(random, &ids, by_uuid);
        events.push(change(random, job));
    }
    random.shuffle(&mut events);
    events
}

/// A job from its events.
#[derive(Default)]
pub struct RawJob {
    pub attempts: Vec<Execution>,
    pub changes: Vec<Job>,
}

/// Whatever happened last to a job.
#[derive(Clone, Debug)]
pub struct Latest {
    pub at: Instant,
    stage: u8,
    attempt: i32,
    id: Uuid,
    pub state: JobState,
    pub user: Option<String>,
    pub checkpoints: Vec<CheckpointVersion>,
}

impl RawJob {
    /// The highest attempt; equal: the later end, then the greater id.
    pub fn last(&self) -> Option<&Execution> {
        let mut last: Option<&Execution> = None;
        for attempt in &self.attempts {
            let order = |of: &Execution| (of.attempt, of.finished_at, of.id);
            if last.is_none_or(|last| order(attempt) > order(last)) {
                last = Some(attempt);
            }
        }
        last
    }

    pub fn first(&self) -> Option<&Execution> {
        let mut sorted: Vec<&Execution> = self.attempts.iter().collect();
        sorted.sort_by_key(|of| (of.attempt, of.started_at, of.id));
        sorted.first().copied()
    }

    pub fn latest(&self) -> Latest {
        let of_attempt = |of: &Execution| Latest {
            at: of.finished_at,
            stage: 2,
            attempt: of.attempt,
            id: of.id,
            state: JobState::from_wire(of.outcome.wire()).unwrap(),
            user: of.caller.user.clone(),
            checkpoints: of.checkpoints.clone(),
        };
        let of_change = |of: &Job| Latest {
            at: of.at,
            stage: (of.state.code() as u8).min(2),
            attempt: of.attempt.unwrap_or(0),
            id: of.id,
            state: of.state,
            user: of.caller.user.clone(),
            checkpoints: of.checkpoints.clone(),
        };
        let mut all: Vec<Latest> = self.attempts.iter().map(of_attempt).chain(self.changes.iter().map(of_change)).collect();
        all.sort_by_key(|of| (of.at, of.stage, of.attempt, of.id));
        all.pop().unwrap()
    }
}

/// The jobs by their keys.
pub fn jobs(events: &[Event]) -> BTreeMap<Uuid, RawJob> {
    let key = |job: &str| Uuid::parse_str(job).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, job.as_bytes()));
    let mut jobs: BTreeMap<Uuid, RawJob> = BTreeMap::new();
    for event in events {
        match event {
            Event::Execution(of) => jobs.entry(of.job.as_deref().map_or(of.id, key)).or_default().attempts.push((**of).clone()),
            Event::Job(of) => jobs.entry(key(&of.job)).or_default().changes.push((**of).clone()),
            _ => {}
        }
    }
    jobs
}

/// The values of one dimension of an execution.
pub fn values(of: &Execution, dimension: Dimension) -> Vec<String> {
    let caller = &of.caller;
    let one = match dimension {
        Dimension::Checkpoint => return of.checkpoints.iter().map(|checkpoint| checkpoint_texts(checkpoint).0).collect(),
        Dimension::CheckpointVersion => return of.checkpoints.iter().map(|checkpoint| checkpoint_texts(checkpoint).1).collect(),
        Dimension::Model => Some(of.model.model.clone()),
        Dimension::ModelVersion => Some(version_text(&of.model)),
        Dimension::Combination => Some(combination_text(of)),
        Dimension::Application => caller.application.clone(),
        Dimension::User => caller.user.clone(),
        Dimension::Department => caller.department.clone(),
        Dimension::Project => caller.project.clone(),
        Dimension::Vm => of.vm.clone(),
        Dimension::ErrorType => of.error_type.clone(),
        _ => None,
    };
    one.into_iter().collect()
}
