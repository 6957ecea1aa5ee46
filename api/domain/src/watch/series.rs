//! What is expected of signals: one detector a rule and subject, which is told the mean of each step of 5 minutes.
//!
//! A value is judged once its step is over, and the judgement stands until the next step is. Invariants: what the detectors know is
//! kept a row a day, so that a new process goes on where the last one stopped; of all rules together at most [`SERIES_MAX`] series are
//! followed, of each rule an even share, first come; those that have told nothing for [`DAYS_KEPT`] days make room, where a rule has used
//! up its share those of [`IDLE_DAYS_MAX`] days. Must not know: the database, thresholds.

use std::collections::{BTreeMap, HashMap, HashSet};

use plimsoll_entity::value::label::Signal;
use plimsoll_entity::value::time::{DAY_US, Instant, MINUTE_US};
use uuid::Uuid;

use super::detector::{Bounds, Detector};
use super::evaluation::{Expectation, Observation};
use super::rule::Rule;
use crate::store::{RuleSubject, SeriesDay};

/// Length of a step.
pub const STEP_US: i64 = 5 * MINUTE_US;
/// Steps of a day.
const STEPS_PER_DAY: usize = (DAY_US / STEP_US) as usize;
/// Days that a detector is told of.
pub const DAYS_KEPT: i32 = 28;
/// Days without a value after which a series makes room for another one of its rule.
const IDLE_DAYS_MAX: i64 = 2;
/// Series that are followed at most: a detector takes some 230 KiB.
pub const SERIES_MAX: usize = 256;

/// Every series that is followed.
#[derive(Debug, Default)]
pub struct SeriesKeeper {
    followed: HashMap<RuleSubject, Followed>,
    /// Series of each rule.
    counts: HashMap<Uuid, usize>,
    /// Rules that share the room.
    rules: usize,
}

/// One series.
#[derive(Debug)]
struct Followed {
    detector: Detector,
    /// The step that goes on.
    step: i64,
    sum: f64,
    count: u32,
    /// The mean of the step before, when it was judged.
    judged: Option<(f64, Expectation)>,
    /// The last step that had a value.
    told_at: i64,
    /// The points of the day of the last step that is over.
    day: i32,
    points: Vec<f32>,
}

const fn step_of(at: Instant) -> i64 {
    at.0.div_euclid(STEP_US)
}

fn day_of(step: i64) -> (i32, usize) {
    let steps = STEPS_PER_DAY as i64;
    (step.div_euclid(steps) as i32, step.rem_euclid(steps) as usize)
}

/// The first day whose points still matter at an instant.
#[must_use]
pub fn first_day(at: Instant) -> i32 {
    at.day() - DAYS_KEPT
}

fn bounds(signal: Signal) -> Bounds {
    match signal {
        Signal::CpuRatio
        | Signal::MemoryRatio
        | Signal::DiskRatio
        | Signal::GpuRatio
        | Signal::GpuMemoryRatio
        | Signal::FailureRatio
        | Signal::CacheHitRatio => Bounds::RATIO,
        Signal::GpuTemperatureCelsius => Bounds::NONE,
        Signal::VmUnreachable | Signal::DurationP95Ms | Signal::QueueP95Ms | Signal::CostPerHour => Bounds::POSITIVE,
    }
}

impl Followed {
    fn new(signal: Signal, step: i64) -> Self {
        let (day, _) = day_of(step);
        let detector = Detector::new(STEP_US as f64 / 1e6, bounds(signal));
        Self { detector, step, sum: 0.0, count: 0, judged: None, told_at: step, day, points: vec![f32::NAN; STEPS_PER_DAY] }
    }

