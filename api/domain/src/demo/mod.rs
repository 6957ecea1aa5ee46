//! A made-up studio and its GPU fleet: event lines to try Plimsoll with.
//!
//! Pure: the same seed, end and scale give the same bytes, and nothing is read but the arguments. Lines come in the order in
//! which a real fleet would have sent them, and none speaks of an instant after `end`. Must not know: the database, HTTP, the
//! ingest path (the lines go in by the same door as everyone's).

pub mod line;
pub mod prices;
pub mod random;

mod attempt;
mod fleet;
mod monitor;
mod render;
mod schedule;
mod storage;
mod studio;
mod work;

use plimsoll_entity::value::time::{DAY_US, Instant, Window};

use crate::demo::render::World;

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Length in days.
    pub days: i64,
    /// Jobs in all, on average; a few per cent of them need a second or third attempt.
    pub jobs: usize,
    /// Time between two samples.
    pub sample_interval_s: i64,
    /// Machines, 16 at most.
    pub machines: usize,
}

impl Scale {
    /// What `plimsoll demo` shows: 30 days of 16 machines, about 25,000 executions.
    pub const MONTH: Self = Self { days: 30, jobs: 24_000, sample_interval_s: 900, machines: 16 };
}

/// The demo month: NDJSON lines without line feeds, of 30 days that end at `end`.
pub fn month(seed: u64, end: Instant) -> impl Iterator<Item = String> {
    events(seed, end, Scale::MONTH)
}

/// The same at another scale.
pub fn events(seed: u64, end: Instant, scale: Scale) -> impl Iterator<Item = String> {
    let window = Window { start: Instant(end.0 - scale.days * DAY_US), end };
    World::made_up(seed, window, scale).into_lines()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use plimsoll_entity::value::time::SECOND_US;
    use serde_json::Value;

    use super::*;

    const END: Instant = Instant(1_774_700_000 * SECOND_US + 123_456);
    const WEEK: Scale = Scale { days: 7, jobs: 2_000, sample_interval_s: 1_800, machines: 16 };

    fn read(lines: impl Iterator<Item = String>) -> Vec<Value> {
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    fn at(event: &Value, key: &str) -> Option<Instant> {
        event[key].as_str().map(|text| Instant::parse(text).unwrap())
    }

    #[test]
    fn the_same_seed_gives_the_same_lines() {
        let (first, second, other): (Vec<_>, Vec<_>, Vec<_>) =
            (events(7, END, WEEK).collect(), events(7, END, WEEK).collect(), events(8, END, WEEK).collect());
        assert!(first == second);
        assert!(first != other);
    }

    #[test]
    fn lines_come_in_the_order_of_sending_and_end_at_the_end() {
        let events = read(events(7, END, WEEK));
        let sent: Vec<Instant> = events.iter().map(|event| at(event, "finishedAt").or(at(event, "at")).unwrap()).collect();
        assert!(sent.is_sorted());
        assert!(sent.iter().all(|&at| END.0 - 7 * DAY_US <= at.0 && at <= END));
        let starts: Vec<Instant> = events.iter().filter_map(|event| at(event, "startedAt")).collect();
        assert!(starts.iter().all(|&at| END.0 - 7 * DAY_US <= at.0));
    }

    #[test]
    fn every_execution_is_sound() {
        let mut ids = std::collections::HashSet::new();
        for event in read(events(7, END, WEEK)).iter().filter(|event| event["type"] == "execution") {
            let (queued, started, finished) =
                (at(event, "queuedAt").unwrap(), at(event, "startedAt").unwrap(), at(event, "finishedAt").unwrap());
            assert!(queued <= started && started <= finished, "{event}");
            assert!(ids.insert(event["id"].to_string()));
            assert_eq!(event["outcome"] == "FAILED", event["errorType"].is_string(), "{event}");
            let phases: f64 = ["checkpointLoadMs", "modelInitMs", "inferenceMs"].iter().filter_map(|key| event[key].as_f64()).sum();
            assert!(phases <= (finished.0 - started.0) as f64 / 1000.0 + 0.001, "{event}");
        }
    }

    #[test]
    fn a_slot_is_held_by_no_more_than_its_lanes() {
        let mut held: HashMap<(String, u64), Vec<(Instant, i32)>> = HashMap::new();
        for event in read(events(7, END, WEEK)).iter().filter(|event| event["gpus"].is_array()) {
            let (Some(started), Some(finished)) = (at(event, "startedAt"), at(event, "finishedAt")) else { continue };
            for gpu in event["gpus"].as_array().unwrap() {
                let slot = held.entry((event["vm"].to_string(), gpu.as_u64().unwrap())).or_default();
                slot.extend([(started, 1), (finished, -1)]);
            }
        }
        for ((vm, gpu), mut edges) in held {
            edges.sort();
            let most = edges
                .iter()
                .scan(0, |now, (_, step)| {
                    *now += step;
                    Some(*now)
                })
                .max()
                .unwrap();
            assert!(most <= if vm == "\"g6-02\"" { 2 } else { 1 }, "{vm} {gpu}: {most}");
        }
    }
}