    /// Ends steps up to `step`; the days that this changes, whole.
    fn advance(&mut self, step: i64) -> BTreeMap<i32, Vec<u8>> {
        let mut days = BTreeMap::new();
        while self.step < step {
            let mean = (self.count > 0).then(|| self.sum / f64::from(self.count));
            let (day, place) = day_of(self.step);
            if day != self.day {
                (self.day, self.points) = (day, vec![f32::NAN; STEPS_PER_DAY]);
            }
            self.learn(mean);
            if let Some(mean) = mean {
                self.told_at = self.step;
                self.points[place] = mean as f32;
                days.insert(day, encode(&self.points));
            }
            (self.step, self.sum, self.count) = (self.step + 1, 0.0, 0);
        }
        days
    }

    fn learn(&mut self, mean: Option<f64>) {
        // As it will be read again, so that a new process judges alike.
        let mean = mean.map(|mean| f64::from(mean as f32));
        let judgement = self.detector.push(mean);
        self.judged = mean.zip(judgement.map(|judgement| Expectation {
            expected: judgement.expected,
            low: judgement.low,
            high: judgement.high,
            is_anomalous: judgement.is_anomalous,
        }));
    }
}

fn encode(points: &[f32]) -> Vec<u8> {
    points.iter().flat_map(|point| point.to_le_bytes()).collect()
}

fn decode(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let (points, _) = bytes.as_chunks::<4>();
    points.iter().map(|point| f32::from_le_bytes(*point))
}

impl SeriesKeeper {
    /// The days of a rule, which are in order of subject and day, by subject: those that told something last first, and no more than may be
    /// followed.
    #[must_use]
    pub fn newest(&self, days: Vec<SeriesDay>) -> Vec<Vec<SeriesDay>> {
        let mut series: Vec<Vec<SeriesDay>> = Vec::new();
        for day in days {
            match series.last_mut().filter(|series| series[0].of == day.of) {
                Some(series) => series.push(day),
                None => series.push(vec![day]),
            }
        }
        series.sort_by_key(|series| std::cmp::Reverse(series[series.len() - 1].day));
        series.truncate(self.share());
        series
    }

    /// Takes up a series of a rule from its days, which are in order.
    pub fn restore(&mut self, rule: &Rule, days: Vec<SeriesDay>, at: Instant) {
        for SeriesDay { of, day, points } in days {
            let first = i64::from(day) * STEPS_PER_DAY as i64;
            let Some(followed) = self.follow(of, || Followed::new(rule.signal, first)) else { continue };
            for (step, point) in (first..).zip(decode(&points).take(STEPS_PER_DAY)) {
                if point.is_finite() && step >= followed.step && step < step_of(at) {
                    // What lies between is a gap.
                    followed.advance(step);
                    (followed.sum, followed.count) = (f64::from(point), 1);
                    followed.advance(step + 1);
                }
            }
        }
    }

    /// Series that one rule may have.
    fn share(&self) -> usize {
        (SERIES_MAX / self.rules.max(1)).max(1)
    }

    fn is_full(&self, rule: Uuid) -> bool {
        self.counts.get(&rule).copied().unwrap_or(0) >= self.share()
    }

    /// The series, if it is followed or there is room for it.
    fn follow(&mut self, of: RuleSubject, new: impl FnOnce() -> Followed) -> Option<&mut Followed> {
        if !self.followed.contains_key(&of) {
            if self.is_full(of.0) {
                return None;
            }
            *self.counts.entry(of.0).or_default() += 1;
            self.followed.insert(of, new());
        }
        self.followed.get_mut(&of)
    }

    /// Tells the series of a rule what was observed at an instant, and the observations what was expected: each becomes the mean of the
    /// last step, with its judgement. The days that this changes.
    pub fn observe(&mut self, rule: &Rule, at: Instant, observations: &mut [Observation]) -> Vec<SeriesDay> {
        let step = step_of(at);
        let mut changed = Vec::new();
        for (of, followed) in self.followed.iter_mut().filter(|((rule_id, _), _)| *rule_id == rule.id) {
            let days = followed.advance(step);
            changed.extend(days.into_iter().map(|(day, points)| SeriesDay { of: *of, day, points }));
        }
        for observation in observations {
            let of = (rule.id, observation.subject.key);
            let Some(followed) = self.follow(of, || Followed::new(rule.signal, step)) else {
                metrics::counter!("plimsoll_alert_series_refused_total").increment(1);
                continue;
            };
            if step < followed.step {
                // The clock has gone back: nothing is known of now.
                continue;
            }
            followed.sum += observation.value;
            followed.count += 1;
            if let Some((mean, expectation)) = followed.judged {
                (observation.value, observation.expectation) = (mean, Some(expectation));
            }
        }
        changed
    }

    /// Lets go of series that have told nothing for long, of those of rules that are not among `rules`, who share the room, and of what a
    /// rule has above its share, the longest silent first.
    pub fn forget(&mut self, at: Instant, rules: &[Uuid]) {
        self.rules = rules.len();
        let oldest = |days: i64| step_of(at) - days * STEPS_PER_DAY as i64;
        let full: HashSet<Uuid> = rules.iter().copied().filter(|rule| self.is_full(*rule)).collect();
        self.followed.retain(|(rule, _), followed| {
            let days = if full.contains(rule) { IDLE_DAYS_MAX } else { DAYS_KEPT.into() };
            followed.told_at >= oldest(days) && rules.contains(rule)
        });
        let mut told: HashMap<Uuid, Vec<(i64, Uuid)>> = HashMap::new();
        for ((rule, subject), followed) in &self.followed {
            told.entry(*rule).or_default().push((followed.told_at, *subject));
        }
        let share = self.share();
        self.counts = told.iter().map(|(rule, series)| (*rule, series.len().min(share))).collect();
        for (rule, mut series) in told {
            let above = series.len().saturating_sub(share);
            series.sort_unstable();
            for (_, subject) in &series[..above] {
                self.followed.remove(&(rule, *subject));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_entity::value::label::{Detection, Severity};

    use super::*;
    use crate::watch::evaluation::Subject;

    fn rule() -> Rule {
        Rule {
            id: Uuid::from_u128(7),
            name: "Odd".to_owned(),
            signal: Signal::DurationP95Ms,
            detection: Detection::Anomaly,
            threshold: None,
            for_seconds: 0,
            severity: Severity::Info,
            by: Vec::new(),
            enabled: true,
            webhook_url: None,
            created_at: Instant(0),
            deleted_at: None,
        }
    }

    fn seen(value: f64) -> Observation {
        Observation { subject: Subject::new("all".to_owned(), Vec::new()), value, expectation: None }
    }

    /// Two looks a step of 20 days of a signal that wavers; the days as a database would hold them.
    fn followed(until: i64) -> (SeriesKeeper, BTreeMap<i32, SeriesDay>) {
        let (mut keeper, mut days) = (SeriesKeeper::default(), BTreeMap::new());
        for look in 0..until * 2 {
            let mut observations = [seen(100.0 + f64::from((look as i32 * 7919) % 13))];
            let at = Instant(look * STEP_US / 2);
            days.extend(keeper.observe(&rule(), at, &mut observations).into_iter().map(|day| (day.day, day)));
        }
        (keeper, days)
    }

    #[test]
    fn a_value_is_judged_when_its_step_is_over_and_stands_until_the_next() {
        let steps = 20 * STEPS_PER_DAY as i64;
        let (mut keeper, _) = followed(steps);
        let mut look = |at: i64, value: f64| {
            let mut observations = [seen(value)];
            keeper.observe(&rule(), Instant(at), &mut observations);
            observations[0].expectation.is_some_and(|expectation| expectation.is_anomalous)
        };
        let start = steps * STEP_US;
        assert!(!look(start, 5_000.0), "its step goes on");
        assert!(look(start + STEP_US, 104.0), "the step before was odd");
        assert!(look(start + STEP_US + MINUTE_US, 104.0), "still");
        assert!(!look(start + 2 * STEP_US, 104.0), "the next one was not");
    }

    #[test]
    fn a_new_process_goes_on_where_the_last_one_stopped() {
        let steps = 12 * STEPS_PER_DAY as i64 + 17;
        let (mut keeper, days) = followed(steps);
        let mut restored = SeriesKeeper::default();
        let at = Instant(steps * STEP_US);
        for series in restored.newest(days.into_values().collect()) {
            restored.restore(&rule(), series, at);
        }
        for step in 0..6 {
            let at = Instant(at.0 + step * STEP_US);
            let (mut known, mut anew) = ([seen(110.0)], [seen(110.0)]);
            keeper.observe(&rule(), at, &mut known);
            restored.observe(&rule(), at, &mut anew);
            // The step that went on when the first process stopped is lost.
            if step > 1 {
                let (known, anew) = (known[0].expectation.unwrap(), anew[0].expectation.unwrap());
                assert!((known.expected - anew.expected).abs() < 1.0, "{known:?} {anew:?}");
            }
        }
    }

    #[test]
    fn what_told_something_last_is_taken_up_first() {
        let day = |subject: u128, day: i32| SeriesDay { of: (rule().id, Uuid::from_u128(subject)), day, points: Vec::new() };
        let mut keeper = SeriesKeeper::default();
        let rules: Vec<Uuid> = (0..SERIES_MAX as u128 / 2).map(Uuid::from_u128).collect();
        keeper.forget(Instant(0), &rules);
        let taken = keeper.newest(vec![day(1, 3), day(1, 4), day(2, 9), day(3, 1), day(3, 7)]);
        assert_eq!(taken, [vec![day(2, 9)], vec![day(3, 1), day(3, 7)]]);
        let more: Vec<Uuid> = (0..2 * SERIES_MAX as u128).map(Uuid::from_u128).collect();
        keeper.forget(Instant(0), &more);
        assert_eq!(keeper.newest(vec![day(1, 3)]).len(), 1, "each has one");
    }

    #[test]
    fn nothing_is_judged_while_the_clock_is_behind() {
        let steps = 5 * STEPS_PER_DAY as i64;
        let (mut keeper, _) = followed(steps);
        let mut now = [seen(104.0)];
        keeper.observe(&rule(), Instant(steps * STEP_US), &mut now);
        assert!(now[0].expectation.is_some());
        let mut behind = [seen(104.0)];
        keeper.observe(&rule(), Instant((steps - 3) * STEP_US), &mut behind);
        assert!(behind[0].expectation.is_none());
    }

    #[test]
    fn series_are_bounded_and_let_go() {
        let mut keeper = SeriesKeeper::default();
        let subject = |number: usize| Subject::new(number.to_string(), vec![("n".to_owned(), number.to_string())]);
        let mut many: Vec<_> = (0..SERIES_MAX + 10).map(|number| Observation { subject: subject(number), ..seen(1.0) }).collect();
        keeper.forget(Instant(0), &[rule().id, Uuid::from_u128(8)]);
        keeper.observe(&rule(), Instant(0), &mut many);
        assert_eq!(keeper.followed.len(), SERIES_MAX / 2, "the other rule has its share");
        keeper.forget(Instant(DAY_US), &[rule().id]);
        keeper.observe(&rule(), Instant(DAY_US), &mut many[..10]);
        assert_eq!(keeper.followed.len(), SERIES_MAX / 2);
        keeper.observe(&rule(), Instant(DAY_US), &mut many);
        assert_eq!(keeper.followed.len(), SERIES_MAX, "alone it has everything");
        keeper.forget(Instant(DAY_US), &[rule().id, Uuid::from_u128(8)]);
        assert_eq!(keeper.followed.len(), SERIES_MAX / 2, "another rule has come");
        keeper.observe(&rule(), Instant(DAY_US), &mut many);
        assert_eq!(keeper.followed.len(), SERIES_MAX / 2);
        keeper.forget(Instant(4 * DAY_US), &[rule().id, Uuid::from_u128(8)]);
        assert!(keeper.followed.is_empty(), "all have been idle, and others want their places");
    }
}
